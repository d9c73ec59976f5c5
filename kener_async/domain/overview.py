"""The overview of a monitor: the counts of its windows and days that are shown beside its current status.

Everything ends with the current minute. The counts before the current quarter stay the same until the next
quarter begins or the past changes, so they are kept as `PastCounts`; the monitor's state counts the rest.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from itertools import accumulate
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import MINUTE, QUARTER, day_of, day_start, days_between
from kener_async.domain.timeline import Layers, count, runs
from kener_async.domain.uptime import NOTHING, Counts, minute_counts, sum_of_minutes
from kener_async.domain.windows import LONGEST, WINDOWS

Span = tuple[int, int]
Day = tuple[date, int, int]

DAYS = 90  # before today
MINUTES = QUARTER // MINUTE


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts of the windows, by name, and of the last 90 days of a zone and today, oldest first.

    A day is its date, its start, the end of the whole day, which is exclusive, and its counts so far.
    Latencies are left out: only the charts of one monitor show them, and have them read (store/latencies.py).
    """

    windows: Mapping[str, Counts]
    days: Sequence[tuple[date, int, int, Counts]]


@dataclass(frozen=True, slots=True)
class Frame:
    """The spans that overviews count during the quarter beginning at `base`, the same for all monitors.

    `day_spans` is the part of each day before that quarter and from `kept_from` on. Because a window begins
    within a day, it is the sum of a head and whole days: `heads` are, for each window, the quarters before
    its first whole day, and the index of that day. A span may be empty.
    """

    base: int
    kept_from: int
    days: tuple[Day, ...]
    day_spans: tuple[Span, ...]
    heads: tuple[tuple[Span, int], ...]

    @property
    def spans(self) -> list[Span]:
        """The spans that are not empty, all of whole quarters."""
        return [span for span in (*self.day_spans, *(head for head, _ in self.heads)) if span[0] < span[1]]


def frame_at(base: int, zone: ZoneInfo, kept_from: int) -> Frame:
    """The frame of a quarter; the same object as long as `kept_from` lies before its first instant.

    Frames are compared by identity: counts made for another frame object are out of date.
    """
    return _frame(base, zone, max(kept_from, first_instant(base, zone)))


def first_instant(base: int, zone: ZoneInfo) -> int:
    """The earliest instant of the days and windows."""
    return min(_days(base, zone)[0][1], base - LONGEST)


@lru_cache(maxsize=4)
def _frame(base: int, zone: ZoneInfo, kept_from: int) -> Frame:
    days = _days(base, zone)
    midnights = [*(start for _, start, _ in days), base]
    heads = []
    for length in WINDOWS.values():
        start = base - length + QUARTER
        place = bisect_left(midnights, start)
        heads.append(((max(start, kept_from), midnights[place]), place))
    day_spans = tuple((max(start, kept_from), min(end, base)) for _, start, end in days)
    return Frame(base, kept_from, days, day_spans, tuple(heads))


@lru_cache(maxsize=4)
def _days(base: int, zone: ZoneInfo) -> tuple[Day, ...]:
    """The last 90 days and today, without dates that the zone skipped."""
    first = day_start(day_of(base, zone) - timedelta(days=DAYS), zone)
    return tuple(day for day in days_between(first, base + MINUTE, zone) if day[1] < day[2])


@dataclass(frozen=True, slots=True)
class CutQuarter:
    """The quarter in which a window begins. `rests` are the counts from each of its minutes to its end."""

    start: int
    rests: Sequence[Counts] = (NOTHING,) * MINUTES

    @classmethod
    def of(cls, layers: Layers, start: int) -> "CutQuarter":
        minutes: list[Counts] = []
        for run in runs(layers, start, start + QUARTER):
            one = count([replace(run, end=run.start + MINUTE)])
            minutes += [one] * ((run.end - run.start) // MINUTE)
        return cls(start, [*accumulate(reversed(minutes))][::-1])

    def counts_from(self, minute: int) -> Counts:
        """The counts from a minute to the quarter's end."""
        place = (minute - self.start) // MINUTE
        return self.rests[place] if place < MINUTES else NOTHING


@lru_cache(maxsize=64)
def alike(counts: Counts) -> Sequence[Counts] | None:
    """The `rests` of a quarter with these counts of minutes; None unless all its minutes count alike."""
    minutes = (counts.up, counts.degraded, counts.degraded_as_downtime, counts.down, counts.maintenance)
    if any(count not in (0, MINUTES) for count in minutes):
        return None
    return [minute_counts(*(min(count, left) for count in minutes)) for left in range(MINUTES, 0, -1)]


@dataclass(frozen=True, slots=True)
class PastCounts:
    """The counts of an overview before the current quarter, as far as samples are kept.

    `days` are counted up to that quarter. `windows` are, in the order of WINDOWS, the quarter in which the
    window begins, and the counts from that quarter's end on.
    """

    frame: Frame
    days: tuple[Counts, ...]
    windows: tuple[tuple[CutQuarter, Counts], ...]

    def overview(self, running: Counts, end: int) -> Overview:
        """Add `running`, the counts of the current quarter up to `end`, the end of the current minute."""
        running = running.without_latencies
        return Overview(
            {
                name: cut.counts_from(end - length) + body + running
                for (name, length), (cut, body) in zip(WINDOWS.items(), self.windows, strict=True)
            },
            [(*day, counted) for day, counted in zip(self.frame.days, self.days_until(running), strict=True)],
        )

    def days_until(self, running: Counts) -> Sequence[Counts]:
        """The counts of the frame's days with `running`, those of the current quarter."""
        return (*self.days[:-1], self.days[-1] + running.without_latencies)


def past(frame: Frame, counted: Mapping[Span, Counts], cuts: Sequence[CutQuarter]) -> PastCounts:
    """Sum the counts of the frame's spans to those of its days and windows."""
    days = [counted.get(span, NOTHING) for span in frame.day_spans]
    bodies = [sum_of_minutes([counted.get(span, NOTHING), *days[place:]]) for span, place in frame.heads]
    return PastCounts(frame, tuple(days), tuple(zip(cuts, bodies, strict=True)))


def first_day_counted(window: Counts, days: Sequence[tuple[date, Counts]]) -> date | None:
    """The first day with a counted minute of a window that ends with the last of `days`, oldest first.

    None: nothing counts, or what counts began before these days.
    """
    left = window.counted
    for day, counts in reversed(days):
        left -= counts.counted
        if left <= 0 < window.counted:
            return day
    return None
