"""Measure a server with 10,000 monitors: start, first page and list, memory, and the turn of a quarter-hour.

The server's clock is moved by libfaketime so that a quarter-hour ends while all is measured. By then every
monitor has reported in it, and a visitor loads the page every few seconds. The turn's processor time is what
the server used in the minute after it more than in the minute before; meanwhile one sender posts heartbeats
one after the other, and the longest that one took says how long the work of the turn held it up.
"""

import argparse
import asyncio
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from benchmarks import history
from benchmarks.servers import (
    Server,
    Usage,
    add_tree_option,
    checkouts,
    configure,
    machine,
    measured,
    ours,
    token,
    workplace,
)
from benchmarks.tables import Table, verdict

QUARTER = 900
LEAD = 300  # seconds of the server's clock from its start to the turn
STRETCH = 60  # seconds that are measured before and after the turn
SENDERS = 16  # of the reports of all monitors
EVERY = 0.05  # seconds from one heartbeat of the one sender to the next, if it was answered by then
VISIT_SECONDS = 5
BROWSER = {"Accept": "text/html", "Accept-Encoding": "gzip, br", "Accept-Language": "en"}
LISTENING_BUDGET, CPU_BUDGET, HOLD_BUDGET, MEMORY_BUDGET = 2.0, 3.0, 50.0, 400.0


def main() -> int:
    options = _options()
    print(machine())
    table = Table(
        f"{options.monitors:,} monitors x {options.days} days",
        *("figure", "budget", "CPU s meanwhile", "load, waited"),
    )
    for name, tree in checkouts(options.tree).items():
        with workplace() as folder:
            _measure(table, folder, name, tree, options)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--monitors", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=7)
    add_tree_option(parser)
    return parser.parse_args()


@dataclass(slots=True)
class Sent:
    """Milliseconds of heartbeats, and of pages."""

    heartbeats: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)


def _measure(table: Table, folder: Path, name: str, tree: Path, options: argparse.Namespace) -> None:
    config = configure(folder, options.monitors)
    turn = int(time.time()) // QUARTER * QUARTER
    history.written(config, options.days, tree, minute_days=1, at=turn - LEAD)
    secret = token(config, tree)
    ahead = turn - LEAD - time.time()
    began = time.perf_counter()
    with ours(folder, config, name, tree, secret, under=_clock(ahead)) as server:
        listening = time.perf_counter() - began
        with measured(server) as usage:
            list_seconds = _seconds(server, "/api/monitors")
        _add(table, f"{name}: first list", f"{list_seconds:.2f} s", "-", usage)
        with measured(server) as usage:
            page_seconds = _seconds(server, "/")
        _add(table, f"{name}: first page", f"{page_seconds:.2f} s", "-", usage)
        asyncio.run(_report_all(server, options.monitors))
        with measured(server) as usage:
            page_seconds = _seconds(server, "/")
        _add(table, f"{name}: page after all have reported", f"{page_seconds:.2f} s", "-", usage)
        left = turn - STRETCH - (time.time() + ahead)
        if left < 0:
            raise SystemExit(f"the machine is too slow: {-left:.0f} s too late for the turn")
        time.sleep(left)
        before, calm = _watched(server, options.monitors)
        after, busy = _watched(server, options.monitors)
        _add_turn(table, name, (before, calm), (after, busy))
        kept = verdict(listening, LISTENING_BUDGET, is_at_most=True)
        _add(table, f"{name}: start to listening", f"{listening:.2f} s", kept, usage)
        kept = verdict(server.resident_mb, MEMORY_BUDGET, is_at_most=True)
        _add(table, f"{name}: resident after all", f"{server.resident_mb:.0f} MB", kept, busy)


def _clock(ahead: float) -> tuple[str, ...]:
    """The command that executes a program with another time of day; its monotonic clock stays."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        raise SystemExit("libfaketime is needed (Debian: faketime)")
    # Without the last one a thread that waits for the interpreter's lock spins.
    return (
        *("env", f"LD_PRELOAD={library}", f"FAKETIME={ahead:+.0f}"),
        *("DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_FORCE_MONOTONIC_FIX=0"),
    )


def _seconds(server: Server, path: str) -> float:
    began = time.perf_counter()
    headers = BROWSER | {"Authorization": f"Bearer {server.token}"}
    answer = server.ask(path, headers)
    assert answer.status == 200, (path, answer.status)
    return time.perf_counter() - began


async def _report_all(server: Server, monitors: int) -> None:
    """Have each monitor report that it is up, now by the server's clock."""
    numbers = iter(range(monitors))

    async def send(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            await _post(session, number)

    async with _session(server) as session:
        await asyncio.gather(*(send(session) for _ in range(SENDERS)))


def _session(server: Server) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {server.token}"}
    timeout = aiohttp.ClientTimeout(total=60)
    return aiohttp.ClientSession(f"http://127.0.0.1:{server.port}", headers=headers, timeout=timeout)


async def _post(session: aiohttp.ClientSession, number: int) -> float:
    """A heartbeat; the milliseconds it took."""
    began = time.perf_counter()
    body = {"tag": f"monitor-{number}", "status": "UP", "latency": 0.1}
    async with session.post("/api/status", json=body) as reply:
        await reply.read()
    assert reply.status == 200, reply.status
    return (time.perf_counter() - began) * 1000


def _watched(server: Server, monitors: int) -> tuple[Sent, Usage]:
    """A minute of heartbeats and visits, and what the server used in it."""
    with measured(server) as usage:
        sent = asyncio.run(_watch(server, monitors))
    return sent, usage


async def _watch(server: Server, monitors: int) -> Sent:
    sent, until = Sent(), time.monotonic() + STRETCH

    async def beat(session: aiohttp.ClientSession) -> None:
        while (now := time.monotonic()) < until:
            sent.heartbeats.append(await _post(session, len(sent.heartbeats) % monitors))
            await asyncio.sleep(now + EVERY - time.monotonic())

    async def visit(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < until:
            began = time.perf_counter()
            async with session.get("/", headers=BROWSER) as reply:
                await reply.read()
            assert reply.status == 200, reply.status
            sent.pages.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(VISIT_SECONDS)

    async with _session(server) as session:
        await asyncio.gather(beat(session), visit(session))
    return sent


def _add_turn(table: Table, name: str, before: tuple[Sent, Usage], after: tuple[Sent, Usage]) -> None:
    """What the turn cost, by the minutes before and after it."""
    for when, (sent, usage) in (("before", before), ("after", after)):
        times = sorted(sent.heartbeats)
        p99 = times[math.ceil(0.99 * len(times)) - 1]
        kept = verdict(times[-1], HOLD_BUDGET if when == "after" else None, is_at_most=True)
        figure = f"{times[-1]:.0f} ms (p99 {p99:.1f}, {len(times):,} heartbeats)"
        _add(table, f"{name}: longest heartbeat in the minute {when} the turn", figure, kept, usage)
        pages = f"{max(sent.pages):.0f} ms ({len(sent.pages)} pages)"
        _add(table, f"{name}: longest page in the minute {when} the turn", pages, "-", usage)
    more = after[1].cpu - before[1].cpu
    kept = verdict(more, CPU_BUDGET, is_at_most=True)
    _add(table, f"{name}: processor time of the turn", f"{more:.2f} s", kept, after[1])


def _add(table: Table, what: str, figure: str, budget: str, usage: Usage) -> None:
    table.add(what, figure, budget, f"{usage.cpu:.2f}", f"{usage.load:.1f}, {usage.waited:.0%}")


if __name__ == "__main__":
    sys.exit(main())
