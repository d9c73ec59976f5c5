"""Overviews: the days and windows of each monitor, as of the current minute."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from kener_async.clock import Clock
from kener_async.domain.calendar import minute_end, quarter_of
from kener_async.domain.errors import Unavailable
from kener_async.domain.overview import Day, Overview, PastCounts, first_instant, frame_at
from kener_async.domain.states import MonitorState, MonitorStates
from kener_async.domain.uptime import Counts
from kener_async.store import overview
from kener_async.store.interface import Database
from kener_async.worker.rollups import Rollups
from kener_async.worker.states import StateLoader
from kener_async.worker.stop import NEVER, StopToken

# Monitors handled before the loop gets a turn: read in one transaction, checked in `read_ahead`, added up for
# a request, and for the metrics, which are in no hurry.
READ_AT_ONCE = 10
CHECKED_AT_ONCE = 100
ADDED_AT_ONCE = 100
SCRAPED_AT_ONCE = 5


class Overviews:
    """What each monitor adds up to before the current quarter, read once and kept until the quarter turns."""

    def __init__(
        self, database: Database, states: MonitorStates, loader: StateLoader, rollups: Rollups, clock: Clock
    ) -> None:
        self._database = database
        self._states = states
        self._loader = loader
        self._rollups = rollups
        self._clock = clock
        # By state: a monitor is loaded again whenever something before its current quarter changes, and the
        # new state has no past here, so a past that is found is never out of date.
        self._pasts: WeakKeyDictionary[MonitorState, PastCounts] = WeakKeyDictionary()
        # One read of pasts at a time: because two visitors at once want the same ones, and the second finds
        # them here when it has the lock.
        self._lock = asyncio.Lock()

    async def of(self, states: Sequence[MonitorState], zone: ZoneInfo) -> list[Overview]:
        """For each monitor its windows and the days of the zone, all up to the end of the current minute.

        Within a quarter the store is read only for monitors that were loaded again.
        """
        now = self._clock()
        return [
            past.overview(running, minute_end(now))
            async for past, running in self._past_and_running(states, zone, now)
        ]

    async def days_of(
        self, states: Sequence[MonitorState], zone: ZoneInfo
    ) -> list[tuple[Sequence[Day], Sequence[Counts]]]:
        """For each monitor the days of the zone and their counts, equal to those of its overview.

        They take less time, because no windows are counted.
        """
        now = self._clock()
        return [
            (past.frame.days, past.days_until(running))
            async for past, running in self._past_and_running(states, zone, now)
        ]

    async def _past_and_running(
        self, states: Sequence[MonitorState], zone: ZoneInfo, now: int
    ) -> AsyncIterator[tuple[PastCounts, Counts]]:
        """For each monitor its past and the counts of the current quarter up to the end of the minute."""
        states = await self._at_quarter(states, now)
        pasts = await self._pasts_of(states, zone, now)
        for number, (state, past) in enumerate(zip(states, pasts, strict=True), 1):
            yield past, state.running(now)
            if number % ADDED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def cached(self, zone: ZoneInfo) -> AsyncIterator[tuple[MonitorState, Overview]]:
        """The overviews that need nothing from the store: all of them, except just after a quarter turned."""
        now = self._clock()
        end = minute_end(now)
        pasts = self._cached_pasts(self._states, zone, quarter_of(now))
        for count, (state, past) in enumerate(pasts.items()):
            if state.base == quarter_of(now):
                yield state, past.overview(state.running(now), end)
            if count % SCRAPED_AT_ONCE == 0:  # no visitor waits for these: heartbeats go first
                await asyncio.sleep(0)

    async def read_ahead(self, zone: ZoneInfo, stop: StopToken = NEVER) -> None:
        """The scheduled job: read what overviews will need, so that no visitor waits for it."""
        now = self._clock()
        states = list(self._states)
        for first in range(0, len(states), CHECKED_AT_ONCE):
            if stop.is_set:
                return
            some = states[first : first + CHECKED_AT_ONCE]
            current = [state for state in some if state.base == quarter_of(now)]
            fresh = [state for state in current if not self._states.is_stale(state, now)]
            await self._pasts_of(fresh, zone, now)
            await asyncio.sleep(0)  # heartbeats go first, also when thousands of monitors are cached already

    async def _at_quarter(self, states: Sequence[MonitorState], now: int) -> list[MonitorState]:
        """The monitors, loaded again where they are based on another quarter than the current."""
        with suppress(Unavailable):
            await self._loader.load([state.tag for state in states], base=quarter_of(now))
        return [await self._loader.at_quarter(state, now) for state in states]

    async def _pasts_of(self, states: Sequence[MonitorState], zone: ZoneInfo, now: int) -> list[PastCounts]:
        base = quarter_of(now)
        pasts = self._cached_pasts(states, zone, base)
        missing = [state for state in dict.fromkeys(states) if state not in pasts]
        if missing:
            await self._rollups.settle([state.id for state in missing], first_instant(base, zone), base)
        for first in range(0, len(missing), READ_AT_ONCE):
            pasts |= await self._read_pasts(missing[first : first + READ_AT_ONCE], zone, now)
        return [pasts[state] for state in states]

    def _cached_pasts(
        self, states: Iterable[MonitorState], zone: ZoneInfo, base: int
    ) -> dict[MonitorState, PastCounts]:
        # Compared by identity: because a frame is one object as long as quarter, zone and kept span stay the
        # same, and a past that was read for another frame is cut into other days.
        frame = frame_at(base, zone, self._states.kept_from)
        return {state: past for state in states if (past := self._pasts.get(state)) and past.frame is frame}

    async def _read_pasts(
        self, states: Sequence[MonitorState], zone: ZoneInfo, now: int
    ) -> dict[MonitorState, PastCounts]:
        async with self._lock:
            pasts = self._cached_pasts(states, zone, quarter_of(now))  # another task may have read them
            missing = [state for state in states if state not in pasts]
            read = await self._database.read(overview.load_many, [state.id for state in missing], zone, now)
            for state, past in zip(missing, read, strict=True):
                pasts[state] = self._pasts[state] = past
        return pasts
