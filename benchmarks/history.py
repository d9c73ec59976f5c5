"""Fill a database with the past that a server would have stored, in the layout of any checkout.

Every monitor reported every minute, without gaps. Stored are the counts of each quarter-hour of all days, and
the samples of the last days. Latencies differ between monitors, and the sums of a quarter-hour are those of
its samples. What is written follows from the arguments and from the instant at which the past ends.

    python -m benchmarks.history CONFIG --days 90 --minute-days 7

`written` does that with the program of another checkout, in a process of its own.
"""

import argparse
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks import site
from benchmarks.servers import ROOT, run_with
from kener_async.config.load import load
from kener_async.domain.calendar import DAY, quarter_of
from kener_async.store import monitors, observer
from kener_async.store.sqlite import connections, upgrade

MINUTE_DAYS = 7  # that have their samples: a file of 1,000 monitors has 27 MB for each
AT_ONCE = 50  # monitors in a transaction
SHAPES = 97  # ways in which latencies differ between monitors


def written(
    config: Path,
    days: int,
    tree: Path = ROOT,
    *,
    minute_days: int = MINUTE_DAYS,
    at: int | None = None,
    is_site: bool = False,
) -> str:
    """Fill the database beside the configuration with so many days up to `at` (seconds; default: now).

    With `is_site` also with outages and incidents (site.py). Returns the numbers of rows.
    """
    arguments = ["--days", str(days), "--minute-days", str(minute_days), "--at", str(at or int(time.time()))]
    return run_with(tree, "benchmarks.history", str(config), *arguments, *(["--site"] if is_site else []))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("--minute-days", type=int, default=MINUTE_DAYS)
    parser.add_argument("--at", type=int, default=int(time.time()), help="the instant at which it ends")
    parser.add_argument("--site", action="store_true", help="with outages and incidents")
    options = parser.parse_args()
    path = options.config.parent / "kener.db"
    upgrade.prepare(path)
    with closing(connections.connect(path, synchronous="OFF")) as connection:
        connection.execute("PRAGMA cache_size = -200000")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA ignore_check_constraints = ON")  # a fifth of the time
        _fill(connection, options.config, options.days, min(options.minute_days, options.days), options.at)
        if options.site:
            until = quarter_of(options.at) - (options.minute_days + 1) * DAY
            connections.transaction(connection, site.go_wrong, options.at, until)
            connections.transaction(connection, site.add_incidents, options.config, options.at)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        print(_described(connection, path))


def _fill(connection: sqlite3.Connection, config: Path, days: int, minute_days: int, now: int) -> None:
    end = quarter_of(now)
    begin = end - days * DAY
    connection.execute("BEGIN IMMEDIATE")
    observer.begin(connection, now=begin, retention=0)
    wanted = {monitor.tag: monitor.settings for monitor in load(config, {}).monitors}
    ids = sorted(monitors.register(connection, wanted, now=begin).values())
    connection.execute("UPDATE service SET last_seen = ?, rolled_until = ?", (now, end))
    connection.execute("UPDATE monitors SET last_heard = ?", (end - 1,))
    _plan(connection, begin, end)
    connection.execute("COMMIT")
    _in_turns(connection, ids, _add_quarters)
    begin = end - minute_days * DAY
    has_sealed = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sealed'").fetchone()
    if has_sealed:
        _seal(connection, ids, begin, end, now)
    else:
        _in_turns(connection, ids, partial(_add_samples, begin=begin))
    connection.execute("DELETE FROM dirty")


