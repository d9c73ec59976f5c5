"""Checks within the whole service: probes, storage, reload, alerts, and processes that are killed."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kener_async import keys
from kener_async.app import apply
from kener_async.config.model import Config
from kener_async.domain.calendar import LAST_INSTANT
from kener_async.domain.errors import Invalid, Unavailable
from kener_async.domain.heartbeats import MonitorSettings, OnChange
from kener_async.domain.samples import Sample, SampleSource, Status
from kener_async.domain.timeline import Reason
from kener_async.probes.settings import CheckSettings
from kener_async.store import check_faults, monitors, samples
from tests.rigs.alerts import a_rule, an_alert_config, look, open_alerts, told
from tests.rigs.checks import a_check
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running
from tests.rigs.stored_samples import samples_in

CHECK = SampleSource.CHECK


class Target:
    """A site whose status a test sets."""

    def __init__(self) -> None:
        self.status = 200
        self.asked = 0
        app = web.Application()
        app.router.add_get("/{tail:.*}", self._answer)
        self._server = TestServer(app)

    @property
    def url(self) -> str:
        return str(self._server.make_url("/health"))

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(status=self.status, text="ok")

    async def __aenter__(self) -> "Target":
        await self._server.start_server()
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self._server.close()


def checked_monitor(check: CheckSettings) -> Any:
    expectation = OnChange(check.timing.hold, is_check=True)
    return a_monitor(check.tag, MonitorSettings(expectation=expectation), check=check)


def config_of(folder: Path, *checks: CheckSettings) -> Config:
    return a_config(folder, *(checked_monitor(check) for check in checks), a_monitor("plain"))


@asynccontextmanager
async def checking(folder: Path, *checks: CheckSettings) -> AsyncIterator[Service]:
    async with running(config_of(folder, *checks), FakeClock()) as service:
        yield service


async def stored(service: Service) -> list[Sample]:
    def read(session: Any) -> list[Sample]:
        found = samples.spans(session, list(monitors.tags(session)), 0, LAST_INSTANT)
        return [sample for each in found.values() for sample in each.values()]

    found: list[Sample] = await service.app[keys.DATABASE].read(read)
    return found


async def test_a_check_becomes_a_sample_with_its_latency(tmp_path: Path) -> None:
    async with Target() as target, checking(tmp_path, a_check("shop", url=target.url)) as service:
        (attempt,) = await service.app[keys.CHECKS].run_now("shop")
        assert attempt.status is Status.UP
        (sample,) = await stored(service)
        assert (sample.minute, sample.status, sample.source) == (NOON, Status.UP, CHECK)
        assert sample.latency == pytest.approx(attempt.seconds, abs=1e-6)
        assert attempt.seconds > 0
        body = await service.get("/api/status", tag="shop")
        assert body["status"] == "UP"


async def test_a_failure_is_stored_with_the_facts_of_its_attempts(tmp_path: Path) -> None:
    check = a_check("shop", url="http://127.0.0.1:1/", retries=2, retry_every=0)
    async with checking(tmp_path, check) as service:
        attempts = await service.app[keys.CHECKS].run_now("shop")
        assert [attempt.status for attempt in attempts] == [Status.DOWN] * 3
        (sample,) = await stored(service)
        assert sample.status is Status.DOWN
        database, states = service.app[keys.DATABASE], service.app[keys.STATES]
        state = states.find("shop")
        assert state is not None
        faults = await database.read(check_faults.recent, state.id, 10)
        assert {fault.status for fault in faults} == {Status.DOWN}
        assert "refused" in faults[0].reason


async def test_a_check_never_replaces_a_push(tmp_path: Path) -> None:
    async with Target() as target, checking(tmp_path, a_check("shop", url=target.url)) as service:
        await service.beat("shop", "DOWN")
        await service.app[keys.CHECKS].run_now("shop")
        (sample,) = await stored(service)
        assert (sample.status, sample.source) == (Status.DOWN, SampleSource.PUSH)


async def test_a_reload_adds_and_removes_checks(tmp_path: Path) -> None:
    async with Target() as target, checking(tmp_path) as service:
        checks = service.app[keys.CHECKS]
        with pytest.raises(Invalid):
            await checks.run_now("plain")
        check = a_check("plain", url=target.url)
        config = replace(service.app[keys.RUNNING].config, monitors=(checked_monitor(check),))
        await apply(service.app, config)
        assert await checks.run_now("plain")
        assert [*checks._prober._probes] == ["plain"]
        await service.configure(a_monitor("plain"))
        with pytest.raises(Invalid):
            await checks.run_now("plain")
        assert [*checks._prober._probes] == []


async def test_without_checks_there_is_no_task_thread_or_socket_of_theirs(tmp_path: Path) -> None:
    async with checking(tmp_path) as service:
        await asyncio.sleep(0)
        names = {task.get_name() for task in asyncio.all_tasks()}
        ours = ("check of", "records of checks", "witnesses")
        assert not [name for name in names if name.startswith(ours)]
        assert service.app[keys.CHECKS]._timer is None
        assert service.app[keys.CHECKS]._prober._vantage is None


async def test_a_full_disk_loses_nothing_and_stops_no_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kener_async.worker.check_records.RETRY_SECONDS", 0.05)
    check = a_check("shop", url="http://127.0.0.1:1/", retries=0)
    async with checking(tmp_path, check) as service:
        database = service.app[keys.DATABASE]
        write = database.write

        async def refuse(*args: Any, **named: Any) -> Any:
            raise Unavailable("the disk is full")

        monkeypatch.setattr(database, "write", refuse)
        checks = service.app[keys.CHECKS]
        assert [one.status for one in await checks.run_now("shop")] == [Status.DOWN]
        assert await stored(service) == []
        assert [one.status for one in await checks.run_now("shop")] == [Status.DOWN]
        monkeypatch.setattr(database, "write", write)
        await checks.run_now("shop")
        await asyncio.sleep(0.2)
        (sample,) = await stored(service)
        assert sample.status is Status.DOWN
        faults = await database.read(check_faults.recent, sample.monitor, 10)
        assert len(faults) >= 1


async def test_samples_confirmed_late_change_the_figures(tmp_path: Path) -> None:
    """The quarters before now are counted again, as for any late data."""
    async with Target() as target, checking(tmp_path, a_check("shop", url=target.url)) as service:
        await service.app[keys.CHECKS].run_now("shop")
        for _ in range(20):
            service.pass_time(60)
        await service.roll()
        state = service.app[keys.STATES].find("shop")
        assert state is not None
        run = [Sample(state.id, NOON + 60 * minute, Status.DOWN, 0.1, CHECK) for minute in (0, 1, 2)]
        await service.app[keys.WRITER].put_run(run)
        state = await service.app[keys.LOADER].state("shop")
        assert state.report(service.clock()).today.down >= 3


async def test_silence_of_a_check_is_not_measured(tmp_path: Path) -> None:
    check = a_check("shop", url="http://127.0.0.1:1/", retries=0, timeout=5.0)
    async with checking(tmp_path, check) as service:
        await service.app[keys.CHECKS].run_now("shop")
        for _ in range(5):
            service.pass_time(60)
        state = await service.app[keys.LOADER].state("shop")
        current = state.current(service.clock())
        assert (current.status, current.reason) == (Status.NO_DATA, Reason.NOT_MEASURED)


class FakeRunner:
    """The checks of this server, as the evaluator sees them (worker/alert_parents.py)."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.failing: set[str] = set()
        self.asked: list[str] = []
        self.answer = asyncio.Event()

    def has(self, tag: str) -> bool:
        return tag == "router"

    def last_began(self, tag: str) -> float | None:
        return self.began.get(tag)

    def is_failing(self, tag: str) -> bool:
        return tag in self.failing

    async def run_now(self, tag: str) -> list[Any]:
        self.asked.append(tag)
        await self.answer.wait()
        return []


