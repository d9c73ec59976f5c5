"""The command line. Messages go to standard error, data to standard output."""

from pathlib import Path

import click

from kener_async import __version__
from kener_async.cli import (
    agent,
    alerts,
    audit,
    channels,
    check,
    data,
    incidents,
    install,
    maintenance,
    people,
    serve,
    status,
    tokens,
)
from kener_async.config.fields import suggestion


class DefaultToServe(click.Group):
    """`serve` when no command is named; `--config` before or after a command's own arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {"--help", "-h", "--version"}
        begin = 2 if args[:1] == ["--config"] else 1 if args and args[0].startswith("--config=") else 0
        names_command = args[begin : begin + 1] and not args[begin].startswith("-")
        if not names_command and not own.intersection(args):
            args = [*args[:begin], "serve", *args[begin:]]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            ctx.fail(f"there is no command {args[0]}{suggestion(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(cls=DefaultToServe, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", "path", type=click.Path(path_type=Path, readable=False), help="The configuration file."
)
@click.version_option(__version__, prog_name="kener-async")
def main(path: Path | None) -> None:
    """A self-hosted status page and incident server that speaks the Kener API 1.0.0."""


for command in (
    *serve.COMMANDS,
    *people.COMMANDS,
    *tokens.COMMANDS,
    *incidents.COMMANDS,
    *maintenance.COMMANDS,
    *alerts.COMMANDS,
    *channels.COMMANDS,
    *check.COMMANDS,
    *data.COMMANDS,
    *audit.COMMANDS,
    *status.COMMANDS,
    *install.COMMANDS,
    *agent.COMMANDS,
):
    main.add_command(command)
