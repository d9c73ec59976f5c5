"""Alerts: rules over the measured minutes of a monitor, and what an alert of one becomes (docs/alerts.md).

A rule looks at the streak that reaches the present and at nothing earlier. Only alerts are stored: every
threshold is computed from the minutes, so that a restart changes nothing.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from kener_async.domain.hours import Hours
from kener_async.domain.samples import Status


class Severity(IntEnum):
    """How urgent an alert is; the numbers are stored."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True, slots=True)
class StatusIs:
    """The status is this one or a worse one: DEGRADED or DOWN; or NO_DATA: nothing is known."""

    status: Literal[Status.DEGRADED, Status.DOWN, Status.NO_DATA]


@dataclass(frozen=True, slots=True)
class LatencyAbove:
    """The latency of a sample is above a limit, in the monitor's unit, or the status is DOWN."""

    limit: float


@dataclass(frozen=True, slots=True)
class UptimeBelow:
    """The uptime of a window is below a percentage; it recovers at `recover_at` percent. Not a streak."""

    percent: float
    window: Literal["24h", "7d", "30d", "90d"]
    recover_at: float


@dataclass(frozen=True, slots=True)
class BurnRate:
    """The error budget of `target` percent is used `rate` times as fast as the window allows.

    Both over `long` and over `short` seconds, so that it ends soon after the cause has ended. Not a streak.
    """

    rate: float
    target: float
    long: int
    short: int


@dataclass(frozen=True, slots=True)
class CertificateWithin:
    """The certificate that counts ends within so many seconds, or has ended. Not a streak."""

    seconds: int


Condition = StatusIs | LatencyAbove | UptimeBelow | BurnRate | CertificateWithin


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When an alert of a monitor opens and closes, and who is told. Times are in seconds.

    `remind_every` 0: never. `to` are the names of channels. `incident` is whether one is opened with it.
    """

    name: str
    condition: Condition
    after: int = 0
    count: int = 1
    recover_after: int = 0
    recover_count: int = 1
    remind_every: int = 0
    remind_times: int = 20
    severity: Severity = Severity.CRITICAL
    flapping: bool = True
    flap_quiet: int = 15 * 60
    to: tuple[str, ...] = ()
    incident: Literal["", "publish", "draft"] = ""
    template: str = ""
    join_by: Literal["category", "rule", "none"] = "category"
    hours: Hours | None = None


class Closing(IntEnum):
    """How an alert ended; the numbers are stored."""

    RESOLVED = 0
    RETRACTED = 1  # late reports showed that it never was
    REMOVED = 2  # the rule or the monitor is gone


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule being true of one monitor, as stored. Instants are UTC seconds.

    `told_at` None: it opened quietly. `because` is the id of a parent that was bad. `is_flapping`: it opened
    while the pair of monitor and rule was flapping (the fourth within an hour, and all until it settled);
    `settled_at` is when the pair had kept one side for long enough. `until` is where the good streak began,
    `closed_at` when that was noticed.
    """

    id: int
    monitor: int
    rule: str
    severity: Severity
    since: int
    opened_at: int
    told_at: int | None = None
    reminders: int = 0
    reminded_at: int | None = None
    because: int | None = None
    is_flapping: bool = False
    settled_at: int | None = None
    acknowledged_at: int | None = None
    acknowledged_by: str = ""
    acknowledged_from: str = ""
    snoozed_until: int | None = None
    incident: int | None = None
    until: int | None = None
    closed_at: int | None = None
    closing: Closing | None = None
