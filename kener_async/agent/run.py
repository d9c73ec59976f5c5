"""One run of the agent: its checks side by side, the spool, and the courier."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Protocol

import structlog

from kener_async.agent.async_spool import AsyncSpool
from kener_async.agent.clocks import Clock, ClockReading
from kener_async.agent.probes import NotMeasured, Prober
from kener_async.agent.schedule import next_due
from kener_async.agent.settings import AgentSettings, Check
from kener_async.agent.spool import Measured
from kener_async.agent.uploader import Uploader
from kener_async.domain.errors import Unavailable
from kener_async.domain.samples import Status

log = structlog.get_logger(__name__)

FAREWELL = 5  # seconds for the last batch
NAP = 10  # seconds: after a sleep of the machine the schedule is looked at again
LATE = 5  # seconds: a check that begins later than that has the time at which it began
THREADS = 32  # for name servers and file systems that do not answer


class ServiceManager(Protocol):
    """Who started the agent and watches it."""

    def notify(self, *states: str) -> None: ...

    def watching(self, answer: Callable[[], Awaitable[None]]) -> AbstractAsyncContextManager[None]: ...


class Agent:
    """`clock` is that of the device."""

    def __init__(
        self, settings: AgentSettings, keeper: AsyncSpool, prober: Prober, courier: Uploader, clock: Clock
    ) -> None:
        self._settings = settings
        self._keeper = keeper
        self._prober = prober
        self._courier = courier
        self._clock = clock
        self._last: dict[str, Status] = {}

    async def once(self) -> bool:
        """Make every check once and send; whether the server has everything."""
        now = self._clock()
        await asyncio.gather(*(self._checked(check, now) for check in self._settings.checks))
        return await self._courier.deliver()

    async def until(self, stop: asyncio.Event) -> None:
        """Check and send until then."""
        work = [self._courier.run(), *(self._checked_on(check) for check in self._settings.checks)]
        tasks = [asyncio.create_task(each) for each in (*work, stop.wait())]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()  # what was not stopped has failed

    async def farewell(self) -> bool:
        """One last try to send; whether the server has everything."""
        with suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(FAREWELL):
                return await self._courier.deliver()
        return False

    async def _checked_on(self, check: Check) -> None:
        due = self._clock().monotonic
        while True:
            now = await self._come(due)
            await self._checked(check, now.at(due) if now.monotonic - due < LATE else now)
            due = next_due(due, check.every, self._clock().monotonic)

    async def _come(self, due: float) -> ClockReading:
        """Return when it is due. The loop's own clock stands still while the machine sleeps."""
        now = self._clock()
        while now.monotonic < due:
            await asyncio.sleep(min(due - now.monotonic, NAP))
            now = self._clock()
        return now

    async def _checked(self, check: Check, moment: ClockReading) -> None:
        """Look, and keep what was seen. Where the disk or we ourselves fail, the thing is not called DOWN."""
        try:
            seen = await self._prober.look(check)
            latency = seen.seconds * 1000 if check.in_milliseconds else seen.seconds
            await self._keeper.keep(Measured(check.tag, seen.status, round(latency, 6), moment))
        except NotMeasured as error:
            log.error("a check could not be made", tag=check.tag, reason=str(error))
        except Unavailable as error:
            log.error("a sample was lost", tag=check.tag, reason=error.message)
        else:
            self._tell(check.tag, seen.status, seen.reason)

    def _tell(self, tag: str, status: Status, reason: str) -> None:
        before = self._last.get(tag)
        if status is not before:
            level = log.info if status is Status.UP else log.warning
            level("check", tag=tag, status=status.name, reason=reason or None)
            self._courier.hurry()
        self._last[tag] = status


async def run(
    settings: AgentSettings,
    clock: Clock,
    supervisor: ServiceManager,
    environment: Mapping[str, str],
    name: str,
    *,
    once: bool = False,
) -> bool:
    """Run until SIGTERM or SIGINT, or `once`; whether the server has everything.

    `environment` is what commands are given, `name` how the agent introduces itself. Raises Unavailable when
    the spool cannot be used.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS, "waiting"))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        keeper = await stack.enter_async_context(AsyncSpool.opened(settings.spool, settings.spool_bytes))
        prober = await stack.enter_async_context(Prober.running(name, environment))
        courier = await stack.enter_async_context(
            Uploader.running(settings, keeper, clock, name, random.random)
        )
        agent = Agent(settings, keeper, prober, courier, clock)
        if once:
            return await agent.once()
        async with supervisor.watching(keeper.answer):
            counts = (await keeper.counts())._asdict()
            log.info("started", servers=settings.servers, checks=len(settings.checks), **counts)
            supervisor.notify("READY=1", f"STATUS=Checks: {len(settings.checks)}")
            await agent.until(stop)
        supervisor.notify("STOPPING=1")
        log.info("stopping")
        return await agent.farewell()
