"""Run the agent: its checks, concurrently, the spool and the uploader."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Protocol

import structlog

from kener_async.agent.async_spool import AsyncSpool
from kener_async.agent.clocks import Clock, ClockReading
from kener_async.agent.prober import AgentProber
from kener_async.agent.schedule import next_due
from kener_async.agent.settings import AgentSettings
from kener_async.agent.spool import MeasuredSample
from kener_async.agent.uploader import Uploader
from kener_async.domain.calendar import minute_of
from kener_async.domain.checks import Attempt, is_over, verdict
from kener_async.domain.errors import Unavailable
from kener_async.domain.heartbeats import CronSchedule
from kener_async.domain.samples import Status
from kener_async.probes.settings import CheckSettings

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 5  # for the last upload before the end
LONGEST_SLEEP = 10  # seconds, because the loop's clock stops while the device is suspended
MAX_LATENESS = 5  # seconds after which a sample has the time of its check, not the due time
THREADS = 32  # so that file systems that hang do not block other checks


class ServiceManager(Protocol):
    """The service manager that started the agent: systemd, or none."""

    def notify(self, *states: str) -> None: ...

    def watching(self, answer: Callable[[], Awaitable[str | None]]) -> AbstractAsyncContextManager[None]: ...


class Agent:
    """The agent; `clock` is the device's."""

    def __init__(
        self,
        settings: AgentSettings,
        spool: AsyncSpool,
        prober: AgentProber,
        uploader: Uploader,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._prober = prober
        self._uploader = uploader
        self._clock = clock
        self._last: dict[str, Status] = {}
        self._not_measured: dict[str, str] = {}

    async def once(self) -> bool:
        """Make every check once and upload; returns whether the spool is empty."""
        now = self._clock()
        await asyncio.gather(*(self._check(check, now) for check in self._settings.checks))
        return await self._uploader.upload()

    async def until(self, stop: asyncio.Event) -> None:
        """Check and upload until `stop` is set."""
        work = [self._uploader.run(), *(self._check_regularly(check) for check in self._settings.checks)]
        tasks = [asyncio.create_task(each) for each in (*work, stop.wait())]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()  # a task that ended by itself has failed

    async def flush(self) -> bool:
        """Upload once more; returns whether the spool is empty."""
        with suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(FLUSH_SECONDS):
                return await self._uploader.upload()
        return False

    async def _check_regularly(self, check: CheckSettings) -> None:
        if check.timing.cron is not None:
            await self._check_at(check, check.timing.cron)
            return
        due = self._clock().monotonic
        while True:
            now = await self._sleep_until(due)
            await self._check(check, now.at(due) if now.monotonic - due < MAX_LATENESS else now)
            due = next_due(due, check.timing.every, self._clock().monotonic)

    async def _check_at(self, check: CheckSettings, schedule: CronSchedule) -> None:
        """Run a check at the times of a schedule, which are those of the wall clock, also when it is set."""
        before = self._clock()
        while True:
            now = self._clock()
            due = schedule.next_after(int(before.wall))
            if due <= now.wall:
                await self._check(check, now)
                now = self._clock()
                due = schedule.next_after(int(now.wall))
            before = now
            await self._sleep_until(now.monotonic + min(due - now.wall, LONGEST_SLEEP))

    async def _sleep_until(self, due: float) -> ClockReading:
        """Sleep until a monotonic time; returns the clocks then."""
        now = self._clock()
        while now.monotonic < due:
            await asyncio.sleep(min(due - now.monotonic, LONGEST_SLEEP))
            now = self._clock()
        return now

    async def _check(self, check: CheckSettings, moment: ClockReading) -> None:
        """Make a run of a check, and spool its samples; errors of this device give none."""
        attempts, moments = [], []
        while True:
            attempts.append(await self._prober.attempt(check, moment.wall))
            moments.append(moment)
            if is_over(attempts, check.timing.retries):
                break
            moment = await self._sleep_until(self._clock().monotonic + check.timing.retry_every)
        for sample in samples_of(check, attempts, moments):
            await self._spool.add(sample)
        self._log(check.tag, attempts)

    def _log(self, tag: str, attempts: Sequence[Attempt]) -> None:
        """Log what has changed since the last run."""
        measured = [attempt for attempt in attempts if attempt.status is not None]
        if not measured:
            reason = attempts[-1].reason
            if self._not_measured.get(tag) != reason:
                log.error("check failed to run", tag=tag, reason=reason)
            self._not_measured[tag] = reason
            return
        self._not_measured.pop(tag, None)
        last = measured[-1]
        self._log_change(tag, last.status or Status.UP, last.reason)

    def _log_change(self, tag: str, status: Status, reason: str) -> None:
        previous = self._last.get(tag)
        if status is not previous:
            level = log.info if status is Status.UP else log.warning
            level("check", tag=tag, status=status.name, reason=reason or None)
            self._uploader.wake()
        self._last[tag] = status


def samples_of(
    check: CheckSettings, attempts: Sequence[Attempt], moments: Sequence[ClockReading]
) -> Iterator[MeasuredSample]:
    """The samples of an ended run, whose attempts began at the moments, oldest first.

    Each of several in one minute says what the minute is: on a device whose clock is wrong, the server may
    find that they are of two.
    """
    minutes = {each.minute: each for each in verdict(attempts)}
    is_good = attempts[-1].status is Status.UP
    for attempt, moment in zip(attempts, moments, strict=True):
        decided = minutes.get(minute_of(int(attempt.at)))
        if decided is None or attempt.status is None or (is_good and attempt is not attempts[-1]):
            continue
        latency = decided.seconds * 1000 if check.in_milliseconds else decided.seconds
        yield MeasuredSample(check.tag, decided.status, round(latency, 6), moment)


async def run(
    settings: AgentSettings,
    clock: Clock,
    service_manager: ServiceManager,
    environment: Mapping[str, str],
    name: str,
    *,
    once: bool = False,
) -> bool:
    """Run until SIGTERM or SIGINT, or each check `once`; returns whether the spool is empty.

    `environment` is that of commands, `name` the User-Agent of uploads. Raises Unavailable when the spool
    cannot be opened.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS, "waiting"))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        spool = await stack.enter_async_context(AsyncSpool.opened(settings.spool, settings.spool_bytes))
        prober = await stack.enter_async_context(AgentProber.opened(settings.vantage, environment))
        uploader = await stack.enter_async_context(
            Uploader.running(settings, spool, clock, name, random.random)
        )
        agent = Agent(settings, spool, prober, uploader, clock)
        if once:
            return await agent.once()
        async with service_manager.watching(spool.ping):
            counts = (await spool.counts())._asdict()
            log.info("started", servers=settings.servers, checks=len(settings.checks), **counts)
            service_manager.notify("READY=1", f"STATUS=Checks: {len(settings.checks)}")
            await agent.until(stop)
        service_manager.notify("STOPPING=1")
        log.info("stopping")
        return await agent.flush()
