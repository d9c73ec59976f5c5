"""How quickly a monitor answered: the charts of its page, and that of a day."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from kener_async.config.model import MonitorConfig
from kener_async.domain.calendar import DAY, HOUR, MINUTE, QUARTER
from kener_async.domain.heartbeats import EveryInterval, Expectation
from kener_async.domain.samples import Sample
from kener_async.domain.timeline import count
from kener_async.domain.uptime import NOTHING, Counts
from kener_async.domain.windows import WINDOWS
from kener_async.web.pages.snapshot import MonitorView
from kener_async.web.pages.templates import TemplateContext
from kener_async.web.parts import charts
from kener_async.web.parts.charts import Chart

# How far apart the points of a window are; the 90 days have a point a day, and a day one every five minutes.
STEPS = {"24h": QUARTER, "7d": HOUR, "30d": 4 * HOUR}
DAYS_BETWEEN_TICKS = {"7d": 1, "30d": 5, "90d": 15}
STEP = 5 * MINUTE

Part = tuple[int, int, Counts]  # begin, end, counts
Stepped = Mapping[str, Mapping[int, Counts]]  # by window and begin of a step


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart and what it says in a sentence; `name` and `label` are its window's."""

    name: str
    label: str
    chart: Markup
    sentence: str


def frames(now: int) -> Mapping[str, tuple[tuple[int, int], int]]:
    """For each chart the span it shows and the length of its steps."""
    return {name: (_frame(name, now), step) for name, step in STEPS.items()}


def _frame(name: str, now: int) -> tuple[int, int]:
    """What a chart shows: its window, ending with the current step."""
    step = STEPS[name]
    end = now - now % step + step
    return end - WINDOWS[name], end


def of_monitor(
    view: TemplateContext, shown: MonitorView, counted: Stepped, labels: Mapping[str, str], now: int
) -> Iterator[Drawn]:
    """The last 24 hours, 7, 30 and 90 days."""
    locale, zone = view.locale, view.site.timezone
    for name, steps in counted.items():
        start, end = _frame(name, now)
        ticks = (
            charts.clock_ticks(start, end, zone, locale)
            if name == "24h"
            else charts.day_ticks(start, end, DAYS_BETWEEN_TICKS[name], zone, locale)
        )
        parts = [(at, at + STEPS[name], counts) for at, counts in steps.items()]
        yield _drawn(view, shown.monitor, name, labels[name], parts, (start, end), ticks)
    start, end = shown.days[0].start, shown.days[-1].end
    ticks = charts.day_ticks(start, end, DAYS_BETWEEN_TICKS["90d"], zone, locale)
    parts = [(day.start, day.end, day.counts) for day in shown.days]
    yield _drawn(view, shown.monitor, "90d", labels["90d"], parts, (start, end), ticks)


def of_day(
    view: TemplateContext, monitor: MonitorConfig, samples: Mapping[int, Sample], start: int, end: int
) -> Drawn:
    """A day, of which these are the samples."""
    by_step: dict[int, list[Sample]] = {}
    for minute, sample in samples.items():
        by_step.setdefault(minute - (minute - start) % STEP, []).append(sample)
    parts = [(at, at + STEP, count((), some)) for at, some in by_step.items()]
    ticks = charts.clock_ticks(start, end, view.site.timezone, view.locale, is_clock=False)
    return _drawn(view, monitor, "day", "", parts, (start, end), ticks)


def _drawn(
    view: TemplateContext,
    monitor: MonitorConfig,
    name: str,
    label: str,
    parts: Iterable[Part],
    span: tuple[int, int],
    ticks: list[charts.Tick],
) -> Drawn:
    parts = list(parts)
    latency = view.locale.gettext("Latency")
    chart = Chart(
        f"latency-{name}",
        f"{latency}, {label}" if label else latency,
        *span,
        charts.points(parts),
        ticks,
        monitor.latency_unit,
        _reach(monitor.settings.expectation),
    )
    sentence = charts.summary(chart, sum((counts for _, _, counts in parts), NOTHING), view.locale)
    return Drawn(name, label, charts.drawn(chart, sentence, view.locale), sentence)


def _reach(expectation: Expectation | None) -> int:
    """How far apart reports may be without anything missing between them, in seconds."""
    return min(expectation.interval + expectation.grace, DAY) if isinstance(expectation, EveryInterval) else 0
