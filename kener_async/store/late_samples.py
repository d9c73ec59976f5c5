"""Samples of minutes that are sealed, or are being sealed, until they are merged into their days."""

import json
from collections.abc import Mapping, Sequence

from kener_async.domain.calendar import DAY, MINUTE, utc_day_of
from kener_async.domain.samples import Sample
from kener_async.store import sample_rows
from kener_async.store.interface import Session
from kener_async.store.sample_rows import Key, Row, sample_of

COLUMNS = "monitor_id, minute, status, source, latency"


def put(session: Session, rows: Sequence[Row]) -> None:
    """Store rows, replacing any of the same minutes."""
    sample_rows.insert(session, "late_samples", sorted(rows))


def at(session: Session, keys: Sequence[Key]) -> dict[Key, Sample]:
    """The samples stored for these keys."""
    return sample_rows.look_up(session, "late_samples", keys)


def rows(session: Session, monitors: Sequence[int], start: int, end: int) -> Sequence[Row]:
    """The rows of monitors in the minutes of `[start, end)`, by monitor, oldest first."""
    if start >= end:
        return ()
    return session.execute(
        f"""
        SELECT {COLUMNS} FROM late_samples
         WHERE monitor_id IN (SELECT value FROM json_each(?)) AND minute >= ? AND minute < ?
         ORDER BY monitor_id, minute
        """,  # noqa: S608 - names of ours
        (json.dumps(monitors), start, end),
    ).fetchall()


def newest_before(session: Session, monitors: Sequence[int], instant: int) -> dict[int, Sample]:
    """The newest sample of a minute before the instant, by monitor."""
    found = session.execute(
        f"""
        WITH wanted (monitor) AS (SELECT value FROM json_each(?))
        SELECT {COLUMNS}
          FROM wanted
         CROSS JOIN late_samples ON monitor_id = monitor
           AND minute = (SELECT max(minute) FROM late_samples WHERE monitor_id = monitor AND minute < ?)
        """,  # noqa: S608 - names of ours
        (json.dumps(monitors), instant),
    )
    return {row[0]: sample_of(row) for row in found}


def following(session: Session, keys: Sequence[Key]) -> Mapping[Key, int]:
    """The minute of the next sample after each (monitor, minute) that has one here."""
    found = session.execute(
        """
        WITH wanted (monitor, after) AS (SELECT value ->> 0, value ->> 1 FROM json_each(?))
        SELECT monitor, after,
               (SELECT min(minute) FROM late_samples WHERE monitor_id = monitor AND minute > after)
          FROM wanted
        """,
        (json.dumps(keys),),
    )
    return {(monitor, after): minute for monitor, after, minute in found if minute is not None}


def places(session: Session) -> dict[Key, int]:
    """The minutes of which there are rows, by monitor and UTC day, as bits (store/packing.py)."""
    found: dict[Key, int] = {}
    for monitor, minute in session.execute("SELECT monitor_id, minute FROM late_samples"):
        day = utc_day_of(minute)
        found[monitor, day] = found.get((monitor, day), 0) | 1 << (minute - day) // MINUTE
    return found


def first_day(session: Session, before: int, monitor: int = 0) -> tuple[int, int] | None:
    """The first monitor from one on with rows of before an instant, and their first day; None: none has."""
    while True:
        row = session.execute(
            """
            SELECT monitor_id, minute FROM late_samples
             WHERE monitor_id >= ? ORDER BY monitor_id, minute LIMIT 1
            """,
            (monitor,),
        ).fetchone()
        if row is None:
            return None
        found, minute = row
        if minute < before:
            return found, utc_day_of(minute)
        monitor = found + 1


def delete_day(session: Session, monitor: int, day: int) -> None:
    """Delete the rows of a monitor in a UTC day."""
    session.execute(
        "DELETE FROM late_samples WHERE monitor_id = ? AND minute >= ? AND minute < ?",
        (monitor, day, day + DAY),
    )


def delete_before(session: Session, monitor: int, instant: int, limit: int) -> int:
    """Delete up to `limit` rows of a monitor of minutes before an instant, oldest first; how many."""
    return session.execute(
        """
        DELETE FROM late_samples
         WHERE monitor_id = :monitor
           AND minute IN (SELECT minute FROM late_samples
                           WHERE monitor_id = :monitor AND minute < :instant ORDER BY minute LIMIT :limit)
        """,
        {"monitor": monitor, "instant": instant, "limit": limit},
    ).rowcount


def days(session: Session, monitor: int) -> set[int]:
    """The UTC days of which a monitor has rows."""
    found = session.execute(
        "SELECT DISTINCT minute - minute % 86400 FROM late_samples WHERE monitor_id = ?", (monitor,)
    )
    return {day for (day,) in found}
