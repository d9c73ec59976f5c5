"""Charts of latency: an inline SVG whose lines stretch with the page and whose texts keep their size.

The outer element has no viewBox, so places along it are percentages; the plot within it has one.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

from babel.dates import format_skeleton
from markupsafe import Markup

from kener_async.domain.calendar import HOUR, day_of, days_between
from kener_async.domain.uptime import Counts
from kener_async.web.pages.locales import Locale

WIDTH, HEIGHT = 1000, 100  # of the plot, in its own units
STEPS = (1, 2, 4, 6, 8, 10)  # each can be halved


@dataclass(frozen=True, slots=True)
class Point:
    """The latencies of the samples of `[start, end)`, in the sender's unit."""

    start: int
    end: int
    average: float
    low: float
    high: float

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on the time axis. A minor one is left out where there is little room.

    `is_clock`: its text is a time of day, which a script may rewrite in the visitor's zone.
    """

    at: int
    text: str
    is_minor: bool = False
    is_clock: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart shows of `[start, end)`. Points are joined up to `reach` seconds apart, and where they are
    as far apart as usual.
    """

    name: str
    title: str
    start: int
    end: int
    points: Sequence[Point]
    ticks: Sequence[Tick]
    unit: str
    reach: int


def points(counted: Iterable[tuple[int, int, Counts]]) -> list[Point]:
    """A point for each span with samples, in order; spans are (start, end, counts)."""
    return [
        Point(start, end, counts.latency_sum / counts.latency_count, counts.latency_min, counts.latency_max)
        for start, end, counts in counted
        if counts.latency_min is not None and counts.latency_max is not None
    ]


def summary(chart: Chart, counts: Counts, locale: Locale) -> str:
    """The chart in a sentence."""
    average = counts.latency_average
    if average is None or counts.latency_min is None or counts.latency_max is None:
        return locale.gettext("No latency was reported in this period.")
    return locale.gettext("%(average)s on average, between %(low)s and %(high)s") % {
        "average": locale.latency(average, chart.unit),
        "low": locale.latency(counts.latency_min, chart.unit),
        "high": locale.latency(counts.latency_max, chart.unit),
    }


FRAME = Markup(
    '<svg class="chart" role="img" aria-labelledby="{name}-title {name}-says">'
    '<title id="{name}-title">{title}</title><desc id="{name}-says">{sentence}</desc>'
    '<svg y="26" width="100%" height="150" viewBox="0 0 1000 100" preserveAspectRatio="none">'
    '<path class="grid" d="M0 0H1000M0 50H1000M0 100H1000"/>'
    '<path class="band" d="{band}"/><path class="line" d="{line}"/></svg>{levels}{axis}</svg>'
)


def drawn(chart: Chart, sentence: str, locale: Locale) -> Markup:
    """The chart as SVG; `sentence` is what it says to those who cannot see it."""
    top = ceiling(max((point.high for point in chart.points), default=0))
    return FRAME.format(
        name=chart.name,
        title=chart.title,
        sentence=sentence,
        band=band(chart, top),
        line=line(chart, top),
        levels=_levels(chart, top, locale),
        axis=Markup("").join(_label(chart, tick) for tick in chart.ticks),
    )


def _levels(chart: Chart, top: float, locale: Locale) -> Markup:
    """The values of the upper lines; there are none where nothing is drawn."""
    return Markup("").join(
        Markup('<text class="level" y="{}">{}</text>').format(y, locale.latency(value, chart.unit))
        for y, value in ((20, top), (95, top / 2))
        if chart.points
    )


def ceiling(value: float) -> float:
    """The smallest round number, easily halved, that is not below the value; 1 for next to nothing."""
    if value < 1e-9:
        return 1.0
    magnitude = 10.0 ** math.floor(math.log10(value))
    return next(step * magnitude for step in STEPS if step * magnitude >= value or step == STEPS[-1])


def segments(chart: Chart) -> list[list[Point]]:
    """The points in runs that are joined: where data are missing the line has a gap."""
    distances = [after.start - before.end for before, after in pairwise(chart.points)]
    reach = max(chart.reach, 1.5 * median(distances or [0]))
    joined: list[list[Point]] = []
    for point in chart.points:
        if joined and point.start - joined[-1][-1].end <= reach:
            joined[-1].append(point)
        else:
            joined.append([point])
    return joined


def line(chart: Chart, top: float) -> str:
    """The averages; a point with no neighbour is a line of no length, which is drawn as a dot."""
    across, up = _scales(chart, top)
    pieces = []
    for segment in segments(chart):
        places = [f"{across(point.middle):g} {up(point.average):g}" for point in segment]
        pieces.append(f"M{'L'.join(places)}" + ("h0" if len(places) == 1 else ""))
    return "".join(pieces)


def band(chart: Chart, top: float) -> str:
    """From the lowest to the highest; a step at each point, so that a single one can be seen, too."""
    across, up = _scales(chart, top)
    pieces = []
    for segment in segments(chart):
        outline = list(_outline(segment))
        places = [f"{across(at):g} {up(value):g}" for at, value in outline]
        pieces.append(f"M{'L'.join(places)}z")
    return "".join(pieces)


def _outline(segment: Sequence[Point]) -> Iterator[tuple[float, float]]:
    """Along the highest there, along the lowest back."""
    yield segment[0].start, segment[0].high
    yield from ((point.middle, point.high) for point in segment[1:-1])
    yield segment[-1].end, segment[-1].high
    yield segment[-1].end, segment[-1].low
    yield from ((point.middle, point.low) for point in segment[-2:0:-1])
    yield segment[0].start, segment[0].low


Scale = Callable[[float], float]


def _scales(chart: Chart, top: float) -> tuple[Scale, Scale]:
    def across(at: float) -> float:
        return round((at - chart.start) / (chart.end - chart.start) * WIDTH, 1)

    def up(value: float) -> float:
        return round(HEIGHT - value / top * HEIGHT, 1)

    return across, up


def _label(chart: Chart, tick: Tick) -> Markup:
    share = (tick.at - chart.start) / (chart.end - chart.start) * 100
    anchor = "start" if share < 4 else "end" if share > 96 else "middle"
    kind = ' class="long"' if tick.is_minor or share < 4 else ""
    clock = f' data-form="clock" data-at="{tick.at}"' if tick.is_clock else ""
    start = f'<text x="{share:.2f}%" y="196" text-anchor="{anchor}"{kind}{clock}>'
    return Markup(start) + tick.text + Markup("</text>")  # noqa: S704 - ours


# The time axis


def clock_ticks(start: int, end: int, zone: ZoneInfo, locale: Locale, is_clock: bool = True) -> list[Tick]:
    """Every third hour of the day in the zone."""
    ticks = []
    for _, day, following in days_between(start, end, zone):
        hours = range(day, following, 3 * HOUR)
        ticks += [
            Tick(at, locale.time(at, zone), place % 2 == 1, is_clock)
            for place, at in enumerate(hours)
            if start <= at <= end
        ]
    return ticks


def day_ticks(start: int, end: int, every: int, zone: ZoneInfo, locale: Locale) -> list[Tick]:
    """The beginnings of days in the zone, each so many days before the next, the last being today's."""
    begins = [begin for _, begin, _ in days_between(start, end, zone) if start <= begin][::-1][::every]
    return [
        Tick(at, format_skeleton("MMMd", day_of(at, zone), locale=locale.cldr), place % 2 == 1)
        for place, at in enumerate(begins)
    ][::-1]