@asynccontextmanager
async def depending(folder: Path) -> AsyncIterator[tuple[Service, FakeRunner]]:
    monitors = (a_monitor("earth", depends_on=("router",)), a_monitor("router"))
    runner = FakeRunner()
    async with running(an_alert_config(folder, a_rule(), monitors=monitors), FakeClock()) as service:
        evaluator = service.app[keys.ALERTS]
        evaluator._checks = evaluator._parent_checks._checks = runner
        yield service, runner


async def test_an_opening_waits_for_the_check_of_its_parent(tmp_path: Path) -> None:
    async with depending(tmp_path) as (service, runner):
        await service.beat("router")
        await service.beat("earth", "DOWN")
        await look(service)
        assert await told(service) == []
        assert runner.asked == ["router"]
        await service.beat("router", "DOWN")
        runner.answer.set()
        await asyncio.sleep(0)
        await look(service)
        opened = [(alert.told_at, alert.because is not None) for alert in await open_alerts(service)]
        assert (None, True) in opened  # quietly, because of the router
        assert "earth OPENED" not in await told(service)


async def test_an_opening_is_told_when_the_parent_is_well(tmp_path: Path) -> None:
    async with depending(tmp_path) as (service, runner):
        await service.beat("router")
        await service.beat("earth", "DOWN")
        await look(service)
        runner.answer.set()
        await asyncio.sleep(0.01)
        await look(service)
        assert await told(service) == ["earth OPENED"]
        assert runner.asked == ["router"]


