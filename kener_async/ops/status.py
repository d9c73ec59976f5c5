"""The statuses of all monitors, as a table for a terminal and as JSON."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kener_async.clock import Clock
from kener_async.config.model import Config, MonitorConfig
from kener_async.domain.calendar import DAY, LAST_INSTANT, MINUTE
from kener_async.domain.durations import format_duration
from kener_async.domain.samples import Status
from kener_async.errors import FatalError
from kener_async.ops.installation import require_database
from kener_async.store import status
from kener_async.store.check_conditions import NO_CHECKS, CheckConditions
from kener_async.store.sqlite import condition, transactions
from kener_async.store.status import Reading

# Sign, word and color: each is enough to tell the statuses apart, without the others.
STYLES = {
    Status.UP: ("+", "up", "green"),
    Status.DEGRADED: ("!", "degraded", "yellow"),
    Status.DOWN: ("x", "down", "red"),
    Status.MAINTENANCE: ("~", "maintenance", "blue"),
    Status.NO_DATA: ("?", "no data", "bright_black"),
}
SHOWN_WINDOWS = ("24h", "90d")
ENDS_SOON = 14 * DAY  # of a certificate
HEADS = ("", "monitor", "status", "for", "heard", "latency", *SHOWN_WINDOWS)


@dataclass(frozen=True, slots=True)
class MonitorStatuses:
    """The monitors in the order of the configuration; one that is not in the database yet has no reading.

    `as_of` is now if a server runs on the database (`is_served`), else the instant it was last running.
    """

    as_of: int
    is_served: bool
    monitors: Sequence[tuple[MonitorConfig, Reading | None]]
    checks: CheckConditions = NO_CHECKS

    @property
    def statuses(self) -> list[Status]:
        return [status_of(reading) for _, reading in self.monitors]


def status_of(reading: Reading | None) -> Status:
    return Status.NO_DATA if reading is None else reading.report.current.status


def read_statuses(config: Config, clock: Clock) -> MonitorStatuses:
    """Read the statuses of all monitors from the database; raises FatalError."""
    database = config.database.path
    if (fault := condition.file_fault(database)) is not None:
        raise FatalError(fault)
    require_database(config)
    is_served = condition.server_of(database) is not None
    tags = [monitor.tag for monitor in config.monitors]
    now = clock() if is_served else None
    as_of, readings, checks = transactions.read(database, status.read, tags, config.site.timezone, now)
    monitors = [(monitor, readings.get(monitor.tag)) for monitor in config.monitors]
    return MonitorStatuses(as_of, is_served, monitors, checks)


def as_json(current: MonitorStatuses) -> dict[str, Any]:
    """The JSON document. Instants are UTC seconds, latencies as sent, uptimes as in the API."""
    return {
        "asOf": current.as_of,
        "served": current.is_served,
        "summary": {status.name: current.statuses.count(status) for status in Status},
        "monitors": [_listed(monitor, reading, current.checks) for monitor, reading in current.monitors],
    }


def _listed(monitor: MonitorConfig, reading: Reading | None, checks: CheckConditions) -> dict[str, Any]:
    newest = None if reading is None else reading.report.current.newest
    return {
        "tag": monitor.tag,
        "name": monitor.name,
        "category": monitor.category,
        "hidden": monitor.hidden,
        "status": status_of(reading).name,
        "since": None if reading is None else reading.since,
        "lastHeard": None if newest is None else newest.minute,
        "latency": None if newest is None else newest.latency,
        "latencyUnit": monitor.latency_unit,
        "uptime": {window: _uptime(reading, window) for window in SHOWN_WINDOWS},
        "notMeasured": None if monitor.check is None else checks.not_measured.get(monitor.tag),
        "certificateEndsAt": None if monitor.check is None else checks.certificate_ends.get(monitor.tag),
    }


def remarks(current: MonitorStatuses) -> Iterator[str]:
    """What is to be said of checks: those that measure nothing, and certificates that end soon."""
    checked = [monitor.tag for monitor, _ in current.monitors if monitor.check is not None]
    for tag in checked:
        if tag in current.checks.not_measured:
            yield f"{tag} is not measured: {current.checks.not_measured[tag]}"
    for tag in checked:
        left = current.checks.certificate_ends.get(tag, LAST_INSTANT) - current.as_of
        if left <= 0:
            yield f"the certificate of {tag} has ended"
        elif left < ENDS_SOON:
            yield f"the certificate of {tag} ends in {format_duration(left // MINUTE * MINUTE)}"


def _uptime(reading: Reading | None, window: str) -> str:
    return "-" if reading is None else reading.windows[window].uptime


def table(current: MonitorStatuses) -> Iterator[tuple[str, str]]:
    """The lines of the table with their colors, "" for the heading."""
    rows = [HEADS, *(_row(monitor, reading, current.as_of) for monitor, reading in current.monitors)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    colors = ["", *(STYLES[status][2] for status in current.statuses)]
    for row, color in zip(rows, colors, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        cells += [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        yield "  ".join(cells).rstrip(), color


def _row(monitor: MonitorConfig, reading: Reading | None, now: int) -> tuple[str, ...]:
    sign, word, _ = STYLES[status_of(reading)]
    newest = None if reading is None else reading.report.current.newest
    since = None if reading is None else reading.since
    return (
        sign,
        monitor.name,
        word,
        "-" if since is None else format_duration(now - since),
        "never" if newest is None else f"{format_duration(now - newest.minute)} ago",
        "-" if newest is None else f"{newest.latency:g} {monitor.latency_unit}",
        *(_percent(_uptime(reading, window)) for window in SHOWN_WINDOWS),
    )


def _percent(uptime: str) -> str:
    return uptime if uptime == "-" else f"{uptime} %"


def summary(current: MonitorStatuses) -> str:
    """One line, such as "3 monitors: 2 up, 1 down; 2026-05-01 12:00:00 UTC"."""
    counts = Counter(current.statuses)
    parts = ", ".join(f"{counts[status]} {STYLES[status][1]}" for status in Status if counts[status])
    time = datetime.fromtimestamp(current.as_of, UTC)
    count = f"{len(current.monitors)} monitor{'' if len(current.monitors) == 1 else 's'}"
    return f"{count}: {parts or 'none'}; {time:%Y-%m-%d %H:%M:%S} UTC"
