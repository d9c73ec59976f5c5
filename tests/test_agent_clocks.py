"""Devices with wrong clocks: checks run on schedule, and on the server every minute is right in the end.

The real server runs in this process, with the true time; between it and the device is a faulty network.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kener_async import keys
from kener_async.agent import run as runs
from kener_async.agent.async_spool import AsyncSpool
from kener_async.agent.prober import AgentProber
from kener_async.agent.run import Agent
from kener_async.agent.spool import MeasuredSample
from kener_async.agent.uploader import Uploader
from kener_async.clock import Cron
from kener_async.domain.checks import Attempt, CheckTiming
from kener_async.domain.heartbeats import CronSchedule
from kener_async.domain.samples import Status
from kener_async.probes.settings import AliveTarget, CheckSettings
from tests.rigs.device import DeviceClock, agent_settings
from tests.rigs.network import FaultyNetwork
from tests.rigs.process import Key
from tests.rigs.service import NOON, FakeClock, Service
from tests.rigs.stored_samples import samples_in

HOUR, MINUTE = 3600, 60
TAGS = ("earth", "mars")
STATUSES = (Status.UP, Status.DEGRADED, Status.DOWN)

# The schedule


class Passing:
    """Time that passes where the agent sleeps, and while it looks at something: `slow` seconds each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = float(NOON)
        self.slow: Callable[[int], float] = lambda _: 0
        self.status: Callable[[int], Status | None] = lambda _: Status.UP
        self.looks = 0
        self.kept: list[MeasuredSample] = []
        monkeypatch.setattr(runs, "asyncio", SimpleNamespace(sleep=self._sleep))

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    async def attempt(self, _: CheckSettings, at: float) -> Attempt:
        self.looks += 1
        self.now += self.slow(self.looks)
        return Attempt(at, self.status(self.looks))

    async def add(self, sample: MeasuredSample) -> None:
        self.kept.append(sample)
        if len(self.kept) == 10:
            raise Enough

    async def samples(
        self, clock: DeviceClock, every: int = 60, cron: CronSchedule | None = None
    ) -> list[MeasuredSample]:
        """The first ten of a check."""
        settings = agent_settings(Path(), "http://nowhere")
        uploader = SimpleNamespace(wake=lambda: None)
        spool, prober = cast(AsyncSpool, self), cast(AgentProber, self)
        agent = Agent(settings, spool, prober, cast(Uploader, uploader), clock)
        with pytest.raises(Enough):
            await agent._check_regularly(
                CheckSettings("earth", AliveTarget(), CheckTiming(every, 10, cron=cron))
            )
        return self.kept


class Enough(Exception):
    pass


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Passing:
    return Passing(monkeypatch)


def spans(samples: list[MeasuredSample]) -> list[float]:
    times = [each.moment.monotonic for each in samples]
    return [later - earlier for earlier, later in pairwise(times)]


@pytest.mark.parametrize("seconds", [0, 0.5, 3, 59])
async def test_samples_are_as_far_apart_as_they_should_however_long_a_check_takes(
    passing: Passing, seconds: float
):
    passing.slow = lambda count: seconds * (count % 2)
    assert spans(await passing.samples(DeviceClock(lambda: passing.now))) == [60] * 9


async def test_a_wall_clock_that_jumps_moves_no_check(passing: Passing):
    clock = DeviceClock(lambda: passing.now)

    def jump(count: int) -> float:
        clock.error = (-1) ** count * count * HOUR
        return 1

    passing.slow = jump
    assert spans(await passing.samples(clock)) == [60] * 9


async def test_a_machine_that_slept_for_hours_makes_up_for_one_check_and_not_for_all(passing: Passing):
    passing.slow = lambda count: 5 * HOUR + 7 if count == 4 else 0
    found = await passing.samples(DeviceClock(lambda: passing.now))
    # The one that was due when it awoke is told of now, not of the past in which nobody looked.
    assert spans(found) == [60, 60, 60, 5 * HOUR + 7, 53, 60, 60, 60, 60]


async def test_a_check_that_could_not_be_made_is_no_sample(passing: Passing):
    passing.status = lambda look: None if look % 2 else Status.UP
    assert spans(await passing.samples(DeviceClock(lambda: passing.now))) == [120] * 9


async def test_a_failure_is_tried_again_and_its_attempts_are_samples_when_it_is_confirmed(passing: Passing):
    passing.status = lambda look: Status.UP if look in (1, 5, 6) else Status.DOWN
    found = await passing.samples(DeviceClock(lambda: passing.now))
    times = [(each.moment.monotonic - found[0].moment.monotonic, each.status.name) for each in found]
    assert times == [
        (0, "UP"),
        *((60, "DOWN"), (80, "DOWN"), (100, "DOWN")),
        *((120, "UP"), (180, "UP")),
        *((240, "DOWN"), (260, "DOWN"), (280, "DOWN"), (300, "DOWN")),
    ]


async def test_a_schedule_follows_the_wall_clock(passing: Passing):
    clock = DeviceClock(lambda: passing.now)
    passing.slow = lambda look: 3.0
    found = await passing.samples(clock, cron=Cron("*/5 * * * *"))
    assert [round(each.moment.wall) % 300 for each in found] == [0] * 10
    assert spans(found) == [300] * 9


async def test_a_wall_clock_that_is_set_moves_a_schedule(passing: Passing):
    clock = DeviceClock(lambda: passing.now)

    def corrected(look: int) -> float:
        clock.error = 120.0 if look >= 3 else 0.0
        return 1

    passing.slow = corrected
    found = await passing.samples(clock, cron=Cron("*/5 * * * *"))
    assert [round(each.moment.wall) % 300 for each in found] == [0] * 10
    assert spans(found)[:4] == [300, 300, 180, 300]


