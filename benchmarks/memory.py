"""Measure the memory of a server with many monitors, 90 days of history and visitors in three languages.

The figures of `systemd/kener-async.service`, of docs/operate.md and of `doctor` come from here.
"""

import argparse
import re
import sys
import time
from collections.abc import Iterator
from html import unescape

from benchmarks import history, site
from benchmarks.servers import Server, add_tree_option, checkouts, machine, ours, workplace

LANGUAGES = ("en", "de", "hi")
MONITOR_PAGES = 200  # of each language
MIB = 1024 * 1024
ENCODINGS = ("br", "gzip", "identity")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--monitors", nargs="+", type=int, default=[50, 1000])
    add_tree_option(parser)
    options = parser.parse_args()
    print(machine())
    for monitors in options.monitors:
        for name, tree in checkouts(options.tree).items():
            with workplace() as folder:
                config = site.configure(folder, monitors)
                with config.open("a") as file:
                    file.write('[site]\nlocales = ["en", "de", "hi"]\n')
                print(
                    f"\n{name}, {monitors} monitors: {history.written(config, site.DAYS, tree, is_site=True)}"
                )
                with ours(folder, config, name, tree) as server:
                    _measure(server, monitors)
    return 0


def _measure(server: Server, monitors: int) -> None:
    server.become_idle()
    print(f"  started: {_megabytes(server)} MB")
    for language in LANGUAGES:
        visited = sum(1 for _ in _visits(server, monitors, language))
        print(f"  after {visited} pages in {language}: {_megabytes(server)} MB")
    time.sleep(61)  # so that all is shown anew
    for language in LANGUAGES:
        for _ in _visits(server, monitors, language):
            pass
    print(
        f"  after all of them a minute later: {_megabytes(server)} MB, at most {_megabytes(server, 'VmHWM')}"
    )


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
