"""Charts of latency as inline SVG, whose lines stretch with the page while the text keeps its size.

Only the inner element, the plot, has a viewBox; positions in the outer one are percentages.
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
from kener_async.locales.locale import Locale

WIDTH, HEIGHT = 1000, 100  # of the plot, in units of its viewBox
STEPS = (1, 2, 4, 6, 8, 10)  # each has a half that is round, too


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
    """A label on the time axis; minor ones are hidden on narrow screens.

    `is_clock`: the text is a time of day, which page.js rewrites in the visitor's time zone.
    """

    at: int
    text: str
    is_minor: bool = False
    is_clock: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of `[start, end)`; points up to `max_gap` seconds apart are joined (see `segments`)."""

    name: str
    title: str
    start: int
    end: int
    points: Sequence[Point]
    ticks: Sequence[Tick]
    unit: str
    max_gap: int


def points(spans: Iterable[tuple[int, int, Counts]]) -> list[Point]:
    """A point for each span with samples; spans are (start, end, counts)."""
    return [
        Point(start, end, counts.latency_sum / counts.latency_count, counts.latency_min, counts.latency_max)
        for start, end, counts in spans
        if counts.latency_min is not None and counts.latency_max is not None
    ]


def summary(chart: Chart, counts: Counts, locale: Locale) -> str:
    """The average, lowest and highest latency in a sentence."""
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
    """The chart as SVG; `sentence` is its description for screen readers."""
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
    """The labels of the upper two lines, if the chart has points."""
    return Markup("").join(
        Markup('<text class="level" y="{}">{}</text>').format(y, locale.latency(value, chart.unit))
        for y, value in ((20, top), (95, top / 2))
        if chart.points
    )


def ceiling(value: float) -> float:
    """The smallest number of STEPS times a power of ten that is not below the value; 1 for zero."""
    if value < 1e-9:
        return 1.0
    magnitude = 10.0 ** math.floor(math.log10(value))
    return next(step * magnitude for step in STEPS if step * magnitude >= value or step == STEPS[-1])


def segments(chart: Chart) -> list[list[Point]]:
    """The points in runs that a line joins; it has a gap where data are missing.

    Missing: further apart than `max_gap` and than one and a half times the usual distance.
    """
    distances = [after.start - before.end for before, after in pairwise(chart.points)]
    max_gap = max(chart.max_gap, 1.5 * median(distances or [0]))
    joined: list[list[Point]] = []
    for point in chart.points:
        if joined and point.start - joined[-1][-1].end <= max_gap:
            joined[-1].append(point)
        else:
            joined.append([point])
    return joined


def line(chart: Chart, top: float) -> str:
    """The path of the averages; a single point is a line of length zero, which is drawn as a dot."""
    across, up = _scales(chart, top)
    pieces = []
    for segment in segments(chart):
        places = [f"{across(point.middle):g} {up(point.average):g}" for point in segment]
        pieces.append(f"M{'L'.join(places)}" + ("h0" if len(places) == 1 else ""))
    return "".join(pieces)


def band(chart: Chart, top: float) -> str:
    """The path of the area from lowest to highest; as wide as its points, so that a single one is visible."""
    across, up = _scales(chart, top)
    pieces = []
    for segment in segments(chart):
        outline = list(_outline(segment))
        places = [f"{across(at):g} {up(value):g}" for at, value in outline]
        pieces.append(f"M{'L'.join(places)}z")
    return "".join(pieces)


def _outline(segment: Sequence[Point]) -> Iterator[tuple[float, float]]:
    """Along the highest values, then back along the lowest."""
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
    """A label for every third hour of the days in the zone."""
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
    """A label for every `every`-th start of a day in the zone, counted back from the last."""
    begins = [begin for _, begin, _ in days_between(start, end, zone) if start <= begin][::-1][::every]
    return [
        Tick(at, format_skeleton("MMMd", day_of(at, zone), locale=locale.cldr), place % 2 == 1)
        for place, at in enumerate(begins)
    ][::-1]
