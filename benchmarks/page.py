"""Measure the public page: its size, how fast it is sent and rendered, and heartbeats beside many visitors.

The reference is bare aiohttp with uvloop that sends the same bytes with the same headers. The flood comes
from a process of its own; the reference for heartbeats beside it are heartbeats alone, in alternating rounds.
With `--alerts` the same server is measured with alert rules, too.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from threading import Event, Thread

from benchmarks import history, site
from benchmarks.servers import (
    CONNECTIONS,
    IS_REALTIME,
    Answer,
    Round,
    Server,
    Usage,
    add_tree_option,
    cpu_ratio,
    load,
    machine,
    measured,
    of_rounds,
    ours,
    ratio,
    read_round,
    reference,
    subjects,
    watch,
    workplace,
    wrk,
)

SCRIPT = Path(__file__).with_name("pages.lua")
BROWSER = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en",
}
ENCODINGS = {"raw": "identity", "gzip": "gzip", "br": "br"}
HTML_BUDGET = 500_000  # bytes, not compressed, with any number of monitors
MAKING_BUDGET = 100  # ms, the page right after a heartbeat
FEW_DAYS = 4  # of history with more than MANY monitors: 90 would be 43 million quarters
MANY = 1000
SIZE_BUDGETS = {50: 60_000, 500: 300_000}  # bytes as browsers get them, by monitors
P50_BUDGET = 2.0
POST_BUDGET = 0.8
VISITORS = 200
SETTLING = 0.5  # seconds until a flood is at its height
ASKED = 7  # times, one after the other
NOT_MIRRORED = {"connection", "content-length", "date", "transfer-encoding"}
PARTS = ("size", "send", "flood")

numbers = count()  # of the heartbeats that are sent from here


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to request the page; `is_known`: with the ETag of a cached copy."""

    title: str
    headers: Mapping[str, str]
    is_known: bool = False
    has_beats: bool = False


KINDS = (
    Kind("as browsers ask", BROWSER),
    Kind("the same, and a heartbeat a second", BROWSER, has_beats=True),
    Kind("gzip", BROWSER | {"Accept-Encoding": "gzip"}),
    Kind("known already", BROWSER, is_known=True),
)


@dataclass(frozen=True, slots=True)
class Visits:
    """A round of requests for pages, and how many answers there were of each status."""

    round: Round
    statuses: Counter[int]


