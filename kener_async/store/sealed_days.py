"""Sealed days: one row for each monitor and UTC day, with all of its samples packed (store/packing.py).

Functions take the instant before which days are sealed (`SealState.hot_from`).
"""

import json
import struct
from collections.abc import Iterable, Iterator, Sequence

from kener_async.domain.calendar import DAY, MINUTE, utc_day_of
from kener_async.domain.samples import Sample
from kener_async.store import packing
from kener_async.store.interface import Session
from kener_async.store.packing import DamagedDay
from kener_async.store.sample_rows import Key, Row, sample_of


def rows(session: Session, monitors: Sequence[int], start: int, end: int) -> Iterator[Row]:
    """The rows of monitors in the minutes of `[start, end)`, by monitor, oldest first; raises DamagedDay."""
    if start >= end:
        return
    for monitor, day, packed in session.execute(
        """
        SELECT monitor_id, day, packed FROM sealed
         WHERE monitor_id IN (SELECT value FROM json_each(?)) AND day >= ? AND day < ?
         ORDER BY monitor_id, day
        """,
        (json.dumps(monitors), utc_day_of(start), end),
    ):
        yield from _unpacked(monitor, day, packed, start, end)


def at(session: Session, keys: Iterable[Key]) -> dict[Key, Sample]:
    """The samples stored for these keys; raises DamagedDay."""
    wanted: dict[Key, set[Key]] = {}
    for monitor, minute in keys:
        wanted.setdefault((monitor, utc_day_of(minute)), set()).add((monitor, minute))
    found: dict[Key, Sample] = {}
    for monitor, day, packed in session.execute(
        """
        WITH wanted (monitor, moment) AS (SELECT value ->> 0, value ->> 1 FROM json_each(?))
        SELECT monitor_id, day, packed
          FROM wanted CROSS JOIN sealed ON monitor_id = monitor AND day = moment
        """,
        (json.dumps(list(wanted)),),
    ):
        some = wanted[monitor, day]
        first, last = min(some)[1], max(some)[1] + MINUTE
        found.update(
            (row[:2], sample_of(row))
            for row in _unpacked(monitor, day, packed, first, last)
            if row[:2] in some
        )
    return found


def minutes(session: Session, monitor: int, start: int, end: int) -> list[int]:
    """The minutes of `[start, end)` of which a monitor has samples, in order; raises DamagedDay."""
    return [
        day + MINUTE * place
        for day, packed in session.execute(
            "SELECT day, packed FROM sealed WHERE monitor_id = ? AND day >= ? AND day < ? ORDER BY day",
            (monitor, utc_day_of(start), end),
        )
        for place in packing.places(_presence(monitor, day, packed))
        if start <= day + MINUTE * place < end
    ]


def newest_before(session: Session, monitors: Sequence[int], instant: int) -> dict[int, Sample]:
    """The newest sample of a minute before the instant, by monitor; raises DamagedDay."""
    found: dict[int, Sample] = {}
    for monitor, day, packed, minute in _newest(session, monitors, instant):
        (row,) = _unpacked(monitor, day, packed, minute, minute + MINUTE)
        found[monitor] = sample_of(row)
    return found


def newest_minutes(session: Session, monitors: Sequence[int], instant: int) -> dict[int, int]:
    """The minutes of what `newest_before` finds, in a fraction of its time; raises DamagedDay."""
    return {monitor: minute for monitor, _, _, minute in _newest(session, monitors, instant)}


