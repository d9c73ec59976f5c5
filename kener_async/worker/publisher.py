"""The publisher: keeps the quarters counted and the board true to what is stored."""

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import Protocol

import structlog

from kener_async.clock import Clock
from kener_async.domain.board import Board, Live
from kener_async.domain.calendar import quarter_of, utc_day_of
from kener_async.domain.errors import Invalid
from kener_async.domain.heartbeats import Settings
from kener_async.metrics import Metrics
from kener_async.store import board as stored_board
from kener_async.store import dirty, monitors, rollups
from kener_async.store.database import Database
from kener_async.worker.observer import Observer

log = structlog.get_logger(__name__)

CHUNK = 96  # quarters counted in one transaction: short enough that no heartbeat waits long behind it
LOADED_AT_ONCE = 50


class Configured(Protocol):
    """Tells which monitors there are now, and their settings."""

    def __call__(self) -> Mapping[str, Settings]: ...


class Publisher:
    """A domain.board.Publisher over the database."""

    def __init__(
        self,
        database: Database,
        board: Board,
        clock: Clock,
        observer: Observer,
        metrics: Metrics,
        configured: Configured,
    ) -> None:
        self._database = database
        self._board = board
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
        self._ids = await self._database.write(partial(monitors.register, settings=settings, now=now))
        self._board.keep_only(settings)
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
        self._board.publish(await self._database.write(partial(_loaded, ids=ids, now=now)))

    async def observe(self) -> None:
        """Look at the clock before anything is judged by it."""
        if await self._observer.observe():
            await self.register()

    async def live(self, tag: str) -> Live:
        now = self._clock()
        if self._observer.is_needed(now):
            await self.observe()
        live = self._board.find(tag)
        if live is not None and self._board.is_stale(live, now):
            await self._refresh(live)
            live = self._board.find(tag)
        if live is None:
            raise Invalid("invalid tag")
        return live

    async def _refresh(self, live: Live) -> None:
        async with self._turns[live.id]:
            current = self._board.find(live.tag)
            if current is not None and self._board.is_stale(current, self._clock()):
                await self._load([live.tag])

    async def settle(self, monitor: int, start: int, end: int) -> None:
        if self._observer.is_needed(self._clock()):
            await self.observe()
        window = (start, end)
        if await self._database.read(
            partial(dirty.is_settled, monitor=monitor, window=window, now=self._clock())
        ):
            return
        counted = CHUNK
        while counted == CHUNK:
            work = partial(_settled, monitor=monitor, window=window, now=self._clock())
            counted = await self._database.write(work)
            self._metrics.rollup_quarters.inc(counted)

    async def roll(self) -> None:
        """The scheduled job: count every dirty quarter that has ended, then publish what changed."""
        await self.observe()
        now = self._clock()
        await self._database.write(partial(dirty.mark_closed, now=now))
        for monitor in await self._database.read(partial(dirty.monitors, now=now)):
            await self.settle(monitor, 0, now)
        current = quarter_of(now)
        await self._load_all(
            [live.tag for live in self._board if live.base < current or self._board.is_stale(live, now)]
        )
        self.settled_at = monotonic()


def _settled(connection: sqlite3.Connection, monitor: int, window: tuple[int, int], now: int) -> int:
    dirty.mark_closed(connection, now)
    return rollups.settle(connection, monitor, window, now, CHUNK)


def _loaded(connection: sqlite3.Connection, ids: Mapping[str, int], now: int) -> list[Live]:
    dirty.mark_closed(connection, now)
    lives = []
    for tag, monitor in ids.items():
        rollups.settle(connection, monitor, (utc_day_of(now), now), now, CHUNK)
        lives.append(stored_board.load(connection, monitor, tag, now))
    return lives
