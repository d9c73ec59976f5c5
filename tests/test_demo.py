"""The demo: a process that starts, shows a consistent history and leaves no files."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from kener_async.demo import SCENES, past
from kener_async.demo.devices import DEVICES, simulated_devices
from kener_async.demo.run import configured
from kener_async.demo.scenes import scene
from kener_async.domain.uptime import uptime_text
from tests.rigs.service import NOON, FakeClock, running

pytestmark = pytest.mark.timeout(300)

RUN = Path(__file__).parent.parent / "run.py"
HOUR, DAY = 3600, 86400
READY_SECONDS = 180


class Demo:
    def __init__(self, process: Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.url = self.token = self.welcome = ""

    async def read_welcome(self) -> None:
        assert self.process.stdout is not None
        text = ""
        while "Ctrl-C" not in text:
            line = await self.process.stdout.readline()
            assert line, f"it stopped: {text}"
            text += line.decode()
        self.welcome = text
        self.url = re.findall(r"The page +(\S+)/\n", text)[0]
        self.token = re.findall(r"A token +(\S+)\n", text)[0]

    async def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with ClientSession(headers=headers) as session, session.get(self.url + path) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json(content_type=None) if path.startswith("/api") else await reply.text()

    async def report(self, tag: str, status: str) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        body = {"tag": tag, "status": status, "latency": 0}
        async with (
            ClientSession(self.url, headers=headers) as session,
            session.post("/api/status", json=body) as reply,
        ):
            assert reply.status == 200, await reply.text()

    async def stop(self, name: signal.Signals) -> int:
        self.process.send_signal(name)
        async with asyncio.timeout(15):
            return await self.process.wait()


@pytest.fixture
async def demo(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Demo]:
    """The demo as its command starts it, with the options a test is parametrized with."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [str(RUN), "demo", "--port", "0", *getattr(request, "param", ())]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=PIPE, env=environment, cwd=tmp_path
    )
    running = Demo(process, tmp_path)
    try:
        async with asyncio.timeout(READY_SECONDS):
            await running.read_welcome()
        yield running
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.process
async def test_it_shows_a_consistent_history_and_leaves_nothing_behind(demo: Demo):
    listed = await demo.get("/api/monitors")
    assert len(listed) >= 6
    assert len({monitor["category"] for monitor in listed}) >= 2
    assert {monitor["status"] for monitor in listed} >= {"UP", "DEGRADED"}
    for monitor in listed:
        await check_figures(demo, monitor["tag"])
    await check_incidents(demo)
    page = await demo.get("/")
    assert len(re.findall(r'href="/monitor/[a-z]+/[0-9-]+"', page)) == 91 * len(listed)
    for address in set(re.findall(r'src="(/assets/[^"]+)"', page)):
        assert "<svg" in await demo.get(address)
    assert list(demo.folder.iterdir())
    assert await demo.stop(signal.SIGTERM) == 0
    assert not list(demo.folder.iterdir())


async def check_figures(demo: Demo, tag: str) -> None:
    """The uptime of 90 days is the share its counts say, and its days add up to them."""
    uptime = await demo.get(f"/api/monitors/{tag}/uptime?window=90d")
    span = f"from={uptime['from']}&to={uptime['to']}"
    history = await demo.get(f"/api/monitors/{tag}/history?{span}&resolution=day")
    minutes = uptime["minutes"]
    counted = minutes["up"] + minutes["degraded"] + minutes["down"]
    # Devices report meanwhile: what is compared ends with yesterday.
    end = history["items"][-1]["from"]
    until_today = await demo.get(f"/api/monitors/{tag}/uptime?from={uptime['from']}&to={end}")
    days = history["items"][:-1]
    assert len(days) >= 90
    assert sum(minutes.values()) - minutes["degradedAsDowntime"] == 90 * DAY // 60
    assert uptime["uptime"] == uptime_text(counted - minutes["down"] - minutes["degradedAsDowntime"], counted)
    for kind, total in until_today["minutes"].items():
        assert total == sum(day["minutes"][kind] for day in days), kind
    assert minutes["up"] > 5000
    assert tag == "gateway" or minutes["down"] + minutes["degraded"] > 0
    assert tag == "archive" or until_today["latency"]["count"] > 80


