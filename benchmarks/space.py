"""Bytes on disk for each sample, everything included, for four kinds of latencies.

Time runs as it would: in each minute the monitors report in any order, in batches as under load; one report
in twenty comes an hour or two late; at the end of each quarter-hour all that is dirty is counted, and each
hour days that are over are sealed. The file is measured when the WAL has been written back to it.

    python -m benchmarks.space [--days 7] [--tree CHECKOUT]
"""

import argparse
import json
import os
import random
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.servers import add_tree_option, checkouts, leave_on_sigterm, machine, run_with
from benchmarks.tables import Table, verdict
from kener_async.domain.calendar import DAY, HOUR, MINUTE, QUARTER, quarter_of
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from kener_async.domain.samples import Sample, Status
from kener_async.store import dirty, monitors, observer, rollups, samples
from kener_async.store.sqlite import connections, upgrade

BEGIN = 1_760_000_400  # a quarter-hour
BATCH = 12
LATE = 0.05
SEALED_AT_ONCE = 50  # days of a monitor


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of latencies; `budget` in bytes a sample."""

    latency: Callable[[random.Random], float]
    budget: float


SHAPES = {
    "milliseconds (0.123)": Shape(lambda chance: round(chance.lognormvariate(-2, 0.6), 3), 5),
    "integers (123)": Shape(lambda chance: float(round(1000 * chance.lognormvariate(-2, 0.6))), 5),
    "microseconds (0.123456)": Shape(lambda chance: round(chance.lognormvariate(-2, 0.6), 6), 7),
    "doubles with all digits": Shape(lambda chance: chance.lognormvariate(-2, 0.6), 12),
}


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of the file, of its tables, and of the file after VACUUM."""

    samples: int
    total: int
    tables: Mapping[str, int]
    packed: int


def main() -> int:
    options = _options()
    if options.measure:  # with the program of a checkout
        print(json.dumps(asdict(measure(SHAPES[options.measure], options.monitors, options.days))))
        return 0
    leave_on_sigterm()
    print(machine())
    table = Table(
        f"{options.monitors} monitors x {options.days} days",
        *("samples", "bytes", "bytes a sample", "of which", "after VACUUM", "budget", "load"),
    )
    with ThreadPoolExecutor(max_workers=2) as pool:
        for name, tree in checkouts(options.tree).items():
            sizes = pool.map(lambda shape, tree=tree: _measured(tree, shape, options), options.only)
            for shape, size in zip(options.only, sizes, strict=True):
                _print(table, f"{name}, {shape}", size, SHAPES[shape].budget)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.space", description=__doc__)
    parser.add_argument("--monitors", type=int, default=50)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--only", nargs="+", choices=SHAPES, default=list(SHAPES), metavar="LATENCIES")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    add_tree_option(parser)
    return parser.parse_args()


def _measured(tree: Path, shape: str, options: argparse.Namespace) -> Size:
    size = ("--monitors", str(options.monitors), "--days", str(options.days))
    return Size(**json.loads(run_with(tree, "benchmarks.space", "--measure", shape, *size)))


def _print(table: Table, title: str, size: Size, budget: float) -> None:
    each = size.total / size.samples
    parts = [f"{name} {count / size.samples:.1f}" for name, count in size.tables.items()]
    table.add(
        title,
        f"{size.samples:,}",
        f"{size.total:,}",
        f"{each:.1f}",
        ", ".join(parts) or "-",
        f"{size.packed / size.samples:.1f}",
        verdict(each, budget, is_at_most=True),
        f"{os.getloadavg()[0]:.1f}",
    )


def measure(shape: Shape, count: int, days: int) -> Size:
    """Load so many days and measure the file."""
    with TemporaryDirectory(prefix="kener-benchmark-") as folder:
        path = Path(folder) / "kener.db"
        upgrade.prepare(path)
        with closing(connections.connect(path, synchronous="OFF")) as connection:
            _load(connection, shape.latency, count, days)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            tables = _tables(connection)
            files = [file for file in Path(folder).iterdir() if file.name.startswith("kener.db")]
            total = sum(file.stat().st_size for file in files if not file.name.endswith("-shm"))
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            packed = path.stat().st_size
            stored = _stored(connection)
        assert stored == count * days * DAY // MINUTE, stored
        return Size(stored, total, tables, packed)


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
        if minute % HOUR == 0:
            _seal(connection, minute)
    connections.transaction(connection, _count, quarter_of(BEGIN + days * DAY + 3 * QUARTER))


def _reports(
    ids: list[int], latency: Callable[[random.Random], float], days: int
) -> Iterator[tuple[int, list[Sample]]]:
    """Minute by minute, what arrives in it."""
    chance = random.Random(1)
    held: dict[int, list[Sample]] = {}
    end = BEGIN + days * DAY
    for minute in range(BEGIN, end + 2 * HOUR, MINUTE):
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


def _seal(connection: sqlite3.Connection, now: int) -> None:
    """What the sealing job does, in checkouts that have one."""
    if find_spec("kener_async.store.sealing") is None:
        return
    from kener_async.store.sealing import seal_turn

    while connections.transaction(connection, seal_turn, now, SEALED_AT_ONCE):
        pass


def _stored(connection: sqlite3.Connection) -> int:
    """The number of samples; earlier checkouts have all of them in one table."""
    if hasattr(samples, "count"):
        return samples.count(connection)
    (count,) = connection.execute("SELECT count(*) FROM samples").fetchone()
    return int(count)


def _tables(connection: sqlite3.Connection) -> dict[str, int]:
    """The bytes of the pages of the large tables, with their indexes; without dbstat nothing."""
    try:
        rows = connection.execute(
            """
            SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_master USING (name)
             GROUP BY tbl_name HAVING sum(pgsize) > 65536
            """
        ).fetchall()
    except sqlite3.OperationalError:  # this SQLite was built without it
        return {}
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return {**dict(rows), "free": free * size}


if __name__ == "__main__":
    sys.exit(main())
