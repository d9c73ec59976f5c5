"""Monitor states: load them from the store, and load again those that have become stale."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress

from kener_async.clock import Clock
from kener_async.domain.calendar import quarter_of
from kener_async.domain.errors import Invalid, Unavailable
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.states import MonitorState, MonitorStates
from kener_async.metrics import Metrics
from kener_async.store import states as stored_states
from kener_async.store.interface import Database
from kener_async.worker.observer import Observer
from kener_async.worker.rollups import Rollups

LOADED_AT_ONCE = 10


class StateLoader:
    """Keep the monitor states true to what is stored. `configured` returns the settings by tag."""

    def __init__(
        self,
        database: Database,
        states: MonitorStates,
        clock: Clock,
        observer: Observer,
        rollups: Rollups,
        metrics: Metrics,
        configured: Callable[[], Mapping[str, MonitorSettings]],
    ) -> None:
        self._database = database
        self._states = states
        self._clock = clock
        self._observer = observer
        self._rollups = rollups
        self._metrics = metrics
        self._configured = configured
        self._ids: dict[str, int] = {}
        # One load of a monitor at a time: because when it becomes stale, every request for it wants to load
        # it, and all but the first find it fresh once they have the lock.
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def register(self) -> None:
        """Register the configured monitors, note their settings from now on, and load them."""
        settings = self._configured()
        now = self._clock()
        self._ids, kept_from = await self._database.write(stored_states.register, settings, now)
        self._states.keep_only(settings)
        self._states.note_kept_from(kept_from)
        self._rollups.keep_only(self._ids.values())
        await self.load(list(self._ids))
        self._metrics.monitors.set(len(self._ids))

    async def load(self, tags: list[str]) -> None:
        """Load these monitors, a few in each transaction; raises Unavailable."""
        for first in range(0, len(tags), LOADED_AT_ONCE):
            await self._load_some(tags[first : first + LOADED_AT_ONCE])

    async def _load_some(self, tags: list[str]) -> None:
        """Count what is dirty of today, and publish these monitors as stored."""
        ids = {tag: self._ids[tag] for tag in tags if tag in self._ids}
        # On the writer's connection, and nothing is awaited before `publish`: because transactions there end
        # in order, a sample stored after this load is added to the new state, and none gets lost between.
        states = await self._rollups.transact(stored_states.load_many, ids, self._clock())
        self._states.publish(state for state in states if self._ids.get(state.tag) == state.id)

    async def observe(self) -> None:
        """Look at the clock before anything is judged by it."""
        if await self._observer.observe():
            await self.register()

    async def state(self, tag: str) -> MonitorState:
        """The monitor, not older than any answer given before; raises Invalid for an unknown tag."""
        now = self._clock()
        if self._observer.is_needed(now):
            with suppress(Unavailable):
                await self.observe()
        state = self._states.find(tag)
        if state is not None and self._states.is_stale(state, now):
            try:
                await self._refresh(state)
            except Unavailable:
                # Nothing can be stored now, but what is stored can be counted without.
                return await self.read(state, now)
            state = self._states.find(tag)
        if state is None:
            raise Invalid("invalid tag")
        return state

    async def _refresh(self, stale: MonitorState) -> None:
        async with self._locks[stale.id]:
            state = self._states.find(stale.tag)
            if state is not None and self._states.is_stale(state, self._clock()):
                await self._load_some([stale.tag])

    async def at_quarter(self, state: MonitorState, now: int) -> MonitorState:
        """The monitor as it is based on the current quarter; only read, while it cannot be loaded."""
        current = state if state.base == quarter_of(now) else self._states.find(state.tag)
        if current is None or current.base != quarter_of(now):
            return await self.read(state, now)
        return current

    async def read(self, state: MonitorState, now: int) -> MonitorState:
        """The monitor as stored, without publishing it."""
        return await self._database.read(stored_states.load, state.id, state.tag, now)

    async def roll(self) -> None:
        """The scheduled job: count the quarters that have ended, then load the monitors that changed."""
        await self.observe()
        now = self._clock()
        await self._rollups.count_ended()
        current = quarter_of(now)
        await self.load(
            [state.tag for state in self._states if state.base < current or self._states.is_stale(state, now)]
        )
