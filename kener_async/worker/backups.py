"""Scheduled backups: made in a thread of their own, at a pace that leaves the disk to heartbeats."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import structlog

from kener_async.clock import Clock
from kener_async.domain.errors import Unavailable
from kener_async.errors import FatalError
from kener_async.metrics import Metrics
from kener_async.store.admin import backup
from kener_async.store.admin.backup import BackupSource

log = structlog.get_logger(__name__)

RETRY_SECONDS = 600
REST_SECONDS = 0.005  # after each megabyte


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """A backup every so many seconds; the newest `keep` stay in the folder."""

    source: BackupSource
    folder: Path
    every: int
    keep: int


class GivenUp(FatalError):
    """The service stops; the backup under way is thrown away, and due at the next start."""


class Backups:
    """`plan` is asked each time, so that a reload takes effect."""

    def __init__(self, plan: Callable[[], BackupPlan | None], clock: Clock, metrics: Metrics) -> None:
        self._plan = plan
        self._clock = clock
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, "backup", initializer=_step_back)
        self._stopping = threading.Event()
        self._failed_at: float | None = None

    async def make_if_due(self) -> None:
        """Make a backup when the newest one is too old; raises Unavailable when it cannot be made."""
        waits = self._failed_at is not None and monotonic() < self._failed_at + RETRY_SECONDS
        if waits or self._stopping.is_set():
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._make_if_due)
            self._failed_at = None
        except GivenUp:
            log.info("the backup under way was given up")
        except FatalError as fault:
            self._failed_at = monotonic()
            raise Unavailable(str(fault)) from fault

    def _make_if_due(self) -> None:
        plan, now = self._plan(), self._clock()
        if plan is None:
            return
        newest = backup.newest(plan.folder, plan.source.database.stem, now)
        self._metrics.backup_time.set(newest or 0)
        if newest is None or now - newest >= plan.every:
            self._make(plan, now)

    def _make(self, plan: BackupPlan, now: int) -> None:
        began = monotonic()
        path, manifest = backup.add(plan.source, plan.folder, now, plan.keep, self._pace)
        size, seconds = path.stat().st_size, monotonic() - began
        self._metrics.backup_time.set(now)
        self._metrics.backup_seconds.set(seconds)
        self._metrics.backup_bytes.set(size)
        log.info("backed up", file=str(path), bytes=size, samples=manifest.rows["samples"])

    def _pace(self, what: str, done: int, total: int) -> None:
        if self._stopping.is_set():
            raise GivenUp("the service stops")
        sleep(REST_SECONDS)

    @contextmanager
    def given_up_at_the_end(self) -> Iterator[None]:
        """On leaving, what is under way ends at its next step, so that a stop need not wait for it."""
        try:
            yield
        finally:
            self._stopping.set()
            self._thread.shutdown(wait=False)


def _step_back() -> None:
    """Let whatever else runs go first."""
    with suppress(OSError):  # where that is not allowed, the backup is as urgent as the rest
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
