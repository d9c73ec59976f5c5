"""The scheduled jobs, by APScheduler, made safe against a wall clock that jumps.

APScheduler 3 thinks in wall-clock time: set back an hour it runs nothing for an hour, set ahead a year it
counts every missed run on the event loop. So its trigger here counts from now, whatever was missed, and when
the observer sees the clock step it calls `reanchor`. A tick only hands the job to a pool, because APScheduler
cancels what still runs when it stops, while the pool lets it finish.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from kener_async.domain.errors import Unavailable
from kener_async.metrics import Metrics

log = structlog.get_logger(__name__)

Job = Callable[[], Awaitable[None]]


class DelayTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires `seconds` after now, never to make up for what was missed."""

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        return now + self._interval


class Pool:
    """Runs jobs in the background: one run of a name at a time, and each allowed to finish."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._running: dict[str, asyncio.Task[None]] = {}

    def submit(self, name: str, job: Job) -> None:
        """Start the job unless its last run is still under way; that run will see what is new."""
        if name not in self._running:
            self._running[name] = asyncio.create_task(self._run(name, job), name=name)

    async def _run(self, name: str, job: Job) -> None:
        self._metrics.job_runs.labels(name).inc()
        try:
            await job()
        except Unavailable as error:
            self._metrics.job_failures.labels(name).inc()
            log.warning("a job could not be done now", job=name, reason=error.message)
        except Exception:
            self._metrics.job_failures.labels(name).inc()
            log.exception("a job failed", job=name)
        finally:
            del self._running[name]

    async def drained(self) -> None:
        await asyncio.gather(*self._running.values())


class Scheduler:
    """The jobs of a running service."""

    def __init__(self, metrics: Metrics) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None}
        )
        self._pool = Pool(metrics)
        self.last_tick = monotonic()

    def every(self, seconds: float, name: str, job: Job) -> None:
        """Run the job again and again, first at once."""
        self._scheduler.add_job(
            self._tick, DelayTrigger(seconds), [name, job], id=name, next_run_time=datetime.now(UTC)
        )

    async def _tick(self, name: str, job: Job) -> None:
        self.last_tick = monotonic()
        self._pool.submit(name, job)

    def reanchor(self) -> None:
        """Make every job due now: what the scheduler planned was planned by another clock."""
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(UTC))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Scheduler"]:
        """Tick until left; what has begun then is let finish."""
        self._scheduler.start()
        try:
            yield self
        finally:
            self._scheduler.shutdown(wait=False)
            await self._pool.drained()
