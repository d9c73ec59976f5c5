"""The clock, which is passed in wherever time matters: whole UTC seconds."""

import time
from collections.abc import Callable

Clock = Callable[[], int]


def system_clock() -> int:
    return int(time.time())
