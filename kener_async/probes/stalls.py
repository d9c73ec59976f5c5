"""Stalls of the event loop: how long it did not run while attempts were under way."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

TICK_SECONDS = 0.02
KEPT = 256  # stalls
SHORTEST = 0.01  # seconds


class Stalls:
    """Notice how late a timer of the loop is. It ticks only within `watched`, so an idle process does not."""

    def __init__(self) -> None:
        self._watched = 0
        self._due = 0.0  # of the next tick, in the loop's time
        self._timer: asyncio.TimerHandle | None = None
        self._stalls: deque[tuple[float, float]] = deque(maxlen=KEPT)  # when each ended, and its seconds

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the loop while an attempt is under way."""
        self._watched += 1
        if self._timer is None:
            self._start(asyncio.get_running_loop())
        try:
            yield
        finally:
            self._watched -= 1
            if not self._watched and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def longest(self, began: float) -> float:
        """The seconds of the longest stall since an instant of the loop's time."""
        now = asyncio.get_running_loop().time()
        late = now - max(self._due, began) if self._timer is not None else 0.0
        known = (min(seconds, ended - began) for ended, seconds in self._stalls if ended > began)
        return max(0.0, late, *known)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + TICK_SECONDS
        self._timer = loop.call_at(self._due, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        if now - self._due > SHORTEST:
            self._stalls.append((now, now - self._due))
        self._start(loop)
