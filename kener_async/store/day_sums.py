"""The sums of whole days, stored so that what looks far back need not add up each quarter.

A day is a span `[start, end)` of whole quarters, a civil day of the site's time zone. Its row is the sum of
its quarters. It is deleted in the transaction that changes one of them (store/quarters.py), and stored again
by a job (worker/day_sums.py): so a row that exists is right, and one that lacks costs time only.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from time import perf_counter
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import DAY, QUARTER, days_between, quarter_of
from kener_async.domain.uptime import NOTHING, Counts, minute_counts
from kener_async.store import dirty, quarters
from kener_async.store.dirty import Span
from kener_async.store.interface import Session
from kener_async.store.observer import kept_from

DAYS_AT_ONCE = 32  # summed in one step


def load(session: Session, monitor: int, start: int, end: int) -> dict[Span, Counts]:
    """The stored sums of the days within `[start, end)`, oldest first."""
    rows = session.execute(
        f"""
        SELECT start, "end", {quarters.PLAIN_COUNTS} FROM days
         WHERE monitor_id = ? AND start >= ? AND start < ? AND "end" <= ? ORDER BY start
        """,  # noqa: S608
        (monitor, start, end, end),
    )
    return {(first, last): Counts(*counts) for first, last, *counts in rows}


def load_minutes(session: Session, monitor: int, start: int, end: int) -> dict[Span, Counts]:
    """As `load`, without latencies."""
    rows = session.execute(
        f"""
        SELECT start, "end", {quarters.MINUTES} FROM days
         WHERE monitor_id = ? AND start >= ? AND start < ? AND "end" <= ? ORDER BY start
        """,  # noqa: S608
        (monitor, start, end, end),
    )
    return {(first, last): minute_counts(*counts) for first, last, *counts in rows}


def total(session: Session, monitor: int, start: int, end: int) -> Counts:
    """The sum of the stored counts of the quarters of `[start, end)`, by whole days where they are stored."""
    counts, summed_until = NOTHING, start
    days = load(session, monitor, start, end) if end - start > DAY else {}
    for (first, last), day in days.items():
        if first < summed_until:
            continue  # it overlaps the one before, because it is a day of another zone
        if summed_until < first:
            counts += quarters.total(session, monitor, summed_until, first)
        counts += day
        summed_until = last
    return counts + quarters.total(session, monitor, summed_until, end) if summed_until < end else counts


def lacking(session: Session, monitors: Iterable[int], zone: ZoneInfo, now: int) -> list[int]:
    """Those of the monitors of which a day that is over and counted has no sum."""
    days = _days(session, zone, now)
    return [monitor for monitor in monitors if any(_lacking(session, monitor, days))]


def store_for(
    session: Session, seconds: float, monitors: Sequence[int], zone: ZoneInfo, now: int
) -> list[int]:
    """Store the sums that lack, until none does or the time is up; the monitors that are left."""
    days = _days(session, zone, now)
    left, until = list(monitors), perf_counter() + seconds
    while left and perf_counter() < until:
        monitor = left[-1]
        some = [*_lacking(session, monitor, days)][:DAYS_AT_ONCE]
        session.executemany(
            f"""
            INSERT INTO days (monitor_id, start, "end", {quarters.COUNTS}) VALUES (?, ?, ?, {quarters.VALUES})
            """,  # noqa: S608
            [(monitor, *day, *quarters.row(quarters.total(session, monitor, *day))) for day in some],
        )
        if len(some) < DAYS_AT_ONCE:
            left.pop()
    return left


def _days(session: Session, zone: ZoneInfo, now: int) -> Sequence[Span]:
    """The whole days of a zone that are kept and over, oldest first."""
    return _days_within(kept_from(session), min(quarter_of(now), dirty.rolled_until(session)), zone)


@lru_cache(maxsize=4)
def _days_within(start: int, end: int, zone: ZoneInfo) -> Sequence[Span]:
    days = [(first, last) for _, first, last in days_between(start, end, zone)]
    return [
        (first, last)
        for first, last in days
        if start <= first < last <= end
        and last - first <= quarters.LONGEST_DAY
        and first % QUARTER == last % QUARTER == 0  # not so before the zones had standard time
    ]


def _lacking(session: Session, monitor: int, days: Sequence[Span]) -> Iterator[Span]:
    """Those of the days that have no sum but could have one; those before the first quarter need none."""
    first = quarters.first(session, monitor)
    if first is None or not days:
        return
    rows = session.execute('SELECT start, "end" FROM days WHERE monitor_id = ?', (monitor,))
    stored = {(start, end) for start, end in rows}
    marked = dirty.spans(session, monitor, days[0][0], days[-1][1])
    for start, end in days:
        if end <= first or (start, end) in stored:
            continue
        place = bisect_left(marked, (end, end))  # the marks before it begin before the end of the day
        if place == 0 or marked[place - 1][1] <= start:
            yield start, end
