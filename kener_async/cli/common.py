"""What commands share: where their configuration comes from, and how they end when something is wrong."""

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

ROOT = click.Path(path_type=Path, file_okay=False, resolve_path=True)  # below which things are installed
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

        with faults_named():
            config = load(config_path(), os.environ, reserved_segments)
            log.configure(config.log)  # to standard error: what a command prints is data
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


@contextmanager
def faults_named() -> Iterator[None]:
    """End with status 1 and one line for each thing that is wrong."""
    try:
        yield
    except (FatalError, DomainError) as fault:
        fail(str(fault))


def fail(message: str) -> None:
    say(message)
    sys.exit(1)


def say(words: str) -> None:
    """Tell the operator something that is no data."""
    click.echo(words, err=True)
