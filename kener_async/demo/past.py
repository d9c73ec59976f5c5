"""The past of the demo, as the service would have stored it."""

from collections.abc import Iterator, Mapping, Sequence
from sqlite3 import Connection

from kener_async.config.model import Config
from kener_async.demo.devices import DAYS, DemoReport
from kener_async.demo.scenes import ReportedIncident
from kener_async.domain.calendar import DAY, utc_day_of
from kener_async.domain.incidents import edited, opened
from kener_async.domain.samples import Sample
from kener_async.store import incidents, monitors, observer, samples

BATCH = 20_000


def fill(
    connection: Connection,
    config: Config,
    lines: Sequence[DemoReport],
    reports: Sequence[ReportedIncident],
    now: int,
) -> None:
    """Store the layers of 90 days, as if the service had been there all the time."""
    begin = utc_day_of(now) - DAYS * DAY
    observer.begin(connection, begin, config.database.retention_days * DAY)
    settings = {monitor.tag: monitor.settings for monitor in config.monitors}
    ids = monitors.register(connection, settings, begin)
    batch: list[Sample] = []
    for sample in recorded(lines, ids, now):
        batch.append(sample)
        if len(batch) == BATCH:
            samples.record(connection, batch)
            batch.clear()
    samples.record(connection, batch)
    for report in reports:
        _file(connection, report)
    observer.seen(connection, (), now)


def recorded(lines: Sequence[DemoReport], ids: Mapping[str, int], now: int) -> Iterator[Sample]:
    """The samples of the past."""
    for line in lines:
        for minute in line.minutes(now):
            measured = line.report(minute)
            if measured is not None:
                yield Sample(ids[line.device.tag], minute, *measured)


def _file(connection: Connection, report: ReportedIncident) -> None:
    number = incidents.add(connection, lambda number: opened(number, report.fields, report.created)).number
    for at, text in report.comments:
        incidents.comment(connection, number, text, at)
    resolved = report.resolved
    if resolved is not None:
        incidents.change(
            connection, number, lambda incident: edited(incident, {"is_resolved": True}, resolved)
        )
