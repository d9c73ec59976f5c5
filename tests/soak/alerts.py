"""Judge the rule of alerts in many random histories, and send backlogs about what is over.

    python -m tests.soak.alerts --histories 100000 --backlogs 2000

In each history the rule is asked at every look twice: with all that is known, and as after a restart, from
the stored alerts and as few minutes as it asks for. Both must say what an independent judge says
(tests/rigs/alert_judge.py), and every property must hold (tests/rigs/alert_properties.py). The backlogs are
of up to 90 days, in random chunks, by devices that are up again: no alert may open. Exits 1 on a fault.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from time import monotonic

from tests.rigs import alert_properties as properties
from tests.rigs.alert_properties import Findings, backlog, examine

CHUNK = 250  # seeds
DAYS = 90
IN_EVERY_HISTORY = (
    properties.JUDGE,
    properties.RESTART,
    properties.INCIDENTS,
    properties.ALTERNATE,
    properties.MAINTENANCE,
    properties.PRESENT,
    properties.EARLY,
    properties.PAST,
)
MADE_FOR_ONE: dict[str, Callable[[int], str | None]] = {
    properties.ONCE: properties.down_around_a_pause,
    properties.RECOVERED: properties.recovered_in_a_pause,
    properties.BATCHES: properties.batches,
}


def examined(seeds: range) -> Findings:
    found = Findings()
    for seed in seeds:
        found.add(examine(seed))
    return found


def faults_of(check: Callable[[int], str | None], seeds: range) -> list[str]:
    return [fault for seed in seeds if (fault := check(seed)) is not None]


def a_long_backlog(seed: int) -> str | None:
    return backlog(seed, days=random.Random(f"days {seed}").choice((1, 7, 30, DAYS)))


def chunks(first: int, number: int, size: int = CHUNK) -> Sequence[range]:
    return [range(start, min(start + size, first + number)) for start in range(first, first + number, size)]


class Report:
    """What was found; its faults go to standard error as they come."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()

    def note(self, name: str, faults: Sequence[str]) -> None:
        if self.faults[name] < 3:
            for fault in faults[:3]:
                print(fault, file=sys.stderr, flush=True)
        self.faults[name] += len(faults)

    def row(self, name: str, number: int, began: float) -> None:
        print(f"{name:<74} {number:7} {self.faults[name]:6}  {monotonic() - began:5.0f} s", flush=True)


def run(histories: int, backlogs: int, seed: int, processes: int) -> Report:
    report = Report()
    print(f"{'property':<74} {'checked':>7} {'faults':>6}")
    with ProcessPoolExecutor(processes) as pool:
        began, found = monotonic(), Findings()
        for part in pool.map(examined, chunks(seed, histories)):
            for name, faults in part.faults.items():
                report.note(name, faults)
            found.add(part)
        for name in IN_EVERY_HISTORY:
            report.row(name, histories, began)
        for name, check in MADE_FOR_ONE.items():
            began = monotonic()
            for faults in pool.map(partial(faults_of, check), chunks(seed, histories // 10)):
                report.note(name, faults)
            report.row(name, histories // 10, began)
        began = monotonic()
        for faults in pool.map(partial(faults_of, a_long_backlog), chunks(seed, backlogs, 5)):
            report.note(properties.BACKLOGS, faults)
        report.row(properties.BACKLOGS, backlogs, began)
    print(f"{found.looks} looks, at each of them decided anew as after a restart")
    print(", ".join(f"{number} {what}" for what, number in sorted(found.events.items())))
    return report


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=100_000)
    parser.add_argument("--backlogs", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    report = run(options.histories, options.backlogs, options.seed, options.processes)
    return 1 if report.faults.total() else 0


if __name__ == "__main__":
    sys.exit(main())
