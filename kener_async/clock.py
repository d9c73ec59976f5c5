"""The clock, passed in wherever time matters, in whole UTC seconds; and cron schedules.

The stopwatch is the same clock with fractions of a second, for durations that may span a restart.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter

Clock = Callable[[], int]
Stopwatch = Callable[[], float]


def system_clock() -> int:
    return int(time.time())


def stopwatch_of(clock: Clock) -> Stopwatch:
    """The stopwatch that belongs to a clock."""
    return time.time if clock is system_clock else clock


@dataclass(frozen=True, slots=True)
class Cron:
    """A Schedule (domain/heartbeats.py)."""

    expression: str
    zone: str = "UTC"

    def next_after(self, instant: int) -> int:
        return _next_after(self.expression, self.zone, instant)


def is_cron(expression: str) -> bool:
    """Whether it is a cron expression of five fields without random parts."""
    fields = expression.split()
    random = any(part[:1] in "rR" for field in fields for part in field.split(","))
    return len(fields) == 5 and not random and bool(croniter.is_valid(expression))


@lru_cache(maxsize=4096)
def _next_after(expression: str, zone: str, instant: int) -> int:
    after = datetime.fromtimestamp(instant, ZoneInfo(zone))
    return int(croniter(expression, after).get_next(datetime).timestamp())
