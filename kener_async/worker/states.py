"""Monitor states: load them from the store, and load again those that have become stale."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from kener_async.worker.stop import NEVER, StopToken

LOADED_AT_ONCE = 25


class StateLoader:
    """Keep the monitor states true to the configuration in force and to what is stored."""

    def __init__(
        self,
        database: Database,
        states: MonitorStates,
        clock: Clock,
        observer: Observer,
        rollups: Rollups,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._states = states
        self._clock = clock
        self._observer = observer
        self._rollups = rollups
        self._metrics = metrics
        self._settings: Mapping[str, MonitorSettings] = {}
        self._are_settings_stored = True
        # One registration at a time: because one that is stored first and published last would leave monitors
        # in memory that are not those of the store.
        self._registration = asyncio.Lock()
        # One load at a time: because every request for a monitor that has become stale wants to load it, and
        # all but the first find it fresh once they have the lock.
        self._loading = asyncio.Lock()

    async def configure(self, settings: Mapping[str, MonitorSettings], swap: Callable[[], None]) -> None:
        """Put the monitors of a configuration in force, with these settings by tag from now on.

        `swap` puts the rest of the configuration in force. Raises Unavailable when the monitors cannot be
        stored; then nothing has changed.
        """
        async with self._registration:
            await self._register(settings, swap)
        with suppress(Unavailable):
            await self.load(list(settings))

    async def _register(self, settings: Mapping[str, MonitorSettings], swap: Callable[[], None]) -> None:
        now = self._clock()
        ids, kept_from = await self._database.write(stored_states.register, settings, now)
        # Nothing is awaited from here on: because a request must find the new configuration with the states
        # of all its monitors, or the old one with the old. Stale ones are loaded when a request needs them.
        swap()
        self._settings, self._are_settings_stored = settings, True
        self._states.configure(ids, settings, now)
        self._states.note_kept_from(kept_from)
        self._metrics.monitors.set(len(ids))

    async def load(self, tags: Sequence[str], base: int = 0, stop: StopToken = NEVER) -> None:
        """Load those of these monitors that are stale or based on a quarter before `base`, until the stop.

        A few in each transaction, so that heartbeats need not wait for all. Raises Unavailable.
        """
        for some in self._batches([tag for tag in tags if self._is_due(tag, base)]):
            if stop.is_set:
                return
            async with self._loading:
                still_due = [tag for tag in some if self._is_due(tag, base)]
                if still_due:
                    await self._load_some(still_due)

    def _batches(self, tags: Sequence[str]) -> Iterator[Sequence[str]]:
        """Divide monitors into those of one transaction; a group is alone, as it may have many members."""
        groups = [tag for tag in tags if tag in self._states.groups]
        others = [tag for tag in tags if tag not in self._states.groups]
        yield from (others[at : at + LOADED_AT_ONCE] for at in range(0, len(others), LOADED_AT_ONCE))
        yield from ([group] for group in groups)

    def _is_due(self, tag: str, base: int) -> bool:
        state = self._states.find(tag)
        return state is not None and (state.base < base or self._states.is_stale(state, self._clock()))

    async def _load_some(self, tags: Sequence[str]) -> None:
        """Count what is dirty of today, and publish these monitors as stored."""
        ids = {tag: state.id for tag in tags if (state := self._states.find(tag)) is not None}
        # On the writer's connection, and nothing is awaited before `publish`: because transactions there end
        # in order, a sample stored after this load is added to the new state, and none gets lost between.
        states = await self._rollups.transact(stored_states.load_many, ids, self._clock())
        self._states.publish(state for state in states if self._states.find(state.tag) is not None)

    async def observe(self) -> None:
        """Look at the clock before anything is judged by it."""
        if await self._observer.observe():
            self._are_settings_stored = False
        if not self._are_settings_stored:  # also when that failed at the last look
            async with self._registration:
                await self._register(self._settings, lambda: None)
            await self.load(list(self._settings))

    async def state(self, tag: str) -> MonitorState:
        """The monitor of a tag, as `current`; raises Invalid for an unknown tag."""
        state = self._states.find(tag)
        if state is None:
            raise Invalid("invalid tag")
        now = self._clock()
        if self._observer.is_needed(now) or self._states.is_stale(state, now):
            (state,) = await self.current([state])
        return state

    async def current(self, states: Sequence[MonitorState]) -> list[MonitorState]:
        """These monitors, not older than any answer given before, also those a reload removes meanwhile."""
        if self._observer.is_needed(self._clock()):
            with suppress(Unavailable):
                await self.observe()
        with suppress(Unavailable):
            await self.load([state.tag for state in states])
        now = self._clock()
        current = [self._states.find(state.tag) or state for state in states]
        # What is still stale could not be loaded, because nothing can be stored now: it is only read.
        return [await self.read(one, now) if self._states.is_stale(one, now) else one for one in current]

    async def at_quarter(self, state: MonitorState, now: int) -> MonitorState:
        """The monitor as it is based on the current quarter; only read, while it cannot be loaded."""
        current = state if state.base == quarter_of(now) else self._states.find(state.tag)
        if current is None or current.base != quarter_of(now):
            return await self.read(state, now)
        return current

    async def read(self, state: MonitorState, now: int) -> MonitorState:
        """The monitor as stored, without publishing it."""
        return await self._database.read(stored_states.load, state.id, state.tag, now)

    async def roll(self, stop: StopToken = NEVER) -> None:
        """The scheduled job: count the quarters that have ended, then load the monitors that changed."""
        await self.observe()
        now = self._clock()
        await self._rollups.count_ended(stop)
        await self.load([state.tag for state in self._states], base=quarter_of(now), stop=stop)
