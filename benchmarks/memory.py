"""Measure the memory of a server with many monitors, 90 days of history and visitors in three languages.

The figures of `systemd/kener-async.service`, of docs/operate.md and of `doctor` come from here.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import unescape

from benchmarks import history, site
from benchmarks.servers import (
    Server,
    add_tree_option,
    checkouts,
    machine,
    measured,
    ours,
    workplace,
    wrk,
)
from benchmarks.tables import Table, verdict

LANGUAGES = ("en", "de", "hi")
MONITOR_PAGES = 200  # of each language
MIB = 1024 * 1024
POST_SECONDS = 5
BUDGETS = {1000: (150, 180)}  # MB after all of it and at most, by monitors
ENCODINGS = ("br", "gzip", "identity")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--monitors", nargs="+", type=int, default=[50, 1000])
    add_tree_option(parser)
    options = parser.parse_args()
    print(machine())
    for monitors in options.monitors:
        table = Table(
            f"{monitors:,} monitors x {site.DAYS} days",
            *("resident MB", "budget", "at most MB", "budget of that", "load, waited"),
        )
        for name, tree in checkouts(options.tree).items():
            with workplace() as folder:
                config = site.configure(folder, monitors)
                with config.open("a") as file:
                    file.write(f"[site]\nlocales = {json.dumps(LANGUAGES)}\n")
                history.written(config, site.DAYS, tree, is_site=True)
                with ours(folder, config, name, tree) as server:
                    _measure(table, server, monitors)
    return 0


def _measure(table: Table, server: Server, monitors: int) -> None:
    """Start, page, list, heartbeats, visitors in each language, and all of them again a minute later."""
    steps: dict[str, Callable[[], object]] = {
        "started": server.become_idle,
        "first page": lambda: server.ask("/", {"Accept": "text/html", "Accept-Encoding": "br"}),
        "list": lambda: server.fetch("/api/monitors"),
        "heartbeats of all": lambda: wrk(server, "now", monitors, POST_SECONDS),
        **{f"pages in {language}": partial(_visit, server, monitors, [language]) for language in LANGUAGES},
        "all pages a minute later": partial(_visit_again, server, monitors),
    }
    last = list(steps)[-1]
    for title, step in steps.items():
        with measured(server) as usage:
            step()
        resident, highest = _megabytes(server), _megabytes(server, "VmHWM")
        budget, highest_budget = BUDGETS.get(monitors, (None, None)) if title == last else (None, None)
        table.add(
            f"{server.name}: {title}",
            resident,
            verdict(resident, budget, is_at_most=True),
            highest,
            verdict(highest, highest_budget, is_at_most=True),
            f"{usage.load:.1f}, {usage.waited:.0%}",
        )


def _visit(server: Server, monitors: int, languages: Sequence[str]) -> None:
    for language in languages:
        for _ in _visits(server, monitors, language):
            pass


def _visit_again(server: Server, monitors: int) -> None:
    time.sleep(61)  # so that all is shown anew
    _visit(server, monitors, LANGUAGES)


def _visits(server: Server, monitors: int, language: str) -> Iterator[str]:
    """Visit the pages of the site, large ones in each encoding."""
    home = server.ask("/", {"Accept": "text/html", "Accept-Language": language}).body.decode()
    folds = [unescape(path) for path in re.findall(r'id="fold-([^"]+)"', home)]
    pages = [f"/?page={number}" for number in range(1, min(monitors // 25, 40) + 1)]
    paths = ["/", "/incidents", *folds, *pages]
    for encoding in ENCODINGS:
        for path in paths:
            headers = {"Accept": "text/html", "Accept-Language": language, "Accept-Encoding": encoding}
            answer = server.ask(path, headers)
            assert answer.status == 200, (path, answer.status)
            yield path
    for number in range(min(monitors, MONITOR_PAGES)):
        for path in (f"/monitor/monitor-{number}", f"/badge/monitor-{number}/uptime"):
            headers = {"Accept": "text/html", "Accept-Language": language, "Accept-Encoding": "br"}
            assert server.ask(path, headers).status == 200, path
            yield path


def _megabytes(server: Server, name: str = "VmRSS") -> int:
    with open(f"/proc/{server.process.pid}/status") as file:
        found = re.search(rf"{name}:\s+(\d+) kB", file.read())
    assert found is not None
    return int(found[1]) * 1024 // MIB


if __name__ == "__main__":
    sys.exit(main())