def main() -> int:
    options = _options()
    if IS_REALTIME and "flood" in options.only:
        raise SystemExit("heartbeats and visitors share a core, of which in real time one gets nothing")
    print(machine())
    print(f"{site.DAYS} days of history; {options.rounds} rounds of {options.seconds} s, medians")
    ok = True
    for monitors in options.monitors:
        with workplace() as folder, ExitStack() as stack:
            bare = stack.enter_context(reference(folder))
            servers = list(
                _all_started(stack, folder, monitors, subjects(options.tree, with_alerts=options.alerts))
            )
            is_small = monitors == min(options.monitors)
            if "size" in options.only:
                for server in servers:
                    _print_size(server, monitors)
                    _print_making(server, monitors)
            if "send" in options.only and is_small:
                for kind in KINDS:
                    for server in servers:
                        ok &= _send(kind, bare, server, monitors, options.rounds, options.seconds)
            if "flood" in options.only:
                for title, paths in _floods(monitors, is_small).items():
                    for server in servers:
                        ok &= _flood(title, paths, server, monitors, options.rounds, options.seconds)
    return 0 if ok else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument(
        "--monitors", nargs="+", type=int, default=[50, 500], help="the page is sent with the fewest only"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    add_tree_option(parser)
    parser.add_argument(
        "--alerts", action="store_true", help="also measure the last one with three rules for every monitor"
    )
    return parser.parse_args()


# Starting, and heartbeats


def _all_started(
    stack: ExitStack, folder: Path, monitors: int, trees: Mapping[str, tuple[Path, bool]]
) -> Iterator[Server]:
    """A server for each checkout, each with its own database."""
    days = site.DAYS if monitors <= MANY else FEW_DAYS
    print(f"\n{monitors} monitors")
    for number, (name, (tree, is_watched)) in enumerate(trees.items()):
        own = folder / str(number)
        own.mkdir()
        config = site.configure(own, monitors)
        print(f"  {name}: {history.written(config, days, tree, minute_days=1, is_site=True)}")
        if is_watched:
            watch(config)
        server = stack.enter_context(ours(own, config, name, tree))
        server.become_idle()
        yield server


def _beat(server: Server, monitors: int) -> None:
    """A heartbeat that the page must show: one monitor after the other is degraded, then up again."""
    number = next(numbers)
    body = {
        "tag": f"monitor-{number // 2 % monitors}",
        "status": ("DEGRADED", "UP")[number % 2],
        "latency": 0.2 + number % 7 / 10,
    }
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    answer = server.ask("/api/status", headers, "POST", json.dumps(body).encode())
    assert answer.status == 200, answer


@contextmanager
def _beats(server: Server, monitors: int) -> Iterator[None]:
    """A heartbeat each second, from now on."""
    stop = Event()

    def run() -> None:
        _beat(server, monitors)
        while not stop.wait(1):
            _beat(server, monitors)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# Size, and making


def _print_size(server: Server, monitors: int) -> None:
    sizes = []
    for name, encoding in ENCODINGS.items():
        answer = server.ask("/", BROWSER | {"Accept-Encoding": encoding})
        is_offered = answer.headers.get("Content-Encoding", "identity") == encoding
        sizes.append(f"{name} {len(answer.body):,}" if is_offered else f"{name} -")
    sent = len(server.ask("/", BROWSER).body)
    budget = SIZE_BUDGETS.get(monitors)
    verdict = f" (budget {budget:,}: {'kept' if sent <= budget else 'MISSED'})" if budget else ""
    print(f"  {server.name}: bytes of the page: {', '.join(sizes)}; browsers get {sent:,}{verdict}")
    html = len(server.ask("/", BROWSER | {"Accept-Encoding": "identity"}).body)
    is_kept = "kept" if html <= HTML_BUDGET else "MISSED"
    print(f"  {server.name}: {html:,} bytes of HTML (budget {HTML_BUDGET:,}: {is_kept})")


def _print_making(server: Server, monitors: int) -> None:
    """The page right after a heartbeat, and then once more."""
    made, sent, changes = [], [], 0
    _, page = _timed(server)
    for _ in range(ASKED):
        _beat(server, monitors)
        taken, after = _timed(server)
        made.append(taken)
        changes += after.body != page.body
        taken, page = _timed(server)
        sent.append(taken)
    print(
        f"  {server.name}: the page right after a heartbeat: {median(made):.1f} ms, at most {max(made):.1f}; "
        f"then {median(sent):.1f} ms; it was another {changes} times of {ASKED} "
        f"(budget {MAKING_BUDGET} ms: {'kept' if median(made) <= MAKING_BUDGET else 'MISSED'})"
    )


def _timed(server: Server) -> tuple[float, Answer]:
    """The page on a connection of its own, and the milliseconds that took."""
    began = time.perf_counter()
    page = server.ask("/", BROWSER)
    return (time.perf_counter() - began) * 1000, page


# Sending


def _send(kind: Kind, bare: Server, server: Server, monitors: int, rounds: int, seconds: int) -> bool:
    """The page from us and from the bare server, in turn; whether all was answered as it should be."""
    seen: list[Visits] = []
    reference: list[Visits] = []
    headers, page = _as_asked(kind, server)
    print(f"  GET /, {kind.title}: {page.status}, {_encoding(page)}, {len(page.body):,} bytes")
    _visit(server, headers, 1)
    is_shown_anew = True
    for _ in range(rounds):
        headers, page = _as_asked(kind, server)
        _show(bare, page)
        reference.append(_visit(bare, headers, seconds))
        with _beats(server, monitors) if kind.has_beats else nullcontext():
            seen.append(_visit(server, headers, seconds))
        is_shown_anew &= server.ask("/", headers).body != page.body
    _print_sent(bare, reference, reference)
    _print_sent(server, seen, reference)
    faults = _faults([*seen, *reference])
    if kind.has_beats and not is_shown_anew:
        faults.append("the page stayed the same, though there were heartbeats")
    for fault in faults:
        print(f"    FAULT: {fault}")
    return not faults


def _as_asked(kind: Kind, server: Server) -> tuple[Mapping[str, str], Answer]:
    """The headers of a request of that kind, and the answer to it."""
    page = server.ask("/", kind.headers)
    if not kind.is_known:
        return kind.headers, page
    headers = {**kind.headers, "If-None-Match": page.headers.get("ETag", '"none"')}
    return headers, server.ask("/", headers)


def _show(bare: Server, page: Answer) -> None:
    """Have the bare server answer `GET /` in the same way."""
    headers = {name: value for name, value in page.headers.items() if name.lower() not in NOT_MIRRORED}
    given = {"status": page.status, "headers": headers, "body": b64encode(page.body).decode()}
    answer = bare.ask("/", {"Content-Type": "application/json"}, "PUT", json.dumps(given).encode())
    assert answer.status == 204, answer


def _visit(server: Server, headers: Mapping[str, str], seconds: int) -> Visits:
    command = load(server, seconds, SCRIPT, ["/"], headers)
    with measured(server) as usage:
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return _visits(output, usage)


def _visits(output: str, usage: Usage) -> Visits:
    lines = [line.split() for line in output.splitlines() if line.startswith("status ")]
    return Visits(
        read_round(output, usage), Counter({int(status): int(number) for _, status, number in lines})
    )


def _encoding(page: Answer) -> str:
    return page.headers.get("Content-Encoding", "not compressed")


def _print_sent(server: Server, seen: Sequence[Visits], reference: Sequence[Visits]) -> None:
    rounds, bare = [one.round for one in seen], [one.round for one in reference]
    total = of_rounds(rounds)
    longer = median(one.p50 / other.p50 for one, other in zip(rounds, bare, strict=True))
    verdict = f" (budget {P50_BUDGET:g}: {'kept' if longer <= P50_BUDGET else 'MISSED'})"
    print(
        f"    {server.name:12} {total.per_second:7,.0f}/s  p50 {total.p50:6.2f}  p99 {total.p99:7.2f} ms"
        f"  {total.cpu_us:4.0f} us of CPU each  ratio {ratio(rounds, bare):.2f},"
        f" by CPU {cpu_ratio(rounds, bare):.2f}, p50 x {longer:.2f}{verdict if seen is not reference else ''}"
        f"  {_shares(seen)}; {total.conditions}"
    )


def _faults(seen: Sequence[Visits]) -> list[str]:
    """What no visitor of a page that exists should see."""
    wrong = {status: number for status, number in _statuses(seen).items() if status not in (200, 304)}
    faults = [f"{number} answers {status}" for status, number in wrong.items()]
    return faults + ([f"{_broken(seen)} answers did not come, or late"] if _broken(seen) else [])


def _broken(seen: Sequence[Visits]) -> int:
    """Answers that did not come, or came after wrk's two seconds."""
    refused = sum(number for status, number in _statuses(seen).items() if status >= 400)
    return sum(one.round.failed for one in seen) - refused


def _statuses(seen: Sequence[Visits]) -> Counter[int]:
    return sum((one.statuses for one in seen), Counter())


def _shares(seen: Sequence[Visits]) -> str:
    statuses = _statuses(seen)
    parts = [f"{number / statuses.total():.0%} {status}" for status, number in statuses.most_common()]
    return ", ".join(parts) or "nothing answered"


# The flood


def _floods(monitors: int, has_many: bool) -> dict[str, list[str]]:
    return {"GET /": ["/"], **({"many pages": _many_pages(monitors)} if has_many else {})}


def _many_pages(monitors: int) -> list[str]:
    """Pages of every sort, a few hundred in all; a checkout that has one not answers 404."""
    paths = ["/", "/incidents", "/feed.atom"]
    for number in range(monitors):
        tag = f"monitor-{number}"
        paths += [f"/monitor/{tag}", f"/badge/{tag}/status", f"/badge/{tag}/uptime", f"/embed/{tag}"]
    return paths + [f"/incident/{number}" for number in range(1, site.PAST_INCIDENTS + 1)]


def _flood(
    title: str, paths: Sequence[str], server: Server, monitors: int, rounds: int, seconds: int
) -> bool:
    """Heartbeats alone and under a flood of visitors, in turn; whether each heartbeat was taken."""
    alone: list[Round] = []
    under: list[Round] = []
    floods: list[Visits] = []
    wrk(server, "now", monitors, 1)
    for _ in range(rounds):
        server.become_idle()  # what the flood before has left is no part of it
        alone.append(wrk(server, "now", monitors, seconds))
        during, flood = _under_flood(server, paths, monitors, seconds)
        under.append(during)
        floods.append(flood)
    _print_flood(title, len(paths), server, alone, under, floods)
    failed = of_rounds(alone + under).failed
    statuses = _statuses(floods)
    broken = sum(number for status, number in statuses.items() if status >= 500 and status != 503)
    if failed or broken:
        print(f"    FAULT: {failed} heartbeats were not taken, {broken} pages failed")
    return not failed and not broken


def _under_flood(server: Server, paths: Sequence[str], monitors: int, seconds: int) -> tuple[Round, Visits]:
    command = load(server, 600, SCRIPT, paths, BROWSER, VISITORS)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as visitors:
        try:
            time.sleep(SETTLING)
            heartbeats = wrk(server, "now", monitors, seconds)
        finally:
            visitors.send_signal(signal.SIGINT)  # it prints what it saw, and ends
        output, _ = visitors.communicate()
    return heartbeats, _visits(output, Usage())


def _print_flood(
    title: str,
    pages: int,
    server: Server,
    alone: Sequence[Round],
    under: Sequence[Round],
    floods: Sequence[Visits],
) -> None:
    kept = ratio(under, alone)
    verdict = f"(budget {POST_BUDGET:g}: {'kept' if kept >= POST_BUDGET else 'MISSED'})"
    flood = of_rounds([one.round for one in floods])
    print(
        f"  {server.name}: POST from {CONNECTIONS} connections; {VISITORS} visitors ask for {title} ({pages})"
    )
    for name, rounds in (("alone", alone), ("flooded", under)):
        one = of_rounds(rounds)
        print(
            f"    {name:12} {one.per_second:7,.0f}/s  p50 {one.p50:6.2f}  p99 {one.p99:7.2f} ms"
            f"  {one.cpu_us:4.0f} us of CPU each; {one.conditions}"
        )
    print(
        f"    ratio {kept:.2f} {verdict}; meanwhile {flood.per_second:,.0f} pages/s, p50 {flood.p50:,.0f}  "
        f"p99 {flood.p99:,.0f} ms, {_shares(floods)}, {_broken(floods)} late or lost"
    )


if __name__ == "__main__":
    sys.exit(main())
