"""The commands. Each calls one function elsewhere; messages go to standard error, data to standard output."""

import gc
import json
import os
import re
import secrets
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from kener_async import __version__
from kener_async.cli.agent import COMMANDS as AGENT_COMMANDS
from kener_async.cli.common import ROOT, config_path, configured, faults_named, reserved_segments, say
from kener_async.cli.data import COMMANDS as DATA_COMMANDS
from kener_async.cli.status import COMMANDS as WATCH_COMMANDS
from kener_async.clock import system_clock
from kener_async.config.load import load
from kener_async.config.model import Config
from kener_async.demo import SCENES
from kener_async.domain.access import DEFAULT_SCOPES, SCOPES

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


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration file.")
@click.version_option(__version__, prog_name="kener-async")
def main(path: Path | None) -> None:
    """A self-hosted status page and incident server that speaks the Kener API 1.0.0."""


for command in (*DATA_COMMANDS, *WATCH_COMMANDS, *AGENT_COMMANDS):
    main.add_command(command)


@main.command()
@click.option("--host", help="Instead of [server] host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Instead of [server] port.")
@click.option("--database", type=click.Path(path_type=Path), help="Instead of [database] path.")
@click.option("--welcome", is_flag=True, help="Say on standard output where the page is and how to begin.")
@configured
def serve(config: Config, host: str | None, port: int | None, database: Path | None, welcome: bool) -> None:
    """Run the service (the default command)."""
    gc.disable()  # what is imported is no garbage, and to look for some takes a third of the time
    from kener_async.process import run

    gc.enable()
    server = replace(
        config.server, host=host or config.server.host, port=config.server.port if port is None else port
    )
    stored = replace(config.database, path=(database or config.database.path).absolute())
    if welcome:
        monitor = next((monitor.tag for monitor in config.monitors), "earth")
        url = (server.public_url or f"http://{server.host}:{server.port}") + server.base_path
        click.echo(WELCOME.format(url=url, run=" ".join(_program()), tag=monitor))
    sys.exit(run.run(replace(config, server=server, database=stored), _reloader(server, stored)))


def _reloader(server: Any, database: Any) -> Callable[[], Config]:
    """Reads the same file again, with the same words of the command line."""
    path = config_path()

    def again() -> Config:
        config = load(path, os.environ, reserved_segments)
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
@click.option(
    "--scene", type=click.Choice(SCENES), default=SCENES[0], show_default=True, help="What goes on."
)
def demo(host: str, port: int, scene: str) -> None:
    """Run the service on made-up data, which is gone when it stops."""
    from kener_async.demo.run import run

    sys.exit(run(scene, host, port))


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


@main.command("install")
@click.option("--no-start", is_flag=True, help="Put everything in place and start nothing.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--root", type=ROOT, default="/", help="Put it below this folder; systemd is not told.")
def install_program(no_start: bool, dry_run: bool, root: Path) -> None:
    """Install this program as a service of systemd, or upgrade it; it may be repeated."""
    from kener_async.ops import install

    with faults_named():
        places = install.Places(root)
        if not dry_run:
            install.check_machine(places)
        steps = install.installation(places, install.program(places), start=not no_start)
        install.carry_out(steps, say, only_say=dry_run)
        say("To make a token: kener-async token create --name my-device")


@main.command("uninstall")
@click.option("--purge", is_flag=True, help="Remove the configuration and all data too.")
@click.option("--yes", is_flag=True, help="Do not ask again whether they are to be removed.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--root", type=ROOT, default="/", help="It was installed below this folder.")
def uninstall_program(purge: bool, yes: bool, dry_run: bool, root: Path) -> None:
    """Take the service away; its configuration and data stay, unless purged."""
    from kener_async.ops import install

    with faults_named():
        places = install.Places(root)
        if not dry_run:
            install.check_machine(places)
        if purge and not yes and not dry_run:
            click.confirm("Remove the configuration and every heartbeat ever stored?", abort=True, err=True)
        install.carry_out(install.removal(places, purge=purge), say, only_say=dry_run)


@main.group()
def token() -> None:
    """Make, list and revoke tokens; also while the service runs."""


@token.command()
@click.option("--name", help="Who it is for; of a beat key the tag, if left out.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="All but admin, if left out."
)
@click.option("--tag", "tags", multiple=True, help="A monitor's tag or a pattern such as site-7-*.")
@click.option("--expires", help="Such as 90d, 12h, 1y; or never. Default: 365d; of a beat key never.")
@click.option("--beat", is_flag=True, help="A key for /beat/KEY, which reports the one monitor of --tag.")
@configured
def create(
    config: Config,
    name: str | None,
    scopes: tuple[str, ...],
    tags: tuple[str, ...],
    expires: str | None,
    beat: bool,
) -> None:
    """Make a token, or with --beat a key, and print it, once: only its record is kept."""
    from kener_async.api.http.auth import mint
    from kener_async.ops.signing_key import signing_secret
    from kener_async.store import tokens
    from kener_async.store.sqlite import transactions

    key = _beat_key(config, scopes, tags) if beat else None
    if name is None and key is None:
        raise click.UsageError("Missing option '--name'.")
    expires, now = expires or ("365d" if key is None else "never"), system_clock()
    record = tokens.Token(
        id=secrets.token_hex(8),
        name=tags[0] if name is None else name,
        scopes=scopes or DEFAULT_SCOPES if key is None else ("status:write",),
        tags=tags or None,
        created_at=now,
        expires_at=None if expires == "never" else now + _seconds(expires),
        digest=None if key is None else tokens.digest_of(key),
    )
    minted = mint(signing_secret(config.auth), record) if key is None else key
    transactions.write(config.database.path, tokens.add, record)
    tokens.announce(config.database.path)
    click.echo(minted)


def _beat_key(config: Config, scopes: tuple[str, ...], tags: tuple[str, ...]) -> str:
    """A new key for the one monitor that is named."""
    if scopes:
        raise click.UsageError("--beat: has no --scope, it can do one thing only")
    if len(tags) != 1 or set("*?[") & set(tags[0]):
        raise click.UsageError("--beat: needs exactly one --tag, without * ? [")
    if tags[0] not in {monitor.tag for monitor in config.monitors}:
        click.echo(f"no monitor of the configuration has the tag {tags[0]} yet", err=True)
    return secrets.token_urlsafe(32)


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhdwy])", text)
    if found is None:
        raise click.BadParameter("must be a number and m, h, d, w or y; or never", param_hint="--expires")
    return int(found[1]) * UNITS[found[2]]


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@configured
def list_tokens(config: Config, as_json: bool) -> None:
    """Show the records of all tokens."""
    from kener_async.store import tokens
    from kener_async.store.sqlite import transactions

    database = config.database.path
    records = list(transactions.read(database, tokens.everyone).values()) if database.exists() else []
    if as_json:
        click.echo(json.dumps([_listed(record) for record in records], indent=2))
        return
    for record in records:
        state = _state(record.revoked_at, record.expires_at)
        click.echo(
            f"{record.id}  {state:8}  {record.name}  "
            f"{' '.join(record.scopes) if record.digest is None else 'beat'}  "
            f"tags: {' '.join(record.tags) if record.tags else 'all'}"
        )


def _listed(record: Any) -> dict[str, Any]:
    told = asdict(record)
    is_beat = told.pop("digest") is not None
    return told | {"beat": is_beat}


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
    from kener_async.store.sqlite import transactions

    transactions.write(config.database.path, tokens.revoke, token_id, system_clock())
    tokens.announce(config.database.path)
    click.echo(f"revoked {token_id}", err=True)
