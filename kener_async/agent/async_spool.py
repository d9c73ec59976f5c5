"""The spool for asyncio: its calls run in a thread of their own; a corrupt file is replaced by a new one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import structlog

from kener_async.agent import spool
from kener_async.agent.spool import MeasuredSample, Spool, SpoolCorrupt, SpoolCounts, SpooledBatch
from kener_async.domain.errors import Unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")


class AsyncSpool:
    """A spool in a thread. Its methods raise Unavailable when the file cannot be read or written."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, "spool")
        self._spool: Spool | None = None
        self._pending: list[MeasuredSample] = []
        self._adding = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, limit: int) -> AsyncIterator["AsyncSpool"]:
        """Open the spool in a file, of at most `limit` bytes; closed on leaving."""
        async_spool = cls(path, limit)
        try:
            await async_spool._do(lambda _: None)
            yield async_spool
        finally:
            await asyncio.get_running_loop().run_in_executor(async_spool._thread, async_spool._close)
            async_spool._thread.shutdown()

    async def add(self, sample: MeasuredSample) -> None:
        """Return when the sample is on disk. Samples added during a transaction share the next one."""
        self._pending.append(sample)
        async with self._adding:
            pending, self._pending = self._pending, []
            if pending:
                await self._do(lambda spool: self._add(spool, pending))

    @staticmethod
    def _add(spool: Spool, samples: Sequence[MeasuredSample]) -> None:
        dropped = spool.add(samples)
        if dropped:
            log.warning("spool full, oldest samples dropped", samples=dropped)

    async def oldest(self, limit: int) -> SpooledBatch:
        """The oldest samples, `limit` at most."""
        return await self._do(lambda spool: spool.oldest(limit))

    async def remove(self, batch: SpooledBatch, rejected: int) -> None:
        """Remove a batch on which the server gave its verdicts, and count those it rejected."""
        await self._do(lambda spool: spool.remove(batch, rejected))

    async def counts(self) -> SpoolCounts:
        """How many samples are pending, dropped and rejected."""
        return await self._do(lambda spool: spool.counts())

    async def ping(self) -> None:
        """Return when the thread is idle, so that a disk that hangs is noticed; errors are ignored."""
        with suppress(Unavailable):
            await self._do(lambda _: None)

    async def _do(self, work: Callable[[Spool], T]) -> T:
        """Run work in the thread. It is completed also when the caller is cancelled."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)
        return await asyncio.shield(running)

    def _run(self, work: Callable[[Spool], T]) -> T:
        try:
            return work(self._opened())
        except SpoolCorrupt as error:
            self._close()
            moved_to = spool.move_aside(self._path)
            log.error("spool corrupt, starting a new one", reason=str(error), moved_to=str(moved_to))
            return work(self._opened())

    def _opened(self) -> Spool:
        if self._spool is None:
            self._spool = spool.opened(self._path, self._limit)
        return self._spool

    def _close(self) -> None:
        if self._spool is not None:
            self._spool.close()
        self._spool = None
