"""The dead man's switch: pings are sent while the service is ready, and only then."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from kener_async import keys
from kener_async.api import health
from kener_async.config.model import Config
from kener_async.metrics import Metrics
from kener_async.worker.dead_man_switch import DeadMansSwitch
from kener_async.worker.stop import NEVER, StopToken
from tests.rigs.service import NOON, FakeClock, a_config, running


class Switch:
    """The other side: it counts who asks, and answers as told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.rang = asyncio.Event()
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        self.rang.set()
        return web.Response(status=self.status)


@pytest.fixture
async def switch() -> AsyncIterator[Switch]:
    side = Switch()
    app = web.Application()
    app.router.add_get("/ping/{secret}", side.answer)
    async with TestServer(app) as server:
        side.url = str(server.make_url("/ping/s3cret?from=orbit"))
        yield side


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def pings(metrics: Metrics, result: str) -> float:
    return metrics.registry.get_sample_value("kener_pings_total", {"result": result}) or 0


def a_deadman(url: str, metrics: Metrics, *faults: str) -> DeadMansSwitch:
    async def found() -> list[str]:
        return list(faults)

    return DeadMansSwitch(lambda: url, found, FakeClock(), metrics)


def watched(folder: Path, url: str) -> Config:
    config = a_config(folder)
    return replace(config, watch=replace(config.watch, ping_url=url))


async def test_the_running_service_requests_the_address_as_it_is_written(switch: Switch, tmp_path: Path):
    async with running(watched(tmp_path, switch.url), FakeClock()) as service:
        async with asyncio.timeout(10):
            await switch.rang.wait()
        assert switch.asked == ["/ping/s3cret?from=orbit"]
    metrics = service.app[keys.METRICS]
    assert metrics.registry.get_sample_value("kener_ping_last_success_timestamp_seconds") in (0, NOON)


async def test_with_a_stalled_writer_no_ping_goes_out(
    switch: Switch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with running(a_config(tmp_path), FakeClock()) as service:
        metrics = Metrics()
        deadman = DeadMansSwitch(
            lambda: switch.url, service.app[health.READINESS].problems, FakeClock(), metrics
        )
        await deadman.ping(NEVER)
        assert len(switch.asked) == 1

        write, goes_on = service.app[keys.DATABASE].write, asyncio.Event()

        async def stalls(*work: Any, **kwargs: Any) -> Any:
            await goes_on.wait()  # jobs of the service may have got into it, too, and must end
            return await write(*work, **kwargs)

        monkeypatch.setattr(health, "WRITER_SECONDS", 0.01)
        with monkeypatch.context() as stalled:
            stalled.setattr(service.app[keys.DATABASE], "write", stalls)
            await deadman.ping(NEVER)
        goes_on.set()
        assert len(switch.asked) == 1
        assert pings(metrics, "withheld") == 1


async def test_without_an_address_nothing_is_requested(metrics: Metrics):
    await a_deadman("", metrics).ping(NEVER)
    assert [pings(metrics, result) for result in ("sent", "failed", "withheld")] == [0, 0, 0]


async def test_each_change_is_logged_once_and_the_path_never(switch: Switch, metrics: Metrics):
    deadman = a_deadman(switch.url, metrics)
    with capture_logs() as logs:
        for status in (200, 500, 500, 204, 200):
            switch.status = status
            await deadman.ping(NEVER)
    assert [(log["ping"], log["reason"]) for log in logs] == [("failed", "answered 500"), ("sent", None)]
    assert "s3cret" not in str(logs)
    assert (pings(metrics, "sent"), pings(metrics, "failed")) == (3, 2)


async def test_a_refused_connection_is_a_failed_ping_and_not_a_failed_job(metrics: Metrics):
    async with TestServer(web.Application()) as server:
        url = str(server.make_url("/"))
    await a_deadman(url, metrics).ping(NEVER)
    assert pings(metrics, "failed") == 1


async def test_what_keeps_the_service_from_work_withholds_the_ping(switch: Switch, metrics: Metrics):
    with capture_logs() as logs:
        await a_deadman(switch.url, metrics, "disk: only 3 KiB free").ping(NEVER)
    assert (switch.asked, pings(metrics, "withheld")) == ([], 1)
    assert [log["reason"] for log in logs] == ["disk: only 3 KiB free"]


async def test_a_stop_waits_for_no_answer(metrics: Metrics):
    reached, never = asyncio.Event(), asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        reached.set()
        await never.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", hang)
    async with TestServer(app) as server:
        stop = StopToken()
        under_way = asyncio.create_task(a_deadman(str(server.make_url("/")), metrics).ping(stop))
        await reached.wait()
        stop.set()
        await under_way
        never.set()
    assert [pings(metrics, result) for result in ("sent", "failed")] == [0, 0]
