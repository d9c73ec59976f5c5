"""The command line. Messages go to standard error, data to standard output."""

from pathlib import Path

import click

from kener_async import __version__
from kener_async.cli import agent, data, install, serve, status, tokens


class DefaultToServe(click.Group):
    """`serve` when no command is named; `--config` before or after a command's own arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {"--help", "-h", "--version"}
        words = [word for word in args if not word.startswith("-")]
        if not own.intersection(args) and not any(word in self.commands for word in words):
            own_options = 2 if args[:1] == ["--config"] else 0
            args = [*args[:own_options], "serve", *args[own_options:]]
        return super().parse_args(ctx, args)


@click.group(cls=DefaultToServe, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration file.")
@click.version_option(__version__, prog_name="kener-async")
def main(path: Path | None) -> None:
    """A self-hosted status page and incident server that speaks the Kener API 1.0.0."""


for command in (
    *serve.COMMANDS,
    *tokens.COMMANDS,
    *data.COMMANDS,
    *status.COMMANDS,
    *install.COMMANDS,
    *agent.COMMANDS,
):
    main.add_command(command)
