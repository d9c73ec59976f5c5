"""The spool for asyncio: its calls run in a thread of their own; a corrupt file is replaced by a new one.

While the file cannot be written, samples are kept in memory and are sent from there, without a number.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import structlog

from kener_async.agent import spool
from kener_async.agent.spool import (
    MeasuredSample,
    Spool,
    SpoolCorrupt,
    SpoolCounts,
    SpooledBatch,
    SpooledSample,
    SpoolFull,
)
from kener_async.domain.errors import Unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

MAX_IN_MEMORY = 10_000  # samples


class AsyncSpool:
    """A spool in a thread. Its methods raise Unavailable when the file cannot be read."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, "spool")
        self._spool: Spool | None = None
        self._pending: list[MeasuredSample] = []
        self._adding = asyncio.Lock()
        self._memory: list[MeasuredSample] = []
        self._memory_device = socket.gethostname(), secrets.token_hex(3)
        self._judged: dict[int, SpooledSample] = {}  # by number; still in the file, which cannot be written

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, limit: int) -> AsyncIterator["AsyncSpool"]:
        """Open the spool in a file, of at most `limit` bytes; closed on leaving. A full disk is no error."""
        async_spool = cls(path, limit)
        try:
            try:
                await async_spool._do(lambda _: None)
            except SpoolFull as error:
                log.error("spool not available, going on from memory", reason=error.message)
            yield async_spool
        finally:
            await asyncio.get_running_loop().run_in_executor(async_spool._thread, async_spool._close)
            async_spool._thread.shutdown()

    async def add(self, sample: MeasuredSample) -> None:
        """Return when the sample is on disk, or in memory while the file cannot be written.

        Samples added during a transaction share the next one.
        """
        self._pending.append(sample)
        async with self._adding:
            pending, self._pending = self._pending, []
            if self._memory:
                self._keep_in_memory(pending)
            elif pending:
                try:
                    await self._do(lambda spool: self._add(spool, pending))
                except Unavailable as error:
                    log.error("spool cannot be written, going on from memory", reason=error.message)
                    self._keep_in_memory(pending)

    @staticmethod
    def _add(spool: Spool, samples: Sequence[MeasuredSample]) -> None:
        dropped = spool.add(samples)
        if dropped:
            log.warning("spool full, oldest samples dropped", samples=dropped)

    def _keep_in_memory(self, samples: Sequence[MeasuredSample]) -> None:
        self._memory += samples
        surplus = len(self._memory) - MAX_IN_MEMORY
        if surplus > 0:
            del self._memory[:surplus]
            log.warning("too many samples in memory, oldest samples dropped", samples=surplus)

    async def oldest(self, limit: int, without_tags: Collection[str] = ()) -> SpooledBatch:
        """The oldest samples, `limit` at most, without those of some tags: of the file, then of memory."""
        await self._catch_up()
        try:
            judged = list(self._judged)
            batch = await self._do(lambda spool: spool.oldest(limit, without_tags, judged))
        except Unavailable:
            if not self._memory:
                raise
        else:
            if batch.samples:
                return batch
        samples = [each for each in self._memory if each.tag not in without_tags][:limit]
        newest = {each.moment.boot: each.moment for each in self._memory}
        host, suffix = self._memory_device
        if self._spool is not None:
            host, suffix = self._spool.host, self._spool.suffix
        return SpooledBatch(host, suffix, [SpooledSample(None, each) for each in samples], newest)

    async def _catch_up(self) -> None:
        """Write to the file what could not be written before."""
        async with self._adding:
            memory, judged = list(self._memory), list(self._judged.values())
            if not memory and not judged:
                return
            with suppress(Unavailable):
                if judged:
                    await self._do(lambda spool: spool.remove_all(judged))
                    self._judged.clear()
                if memory:
                    await self._do(lambda spool: self._add(spool, memory))
                    del self._memory[: len(memory)]
                    log.info("spool can be written again", samples=len(memory))

    async def remove(self, batch: SpooledBatch, rejected: int) -> None:
        """Remove a batch that the server has stored or rejected, and count those it rejected."""
        sent_from_memory = {id(each.sample) for each in batch.samples if each.seq is None}
        self._memory = [each for each in self._memory if id(each) not in sent_from_memory]
        stored = [each for each in batch.samples if each.seq is not None]
        if not stored:
            return
        try:
            await self._do(lambda spool: spool.remove(batch.only(stored), rejected))
        except Unavailable as error:
            if not self._judged:
                log.error("spool cannot be written", reason=error.message)
            self._judged |= {each.seq: each for each in stored if each.seq is not None}

    async def counts(self) -> SpoolCounts:
        """How many samples are pending, dropped and rejected; those in memory are pending."""
        in_memory = len(self._memory)
        try:
            counts = await self._do(lambda spool: spool.counts())
        except SpoolFull:
            return SpoolCounts(in_memory, 0, 0)
        return counts._replace(pending=counts.pending - len(self._judged) + in_memory)

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
            self._judged.clear()  # a new spool counts from 1
            return work(self._opened())

    def _opened(self) -> Spool:
        if self._spool is None:
            self._spool = spool.opened(self._path, self._limit)
        return self._spool

    def _close(self) -> None:
        if self._spool is not None:
            self._spool.close()
        self._spool = None
