"""Measure the cost of history: the same requests over 1, 90 and 400 days.

A server runs on each database (history.py), and requests alternate between them.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import history
from benchmarks.servers import (
    Round,
    Server,
    configure,
    cpu_ratio,
    machine,
    of_rounds,
    ours,
    ratio,
    workplace,
    wrk,
)


def main() -> int:
    options = _options()
    print(machine())
    ok = True
    for count in options.monitors:
        with workplace() as folder:
            ok &= _compare(folder, count, options.days, options.rounds, options.seconds)
    return 0 if ok else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--monitors", nargs="+", type=int, default=[1, 50, 1000])
    parser.add_argument("--days", nargs="+", type=int, default=[1, 90, 400])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    return parser.parse_args()


def _compare(folder: Path, count: int, lengths: Sequence[int], rounds: int, seconds: int) -> bool:
    print(f"\n{count:,} monitor{'s' if count > 1 else ''}")
    ok = True
    with ExitStack() as stack:
        servers: list[Server] = []
        for days in lengths:
            own = folder / str(days)
            own.mkdir()
            config = configure(own, count)
            print(f"  {days:3} days: {history.written(config, days)}")
            servers.append(stack.enter_context(ours(own, config, f"{days} days")))
        waited = max(server.become_idle() for server in servers)
        if waited > 10:
            print(f"  waited {waited:.0f} s until the servers had done what they do after a start")
        for what in ("get", "now"):
            seen: dict[str, list[Round]] = {server.name: [] for server in servers}
            for server in servers:
                wrk(server, what, count, 1)
            for _ in range(rounds):
                for server in servers:
                    seen[server.name].append(wrk(server, what, count, seconds))
            shortest = seen[servers[0].name]
            for name, each in seen.items():
                one = of_rounds(each)
                ok &= one.failed == 0
                print(
                    f"  {'GET ' if what == 'get' else 'POST'} {name:8} {one.per_second:7,.0f}/s"
                    f"  p50 {one.p50:5.2f}  p99 {one.p99:6.2f} ms"
                    f"  ratio to the shortest {ratio(each, shortest):.2f},"
                    f" by CPU {cpu_ratio(each, shortest):.2f}; {one.conditions}"
                    + (f"  {one.failed} FAILED" if one.failed else "")
                )
        for server in servers:
            print(f"  resident with {server.name}: {server.resident_mb:.0f} MB")
    return ok


if __name__ == "__main__":
    sys.exit(main())
