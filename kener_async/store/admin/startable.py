"""Whether a service can start on a database: its schema, and what a start reads."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from kener_async.errors import FatalError
from kener_async.store import (
    alerts,
    audit,
    channel_states,
    deliveries,
    managed,
    monitors,
    observer,
    people,
    states,
    tokens,
)
from kener_async.store.sqlite import files, migrations
from kener_async.store.sqlite.connections import connect

Columns = Mapping[str, frozenset[tuple[str, str]]]  # names and types by table


class NotStartable(FatalError):
    """A service could not start on the database; the text says why."""


def require(database: Path, scratch: Path) -> None:
    """Raise NotStartable unless a service can start on the database, which is only read.

    An older schema is upgraded in a copy in the scratch folder. Raises ValueError for a file of another
    program or of a newer version, NotEnoughSpace, and sqlite3.Error.
    """
    with closing(connect(database, read_only=True)) as connection:
        if not migrations.lacking(connection):
            _require(connection)
            return
        trial = scratch / "trial.db"
        files.copy(connection, trial)
    with closing(connect(trial)) as connection:
        try:
            migrations.migrate(connection)
        except sqlite3.Error as error:
            raise NotStartable(f"its upgrade to the current schema fails: {error}") from error
        _require(connection)
    trial.unlink()


def _require(connection: sqlite3.Connection) -> None:
    for fault in _schema_faults(connection):
        raise NotStartable(fault)
    try:
        _read_as_a_start_does(connection)
    except (sqlite3.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotStartable(f"a service cannot read it: {error!r}") from error


def _schema_faults(connection: sqlite3.Connection) -> Iterator[str]:
    """What the tables lack; what they have more does no harm."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
        migrations.migrate(new)
        expected = _columns(new)
    found = _columns(connection)
    for table, columns in expected.items():
        if table not in found:
            yield f"lacks the table {table}"
        for name, kind in sorted(columns - found.get(table, columns)):
            yield f"lacks the column {name} ({kind}) of {table}"


def _columns(connection: sqlite3.Connection) -> Columns:
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    return {
        table: frozenset(
            connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall()
        )
        for (table,) in names
    }


def _read_as_a_start_does(connection: sqlite3.Connection) -> None:
    tokens.all_tokens(connection)
    monitors.last_heard(connection)
    alerts.all_open(connection)
    deliveries.waiting(connection)
    channel_states.all_states(connection)
    managed.everything(connection)
    people.all_people(connection)
    audit.end_of(connection)
    if not observer.has_begun(connection):
        return  # no server has run on it, so nothing was counted
    observer.kept_from(connection)
    now = observer.last_seen(connection)
    for tag, monitor in connection.execute("SELECT tag, id FROM monitors").fetchall():
        states.load(connection, monitor, tag, now)
