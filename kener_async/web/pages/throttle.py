"""Keep a flood of visitors from slowing heartbeats.

Requests for pages pass a fair queue, one in each turn of the event loop. Pages are rendered one at a time,
with pauses that grow with the number of heartbeats that arrived meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from aiohttp import web

PER_TURN = 1
PAUSE_PER_HEARTBEAT = 0.001  # seconds; ten times what a heartbeat costs
MAX_PAUSE = 1.0


class FairQueue:
    """Admits PER_TURN callers in one turn of the event loop, so that other callbacks run in between.

    There is no timer, and the loop is never idle while callers wait: without heartbeats visitors get the
    whole processor, otherwise what heartbeats leave.
    """

    def __init__(self) -> None:
        self._admitted = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_scheduled = False

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._waiting)

    async def wait_turn(self) -> None:
        """Return when it is the caller's turn, in order of arrival."""
        if self._admitted < PER_TURN and not self._waiting:
            self._admit()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _admit(self) -> None:
        self._admitted += 1
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._admitted = 0
        self._is_scheduled = False
        while self._waiting and self._admitted < PER_TURN:
            turn = self._waiting.popleft()
            if not turn.done():  # done: the request was cancelled
                turn.set_result(None)
                self._admit()


FAIR_QUEUE = web.AppKey("fair queue", FairQueue)


class RenderThrottle:
    """Admits one caller at a time, and after each pauses for the heartbeats that were stored meanwhile.

    Under a flood of heartbeats rendering so takes little of the processor; without any there is no pause.
    `heartbeats` returns how many have been stored so far.
    """

    def __init__(self, heartbeats: Callable[[], int]) -> None:
        self._heartbeats = heartbeats
        self._lock = asyncio.Lock()
        self._paused_until = 0.0

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait until no other caller works and the pause is over."""
        async with self._lock:
            await asyncio.sleep(max(0.0, self._paused_until - monotonic()))
            before = self._heartbeats()
            try:
                yield
            finally:
                stored = self._heartbeats() - before
                self._paused_until = monotonic() + min(stored * PAUSE_PER_HEARTBEAT, MAX_PAUSE)
