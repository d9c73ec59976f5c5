"""The history of a monitor: all that its page shows, the counts of many spans, or its single minutes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kener_async.domain.calendar import MINUTE, QUARTER, quarter_of
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

    `missing` counts the reports of its devices that have not arrived.
    """

    windows: Mapping[str, Explanation]
    latencies: Mapping[str, Mapping[int, Counts]]
    incidents: Sequence[incident_lists.IncidentThread]
    missing: int


def load(
    session: Session,
    monitor: int,
    tag: str,
    windows: Mapping[str, Span],
    charts: Mapping[str, tuple[Span, int]],
    since: int,
    now: int,
) -> MonitorHistory:
    """Load what a monitor's page shows.

    `charts` are spans, each with the length of a step; incidents are listed from `since`.
    """
    kept = observer.kept_from(session)
    clipped = [(max(start, kept), end) for start, end in windows.values()]
    return MonitorHistory(
        dict(zip(windows, explain(session, monitor, clipped, now), strict=True)),
        {
            name: latencies.by_step(session, monitor, *span, step, now)
            for name, (span, step) in charts.items()
        },
        incident_lists.overlapping(session, since, now + 1, tag),
        devices.missing_of(session, monitor),
    )


def sums(session: Session, monitor: int, window: Span, spans: Sequence[Span], now: int) -> list[Counts]:
    """The counts of each of these spans, all of them within the window."""
    stored = rollups.by_quarter(session, monitor, quarter_of(window[0]), quarter_of(window[1]))
    summed = []
    for span in spans:
        counts = NOTHING
        for start, end, whole in rollups.pieces(span, now):
            if whole:
                for quarter in range(start, end, QUARTER):
                    counts += stored.get(quarter, NOTHING)
            else:
                counts += rollups.count_window(session, monitor, (start, end), now)
        summed.append(counts)
    return summed


def minutes(session: Session, monitor: int, window: Span, now: int) -> list[MinuteStatus]:
    """Each minute of the window, oldest first."""
    return [
        MinuteStatus(minute, run.status, run.reason, None if sample is None else sample.latency)
        for start, end, stored in layers.load_pieces(session, monitor, window, now)
        for run in runs(stored, start, end)
        for minute in range(run.start, run.end, MINUTE)
        for sample in (stored.samples.get(minute),)
    ]
