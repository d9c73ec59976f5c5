"""The history of a monitor: all that its page shows, the counts of many spans, or its single minutes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kener_async.domain.calendar import MINUTE, QUARTER, minute_end, quarter_of
from kener_async.domain.samples import Status
from kener_async.domain.timeline import Reason, runs
from kener_async.domain.uptime import NOTHING, Counts
from kener_async.store import devices, incident_lists, latencies, layers, observer, rollups
from kener_async.store.dirty import Span
from kener_async.store.explanations import Explanation, explain
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class MinuteStatus:
    """The status of the minute that begins at `start`, and why; `latency` is None without a sample."""

    start: int
    status: Status
    reason: Reason
    latency: float | None


@dataclass(frozen=True, slots=True)
class MonitorHistory:
    """The past of a monitor: its windows explained, and the latencies of each step of its charts, by name.

    `days` are the counts of its days by their start, with latencies; `missing` counts the reports of its
    devices that have not arrived.
    """

    windows: Mapping[str, Explanation]
    latencies: Mapping[str, Mapping[int, Counts]]
    days: Mapping[int, Counts]
    incidents: Sequence[incident_lists.IncidentThread]
    missing: int


def load(
    session: Session,
    monitor: int,
    tag: str,
    windows: Mapping[str, Span],
    charts: Mapping[str, tuple[Span, int]],
    days: Sequence[Span],
    since: int,
    now: int,
) -> MonitorHistory:
    """Load what a monitor's page shows.

    `charts` are spans, each with the length of a step. `days` are disjoint, oldest first. Incidents are
    listed from `since`.
    """
    kept = observer.kept_from(session)
    counted_days = {start: (max(start, kept), min(end, minute_end(now))) for start, end in days if kept < end}
    clipped = [(max(start, kept), end) for start, end in windows.values()]
    return MonitorHistory(
        dict(zip(windows, explain(session, monitor, clipped, now), strict=True)),
        {
            name: latencies.by_step(session, monitor, *span, step, now)
            for name, (span, step) in charts.items()
        },
        dict(zip(counted_days, sums(session, monitor, [*counted_days.values()], now), strict=True)),
        incident_lists.overlapping(session, since, now + 1, tag),
        devices.missing_of(session, monitor),
    )


def sums(session: Session, monitor: int, spans: Sequence[Span], now: int) -> list[Counts]:
    """The counts of each of these spans, which are kept, oldest first and disjoint."""
    days = rollups.days_counted(session, monitor, spans[0][0], spans[-1][1]) if spans else {}
    stored: dict[int, Counts] = {}
    for start, end in _joined(span for span in spans if span not in days):
        stored |= rollups.by_quarter(session, monitor, quarter_of(start), quarter_of(min(end, now)))
    return [days[span] if span in days else _sum(session, monitor, span, stored, now) for span in spans]


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Join the spans that meet; they are given oldest first."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start == joined[-1][1]:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _sum(session: Session, monitor: int, span: Span, stored: Mapping[int, Counts], now: int) -> Counts:
    counts = NOTHING
    for start, end, whole in rollups.pieces(span, now):
        if whole:
            for quarter in range(start, end, QUARTER):
                counts += stored.get(quarter, NOTHING)
        else:
            counts += rollups.count_window(session, monitor, (start, end), now)
    return counts


def minutes(session: Session, monitor: int, window: Span, now: int) -> list[MinuteStatus]:
    """Each minute of the window, oldest first."""
    return [
        MinuteStatus(minute, run.status, run.reason, None if sample is None else sample.latency)
        for start, end, stored in layers.load_pieces(session, monitor, window, now)
        for run in runs(stored, start, end)
        for minute in range(run.start, run.end, MINUTE)
        for sample in (stored.samples.get(minute),)
    ]
