"""Compare POST and GET /api/status with bare aiohttp and uvloop, in alternating rounds.

Databases have a history (`--history`): in an empty one the newest samples of all monitors lie on a few pages,
which nobody's do for long. With `--alerts` the same server is measured with alert rules, too, which are then
evaluated beside. With `--instructions` callgrind counts the instructions for each request instead: they show
small differences, and on a busy machine.

Every response is checked: one that is not 200 ends the run with status 1, and acknowledged samples are looked
up in the database after the server has stopped.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks import callgrind, history
from benchmarks.servers import (
    CONNECTIONS,
    Round,
    Server,
    add_tree_option,
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
from benchmarks.stored import minutes_of
from benchmarks.tables import Table, verdict

DAY = 86400
LATE_DAYS = 85  # from the oldest late minute to the newest
TITLES = {
    "now": "POST",
    "new": "POST, a new connection each",
    "late": "POST, a late minute each",
    "get": "GET",
}


@dataclass(frozen=True, slots=True)
class Case:
    """Requests of a kind; `budget` is the least ratio by processor time."""

    what: str
    monitors: int
    budget: float | None = None

    @property
    def title(self) -> str:
        return f"{TITLES[self.what]}, {self.monitors:,} monitor{'s' if self.monitors > 1 else ''}"

    @property
    def load(self) -> str:
        """What load.lua sends."""
        return "now" if self.what == "new" else self.what


CASES = (
    Case("now", 1, 0.9),
    Case("get", 1, 0.85),
    Case("late", 10, 0.75),
    Case("now", 50),
    Case("now", 1000, 0.8),
    Case("new", 1000),
    Case("get", 1000, 0.85),
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A server of ours, and the checkout it is from."""

    server: Server
    tree: Path

    @property
    def database(self) -> Path:
        assert self.server.database is not None
        return self.server.database


def main() -> int:
    options = _options()
    print(machine())
    print(f"{CONNECTIONS} connections, {options.rounds} rounds of {options.seconds} s, medians")
    cases = [case for case in CASES if case.what in options.only and case.monitors in options.monitors]
    ok = True
    for days in options.history:
        print(f"\n{f'{days} days of history' if days else 'Empty databases'}")
        for monitors, some in groupby(cases, key=lambda case: case.monitors):
            with workplace() as folder:
                ok &= _measure(folder, monitors, days, list(some), options)
    return 0 if ok else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--monitors", nargs="+", type=int, default=[1, 10, 50, 1000])
    parser.add_argument("--history", nargs="+", type=int, default=[1], metavar="DAYS", help="0: none")
    parser.add_argument("--minute-days", type=int, default=history.MINUTE_DAYS, help="of them with samples")
    add_tree_option(parser)
    parser.add_argument(
        "--alerts", action="store_true", help="also measure the last one with three rules for every monitor"
    )
    parser.add_argument("--instructions", action="store_true", help="count instructions instead of seconds")
    return parser.parse_args()


def _measure(
    folder: Path, monitors: int, days: int, cases: Sequence[Case], options: argparse.Namespace
) -> bool:
    """Measure these cases of so many monitors, on the same servers."""
    under = callgrind.command(folder) if options.instructions else ()
    with ExitStack() as stack:
        bare = stack.enter_context(reference(folder, under))
        started = list(_started(stack, folder, monitors, days, options, under))
        measured = []
        for case in cases:
            if options.instructions:
                _count_instructions(folder, case, bare, started)
            else:
                measured.append(_compare(case, bare, started, options.rounds, options.seconds))
    return all(one.is_sound(started) for one in measured)


def _started(
    stack: ExitStack,
    folder: Path,
    monitors: int,
    days: int,
    options: argparse.Namespace,
    under: Sequence[str],
) -> Iterator[Subject]:
    """A server of each checkout, over a database of its own."""
    trees = subjects(options.tree, with_alerts=options.alerts)
    for number, (name, (tree, is_watched)) in enumerate(trees.items()):
        own = folder / str(number)
        own.mkdir()
        config = configure(own, monitors)
        if days:
            print(f"  {name}: {history.written(config, days, tree, minute_days=options.minute_days)}")
        if is_watched:
            watch(config)
        server = stack.enter_context(ours(own, config, name, tree, under=under))
        server.become_idle()
        yield Subject(server, tree)


# Seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """The rounds of a case by server, when it began and ended, and the oldest late minute."""

    case: Case
    rounds: Mapping[str, Sequence[Round]]
    committed: Mapping[str, int]
    began: float
    ended: float
    first_late: int

    def is_sound(self, started: Sequence[Subject]) -> bool:
        """Whether all was answered with 200, and what was answered is stored; prints what is not.

        The servers must have stopped.
        """
        faults = [f"bare: {self._failed('bare')} failed"] if self._failed("bare") else []
        for subject in started:
            name = subject.server.name
            if self._failed(name):
                faults.append(f"{name}: {self._failed(name)} answers were no 200 or did not come")
            if self.case.what != "get":
                faults += [f"{name}: {fault}" for fault in self._lost(subject)]
        answered = sum(of_rounds(self.rounds[one.server.name]).answered for one in started)
        for fault in faults:
            print(f"{self.case.title}: FAULT: {fault}")
        if not faults:
            kept = "" if self.case.what == "get" else ", all stored"
            print(f"{self.case.title}: {answered:,} answers, all 200{kept}")
        return not faults

    def _failed(self, name: str) -> int:
        return of_rounds(self.rounds[name]).failed

    def _lost(self, subject: Subject) -> Iterator[str]:
        answered = of_rounds(self.rounds[subject.server.name]).answered
        committed = self.committed[subject.server.name]
        if committed < answered:
            yield f"{answered} were answered, the server itself counts only {committed} stored samples"
        if self.case.what == "late":
            last = self.first_late + LATE_DAYS * DAY
            stored = sum(minutes_of(subject.database, subject.tree, self.first_late, last).values())
            # Each request has a minute of its own; some are answered after wrk has ended.
            unseen = len(self.rounds[subject.server.name]) * CONNECTIONS
            if not answered <= stored <= answered + unseen:
                yield f"{answered} were answered, {stored} minutes are stored"
            return
        first = int(self.began) // 60 * 60
        counts = minutes_of(subject.database, subject.tree, first, int(self.ended) + 1)
        expected = (int(self.ended) - first) // 60 + 1
        # The first and the last minute may be cut short.
        if len(counts) != self.case.monitors or min(counts.values()) < max(expected - 2, 1):
            yield f"{len(counts)} of {self.case.monitors} monitors have their {expected} minutes"


def _compare(case: Case, bare: Server, started: Sequence[Subject], rounds: int, seconds: int) -> Measured:
    servers = [bare, *(subject.server for subject in started)]
    before = {server.name: server.committed for server in servers}
    for server in servers:
        wrk(server, "get" if case.what == "get" else "now", case.monitors, 1)
    first_late = _first_late()
    seen: dict[str, list[Round]] = {server.name: [] for server in servers}
    began = time.time()
    for number in range(rounds):
        # Late minutes are taken from a stretch of their own in each round.
        stretch = first_late + number * (LATE_DAYS * DAY // rounds)
        for server in servers if number % 2 == 0 else reversed(servers):
            one = wrk(server, case.load, case.monitors, seconds, stretch, is_new_each=case.what == "new")
            seen[server.name].append(one)
    committed = {server.name: server.committed - before[server.name] for server in servers}
    _print(case, seen)
    return Measured(case, seen, committed, began, time.time(), first_late)


def _first_late() -> int:
    now = int(time.time())
    return now - now % 60 - 89 * DAY


def _print(case: Case, seen: Mapping[str, Sequence[Round]]) -> None:
    table = Table(
        case.title, "requests/s", "ratio", "by CPU", "budget", "p50 / p99 ms", "CPU us each", "load, waited"
    )
    for name, rounds in seen.items():
        one = of_rounds(rounds)
        by_cpu = cpu_ratio(rounds, seen["bare"])
        table.add(
            name,
            f"{one.per_second:,.0f}",
            f"{ratio(rounds, seen['bare']):.2f}",
            f"{by_cpu:.2f}",
            verdict(by_cpu, case.budget if name != "bare" else None),
            f"{one.p50:.1f} / {one.p99:.1f}",
            f"{one.cpu_us:.0f}",
            f"{one.load:.1f}, {one.waited:.0%}",
        )


# Instructions


def _count_instructions(folder: Path, case: Case, bare: Server, started: Sequence[Subject]) -> None:
    table = Table(case.title, "instructions each", "ratio")
    counts: list[int] = []
    for server in [bare, *(subject.server for subject in started)]:
        counts.append(
            callgrind.instructions(
                server, folder, case.load, case.monitors, _first_late(), is_new_each=case.what == "new"
            )
        )
        table.add(server.name, f"{counts[-1]:,}", f"{counts[0] / counts[-1]:.2f}")


if __name__ == "__main__":
    sys.exit(main())
