"""Rollups: count the quarter-hours that are marked dirty, a short transaction at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import ParamSpec, TypeVar

from kener_async.clock import Clock
from kener_async.domain.calendar import QUARTER
from kener_async.domain.day_counts import DayCountsCache
from kener_async.domain.errors import Unavailable
from kener_async.metrics import Metrics
from kener_async.store import dirty, rollups
from kener_async.store.dirty import Span
from kener_async.store.interface import Database, Work
from kener_async.store.rollups import CountedSpan
from kener_async.worker.stop import NEVER, StopToken

TURN_SECONDS = 0.005  # the longest a transaction that counts may delay heartbeats

P = ParamSpec("P")
T = TypeVar("T")


class Rollups:
    """Count dirty quarters, and drop the days they belong to from the cache of day counts.

    `counted_at` is when all ended quarters were last counted, by the monotonic clock.
    """

    def __init__(self, database: Database, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._clock = clock
        self._metrics = metrics
        self._days = DayCountsCache()
        # Held from a transaction that counts quarters or reads days until the cache agrees with it: because
        # days read before a count, but cached after it, would keep the old counts. Never held while another
        # process has locked the database, because pages wait for it.
        self._lock = asyncio.Lock()
        self.counted_at = monotonic()

    @asynccontextmanager
    async def day_counts(self) -> AsyncIterator[DayCountsCache]:
        """Hold off counting while days are read into the cache."""
        async with self._lock:
            yield self._days

    async def transact(
        self, work: Work[P, tuple[T, Iterable[CountedSpan]]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a transaction that counts quarters beside its own work; raises Unavailable."""
        async with self._lock:
            result, counted = await self._database.write_now(work, *args, **kwargs)
            self._drop_days(counted)
        return result

    def keep_only(self, monitors: Iterable[int]) -> None:
        """Drop the cached days of all other monitors."""
        self._days.keep_only(monitors)

    async def settle(self, monitors: Sequence[int], start: int, end: int) -> None:
        """Count the dirty quarters of the monitors in `[start, end)` that have ended.

        While nothing can be stored they stay dirty, and readers count them from the layers.
        """
        window, now = (start, end), self._clock()
        with suppress(Unavailable):
            await self._count(await self._database.read(dirty.unsettled, monitors, window, now), window)

    async def count_ended(self, stop: StopToken = NEVER) -> None:
        """Count every dirty quarter that has ended, until the stop; raises Unavailable."""
        now = self._clock()
        await self._database.write(dirty.mark_closed, now)
        await self._count(await self._database.read(dirty.monitors, now), (0, now), stop)
        if not stop.is_set:
            self.counted_at = monotonic()

    async def _count(self, monitors: list[int], window: Span, stop: StopToken = NEVER) -> None:
        """Count what is dirty of these monitors in the window."""
        while monitors and not stop.is_set:
            now = self._clock()
            async with self._lock:
                counted, monitors = await self._database.write_now(
                    rollups.settle_for, TURN_SECONDS, monitors, window, now
                )
                self._drop_days(counted)
            for _, start, end in counted:
                self._metrics.rollup_quarters.inc((end - start) // QUARTER)

    def _drop_days(self, counted: Iterable[CountedSpan]) -> None:
        for span in counted:
            self._days.invalidate(*span)
