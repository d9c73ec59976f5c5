"""Group commit: samples that arrive while a batch is being written to disk make up the next batch.

A request is answered only after the transaction with its sample is on disk, so one flush serves all samples
of a batch. No timer delays them: the queue fills while the disk works, and for a few turns of the event loop
after that.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from threading import Lock
from time import perf_counter
from typing import Any, TypeVar

import structlog

from kener_async.clock import Clock
from kener_async.domain.batches import Batch
from kener_async.domain.errors import Unavailable
from kener_async.domain.samples import Sample, SampleSource
from kener_async.domain.states import MonitorStates
from kener_async.metrics import Metrics
from kener_async.store import batches, monitors
from kener_async.store.interface import Database, Session

log = structlog.get_logger(__name__)

BATCH_LIMIT = 1000
JOIN_TURNS = 8
MAX_WAIT = 5.0  # seconds until a sample that nothing was done about is refused
BUSY = "the database does not answer; nothing was stored"

A = TypeVar("A")
T = TypeVar("T")

Pending = tuple[Sequence[Sample], asyncio.Future[None]]  # samples that are stored together, or not at all


class Turn:
    """Work that waits for the database's thread: it is begun there, or given up here, never both."""

    def __init__(self) -> None:
        self._decided = Lock()  # acquired once, by the one that comes first

    def take(self, session: Session, work: Callable[[Session, A], T], argument: A) -> T:
        """Do the work, in a transaction; raises Unavailable if it was given up."""
        if not self._decided.acquire(blocking=False):
            raise Unavailable(BUSY)
        return work(session, argument)

    def give_up(self) -> bool:
        """Prevent the work, if it has not begun."""
        return self._decided.acquire(blocking=False)


class Writer:
    """Store accepted samples in batches, and add them to the monitor states."""

    def __init__(
        self, database: Database, states: MonitorStates, clock: Clock, metrics: Metrics, limit: int
    ) -> None:
        self._database = database
        self._states = states
        self._clock = clock
        self._metrics = metrics
        self._limit = limit
        self._pending: list[Pending] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._stalled: set[asyncio.Future[Any]] = set()
        self.stored = 0  # samples, since the start

    @property
    def waiting(self) -> int:
        return len(self._pending)

    async def put(self, item: Sample) -> None:
        """Return when the sample is on disk and published; raises Unavailable when it is not stored."""
        await self.add_run((item,))

    async def put_run(self, items: Sequence[Sample]) -> None:
        """Return when the samples are on disk, in one transaction, and published; raises Unavailable."""
        await self.add_run(items)

    def add_run(self, items: Sequence[Sample]) -> asyncio.Future[None]:
        """As put_run, without a coroutine: returns at once what put_run waits for."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._closing or self._stalled or len(self._pending) >= self._limit:
            future.set_exception(self._refusal())
            return future
        if not self._pending:
            self._wake.set()
        self._pending.append((items, future))
        return future

    async def put_batch(self, delivery: Batch, limits: batches.IngestLimits) -> batches.Outcome:
        """Return when the new samples of the batch are on disk and published; raises Unavailable.

        It is stored in parts, each a transaction, so that heartbeats wait for one part. Of a batch that
        cannot be stored some parts may be; sending it again is harmless.
        """
        self._check_open()
        recorder = batches.BatchRecorder(delivery, limits)
        for positions in recorder.parts:
            started = perf_counter()
            stored, heard = await self._write_in_time(recorder.record, positions)
            self._states.add_samples(stored)
            self._states.note_heard(heard, delivery.received)
            self.stored += len(stored)
            self._metrics.committed(len(stored), perf_counter() - started)
        outcome = recorder.outcome()
        self._metrics.judged(outcome.tally)
        return outcome

    async def put_heard(self, monitor: int) -> None:
        """Return when it is on disk that a monitor was heard, which said nothing about a minute."""
        self._check_open()
        received = self._clock()
        await self._write_in_time(monitors.save_last_heard, {monitor: received})
        self._states.note_heard([monitor], received)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Writer"]:
        """Write until left; all samples accepted until then are written before this returns."""
        task = asyncio.create_task(self._run(), name="writer")
        try:
            yield self
        finally:
            self._closing = True
            self._wake.set()
            await task

    async def _run(self) -> None:
        while self._pending or not self._closing:
            if not self._pending:
                await self._wake.wait()
                self._wake.clear()
                continue
            await self._let_more_join()
            batch = self._pending[:BATCH_LIMIT]
            del self._pending[:BATCH_LIMIT]
            await self._commit(batch)

    async def _let_more_join(self) -> None:
        """Yield to the loop so that requests already readable join this batch, while each turn brings more.

        Because a client that sends again as soon as the last commit answered it would otherwise just miss the
        next one, and commits would hold half as many samples.
        """
        before = 0
        for _ in range(JOIN_TURNS):
            if len(self._pending) == before:
                return
            before = len(self._pending)
            await asyncio.sleep(0)

    async def _commit(self, batch: list[Pending]) -> None:
        started, received = perf_counter(), self._clock()
        samples = [sample for some, _ in batch for sample in some]
        try:
            stored = await self._store(samples, received)
        except Unavailable as error:
            _refuse(batch, error)
        except Exception as error:
            log.exception("a batch of samples could not be stored", samples=len(samples))
            if len(batch) == 1:
                _refuse(batch, error)
            else:
                # One by one, because a bad sample must not fail the others.
                for pending in batch:
                    await self._commit([pending])
        else:
            self._states.add_samples(stored)
            pushed = [sample.monitor for sample in samples if sample.source is SampleSource.PUSH]
            self._states.note_heard(set(pushed), received)
            self.stored += len(samples)
            self._metrics.heartbeats_stored(len(pushed))
            self._metrics.committed(len(samples), perf_counter() - started)
            for _, future in batch:
                if not future.done():
                    future.set_result(None)

    async def _store(self, batch: list[Sample], received: int) -> Mapping[tuple[int, int], Sample]:
        return await self._write_in_time(batches.record_reports, (batch, received))

    async def _write_in_time(self, work: Callable[[Session, A], T], argument: A) -> T:
        """Write, or raise Unavailable when the work has not begun after MAX_WAIT; then it never will.

        A lock of another process, or a stalled disk, may hold up the database for minutes. Senders must
        know before they give up by themselves, and until the stall is over they are refused at once.
        """
        if self._stalled:
            raise Unavailable(BUSY)
        turn = Turn()
        write = asyncio.ensure_future(self._database.write(turn.take, work, argument))
        done, _ = await asyncio.wait({write}, timeout=MAX_WAIT)
        if not done and turn.give_up():
            self._stalled.add(write)
            write.add_done_callback(self._end_of_stall)
            log.error("the database did not answer in time", seconds=MAX_WAIT)
            raise Unavailable(BUSY)
        return await write

    def _end_of_stall(self, write: asyncio.Future[Any]) -> None:
        self._stalled.discard(write)
        if not write.cancelled():
            write.exception()  # retrieved, because nothing else waits for it

    def _check_open(self) -> None:
        """Raises Unavailable when nothing can be stored now."""
        if self._closing or self._stalled:
            raise self._refusal()

    def _refusal(self) -> Unavailable:
        """Why nothing is added to the queue now."""
        if self._closing:
            return Unavailable("the service is stopping")
        if self._stalled:
            return Unavailable(BUSY)
        return Unavailable("too many heartbeats are waiting to be stored")


def _refuse(batch: list[Pending], error: Exception) -> None:
    for _, future in batch:
        with suppress(asyncio.InvalidStateError):
            future.set_exception(error)
