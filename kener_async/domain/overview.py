"""The overview of a monitor: the windows and days that are shown beside how it stands.

Everything ends with the current minute. What lies before the current quarter stays the same until the quarter
turns or something of the past changes, so it is counted once, as a `Past`; the minutes since are those that
the monitor's state counts.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from itertools import accumulate, groupby
from operator import add
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import DAY, MINUTE, QUARTER, day_of, day_start, days_between
from kener_async.domain.timeline import Layers, Run, count, runs, total_of
from kener_async.domain.uptime import NOTHING, Counts

Span = tuple[int, int]
Day = tuple[date, int, int]

LENGTHS = (DAY, 7 * DAY, 30 * DAY, 90 * DAY)
DAYS = 90  # before today


@dataclass(frozen=True, slots=True)
class Overview:
    """`windows` are the counts by length in seconds, `days` the last 90 of a zone and today, oldest first.

    A day is its date, its begin, the end of the whole day, which it does not include, and its counts.
    """

    windows: Mapping[int, Counts]
    days: Sequence[tuple[date, int, int, Counts]]


@dataclass(frozen=True, slots=True)
class Frame:
    """What an overview is made of during the quarter that begins at `base`: the same for every monitor.

    `day_spans` is what of each day lies before the quarter and is kept. `heads` are, for each window, the
    whole quarters before its first whole day, and that day's place. Of some of these spans nothing is left.
    """

    base: int
    kept_from: int
    days: tuple[Day, ...]
    day_spans: tuple[Span, ...]
    heads: tuple[tuple[Span, int], ...]

    @property
    def spans(self) -> list[Span]:
        """The whole quarters that are to be counted."""
        return [span for span in (*self.day_spans, *(head for head, _ in self.heads)) if span[0] < span[1]]


def frame_at(base: int, zone: ZoneInfo, kept_from: int) -> Frame:
    """The frame of a quarter; the same object as long as what is not kept lies before its begin."""
    return _frame(base, zone, max(kept_from, first_instant(base, zone)))


def first_instant(base: int, zone: ZoneInfo) -> int:
    """Where the first of the days and windows begins."""
    return min(_days(base, zone)[0][1], base - max(LENGTHS))


@lru_cache(maxsize=4)
def _frame(base: int, zone: ZoneInfo, kept_from: int) -> Frame:
    days = _days(base, zone)
    midnights = [*(start for _, start, _ in days), base]
    heads = []
    for length in LENGTHS:
        start = base - length + QUARTER
        place = bisect_left(midnights, start)
        heads.append(((max(start, kept_from), midnights[place]), place))
    day_spans = tuple((max(start, kept_from), min(end, base)) for _, start, end in days)
    return Frame(base, kept_from, days, day_spans, tuple(heads))


@lru_cache(maxsize=4)
def _days(base: int, zone: ZoneInfo) -> tuple[Day, ...]:
    """The last days and today; a date that the zone left out is no day."""
    first = day_start(day_of(base, zone) - timedelta(days=DAYS), zone)
    return tuple(day for day in days_between(first, base + MINUTE, zone) if day[1] < day[2])


@dataclass(frozen=True, slots=True)
class CutQuarter:
    """The quarter in which a window begins, ready to be counted from any of its minutes on."""

    start: int
    runs: tuple[Run, ...] = ()
    latencies: tuple[float | None, ...] = ()

    @classmethod
    def of(cls, layers: Layers, start: int) -> "CutQuarter":
        end = start + QUARTER
        samples = [layers.samples.get(minute) for minute in range(start, end, MINUTE)]
        return cls(
            start,
            tuple(_joined(runs(layers, start, end))),
            tuple(None if sample is None else sample.latency for sample in samples),
        )

    def counts_from(self, minute: int) -> Counts:
        """The counts from this minute to the quarter's end."""
        left = [replace(run, start=max(run.start, minute)) for run in self.runs if run.end > minute]
        place = (minute - self.start) // MINUTE
        latencies = [latency for latency in self.latencies[place:] if latency is not None]
        return count(left) + Counts(
            latency_count=len(latencies),
            latency_sum=total_of(latencies),
            latency_min=min(latencies, default=None),
            latency_max=max(latencies, default=None),
        )


def _joined(timeline: Iterator[Run]) -> Iterator[Run]:
    """The runs with those that are counted alike made one, where they meet."""
    for _, alike in groupby(timeline, key=lambda run: (run.status, run.degraded_is_downtime)):
        first, *others = alike
        yield replace(first, end=others[-1].end) if others else first


@dataclass(frozen=True, slots=True)
class PastCounts:
    """What an overview says of the minutes before the current quarter, as far as they are kept.

    `days` are counted up to that quarter. `windows` are, by length, the quarter in which the window begins,
    and the counts from its end on.
    """

    frame: Frame
    days: tuple[Counts, ...]
    windows: tuple[tuple[CutQuarter, Counts], ...]

    def overview(self, running: Counts, end: int) -> Overview:
        """The whole, with the counts of the current quarter up to `end`, that of the current minute."""
        counts = [*self.days[:-1], self.days[-1] + running]
        return Overview(
            {
                length: cut.counts_from(end - length) + body + running
                for length, (cut, body) in zip(LENGTHS, self.windows, strict=True)
            },
            [(*day, counted) for day, counted in zip(self.frame.days, counts, strict=True)],
        )


def past(frame: Frame, counted: Mapping[Span, Counts], cuts: Sequence[CutQuarter]) -> PastCounts:
    """The past of a monitor, from the counts of the frame's spans and the quarters in which windows begin."""
    days = [counted.get(span, NOTHING) for span in frame.day_spans]
    since = [*accumulate(reversed(days), add, initial=NOTHING)][::-1]
    bodies = [counted.get(span, NOTHING) + since[place] for span, place in frame.heads]
    return PastCounts(frame, tuple(days), tuple(zip(cuts, bodies, strict=True)))
