"""Store the history of the demo as the service would have stored it."""

from collections.abc import Iterator, Mapping, Sequence

from kener_async.config.model import Config
from kener_async.demo.devices import DAYS, SimulatedDevice
from kener_async.demo.scenes import ReportedIncident
from kener_async.domain.calendar import DAY, utc_day_of
from kener_async.domain.samples import Sample
from kener_async.store import incidents, monitors, observer, samples
from kener_async.store.interface import Session

BATCH = 20_000


def fill(
    session: Session,
    config: Config,
    devices: Sequence[SimulatedDevice],
    reports: Sequence[ReportedIncident],
    now: int,
) -> None:
    """Store the samples, incidents and settings of 90 days, as if the service had been running."""
    begin = utc_day_of(now) - DAYS * DAY
    observer.begin(session, begin, config.database.retention_days * DAY)
    settings = {monitor.tag: monitor.settings for monitor in config.monitors}
    ids = monitors.register(session, settings, begin)
    batch: list[Sample] = []
    for sample in samples_until(devices, ids, now):
        batch.append(sample)
        if len(batch) == BATCH:
            samples.record(session, batch)
            batch.clear()
    samples.record(session, batch)
    for report in reports:
        _add_incident(session, report)
    observer.save_seen(session, (), now)


def samples_until(devices: Sequence[SimulatedDevice], ids: Mapping[str, int], now: int) -> Iterator[Sample]:
    """The samples of all devices up to now."""
    for device in devices:
        for minute in device.minutes(now):
            measured = device.measure(minute)
            if measured is not None:
                yield Sample(ids[device.profile.tag], minute, *measured)


def _add_incident(session: Session, report: ReportedIncident) -> None:
    number = incidents.add(session, report.fields, report.created).number
    for at, text in report.comments:
        incidents.comment(session, number, text, at)
    resolved = report.resolved
    if resolved is not None:
        incidents.change(session, number, {"is_resolved": True}, resolved)
