"""Probes against real targets: what counts as UP, how a hanging one ends, and that nothing is left behind."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kener_async.agent.prober import AgentProber
from kener_async.domain.checks import Attempt, CheckTiming, Obstacle
from kener_async.domain.conditions import at_most, parse
from kener_async.domain.samples import Status
from kener_async.probes import device
from kener_async.probes.settings import (
    AliveTarget,
    CheckSettings,
    CommandTarget,
    FileTarget,
    HttpTarget,
    Target,
    TcpTarget,
    UnitTarget,
    VantageSettings,
)
from tests.rigs.process import a_free_port

UP, DOWN, DEGRADED = Status.UP, Status.DOWN, Status.DEGRADED
SOON = 0.3  # seconds until a check that hangs is given up


@pytest.fixture
async def prober() -> AsyncIterator[AgentProber]:
    async with AgentProber.opened(VantageSettings(user_agent="kener-agent/test"), dict(os.environ)) as one:
        yield one


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """The address of a web server with some pages."""
    app = web.Application()

    async def page(request: web.Request) -> web.StreamResponse:
        match request.match_info["page"]:
            case "hangs":
                await asyncio.Event().wait()
            case "moved":
                raise web.HTTPFound("/fine")
            case "broken":
                raise web.HTTPInternalServerError
            case "endless":
                return await endless(request)
        return web.Response(text=f"all is fine, {request.headers['User-Agent']}")

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 100_000)

    app.router.add_get("/{page}", page)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


def check(target: Target, timeout: float = 5, **more: Any) -> CheckSettings:
    tag = (
        f"{target} {getattr(target, 'url', '')}"  # an address may hold secrets, so the first does not say it
    )
    return CheckSettings(tag, target, CheckTiming(60, timeout, retries=0), **more)


async def measure(prober: AgentProber, target: Target, **more: Any) -> Attempt:
    return await prober.attempt(check(target, **more), time.time())


async def status(prober: AgentProber, target: Target, **more: Any) -> Status | None:
    return (await measure(prober, target, **more)).status


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("fine", "", UP),
        ("fine", "all is fine", UP),
        ("fine", "kener-agent/test", UP),
        ("fine", "all is lost", DOWN),
        ("moved", "all is fine", UP),
        ("broken", "", DOWN),
        ("endless", "", UP),
        ("endless", "y", DOWN),
    ],
)
async def test_a_web_page(prober: AgentProber, site: str, page: str, text: str, expected: Status):
    expect = (parse("status < 400"), parse(f'body contains "{text}"')) if text else None
    assert await status(prober, HttpTarget(site + page), expect=expect) is expected


async def test_what_cannot_be_connected_is_down_and_says_why(prober: AgentProber):
    port = a_free_port()
    for target in (HttpTarget(f"http://127.0.0.1:{port}"), TcpTarget("127.0.0.1", port)):
        seen = await measure(prober, target)
        assert (seen.status, seen.reason, seen.is_network) == (DOWN, "connection refused", True)
        assert 0 <= seen.seconds < 5


async def test_a_port_that_listens_is_up(prober: AgentProber, site: str):
    port = int(site.rpartition(":")[2].strip("/"))
    assert await status(prober, TcpTarget("127.0.0.1", port)) is UP


async def test_what_takes_longer_than_it_should_is_degraded(prober: AgentProber, site: str):
    assert (
        await status(prober, HttpTarget(site + "fine"), warn=(at_most("latency", timedelta(microseconds=1)),))
        is DEGRADED
    )
    assert (
        await status(prober, HttpTarget(site + "fine"), warn=(at_most("latency", timedelta(seconds=4)),))
        is UP
    )


@pytest.mark.parametrize(("exit_status", "expected"), [(0, UP), (1, DOWN), (2, DEGRADED)])
async def test_a_command(prober: AgentProber, exit_status: int, expected: Status):
    assert await status(prober, CommandTarget(("sh", "-c", f"exit {exit_status}"), 2)) is expected


async def test_the_output_of_a_command_may_be_as_long_as_it_likes(prober: AgentProber):
    assert await status(prober, CommandTarget(("head", "-c", "10000000", "/dev/zero"))) is UP


async def test_a_command_that_is_not_there_is_our_fault_and_not_that_of_the_thing(prober: AgentProber):
    seen = await measure(prober, CommandTarget(("/no/such/command",)))
    assert (seen.status, seen.obstacle) == (None, Obstacle.PROGRAM)
    assert seen.reason == "/no/such/command: No such file or directory"


@pytest.mark.parametrize(("state", "expected"), [("active", UP), ("failed", DOWN), ("", DOWN)])
async def test_a_unit_is_what_systemctl_says(tmp_path: Path, state: str, expected: Status):
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\n[ "$5" = my.service ] && echo {state}\nexit 0\n')
    systemctl.chmod(0o755)
    async with AgentProber.opened(VantageSettings(), {"PATH": f"{tmp_path}:{os.environ['PATH']}"}) as prober:
        assert await status(prober, UnitTarget("my.service")) is expected


async def test_a_systemd_that_does_not_answer_says_nothing_of_its_units(tmp_path: Path):
    (tmp_path / "systemctl").symlink_to("/bin/false")
    async with AgentProber.opened(VantageSettings(), {"PATH": str(tmp_path)}) as prober:
        seen = await measure(prober, UnitTarget("my.service"))
        assert (seen.status, seen.reason) == (None, "systemctl ended with status 1")


async def test_the_age_of_a_file(prober: AgentProber, tmp_path: Path):
    file = tmp_path / "latest"
    assert await status(prober, FileTarget(file, 60)) is DOWN
    file.touch()
    assert await status(prober, FileTarget(file, 60)) is UP
    os.utime(file, (time.time() - 100, time.time() - 100))
    assert await status(prober, FileTarget(file, 60)) is DOWN
    assert await status(prober, FileTarget(file / "below", 60)) is DOWN


async def test_a_device_that_runs_is_alive(prober: AgentProber):
    seen = await measure(prober, AliveTarget())
    assert (seen.status, seen.seconds) == (UP, 0)


# What hangs


async def test_a_page_that_hangs_is_down_when_its_time_is_over(prober: AgentProber, site: str):
    seen = await measure(prober, HttpTarget(site + "hangs"), timeout=SOON)
    assert (seen.status, seen.seconds, seen.reason) == (DOWN, SOON, "no answer within 300 ms")


async def test_a_command_that_hangs_is_down_and_gone_with_all_its_children(
    prober: AgentProber, tmp_path: Path
):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # A child and a grandchild hold the pipe, and neither wants to end.
    family = f"trap '' TERM; exec 9>{fifo}; (trap '' TERM; sleep 1000 & sleep 1000) & wait"
    end = asyncio.create_task(asyncio.to_thread(fifo.read_bytes))
    try:
        assert await status(prober, CommandTarget(("sh", "-c", family)), timeout=2) is DOWN
        async with asyncio.timeout(5):
            assert await asyncio.shield(end) == b""  # nobody holds it any more
    finally:
        with suppress(OSError):  # a thread that waits for a writer would never end
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))


async def test_a_command_is_ended_when_the_agent_is(prober: AgentProber, tmp_path: Path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    started = asyncio.create_task(asyncio.to_thread(fifo.open, "rb"))
    looking = asyncio.create_task(measure(prober, CommandTarget(("sh", "-c", f"exec 9>{fifo}; sleep 1000"))))
    with await started as pipe:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(pipe.read) == b""


async def test_a_disk_that_hangs_is_down_and_costs_one_thread(
    prober: AgentProber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    comes_back = threading.Event()
    waiting: list[FileTarget] = []

    def age(target: FileTarget) -> float:
        waiting.append(target)
        comes_back.wait()
        return 0

    monkeypatch.setattr(device, "age_of", age)
    for _ in range(3):
        assert await status(prober, FileTarget(tmp_path, 60), timeout=0.05) is DOWN
    assert len(waiting) == 1
    comes_back.set()
    assert await status(prober, FileTarget(tmp_path, 60)) is UP


async def test_one_that_hangs_does_not_delay_the_others(prober: AgentProber, site: str):
    hanging = [check(HttpTarget(site + "hangs"), timeout=60) for _ in range(200)]
    hanging += [check(CommandTarget(("sleep", "1000")), timeout=60) for _ in range(5)]
    tasks = [asyncio.create_task(prober.attempt(each, time.time())) for each in hanging]
    await asyncio.sleep(0)  # let them begin
    try:
        async with asyncio.timeout(10):
            assert await status(prober, HttpTarget(site + "fine")) is UP
            assert await status(prober, CommandTarget((sys.executable, "-c", ""))) is UP
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_no_descriptor_left_is_our_fault(
    prober: AgentProber, site: str, monkeypatch: pytest.MonkeyPatch
):
    def none_left(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("socket.socket.__init__", none_left)
    for target in (TcpTarget("127.0.0.1", 1), HttpTarget(site + "fine")):
        seen = await measure(prober, target)
        assert (seen.status, seen.obstacle, seen.reason) == (None, Obstacle.FILES, "too many open files")
