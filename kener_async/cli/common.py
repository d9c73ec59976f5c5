"""Options and errors that commands share."""

import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

from kener_async.config.load import load
from kener_async.domain.errors import DomainError
from kener_async.errors import FatalError

INSTALLED = Path("/etc/kener-async/config.toml")

config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), help="The configuration file."
)


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command its `--config` option, and the loaded configuration as its first argument."""

    @config_option
    @wraps(command)
    def with_config(path: Path | None, **arguments: Any) -> Any:
        from kener_async import log

        with exit_on_error():
            config = load(config_path(), os.environ, reserved_segments)
            log.configure(config.log)  # to standard error, because what a command prints is data
            return command(config, **arguments)

    return with_config


def reserved_segments() -> Collection[str]:
    """The first segments of the routes; only for a base path, because importing the routes takes a while."""
    from kener_async.app import reserved_segments

    return reserved_segments()


def config_path() -> Path:
    """The file named with the command or by KENER_CONFIG, else `./config.toml`, else the installed one."""
    context = click.get_current_context()
    named = context.params.get("path") or context.find_root().params.get("path")
    here = Path("config.toml")
    unnamed = INSTALLED if INSTALLED.exists() and not here.exists() else here
    return Path(named or os.environ.get("KENER_CONFIG") or unnamed)


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that installs or uninstalls its `--dry-run` and `--root` options."""
    root = click.Path(path_type=Path, file_okay=False, resolve_path=True)
    for option in (
        click.option("--root", type=root, default="/", help="Work below this folder, without systemd."),
        click.option("--dry-run", is_flag=True, help="Only print what would be done."),
    ):
        command = option(command)
    return command


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print the message of an error, a line for each problem, and exit with status 1."""
    try:
        yield
    except (FatalError, DomainError) as error:
        message(str(error))
        sys.exit(1)


def message(text: str) -> None:
    """Print text for the operator, which is not data, to standard error."""
    click.echo(text, err=True)


def program() -> str:
    """The words that start this program the way it was started, for examples to copy."""
    name = Path(sys.argv[0])
    if name.name == "__main__.py":
        return "python -m kener_async"
    return f"{os.path.relpath(sys.executable)} {name}" if name.suffix == ".py" else str(name)
