"""Measure what sign-ins cost others, and whether the time of a failure tells that a name exists.

Heartbeats come at a steady pace, first alone, then beside 50 people who sign in with their passwords over and
over. Then wrong passwords are tried for names that exist and for names that do not, in turn, each name once.
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

import aiohttp

from benchmarks.servers import Server, configure, load_now, machine, ours, workplace
from kener_async.clock import system_clock
from kener_async.domain.people import Actor, ActorKind, Role
from kener_async.identity.passwords import argon2id
from kener_async.store import people
from kener_async.store.sqlite import connections

P99_BUDGET, MEMORY_BUDGET_MB, TIMING_BUDGET = 2.0, 25.0, 0.05
AT_ONCE = 50
PASSWORD = "for benchmarks: a long sentence"
BUSY, KNOWN, UNKNOWN = "person-{}".format, "some-one-{}".format, "no-body-{}".format
ACTOR = Actor(ActorKind.COMMAND, "benchmark")


def main() -> int:
    options = _options()
    print(machine())
    with workplace() as folder:
        config = configure(folder, 50)
        proxies = '[server]\ntrusted_proxies = ["127.0.0.1"]\n'
        config.write_text(proxies + config.read_text())
        with ours(folder, config) as server:
            add_people(folder / "kener.db", options.tries)
            server.become_idle()
            is_kept = asyncio.run(_measure(server, options))
    return 0 if is_kept else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sign_in", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the two phases")
    parser.add_argument("--rate", type=float, default=200.0, help="heartbeats a second")
    parser.add_argument("--tries", type=int, default=1000, help="with names of each kind")
    return parser.parse_args()


def add_people(database: Path, tries: int) -> None:
    """A person for each sign-in at once, and those whose passwords are tried."""
    now, hashed = system_clock(), argon2id().hash(PASSWORD)
    with closing(connections.connect(database)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for name in (*map(KNOWN, range(tries)), *map(BUSY, range(AT_ONCE))):
            person = people.add(connection, name, Role.ADMIN, None, "", ACTOR, now)
            people.set_password(connection, person.id, hashed, ACTOR, now)
        connection.execute("COMMIT")


async def _measure(server: Server, options: argparse.Namespace) -> bool:
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{server.port}",
        timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=0),
    ) as client:  # fmt: skip
        await _heartbeats(client, server, options.rate, 3)
        alone = await _heartbeats(client, server, options.rate, options.seconds)
        before = server.resident_mb
        async with _sign_ins(client) as count:
            beside = await _heartbeats(client, server, options.rate, options.seconds)
        grown = server.resident_mb - before
        times = p99(beside) / p99(alone)
        print(f"heartbeats: p50 {median(alone) * 1000:.1f} ms, p99 {p99(alone) * 1000:.1f} ms; {load_now()}")
        print(
            f"beside {len(count)} sign-ins: p50 {median(beside) * 1000:.1f}, p99 {p99(beside) * 1000:.1f} ms"
        )
        print(
            f"p99: {times:.2f} times (budget {P99_BUDGET}); {grown:.1f} MB more (budget {MEMORY_BUDGET_MB})"
        )
        differs = await _names(client, options.tries)
        print(f"known and unknown names: {differs:+.1%} (budget {TIMING_BUDGET:.0%}); {load_now()}")
    return times <= P99_BUDGET and grown <= MEMORY_BUDGET_MB and abs(differs) <= TIMING_BUDGET


def p99(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=100)[98]


async def _heartbeats(
    client: aiohttp.ClientSession, server: Server, rate: float, seconds: float
) -> list[float]:
    """The seconds that heartbeats took, each sent when it is due, whatever became of those before."""
    headers = {"Authorization": f"Bearer {server.token}"}
    taken: list[float] = []

    async def beat(number: int) -> None:
        body = {"tag": f"monitor-{number % 50}", "status": "UP", "latency": number % 997 / 1000}
        began = time.perf_counter()
        async with client.post("/api/status", json=body, headers=headers) as reply:
            await reply.read()
            assert reply.status == 200, reply.status
        taken.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(began + number / rate - time.perf_counter())
            group.create_task(beat(number))
    return taken


@asynccontextmanager
async def _sign_ins(client: aiohttp.ClientSession) -> AsyncIterator[list[float]]:
    """People who sign in over and over, AT_ONCE at a time, each from an address of their own."""
    taken: list[float] = []

    async def people_sign_in(number: int) -> None:
        while True:
            taken.append(await sign_in(client, BUSY(number), PASSWORD, f"198.51.100.{number}", 303))

    tasks = [asyncio.create_task(people_sign_in(number)) for number in range(AT_ONCE)]
    await asyncio.sleep(1)
    try:
        yield taken
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def _names(client: aiohttp.ClientSession, tries: int) -> float:
    """By how much the median time of failures for a name that exists differs from that of others."""
    known: list[float] = []
    unknown: list[float] = []
    for number in range(tries):
        for name, taken in ((KNOWN, known), (UNKNOWN, unknown)):
            address = f"10.{number // 250}.{number % 250}.1"
            taken.append(await sign_in(client, name(number), "wrong, but of some length", address, 401))
    return median(known) / median(unknown) - 1


async def sign_in(
    client: aiohttp.ClientSession, name: str, password: str, address: str, status: int
) -> float:
    """The seconds that the answer to a form to sign in took."""
    headers = {
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Forwarded-For": address,
        "X-Forwarded-Proto": "https",
    }
    body = urlencode({"name": name, "password": password, "next": "", "form_key": "x" * 22})
    began = time.perf_counter()
    async with client.post("/manage/sign-in", data=body, headers=headers, allow_redirects=False) as reply:
        text = await reply.text()
        assert reply.status == status, (reply.status, re.sub(r"<[^>]+>|\s+", " ", text)[-300:])
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
