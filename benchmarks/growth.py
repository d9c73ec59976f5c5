"""Measure the cost of history: the same requests over 1, 90 and 400 days; start-up; the rollup job.

The quarters of all days and the samples of the last one are written by SQL, for every monitor and without
gaps. Then a server runs on each database, and requests alternate between them.
"""

import argparse
import asyncio
import os
import resource
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from statistics import median

from aiohttp import web

from benchmarks.servers import (
    SERVER_CORE,
    Round,
    Server,
    configure,
    cpu_ratio,
    machine,
    of_rounds,
    ours,
    ratio,
    workplace,
    wrk,
)
from kener_async import keys
from kener_async.app import create_app, storage
from kener_async.config.load import load
from kener_async.domain.calendar import MINUTE, QUARTER, quarter_of
from kener_async.domain.samples import Sample, Status
from kener_async.store import monitors, observer, samples
from kener_async.store.sqlite import connections, upgrade
from kener_async.worker.states import StateLoader

DAY = 86400
ROLL_SECONDS = 5  # config.toml's default between two runs of the job
NOON = 1_767_182_400


def main() -> int:
    options = _options()
    print(machine())
    ok = True
    for count in options.monitors:
        with workplace() as folder:
            ok &= _compare(folder, count, options.days, options.rounds, options.seconds)
    with workplace() as folder:
        _roll(configure(folder, max(options.monitors)), max(options.monitors))
    return 0 if ok else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--monitors", nargs="+", type=int, default=[1, 50, 1000])
    parser.add_argument("--days", nargs="+", type=int, default=[1, 90, 400])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    return parser.parse_args()


def _compare(folder: Path, count: int, lengths: Sequence[int], rounds: int, seconds: int) -> bool:
    print(f"\n{count:,} monitor{'s' if count > 1 else ''}")
    ok = True
    with ExitStack() as stack:
        servers: list[Server] = []
        for days in lengths:
            own = folder / str(days)
            own.mkdir()
            config = configure(own, count)
            began = time.monotonic()
            print(f"  {days:3} days: {fill(config, days)}, filled in {time.monotonic() - began:.0f} s")
            if days == 90 and count >= 1000:
                _print_start(own, config, days)
            servers.append(stack.enter_context(ours(own, config, f"{days} days")))
        waited = max(server.become_idle() for server in servers)
        if waited > 10:
            print(f"  waited {waited:.0f} s until the servers had done what they do after a start")
        for what in ("get", "now"):
            seen: dict[str, list[Round]] = {server.name: [] for server in servers}
            for server in servers:
                wrk(server, what, count, 1)
            for _ in range(rounds):
                for server in servers:
                    seen[server.name].append(wrk(server, what, count, seconds))
            shortest = seen[servers[0].name]
            for name, each in seen.items():
                one = of_rounds(each)
                ok &= one.failed == 0
                print(
                    f"  {'GET ' if what == 'get' else 'POST'} {name:8} {one.per_second:7,.0f}/s"
                    f"  p50 {one.p50:5.2f}  p99 {one.p99:6.2f} ms"
                    f"  ratio to the shortest {ratio(each, shortest):.2f},"
                    f" by CPU {cpu_ratio(each, shortest):.2f}"
                    + (f"  {one.failed} FAILED" if one.failed else "")
                )
        if count > 1:
            for server in servers:
                _print_list(server, times=7 if count < 200 else 2)
        for server in servers:
            print(f"  resident with {server.name}: {server.resident_mb:.0f} MB")
    return ok


def fill(config: Path, days: int) -> str:
    """Write so many days up to now to the database, as the server stores them; the numbers of rows."""
    settings = load(config, {})
    path = config.parent / "kener.db"
    now = int(time.time())
    end = quarter_of(now)
    upgrade.prepare(path)
    with closing(connections.connect(path, synchronous="OFF")) as connection:
        connection.execute("PRAGMA cache_size = -200000")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("BEGIN IMMEDIATE")
        observer.begin(connection, now=end - days * DAY, retention=0)
        wanted = {monitor.tag: monitor.settings for monitor in settings.monitors}
        ids = sorted(monitors.register(connection, wanted, now=end - days * DAY).values())
        connection.execute("UPDATE service SET last_seen = ?, rolled_until = ?", (now, end))
        connection.execute("COMMIT")
        for first in range(0, len(ids), 50):
            connection.execute("BEGIN IMMEDIATE")
            for monitor in ids[first : first + 50]:
                _fill_one(connection, monitor, end, days)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("DELETE FROM dirty")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("quarters", "samples")
        ]
    return f"{counts[0]:,} quarters, {counts[1]:,} samples, {path.stat().st_size:,} bytes"


