"""The fleet on a terminal: how each monitor stands, for people and as JSON."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kener_async.clock import Clock
from kener_async.config.model import Config, MonitorConfig
from kener_async.domain.durations import format_duration
from kener_async.domain.samples import Status
from kener_async.errors import FatalError
from kener_async.store import status
from kener_async.store.sqlite import condition, transactions
from kener_async.store.status import Reading

# A sign, a word and a colour for each: none of them has to be seen for the others to be understood.
LOOKS = {
    Status.UP: ("+", "up", "green"),
    Status.DEGRADED: ("!", "degraded", "yellow"),
    Status.DOWN: ("x", "down", "red"),
    Status.MAINTENANCE: ("~", "maintenance", "blue"),
    Status.NO_DATA: ("?", "no data", "bright_black"),
}
SHOWN_WINDOWS = ("24h", "90d")
HEADS = ("", "monitor", "status", "for", "heard", "latency", *SHOWN_WINDOWS)


@dataclass(frozen=True, slots=True)
class MonitorStatuses:
    """Monitors in the order of the configuration; one that no server has met yet has no reading.

    `is_served`: a server runs, and what is shown is of now. Else it is of the instant one was last there.
    """

    as_of: int
    is_served: bool
    monitors: Sequence[tuple[MonitorConfig, Reading | None]]

    @property
    def statuses(self) -> list[Status]:
        return [status_of(reading) for _, reading in self.monitors]


def status_of(reading: Reading | None) -> Status:
    return Status.NO_DATA if reading is None else reading.report.current.status


def look(config: Config, clock: Clock) -> MonitorStatuses:
    """The fleet as the database has it; raises FatalError."""
    database = config.database.path
    if not database.exists():
        raise FatalError(f"{database}: there is no database yet")
    is_served = condition.server_of(database) is not None
    tags = [monitor.tag for monitor in config.monitors]
    now = clock() if is_served else None
    as_of, found = transactions.read(database, status.read, tags, config.site.timezone, now)
    return MonitorStatuses(
        as_of, is_served, [(monitor, found.get(monitor.tag)) for monitor in config.monitors]
    )


def as_json(fleet: MonitorStatuses) -> dict[str, Any]:
    """Instants are UTC seconds, latencies as sent, uptimes percentages as text, as in the API."""
    return {
        "asOf": fleet.as_of,
        "served": fleet.is_served,
        "summary": {status.name: fleet.statuses.count(status) for status in Status},
        "monitors": [_listed(monitor, reading) for monitor, reading in fleet.monitors],
    }


def _listed(monitor: MonitorConfig, reading: Reading | None) -> dict[str, Any]:
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
    }


def _uptime(reading: Reading | None, window: str) -> str:
    return "-" if reading is None else reading.windows[window].uptime


def table(fleet: MonitorStatuses) -> Iterator[tuple[str, str]]:
    """Lines with their colours, empty for the head: columns as wide as what is in them."""
    rows = [HEADS, *(_row(monitor, reading, fleet.as_of) for monitor, reading in fleet.monitors)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    colours = ["", *(LOOKS[status][2] for status in fleet.statuses)]
    for row, colour in zip(rows, colours, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        cells += [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        yield "  ".join(cells).rstrip(), colour


def _row(monitor: MonitorConfig, reading: Reading | None, now: int) -> tuple[str, ...]:
    sign, word, _ = LOOKS[status_of(reading)]
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


def summary(fleet: MonitorStatuses) -> str:
    """Such as "3 monitors: 2 up, 1 down; 2026-05-01 12:00:00 UTC"."""
    counts = Counter(fleet.statuses)
    parts = ", ".join(f"{counts[status]} {LOOKS[status][1]}" for status in Status if counts[status])
    time = datetime.fromtimestamp(fleet.as_of, UTC)
    count = f"{len(fleet.monitors)} monitor{'' if len(fleet.monitors) == 1 else 's'}"
    return f"{count}: {parts or 'none'}; {time:%Y-%m-%d %H:%M:%S} UTC"
