"""Stalls of the event loop: how long it did not run while attempts were under way.

Each tick wakes an idle process, which costs more than all else here: at 20 ms, a quarter of a check. A stall
begins anywhere between two ticks, so it is taken for the lateness of the tick and half the time between two.
"""

import asyncio
from collections import deque

TICK_SECONDS = 0.05
KEPT = 256  # stalls
SHORTEST = 0.01  # seconds that a tick is late by


class Stalls:
    """Notice how late a timer of the loop is. It ticks only within `with`, where many may be at once."""

    def __init__(self) -> None:
        self._watched = 0
        self._due = 0.0  # of the next tick, in the loop's time
        self._timer: asyncio.TimerHandle | None = None
        self._stalls: deque[tuple[float, float]] = deque(maxlen=KEPT)  # when each ended, and its seconds

    def __enter__(self) -> None:
        self._watched += 1
        if self._timer is None:
            self._start(asyncio.get_running_loop())

    def __exit__(self, *_: object) -> None:
        self._watched -= 1
        if not self._watched and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def longest(self, began: float) -> float:
        """The seconds of the longest stall since an instant of the loop's time, as far as ticks tell."""
        now = asyncio.get_running_loop().time()
        known = (min(seconds, ended - began) for ended, seconds in self._stalls if ended > began)
        under_way = min(self._stalled(now), now - began) if self._timer is not None else 0.0
        return max(0.0, under_way, *known)

    def _stalled(self, now: float) -> float:
        """The seconds of the stall that the tick under way shows, or 0."""
        late = now - self._due
        return late + TICK_SECONDS / 2 if late > SHORTEST else 0.0

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + TICK_SECONDS
        self._timer = loop.call_at(self._due, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        if seconds := self._stalled(now):
            self._stalls.append((now, seconds))
        self._start(loop)
