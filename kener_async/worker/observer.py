"""The observer: notes that the server is there, and when it was not.

A restart, a frozen or suspended machine and a clock set forward look the same: the last time anything was
observed lies a minute or more back. That span becomes a gap, in which nobody is called DOWN.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic

import structlog

from kener_async.clock import Clock
from kener_async.domain.calendar import MINUTE
from kener_async.domain.errors import Unavailable
from kener_async.domain.heartbeats import Gap, gap_between
from kener_async.domain.states import MonitorStates
from kener_async.metrics import Metrics
from kener_async.store import observer
from kener_async.store.interface import Database

log = structlog.get_logger(__name__)

SET_BACK = 5  # seconds: a smaller step backwards changes nothing that is counted in minutes
NOTED_EVERY = 15
STEP = 2  # seconds by which the wall clock may part from the monotonic one between two looks


class Observer:
    """Keeps `last_seen`, the newest instant at which anything was observed. `retention` is in seconds."""

    def __init__(
        self, database: Database, states: MonitorStates, clock: Clock, metrics: Metrics, retention: int
    ) -> None:
        self._database = database
        self._states = states
        self._clock = clock
        self._metrics = metrics
        self._retention = retention
        self._turn = asyncio.Lock()
        self.last_seen = 0
        self._tried = 0
        self._unnoted: list[Gap] = []

    async def begin(self) -> None:
        """Take up from what the database remembers; the time the service was away is a gap."""
        now = self._clock()
        await self._database.write(observer.begin, now=now, retention=self._retention)
        self.last_seen = self._tried = await self._database.read(observer.last_seen)
        await self.observe()

    def is_needed(self, now: int) -> bool:
        """Whether time has passed, or gone back, unobserved: then no answer may be given before `observe`."""
        return not -SET_BACK <= now - self.last_seen < MINUTE

    async def observe(self) -> bool:
        """Look at the clock; note a gap or a step backwards before anything else is judged by the new time.

        True when the clock was set back: then settings noted of the future are gone, and must be noted again.
        """
        async with self._turn:
            now = self._clock()
            if now < self.last_seen - SET_BACK:
                await self._rewind(now)
                return True
            gap = gap_between(self.last_seen, now)
            if gap is not None:
                log.warning("nothing was observed for a while", seconds=gap.end - gap.start)
                self._metrics.gaps.inc()
                self._unnoted.append(gap)
            self.last_seen = max(now, self.last_seen)
            if gap is not None or now - self._tried >= NOTED_EVERY:
                await self._note(now)
            return False

    async def _note(self, now: int) -> None:
        """Store what was seen; while nothing can be stored the gaps are kept for the next time."""
        self._tried = now
        with suppress(Unavailable):
            await self._database.write(observer.save_seen, gaps=tuple(self._unnoted), now=now)
            if self._unnoted:
                self._unnoted.clear()
                self._states.mark_stale()

    async def _rewind(self, now: int) -> None:
        log.warning("the clock was set back", seconds=self.last_seen - now)
        await self._database.write(observer.rewind, now=now, retention=self._retention)
        self.last_seen = self._tried = now
        self._states.mark_stale()

    @asynccontextmanager
    async def watching(
        self, look: Callable[[], Awaitable[None]], on_step: Callable[[], None]
    ) -> AsyncIterator["Observer"]:
        """Look every second, by the monotonic clock; `on_step` is called when the wall clock has jumped."""
        task = asyncio.create_task(self._watch(look, on_step), name="observer")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self.observe()
            await self._note(self.last_seen)

    async def _watch(self, look: Callable[[], Awaitable[None]], on_step: Callable[[], None]) -> None:
        offset = self._clock() - monotonic()
        while True:
            await asyncio.sleep(1)
            try:
                await look()
                before, offset = offset, self._clock() - monotonic()
                if abs(offset - before) > STEP:
                    log.warning("the clock stepped", seconds=round(offset - before))
                    on_step()
            except Unavailable:
                continue  # already logged; the next look tries again
            except Exception:
                log.exception("the observer failed")
