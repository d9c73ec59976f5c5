"""Count the bytes that a server writes for each sample, by its system calls, to the WAL and to the file.

The databases have a day of history, so that the newest samples lie where they lie in a database that is in
use. strace traces the calls of SQLite only (pwrite64, fsync, fdatasync), and holds up only those.
"""

import argparse
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks import history
from benchmarks.servers import (
    CONNECTIONS,
    Round,
    Server,
    add_tree_option,
    checkouts,
    configure,
    machine,
    ours,
    workplace,
    wrk,
)
from benchmarks.tables import Table, verdict

BUDGET = 0.5  # KB a sample at full load
SYNCS = ("fsync", "fdatasync")
CALL = re.compile(
    r"^\d+ +(?P<at>\d+\.\d+) (?P<name>\w+)\(\d+<(?P<path>[^>]*)>(?:, [^,]*, (?P<size>\d+), )?", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How heartbeats come: from so many connections, each of which rests after an answer."""

    title: str
    connections: int
    pause_ms: int
    budget: float | None


PACES = (
    Pace("full load", CONNECTIONS, 0, BUDGET),
    Pace("17 a second", 1, 56, None),
)


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes by the end of the file's name, and how often files were flushed."""

    to_wal: int
    to_file: int
    elsewhere: int
    syncs: int

    @property
    def total(self) -> int:
        return self.to_wal + self.to_file + self.elsewhere


def main() -> int:
    options = _options()
    print(machine())
    print(f"{options.days} days of history, {options.seconds} s of each pace")
    table = Table(
        f"written a sample, {options.monitors:,} monitors",
        *("samples/s", "KB", "to the WAL", "to the file", "budget", "flushes", "load, waited"),
    )
    for name, tree in checkouts(options.tree).items():
        with workplace() as folder:
            config = configure(folder, options.monitors)
            history.written(config, options.days, tree)
            calls = folder / "calls"
            with ours(folder, config, name, tree, under=_strace(calls)) as server:
                server.become_idle()
                wrk(server, "now", options.monitors, 2)
                taken = [_taken(server, pace, options.monitors, options.seconds) for pace in PACES]
            text = calls.read_text()
        for pace, (begin, end, one) in zip(PACES, taken, strict=True):
            _print(table, f"{name}, {pace.title}", pace, one, _written(text, begin, end))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.writes", description=__doc__)
    parser.add_argument("--monitors", type=int, default=1000)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=10)
    add_tree_option(parser)
    return parser.parse_args()


def _strace(calls: Path) -> tuple[str, ...]:
    """The command that traces a server, whose process is the one that was started."""
    traced = ",".join(("pwrite64", *SYNCS))
    return ("strace", "-D", "-f", "--seccomp-bpf", "-ttt", "-y", "-s0", f"-etrace={traced}", f"-o{calls}")


def _taken(server: Server, pace: Pace, monitors: int, seconds: int) -> tuple[float, float, Round]:
    """When the load began and ended, and what it saw."""
    began = time.time()
    one = wrk(server, "now", monitors, seconds, connections=pace.connections, pause_ms=pace.pause_ms)
    assert not one.failed, one
    return began, time.time(), one


def _written(calls: str, begin: float, end: float) -> Written:
    sizes: Counter[str] = Counter()
    syncs = 0
    for call in CALL.finditer(calls):
        if not begin <= float(call["at"]) < end:
            continue
        if call["name"] in SYNCS:
            syncs += 1
        elif call["size"]:
            sizes[call["path"].rpartition("/")[2]] += int(call["size"])
    to_wal, to_file = sizes.pop("kener.db-wal", 0), sizes.pop("kener.db", 0)
    return Written(to_wal, to_file, sizes.total(), syncs)


def _print(table: Table, title: str, pace: Pace, one: Round, written: Written) -> None:
    each = written.total / one.answered / 1000
    table.add(
        title,
        f"{one.per_second:,.0f}",
        f"{each:.2f}",
        f"{written.to_wal / one.answered / 1000:.2f}",
        f"{written.to_file / one.answered / 1000:.2f}",
        verdict(each, pace.budget, is_at_most=True),
        f"{written.syncs / one.answered:.3f}",
        f"{one.load:.1f}, {one.waited:.0%}",
    )


if __name__ == "__main__":
    sys.exit(main())
