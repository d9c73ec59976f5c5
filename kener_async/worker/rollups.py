"""Rollups: count the quarter-hours that are marked dirty, a short transaction at a time."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import ParamSpec, TypeVar

from kener_async.clock import Clock
from kener_async.domain.calendar import QUARTER
from kener_async.domain.errors import Unavailable
from kener_async.metrics import Metrics
from kener_async.store import dirty, settling
from kener_async.store.dirty import Span
from kener_async.store.interface import Database, Work
from kener_async.store.rollups import CountedSpan
from kener_async.worker.day_sums import DaySums
from kener_async.worker.stop import NEVER, StopToken

TURN_SECONDS = 0.005  # the longest a transaction that counts may delay heartbeats

P = ParamSpec("P")
T = TypeVar("T")


class Rollups:
    """Count dirty quarters.

    `counted_at` is when all ended quarters were last counted, by the monotonic clock.
    """

    def __init__(self, database: Database, day_sums: DaySums, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._day_sums = day_sums
        self._clock = clock
        self._metrics = metrics
        self.counted_at = monotonic()

    async def transact(
        self, work: Work[P, tuple[T, Iterable[CountedSpan]]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a transaction that counts quarters beside its own work; raises Unavailable."""
        result, counted = await self._database.write_now(work, *args, **kwargs)
        self._day_sums.note_counted(counted)
        return result

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
            counted, monitors = await self._database.write_now(
                settling.settle_for, TURN_SECONDS, monitors, window, now
            )
            self._day_sums.note_counted(counted)
            for _, start, end in counted:
                self._metrics.rollup_quarters.inc((end - start) // QUARTER)
