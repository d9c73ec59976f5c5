"""Batches over HTTP, against raw upserts of the same rows.

The reference is `sqlite3.executemany` into a table of the same shape, so many rows a commit, each flushed to
disk, in the same run and on the same core: no HTTP, no JSON, no checks, no numbers, no marks, no answers.
Ours is all of `POST /api/status/batch`: devices that number their samples, each batch new to the server. At
the end every sample must be in the database.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.servers import (
    LOAD_CORE,
    SERVER_CORE,
    Server,
    configure,
    first_among_sessions,
    machine,
    ours,
    workplace,
)
from benchmarks.store import UPSERT
from kener_async.store import database

MONITORS = 100
DAY = 86_400
BUDGET = 0.30


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batches", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=60, help="in a round")
    parser.add_argument("--samples", type=int, default=1000, help="in a batch")
    parser.add_argument("--connections", type=int, default=4)
    options = parser.parse_args()
    print(machine())
    print(f"{options.batches} batches of {options.samples:,} a round, {options.rounds} rounds, medians\n")
    first = int(time.time()) // 60 * 60 - 80 * DAY
    rounds = [_rows(number, first, options.batches, options.samples) for number in range(options.rounds)]
    with (
        first_among_sessions(),
        workplace() as folder,
        ours(folder, configure(folder, MONITORS)) as server,
    ):
        pairs = [(_executemany(folder, rows), _post(server, rows, options.connections)) for rows in rounds]
        stored = _stored(server)
    theirs, mine = (median(column) for column in zip(*pairs, strict=True))
    share = median(one / raw for raw, one in pairs)
    print(f"  ours {mine:9,.0f} samples/s   executemany {theirs:9,.0f} rows/s   ratio {share:.2f}")
    expected = options.rounds * options.batches * options.samples
    print(f"  {stored:,} of {expected:,} samples are in the database")
    return 0 if stored == expected and share >= BUDGET else 1


Batch = list[tuple[int, int, int, int, int]]  # rows as they are stored


def _rows(number: int, first: int, batches: int, samples: int) -> list[Batch]:
    """Backlogs: each batch holds some minutes of all monitors, later ones follow."""
    minutes = samples // MONITORS
    begin = first + number * batches * minutes * 60
    return [
        [
            (monitor + 1, begin + (batch * minutes + minute) * 60, 0, 0, 123_000)
            for minute in range(minutes)
            for monitor in range(MONITORS)
        ]
        for batch in range(batches)
    ]


def _executemany(folder: Path, batches: Sequence[Batch]) -> float:
    """Rows a second."""
    os.sched_setaffinity(0, {SERVER_CORE})
    path = folder / "raw.db"
    database.prepare(path)
    with closing(database.connect(path)) as raw:
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


def _stored(server: Server) -> int:
    assert server.database is not None
    with closing(sqlite3.connect(server.database)) as connection:
        return int(connection.execute("SELECT count(*) FROM samples").fetchone()[0])


if __name__ == "__main__":
    sys.exit(main())
