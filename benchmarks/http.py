"""Compare POST and GET /api/status with bare aiohttp and uvloop, in alternating rounds.

With `--alerts` the same server is measured with alert rules, too, which are then evaluated beside.

Every response is checked: one that is not 200 ends the run with status 1, and acknowledged samples are looked
up in the database after the server has stopped.
"""

import argparse
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import (
    CONNECTIONS,
    ROOT,
    Round,
    Server,
    configure,
    cpu_ratio,
    machine,
    of_rounds,
    ours,
    ratio,
    reference,
    subjects,
    watch,
    workplace,
    wrk,
)

DAY = 86400
BUDGETS = {"now": 0.75, "get": 0.85}
TITLES = {"now": "POST, reports of now", "late": "POST, a late minute each", "get": "GET"}


@dataclass(frozen=True, slots=True)
class Case:
    what: str
    monitors: int

    @property
    def title(self) -> str:
        return f"{TITLES[self.what]}, {self.monitors:,} monitor{'s' if self.monitors > 1 else ''}"


CASES = (
    Case("now", 1),
    Case("now", 50),
    Case("now", 1000),
    Case("late", 10),
    Case("get", 1),
    Case("get", 1000),
)


def main() -> int:
    options = _options()
    trees = [Path(tree).resolve() for tree in options.tree] or [ROOT]
    print(machine())
    print(f"{CONNECTIONS} keep-alive connections, {options.rounds} rounds of {options.seconds} s, medians\n")
    ok = True
    cases = [case for case in CASES if case.what in options.only and case.monitors in options.monitors]
    for case in cases:
        ok &= _measure(case, subjects(trees, with_alerts=options.alerts), options.rounds, options.seconds)
    return 0 if ok else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--monitors", nargs="+", type=int, default=[1, 10, 50, 1000])
    parser.add_argument(
        "--tree",
        action="append",
        default=[],
        help="a checkout to measure instead of this one; may be repeated",
    )
    parser.add_argument(
        "--alerts", action="store_true", help="also measure the last one with three rules for every monitor"
    )
    return parser.parse_args()


def _measure(case: Case, trees: Mapping[str, tuple[Path, bool]], rounds: int, seconds: int) -> bool:
    print(case.title)
    with workplace() as folder:
        seen: dict[str, list[Round]] = {}
        databases: dict[str, Path] = {}
        begin = _first_minute()
        with ExitStack() as stack:
            servers = [stack.enter_context(reference(folder))]
            for number, (name, (tree, is_watched)) in enumerate(trees.items()):
                own = folder / str(number)
                own.mkdir()
                config = configure(own, case.monitors)
                if is_watched:
                    watch(config)
                server = stack.enter_context(ours(own, config, name, tree))
                servers.append(server)
                assert server.database is not None
                databases[server.name] = server.database
            for server in servers:
                seen[server.name] = []
                _warm(server, case)
            started = time.time()
            for number in range(rounds):
                # Late minutes are taken from a stretch of their own in each round.
                stretch = begin + number * (85 * DAY // rounds)
                for server in servers:
                    seen[server.name].append(wrk(server, case.what, case.monitors, seconds, stretch))
            ended = time.time()
            committed = {name: server.committed for name, server in zip(seen, servers, strict=True)}
        _print(case, seen)
        ok = not sum(one.failed for one in seen["bare"])
        for name, path in databases.items():
            ok &= _is_ok(case, name, seen[name], path, begin, started, ended)
            if case.what != "get" and committed[name] < of_rounds(seen[name]).answered:
                print(f"  {name}: FAULT: the server itself counts only {committed[name]} stored samples")
                ok = False
        return ok


def _first_minute() -> int:
    now = int(time.time())
    return now - now % 60 - 89 * DAY


def _warm(server: Server, case: Case) -> None:
    wrk(server, "get" if case.what == "get" else "now", case.monitors, 1)


def _print(case: Case, seen: Mapping[str, Sequence[Round]]) -> None:
    budget = BUDGETS.get(case.what)
    for name, rounds in seen.items():
        one = of_rounds(rounds)
        share, by_cpu = ratio(rounds, seen["bare"]), cpu_ratio(rounds, seen["bare"])
        verdict = ""
        if budget is not None and name != "bare":
            verdict = f"  (budget {budget:.0%}: {'kept' if share >= budget else 'MISSED'})"
        print(
            f"  {name:12} {one.per_second:7,.0f}/s  p50 {one.p50:5.2f}  p99 {one.p99:6.2f} ms"
            f"  {one.cpu_us:4.0f} us of CPU each  ratio {share:.3f}, by CPU {by_cpu:.3f}{verdict}"
        )


def _is_ok(
    case: Case,
    name: str,
    rounds: Sequence[Round],
    database: Path,
    begin: int,
    started: float,
    ended: float,
) -> bool:
    """Whether all was answered with 200, and what was answered is stored."""
    total = of_rounds(rounds)
    faults = []
    if total.failed:
        faults.append(f"{total.failed} answers were no 200 or did not come")
    if case.what != "get":
        with closing(sqlite3.connect(database)) as connection:
            faults += (
                _lost_late(connection, total.answered, len(rounds), begin)
                if case.what == "late"
                else _lost_now(connection, case.monitors, started, ended)
            )
    for fault in faults:
        print(f"  {name}: FAULT: {fault}")
    if not faults:
        print(f"  {name}: {total.answered:,} answers, all 200{', all stored' if case.what != 'get' else ''}")
    return not faults


def _lost_late(connection: sqlite3.Connection, answered: int, rounds: int, begin: int) -> list[str]:
    """A fault unless each request, with a minute of its own, has a row, or was answered after wrk ended."""
    (stored,) = connection.execute(
        "SELECT count(*) FROM samples WHERE minute BETWEEN ? AND ?", (begin, begin + 85 * DAY)
    ).fetchone()
    if answered <= stored <= answered + rounds * CONNECTIONS:
        return []
    return [f"{answered} were answered, {stored} minutes are stored"]


def _lost_now(connection: sqlite3.Connection, monitors: int, started: float, ended: float) -> list[str]:
    """Each monitor must have the minutes in which load ran; the first and the last may be cut short."""
    first = int(started) // 60 * 60
    stored = connection.execute(
        "SELECT monitor_id, count(*) FROM samples WHERE minute BETWEEN ? AND ? GROUP BY 1",
        (first, int(ended)),
    ).fetchall()
    minutes = (int(ended) - first) // 60 + 1
    if len(stored) == monitors and all(count >= minutes - 2 and count > 0 for _, count in stored):
        return []
    return [f"{len(stored)} of {monitors} monitors have their {minutes} minutes"]


if __name__ == "__main__":
    sys.exit(main())
