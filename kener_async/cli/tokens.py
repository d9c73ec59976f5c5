"""The commands that create, list and revoke tokens."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from kener_async.cli.common import configured, message
from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.domain.access import SCOPES
from kener_async.domain.durations import LONGEST, parse_duration

if TYPE_CHECKING:
    from kener_async.store.tokens import Token


@click.group()
def token() -> None:
    """Create, list and revoke tokens.

    The service may be running.
    """


@token.command()
@click.option("--name", help="The device or person it is for. Default with --beat: the tag.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="Default: all but admin.")
@click.option("--tag", "tags", multiple=True, help="A monitor's tag or a pattern such as site-7-*.")
@click.option("--expires", help="Such as 90d, 12h, 1y; or never. Default: 365d; with --beat never.")
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
    """Create a token and print it.

    With --beat it is a key for one monitor. Only a record of it is stored, so it cannot be printed again.
    """
    from kener_async.ops import tokens

    if beat:
        tag = _beat_tag(config, scopes, tags)
        click.echo(
            tokens.create_beat_key(config, tag if name is None else name, tag, _lifetime(expires or "never"))
        )
        return
    if name is None:
        raise click.UsageError("Missing option '--name'.")
    click.echo(tokens.create(config, name, scopes, tags, _lifetime(expires or "365d")))


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
@configured
def list_tokens(config: Config, as_json: bool) -> None:
    """List all tokens."""
    from kener_async.ops import tokens

    records = tokens.stored(config)
    if as_json:
        click.echo(json.dumps([_as_json(record) for record in records], indent=2))
        return
    for record in records:
        click.echo(
            f"{record.id}  {tokens.state(record, system_clock()):8}  {record.name}  "
            f"{' '.join(record.scopes) if record.digest is None else 'beat'}  "
            f"tags: {' '.join(record.tags) if record.tags else 'all'}"
        )


def _as_json(record: "Token") -> dict[str, Any]:
    fields = asdict(record)
    is_beat = fields.pop("digest") is not None
    return fields | {"beat": is_beat}


@token.command()
@click.argument("token_id")
@configured
def revoke(config: Config, token_id: str) -> None:
    """Revoke a token by its ID.

    It is refused at once, also while the service runs.
    """
    from kener_async.ops import tokens

    tokens.revoke(config, token_id)
    message(f"revoked {token_id}")


COMMANDS = (token,)
