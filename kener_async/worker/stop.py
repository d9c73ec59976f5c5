"""The stop token: how jobs learn that the service stops."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class StopToken:
    """Set once, when the service stops. Any thread may read `is_set`; the rest is for the event loop."""

    def __init__(self) -> None:
        self.is_set = False
        self._waiters: set[asyncio.Future[None]] = set()

    def set(self) -> None:
        self.is_set = True
        for waiter in self._waiters:
            if not waiter.done():  # because a wait that was just cancelled discards its waiter a turn later
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        """Wait for the stop."""
        if self.is_set:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    async def sleep(self, seconds: float) -> None:
        """Sleep so many seconds, or until the stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()

    async def cancelling(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Run the work and return its result; cancel it at the stop, and return None."""
        task, stop = asyncio.ensure_future(work), asyncio.ensure_future(self.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            stop.cancel()
            task.cancel()
        with suppress(asyncio.CancelledError):
            return await task
        return None


NEVER = StopToken()  # for work outside the scheduler, which nothing stops
