"""Bytes on disk for each sample, indexes and quarters included, for three kinds of latencies.

Time runs as it would: in each minute the monitors report in any order, in batches as under load; one report
in twenty comes an hour or two late; at the end of each quarter-hour all that is dirty is counted. The file is
measured when the WAL has been written back to it.
"""

import argparse
import random
import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.servers import leave_on_sigterm
from kener_async.domain.calendar import MINUTE, QUARTER, quarter_of
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from kener_async.domain.samples import Sample, Status
from kener_async.store import dirty, monitors, observer, rollups, samples
from kener_async.store.sqlite import connections, upgrade

BUDGET = 24
BEGIN = 1_760_000_400  # a quarter-hour
BATCH = 12
LATE = 0.05
DAY = 86400

SHAPES: dict[str, Callable[[random.Random], float]] = {
    "seconds to the millisecond (0.123)": lambda chance: round(chance.lognormvariate(-2, 0.6), 3),
    "whole milliseconds (123)": lambda chance: float(round(1000 * chance.lognormvariate(-2, 0.6))),
    "doubles with all their digits": lambda chance: chance.lognormvariate(-2, 0.6),
}


@dataclass(frozen=True, slots=True)
class Size:
    shape: str
    samples: int
    quarters: int
    total: int
    tables: dict[str, int]
    packed: int


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.space", description=__doc__)
    parser.add_argument("--monitors", type=int, default=50)
    parser.add_argument("--days", type=int, default=90)
    options = parser.parse_args()
    leave_on_sigterm()
    print(f"{options.monitors} monitors, a report a minute, {options.days} days; budget {BUDGET} bytes")
    with ProcessPoolExecutor(max_workers=2, initializer=leave_on_sigterm) as pool:
        jobs = [pool.submit(measure, shape, options.monitors, options.days) for shape in SHAPES]
        sizes = [_printed(job.result()) for job in jobs]
    return 0 if all(size.total / size.samples <= BUDGET for size in sizes) else 1


def _printed(size: Size) -> Size:
    each = size.total / size.samples
    print(f"  {size.shape:36} {each:5.1f} bytes a sample  {'kept' if each <= BUDGET else 'OVER'}")
    print(
        f"    {size.samples:,} samples, {size.quarters:,} quarters, {size.total:,} bytes: "
        + ", ".join(f"{name} {count / size.samples:.1f}" for name, count in size.tables.items())
        + f" a sample; the file after VACUUM {size.packed / size.samples:.1f}",
        flush=True,
    )
    return size


def measure(shape: str, count: int, days: int) -> Size:
    """Load so many days and measure the file."""
    with TemporaryDirectory(prefix="kener-benchmark-") as folder:
        path = Path(folder) / "kener.db"
        upgrade.prepare(path)
        with closing(connections.connect(path, synchronous="OFF")) as connection:
            _load(connection, SHAPES[shape], count, days)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            tables = _tables(connection)
            (stored,) = connection.execute("SELECT count(*) FROM samples").fetchone()
            (quarters,) = connection.execute("SELECT count(*) FROM quarters").fetchone()
            files = [file for file in Path(folder).iterdir() if file.name.startswith("kener.db")]
            total = sum(file.stat().st_size for file in files if not file.name.endswith("-shm"))
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            packed = path.stat().st_size
        return Size(shape, stored, quarters, total, tables, packed)


def _load(
    connection: sqlite3.Connection, latency: Callable[[random.Random], float], count: int, days: int
) -> None:
    settings = MonitorSettings(expectation=EveryInterval(60, 120, 600))
    connection.execute("BEGIN IMMEDIATE")
    observer.begin(connection, now=BEGIN, retention=400 * DAY)
    ids = monitors.register(
        connection, {f"monitor-{number}": settings for number in range(count)}, now=BEGIN
    ).values()
    connection.execute("COMMIT")
    for minute, reports in _reports(list(ids), latency, days):
        connection.execute("BEGIN IMMEDIATE")
        if minute == quarter_of(minute):
            _count(connection, minute)
        for first in range(0, len(reports), BATCH):
            samples.record(connection, reports[first : first + BATCH])
        connection.execute("COMMIT")
    end = BEGIN + days * DAY + 3 * QUARTER
    connection.execute("BEGIN IMMEDIATE")
    _count(connection, quarter_of(end))
    connection.execute("COMMIT")


def _reports(
    ids: list[int], latency: Callable[[random.Random], float], days: int
) -> Iterator[tuple[int, list[Sample]]]:
    """Minute by minute, what arrives in it."""
    chance = random.Random(1)
    held: dict[int, list[Sample]] = {}
    end = BEGIN + days * DAY
    for minute in range(BEGIN, end + 2 * 3600, MINUTE):
        arriving = held.pop(minute, [])
        for monitor in ids if minute < end else ():
            status = Status.UP if chance.random() < 0.995 else Status.DOWN
            sample = Sample(monitor, minute, status, latency(chance))
            if chance.random() < LATE:
                held.setdefault(minute + MINUTE * chance.randint(60, 119), []).append(sample)
            else:
                arriving.append(sample)
        chance.shuffle(arriving)
        yield minute, arriving


def _count(connection: sqlite3.Connection, now: int) -> None:
    """What the rollup job does when a quarter-hour has ended."""
    dirty.mark_closed(connection, now)
    for monitor in dirty.monitors(connection, now):
        while not rollups.settle(connection, monitor, (0, now), now, limit=96)[1]:
            pass


def _tables(connection: sqlite3.Connection) -> dict[str, int]:
    """The bytes of the pages of the large tables."""
    try:
        rows = connection.execute(
            "SELECT name, sum(pgsize) FROM dbstat WHERE name IN ('samples', 'quarters') GROUP BY name"
        ).fetchall()
    except sqlite3.OperationalError:  # this SQLite was built without it
        return {}
    return dict(rows)


if __name__ == "__main__":
    sys.exit(main())
