"""The publisher: keeps the quarters counted and the monitor states true to what is stored."""

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic, perf_counter
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

import structlog

from kener_async.clock import Clock
from kener_async.domain.calendar import MINUTE, QUARTER, minute_of, quarter_of, utc_day_of
from kener_async.domain.day_counts import DayCountsCache
from kener_async.domain.errors import Invalid, Unavailable
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.overview import Overview, PastCounts, first_instant, frame_at
from kener_async.domain.states import MonitorState, MonitorStates
from kener_async.domain.uptime import Counts
from kener_async.metrics import Metrics
from kener_async.store import dirty, monitors, observer, rollups
from kener_async.store import overview as stored_overview
from kener_async.store import states as stored_states
from kener_async.store.dirty import Span
from kener_async.store.sqlite.connections import Database
from kener_async.worker.observer import Observer

log = structlog.get_logger(__name__)

CHUNK = 96  # quarters counted at a time: one day
TURN_SECONDS = 0.005  # how long counting may hold up heartbeats
LOADED_AT_ONCE = 10
READ_AT_ONCE = 10
LOOKED_AT_ONCE = 100
TOLD_AT_ONCE = 100
GLANCED_AT_ONCE = 5

Counted = tuple[int, int, int]


class Publisher:
    """`configured` tells which monitors there are now, and their settings."""

    def __init__(
        self,
        database: Database,
        states: MonitorStates,
        clock: Clock,
        observer: Observer,
        metrics: Metrics,
        configured: Callable[[], Mapping[str, MonitorSettings]],
    ) -> None:
        self._database = database
        self._states = states
        self._days = DayCountsCache()
        self._pasts: WeakKeyDictionary[MonitorState, PastCounts] = WeakKeyDictionary()
        self._counting = asyncio.Lock()  # held from a count, or a read of days, until the book agrees with it
        self._clock = clock
        self._observer = observer
        self._metrics = metrics
        self._configured = configured
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ids: dict[str, int] = {}
        self.settled_at = monotonic()

    async def register(self) -> None:
        """Take the monitors of the configuration on, with their settings from now on, and publish them."""
        settings = self._configured()
        now = self._clock()
        self._ids, kept_from = await self._database.write(partial(_registered, settings=settings, now=now))
        self._states.keep_only(settings)
        self._states.note_kept_from(kept_from)
        self._days.keep_only(self._ids.values())
        await self._load_all(list(self._ids))
        self._metrics.monitors.set(len(self._ids))

    async def _load_all(self, tags: list[str]) -> None:
        for first in range(0, len(tags), LOADED_AT_ONCE):
            await self._load(tags[first : first + LOADED_AT_ONCE])

    async def _load(self, tags: list[str]) -> None:
        """Count what is dirty of today, and publish these monitors as stored.

        Both in one turn of the writer's connection: turns come in order, so no sample can be stored between
        the loading and the publishing without being taken in after it.
        """
        now = self._clock()
        ids = {tag: self._ids[tag] for tag in tags if tag in self._ids}
        async with self._counting:
            states, counted = await self._database.write(partial(_loaded, ids=ids, now=now))
            self._states.publish(state for state in states if self._ids.get(state.tag) == state.id)
            self._forget(counted)

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
                return await self._database.read(
                    partial(stored_states.load, monitor=state.id, tag=tag, now=now)
                )
            state = self._states.find(tag)
        if state is None:
            raise Invalid("invalid tag")
        return state

    async def _refresh(self, state: MonitorState) -> None:
        async with self._turns[state.id]:
            current = self._states.find(state.tag)
            if current is not None and self._states.is_stale(current, self._clock()):
                await self._load([state.tag])

    async def settle(self, monitor: int, start: int, end: int) -> None:
        """Bring the stored counts of the ended quarters in `[start, end)` up to date.

        Where nothing can be stored they stay dirty, and whoever reads them counts those from the layers.
        """
        with suppress(Unavailable):
            if self._observer.is_needed(self._clock()):
                await self.observe()
            await self._settle([monitor], (start, end))

    async def _settle(self, monitors: Sequence[int], window: Span) -> None:
        await self._count(
            await self._database.read(
                partial(_unsettled, monitors=monitors, window=window, now=self._clock())
            ),
            window,
        )

    async def _count(self, left: list[int], window: Span) -> None:
        """Count what is dirty of these monitors in the window, a short transaction at a time."""
        while left:
            work = partial(_count_some, left=left, window=window, now=self._clock())
            async with self._counting:
                counted = await self._database.write(work)
                self._forget(counted)
            for _, start, end in counted:
                self._metrics.rollup_quarters.inc((end - start) // QUARTER)

    def _forget(self, counted: Iterable[Counted]) -> None:
        for span in counted:
            self._days.invalidate(*span)

    async def overviews(self, states: Sequence[MonitorState], zone: ZoneInfo) -> list[Overview]:
        """For each monitor its windows and the days of the zone, all up to the end of the current minute.

        Nothing is read before the quarter turns, but of a monitor that was loaded anew.
        """
        now = self._clock()
        states = await self._based_on(quarter_of(now), states, now)
        pasts = await self._pasts_of(states, zone, now)
        end = minute_of(now) + MINUTE
        overviews: list[Overview] = []
        for state, past in zip(states, pasts, strict=True):
            overviews.append(past.overview(state.running(now), end))
            if len(overviews) % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)
        return overviews

    async def at_hand(self, zone: ZoneInfo) -> AsyncIterator[tuple[MonitorState, Overview]]:
        """The overviews for which nothing has to be read: of all, but just after a quarter turned."""
        now = self._clock()
        end = minute_of(now) + MINUTE
        known = self._known_pasts(self._states, zone, quarter_of(now))
        for count, (state, past) in enumerate(known.items()):
            if state.base == quarter_of(now):
                yield state, past.overview(state.running(now), end)
            if count % GLANCED_AT_ONCE == 0:  # nobody waits for these: heartbeats go first
                await asyncio.sleep(0)

    async def _based_on(self, base: int, states: Sequence[MonitorState], now: int) -> list[MonitorState]:
        """The monitors, loaded anew where their base is another quarter; only read, if that cannot be."""
        others = [state.tag for state in states if state.base != base]
        with suppress(Unavailable):
            await self._load_all(others)
        based = []
        for state in states:
            current = state if state.base == base else self._states.find(state.tag)
            if current is None or current.base != base:
                work = partial(stored_states.load, monitor=state.id, tag=state.tag, now=now)
                current = await self._database.read(work)
            based.append(current)
        return based

    async def _pasts_of(self, states: Sequence[MonitorState], zone: ZoneInfo, now: int) -> list[PastCounts]:
        """The past of each monitor; one that is read is kept as long as the monitor is not loaded anew."""
        base = quarter_of(now)
        known = self._known_pasts(states, zone, base)
        missing = [state for state in dict.fromkeys(states) if state not in known]
        if missing:
            with suppress(Unavailable):
                await self._settle([state.id for state in missing], (first_instant(base, zone), base))
        for first in range(0, len(missing), READ_AT_ONCE):
            known |= await self._read_pasts(missing[first : first + READ_AT_ONCE], zone, now)
        return [known[state] for state in states]

    def _known_pasts(
        self, states: Iterable[MonitorState], zone: ZoneInfo, base: int
    ) -> dict[MonitorState, PastCounts]:
        frame = frame_at(base, zone, self._states.kept_from)
        return {state: past for state in states if (past := self._pasts.get(state)) and past.frame is frame}

    async def _read_pasts(
        self, states: Sequence[MonitorState], zone: ZoneInfo, now: int
    ) -> dict[MonitorState, PastCounts]:
        async with self._counting:
            known = self._known_pasts(states, zone, quarter_of(now))  # others may have read them meanwhile
            missing = [state for state in states if state not in known]
            books = [(state.id, self._days.get(state.id)) for state in missing]
            pasts = await self._database.read(partial(_pasts, books=books, zone=zone, now=now))
            for state, past in zip(missing, pasts, strict=True):
                known[state] = self._pasts[state] = past
                self._days.put(state.id, past.frame.day_spans, past.days)
        return known

    async def read_ahead(self, zone: ZoneInfo) -> None:
        """The scheduled job: read what overviews will need, so that nobody waits for it."""
        now = self._clock()
        everyone = list(self._states)
        for first in range(0, len(everyone), LOOKED_AT_ONCE):
            some = everyone[first : first + LOOKED_AT_ONCE]
            current = [state for state in some if state.base == quarter_of(now)]
            ready = [state for state in current if not self._states.is_stale(state, now)]
            await self._pasts_of(ready, zone, now)
            await asyncio.sleep(0)  # of thousands that are all known already, too, heartbeats go first

    async def roll(self) -> None:
        """The scheduled job: count every dirty quarter that has ended, then publish what changed."""
        await self.observe()
        now = self._clock()
        await self._database.write(partial(dirty.mark_closed, now=now))
        await self._count(await self._database.read(partial(dirty.monitors, now=now)), (0, now))
        current = quarter_of(now)
        await self._load_all(
            [state.tag for state in self._states if state.base < current or self._states.is_stale(state, now)]
        )
        self.settled_at = monotonic()


