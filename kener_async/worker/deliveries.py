"""Deliveries: a queue for each channel, all beside one another, so that a slow one delays no other."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from kener_async.clock import Stopwatch
from kener_async.domain.deliveries import LAST_RESORT_AFTER
from kener_async.domain.errors import Unavailable
from kener_async.domain.notices import NoticeKind
from kener_async.metrics import Metrics
from kener_async.store import channel_states, deliveries, notices
from kener_async.store.interface import Database, Session
from kener_async.worker.background import background
from kener_async.worker.channel_queue import ChannelQueue, DeliveryRules, Outlet

log = structlog.get_logger(__name__)

CHANNEL_GONE = "the channel is not configured any more"
LOOKS_FOR_GONE = 2  # after a reload: what was evaluated meanwhile may name a channel that is gone
LOOK_EVERY = 15.0  # seconds between two looks for openings that reached no channel
FOLLOWED = (NoticeKind.RESOLVED, NoticeKind.RETRACTED)  # of an alert that the last resort was told of


class Deliveries:
    """Send what is stored to be told. `monotonic` is a clock that is never set."""

    def __init__(self, database: Database, clock: Stopwatch, monotonic: Stopwatch, metrics: Metrics) -> None:
        self._database = database
        self._clock = clock
        self._monotonic = monotonic
        self._metrics = metrics
        self._rules = DeliveryRules()
        self._queues: dict[str, ChannelQueue] = {}
        self._tasks: dict[ChannelQueue, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._looks_for_gone = LOOKS_FOR_GONE
        self._changed_channels: set[str] = set()
        self._is_running = False
        self._followed: tuple[str, Sequence[NoticeKind], int] = ("", (), 0)

    @property
    def channels(self) -> Mapping[str, Outlet]:
        """The channels in force, by name."""
        return {name: queue.outlet for name, queue in self._queues.items()}

    def configure(self, outlets: Iterable[Outlet], rules: DeliveryRules) -> None:
        """Put channels in force, in one step; one that changed is resumed if it was paused.

        A sending under way goes on. What waits for a channel that is gone is dropped.
        """
        before, self._rules = self._queues, rules
        self._queues = {}
        for outlet in outlets:
            queue = before.pop(outlet.name, None)
            if queue is None:
                queue = self._queue(outlet)
            elif outlet.settings != queue.outlet.settings:
                self._changed_channels.add(outlet.name)
            queue.outlet, queue.rules = outlet, rules
            self._queues[outlet.name] = queue
        for queue in before.values():
            queue.stop()
        self._looks_for_gone = LOOKS_FOR_GONE
        self._changed.set()
        if self._is_running:
            self._start()
        self.wake()

    def _queue(self, outlet: Outlet) -> ChannelQueue:
        return ChannelQueue(
            outlet,
            self._rules,
            self._database,
            self._clock,
            self._monotonic,
            self._metrics,
            others=lambda name: [other for other in self._queues if other != name],
            on_pause=self.wake,
        )

    def wake(self) -> None:
        """Look at once for deliveries that were stored just now."""
        for queue in self._queues.values():
            queue.wake()

    @asynccontextmanager
    async def running(self, grace: float) -> AsyncIterator["Deliveries"]:
        """Send until left; then sendings under way have `grace` seconds to end, else they are sent again
        after the next start."""
        self._is_running = True
        self._start()
        try:
            async with background(self._look_after(), "deliveries"):
                yield self
        finally:
            self._is_running = False
            for queue in self._tasks:
                queue.stop()
            await self._ended(grace)

    def _start(self) -> None:
        self._tasks = {queue: task for queue, task in self._tasks.items() if not task.done()}
        for name, queue in self._queues.items():
            if queue not in self._tasks:
                ending = [task for other, task in self._tasks.items() if other.outlet.name == name]
                self._tasks[queue] = asyncio.create_task(_run_after(ending, queue), name=f"channel {name}")

    async def _ended(self, grace: float) -> None:
        tasks = [*self._tasks.values()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace)
        for task in late:
            task.cancel()
        if late:
            log.warning("messages under way are sent again after the next start", channels=len(late))
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_after(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self.look()
            except Unavailable:
                pass  # logged by the store; tried again at the next look
            except Exception:
                log.exception("looking after deliveries failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._changed.wait()

    async def look(self) -> None:
        """Follow changes of the configuration, and tell the channel of last resort what no other was told.

        Raises Unavailable when that cannot be stored.
        """
        await self._follow_configuration()
        if self._rules.last_resort in self._queues:
            await self._tell_last_resort(self._queues[self._rules.last_resort])

    async def _follow_configuration(self) -> None:
        if self._looks_for_gone:
            names = [*self._queues]
            if await self._database.glance(deliveries.waiting_channels) - {*names}:
                await self._drop_all_but(names)
            if names == [*self._queues]:
                self._looks_for_gone -= 1
        while self._changed_channels:
            name = next(iter(self._changed_channels))
            await self.resume(name)
            self._changed_channels.discard(name)

    async def _drop_all_but(self, names: Sequence[str]) -> None:
        now = int(self._clock())
        dropped = await self._database.write(deliveries.drop_all_but, names, now, CHANNEL_GONE)
        for name, count in dropped.items():
            log.warning("dropped what waited for a channel that is gone", channel=name, deliveries=count)

    async def resume(self, channel: str) -> None:
        """Send to a channel again that was paused; raises Unavailable."""
        await self._database.write(channel_states.resume, channel)
        if channel in self._queues:
            self._queues[channel].wake()

    async def _tell_last_resort(self, queue: ChannelQueue) -> None:
        """Tell the channel of last resort of openings that reached no channel, and how those alerts end."""
        name, now, retry_for = queue.outlet.name, self._clock(), self._rules.retry_for
        kinds = (*FOLLOWED, NoticeKind.REMOVED) if queue.outlet.channel.keeps_state else FOLLOWED
        followed = self._followed[2] if self._followed[:2] == (name, kinds) else 0

        def untold(session: Session) -> tuple[list[int], int]:
            openings = deliveries.unheard_openings(session, name, now, LAST_RESORT_AFTER, retry_for)
            closings = deliveries.closings_to_follow(session, name, kinds, now, retry_for, followed)
            return openings + closings, notices.newest(session)

        numbers, newest = await self._database.read(untold)
        if numbers:
            await self._database.write(_send_to, numbers, name, now)
            log.warning("the channel of last resort is told", channel=name, notices=len(numbers))
            queue.wake()
        self._followed = name, kinds, newest  # closings up to here are told; later ones have higher ids


async def _run_after(ending: Sequence[asyncio.Task[None]], queue: ChannelQueue) -> None:
    """Run a queue when a former one of the same channel has ended: it may be sending."""
    await asyncio.gather(*ending, return_exceptions=True)
    await queue.run()


def _send_to(session: Session, numbers: Iterable[int], channel: str, now: float) -> None:
    for number in numbers:
        notices.send_to(session, number, [channel], now)
