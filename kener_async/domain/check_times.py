"""Due times of checks: when each run begins, on a clock that is never set."""

from dataclasses import dataclass
from hashlib import blake2b
from math import floor

from kener_async.domain.heartbeats import CronSchedule

PHASES = 1 << 32
TOLERANCE = 0.001  # seconds: a due time that is so near is the one that has just come


def phase_of(tag: str, every: float) -> float:
    """The seconds of an interval at which runs of a monitor begin, from the tag alone.

    So the monitors of one interval are spread over it, and a restart moves none.
    """
    digest = blake2b(tag.encode(), digest_size=4).digest()
    return every * int.from_bytes(digest, "big") / PHASES


@dataclass(frozen=True, slots=True)
class IntervalTimes:
    """Due times every `every` seconds, one of them at `first`, on the monotonic clock."""

    every: float
    first: float

    def next_after(self, instant: float) -> float:
        """The first due time after an instant; those before it are left out."""
        return self.first + self.every * (floor((instant + TOLERANCE - self.first) / self.every) + 1)


@dataclass(frozen=True, slots=True)
class CronTimes:
    """Due times of a cron expression, on the monotonic clock; UTC seconds are `ahead` of it."""

    schedule: CronSchedule
    ahead: float

    def next_after(self, instant: float) -> float:
        """The first due time after an instant; those before it are left out."""
        return self.schedule.next_after(floor(instant + TOLERANCE + self.ahead)) - self.ahead


CheckTimes = IntervalTimes | CronTimes


def check_times(tag: str, every: float, cron: CronSchedule | None, ahead: float) -> CheckTimes:
    """The due times of a monitor's check, where UTC seconds are `ahead` of the monotonic clock."""
    if cron is not None:
        return CronTimes(cron, ahead)
    return IntervalTimes(every, phase_of(tag, every) - ahead)
