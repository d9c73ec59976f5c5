"""The clock, which is passed in wherever time matters: whole UTC seconds.

What lasts over a restart is measured by the same clock to a fraction of a second: the stopwatch.
"""

import time
from collections.abc import Callable

Clock = Callable[[], int]
Stopwatch = Callable[[], float]


def system_clock() -> int:
    return int(time.time())


def stopwatch_of(clock: Clock) -> Stopwatch:
    """What measures durations beside the clock."""
    return time.time if clock is system_clock else clock
