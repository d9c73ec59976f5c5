"""The stored counts of quarter-hours, and their sums.

Every change of the table goes through here, because it must forget the sums of days that are made of these
quarters (store/day_sums.py) in the same transaction.
"""

import json
from collections.abc import Mapping, Sequence

from kener_async.domain.calendar import DAY
from kener_async.domain.uptime import Counts, minute_counts
from kener_async.store.interface import Session
from kener_async.store.sample_rows import packed_latency

MINUTES = "up, degraded, degraded_as_downtime, down, maintenance"
COUNTS = f"{MINUTES}, latency_count, latency_sum, latency_min, latency_max"
VALUES = ", ".join("?" * 9)
# Latencies are stored as those of samples are: INTEGER millionths, or REAL.
LATENCIES = [
    f"iif(typeof({name}) = 'integer', {name} / 1e6, {name})"
    for name in ("latency_sum", "latency_min", "latency_max")
]
PLAIN_COUNTS = f"{MINUTES}, latency_count, {', '.join(LATENCIES)}"
SUMS_OF_MINUTES = ", ".join(f"coalesce(sum({name}), 0)" for name in MINUTES.split(", "))
SUMS = f"""
    {SUMS_OF_MINUTES}, coalesce(sum(latency_count), 0),
    coalesce(sum({LATENCIES[0]}), 0.0), min({LATENCIES[1]}), max({LATENCIES[2]})
"""

LONGEST_DAY = 2 * DAY  # no sum is kept of a longer one; a zone that repeated a date had one of 47 hours


def total(session: Session, monitor: int, start: int, end: int) -> Counts:
    """The sum of the stored counts of the quarters of `[start, end)`."""
    row = session.execute(
        f"SELECT {SUMS} FROM quarters WHERE monitor_id = ? AND quarter >= ? AND quarter < ?",  # noqa: S608
        (monitor, start, end),
    ).fetchone()
    return Counts(*row)


def total_of_minutes(session: Session, monitor: int, start: int, end: int) -> Counts:
    """As `total`, without latencies, which takes half the time."""
    row = session.execute(
        f"SELECT {SUMS_OF_MINUTES} FROM quarters WHERE monitor_id = ? AND quarter >= ? AND quarter < ?",  # noqa: S608
        (monitor, start, end),
    ).fetchone()
    return minute_counts(*row)


def totals(session: Session, monitors: Sequence[int], start: int, end: int) -> dict[int, Counts]:
    """As `total`, of several monitors; those without a quarter are left out."""
    rows = session.execute(
        f"""
        SELECT monitor_id, {SUMS} FROM quarters
         WHERE monitor_id IN (SELECT value FROM json_each(?)) AND quarter >= ? AND quarter < ?
         GROUP BY monitor_id
        """,  # noqa: S608
        (json.dumps(monitors), start, end),
    )
    return {monitor: Counts(*counts) for monitor, *counts in rows}


def by_start(session: Session, monitor: int, start: int, end: int) -> dict[int, Counts]:
    """The stored counts of each quarter of `[start, end)` by its start; one without a row counts nothing."""
    rows = session.execute(
        f"""
        SELECT quarter, {PLAIN_COUNTS} FROM quarters WHERE monitor_id = ? AND quarter >= ? AND quarter < ?
        """,  # noqa: S608
        (monitor, start, end),
    )
    return {quarter: Counts(*counts) for quarter, *counts in rows}


def minutes_by_start(session: Session, monitor: int, starts: Sequence[int]) -> dict[int, Counts]:
    """The stored counts of single quarters by their start, without latencies."""
    rows = session.execute(
        f"""
        SELECT quarter, {MINUTES} FROM quarters
         WHERE monitor_id = ? AND quarter IN ({", ".join("?" * len(starts))})
        """,  # noqa: S608 - only placeholders are joined
        (monitor, *starts),
    )
    return {quarter: minute_counts(*counts) for quarter, *counts in rows}


def first(session: Session, monitor: int) -> int | None:
    """The start of the first stored quarter of a monitor; None: it has none."""
    (quarter,) = session.execute(
        "SELECT min(quarter) FROM quarters WHERE monitor_id = ?", (monitor,)
    ).fetchone()
    return None if quarter is None else int(quarter)


def replace(session: Session, monitor: int, start: int, end: int, counted: Mapping[int, Counts]) -> None:
    """Replace the counts of all quarters of `[start, end)` by these; one that is left out counts nothing."""
    replace_many(session, start, end, {monitor: counted})


def replace_many(session: Session, start: int, end: int, counted: Mapping[int, Mapping[int, Counts]]) -> None:
    """The same for several monitors."""
    monitors = json.dumps(list(counted))
    _forget_days(session, monitors, start, end)
    session.execute(
        """
        DELETE FROM quarters
         WHERE monitor_id IN (SELECT value FROM json_each(?)) AND quarter >= ? AND quarter < ?
        """,
        (monitors, start, end),
    )
    session.executemany(
        f"INSERT INTO quarters (monitor_id, quarter, {COUNTS}) VALUES (?, ?, {VALUES})",  # noqa: S608
        [
            (monitor, quarter, *row(counts))
            for monitor, by_quarter in counted.items()
            for quarter, counts in by_quarter.items()
        ],
    )


def delete_from(session: Session, quarter: int) -> int:
    """Delete the counts of all monitors from a quarter on; returns how many."""
    # For each monitor, because that is how they are found without reading all.
    monitors = "monitor_id IN (SELECT id FROM monitors)"
    session.execute(
        f'DELETE FROM days WHERE {monitors} AND start > ? AND "end" > ?',  # noqa: S608
        (quarter - LONGEST_DAY, quarter),
    )
    return session.execute(
        f"DELETE FROM quarters WHERE {monitors} AND quarter >= ?",  # noqa: S608
        (quarter,),
    ).rowcount


def delete_before(session: Session, monitor: int, quarter: int, limit: int) -> int:
    """Delete up to `limit` counts of a monitor before a quarter, oldest first; returns how many."""
    session.execute("DELETE FROM days WHERE monitor_id = ? AND start < ?", (monitor, quarter))
    return session.execute(
        """
        DELETE FROM quarters
         WHERE monitor_id = :monitor
           AND quarter IN (SELECT quarter FROM quarters
                            WHERE monitor_id = :monitor AND quarter < :quarter
                            ORDER BY quarter LIMIT :limit)
        """,
        {"monitor": monitor, "quarter": quarter, "limit": limit},
    ).rowcount


def _forget_days(session: Session, monitors: str, start: int, end: int) -> None:
    """Delete the sums of the days that overlap `[start, end)`; a small range of the key holds them.

    The monitors are a list in JSON.
    """
    session.execute(
        """
        DELETE FROM days
         WHERE monitor_id IN (SELECT value FROM json_each(?)) AND start > ? AND start < ? AND "end" > ?
        """,
        (monitors, start - LONGEST_DAY, end, start),
    )


def row(counts: Counts) -> Sequence[int | float | None]:
    """The values of COUNTS as stored."""
    latencies = (counts.latency_sum, counts.latency_min, counts.latency_max)
    return (
        counts.up,
        counts.degraded,
        counts.degraded_as_downtime,
        counts.down,
        counts.maintenance,
        counts.latency_count,
        *(None if latency is None else packed_latency(latency) for latency in latencies),
    )