async def test_the_parent_is_checked_anew_at_each_failure(tmp_path: Path) -> None:
    async with depending(tmp_path) as (service, runner):
        await service.beat("router")
        for _ in range(2):  # it is well again before the parent was looked at
            runner.answer.clear()
            await service.beat("earth", "DOWN")
            await look(service)
            service.pass_time(60)
            await service.beat("earth")
            await look(service)
            runner.answer.set()
            await asyncio.sleep(0.01)
            service.pass_time(60)
        assert runner.asked == ["router", "router"]
        assert await told(service) == []


async def test_an_opening_waits_ten_seconds_at_most(tmp_path: Path) -> None:
    async with depending(tmp_path) as (service, runner):
        await service.beat("earth", "DOWN")
        await look(service)
        await look(service, 9)
        assert await told(service) == []
        await look(service, 1)
        assert await told(service) == ["earth OPENED"]
        assert runner.asked == ["router"]
        runner.answer.set()


@pytest.mark.parametrize(
    ("began", "asked"),
    [
        (NOON + 60, []),
        (NOON + 59, ["router"]),  # the failure may be one of later in that minute
        (NOON - 1, ["router"]),
    ],
)
async def test_a_parent_is_checked_unless_it_was_since_the_failure(
    tmp_path: Path, began: int, asked: list[str]
) -> None:
    async with depending(tmp_path) as (service, runner):
        await service.beat("router")
        runner.began["router"] = began
        runner.answer.set()
        await service.beat("earth", "DOWN")
        await look(service)
        await asyncio.sleep(0.01)
        await look(service)
        assert (await told(service), runner.asked) == (["earth OPENED"], asked)


async def test_a_parent_that_fails_and_is_not_confirmed_yet_keeps_its_children_quiet(tmp_path: Path) -> None:
    async with depending(tmp_path) as (service, runner):
        await service.beat("router")
        runner.answer.set()
        runner.failing.add("router")
        await service.beat("earth", "DOWN")
        await look(service)
        await asyncio.sleep(0.01)
        await look(service)
        (alert,) = await open_alerts(service)
        assert alert.told_at is None
        runner.failing.clear()  # it was nothing
        await service.beat("router")
        await look(service)
        assert await told(service) == ["earth OPENED"]


@pytest.mark.parametrize(("source", "expected"), [(CHECK, ["earth OPENED"]), (SampleSource.PUSH, [])])
async def test_what_our_own_checks_confirm_late_is_no_backlog(
    tmp_path: Path, source: SampleSource, expected: list[str]
) -> None:
    async with running(an_alert_config(tmp_path, a_rule()), FakeClock()) as service:
        await look(service)
        service.pass_time(600)
        state = service.app[keys.STATES].find("earth")
        assert state is not None
        now = service.clock()
        run = [Sample(state.id, minute, Status.DOWN, 0.1, source) for minute in range(now - 240, now + 1, 60)]
        await service.app[keys.WRITER].put_run(run)
        await look(service)
        assert await told(service) == expected


KILLED = """
import asyncio, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {root!r})
from kener_async import keys
from kener_async.domain.checks import Attempt
from kener_async.domain.samples import Status
from tests.rigs.checks import a_check
from tests.rigs.service import FakeClock, NOON, running
from tests.test_check_service import config_of
import os, signal

class Prober:
    made = 0
    async def attempt(self, check, at):
        Prober.made += 1
        status = Status[sys.argv[2].split(",")[Prober.made - 1]]
        if Prober.made == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return Attempt(at, status, reason="it failed")
    async def close(self): ...

async def main():
    folder = Path(sys.argv[1])
    async with running(config_of(folder, a_check("shop", retries=2, retry_every=0)), FakeClock()) as service:
        checks = service.app[keys.CHECKS]
        checks._prober = Prober()
        await checks.run_now("shop")
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("outcomes", "killed_at", "said"),
    [
        ("DOWN,DOWN,DOWN", 1, []),
        ("DOWN,DOWN,DOWN", 2, []),
        ("DOWN,DOWN,DOWN", 3, []),
        ("DOWN,DOWN,DOWN", 9, [Status.DOWN]),  # after the run
        ("DOWN,UP,UP", 2, []),
        ("DOWN,UP,UP", 9, [Status.UP]),
        ("DOWN,DEGRADED,UP", 3, []),
        ("UP,UP,UP", 1, []),
    ],
)
async def test_a_kill_after_any_attempt_never_leaves_a_wrong_minute(
    tmp_path: Path, outcomes: str, killed_at: int, said: list[Status]
) -> None:
    root = str(Path(__file__).parent.parent)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED.format(root=root), str(tmp_path), outcomes, str(killed_at)),
        stdout=asyncio.subprocess.DEVNULL,
        cwd=root,
    )
    assert await process.wait() == -9
    found = [Status[one.status] for one in samples_in(tmp_path / "kener.db")]
    assert found == said
