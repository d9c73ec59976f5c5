"""Records of checks: store what runs and attempts said in batches, faults before the samples they explain.

Nothing here holds up a check. While nothing can be stored, as on a full disk, the newest records are kept in
memory, within a bound, and stored later.
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from kener_async.clock import Clock
from kener_async.domain.checks import Attempt, SeenCertificate
from kener_async.domain.errors import Unavailable
from kener_async.domain.samples import Sample
from kener_async.store import certificates, check_faults
from kener_async.store.interface import Database, Session
from kener_async.worker.writer import Writer

log = structlog.get_logger(__name__)

GATHER_SECONDS = 1.0  # records of this time are stored together, because a commit costs more than a check
RETRY_SECONDS = 5.0
KEPT_RUNS = 20_000  # while nothing can be stored; the oldest are dropped beyond
KEPT_FAULTS = 5_000

Faults = Sequence[tuple[int, Attempt]]
Chains = Mapping[int, Sequence[SeenCertificate]]  # by monitor


class CheckRecords:
    """Store the samples of runs through the writer, and the facts about their attempts beside them."""

    def __init__(self, database: Database, writer: Writer, clock: Clock) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._runs: list[Sequence[Sample]] = []
        self._faults: list[tuple[int, Attempt]] = []
        self._chains: dict[int, Sequence[SeenCertificate]] = {}
        self._noted: dict[int, tuple[Sequence[SeenCertificate], int]] = {}
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()  # do not rest before storing
        self._is_closing = False

    def add_samples(self, samples: Sequence[Sample]) -> None:
        """Store the minutes of a run, all of them or none."""
        self._runs.append(samples)
        self._store_soon()

    def add_fault(self, monitor: int, attempt: Attempt) -> None:
        """Store an attempt that did not see UP."""
        self._faults.append((monitor, attempt))
        self._store_soon()

    def add_certificates(self, monitor: int, chain: Sequence[SeenCertificate]) -> None:
        """Store the chain that a target sent, where it is new or was not stored for an hour."""
        known, at = self._noted.get(monitor, ((), 0))
        if known == chain and 0 <= self._clock() - at < certificates.NOTED_EVERY:
            return
        self._chains[monitor] = chain
        self._store_soon()

    async def flushed(self) -> None:
        """Store what was added at once; wait until it is, or could not be."""
        if self._task is not None:
            self._hurry.set()
            await asyncio.wait((self._task,), timeout=RETRY_SECONDS)

    async def close(self) -> None:
        """Store what was added; what cannot be stored now is lost."""
        self._is_closing = True
        self._hurry.set()
        if self._task is not None:
            await self._task

    def _store_soon(self) -> None:
        if self._task is None and not self._is_closing:
            self._task = asyncio.create_task(self._store_all(), name="records of checks")

    async def _store_all(self) -> None:
        pause = GATHER_SECONDS
        try:
            while self._runs or self._faults or self._chains:
                await self._rest(pause)
                self._hurry.clear()
                pause = GATHER_SECONDS if await self._store() else RETRY_SECONDS
                if pause == RETRY_SECONDS and self._is_closing:
                    log.error("results of checks could not be stored", runs=len(self._runs))
                    return
        finally:
            self._task = None

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def _store(self) -> bool:
        """Store what there is; whether it could be."""
        facts = await self._store_facts()
        samples = await self._store_samples()
        return facts and samples

    async def _store_facts(self) -> bool:
        faults, self._faults = self._faults, []
        chains, self._chains = self._chains, {}
        if not faults and not chains:
            return True
        now = self._clock()
        try:
            await self._database.write(_store_facts, faults, chains, now)
        except Unavailable:
            self._faults = [*faults, *self._faults][-KEPT_FAULTS:]
            self._chains = chains | self._chains
            return False
        except Exception:
            log.exception("facts about checks could not be stored", faults=len(faults))
            return True
        self._noted.update({monitor: (chain, now) for monitor, chain in chains.items()})
        return True

    async def _store_samples(self) -> bool:
        runs, self._runs = self._runs, []
        results = await asyncio.gather(*map(self._writer.add_run, runs), return_exceptions=True)
        refused = []
        for samples, result in zip(runs, results, strict=True):
            if isinstance(result, Unavailable):
                refused.append(samples)
            elif isinstance(result, Exception):
                log.error("a run could not be stored", samples=samples, exc_info=result)
        if len(refused) + len(self._runs) > KEPT_RUNS:
            log.error("results of checks are dropped, because nothing can be stored")
        self._runs = [*refused, *self._runs][-KEPT_RUNS:]
        return not refused


def _store_facts(session: Session, faults: Faults, chains: Chains, now: int) -> None:
    by_monitor: dict[int, list[Attempt]] = {}
    for monitor, attempt in faults:
        by_monitor.setdefault(monitor, []).append(attempt)
    for monitor, attempts in by_monitor.items():
        check_faults.add(session, monitor, attempts)
    for monitor, chain in chains.items():
        certificates.note(session, monitor, chain, now)
