"""Read the audit log, while a server may be running on the database."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from kener_async.config.model import Config
from kener_async.store import audit
from kener_async.store.audit import AuditRow, AuditSearch, ChainEnd
from kener_async.store.interface import Session
from kener_async.store.sqlite import transactions

HEADS = ("number", "time", "actor", "from", "act", "thing")


def found(config: Config, criteria: AuditSearch, limit: int) -> tuple[list[AuditRow], ChainEnd]:
    """The newest rows that match, newest first, and the end of the chain; raises FatalError."""
    return transactions.read(config.database.path, _found, criteria, limit)


def _found(session: Session, criteria: AuditSearch, limit: int) -> tuple[list[AuditRow], ChainEnd]:
    return audit.search(session, criteria, limit), audit.end_of(session)


def table(rows: Sequence[AuditRow]) -> Iterator[tuple[str, ...]]:
    """The rows of the table, its heading first."""
    yield HEADS
    for row in rows:
        time = f"{datetime.fromtimestamp(row.at, UTC):%Y-%m-%d %H:%M:%S}"
        yield str(row.id), time, row.actor, row.network or "-", row.act, row.thing
