"""Checks: what an attempt saw, and the samples that follow from the attempts of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from kener_async.domain.calendar import minute_of
from kener_async.domain.heartbeats import CronSchedule
from kener_async.domain.samples import Status

LONGEST_REASON = 200  # characters


class Obstacle(StrEnum):
    """Why an attempt was not measured: an error of our own, which says nothing about the target."""

    FILES = "files"  # out of file descriptors
    MEMORY = "memory"  # out of memory, buffers or threads
    PERMISSION = "permission"  # such as that for ICMP, or to reach an address that is not public
    ADDRESS = "address"  # of our own, or port, to connect from
    SECRET = "secret"  # noqa: S105  the word, not one
    STALL = "stall"  # of the event loop, while the attempt timed out
    NAMES = "names"  # no name can be resolved now
    OFFLINE = "offline"
    PROGRAM = "program"  # a command that could not be started
    DEFECT = "defect"  # of this program


class Phases(NamedTuple):
    """The seconds of each phase of a latency; None: there was no such phase, or it was not reached."""

    name: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None


NO_PHASES = Phases()


@dataclass(frozen=True, slots=True)
class SeenCertificate:
    """A certificate that a target sent. `ends` is in UTC seconds, `fault` says what is wrong, or is empty."""

    fingerprint: bytes
    subject: str
    issuer: str
    ends: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a run, begun at the instant `at` (UTC seconds).

    `status` None: not measured, because of the `obstacle`. `seconds` is the latency. `reason` is empty if it
    is UP, else at most LONGEST_REASON characters without secrets. `is_network`: it failed by the network, not
    by what the target answered. `certificates`: the chain as sent, the target's own first.
    """

    at: float
    status: Status | None
    seconds: float = 0.0
    reason: str = ""
    phases: Phases = NO_PHASES
    certificates: tuple[SeenCertificate, ...] = ()
    is_network: bool = False
    obstacle: Obstacle | None = None


@dataclass(frozen=True, slots=True)
class CheckTiming:
    """When a run begins, and how often it tries; in seconds. With `cron`, at its times instead of `every`."""

    every: int
    timeout: float
    retries: int = 2
    retry_every: float = 20
    cron: CronSchedule | None = None

    @property
    def hold(self) -> int:
        """The seconds for which a status is held between runs."""
        return int(self.every + self.timeout + self.retries * (self.retry_every + self.timeout) + 60)


class CheckedMinute(NamedTuple):
    """What a run says about one minute. `seconds` is the latency."""

    minute: int
    status: Status
    seconds: float


def is_over(attempts: Sequence[Attempt], retries: int) -> bool:
    """Whether a run has ended with these attempts.

    It ends with the first good one, when all retries are used up, and at once if the first could not be
    measured: there is no failure to confirm then, and the next run is due soon enough.
    """
    if not attempts:
        return False
    is_confirming = any(attempt.status is not None for attempt in attempts)
    return attempts[-1].status is Status.UP or not is_confirming or len(attempts) > retries


def verdict(attempts: Sequence[Attempt]) -> tuple[CheckedMinute, ...]:
    """The minutes that an ended run decides, oldest first.

    A good last attempt decides its own minute only; when all were bad, each decides its own, and of those in
    one minute the worst, of equal ones the last. What was not measured decides nothing.
    """
    minutes = [
        CheckedMinute(minute_of(int(attempt.at)), attempt.status, attempt.seconds)
        for attempt in attempts
        if attempt.status is not None
    ]
    if minutes and minutes[-1].status is Status.UP:
        return (minutes[-1],)
    worst: dict[int, CheckedMinute] = {}
    for checked in minutes:
        before = worst.get(checked.minute)
        if before is None or checked.status >= before.status:
            worst[checked.minute] = checked
    return tuple(worst[minute] for minute in sorted(worst))
