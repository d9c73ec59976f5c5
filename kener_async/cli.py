"""The commands. Each calls one function elsewhere; messages go to standard error, data to standard output."""

import json
import os
import re
import secrets
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import wraps
from pathlib import Path
from typing import Any

import click

from kener_async import __version__
from kener_async.clock import system_clock
from kener_async.config import Config, load
from kener_async.domain.access import DEFAULT_SCOPES, SCOPES
from kener_async.domain.errors import DomainError
from kener_async.faults import Fault

WELCOME = """
  The page      {url}/
  The API       {url}/api/docs
  A token       {run} token create --name my-device
  A heartbeat   curl {url}/api/status -H "Authorization: Bearer $({run} token create --name curl)" \\
                  -d '{{"tag": "{tag}", "status": "UP", "latency": 0.042}}'
"""
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


class Commands(click.Group):
    """`serve` when no command is named; `--config` before or after a command's own arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {"--help", "-h", "--version"}
        words = [word for word in args if not word.startswith("-")]
        if not own.intersection(args) and not any(word in self.commands for word in words):
            args = [*args[: _options(args)], "serve", *args[_options(args) :]]
        return super().parse_args(ctx, args)


def _options(args: list[str]) -> int:
    return 2 if args[:1] == ["--config"] else 0


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command its `--config` option, and the loaded configuration as its first argument."""

    @click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration file.")
    @wraps(command)
    def with_config(path: Path | None, **arguments: Any) -> Any:
        try:
            return command(load(_config_path(), os.environ), **arguments)
        except (Fault, DomainError) as fault:
            _fail(str(fault))

    return with_config


def _config_path() -> Path:
    """The file named after the command, or before it, or by KENER_CONFIG, or `./config.toml`."""
    context = click.get_current_context()
    named = context.params.get("path") or context.find_root().params.get("path")
    return Path(named or os.environ.get("KENER_CONFIG") or "config.toml")


def _fail(message: str) -> None:
    click.echo(message, err=True)
    sys.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration file.")
@click.version_option(__version__, prog_name="kener-async")
def main(path: Path | None) -> None:
    """A self-hosted status page and incident server that speaks the Kener API 1.0.0."""


@main.command()
@click.option("--host", help="Instead of [server] host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Instead of [server] port.")
@click.option("--database", type=click.Path(path_type=Path), help="Instead of [database] path.")
@click.option("--welcome", is_flag=True, help="Say on standard output where the page is and how to begin.")
@configured
def serve(config: Config, host: str | None, port: int | None, database: Path | None, welcome: bool) -> None:
    """Run the service (the default command)."""
    from kener_async import service

    server = replace(
        config.server, host=host or config.server.host, port=config.server.port if port is None else port
    )
    stored = replace(config.database, path=(database or config.database.path).absolute())
    if welcome:
        monitor = next((monitor.tag for monitor in config.monitors), "earth")
        url = server.public_url or f"http://{server.host}:{server.port}"
        click.echo(WELCOME.format(url=url, run=" ".join(_program()), tag=monitor))
    sys.exit(service.run(replace(config, server=server, database=stored), _reloader(server, stored)))


def _reloader(server: Any, database: Any) -> Callable[[], Config]:
    """Reads the same file again, with the same words of the command line."""
    path = _config_path()

    def again() -> Config:
        config = load(path, os.environ)
        return replace(
            config,
            server=replace(config.server, host=server.host, port=server.port),
            database=replace(config.database, path=database.path),
        )

    return again


def _program() -> list[str]:
    """How this program was called."""
    name = sys.argv[0]
    return [os.path.relpath(sys.executable), name] if name.endswith(".py") else [name]


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=3000, show_default=True, help="0: any free.")
def demo(host: str, port: int) -> None:
    """Run the service on made-up data, which is gone when it stops."""
    from kener_async.demo import run

    sys.exit(run(host, port))


@main.command("check-config")
@configured
def check_config(config: Config) -> None:
    """Read the configuration and say whether it is sound."""
    click.echo(f"sound: {len(config.monitors)} monitors, {len(config.categories)} categories", err=True)


@main.command()
@configured
def openapi(config: Config) -> None:
    """Print the description of the API."""
    from kener_async.api.openapi import document
    from kener_async.app import create_app

    click.echo(json.dumps(document(create_app(config)), indent=2))


@main.group()
def token() -> None:
    """Make, list and revoke tokens; also while the service runs."""


@token.command()
@click.option("--name", required=True, help="Who it is for.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="All but admin, if left out."
)
@click.option("--tag", "tags", multiple=True, help="A monitor's tag or a pattern such as site-7-*.")
@click.option("--expires", default="365d", show_default=True, help="Such as 90d, 12h, 1y; or never.")
@configured
def create(config: Config, name: str, scopes: tuple[str, ...], tags: tuple[str, ...], expires: str) -> None:
    """Make a token and print it, once: only its record is kept."""
    from kener_async.api.auth import mint
    from kener_async.secret import signing_secret
    from kener_async.store import tokens

    now = system_clock()
    record = tokens.Token(
        id=secrets.token_hex(8),
        name=name,
        scopes=scopes or DEFAULT_SCOPES,
        tags=tags or None,
        created_at=now,
        expires_at=None if expires == "never" else now + _seconds(expires),
    )
    minted = mint(signing_secret(config.auth), record)
    _change_tokens(config, lambda connection: tokens.add(connection, record))
    click.echo(minted)


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhdwy])", text)
    if found is None:
        raise click.BadParameter("must be a number and m, h, d, w or y; or never", param_hint="--expires")
    return int(found[1]) * UNITS[found[2]]


def _change_tokens(config: Config, work: Callable[[Any], None]) -> None:
    from kener_async.store import tokens
    from kener_async.store.database import beside_the_server, transaction

    with beside_the_server(config.database.path) as connection:
        transaction(connection, work)
    tokens.announce(config.database.path)


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@configured
def list_tokens(config: Config, as_json: bool) -> None:
    """Show the records of all tokens."""
    from kener_async.store import tokens
    from kener_async.store.database import beside_the_server

    with beside_the_server(config.database.path) as connection:
        records = list(tokens.everyone(connection).values())
    if as_json:
        click.echo(json.dumps([asdict(record) for record in records], indent=2))
        return
    for record in records:
        state = _state(record.revoked_at, record.expires_at)
        click.echo(
            f"{record.id}  {state:8}  {record.name}  {' '.join(record.scopes)}  "
            f"tags: {' '.join(record.tags) if record.tags else 'all'}"
        )


def _state(revoked_at: int | None, expires_at: int | None) -> str:
    if revoked_at is not None:
        return "revoked"
    return "expired" if expires_at is not None and expires_at <= system_clock() else "valid"


@token.command()
@click.argument("token_id")
@configured
def revoke(config: Config, token_id: str) -> None:
    """Refuse a token from now on, by its id; at once, also while the service runs."""
    from kener_async.store import tokens

    _change_tokens(config, lambda connection: tokens.revoke(connection, token_id, system_clock()))
    click.echo(f"revoked {token_id}", err=True)
