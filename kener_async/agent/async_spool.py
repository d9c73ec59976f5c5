"""The spool at work: its calls wait in a thread of their own, and a broken file is replaced by a new one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import structlog

from kener_async.agent import spool
from kener_async.agent.spool import Measured, Spool, SpoolBroken, SpoolCounts, SpooledBatch
from kener_async.domain.errors import Unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")


class AsyncSpool:
    """Its methods raise Unavailable when the disk does not let it do its work."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, "spool")
        self._spool: Spool | None = None
        self._waiting: list[Measured] = []
        self._turn = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, limit: int) -> AsyncIterator["AsyncSpool"]:
        """The spool in the file, of at most `limit` bytes; it is closed at the end."""
        keeper = cls(path, limit)
        try:
            await keeper._do(lambda _: None)
            yield keeper
        finally:
            await asyncio.get_running_loop().run_in_executor(keeper._thread, keeper._close)
            keeper._thread.shutdown()

    async def keep(self, sample: Measured) -> None:
        """Return when it is on disk. Those that come while one is written share the next transaction."""
        self._waiting.append(sample)
        async with self._turn:
            waiting, self._waiting = self._waiting, []
            if waiting:
                await self._do(lambda spool: self._add(spool, waiting))

    @staticmethod
    def _add(spool: Spool, samples: Sequence[Measured]) -> None:
        dropped = spool.add(samples)
        if dropped:
            log.warning("the spool is full, the oldest samples were dropped", samples=dropped)

    async def parcel(self, limit: int) -> SpooledBatch:
        """The oldest samples, so many at most."""
        return await self._do(lambda spool: spool.parcel(limit))

    async def forget(self, parcel: SpooledBatch, rejected: int) -> None:
        """The server has judged them, and so many of them it did not want."""
        await self._do(lambda spool: spool.forget(parcel, rejected))

    async def counts(self) -> SpoolCounts:
        return await self._do(lambda spool: spool.counts())

    async def answer(self) -> None:
        """Return when no disk is waited for; one that refuses is not."""
        with suppress(Unavailable):
            await self._do(lambda _: None)

    async def _do(self, work: Callable[[Spool], T]) -> T:
        """In the thread; it is finished also when nobody waits for it any more."""
        begun = asyncio.get_running_loop().run_in_executor(self._thread, self._tried, work)
        return await asyncio.shield(begun)

    def _tried(self, work: Callable[[Spool], T]) -> T:
        try:
            return work(self._opened())
        except SpoolBroken as fault:
            self._close()
            aside = spool.put_aside(self._path)
            log.error("the spool is broken, a new one is begun", reason=str(fault), aside=str(aside))
            return work(self._opened())

    def _opened(self) -> Spool:
        if self._spool is None:
            self._spool = spool.opened(self._path, self._limit)
        return self._spool

    def _close(self) -> None:
        if self._spool is not None:
            self._spool.close()
        self._spool = None
