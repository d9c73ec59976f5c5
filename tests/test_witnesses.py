"""The offline guard: when witnesses are asked, what is believed, and which gap is stored."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kener_async import keys
from kener_async.domain.checks import Attempt, Obstacle
from kener_async.domain.heartbeats import Gap, GapKind, MonitorSettings, OnChange
from kener_async.domain.samples import Sample, SampleSource, Status
from kener_async.domain.timeline import Reason
from kener_async.store import layers
from kener_async.store.interface import Database
from kener_async.worker.witnesses import OfflineGuard
from tests.rigs.checks import FakeTime, outcome_of
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running


class Uplink:
    """Witnesses that answer while it is up."""

    def __init__(self, time: FakeTime) -> None:
        self.time = time
        self.is_up = True
        self.hangs = False
        self.asked: list[float] = []

    async def ask(self, host: str, port: int) -> None:
        self.asked.append(self.time.now)
        if self.hangs:
            await asyncio.Event().wait()
        if not self.is_up:
            raise OSError("unreachable")


class Sleeper:
    """Sleeps end when a test moves the time."""

    def __init__(self, time: FakeTime) -> None:
        self.time = time
        self._waiting: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            event = asyncio.Event()
            self._waiting.append((self.time.now + seconds, event))
            await event.wait()

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            self.time.now += 0.5
            self.time.wall += 0.5
            for at, event in self._waiting:
                if at <= self.time.now:
                    event.set()
            for _ in range(20):
                await asyncio.sleep(0)


class World:
    def __init__(self, service: Service) -> None:
        self.service = service
        self.time = FakeTime()
        self.uplink = Uplink(self.time)
        self.sleeper = Sleeper(self.time)
        database, states = service.app[keys.DATABASE], service.app[keys.STATES]
        self.guard = OfflineGuard(
            database,
            states,
            self.uplink.ask,
            self.time.stopwatch,
            self.time.monotonic,
            self.sleeper.sleep,
        )
        self.guard.configure([("192.0.2.1", 53), ("192.0.2.2", 53)])

    def fail(self) -> "asyncio.Task[Attempt]":
        return asyncio.ensure_future(self.guard.judge(outcome_of(Status.DOWN, self.time.wall)))

    async def gaps(self) -> tuple[Gap, ...]:
        await asyncio.sleep(0.01)  # the thread of the database
        database: Database = self.service.app[keys.DATABASE]
        return await database.read(layers.gaps, NOON - 3600)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as world:
        yield world


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[World]:
    checked = a_monitor("earth", MonitorSettings(expectation=OnChange(190, is_check=True)))
    async with running(a_config(folder, checked, a_monitor("mars")), FakeClock()) as service:
        yield World(service)


async def done(task: "asyncio.Task[Attempt]") -> Attempt:
    async with asyncio.timeout(10):
        return await task


async def test_a_failure_is_believed_when_a_witness_answers(world: World) -> None:
    attempt = await done(world.fail())
    assert attempt.status is Status.DOWN
    assert len(world.uplink.asked) == 2  # all at once
    assert await world.gaps() == ()


async def test_a_failure_is_not_measured_when_none_answers(world: World) -> None:
    world.uplink.is_up = False
    attempt = await done(world.fail())
    assert (attempt.status, attempt.obstacle) == (None, Obstacle.OFFLINE)
    assert await world.gaps() == (Gap(NOON, NOON + 1, GapKind.OFFLINE),)
    await world.guard.close()


@pytest.mark.parametrize(
    "attempt",
    [
        outcome_of(Status.UP, NOON),
        outcome_of(Obstacle.FILES, NOON),
        replace(outcome_of(Status.DOWN, NOON), is_network=False),  # by what the target answered
    ],
)
async def test_nobody_is_asked_about_what_the_network_did_not_do(world: World, attempt: Attempt) -> None:
    world.uplink.is_up = False
    assert await world.guard.judge(attempt) is attempt
    assert world.uplink.asked == []


async def test_without_witnesses_nothing_is_asked(world: World) -> None:
    world.uplink.is_up = False
    world.guard.configure([])
    assert (await done(world.fail())).status is Status.DOWN
    assert world.uplink.asked == []


async def test_names_that_cannot_be_resolved_ask_too(world: World) -> None:
    world.uplink.is_up = False
    judged = await world.guard.judge(outcome_of(Obstacle.NAMES, NOON))
    assert judged.obstacle is Obstacle.OFFLINE
    await world.guard.close()


async def test_witnesses_are_asked_once_in_five_seconds_and_after_the_failure(world: World) -> None:
    assert (await done(world.fail())).status is Status.DOWN
    world.uplink.is_up = False  # an answer of before says nothing about a failure of now
    waiting = [world.fail() for _ in range(100)]
    await world.sleeper.pass_time(4)
    assert not any(task.done() for task in waiting)
    assert len(world.uplink.asked) == 2
    await world.sleeper.pass_time(1)
    judged = [await done(task) for task in waiting]
    assert {one.obstacle for one in judged} == {Obstacle.OFFLINE}
    assert world.uplink.asked == [1000.0] * 2 + [1005.0] * 2
    await world.guard.close()


async def test_a_gap_reaches_from_the_failure_to_the_first_answer(world: World) -> None:
    world.uplink.is_up = False
    await done(world.fail())
    for _ in range(12):
        await world.sleeper.pass_time(50)
        (gap,) = await world.gaps()
        while gap.end // 60 < (world.time.wall - 5) // 60:  # each minute of it is stored by then
            (gap,) = await world.gaps()
        assert gap.start == NOON
        assert gap.end <= world.time.wall + 1
    world.uplink.is_up = True
    await world.sleeper.pass_time(5)
    while world.guard.is_offline:  # it stores the end first
        await asyncio.sleep(0.01)
    (gap,) = await world.gaps()
    assert NOON + 600 < gap.end <= NOON + 606
    asked = len(world.uplink.asked)
    await world.sleeper.pass_time(60)
    assert len(world.uplink.asked) == asked  # nothing is asked while nothing fails


async def test_a_gap_ends_with_the_service(world: World) -> None:
    world.uplink.is_up = False
    await done(world.fail())
    await world.sleeper.pass_time(3)
    await world.guard.close()
    assert await world.gaps() == (Gap(NOON, NOON + 3, GapKind.OFFLINE),)


async def test_witnesses_that_hang_have_three_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kener_async.worker.witnesses.PATIENCE", 0.01)
    world.uplink.hangs = True
    assert (await done(world.fail())).obstacle is Obstacle.OFFLINE
    await world.guard.close()


async def test_removing_the_witnesses_ends_a_gap(world: World) -> None:
    world.uplink.is_up = False
    await done(world.fail())
    world.guard.configure([])
    await world.sleeper.pass_time(6)
    assert len(await world.gaps()) == 1
    assert not world.guard.is_offline


async def test_checked_monitors_are_not_observed_while_offline(world: World) -> None:
    service = world.service
    states = service.app[keys.STATES]
    earth = states.find("earth")
    assert earth is not None
    writer = service.app[keys.WRITER]
    await writer.put_run([Sample(earth.id, NOON, Status.UP, 0.1, SampleSource.CHECK)])
    world.uplink.is_up = False
    await done(world.fail())
    service.pass_time(61)
    for _ in range(7):
        await world.sleeper.pass_time(10)
        await asyncio.sleep(0.01)  # the thread of the database
    state = await service.app[keys.LOADER].state("earth")
    current = state.current(service.clock())
    assert (current.status, current.reason) == (Status.NO_DATA, Reason.NOT_OBSERVED)
    await world.guard.close()