# The minutes on the server


class Life:
    """A device that measures each minute by the true time, in a network that fails as often as it works."""

    def __init__(self, service: Service, clock: DeviceClock, network: FaultyNetwork, seed: int) -> None:
        self.service = service
        self.clock = clock
        self.network = network
        self.chance = Random(seed)
        self.truth: dict[Key, str] = {}

    @asynccontextmanager
    async def living(self, folder: Path) -> AsyncIterator[None]:
        self.folder = folder
        async with AsyncExitStack() as self._stack:
            await self._start()
            yield

    async def _start(self) -> None:
        url = f"http://127.0.0.1:{self.network.port}"
        settings = agent_settings(self.folder, url, token=self.service.token, send_timeout=0.3)
        enter = self._stack.enter_async_context
        self.spool = await enter(AsyncSpool.opened(settings.spool, settings.spool_bytes))
        chance = self.chance.random
        self.uploader = await enter(Uploader.running(settings, self.spool, self.clock, "test", chance))

    async def boot(self, wall: float | None = None) -> None:
        """Off and on again; without a battery the clock shows `wall` then."""
        await self._stack.aclose()
        self.clock.boot()
        if wall is not None:
            self.clock.set_to(wall)
        await self._start()

    async def measure(self, minutes: int, *, sends: bool = True) -> None:
        for _ in range(minutes):
            self.service.pass_time(MINUTE)
            for tag in TAGS:
                status = self.chance.choice(STATUSES)
                self.truth[tag, self.service.clock() // MINUTE * MINUTE] = status.name
                await self.spool.add(MeasuredSample(tag, status, self.chance.random(), self.clock()))
            if sends:
                await self.uploader.upload()

    async def arrive(self) -> None:
        """Send what is left, in a network that works."""
        self.network.chance = 0
        self.service.pass_time(301)
        assert await self.uploader.upload()

    def stored(self) -> dict[Key, str]:
        path = self.service.app[keys.RUNNING].config.database.path
        return {(one.tag, one.minute): one.status for one in samples_in(path)}

    async def device(self) -> dict[str, Any]:
        (device,) = await self.service.get("/api/devices")
        return dict(device)


@pytest.fixture
async def life(service: Service, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Life]:
    clock.now = NOON + 17  # the middle of a minute
    port = service.client.port
    assert port is not None
    async with FaultyNetwork(port, seed=3, chance=0.4) as network:
        one = Life(service, DeviceClock(clock), network, seed=3)
        async with one.living(tmp_path / "device"):
            yield one


async def the_clock_is_right(life: Life) -> None:
    await life.measure(60)


async def the_clock_is_three_hours_fast(life: Life) -> None:
    life.clock.error = 3 * HOUR
    await life.measure(60)


async def the_clock_is_three_hours_slow(life: Life) -> None:
    life.clock.error = -3 * HOUR
    await life.measure(60)


async def it_lives_in_1970(life: Life) -> None:
    life.clock.set_to(20)
    await life.measure(60)


async def it_boots_in_1970_and_learns_the_time_when_the_network_comes(life: Life) -> None:
    life.clock.set_to(20)
    await life.measure(40, sends=False)
    life.clock.error = 0
    await life.measure(20)


async def it_boots_in_1970_and_learns_the_time_and_is_off_before_it_could_send(life: Life) -> None:
    life.clock.set_to(20)
    await life.measure(20, sends=False)
    life.clock.error = 0
    await life.measure(10, sends=False)
    await life.boot()
    await life.measure(20)


async def it_boots_again_and_again_in_1970(life: Life) -> None:
    for _ in range(5):
        await life.boot(wall=20)
        life.network.chance = 0
        await life.measure(1)  # the server hears of each boot
        life.network.chance = 0.4
        await life.measure(12)


async def the_clock_steps_back_and_forth(life: Life) -> None:
    for error in (0, -600, 120, -7200, 86_400, 0, -61):
        life.clock.error = error
        await life.measure(9)


async def the_clock_is_set_back_while_it_is_offline(life: Life) -> None:
    await life.measure(5)
    await life.measure(10, sends=False)
    life.clock.error = -2 * HOUR
    await life.measure(10, sends=False)
    await life.measure(5)


LIVES = (
    the_clock_is_right,
    the_clock_is_three_hours_fast,
    the_clock_is_three_hours_slow,
    it_lives_in_1970,
    it_boots_in_1970_and_learns_the_time_when_the_network_comes,
    it_boots_in_1970_and_learns_the_time_and_is_off_before_it_could_send,
    it_boots_again_and_again_in_1970,
    the_clock_steps_back_and_forth,
    the_clock_is_set_back_while_it_is_offline,
)


@pytest.mark.parametrize("lives", LIVES, ids=lambda lives: lives.__name__)
async def test_every_minute_is_right_in_the_end(life: Life, lives: Callable[[Life], Any]):
    await lives(life)
    await life.arrive()
    assert life.stored() == life.truth
    assert sum(life.network.met.values()) >= 3
    device = await life.device()
    assert (device["missing"], device["restarts"]) == (0, 0)


async def test_the_server_tells_how_far_off_the_clock_is(life: Life):
    life.clock.error = 3 * HOUR
    await life.measure(3)
    await life.arrive()
    assert (await life.device())["clockOffset"] == -3 * HOUR


async def test_what_the_spool_had_to_drop_is_missed_by_the_server(life: Life):
    await life.measure(3)
    await life.measure(20, sends=False)
    await life.spool._do(
        lambda spool: spool._connection.execute("DELETE FROM samples WHERE seq IN (20, 21, 22)")
    )
    await life.measure(3)
    await life.arrive()
    assert (await life.device())["missing"] == 3
