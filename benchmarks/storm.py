"""Measure a storm: all monitors go down within ten seconds, and what senders and visitors notice of it.

In one run, at the same pace: first everything reports UP (calm), then DOWN (storm), then UP again (recovery).
Visitors load the home page and the page of a monitor all the while. The reference are the times of calm, so
the ratio is what the alerts, their messages and their incident cost others. Each phase begins five seconds
before a minute ends, so that it has what is done once a minute, and none has the end of a quarter-hour.
"""

import argparse
import asyncio
import math
import os
import re
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from aiohttp import web

from benchmarks.servers import LOAD_CORE, Server, configure, free_port, load_now, machine, ours, workplace

BUDGET = 2.0  # times what it takes when it is calm
PAGER_SECONDS = 60.0
MINUTE = 60
SETTLED_SECONDS = 15.0  # until the chat has its message: the gathering, and then some
RULES = """
[[channels]]
name = "chat"
kind = "slack"
url = "http://127.0.0.1:{port}/chat"
[[channels]]
name = "pager"
kind = "alertmanager"
url = "http://127.0.0.1:{port}"
[[alerts]]
name = "outage"
to = ["chat", "pager"]
incident = "publish"
join_by = "rule"
[[alerts]]
name = "degraded"
when = "DEGRADED"
after = "5m"
to = ["chat"]
[[alerts]]
name = "slow"
latency_above = 0.8
count = 3
to = ["chat"]
"""


def main() -> int:
    options = _options()
    print(machine())
    with workplace() as folder, _on_load_core():
        receivers = Receivers(free_port())
        config = configure(folder, options.monitors)
        config.write_text(config.read_text() + RULES.format(port=receivers.port))
        with ours(folder, config) as server:
            phases = asyncio.run(_run(server, receivers, options))
        incidents = _incidents(folder / "kener.db")
    return 0 if _is_kept(phases, receivers, incidents, options.monitors) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storm", description=__doc__)
    parser.add_argument("--monitors", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0, help="in which all of them report")
    parser.add_argument("--visits", type=float, default=20.0, help="pages a second: / and a monitor in turn")
    return parser.parse_args()


