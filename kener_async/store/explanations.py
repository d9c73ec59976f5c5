"""Why minutes do not count: every minute of a window that is on neither side of its uptime."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kener_async.domain.calendar import DAY, MINUTE, QUARTER, quarter_from, quarter_of
from kener_async.domain.samples import Status
from kener_async.domain.timeline import Reason, Run, runs
from kener_async.store import layers, rollups
from kener_async.store.dirty import Span

EXCLUDED = (Status.MAINTENANCE, Status.NO_DATA)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Minutes left out for one reason, the first at `start`, the last ending at `end`."""

    status: Status
    reason: Reason
    incident: int | None
    minutes: int
    start: int
    end: int


def excluded(connection: sqlite3.Connection, monitor: int, window: Span, now: int) -> list[Exclusion]:
    """The excluded minutes of a window by reason, oldest first; the window's counts must be settled."""
    found: dict[tuple[Status, Reason, int | None], Exclusion] = {}
    for start, end in _incomplete(connection, monitor, window, now):
        known = layers.load(connection, monitor, start, min(end, now + 1))
        for run in _clipped(runs(known, start, end), window):
            key = (run.status, run.reason, run.incident)
            before = found.get(key)
            minutes = (run.end - run.start) // MINUTE
            if before is None:
                found[key] = Exclusion(*key, minutes, run.start, run.end)
            else:
                found[key] = Exclusion(*key, before.minutes + minutes, before.start, run.end)
    return sorted(found.values(), key=lambda exclusion: exclusion.start)


def _incomplete(connection: sqlite3.Connection, monitor: int, window: Span, now: int) -> Iterator[Span]:
    """The parts of a window, at most a day each, in which some minute may be excluded.

    A whole quarter whose minutes all count needs no look at its minutes.
    """
    first, last = quarter_from(window[0]), min(quarter_of(window[1]), quarter_of(now))
    counted = rollups.by_quarter(connection, monitor, first, last)
    start, end = window[0], window[0]
    for quarter in range(quarter_of(window[0]), window[1], QUARTER):
        begin, until = max(quarter, window[0]), min(quarter + QUARTER, window[1])
        full = quarter in counted and counted[quarter].counted * MINUTE == QUARTER
        if full or end - start >= DAY:
            if start < end:
                yield start, end
            start = until if full else begin
        end = until
    if start < end:
        yield start, end


def _clipped(timeline: Iterable[Run], window: Span) -> Iterator[Run]:
    return (run for run in timeline if run.status in EXCLUDED and run.start < window[1])
