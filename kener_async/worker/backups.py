"""Scheduled backups, made in a thread of their own, slowly enough to leave the disk to heartbeats."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep

import structlog

from kener_async.clock import Clock
from kener_async.domain.errors import Unavailable
from kener_async.errors import FatalError
from kener_async.metrics import Metrics
from kener_async.store.admin import backup
from kener_async.store.admin.backup import BackupSource
from kener_async.worker.stop import StopToken

log = structlog.get_logger(__name__)

RETRY_SECONDS = 600
PAUSE_SECONDS = 0.005  # after each megabyte


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """Make a backup every so many seconds, and keep the newest `keep` in the folder.

    `source` reads files, and is called only for a backup that is due.
    """

    database: Path
    source: Callable[[], BackupSource]
    folder: Path
    every: int
    keep: int


class BackupAbandoned(FatalError):
    """The service stops; the backup under way is removed, and due at the next start."""


class Backups:
    """Make backups as `plan` says; it is called each time, so that a reload takes effect."""

    def __init__(self, plan: Callable[[], BackupPlan | None], clock: Clock, metrics: Metrics) -> None:
        self._plan = plan
        self._clock = clock
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, "backup", initializer=_lower_priority)
        self._failed_at: float | None = None
        self.newest: int | None = None  # when it was made, in UTC seconds, as of the last look

    async def make_if_due(self, stop: StopToken) -> None:
        """Make a backup when the newest one is too old; raises Unavailable when it cannot be made.

        A stop ends it at its next step.
        """
        if self._failed_at is not None and monotonic() < self._failed_at + RETRY_SECONDS:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._make_if_due, stop)
            self._failed_at = None
        except BackupAbandoned:
            log.info("the backup under way was abandoned")
        except FatalError as fault:
            self._failed_at = monotonic()
            raise Unavailable(str(fault)) from fault

    def _make_if_due(self, stop: StopToken) -> None:
        plan, now = self._plan(), self._clock()
        if plan is None:
            return
        newest = backup.newest(plan.folder, plan.database.stem, now)
        self.newest = newest
        self._metrics.backup_time.set(newest or 0)
        if newest is None or now - newest >= plan.every:
            self._make(plan, now, stop)

    def _make(self, plan: BackupPlan, now: int, stop: StopToken) -> None:
        started = monotonic()
        path, manifest = backup.add(plan.source(), plan.folder, now, plan.keep, partial(_pause, stop))
        size, seconds = path.stat().st_size, monotonic() - started
        self.newest = now
        self._metrics.backup_time.set(now)
        self._metrics.backup_seconds.set(seconds)
        self._metrics.backup_bytes.set(size)
        log.info("backed up", file=str(path), bytes=size, samples=manifest.rows["samples"])


def _pause(stop: StopToken, what: str, done: int, total: int) -> None:
    """The progress callback of a backup: pause after each step, and abandon the backup at the stop."""
    if stop.is_set:
        raise BackupAbandoned("the service stops")
    sleep(PAUSE_SECONDS)


def _lower_priority() -> None:
    with suppress(OSError):  # not allowed everywhere
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
