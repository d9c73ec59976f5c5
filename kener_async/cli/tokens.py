"""The commands that create, list and revoke tokens."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kener_async.cli.common import aligned, message, on_tokens
from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.domain.access import SCOPES
from kener_async.domain.durations import LONGEST, format_duration, parse_duration
from kener_async.ops.installation import INIT, require_database, require_key

if TYPE_CHECKING:
    from kener_async.store.tokens import Token


@click.group()
def token() -> None:
    """Create, list and revoke tokens.

    The service may be running.
    """


@token.command()
@click.option("--name", help="The device or person it is for. Default with --beat: the tag.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="Default: status and incident.",
)
@click.option("--tag", "tags", multiple=True, help="A monitor's tag or a pattern such as site-7-*.")
@click.option("--expires", help="Such as 90d, 12h, 1y; or never. Default: 365d; with --beat never.")
@click.option("--replaces", metavar="ID", help="The ID of a token whose devices go on with this one.")
@click.option("--beat", is_flag=True, help="A key for /beat/KEY, which reports the one monitor of --tag.")
@click.option("--init", is_flag=True, help="Make the database and the signing key, if there are none yet.")
@on_tokens
def create(
    config: Config,
    name: str | None,
    scopes: tuple[str, ...],
    tags: tuple[str, ...],
    expires: str | None,
    replaces: str | None,
    beat: bool,
    init: bool,
) -> None:
    """Create a token and print it.

    With --beat it is a key for one monitor. Only a record of it is stored, so it cannot be printed again. The
    first start of the service makes the database and the signing key; before it, --init does.
    """
    from kener_async.ops import tokens

    if beat and replaces is not None:
        raise click.UsageError("--beat: has no --replaces, because a beat key names no device")
    tag = _beat_tag(config, scopes, tags) if beat else None
    name, lifetime = name or tag, _lifetime(expires or ("never" if beat else "365d"))
    if name is None:
        raise click.UsageError("Missing option '--name'.")
    if not init:
        require_database(config, INIT)
    if tag is not None:
        click.echo(tokens.create_beat_key(config, name, tag, lifetime))
        return
    if not init:
        require_key(config, INIT)
    click.echo(tokens.create(config, name, scopes, tags, lifetime, replaces))


def _beat_tag(config: Config, scopes: tuple[str, ...], tags: tuple[str, ...]) -> str:
    """The tag of the one monitor of a beat key."""
    if scopes:
        raise click.UsageError("--beat: has no --scope, it is always status:write")
    if len(tags) != 1 or set("*?[") & set(tags[0]):
        raise click.UsageError("--beat: needs exactly one --tag, without * ? [")
    if tags[0] not in {monitor.tag for monitor in config.monitors}:
        message(f"no monitor of the configuration has the tag {tags[0]} yet")
    return tags[0]


def _lifetime(text: str) -> int | None:
    """The seconds of a duration, None for `never`."""
    if text == "never":
        return None
    seconds = parse_duration(text)
    if not seconds or seconds > LONGEST:
        raise click.BadParameter(
            "must be a duration such as 90d, 12h or 1y, or never", param_hint="--expires"
        )
    return seconds


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@on_tokens
def list_tokens(config: Config, as_json: bool) -> None:
    """List all tokens.

    With their state, the day (UTC) on which they expire, and when they were last used.
    """
    from kener_async.ops import tokens

    require_database(config)
    records, now = tokens.stored(config), system_clock()
    if as_json:
        click.echo(json.dumps([_as_json(record, now) for record in records], indent=2))
        return
    for line in aligned([TOKEN_HEADS, *(_row(record, now) for record in records)]):
        click.echo(line)


TOKEN_HEADS = ("id", "state", "expires", "last used", "name", "scopes", "tags")


def _row(record: "Token", now: int) -> tuple[str, ...]:
    return (
        record.id,
        record.state(now),
        "never" if record.expires_at is None else _day(record.expires_at),
        "never" if record.last_used is None else f"{format_duration(max(now - record.last_used, 0))} ago",
        record.name,
        " ".join(record.scopes) if record.digest is None else "beat",
        " ".join(record.tags) if record.tags else "all",
    )


def _day(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d}"


def _as_json(record: "Token", now: int) -> dict[str, Any]:
    fields = asdict(record)
    is_beat = fields.pop("digest") is not None
    return fields | {"beat": is_beat, "state": record.state(now)}


@token.command()
@click.argument("token_id", metavar="ID")
@click.option("--foreign", is_flag=True, help="ID is the jti of a token made elsewhere (EdDSA, RS256).")
@on_tokens
def revoke(config: Config, token_id: str, foreign: bool) -> None:
    """Revoke a token by its ID or name.

    It is refused at once, also while the service runs. A name works where only one valid token has it.
    """
    from kener_async.ops import tokens

    require_database(config)
    if foreign:
        tokens.revoke_foreign(config, token_id)
        message(f"revoked {token_id}, made elsewhere")
    else:
        record = tokens.revoke(config, token_id)
        message(f"revoked {record.id} ({record.name})")


COMMANDS = (token,)
