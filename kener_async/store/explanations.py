"""Explanations of uptimes: the counts of a window, and the minutes it excludes with the reason."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kener_async.domain.calendar import DAY, MINUTE, QUARTER, quarter_from, quarter_of
from kener_async.domain.heartbeats import GapKind
from kener_async.domain.samples import Status
from kener_async.domain.timeline import Layers, Reason, Run, is_in_gap, runs
from kener_async.domain.uptime import Counts
from kener_async.store import dirty, layers, rollups
from kener_async.store.dirty import Span
from kener_async.store.interface import Session

EXCLUDED = (Status.MAINTENANCE, Status.NO_DATA)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """The minutes excluded for one reason; the first is at `start`, the last ends at `end`.

    `gap` is the kind of the observer gap that they lie in, if one is the reason.
    """

    status: Status
    reason: Reason
    incident: int | None
    gap: GapKind | None
    minutes: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """The counts of a window and its excluded minutes, oldest first."""

    window: Span
    counts: Counts
    excluded: Sequence[Exclusion]


def explain(session: Session, monitor: int, windows: Sequence[Span], now: int) -> list[Explanation]:
    """Explain the uptimes of windows whose counts are settled; minutes that windows share are read once."""
    excluded: list[dict[Key, Exclusion]] = [{} for _ in windows]
    widest = (min(start for start, _ in windows), max(end for _, end in windows))
    for span in _incomplete(session, monitor, widest, now):
        timeline = [
            (run, _gap_kind(stored, run))
            for start, end, stored in layers.load_pieces(session, monitor, span, now)
            for run in runs(stored, start, end)
            if run.status in EXCLUDED
        ]
        for window, exclusions in zip(windows, excluded, strict=True):
            _add_runs(exclusions, timeline, window)
    return [
        Explanation(
            window,
            rollups.count_window(session, monitor, window, now),
            sorted(exclusions.values(), key=lambda exclusion: exclusion.start),
        )
        for window, exclusions in zip(windows, excluded, strict=True)
    ]


Key = tuple[Status, Reason, int | None, GapKind | None]


def _gap_kind(stored: Layers, run: Run) -> GapKind | None:
    """The kind of the gap that a run lies in; None: it lies in none, or waits for a report after one."""
    if run.reason is not Reason.NOT_OBSERVED or not is_in_gap(stored.gaps, run.start):
        return None
    return GapKind.OFFLINE if is_in_gap(stored.offline, run.start) else GapKind.NOT_RUNNING


def _add_runs(
    exclusions: dict[Key, Exclusion], timeline: Iterable[tuple[Run, GapKind | None]], window: Span
) -> None:
    """Add the part of each run that is within the window to the exclusion of the same reason."""
    for run, gap in timeline:
        start, end = max(run.start, window[0]), min(run.end, window[1])
        if start >= end:
            continue
        key = (run.status, run.reason, run.incident, gap)
        before = exclusions.get(key)
        minutes = (end - start) // MINUTE
        if before is None:
            exclusions[key] = Exclusion(*key, minutes, start, end)
        else:
            exclusions[key] = Exclusion(*key, before.minutes + minutes, before.start, end)


def _incomplete(session: Session, monitor: int, window: Span, now: int) -> Iterator[Span]:
    """The parts of a window, at most a day each, in which some minute may be excluded.

    Quarters whose minutes all count are skipped: their minutes need not be read.
    """
    first, last = quarter_from(window[0]), min(quarter_of(window[1]), quarter_of(now))
    full = _full(session, monitor, first, last)
    start, end = window[0], window[0]
    for quarter in range(quarter_of(window[0]), window[1], QUARTER):
        begin, until = max(quarter, window[0]), min(quarter + QUARTER, window[1])
        if quarter in full or end - start >= DAY:
            if start < end:
                yield start, end
            start = until if quarter in full else begin
        end = until
    if start < end:
        yield start, end


def _full(session: Session, monitor: int, start: int, end: int) -> set[int]:
    """The quarters of `[start, end)` without an excluded minute, by their stored counts."""
    rows = session.execute(
        """
        SELECT quarter FROM quarters
         WHERE monitor_id = ? AND quarter >= ? AND quarter < ? AND up + degraded + down = ?
        """,
        (monitor, start, min(end, dirty.rolled_until(session)), QUARTER // MINUTE),
    )
    full = {quarter for (quarter,) in rows}
    for first, last in dirty.spans(session, monitor, start, end):
        full.difference_update(range(first, last, QUARTER))
    return full
