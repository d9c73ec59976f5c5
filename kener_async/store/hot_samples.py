"""Samples of the last days, in a table ordered by minute: all that arrives lands on the same few pages.

Functions take the instant from which on the table counts (`SealState.hot_from`): rows before it are sealed
already, and are being deleted. One monitor is read by looking up each minute that any has a sample of.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from kener_async.domain.calendar import LAST_INSTANT, minute_of, utc_day_of
from kener_async.domain.samples import Sample
from kener_async.store import sample_rows
from kener_async.store.interface import Session
from kener_async.store.sample_rows import Key, Row, sample_of


def put(session: Session, rows: Sequence[Row]) -> None:
    """Store rows, replacing any of the same minutes."""
    sample_rows.insert(session, "samples", sorted(rows, key=_by_minute))  # in the order of the primary key


def _by_minute(row: Row) -> tuple[int, int]:
    return row[1], row[0]


def at(session: Session, keys: Sequence[Key]) -> dict[Key, Sample]:
    """The samples stored for these keys."""
    return sample_rows.look_up(session, "samples", keys)


_MINUTES = """
    WITH RECURSIVE minutes (moment) AS (
        SELECT min(minute) FROM samples WHERE minute >= :start AND minute < :end
         UNION ALL
        SELECT (SELECT min(minute) FROM samples WHERE minute > moment AND minute < :end)
          FROM minutes WHERE moment IS NOT NULL)
"""


def rows(session: Session, monitors: Sequence[int], start: int, end: int) -> Sequence[Row]:
    """The rows of monitors in the minutes of `[start, end)`, oldest first."""
    if start >= end:
        return ()
    return session.execute(
        f"""
        {_MINUTES}
        SELECT monitor_id, minute, status, source, latency
          FROM minutes
         CROSS JOIN (SELECT value AS monitor FROM json_each(:monitors))
         CROSS JOIN samples ON minute = moment AND monitor_id = monitor
        """,  # noqa: S608 - text of ours
        {"monitors": json.dumps(monitors), "start": start, "end": end},
    ).fetchall()


def rows_between(session: Session, monitors: tuple[int, int], start: int, end: int) -> Iterable[Row]:
    """The rows of the monitors from one id to another in the minutes of `[start, end)`, oldest first.

    In a fraction of the time of `rows`: the rows of neighbours are side by side.
    """
    return session.execute(
        f"""
        {_MINUTES}
        SELECT monitor_id, minute, status, source, latency
          FROM minutes CROSS JOIN samples ON minute = moment AND monitor_id BETWEEN :first AND :last
        """,  # noqa: S608 - text of ours
        {"first": monitors[0], "last": monitors[1], "start": start, "end": end},
    )


def minutes(session: Session, monitor: int, start: int, end: int) -> list[int]:
    """The minutes of `[start, end)` of which a monitor has samples, in order."""
    return [row[1] for row in rows(session, [monitor], start, end)]


def newest_before(
    session: Session, monitors: Sequence[int], instant: int, hot_from: int
) -> dict[int, Sample]:
    """The newest sample of a minute before the instant, by monitor; looked for backwards from `newest`."""
    last = minute_of(instant - 1)
    if last < hot_from:
        return {}
    rows = session.execute(
        """
        WITH RECURSIVE walk (monitor, moment) AS (
            SELECT id, min(newest, :last)
              FROM monitors
             WHERE id IN (SELECT value FROM json_each(:monitors)) AND newest >= :hot_from
             UNION ALL
            SELECT monitor, (SELECT max(minute) FROM samples WHERE minute < moment AND minute >= :hot_from)
              FROM walk
             WHERE moment IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM samples WHERE minute = moment AND monitor_id = monitor))
        SELECT monitor_id, minute, status, source, latency
          FROM walk CROSS JOIN samples ON minute = moment AND monitor_id = monitor
        """,
        {"monitors": json.dumps(monitors), "last": last, "hot_from": hot_from},
    )
    return {row[0]: sample_of(row) for row in rows}


def following(session: Session, keys: Sequence[Key], hot_from: int) -> Mapping[Key, int]:
    """The minute of the next sample after each (monitor, minute) that has one here."""
    rows = session.execute(
        """
        WITH RECURSIVE wanted (monitor, after) AS (SELECT value ->> 0, value ->> 1 FROM json_each(:keys)),
        walk (monitor, after, newest, moment) AS (
            SELECT monitor, after, newest,
                   (SELECT min(minute) FROM samples WHERE minute >= max(after + 60, :hot_from))
              FROM wanted JOIN monitors ON id = monitor
             WHERE newest > after AND newest >= :hot_from
             UNION ALL
            SELECT monitor, after, newest, (SELECT min(minute) FROM samples WHERE minute > moment)
              FROM walk
             WHERE moment < newest
               AND NOT EXISTS (SELECT 1 FROM samples WHERE minute = moment AND monitor_id = monitor))
        SELECT monitor, after, moment
          FROM walk CROSS JOIN samples ON minute = moment AND monitor_id = monitor
        """,
        {"keys": json.dumps(keys), "hot_from": hot_from},
    )
    return {(monitor, after): moment for monitor, after, moment in rows}


def days(session: Session, monitor: int, hot_from: int) -> set[int]:
    """The UTC days of which a monitor has rows."""
    return {utc_day_of(minute) for minute in minutes(session, monitor, hot_from, LAST_INSTANT + 1)}


def first_minute(session: Session) -> int | None:
    """The first minute that any monitor has a row of; None: there are no rows."""
    (minute,) = session.execute("SELECT min(minute) FROM samples").fetchone()
    return None if minute is None else int(minute)


def delete_before(session: Session, end: int, limit: int) -> bool:
    """Delete rows of minutes before `end`, oldest first: at most `limit` and those of one minute more.

    Returns whether there were any.
    """
    first = first_minute(session)
    if first is None or first >= end:
        return False
    (until,) = session.execute(
        "SELECT minute FROM samples WHERE minute < ? ORDER BY minute LIMIT 1 OFFSET ?", (end, limit)
    ).fetchone() or (end,)
    session.execute("DELETE FROM samples WHERE minute < ?", (max(until, first + 60),))
    return True


def count_from(session: Session, hot_from: int) -> int:
    """The number of rows from an instant on."""
    (count,) = session.execute("SELECT count(*) FROM samples WHERE minute >= ?", (hot_from,)).fetchone()
    return int(count)
