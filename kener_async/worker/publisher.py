"""The publisher: keeps the quarters counted and the board true to what is stored."""

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic, perf_counter

import structlog

from kener_async.clock import Clock
from kener_async.domain.board import Board, Live
from kener_async.domain.calendar import QUARTER, quarter_of, utc_day_of
from kener_async.domain.daybook import DayBook
from kener_async.domain.errors import Invalid, Unavailable
from kener_async.domain.heartbeats import Settings
from kener_async.domain.uptime import Counts
from kener_async.metrics import Metrics
from kener_async.store import board as stored_board
from kener_async.store import dirty, monitors, rollups
from kener_async.store.database import Database
from kener_async.store.dirty import Span
from kener_async.worker.observer import Observer

log = structlog.get_logger(__name__)

CHUNK = 96  # quarters counted at a time: one day
TURN_SECONDS = 0.01  # how long counting may hold up heartbeats
LOADED_AT_ONCE = 50
READ_AT_ONCE = 20


class Publisher:
    """`configured` tells which monitors there are now, and their settings."""

    def __init__(
        self,
        database: Database,
        board: Board,
        clock: Clock,
        observer: Observer,
        metrics: Metrics,
        configured: Callable[[], Mapping[str, Settings]],
    ) -> None:
        self._database = database
        self._board = board
        self._days = DayBook()
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
        lives = await self._database.write(partial(_loaded, ids=ids, now=now))
        self._board.publish(live for live in lives if self._ids.get(live.tag) == live.id)

    async def observe(self) -> None:
        """Look at the clock before anything is judged by it."""
        if await self._observer.observe():
            self._days.clear()
            await self.register()

    async def live(self, tag: str) -> Live:
        """The monitor, not older than any answer given before; raises Invalid for an unknown tag."""
        now = self._clock()
        if self._observer.is_needed(now):
            with suppress(Unavailable):
                await self.observe()
        live = self._board.find(tag)
        if live is not None and self._board.is_stale(live, now):
            try:
                await self._refresh(live)
            except Unavailable:
                # Nothing can be stored now, but what is stored can be counted without.
                return await self._database.read(
                    partial(stored_board.load, monitor=live.id, tag=tag, now=now)
                )
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
        """Bring the stored counts of the ended quarters in `[start, end)` up to date.

        Where nothing can be stored they stay dirty, and whoever reads them counts those from the layers.
        """
        with suppress(Unavailable):
            await self._settle(monitor, (start, end))

    async def _settle(self, monitor: int, window: Span) -> None:
        if self._observer.is_needed(self._clock()):
            await self.observe()
        if await self._database.read(
            partial(dirty.is_settled, monitor=monitor, window=window, now=self._clock())
        ):
            return
        await self._count([monitor], window)

    async def windows(self, lives: Sequence[Live], lengths: Collection[int]) -> list[dict[int, Counts]]:
        """For each monitor the counts of windows of a day or more that end with the current minute."""
        windows = []
        for first in range(0, len(lives), READ_AT_ONCE):
            some = lives[first : first + READ_AT_ONCE]
            now = self._clock()
            for live in some:
                await self.settle(live.id, now - max(lengths), now)
            books = [(live.id, *self._days.days(live.id)) for live in some]
            counted = await self._database.read(partial(_windows, books=books, lengths=lengths, now=now))
            for (monitor, edition, _), (counts, days) in zip(books, counted, strict=True):
                self._days.add(monitor, edition, days)
                windows.append(counts)
        return windows

    async def _count(self, left: list[int], window: Span) -> None:
        """Count what is dirty of these monitors in the window, a short transaction at a time."""
        while left:
            work = partial(_count_some, left=left, window=window, now=self._clock())
            for monitor, start, end in await self._database.write(work):
                self._days.forget(monitor, start, end)
                self._metrics.rollup_quarters.inc((end - start) // QUARTER)

    async def roll(self) -> None:
        """The scheduled job: count every dirty quarter that has ended, then publish what changed."""
        await self.observe()
        now = self._clock()
        await self._database.write(partial(dirty.mark_closed, now=now))
        await self._count(await self._database.read(partial(dirty.monitors, now=now)), (0, now))
        current = quarter_of(now)
        await self._load_all(
            [live.tag for live in self._board if live.base < current or self._board.is_stale(live, now)]
        )
        self.settled_at = monotonic()


def _count_some(
    connection: sqlite3.Connection, left: list[int], window: Span, now: int
) -> list[tuple[int, int, int]]:
    """Count dirty quarters until all is counted or the turn is over; takes monitors that are done off `left`.

    Returns what was counted: (monitor, start, end).
    """
    dirty.mark_closed(connection, now)
    until = perf_counter() + TURN_SECONDS
    done: list[tuple[int, int, int]] = []
    while left and perf_counter() < until:
        spans, is_all = rollups.settle(connection, left[-1], window, now, CHUNK)
        done += [(left[-1], *span) for span in spans]
        if is_all:
            left.pop()
    return done


def _windows(
    connection: sqlite3.Connection,
    books: Sequence[tuple[int, int, Mapping[int, Counts]]],
    lengths: Collection[int],
    now: int,
) -> list[tuple[dict[int, Counts], dict[int, Counts]]]:
    return [rollups.count_windows(connection, monitor, lengths, now, known) for monitor, _, known in books]


def _loaded(connection: sqlite3.Connection, ids: Mapping[str, int], now: int) -> list[Live]:
    dirty.mark_closed(connection, now)
    lives = []
    for tag, monitor in ids.items():
        rollups.settle(connection, monitor, (utc_day_of(now), now), now, CHUNK)
        lives.append(stored_board.load(connection, monitor, tag, now))
    return lives