def _registered(
    connection: sqlite3.Connection, settings: Mapping[str, MonitorSettings], now: int
) -> tuple[dict[str, int], int]:
    return monitors.register(connection, settings, now), observer.kept_from(connection)


def _unsettled(connection: sqlite3.Connection, monitors: Sequence[int], window: Span, now: int) -> list[int]:
    return [monitor for monitor in monitors if not dirty.is_settled(connection, monitor, window, now)]


def _count_some(connection: sqlite3.Connection, left: list[int], window: Span, now: int) -> list[Counted]:
    """Count dirty quarters until all is counted or the turn is over; takes monitors that are done off `left`.

    Returns what was counted: (monitor, start, end).
    """
    dirty.mark_closed(connection, now)
    until = perf_counter() + TURN_SECONDS
    done: list[Counted] = []
    while left and perf_counter() < until:
        spans, is_all = rollups.settle(connection, left[-1], window, now, CHUNK)
        done += [(left[-1], *span) for span in spans]
        if is_all:
            left.pop()
    return done


def _pasts(
    connection: sqlite3.Connection,
    books: Sequence[tuple[int, Mapping[Span, Counts]]],
    zone: ZoneInfo,
    now: int,
) -> list[PastCounts]:
    frame = frame_at(quarter_of(now), zone, observer.kept_from(connection))
    return [stored_overview.load(connection, monitor, frame, known, now) for monitor, known in books]


def _loaded(
    connection: sqlite3.Connection, ids: Mapping[str, int], now: int
) -> tuple[list[MonitorState], list[Counted]]:
    dirty.mark_closed(connection, now)
    states: list[MonitorState] = []
    counted: list[Counted] = []
    for tag, monitor in ids.items():
        spans, _ = rollups.settle(connection, monitor, (utc_day_of(now), now), now, CHUNK)
        counted += [(monitor, *span) for span in spans]
        states.append(stored_states.load(connection, monitor, tag, now))
    return states, counted
