"""The observer: record that the server runs, and the gaps in which it did not.

A restart, a frozen or suspended machine and a clock set forward look the same: the clock was last looked at a
minute or more ago. That span becomes a gap, in which no monitor is DOWN for want of heartbeats.
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
from kener_async.worker.background import background

log = structlog.get_logger(__name__)

SET_BACK = 5  # seconds: a smaller step back changes no minute
SAVED_EVERY = 15  # seconds
STEP = 2  # seconds by which wall clock and monotonic clock may differ between two looks


class Observer:
    """Keep `last_seen`, the newest instant at which the clock was looked at. `retention` is in seconds."""

    def __init__(
        self, database: Database, states: MonitorStates, clock: Clock, metrics: Metrics, retention: int
    ) -> None:
        self._database = database
        self._states = states
        self._clock = clock
        self._metrics = metrics
        self._retention = retention
        self._lock = asyncio.Lock()
        self.last_seen = 0
        self._attempted_at = 0
        self._unsaved_gaps: list[Gap] = []

    async def begin(self) -> None:
        """Continue from `last_seen` in the database; the time since then is a gap."""
        now = self._clock()
        if await self._database.write(observer.begin, now=now, retention=self._retention):
            log.info("the database is new: nothing was stored before")
        self.last_seen = self._attempted_at = await self._database.read(observer.last_seen)
        await self.observe()

    def is_needed(self, now: int) -> bool:
        """Whether the clock moved a minute or back since the last look: then `observe` before any answer."""
        return not -SET_BACK <= now - self.last_seen < MINUTE

    async def observe(self) -> bool:
        """Look at the clock, and store a gap or a step back before anything is computed by the new time.

        Returns whether the clock was set back and what was stored for later instants was deleted: the
        settings in force must be stored again then.
        """
        async with self._lock:
            now = self._clock()
            if now < self.last_seen - SET_BACK:
                return await self._rewind(now)
            gap = gap_between(self.last_seen, now)
            if gap is not None:
                log.warning("nothing was observed for a while", seconds=gap.end - gap.start)
                self._metrics.gaps.inc()
                self._unsaved_gaps.append(gap)
            self.last_seen = max(now, self.last_seen)
            if gap is not None or now - self._attempted_at >= SAVED_EVERY:
                await self._save(now)
            return False

    async def _save(self, now: int) -> None:
        """Store `last_seen` and the gaps; while nothing can be stored the gaps are kept for the next time."""
        self._attempted_at = now
        with suppress(Unavailable):
            await self._database.write(observer.save_seen, gaps=tuple(self._unsaved_gaps), now=now)
            if self._unsaved_gaps:
                self._unsaved_gaps.clear()
                self._states.mark_stale()

    async def _rewind(self, now: int) -> bool:
        log.warning("the clock was set back", seconds=self.last_seen - now)
        is_changed = await self._database.write(
            observer.rewind, seen=self.last_seen, now=now, retention=self._retention
        )
        self.last_seen = self._attempted_at = now
        if is_changed:
            self._states.mark_stale()
        else:
            self._states.note_set_back()
        return is_changed

    @asynccontextmanager
    async def watching(
        self, look: Callable[[], Awaitable[None]], on_step: Callable[[], None]
    ) -> AsyncIterator["Observer"]:
        """Call `look` every second by the monotonic clock, and `on_step` when the wall clock stepped."""
        try:
            async with background(self._watch(look, on_step), "observer"):
                yield self
        finally:
            await self.observe()
            await self._save(self.last_seen)

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
                continue  # logged by the store; tried again in a second
            except Exception:
                log.exception("the observer failed")
