"""What is known of one monitor beside its minutes, for those who run the page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kener_async.domain.alerts import Alert
from kener_async.domain.certificates import StoredCertificate
from kener_async.domain.checks import Attempt
from kener_async.domain.timeline import Run, runs
from kener_async.store import alerts, certificates, check_faults, devices, layers, monitors
from kener_async.store.devices import DeviceSummary
from kener_async.store.dirty import Span
from kener_async.store.interface import Session

FAULTS_AT_MOST = 50
ALERTS_AT_MOST = 200


@dataclass(frozen=True, slots=True)
class MonitorDetails:
    """Each newest first. `timeline`: the spans of one status and reason. `tags`: of monitors by id."""

    faults: Sequence[Attempt]
    certificates: Sequence[StoredCertificate]
    alerts: Sequence[Alert]
    timeline: Sequence[Run]
    devices: Sequence[DeviceSummary]
    tags: Mapping[int, str]


def load(session: Session, monitor: int, window: Span, alerts_since: int, now: int) -> MonitorDetails:
    """Load the details of a monitor, its timeline of a window, and its alerts since an instant."""
    pieces = layers.load_pieces(session, monitor, window, now)
    timeline = joined(run for start, end, stored in pieces for run in runs(stored, start, end))
    found = alerts.of_monitor(session, monitor, alerts_since, ALERTS_AT_MOST)
    parents = {alert.because for alert in found if alert.because is not None}
    return MonitorDetails(
        check_faults.recent(session, monitor, FAULTS_AT_MOST),
        certificates.of(session, [monitor]).get(monitor, ()),
        found,
        timeline[::-1],
        devices.of_monitor(session, monitor),
        monitors.tags_of(session, parents),
    )


def joined(timeline: Iterable[Run]) -> list[Run]:
    """The runs, in which neighbours of the same status, reason and incident are one."""
    found: list[Run] = []
    for run in timeline:
        last = found[-1] if found else None
        if last is not None and _what(last) == _what(run) and last.end == run.start:
            found[-1] = replace(last, end=run.end)
        else:
            found.append(run)
    return found


def _what(run: Run) -> tuple[object, ...]:
    return run.status, run.reason, run.incident
