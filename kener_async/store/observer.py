"""What the server knows of its own absences."""

import sqlite3
from collections.abc import Sequence

from kener_async.domain.calendar import quarter_of
from kener_async.domain.heartbeats import Gap
from kener_async.store import dirty


def begin(connection: sqlite3.Connection, now: int, retention: int) -> None:
    """The service row of a new database; nothing is counted before it, save what is reported later."""
    connection.execute(
        """
        INSERT INTO service (id, last_seen, rolled_until, kept_from) VALUES (1, ?, ?, ?)
            ON CONFLICT (id) DO NOTHING
        """,
        (now, quarter_of(now), quarter_of(now - retention)),
    )


def seen(connection: sqlite3.Connection, gaps: Sequence[Gap], now: int) -> None:
    """Note that the server observes now, and the gaps before.

    A gap's quarters, and those its end excuses, are marked for every monitor.
    """
    for gap in gaps:
        connection.execute('INSERT INTO gaps (start, "end") VALUES (?, ?)', (gap.start, gap.end))
        dirty.mark_span(connection, _everyone(connection), gap.start, None)
    connection.execute("UPDATE service SET last_seen = ?", (now,))


def last_seen(connection: sqlite3.Connection) -> int:
    (instant,) = connection.execute("SELECT last_seen FROM service").fetchone()
    return int(instant)


def rewind(connection: sqlite3.Connection, now: int, retention: int) -> None:
    """Take back what was noted of instants after now, when the clock has been set back.

    Samples stay: devices made them. Quarters from now on will be counted again when they have passed.
    """
    connection.execute("DELETE FROM gaps WHERE start >= ?", (now,))
    connection.execute('UPDATE gaps SET "end" = ? WHERE "end" > ?', (now, now))
    connection.execute("DELETE FROM settings WHERE since > ?", (now,))
    connection.execute("DELETE FROM quarters WHERE quarter >= ?", (quarter_of(now),))
    dropped_until = kept_from(connection)
    connection.execute(
        """
        UPDATE service
           SET last_seen = ?, rolled_until = min(rolled_until, ?), kept_from = min(kept_from, ?)
        """,
        (now, quarter_of(now), quarter_of(now - retention)),
    )
    dirty.mark_span(connection, _everyone(connection), kept_from(connection), dropped_until)


def last_gap_end(connection: sqlite3.Connection) -> int | None:
    (instant,) = connection.execute('SELECT max("end") FROM gaps').fetchone()
    return None if instant is None else int(instant)


def kept_from(connection: sqlite3.Connection) -> int:
    """The instant before which samples and quarters have been dropped."""
    (instant,) = connection.execute("SELECT kept_from FROM service").fetchone()
    return int(instant)


def _everyone(connection: sqlite3.Connection) -> list[int]:
    return [monitor for (monitor,) in connection.execute("SELECT id FROM monitors")]