def _newest(session: Session, monitors: Sequence[int], instant: int) -> Iterator[tuple[int, int, bytes, int]]:
    """Monitor, day, packed day and minute of the newest samples before the instant."""
    wanted = {monitor: utc_day_of(instant - 1) for monitor in monitors}
    # In the second round those whose samples of that day are all later.
    while wanted:
        rows = session.execute(
            """
            WITH wanted (monitor, moment) AS (SELECT value ->> 0, value ->> 1 FROM json_each(?))
            SELECT monitor_id, day, packed
              FROM wanted
             CROSS JOIN sealed ON monitor_id = monitor
               AND day = (SELECT max(day) FROM sealed WHERE monitor_id = monitor AND day <= moment)
            """,
            (json.dumps(list(wanted.items())),),
        ).fetchall()
        wanted = {}
        for monitor, day, packed in rows:
            place = packing.before(_presence(monitor, day, packed), -(-(instant - day) // MINUTE))
            if place is None:
                wanted[monitor] = day - DAY
            else:
                yield monitor, day, packed, day + MINUTE * place


def following(session: Session, keys: Iterable[Key], hot_from: int) -> dict[Key, int]:
    """The minute of the next sample after each (monitor, minute) that has one here; raises DamagedDay."""
    found: dict[Key, int] = {}
    wanted = [(monitor, after, utc_day_of(after + MINUTE)) for monitor, after in keys]
    # In the second round those after which that day has no more samples.
    while wanted:
        rows = session.execute(
            """
            WITH wanted (monitor, after, begin) AS (
                SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?))
            SELECT monitor, after, day, packed
              FROM wanted
             CROSS JOIN sealed ON monitor_id = monitor
               AND day = (SELECT min(day) FROM sealed WHERE monitor_id = monitor AND day >= begin)
             WHERE day < ?
            """,
            (json.dumps(wanted), hot_from),
        ).fetchall()
        wanted = []
        for monitor, after, day, packed in rows:
            place = packing.after(_presence(monitor, day, packed), (after - day) // MINUTE)
            if place is None:
                wanted.append((monitor, after, day + DAY))
            else:
                found[monitor, after] = day + MINUTE * place
    return found


def days(session: Session, monitor: int) -> list[int]:
    """The days of which a monitor has a row, in order."""
    rows = session.execute("SELECT day FROM sealed WHERE monitor_id = ? ORDER BY day", (monitor,))
    return [day for (day,) in rows]


def merge(session: Session, monitor: int, day: int, rows: Iterable[Row]) -> None:
    """Store rows of a monitor and day, at least one, in place of any of the same minutes.

    Raises DamagedDay, and ValueError for rows that cannot be packed.
    """
    stored = session.execute(
        "SELECT packed FROM sealed WHERE monitor_id = ? AND day = ?", (monitor, day)
    ).fetchone()
    by_minute = {}
    if stored is not None:
        by_minute = {row[1]: row for row in _unpacked(monitor, day, stored[0], day, day + DAY)}
    by_minute.update((row[1], row) for row in rows)
    try:
        packed = packing.pack(
            [((minute - day) // MINUTE, *by_minute[minute][2:]) for minute in sorted(by_minute)]
        )
    except (ValueError, TypeError, struct.error) as error:
        raise ValueError(f"the day {day} of monitor {monitor} cannot be sealed: {error}") from error
    session.execute(
        """
        INSERT INTO sealed (monitor_id, day, packed) VALUES (?, ?, ?)
            ON CONFLICT (monitor_id, day) DO UPDATE SET packed = excluded.packed
        """,
        (monitor, day, packed),
    )


def delete_before(session: Session, monitor: int, instant: int, limit: int) -> int:
    """Delete up to `limit` days of a monitor that are over at an instant, oldest first; how many."""
    return session.execute(
        """
        DELETE FROM sealed
         WHERE monitor_id = :monitor
           AND day IN (SELECT day FROM sealed
                        WHERE monitor_id = :monitor AND day <= :last ORDER BY day LIMIT :limit)
        """,
        {"monitor": monitor, "last": instant - DAY, "limit": limit},
    ).rowcount


def all_presences(session: Session, hot_from: int) -> Iterator[tuple[int, int, int]]:
    """Monitor, day and presence (packing.presence) of all days that are sealed; raises DamagedDay."""
    rows = session.execute("SELECT monitor_id, day, packed FROM sealed WHERE day < ?", (hot_from,))
    for monitor, day, packed in rows:
        yield monitor, day, _presence(monitor, day, packed)


def _presence(monitor: int, day: int, packed: bytes) -> int:
    try:
        return packing.presence(packed)
    except DamagedDay as error:
        raise _damaged(monitor, day, error) from error


def _unpacked(monitor: int, day: int, packed: bytes, start: int, end: int) -> list[Row]:
    """The rows of a day that lie in `[start, end)`."""
    try:
        found = packing.unpack(packed, (start - day) // MINUTE, -(-(end - day) // MINUTE))
    except DamagedDay as error:
        raise _damaged(monitor, day, error) from error
    return [
        (monitor, day + MINUTE * place, status, source, latency) for place, status, source, latency in found
    ]


def _damaged(monitor: int, day: int, error: DamagedDay) -> DamagedDay:
    return DamagedDay(f"the sealed day {day} of monitor {monitor} is damaged: {error}")
