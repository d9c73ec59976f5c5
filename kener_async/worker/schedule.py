"""The scheduler: APScheduler, made safe against a wall clock that jumps and a stop during a job.

APScheduler 3 follows the wall clock: set back an hour it runs nothing for an hour, set ahead a year it counts
every missed run on the event loop. So its trigger here counts from now, and the observer calls `reanchor`
when the clock stepped. A tick only submits the job to a pool, because APScheduler cancels running jobs when
it stops; the pool sets their stop token instead, and lets them end in order.
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
from kener_async.worker.stop import StopToken

log = structlog.get_logger(__name__)

Job = Callable[[StopToken], Awaitable[None]]


def short(job: Callable[[], Awaitable[None]]) -> Job:
    """A job of a few short transactions, which may always finish."""
    return lambda stop: job()


class DelayTrigger(BaseTrigger):  # type: ignore[misc]
    """Fire `seconds` after now; missed runs are not made up for."""

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        return now + self._interval


class Pool:
    """Run jobs in the background, one run of a name at a time; each gets the stop token of the pool."""

    def __init__(self, metrics: Metrics) -> None:
        self.stop = StopToken()
        self._metrics = metrics
        self._running: dict[str, asyncio.Task[None]] = {}
        self._reasons: dict[str, str] = {}  # why a job could not be done the last time

    def submit(self, name: str, job: Job) -> None:
        """Start the job, unless its last run is under way (it will see what is new) or the pool stops."""
        if name not in self._running and not self.stop.is_set:
            self._running[name] = asyncio.create_task(self._run(name, job), name=name)

    async def _run(self, name: str, job: Job) -> None:
        self._metrics.job_runs.labels(name).inc()
        try:
            await job(self.stop)
            self._reasons.pop(name, None)
        except Unavailable as error:
            self._metrics.job_failures.labels(name).inc()
            if self._reasons.get(name) != error.message:  # a full disk would fill the log
                log.warning("a job could not be done now", job=name, reason=error.message)
            self._reasons[name] = error.message
        except Exception:
            self._metrics.job_failures.labels(name).inc()
            log.exception("a job failed", job=name)
        finally:
            del self._running[name]

    async def drained(self) -> None:
        """Wait until the jobs under way have ended."""
        await asyncio.gather(*self._running.values())


class Scheduler:
    """Run the jobs of a service periodically."""

    def __init__(self, metrics: Metrics) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None}
        )
        self._pool = Pool(metrics)
        self.last_tick = monotonic()

    def every(self, seconds: float, name: str, job: Job, *, first_after: float = 0) -> None:
        """Run the job periodically, for the first time after `first_after` seconds."""
        first = datetime.now(UTC) + timedelta(seconds=first_after)
        self._scheduler.add_job(self._tick, DelayTrigger(seconds), [name, job], id=name, next_run_time=first)

    async def _tick(self, name: str, job: Job) -> None:
        self.last_tick = monotonic()
        self._pool.submit(name, job)

    def reanchor(self) -> None:
        """Make every job due now, because APScheduler planned its next runs by another clock."""
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(UTC))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Scheduler"]:
        """Run jobs until left; then stop those under way and wait until they have ended."""
        self._scheduler.start()
        try:
            yield self
        finally:
            self._scheduler.shutdown(wait=False)
            self._pool.stop.set()
            await self._pool.drained()
