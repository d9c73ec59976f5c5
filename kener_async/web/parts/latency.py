"""The latency charts of a monitor: those of its page, and that of a day."""

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
from kener_async.store.histories import MonitorHistory
from kener_async.web.pages.snapshot import MonitorView
from kener_async.web.pages.templates import TemplateContext
from kener_async.web.parts import charts
from kener_async.web.parts.charts import Chart

# The distance of points by window; the 90 days have one for each day, and a day one for each STEP.
STEPS = {"24h": QUARTER, "7d": HOUR, "30d": 4 * HOUR}
DAYS_BETWEEN_TICKS = {"7d": 1, "30d": 5, "90d": 15}
STEP = 5 * MINUTE

SpanCounts = tuple[int, int, Counts]  # start, end, counts


@dataclass(frozen=True, slots=True)
class LatencyChart:
    """A chart as SVG and in a sentence; `name` and `label` are those of its window."""

    name: str
    label: str
    svg: Markup
    sentence: str


def frames(now: int) -> Mapping[str, tuple[tuple[int, int], int]]:
    """For each chart the span it shows and the length of its steps."""
    return {name: (_frame(name, now), step) for name, step in STEPS.items()}


def _frame(name: str, now: int) -> tuple[int, int]:
    """The window of a chart, ending with the current step."""
    step = STEPS[name]
    end = now - now % step + step
    return end - WINDOWS[name], end


def of_monitor(
    context: TemplateContext, view: MonitorView, history: MonitorHistory, labels: Mapping[str, str], now: int
) -> Iterator[LatencyChart]:
    """The charts of the last 24 hours, 7, 30 and 90 days."""
    locale, zone = context.locale, context.site.timezone
    for name, steps in history.latencies.items():
        start, end = _frame(name, now)
        ticks = (
            charts.clock_ticks(start, end, zone, locale)
            if name == "24h"
            else charts.day_ticks(start, end, DAYS_BETWEEN_TICKS[name], zone, locale)
        )
        parts = [(at, at + STEPS[name], counts) for at, counts in steps.items()]
        yield _chart(context, view.monitor, name, labels[name], parts, (start, end), ticks)
    start, end = view.days[0].start, view.days[-1].end
    ticks = charts.day_ticks(start, end, DAYS_BETWEEN_TICKS["90d"], zone, locale)
    ends = {day.start: day.end for day in view.days}
    parts = [(at, ends[at], counts) for at, counts in history.days.items()]
    yield _chart(context, view.monitor, "90d", labels["90d"], parts, (start, end), ticks)


def of_day(
    context: TemplateContext, monitor: MonitorConfig, samples: Mapping[int, Sample], start: int, end: int
) -> LatencyChart:
    """The chart of a day, from its samples by minute."""
    by_step: dict[int, list[Sample]] = {}
    for minute, sample in samples.items():
        by_step.setdefault(minute - (minute - start) % STEP, []).append(sample)
    parts = [(at, at + STEP, count((), some)) for at, some in by_step.items()]
    ticks = charts.clock_ticks(start, end, context.site.timezone, context.locale, is_clock=False)
    return _chart(context, monitor, "day", "", parts, (start, end), ticks)


def _chart(
    context: TemplateContext,
    monitor: MonitorConfig,
    name: str,
    label: str,
    parts: Iterable[SpanCounts],
    span: tuple[int, int],
    ticks: list[charts.Tick],
) -> LatencyChart:
    parts = list(parts)
    latency = context.locale.gettext("Latency")
    chart = Chart(
        f"latency-{name}",
        f"{latency}, {label}" if label else latency,
        *span,
        charts.points(parts),
        ticks,
        monitor.latency_unit,
        _max_gap(monitor.settings.expectation),
    )
    sentence = charts.summary(chart, sum((counts for _, _, counts in parts), NOTHING), context.locale)
    return LatencyChart(name, label, charts.drawn(chart, sentence, context.locale), sentence)


def _max_gap(expectation: Expectation | None) -> int:
    """How far apart reports may be, in seconds, without one missing between them."""
    return min(expectation.interval + expectation.grace, DAY) if isinstance(expectation, EveryInterval) else 0
