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


@lru_cache(maxsize=4096)
def _next_after(expression: str, zone: str, instant: int) -> int:
    after = datetime.fromtimestamp(instant, ZoneInfo(zone))
    return int(croniter(expression, after).get_next(datetime).timestamp())
