"""The group commit without HTTP, against the upserts alone.

The reference is `sqlite3.executemany` of the same rows in transactions of the same size, into a table of the
same shape, in the same thread: no validation, no dirty marks, no states, no futures. Subject and reference
take turns; both flush each commit to disk.
"""

import argparse
import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.servers import SERVER_CORE, first_among_sessions, load_now, machine
from kener_async.domain.samples import Sample, Status
from kener_async.domain.states import MonitorStates
from kener_async.metrics import Metrics
from kener_async.store import observer, sample_rows
from kener_async.store.sqlite import connections, database, upgrade
from kener_async.worker.writer import Writer

UPSERT = """
    INSERT INTO samples (monitor_id, minute, status, source, latency) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (monitor_id, minute) DO UPDATE
       SET status = excluded.status, source = excluded.source, latency = excluded.latency
"""
NOW = 1_767_182_400


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=20_000)
    options = parser.parse_args()
    os.sched_setaffinity(0, {SERVER_CORE})
    print(machine())
    print(f"{options.rows:,} rows a round, {options.rounds} rounds in turn, medians\n")
    for callers in (32, 1000):
        ours, theirs = [], []
        for number in range(options.rounds):
            rows = _rows(options.rows, number)
            with first_among_sessions():
                theirs.append(_executemany(rows, callers))
                ours.append(_group_commit(rows, callers))
        share = median(our / their for our, their in zip(ours, theirs, strict=True))
        print(
            f"  {callers:5,} callers  ours {median(ours):8,.0f} rows/s   executemany, {callers:,} a commit "
            f"{median(theirs):8,.0f} rows/s   ratio {share:.2f}; {load_now()}"
        )
    return 0


def _rows(count: int, round_number: int) -> list[Sample]:
    """Reports of 1,000 monitors, minute after minute, each sent twice: half of the upserts replace."""
    first = NOW + round_number * count * 60
    return [
        Sample(position // 2 % 1000 + 1, first + position // 2000 * 60, Status.UP, position % 1000 / 1000)
        for position in range(count)
    ]


def _executemany(rows: Sequence[Sample], size: int) -> float:
    """Rows a second."""
    values = [(s.monitor, s.minute, s.status, s.source, sample_rows.packed_latency(s.latency)) for s in rows]
    with TemporaryDirectory(prefix="kener-benchmark-") as folder:
        path = Path(folder) / "kener.db"
        upgrade.prepare(path)
        with closing(connections.connect(path)) as connection:
            started = time.perf_counter()
            for first in range(0, len(values), size):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(UPSERT, values[first : first + size])
                connection.execute("COMMIT")
            seconds = time.perf_counter() - started
            _check(connection, rows)
    return len(rows) / seconds


def _group_commit(rows: Sequence[Sample], callers: int) -> float:
    """Rows a second, by so many callers that each wait for their row to be on disk."""
    with TemporaryDirectory(prefix="kener-benchmark-") as folder:
        path = Path(folder) / "kener.db"
        seconds = asyncio.run(_served(path, rows, callers))
        with closing(connections.connect(path)) as connection:
            _check(connection, rows)
    return len(rows) / seconds


async def _served(path: Path, rows: Sequence[Sample], callers: int) -> float:
    async with database.opened(path, "FULL") as store:
        await store.write(_begin)
        writer = Writer(store, MonitorStates(), lambda: NOW, Metrics(), limit=10_000)
        left = iter(rows)

        async def caller() -> None:
            for row in left:
                await writer.put(row)

        async with writer.running():
            started = time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(callers)))
            return time.perf_counter() - started


def _begin(connection: sqlite3.Connection) -> None:
    observer.begin(connection, now=NOW, retention=0)


def _check(connection: sqlite3.Connection, rows: Sequence[Sample]) -> None:
    (stored,) = connection.execute("SELECT count(*) FROM samples").fetchone()
    expected = len({(sample.monitor, sample.minute) for sample in rows})
    if stored != expected:
        raise SystemExit(f"{stored} rows are stored instead of {expected}")


if __name__ == "__main__":
    sys.exit(main())
