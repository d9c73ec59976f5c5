"""Visitors and heartbeats: how a flood of the ones is kept from slowing the others.

Finished pages leave through a turnstile, a few in each turn of the event loop. Pages are made one at a time,
and the more heartbeats come in, the longer the pauses in between.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

PER_TURN = 1
REST_FOR_EACH = 0.001  # seconds; ten times what a heartbeat costs
LONGEST_REST = 1.0


class FairQueue:
    """Lets few through in one turn of the event loop; between turns whatever else is ready is served.

    The loop is never idle while somebody waits, and there is no timer: without heartbeats visitors have all
    of the processor, with them they have what the heartbeats leave.
    """

    def __init__(self) -> None:
        self._passed = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_turning = False

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    async def passed(self) -> None:
        """Return when it is the caller's turn, in order of arrival."""
        if self._passed < PER_TURN and not self._waiting:
            self._pass()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _pass(self) -> None:
        self._passed += 1
        if not self._is_turning:
            self._is_turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._passed = 0
        self._is_turning = False
        while self._waiting and self._passed < PER_TURN:
            turn = self._waiting.popleft()
            if not turn.done():  # its visitor may have gone
                turn.set_result(None)
                self._pass()


class RenderThrottle:
    """Work on pages, one piece at a time; after each it rests for the heartbeats that came meanwhile.

    So under a flood of heartbeats pages take little of the processor, and without any there is no pause.
    `heartbeats` tells how many have been stored.
    """

    def __init__(self, heartbeats: Callable[[], int]) -> None:
        self._heartbeats = heartbeats
        self._lane = asyncio.Lock()
        self._rested = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until it is time, and do the work."""
        async with self._lane:
            await asyncio.sleep(max(0.0, self._rested - monotonic()))
            before = self._heartbeats()
            try:
                yield
            finally:
                came = self._heartbeats() - before
                self._rested = monotonic() + min(came * REST_FOR_EACH, LONGEST_REST)