def _fill_one(connection: sqlite3.Connection, monitor: int, end: int, days: int) -> None:
    span = {"monitor": monitor, "begin": end - days * DAY, "end": end, "day": end - DAY}
    connection.execute(
        """
        WITH RECURSIVE times (quarter) AS (
            VALUES (:begin) UNION ALL SELECT quarter + 900 FROM times WHERE quarter + 900 < :end
        )
        INSERT INTO quarters
        SELECT :monitor, quarter, 15, 0, 0, 0, 0, 15, 1845000 + quarter % 7919, 61000 + quarter % 977,
               190000 + quarter % 1231
          FROM times
        """,
        span,
    )
    connection.execute(
        """
        WITH RECURSIVE times (minute) AS (
            VALUES (:day) UNION ALL SELECT minute + 60 FROM times WHERE minute + 60 < :end
        )
        INSERT INTO samples SELECT :monitor, minute, 0, 0, 123000 + minute % 991 FROM times
        """,
        span,
    )


def _print_start(folder: Path, config: Path, days: int) -> None:
    """From the start of the process to the first 200, with the file in memory and without."""
    for is_cold in (False, True):
        taken = []
        for _ in range(3):
            if is_cold:
                _forget(config.parent / "kener.db")
            started = time.perf_counter()
            with ours(folder, config, "start", secret="") as server:
                server.fetch("/healthz")
                taken.append(time.perf_counter() - started)
        print(
            f"  start to the first 200 with {days} days, file {'on disk only' if is_cold else 'in memory'}: "
            f"{median(taken):.2f} s (budget 2 s)"
        )


def _forget(path: Path) -> None:
    """Have the system drop the file from its page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _print_list(server: Server, times: int) -> None:
    taken, body = [], b""
    for _ in range(times):
        started = time.perf_counter()
        body = server.fetch("/api/monitors")
        taken.append(time.perf_counter() - started)
    print(
        f"  GET /api/monitors, {server.name}: first {taken[0] * 1000:,.0f} ms, "
        f"then {median(taken[1:]) * 1000:,.0f} ms, {len(body):,} bytes"
    )


class _Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


def _roll(config: Path, count: int) -> None:
    """The share of a core that the rollup job takes when every monitor reports every minute."""
    os.sched_setaffinity(0, {SERVER_CORE})
    counting, idle, longest = asyncio.run(_rolled(config))
    runs = QUARTER // ROLL_SECONDS
    share = (counting + (runs - 1) * idle) / QUARTER
    print(
        f"\nrollup job, {count:,} monitors reporting every minute: {counting:.2f} s of CPU "
        f"for a quarter-hour, "
        f"{idle * 1000:.1f} ms for each of the {runs - 1} runs that find nothing: "
        f"{share:.2%} of a core (budget 10 %); "
        f"a heartbeat meanwhile took at most {longest * 1000:.0f} ms"
    )


async def _rolled(config: Path) -> tuple[float, float, float]:
    clock = _Clock()
    app = create_app(load(config, {}), clock)
    async with storage(app):
        loader = app[keys.LOADER]
        counting, idle, longest = [], [], 0.0
        for _ in range(3):
            await _quarter(app, clock)
            probe = asyncio.create_task(_probe(app, clock))
            counting.append(await _cpu(loader))
            probe.cancel()
            longest = max(longest, *(await asyncio.gather(probe)))
            idle += [await _cpu(loader) for _ in range(5)]
        return median(counting), median(idle), longest


async def _quarter(app: web.Application, clock: _Clock) -> None:
    """Fifteen minutes of reports; then the quarter-hour is over."""
    store, states = app[keys.DATABASE], app[keys.STATES]
    ids = [state.id for state in states]
    for _ in range(QUARTER // MINUTE):
        batch = [Sample(one, clock.now - clock.now % 60, Status.UP, 0.123) for one in ids]
        states.add_samples(await store.write(partial(samples.record, batch=batch)))
        for _ in range(2):
            clock.now += 30
            await app[keys.LOADER].observe()


async def _probe(app: web.Application, clock: _Clock) -> float:
    """Heartbeats one after the other; the longest that one took."""
    store, ids = app[keys.DATABASE], [state.id for state in app[keys.STATES]]
    longest, number = 0.0, 0
    try:
        while True:
            number += 1
            sample = Sample(ids[number % len(ids)], clock.now - clock.now % 60, Status.UP, 0.5)
            started = time.perf_counter()
            await store.write(partial(samples.record, batch=[sample]))
            longest = max(longest, time.perf_counter() - started)
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return longest


async def _cpu(loader: StateLoader) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    await loader.roll()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