@contextmanager
def _on_load_core() -> Iterator[None]:
    """Keep this process off the core of the server."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass
class Receivers:
    """A chat and a pager on one port: the texts of messages, and when each monitor's events came."""

    port: int
    messages: list[str] = field(default_factory=list)
    firing: dict[str, float] = field(default_factory=dict)
    resolved: dict[str, float] = field(default_factory=dict)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=1 << 26)
        app.add_routes([web.post("/chat", self._chat), web.post("/api/v2/alerts", self._pager)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _chat(self, request: web.Request) -> web.Response:
        self.messages.append((await request.json())["text"])
        return web.Response(text="ok")

    async def _pager(self, request: web.Request) -> web.Response:
        for event in await request.json():
            is_over = datetime.fromisoformat(event["endsAt"]) <= datetime.now(UTC)
            heard = self.resolved if is_over else self.firing
            heard.setdefault(event["labels"]["monitor"], time.monotonic())
        return web.json_response({})


@dataclass
class Phase:
    """The seconds that requests took while all monitors reported one status; `began` is monotonic."""

    name: str
    began: float
    posts: list[float] = field(default_factory=list)
    pages: dict[str, list[float]] = field(default_factory=dict)
    messages: int = 0
    cpu: float = 0.0


async def _run(server: Server, receivers: Receivers, options: argparse.Namespace) -> list[Phase]:
    headers = {"Authorization": f"Bearer {server.token}"}
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0)
    base = f"http://127.0.0.1:{server.port}"
    async with (
        receivers.listening(),
        aiohttp.ClientSession(
            base, headers=headers, timeout=timeout, connector=connector, auto_decompress=False
        ) as session,
    ):
        await _phase("start", "UP", session, server, receivers, options)
        await asyncio.to_thread(server.become_idle)
        phases: list[Phase] = []
        for name, status in (("calm", "UP"), ("storm", "DOWN"), ("recovery", "UP")):
            await _five_seconds_to()
            phase = await _phase(name, status, session, server, receivers, options)
            _print(phase, phases[0] if phases else None)
            phases.append(phase)
            heard = receivers.resolved if name == "recovery" else receivers.firing
            if name != "calm":
                await _told(heard, options.monitors, phase.began)
                await asyncio.sleep(SETTLED_SECONDS)
            phase.messages = len(receivers.messages) - sum(one.messages for one in phases[:-1])
        return phases


async def _phase(
    name: str,
    status: str,
    session: aiohttp.ClientSession,
    server: Server,
    receivers: Receivers,
    options: argparse.Namespace,
) -> Phase:
    """Every monitor reports once, and pages are loaded; each is begun on time, whatever others take."""
    phase, cpu = Phase(name, time.monotonic()), server.cpu_seconds
    async with asyncio.TaskGroup() as group:
        group.create_task(_visit(phase, session, options))
        for number in range(options.monitors):
            await _until(phase.began + number * options.seconds / options.monitors)
            group.create_task(_report(phase, session, f"monitor-{number}", status))
    phase.cpu = (server.cpu_seconds - cpu) / (time.monotonic() - phase.began)
    return phase


async def _five_seconds_to() -> None:
    """Wait until five seconds before the end of a minute that is not the last of a quarter-hour."""
    await asyncio.sleep((MINUTE - 5 - time.time()) % MINUTE)
    if (time.time() // MINUTE + 1) % 15 == 0:
        await asyncio.sleep(MINUTE)


async def _visit(phase: Phase, session: aiohttp.ClientSession, options: argparse.Namespace) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(int(options.seconds * options.visits)):
            await _until(phase.began + number / options.visits)
            path = f"/monitor/monitor-{number * 97 % options.monitors}" if number % 2 else "/"
            kind = "page of a monitor" if number % 2 else "home page"
            group.create_task(_load(phase.pages.setdefault(kind, []), session, path))


async def _until(instant: float) -> None:
    await asyncio.sleep(max(0.0, instant - time.monotonic()))


async def _report(phase: Phase, session: aiohttp.ClientSession, tag: str, status: str) -> None:
    began = time.perf_counter()
    body = {"tag": tag, "status": status, "latency": 0.1}
    async with session.post("/api/status", json=body) as reply:
        await reply.read()
    phase.posts.append(time.perf_counter() - began)
    if reply.status != 200:
        raise SystemExit(f"a report was answered with {reply.status}")


async def _load(taken: list[float], session: aiohttp.ClientSession, path: str) -> None:
    began = time.perf_counter()
    async with session.get(path, headers={"Accept-Encoding": "gzip, br"}) as reply:
        await reply.read()
    taken.append(time.perf_counter() - began)
    if reply.status != 200:
        raise SystemExit(f"{path} was answered with {reply.status}")


async def _told(heard: dict[str, float], monitors: int, began: float) -> None:
    """Wait until the pager has an event of every monitor."""
    while len(heard) < monitors and time.monotonic() - began < 2 * PAGER_SECONDS:
        await asyncio.sleep(0.1)
    last = max(heard.values(), default=math.inf) - began
    print(f"    pager: events of {len(heard)} monitors, the last {last:.1f} s after the begin")


def _p(times: Sequence[float], share: float) -> float:
    """The percentile, in milliseconds."""
    ordered = sorted(times)
    return ordered[math.ceil(share * len(ordered)) - 1] * 1000


def _print(phase: Phase, calm: Phase | None) -> None:
    print(f"  {phase.name}: {phase.cpu:.0%} of the core; {load_now()}")
    for name, times in (("POST", phase.posts), *sorted(phase.pages.items())):
        figures = [f"p50 {_p(times, 0.5):6.1f}  p99 {_p(times, 0.99):6.1f}  max {_p(times, 1):6.1f} ms"]
        if calm is not None:
            before = calm.posts if name == "POST" else calm.pages[name]
            figures += [f"ratio {_p(times, one) / _p(before, one):.2f}" for one in (0.5, 0.99, 1)]
        print(f"    {name:18} {'  '.join(figures)}")


def _incidents(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM incidents").fetchone()
    return int(count)


def _is_kept(phases: Sequence[Phase], receivers: Receivers, incidents: int, monitors: int) -> bool:
    calm, storm = phases[:2]
    post = _p(storm.posts, 0.99) / _p(calm.posts, 0.99)
    pages = max(_p(times, 0.99) / _p(calm.pages[name], 0.99) for name, times in storm.pages.items())
    last = max(receivers.firing.values(), default=math.inf) - storm.began
    counts = [re.sub(r"\s+", " ", message)[:70] for message in receivers.messages]
    print(f"POST p99 of the storm: {post:.2f} times that of calm, pages {pages:.2f} times (budget {BUDGET})")
    events = f"{len(receivers.firing)} events, the last after {last:.1f} s"
    print(f"pager: {events} (budget {PAGER_SECONDS:.0f} s)")
    print(f"chat: {storm.messages} message for the storm; all: {counts}")
    print(f"incidents: {incidents}")
    is_told = len(receivers.firing) == monitors and last <= PAGER_SECONDS
    return post <= BUDGET and pages <= BUDGET and is_told and storm.messages == 1 and incidents == 1


if __name__ == "__main__":
    sys.exit(main())
