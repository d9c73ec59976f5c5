"""The command that lists the audit log."""

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import click

from kener_async.cli.common import aligned, message, on_database
from kener_async.config.model import Config
from kener_async.ops.installation import require_database

if TYPE_CHECKING:
    from kener_async.store.audit import ChainEnd

DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--actor", help="Only of this actor, such as person:ada, or person.")
@click.option("--act", help="Only this act, such as incident.open, or incident.")
@click.option("--thing", help='Only about this thing, such as "incident 7", or incident.')
@click.option("--from", "first", type=DAY, help="Only from this day (UTC) on.")
@click.option("--until", "last", type=DAY, help="Only up to this day (UTC).")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, at most.")
@click.option("--json", "as_json", is_flag=True, help="As JSON Lines, with before and after.")
@on_database
def audit(
    config: Config,
    actor: str | None,
    act: str | None,
    thing: str | None,
    first: datetime | None,
    last: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List who changed what, newest first.

    The service may be running. The end of the log is printed to standard error: noted elsewhere, it lets
    `verify --audit-end` find that rows were cut off.
    """
    from kener_async.ops import audit
    from kener_async.store.audit import AuditSearch, document

    require_database(config)
    end = None if last is None else _instant(last.date() + timedelta(days=1))
    start = None if first is None else _instant(first.date())
    rows, chain_end = audit.found(config, AuditSearch(actor, act, thing, start, end), limit)
    if as_json:
        for row in rows:
            click.echo(json.dumps(document(row), ensure_ascii=False))
    else:
        for line in aligned(list(audit.table(rows))):
            click.echo(line)
    message(f"the end of the audit log is {chain_end}")


def _instant(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def noted_end(text: str) -> "ChainEnd":
    """The end of the audit log that an operator noted; raises BadParameter."""
    from kener_async.store.audit import ChainEnd

    try:
        return ChainEnd.of(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--audit-end") from None


COMMANDS = (audit,)
