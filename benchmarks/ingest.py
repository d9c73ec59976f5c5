"""Compare the maximum rate of samples over HTTP, single posts and batches, with raw upserts of the same rows.

The references are `sqlite3` upserts into a table of the same shape, each commit flushed to disk, in the same
run and on the same core: no HTTP, JSON, validation, sequence numbers, dirty marks or responses. Single posts
are compared with one row a commit, the cost of their durability alone, and with as many rows a commit as
there are connections, the largest possible batch; batches with as many rows a commit as they contain.

Ours are `POST /api/status` with samples of now, no two equal, and `POST /api/status/batch` from devices that
number their samples, each batch new to the server. At the end everything acknowledged must be in the
database.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, cycle, islice
from pathlib import Path
from statistics import median

from benchmarks.servers import (
    CONNECTIONS,
    LOAD_CORE,
    ROOT,
    SERVER_CORE,
    Round,
    Server,
    configure,
    first_among_sessions,
    machine,
    of_rounds,
    ours,
    workplace,
    wrk,
)
from benchmarks.store import UPSERT
from benchmarks.stored import minutes_of
from kener_async.store.sqlite import connections, upgrade

MONITORS = 100
DAY = 86_400
BUDGET = 0.30


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="of single posts in a round")
    parser.add_argument("--batches", type=int, default=60, help="in a round")
    parser.add_argument("--samples", type=int, default=1000, help="in a batch")
    parser.add_argument("--lanes", type=int, default=4, help="connections that send batches")
    options = parser.parse_args()
    print(machine())
    print(f"{options.rounds} rounds, medians\n")
    first = int(time.time()) // 60 * 60 - 80 * DAY
    rounds = [_rows(number, first, options.batches, options.samples) for number in range(options.rounds)]
    with (
        first_among_sessions(),
        workplace() as folder,
        ours(folder, configure(folder, MONITORS)) as server,
    ):
        kept = _tell_singles(server, [_singles(folder, server, options.seconds) for _ in rounds])
        batches = [(_executemany(folder, rows), _post(server, rows, options.lanes)) for rows in rounds]
        kept &= _tell_batches(batches, _stored(server, rounds), sum(len(rows) for rows in chain(*rounds)))
    return 0 if kept else 1


@dataclass(frozen=True)
class Singles:
    """Rows a second, one a commit and many; what was posted."""

    alone: float
    together: float
    posts: Round


def _singles(folder: Path, server: Server, seconds: int) -> Singles:
    alone, together = (_upserts(folder, size, seconds / 4) for size in (1, CONNECTIONS))
    os.sched_setaffinity(0, {LOAD_CORE})
    return Singles(alone, together, wrk(server, "now", MONITORS, seconds))


def _upserts(folder: Path, size: int, seconds: float) -> float:
    """Rows a second, so many in a commit: reports of now, from one monitor after the other."""
    os.sched_setaffinity(0, {SERVER_CORE})
    count, commits = 0, _commits(size)
    with closing(_raw(folder)) as raw:
        started = time.perf_counter()
        while (took := time.perf_counter() - started) < seconds:
            rows = next(commits)
            raw.execute("BEGIN IMMEDIATE")
            raw.executemany(UPSERT, rows)
            raw.execute("COMMIT")
            count += len(rows)
    return count / took


def _commits(size: int) -> Iterator[list[tuple[int, int, int, int, int]]]:
    numbered = enumerate(cycle(range(1, MONITORS + 1)))
    while True:
        minute = int(time.time()) // 60 * 60
        yield [(monitor, minute, 0, 0, number % 1_000_000) for number, monitor in islice(numbered, size)]


def _tell_singles(server: Server, seen: Sequence[Singles]) -> bool:
    rates = [one.posts.per_second for one in seen]
    conditions = of_rounds([one.posts for one in seen]).conditions
    print(
        f"  single posts, {CONNECTIONS} connections: {median(rates):,.0f}/s ({_range(rates)}); {conditions}"
    )
    for size, raw in ((1, [one.alone for one in seen]), (CONNECTIONS, [one.together for one in seen])):
        share = median(rate / one for rate, one in zip(rates, raw, strict=True))
        print(f"    sqlite3, {size:2} a commit: {median(raw):,.0f} rows/s; ratio {share:.2f}")
    total = of_rounds([one.posts for one in seen])
    print(f"    {total.answered:,} answered 200, {total.failed} not; {server.committed:,} committed")
    return not total.failed and server.committed >= total.answered


Batch = list[tuple[int, int, int, int, int]]  # rows as they are stored


def _rows(number: int, first: int, batches: int, samples: int) -> list[Batch]:
    """Backlogs: each batch holds some minutes of all monitors, later ones follow."""
    minutes = samples // MONITORS
    begin = first + number * batches * minutes * 60
    return [
        [
            (monitor + 1, begin + (batch * minutes + minute) * 60, 0, 0, 1_123_000)
            for minute in range(minutes)
            for monitor in range(MONITORS)
        ]
        for batch in range(batches)
    ]


def _raw(folder: Path) -> sqlite3.Connection:
    path = folder / "raw.db"
    upgrade.prepare(path)
    return connections.connect(path)


def _executemany(folder: Path, batches: Sequence[Batch]) -> float:
    """Rows a second."""
    os.sched_setaffinity(0, {SERVER_CORE})
    with closing(_raw(folder)) as raw:
        started = time.perf_counter()
        for batch in batches:
            raw.execute("BEGIN IMMEDIATE")
            raw.executemany(UPSERT, batch)
            raw.execute("COMMIT")
        return sum(map(len, batches)) / (time.perf_counter() - started)


def _post(server: Server, batches: Sequence[Batch], connections: int) -> float:
    """Samples a second, from the first byte sent to the last answer."""
    os.sched_setaffinity(0, {LOAD_CORE})
    lanes = [
        [_request(server, f"gate-{lane}-{batches[0][0][1]}", batch, number * len(batch) + 1)
         for number, batch in enumerate(batches[lane::connections])]
        for lane in range(connections)
    ]  # fmt: skip
    started = time.perf_counter()
    asyncio.run(_send(server.port, lanes))
    return sum(map(len, batches)) / (time.perf_counter() - started)


def _request(server: Server, device: str, batch: Batch, number: int) -> bytes:
    samples = [
        {
            "tag": f"monitor-{monitor - 1}",
            "status": "UP",
            "latency": latency / 1e6,
            "timestampInSeconds": minute,
            "seq": number + position,
        }
        for position, (monitor, minute, _, _, latency) in enumerate(batch)
    ]
    body = json.dumps({"device": device, "samples": samples}).encode()
    head = (
        "POST /api/status/batch HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _send(port: int, lanes: Sequence[Sequence[bytes]]) -> None:
    await asyncio.gather(*(_lane(port, requests) for requests in lanes))


async def _lane(port: int, requests: Sequence[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line
        )
        answer = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"refused: {answer.decode()}")
    writer.close()
    await writer.wait_closed()


def _tell_batches(pairs: Sequence[tuple[float, float]], stored: int, expected: int) -> bool:
    theirs, mine = zip(*pairs, strict=True)
    share = median(one / raw for raw, one in pairs)
    print(f"  batches: {median(mine):,.0f} samples/s ({_range(mine)})")
    print(f"    sqlite3, as many a commit: {median(theirs):,.0f} rows/s; ratio {share:.2f} (budget {BUDGET})")
    print(f"    {stored:,} of {expected:,} samples are in the database")
    return stored == expected and share >= BUDGET


def _range(rates: Sequence[float]) -> str:
    return f"{min(rates):,.0f} to {max(rates):,.0f}"


def _stored(server: Server, rounds: Sequence[Sequence[Batch]]) -> int:
    """Samples in the minutes of the batches, which are long before those of the single posts."""
    first, last = rounds[0][0][0][1], rounds[-1][-1][-1][1]
    assert server.database is not None
    return sum(minutes_of(server.database, ROOT, first, last + 60).values())


if __name__ == "__main__":
    sys.exit(main())