async def check_incidents(demo: Demo) -> None:
    past = await demo.get("/api/incident?state=closed&per_page=100")
    still_open = await demo.get("/api/incident")
    assert len(past) >= 10
    assert sorted(incident["isMaintenance"] for incident in still_open) == [False, True]
    for incident in past:
        assert await demo.get(f"/api/incident/{incident['incidentNumber']}/comment")
        assert incident["createdAt"] <= incident["closedAt"]


@pytest.mark.process
async def test_ctrl_c_stops_it_and_its_devices_report_until_then(demo: Demo):
    async with asyncio.timeout(20):
        while "kener_samples_total 0.0" in (metrics := await demo.get("/metrics")):
            await asyncio.sleep(0.2)
    assert 'status="401"' not in metrics
    website = (await demo.get("/api/monitors"))[0]
    assert website["lastUpdatedAt"] % 60 == 0
    assert await demo.stop(signal.SIGINT) == 0
    assert not list(demo.folder.iterdir())


@pytest.mark.process
@pytest.mark.parametrize("demo", [["--scene", "empty"]], indirect=True)
@pytest.mark.parametrize("way", ["option", "variable", "make run"])
async def test_a_taken_port_is_said_before_anything_else(demo: Demo, tmp_path: Path, way: str):
    port = demo.url.rpartition(":")[2]
    (tmp_path / "config.toml").touch()
    words = {"option": ["demo", "--port", port], "variable": ["demo"], "make run": ["serve", "--welcome"]}[
        way
    ]
    given = {} if way == "option" else {"KENER_SERVER_PORT": port}
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, str(RUN), *words),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **given},
        cwd=tmp_path,
    )
    async with asyncio.timeout(20):
        out, err = await second.communicate()
    assert second.returncode == 1
    assert not out
    (line,) = err.decode().splitlines()
    assert f"127.0.0.1:{port}: Address already in use" in line


@pytest.mark.process
@pytest.mark.parametrize("demo", [["--scene", "empty"]], indirect=True)
async def test_the_line_to_try_works_as_it_is_printed(demo: Demo):
    line = re.findall(r"Try it +(curl .*\\\n.*)\n", demo.welcome)[0]
    shell = await asyncio.create_subprocess_shell(line, stdout=PIPE, stderr=PIPE)
    out, _ = await shell.communicate()
    assert json.loads(out)["status"] == 200
    assert (await demo.get("/api/status?tag=website"))["status"] == "DOWN"


@pytest.mark.process
@pytest.mark.parametrize("demo", [["--scene", "empty"]], indirect=True)
async def test_without_a_past_a_first_report_is_the_first(demo: Demo):
    assert {monitor["status"] for monitor in await demo.get("/api/monitors")} == {"NO_DATA"}
    await demo.report("website", "DOWN")
    assert "Partial outage" in await demo.get("/")


SHOWN = [
    ("outage", 0, "Partial outage", 2),
    ("empty", 3.1, "No data yet", 0),
]


@pytest.mark.parametrize(("name", "hour", "sentence", "ongoing"), SHOWN)
async def test_a_scene_shows_what_its_name_says(
    tmp_path: Path, name: str, hour: float, sentence: str, ongoing: int
):
    await check_scene(tmp_path, name, hour, sentence, ongoing)


async def check_scene(folder: Path, name: str, hour: float, sentence: str, ongoing: int) -> None:
    """The page of a scene at an hour of the day; tests/soak/scenes.py checks the others."""
    now = NOON - 12 * HOUR + int(hour * HOUR)
    told = scene(name, now)
    config = configured(folder, told)
    past.fill(config, simulated_devices(told), told.reports, now)
    async with running(config, FakeClock(now)) as service:
        page = await (await service.client.get("/")).text()
    assert f"<h1>{sentence}</h1>" in page
    described = page.partition('<div id="ongoing"')[2].partition('id="notices"')[0]
    assert described.count("<article") == ongoing


@pytest.mark.parametrize("name", SCENES)
def test_the_texts_of_a_scene_name_what_there_is_and_are_in_order(name: str):
    told = scene(name, NOON)
    tags = {device.tag for device in DEVICES}
    assert {trouble.tag for trouble in told.troubles} <= tags
    for report in told.reports:
        assert tags.issuperset(report.fields["tags"])
        said = [at for at, _ in report.comments]
        done = [report.created, *said, *([report.resolved] if report.resolved else [])]
        assert done == sorted(done), report.fields["title"]
        assert done[-1] <= NOON, report.fields["title"]
