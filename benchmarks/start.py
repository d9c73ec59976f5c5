"""Measure the first answers after a start: when it listens, the first GET, page and list of monitors.

Each database (history.py, with the site of site.py) is started twice. The first start is that after an
upgrade, or of a restored backup: sums that are kept for later were never computed. The second is a restart.
Before each the daily check of the file's integrity is due. Every answer is asked for on a start of its own,
as soon as the server listens, except that "GET" is asked again and again for two seconds, and the longest
answer counts.
"""

import argparse
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks import history, site
from benchmarks.servers import (
    Server,
    Usage,
    add_tree_option,
    checkouts,
    machine,
    measured,
    ours,
    token,
    workplace,
)
from benchmarks.tables import Table, verdict

BROWSER = {"Accept": "text/html", "Accept-Encoding": "gzip, br", "Accept-Language": "en"}
GETS_SECONDS = 2.0
PAGE_BUDGETS = {500: 0.7, 1000: 1.2}  # seconds by monitors
GET_BUDGET = 0.05
LIST_BUDGET = 0.6  # with 1,000 monitors
LISTENING_BUDGET = 2.0


def main() -> int:
    options = _options()
    print(machine())
    for monitors in options.monitors:
        for days in options.days:
            table = Table(
                f"{monitors:,} monitors x {days} days",
                *("seconds", "budget", "CPU s meanwhile", "load, waited"),
            )
            for name, tree in checkouts(options.tree).items():
                with workplace() as folder:
                    config = site.configure(folder, monitors)
                    history.written(config, days, tree, minute_days=options.minute_days, is_site=True)
                    _measure(table, name, tree, config, monitors)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--monitors", nargs="+", type=int, default=[500, 1000])
    parser.add_argument("--days", nargs="+", type=int, default=[90])
    parser.add_argument("--minute-days", type=int, default=history.MINUTE_DAYS, help="of them with samples")
    add_tree_option(parser)
    return parser.parse_args()


def _measure(table: Table, name: str, tree: Path, config: Path, monitors: int) -> None:
    secret = token(config, tree)
    page_budget = PAGE_BUDGETS.get(monitors)
    list_budget = LIST_BUDGET if monitors <= max(PAGE_BUDGETS) else None

    with _start(config, name, tree, secret) as (server, listening):
        with measured(server) as usage:
            taken = _page(server)
        _add(table, name, "first page, first start", taken, None, usage)
        server.become_idle()
    with _start(config, name, tree, secret) as (server, listening):
        with measured(server) as usage:
            taken = _page(server)
        _add(table, name, "listening, restart", listening, LISTENING_BUDGET, usage)
        _add(table, name, "first page, restart", taken, page_budget, usage)
        server.become_idle()
    with _start(config, name, tree, secret) as (server, _):
        with measured(server) as usage:
            taken = _longest_get(server)
        _add(table, name, "longest GET /api/status, restart", taken, GET_BUDGET, usage)
        server.become_idle()
    with _start(config, name, tree, secret) as (server, _):
        with measured(server) as usage:
            taken = _list(server, monitors)
        _add(table, name, "first GET /api/monitors, restart", taken, list_budget, usage)


@contextmanager
def _start(config: Path, name: str, tree: Path, secret: str) -> Iterator[tuple[Server, float]]:
    """A server that has just begun to listen, and the seconds until it did; the integrity check is due."""
    with closing(sqlite3.connect(config.parent / "kener.db")) as connection:
        connection.execute("UPDATE service SET integrity_passed_at = NULL")
        connection.commit()
    began = time.perf_counter()
    with ours(config.parent, config, name, tree, secret) as server:
        yield server, time.perf_counter() - began


def _page(server: Server) -> float:
    began = time.perf_counter()
    answer = server.ask("/", BROWSER)
    assert answer.status == 200, answer.status
    return time.perf_counter() - began


def _longest_get(server: Server) -> float:
    """The longest of questions about one monitor, one after the other."""
    longest, until = 0.0, time.perf_counter() + GETS_SECONDS
    while (began := time.perf_counter()) < until:
        server.fetch("/api/status?tag=monitor-0")
        longest = max(longest, time.perf_counter() - began)
    return longest


def _list(server: Server, monitors: int) -> float:
    began = time.perf_counter()
    body = server.fetch("/api/monitors")
    taken = time.perf_counter() - began
    assert len(json.loads(body)) == monitors, body[:200]
    return taken


def _add(table: Table, name: str, what: str, seconds: float, budget: float | None, usage: Usage) -> None:
    table.add(
        f"{name}: {what}",
        f"{seconds:.3f}",
        verdict(seconds, budget, is_at_most=True),
        f"{usage.cpu:.2f}",
        f"{usage.load:.1f}, {usage.waited:.0%}",
    )


if __name__ == "__main__":
    sys.exit(main())