def _in_turns(
    connection: sqlite3.Connection, ids: Sequence[int], add: Callable[[sqlite3.Connection, int], None]
) -> None:
    """Add something for each monitor, some of them in a transaction."""
    for first in range(0, len(ids), AT_ONCE):
        connection.execute("BEGIN IMMEDIATE")
        for monitor in ids[first : first + AT_ONCE]:
            add(connection, monitor)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _plan(connection: sqlite3.Connection, begin: int, end: int) -> None:
    """Temporary tables of the minutes and quarter-hours that each monitor gets; latencies in millionths."""
    connection.execute("CREATE TEMP TABLE minutes (minute INTEGER PRIMARY KEY, latency INTEGER)")
    connection.execute(
        """
        INSERT INTO minutes
        WITH RECURSIVE times (minute) AS (
            VALUES (:begin) UNION ALL SELECT minute + 60 FROM times WHERE minute + 60 < :end
        )
        SELECT minute, 50000 + minute / 60 * 7919 % 300 * 1000 FROM times
        """,
        {"begin": begin, "end": end},
    )
    connection.execute(
        """
        CREATE TEMP TABLE sums AS
        SELECT minute / 900 * 900 AS quarter, sum(latency) AS total, min(latency) AS low, max(latency) AS high
          FROM minutes
         GROUP BY 1
        """
    )


def _add_quarters(connection: sqlite3.Connection, monitor: int) -> None:
    more = monitor % SHAPES * 1000
    connection.execute(
        """
        INSERT INTO quarters
        SELECT :monitor, quarter, 15, 0, 0, 0, 0, 15, total + 15 * :more, low + :more, high + :more FROM sums
        """,
        {"monitor": monitor, "more": more},
    )


def _add_samples(connection: sqlite3.Connection, monitor: int, begin: int) -> None:
    """Add the samples of checkouts that have all of them in one table, ordered by monitor."""
    connection.execute(
        """
        INSERT INTO samples (monitor_id, minute, status, source, latency)
        SELECT :monitor, minute, 0, 0, latency + :more FROM minutes WHERE minute >= :begin
        """,
        {"monitor": monitor, "more": monitor % SHAPES * 1000, "begin": begin},
    )


def _seal(connection: sqlite3.Connection, ids: Sequence[int], begin: int, end: int, now: int) -> None:
    """Add the samples of checkouts that seal days: old days packed, the others ordered by minute."""
    from kener_async.store import seal_state

    hot_from = seal_state.hot_days_from(now)
    connection.execute("BEGIN IMMEDIATE")
    for day in range(begin - begin % DAY, hot_from, DAY):
        packed = _packed_days(connection, max(day, begin), day)
        connection.executemany(
            "INSERT INTO sealed (monitor_id, day, packed) VALUES (?, ?, ?)",
            [(monitor, day, packed[monitor % SHAPES]) for monitor in ids],
        )
    connection.execute(
        """
        INSERT INTO samples (monitor_id, minute, status, source, latency)
        SELECT id, minute, 0, 0, latency + id % :shapes * 1000
          FROM minutes CROSS JOIN monitors
         WHERE minute >= :begin
         ORDER BY minute, id
        """,
        {"shapes": SHAPES, "begin": max(begin, hot_from)},
    )
    seal_state.save(connection, hot_from, hot_from)
    connection.execute("UPDATE monitors SET newest = ?", (end - 60,))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _packed_days(connection: sqlite3.Connection, begin: int, day: int) -> Sequence[bytes]:
    """A day from an instant on, packed in each of the ways in which latencies differ."""
    from kener_async.store import packing

    rows = connection.execute(
        "SELECT (minute - ?) / 60, latency FROM minutes WHERE minute >= ? AND minute < ? ORDER BY minute",
        (day, begin, day + DAY),
    ).fetchall()
    return [
        packing.pack([(place, 0, 0, latency + shape * 1000) for place, latency in rows])
        for shape in range(SHAPES)
    ]


def _described(connection: sqlite3.Connection, path: Path) -> str:
    """The numbers of rows of the large tables, and the size of the file."""
    parts = []
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    for table in ("quarters", "samples", "sealed", "incidents"):
        if table not in names:
            continue
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        parts += [f"{count:,} {table}"] if count else []
    return ", ".join([*parts, f"{path.stat().st_size:,} bytes"])


if __name__ == "__main__":
    main()
