"""Deliveries, as a real database and a receiver see them; the clock is that of the test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from kener_async.channels.composition import MessageSource, compose
from kener_async.channels.message import Message, NotDelivered, Receipt
from kener_async.domain.alerts import Alert, Severity
from kener_async.domain.deliveries import FAULTS_UNTIL_PAUSED, ChannelLimits
from kener_async.domain.errors import Unavailable
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.notices import Delivery, DeliveryState, Facts, NoticeKind
from kener_async.domain.samples import Status
from kener_async.metrics import Metrics
from kener_async.store import alerts, channel_states, deliveries, monitors, notices, observer
from kener_async.store.deliveries import DeliverySearch
from kener_async.store.interface import Database, Session
from kener_async.store.sqlite import database
from kener_async.worker.channel_queue import ChannelQueue, DeliveryRules, Outlet
from kener_async.worker.deliveries import Deliveries
from tests.rigs.service import NOON

MINUTE, HOUR, DAY = 60, 3600, 86_400
OPENED, RESOLVED, REMINDED = NoticeKind.OPENED, NoticeKind.RESOLVED, NoticeKind.REMINDED
SOURCE = MessageSource(UUID(int=7), "Status", "https://status.example.org", {}, lambda: (1, 2))


@dataclass
class Time:
    """The wall clock, and one that is never set."""

    wall: float = float(NOON)
    monotonic: float = 0.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def clock(self) -> float:
        return self.wall

    def steady(self) -> float:
        return self.monotonic


class Receiver:
    """A channel that answers as it is told: with faults, in order, and then with receipts."""

    takes_one_at_a_time = False
    keeps_state = False

    def __init__(self, time: Time, *faults: BaseException | None) -> None:
        self.time = time
        self.faults = [*faults]
        self.attempts: list[tuple[float, Message]] = []
        self.taken: list[Message] = []
        self.is_reachable = True

    async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
        self.attempts.append((self.time.wall, message))
        if not self.is_reachable:
            raise NotDelivered("no connection: Network is unreachable")
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        self.taken.append(message)
        return Receipt("200 ok", f"reference-{len(self.taken)}")


def told(message: Message) -> list[tuple[str, str, bool]]:
    return [(item.kind.name, item.facts.monitor, item.was_not_told) for item in message.items]


class Station:
    """A database with two monitors, a clock, and queues for receivers."""

    def __init__(self, store: Database, time: Time) -> None:
        self.store = store
        self.time = time

    def outlet(self, receiver: Any, name: str = "ops", gather: int = 0, per_minute: int = 20) -> Outlet:
        limits = ChannelLimits(gather, per_minute, receiver.takes_one_at_a_time)
        return Outlet(name, receiver, limits, partial(compose, SOURCE, "en", ZoneInfo("UTC")))

    def queue(
        self, receiver: Any, name: str = "ops", others: tuple[str, ...] = (), **limits: int
    ) -> ChannelQueue:
        return ChannelQueue(
            self.outlet(receiver, name, **limits),
            DeliveryRules(),
            self.store,
            self.time.clock,
            self.time.steady,
            Metrics(),
            others=lambda name: [*others],
            on_pause=lambda: None,
            random=lambda low, high: 0.0,
        )

    async def open(self, monitor: str = "earth", channels: tuple[str, ...] = ("ops",)) -> int:
        """An alert that opens now and is told; its id."""

        def write(session: Session) -> int:
            now = int(self.time.wall)
            number = monitors.register(session, {monitor: MonitorSettings()}, now)[monitor]
            alert = alerts.add(session, Alert(0, number, "down", Severity.CRITICAL, now, now, told_at=now))
            facts = Facts(monitor=monitor, rule="down", status=Status.DOWN, since=now)
            notices.add(session, OPENED, now, alert.id, None, facts, channels, self.time.wall)
            return alert.id

        return await self.store.write(write)

    async def tell(
        self, alert: int, kind: NoticeKind, monitor: str = "earth", channels: tuple[str, ...] = ("ops",)
    ) -> None:
        def write(session: Session) -> None:
            now = int(self.time.wall)
            if kind in (RESOLVED, NoticeKind.RETRACTED):
                session.execute(
                    "UPDATE alerts SET closed_at = ?, until = ?, closing = 0 WHERE id = ?", (now, now, alert)
                )
            since = session.execute("SELECT since FROM alerts WHERE id = ?", (alert,)).fetchone()[0]
            facts = Facts(monitor=monitor, rule="down", status=Status.UP, since=since, until=now)
            notices.add(session, kind, now, alert, None, facts, channels, self.time.wall)

        await self.store.write(write)

    async def outage(self, seconds: float, monitor: str = "earth") -> None:
        alert = await self.open(monitor)
        self.time.pass_by(seconds)
        await self.tell(alert, RESOLVED, monitor)

    async def stored(self, channel: str = "ops") -> list[Delivery]:
        found = await self.store.read(deliveries.search, DeliverySearch(channel=channel, limit=5000))
        return found[::-1]

    async def states(self, channel: str = "ops") -> list[DeliveryState]:
        return [delivery.state for delivery in await self.stored(channel)]

    async def advance(self, queue: ChannelQueue, until: float | None = None) -> None:
        """Let the queue work until it has nothing to do; with `until`, let time pass to that instant."""
        while True:
            due_at = await queue.advance()
            if due_at <= self.time.wall:
                continue
            if until is None or due_at > until:
                break
            self.time.pass_by(due_at - self.time.wall)
        if until is not None:
            self.time.pass_by(max(0.0, until - self.time.wall))


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    async with database.opened(tmp_path / "kener.db", "OFF") as store:
        await store.write(observer.begin, now=NOON, retention=DAY)
        yield Station(store, Time())


async def test_what_is_stored_is_sent_once(station: Station):
    receiver = Receiver(station.time)
    await station.open()
    await station.advance(station.queue(receiver), until=NOON + DAY)
    assert [told(message) for message in receiver.taken] == [[("OPENED", "earth", False)]]
    (delivery,) = await station.stored()
    assert (delivery.state, delivery.attempts, delivery.answer) == (DeliveryState.SENT, 1, "200 ok")


async def test_it_is_tried_again_until_retry_for_has_passed(station: Station):
    receiver = Receiver(station.time)
    receiver.is_reachable = False
    await station.open()
    await station.advance(station.queue(receiver), until=NOON + 3 * DAY)
    at = [instant - NOON for instant, _ in receiver.attempts]
    assert at[:9] == [0, 5, 20, 65, 185, 485, 1085, 2885, 4685]
    assert DAY <= at[-1] < DAY + 1800
    assert len({message.key for _, message in receiver.attempts}) == 1
    (delivery,) = await station.stored()
    assert (delivery.state, delivery.answer) == (
        DeliveryState.FAILED,
        "no connection: Network is unreachable",
    )


@pytest.mark.parametrize(
    ("fault", "at"),
    [
        (NotDelivered("answered 429", retry_after=60), [0, 60]),
        (NotDelivered("answered 429", retry_after=90_000), [0, 3600]),
        (NotDelivered("answered 503"), [0, 5]),
        (RuntimeError("a fault of the program"), [0, 5]),
        (NotDelivered("answered 404", for_good=True), [0]),
    ],
)
async def test_when_it_is_tried_again(station: Station, fault: Exception, at: list[float]):
    receiver = Receiver(station.time, fault)
    await station.open()
    await station.advance(station.queue(receiver), until=NOON + DAY)
    assert [instant - NOON for instant, _ in receiver.attempts] == at


async def test_outages_while_the_line_was_down_are_told_afterwards_in_order(station: Station):
    receiver = Receiver(station.time)
    receiver.is_reachable = False
    queue = station.queue(receiver, gather=10)
    for hours, monitor in ((1, "earth"), (3, "mars"), (5, "earth")):
        await station.advance(queue, until=NOON + hours * HOUR)
        alert = await station.open(monitor)
        await station.advance(queue, until=NOON + hours * HOUR + 480)
        await station.tell(alert, RESOLVED, monitor)
    await station.advance(queue, until=NOON + 6 * HOUR)
    receiver.is_reachable = True
    await station.advance(queue, until=NOON + 8 * HOUR)
    assert [told(message) for message in receiver.taken] == [
        [("RESOLVED", "earth", True)],
        [("RESOLVED", "mars", True)],
        [("RESOLVED", "earth", True)],
    ]
    facts = [message.items[0].facts for message in receiver.taken]
    assert [(each.since, each.until) for each in facts] == [
        (NOON + hours * HOUR, NOON + hours * HOUR + 480) for hours in (1, 3, 5)
    ]
    assert set(await station.states()) == {DeliveryState.MERGED, DeliveryState.SENT}


async def test_a_storm_is_one_message_for_a_chat_and_an_event_each_for_a_pager(station: Station):
    chat, pager = Receiver(station.time), Receiver(station.time)
    pager.takes_one_at_a_time = True
    for number in range(1000):
        await station.open(f"m{number}", ("chat", "pager"))
        station.time.pass_by(0.01)
    await station.advance(station.queue(chat, "chat", gather=10), until=station.time.wall + 60)
    await station.advance(station.queue(pager, "pager"), until=station.time.wall + 60)
    assert [len(message.items) for message in chat.taken] == [1000]
    assert [len(message.items) for message in pager.taken] == [1] * 1000
    assert len({message.key for message in pager.taken}) == 1000


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("point", ["before", "marked", "sent"])
async def test_after_a_kill_it_is_sent_again_with_the_same_key(station: Station, point: str):
    """Killed before anything was stored, before the receiver had it, and before that it has it was stored."""
    receiver = Receiver(station.time)
    await station.open("earth")
    await station.open("mars")
    queue = station.queue(receiver)
    if point == "marked":
        receiver.faults = [Killed()]
        with pytest.raises(Killed):
            await queue.advance()
    elif point == "sent":
        await queue.advance()  # the result of the message is stored by the next call, which never comes
    await station.advance(station.queue(receiver))
    keys = [message.key for _, message in receiver.attempts]
    assert len(keys) == (1 if point == "before" else 2)
    assert len(set(keys)) == 1
    assert await station.states() == [DeliveryState.SENT] * 2


class FullDisk:
    """A database to which nothing can be written while it is full."""

    def __init__(self, store: Database) -> None:
        self.store = store
        self.is_full = False
        self.refused = 0

    async def write(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        if self.is_full:
            self.refused += 1
            raise Unavailable("the disk is full")
        return await self.store.write(work, *args, **kwargs)

    async def read(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.store.read(work, *args, **kwargs)


async def test_a_full_disk_makes_nothing_be_sent_twice(station: Station):
    disk: Any = FullDisk(station.store)
    receiver = Receiver(station.time)
    await station.open()
    queue = Station(disk, station.time).queue(receiver)
    await queue.advance()
    disk.is_full = True
    for _ in range(5):
        with pytest.raises(Unavailable):
            await queue.advance()
    disk.is_full = False
    await station.advance(queue, until=NOON + HOUR)
    assert len(receiver.attempts) == 1
    assert await station.states() == [DeliveryState.SENT]


async def test_a_queue_that_rests_after_a_failure_ends_at_once_when_stopped(station: Station):
    disk: Any = FullDisk(station.store)
    disk.is_full = True
    await station.open()
    queue = Station(disk, station.time).queue(Receiver(station.time))
    task = asyncio.create_task(queue.run())
    await until(lambda: disk.refused > 0)
    await asyncio.sleep(0)  # so that it rests
    queue.stop()
    async with asyncio.timeout(2):
        await task


async def test_retries_survive_a_restart(station: Station):
    receiver = Receiver(station.time, *[NotDelivered("answered 500")] * 2)
    await station.open()
    await station.advance(station.queue(receiver), until=NOON + 6)
    await station.advance(station.queue(receiver), until=NOON + 60)
    assert [instant - NOON for instant, _ in receiver.attempts] == [0, 5, 20]


async def test_a_clock_that_was_set_back_delays_nothing(station: Station):
    receiver = Receiver(station.time, NotDelivered("answered 500"))
    queue = station.queue(receiver)
    await station.open()
    await station.advance(queue)
    station.time.monotonic += 5
    station.time.wall += 5 - HOUR
    await station.advance(queue)
    assert len(receiver.taken) == 1


async def test_a_clock_that_was_set_ahead_gives_nothing_up(station: Station):
    receiver = Receiver(station.time, *[NotDelivered("answered 500")] * 3)
    queue = station.queue(receiver)
    await station.open()
    await station.advance(queue)
    station.time.wall += 365 * DAY
    await station.advance(queue, until=station.time.wall + HOUR)
    assert await station.states() == [DeliveryState.SENT]


async def test_a_channel_that_refuses_ten_in_a_row_is_paused_and_the_others_hear(station: Station):
    refusal = NotDelivered("answered 401", for_good=True)
    receiver = Receiver(station.time, *[refusal] * FAULTS_UNTIL_PAUSED)
    receiver.takes_one_at_a_time = True
    queue = station.queue(receiver, others=("mail",))
    for number in range(12):
        await station.open(f"m{number}")
    await station.advance(queue, until=NOON + HOUR)
    assert len(receiver.attempts) == FAULTS_UNTIL_PAUSED
    (notice,) = await station.stored("mail")
    assert (notice.notice.kind, notice.notice.facts.channel) == (NoticeKind.CHANNEL_PAUSED, "ops")
    await station.store.write(channel_states.resume, "ops")
    await station.advance(queue)
    assert len(receiver.taken) == 2


async def test_later_messages_refer_to_the_first(station: Station):
    referred: list[Mapping[str, str]] = []

    class Threads(Receiver):
        async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
            referred.append(references)
            return await super().send(message, references)

    queue = station.queue(Threads(station.time))
    alert = await station.open()
    await station.advance(queue)
    await station.tell(alert, RESOLVED)
    await station.advance(queue)
    assert referred[0] == {}
    assert [*referred[1].values()] == ["reference-1"]


@asynccontextmanager
async def running(station: Station, rules: DeliveryRules, **receivers: Any) -> AsyncIterator[Deliveries]:
    outgoing = Deliveries(station.store, station.time.clock, station.time.steady, Metrics())
    outgoing.configure([station.outlet(each, name) for name, each in receivers.items()], rules)
    async with outgoing.running(grace=5):
        yield outgoing


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_slow_channel_delays_no_other_and_may_finish_at_the_stop(station: Station):
    go = asyncio.Event()

    class Slow(Receiver):
        async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
            await go.wait()
            return await super().send(message, references)

    slow, quick = Slow(station.time), Receiver(station.time)
    async with running(station, DeliveryRules(), slow=slow, quick=quick) as outgoing:
        await station.open(channels=("slow", "quick"))
        outgoing.wake()
        await until(lambda: len(quick.taken) == 1)
        assert await station.states("slow") == [DeliveryState.SENDING]
        asyncio.get_running_loop().call_later(0.05, go.set)
    assert await station.states("slow") == [DeliveryState.SENT]


async def test_the_last_resort_is_told_once_after_ten_minutes_and_hears_of_the_end(station: Station):
    deaf, last = Receiver(station.time), Receiver(station.time)
    deaf.is_reachable = False
    async with running(station, DeliveryRules(last_resort="last"), ops=deaf, last=last) as outgoing:
        alert = await station.open()
        outgoing.wake()
        await until(lambda: len(deaf.attempts) == 1)
        station.time.pass_by(590)
        await outgoing.look()
        assert await station.states("last") == []
        station.time.pass_by(10)
        await outgoing.look()
        await until(lambda: len(last.taken) == 1)
        await outgoing.look()
        await station.tell(alert, RESOLVED)
        await outgoing.look()
        await outgoing.look()
        await until(lambda: len(last.taken) == 2)
    assert [told(message)[0][0] for message in last.taken] == ["OPENED", "RESOLVED"]


async def test_the_last_resort_hears_of_an_end_that_came_while_it_was_told_of_the_begin(
    station: Station, monkeypatch: pytest.MonkeyPatch
):
    deaf, last = Receiver(station.time), Receiver(station.time)
    deaf.is_reachable = False
    write = station.store.write
    async with running(station, DeliveryRules(last_resort="last"), ops=deaf, last=last) as outgoing:
        alert = await station.open()
        outgoing.wake()
        await until(lambda: len(deaf.attempts) == 1)
        await outgoing.look()

        async def write_after_the_end(*arguments: Any) -> Any:
            monkeypatch.undo()
            await station.tell(alert, RESOLVED)
            return await write(*arguments)

        station.time.pass_by(600)
        monkeypatch.setattr(station.store, "write", write_after_the_end)
        await outgoing.look()
        await outgoing.look()
        await until(lambda: any(told(message)[-1][0] == "RESOLVED" for message in last.taken))


async def test_the_last_resort_hears_of_an_end_that_came_before_the_first_look_after_a_start(
    station: Station,
):
    deaf, last = Receiver(station.time), Receiver(station.time)
    deaf.is_reachable = False
    rules = DeliveryRules(last_resort="last")
    async with running(station, rules, ops=deaf, last=last) as outgoing:
        alert = await station.open()
        outgoing.wake()
        await until(lambda: len(deaf.attempts) == 1)
        station.time.pass_by(600)
        await outgoing.look()
        await until(lambda: len(last.taken) == 1)
    await station.tell(alert, RESOLVED)
    async with running(station, rules, ops=deaf, last=last) as outgoing:
        await outgoing.look()
        await until(lambda: len(last.taken) == 2)


async def test_what_waits_for_a_channel_that_is_gone_is_dropped(station: Station):
    deaf, other = Receiver(station.time), Receiver(station.time)
    deaf.is_reachable = False
    async with running(station, DeliveryRules(), ops=deaf, other=other) as outgoing:
        await station.open()
        outgoing.wake()
        await until(lambda: len(deaf.attempts) == 1)
        outgoing.configure([station.outlet(other, "other")], DeliveryRules())
        await outgoing.look()
        await station.open("mars", ("other",))
        outgoing.wake()
        await until(lambda: len(other.taken) == 1)
    assert await station.states() == [DeliveryState.DROPPED]


async def test_what_was_decided_while_a_channel_went_is_dropped_at_the_next_look(station: Station):
    outgoing = Deliveries(station.store, station.time.clock, station.time.steady, Metrics())
    outgoing.configure([station.outlet(Receiver(station.time), "other")], DeliveryRules())
    await outgoing.look()
    await station.open()
    await outgoing.look()
    assert await station.states() == [DeliveryState.DROPPED]


async def test_a_channel_that_a_reload_changed_is_resumed(station: Station):
    receiver = Receiver(station.time)
    await station.store.write(channel_states.pause, "ops", NOON)
    await station.open()
    async with running(station, DeliveryRules(), ops=receiver) as outgoing:
        await outgoing.look()
        assert not receiver.attempts
        changed = replace(station.outlet(receiver), settings="another address")
        outgoing.configure([changed], DeliveryRules())
        await until(lambda: len(receiver.taken) == 1)


async def test_a_channel_that_is_taken_out_and_put_back_sends_one_message_at_a_time(station: Station):
    go, under_way, most = asyncio.Event(), 0, 0

    class Slow(Receiver):
        async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await go.wait()
            under_way -= 1
            return await super().send(message, references)

    slow = Slow(station.time)
    await station.open()
    async with running(station, DeliveryRules(), ops=slow) as outgoing:
        await until(lambda: under_way == 1)
        outgoing.configure([], DeliveryRules())
        outgoing.configure([station.outlet(slow)], DeliveryRules())
        await station.open("mars")
        outgoing.wake()
        asyncio.get_running_loop().call_later(0.05, go.set)
        await until(lambda: len(slow.taken) == 2)
    assert most == 1
