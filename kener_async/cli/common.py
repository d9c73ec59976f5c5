"""Options and errors that commands share."""

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any

import click

from kener_async.config.load import load
from kener_async.domain.errors import DomainError
from kener_async.errors import FatalError, reason_of

INSTALLED = Path("/etc/kener-async/config.toml")
HERE = Path("config.toml")
TOKEN_TABLES = ("auth", "database", "ingest", "log")
CREDENTIALS = Path("/run/credentials/kener-async.service")

config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path, readable=False), help="The configuration file."
)


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command its `--config` option, and the loaded configuration as its first argument."""
    return _configured(command, says_file=False)


def on_database(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a command on the data, which says what file it uses when it was not told.

    It sends nothing, so the secrets of channels need not be there: a backup may not be allowed to read them.
    """
    return _configured(command, says_file=True, secrets_unknown=True)


def on_tokens(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a command on tokens, which reads no monitors, of which there may be thousands.

    So a token can also be revoked while they are configured wrongly. `--beat` names one of them.
    """
    return _configured(command, says_file=True, secrets_unknown=True, tables=TOKEN_TABLES)


def on_channels(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same with every secret, for a command that asks or tells somebody."""
    return _configured(command, says_file=True)


def on_restored_database(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same where the files of the page may be missing, because the command restores them."""
    return _configured(command, says_file=True, site_files_missing=True, secrets_unknown=True)


def _configured(
    command: Callable[..., Any],
    *,
    says_file: bool,
    site_files_missing: bool = False,
    secrets_unknown: bool = False,
    tables: Collection[str] | None = None,
) -> Callable[..., Any]:
    @config_option
    @wraps(command)
    def with_config(path: Path | None, **arguments: Any) -> Any:
        from kener_async import log

        with exit_on_error():
            if says_file:
                say_config_path()
            config = load(
                config_path(),
                environment(),
                reserved_segments,
                site_files_missing=site_files_missing,
                secrets_unknown=secrets_unknown,
                tables=None if arguments.get("beat") else tables,
            )
            log.configure(config.log)  # to standard error, because what a command prints is data
            return command(config, **arguments)

    return with_config


def environment() -> Mapping[str, str]:
    """The variables of this process; for the installed configuration also those of its service.

    Only root can read them, and commands that root runs need the secrets as the service does.
    """
    if config_path() != INSTALLED:
        return os.environ
    found = {"CREDENTIALS_DIRECTORY": str(CREDENTIALS)} if os.access(CREDENTIALS, os.R_OK) else {}
    with suppress(OSError, UnicodeDecodeError):
        for line in (INSTALLED.parent / "environment").read_text(encoding="utf-8").splitlines():
            name, is_set, value = line.strip().partition("=")
            if is_set and not name.startswith(("#", ";")):
                is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
                found[name] = value[1:-1] if is_quoted else value
    return {**found, **os.environ}


def reserved_segments() -> Collection[str]:
    """The first segments of the routes; only for a base path, because importing the routes takes a while."""
    from kener_async.app import reserved_segments

    return reserved_segments()


def config_path() -> Path:
    """The file named with the command or by KENER_CONFIG, else `./config.toml`, else the installed one."""
    return named_path() or (INSTALLED if _exists(INSTALLED) and not _exists(HERE) else HERE)


def say_config_path() -> None:
    """Say what configuration is used where none was named and there is one."""
    if named_path() is None and _exists(path := config_path()):
        instead = f", not {INSTALLED}" if path == HERE and _exists(INSTALLED) else ""
        message(f"using {path.absolute()}{instead}")


def named_path() -> Path | None:
    """The configuration file named with the command or by KENER_CONFIG."""
    context = click.get_current_context()
    named = context.params.get("path") or context.find_root().params.get("path")
    named = named or os.environ.get("KENER_CONFIG")
    return Path(named) if named else None


def _exists(path: Path) -> bool:
    """Whether there is such a file, or may be: its folder cannot be read."""
    try:
        return path.exists()
    except PermissionError:
        return True


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
    except BrokenPipeError:  # the reader of what is printed has seen enough, which click handles
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message(f"{where}{reason_of(error)}")
    else:
        return
    sys.exit(1)


def message(text: str) -> None:
    """Print text for the operator, which is not data, to standard error."""
    click.echo(text, err=True)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table, its columns below one another."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def program() -> str:
    """The words that start this program the way it was started, for examples to copy."""
    name = Path(sys.argv[0])
    if name.name == "__main__.py":
        return "python -m kener_async"
    return f"{os.path.relpath(sys.executable)} {name}" if name.suffix == ".py" else str(name)
