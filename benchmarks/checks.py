"""Measure checks: how late they begin, what they cost, and what they and other requests notice of each other.

Each part starts servers and targets of its own; the targets run on the core for load. The processor time of
checks is the difference to a server without checks in the same run. `minute` compares it to bare aiohttp that
makes the same GETs beside it (benchmarks/bare_checks.py), so that both find the same machine.
"""

import argparse
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from benchmarks.servers import (
    LOAD_CORE,
    ROOT,
    SECRET,
    SERVER_CORE,
    Round,
    Server,
    Usage,
    cpu_seconds,
    free_port,
    load,
    load_now,
    machine,
    ours,
    pinned,
    read_round,
    workplace,
    wrk,
)

CPU_BUDGET = 0.05  # of a core, for 1,000 checks a minute
PER_CHECK_BUDGET = 1.3  # times a bare GET with a connection of its own
MEMORY_BUDGET = 15  # MB, for 1,000 checks
MIXED_CPU_BUDGET = 0.6  # of a core, for 10,000 checks a minute
RATE_BUDGET = 0.9  # of the heartbeats without checks
LATENCY_BUDGET = 10.0  # ms, by which the p95 of a target may seem slower beside load
PAGE_BUDGET = 2.0  # times the p99 of a page without a dead name server
PAGES = Path(__file__).with_name("pages.lua")
TIMEOUT = 10  # s, of the checks
ROUND_SECONDS = 10


@dataclass(frozen=True)
class Targets:
    http: int
    dns: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http}/{path}"


@dataclass(frozen=True)
class Figures:
    """Of the checks of a server: attempts by how late they began at most, in seconds, and counters."""

    delays: Mapping[float, float]
    counters: Mapping[str, float]

    @property
    def attempts(self) -> float:
        return max(self.delays.values(), default=0.0)

    def bound(self, share: float) -> float:
        """The smallest bucket that holds this share of the attempts."""
        return min(limit for limit, count in self.delays.items() if count >= share * self.attempts)

    def since(self, before: "Figures") -> "Figures":
        delays = {limit: count - before.delays.get(limit, 0.0) for limit, count in self.delays.items()}
        counters = {name: count - before.counters.get(name, 0.0) for name, count in self.counters.items()}
        return Figures(delays, counters)


def main() -> int:
    parts: dict[str, Callable[[Path, Targets, argparse.Namespace], bool]] = {
        "minute": _minute,
        "mixed": _mixed,
        "load": _beside_load,
        "names": _dead_name_server,
        "hanging": _hanging,
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="which parts; all without any")
    parser.add_argument("--seconds", type=int, default=180, help="how long each part is measured")
    parser.add_argument(
        "--tree", type=Path, action="append", help="checkouts that `minute` compares; this one"
    )
    options = parser.parse_args()
    print(machine())
    results = []
    for name in options.parts or parts:
        with workplace() as folder, targets(folder) as found:
            results.append(parts[name](folder, found, options))
    return 0 if all(results) else 1


def _minute(folder: Path, found: Targets, options: argparse.Namespace) -> bool:
    """1,000 http checks a minute, of which 100 answer after 5 s and 50 never; bare aiohttp beside them."""
    paths = ["5s" if i % 10 == 3 else "hang" if i % 20 == 7 else "now" for i in range(1000)]
    trees = options.tree or [ROOT]
    lines = [f'http = "{found.url(path)}"\ntimeout = "{TIMEOUT}s"' for path in paths]
    with ExitStack() as stack:
        plain = stack.enter_context(_server(folder / "off", "", 1000))
        checked = [
            stack.enter_context(_server(folder / f"on-{number}", _checks(lines), tree=tree))
            for number, tree in enumerate(trees)
        ]
        bare = stack.enter_context(_bare(found, paths))
        print(f"1,000 http checks a minute, {options.seconds} s:")
        _settle(plain, *checked, seconds=60)  # so that each check has run once: its first run prepares it
        before = [figures_of(server) for server in checked]
        rounds = _rounds(
            [plain.process.pid, bare, *(server.process.pid for server in checked)], options.seconds
        )
        results = []
        for number, tree in enumerate(trees):
            figures = figures_of(checked[number]).since(before[number])
            memory = checked[number].resident_mb - plain.resident_mb
            spent = [(each[2 + number] - each[0], each[1]) for each in rounds]
            results.append(_tell_minute("" if len(trees) == 1 else f"{tree}: ", figures, spent, memory))
    return all(results)


def _tell_minute(name: str, figures: Figures, spent: Sequence[tuple[float, float]], memory: float) -> bool:
    """Print what the checks of one server did; `spent`: the shares of a core of them and of bare aiohttp."""
    p50, p99, most = figures.bound(0.5), figures.bound(0.99), figures.bound(1)
    skipped = figures.counters.get("kener_checks_skipped_total", 0)
    late = f"p50 <= {p50 * 1e3:g}, p99 <= {p99 * 1e3:g}, max <= {most * 1e3:g} ms"
    print(f"  {name}begun later than due: {late} (budget 2, 50, 250 ms)")
    print(f"  {figures.attempts:.0f} attempts, {skipped:.0f} runs left out (0)")
    share, bare = (median(each[side] for each in spent) for side in (0, 1))
    ratio = median(ours / reference for ours, reference in spent)
    print(
        f"  processor {share:.2%} of a core (budget {CPU_BUDGET:.0%}), bare aiohttp {bare:.2%}; {load_now()}"
    )
    each = f"{share * 60:.2f} and {bare * 60:.2f} ms each"
    print(f"  {each}: {ratio:.2f} times (budget {PER_CHECK_BUDGET})")
    print(f"  memory {memory:+.1f} MB (budget {MEMORY_BUDGET} MB)")
    is_on_time = p50 <= 0.002 and p99 <= 0.05 and most <= 0.25 and skipped == 0
    return is_on_time and share <= CPU_BUDGET and ratio <= PER_CHECK_BUDGET and memory <= MEMORY_BUDGET


def _mixed(folder: Path, found: Targets, options: argparse.Namespace) -> bool:
    """10,000 checks a minute: 40 % http, 30 % tcp, 20 % ping, 10 % dns."""
    kinds = [f'http = "{found.url("now")}"'] * 4 + [f'tcp = "127.0.0.1:{found.http}"'] * 3
    kinds += ['ping = "127.0.0.1"\npackets = 1'] * 2
    kinds += [f'dns = "example.org"\nserver = "127.0.0.1:{found.dns}"']
    checks = _checks([kinds[i % 10] for i in range(2000)], every="12s")
    with ExitStack() as stack:
        plain = stack.enter_context(_server(folder / "off", "", 2000))
        checked = stack.enter_context(_server(folder / "on", checks))
        print(f"10,000 mixed checks a minute, {options.seconds} s:")
        _settle(plain, checked)
        share, figures = _spent(plain, checked, options.seconds)
        ratios = []
        for _ in range(3):
            alone = wrk(plain, "now", 1000, max(5, options.seconds // 10))
            beside = wrk(checked, "now", 1000, max(5, options.seconds // 10))
            ratios.append(beside.per_second / alone.per_second)
    p99, kept = figures.bound(0.99), sorted(ratios)[1]
    print(
        f"  processor {share:.1%} of a core (budget {MIXED_CPU_BUDGET:.0%}); {figures.attempts:.0f} attempts"
    )
    print(f"  begun later than due: p99 <= {p99 * 1e3:g} ms (budget 250 ms)")
    print(f"  heartbeats beside them: {kept:.2f} of those without (budget {RATE_BUDGET}); {load_now()}")
    return share <= MIXED_CPU_BUDGET and p99 <= 0.25 and kept >= RATE_BUDGET


def _beside_load(folder: Path, found: Targets, options: argparse.Namespace) -> bool:
    """10,000 checks a minute of a target that answers in 20 ms, beside heartbeats and visitors."""
    checks = _checks([f'http = "{found.url("20ms")}"'] * 2000, every="12s")
    with _server(folder / "on", checks) as server:
        print(f"10,000 checks a minute of a target that answers in 20 ms, {options.seconds} s:")
        _settle(server)
        most = wrk(server, "now", 1000, 5)
        time.sleep(15)
        idle = _p95_of(server, 61)
        before = figures_of(server)
        pause = max(1, round(32 / (0.75 * most.per_second) * 1000 - most.p50))
        with _visitors(server, options.seconds):
            rounds = _paced(server, options.seconds, pause)
        busy = _p95_of(server, options.seconds)
        figures = figures_of(server).since(before)
        bad = _not_up(server) + sum(
            count for name, count in figures.counters.items() if "not_measured" in name
        )
    rates = f"{rounds.per_second:.0f} POST/s of {most.per_second:.0f} at most"
    print(f"  {rates}, 32 visitors; {figures.attempts:.0f} attempts, {bad:.0f} not UP (0); {load_now()}")
    print(f"  p95 of the latency {busy:.1f} ms, idle {idle:.1f} ms (budget {LATENCY_BUDGET} ms more)")
    print(f"  begun later than due: p99 <= {figures.bound(0.99) * 1e3:g} ms")
    return bad == 0 and busy - idle <= LATENCY_BUDGET


def _dead_name_server(folder: Path, found: Targets, options: argparse.Namespace) -> bool:
    """300 targets by name, where the name servers do not answer, and 100 by their address."""
    named = [f'http = "http://host-{i}.example.org/"' for i in range(300)]
    numeric = [f'http = "{found.url("now")}"'] * 100
    resolver = folder / "resolv.conf"
    resolver.write_text("nameserver 192.0.2.53\noptions timeout:5 attempts:2\n")
    with ExitStack() as stack:
        plain = stack.enter_context(_server(folder / "off", _checks(numeric, every="20s")))
        dead = stack.enter_context(
            _server(folder / "on", _checks(named + numeric, every="20s"), resolver=resolver)
        )
        print(f"300 targets by name, and no name server, {options.seconds} s:")
        _settle(plain, dead)
        pages = {server: _pages(server, options.seconds // 2) for server in (plain, dead)}
        with closing(sqlite3.connect(f"file:{dead.database}?mode=ro", uri=True)) as connection:
            (down,) = connection.execute(
                "SELECT count(*) FROM samples JOIN monitors ON monitors.id = monitor_id"
                " WHERE status <> 0 AND CAST(substr(tag, 9) AS INTEGER) >= 300"
            ).fetchone()
            (wrong,) = connection.execute("SELECT count(*) FROM samples WHERE status <> 0").fetchone()
        not_measured = figures_of(dead).counters.get('kener_checks_not_measured_total{why="names"}', 0)
    ratio = pages[dead].p99 / pages[plain].p99
    times = f"{pages[dead].p99:.1f} ms, without {pages[plain].p99:.1f} ms"
    print(f"  p99 of a page {times}: {ratio:.2f} times (budget {PAGE_BUDGET}); {load_now()}")
    print(f"  {not_measured:.0f} attempts not measured; {wrong} minutes not UP (0), {down} by address (0)")
    return ratio <= PAGE_BUDGET and not_measured > 0 and wrong == 0


def _hanging(folder: Path, found: Targets, options: argparse.Namespace) -> bool:
    """1,000 checks, alone and beside 256 of targets that accept and say nothing."""
    good = [f'http = "{found.url("now")}"'] * 1000
    hanging = [f'http = "{found.url("hang")}"'] * 256
    bounds = {}
    for name, checks in (("alone", good), ("beside", good + hanging)):
        with _server(folder / name, _checks(checks)) as server:
            _settle(server)
            before = figures_of(server)
            time.sleep(options.seconds)
            bounds[name] = figures_of(server).since(before)
    alone, beside = (bounds[name].bound(0.99) for name in ("alone", "beside"))
    print(f"1,000 checks beside 256 hanging targets, {options.seconds} s; {load_now()}:")
    print(f"  begun later than due: p99 <= {beside * 1e3:g} ms, without them <= {alone * 1e3:g} ms")
    return beside <= max(alone, 0.05)


@contextmanager
def targets(folder: Path) -> Iterator[Targets]:
    """The targets, on the core for load."""
    found = Targets(free_port(), free_port())
    command = [sys.executable, "-m", "benchmarks.check_targets", str(found.http), str(found.dns)]
    process = subprocess.Popen(pinned(LOAD_CORE, *command), cwd=ROOT)
    time.sleep(1)
    try:
        yield found
    finally:
        process.terminate()
        process.wait()


def _checks(lines: Sequence[str], every: str = "1m") -> str:
    """Monitors with these checks, as they stand in config.toml; also tags of which wrk reports."""
    return "".join(
        f'[[monitors]]\ntag = "monitor-{number}"\n[monitors.check]\n{line}\nevery = "{every}"\nretries = 0\n'
        for number, line in enumerate(lines)
    )


@contextmanager
def _server(
    folder: Path, checks: str, plain: int = 0, resolver: Path | None = None, tree: Path = ROOT
) -> Iterator[Server]:
    """A server with checks, or with so many monitors that have none; `resolver` replaces resolv.conf."""
    folder.mkdir()
    config = folder / "config.toml"
    monitors = "".join(f'[[monitors]]\ntag = "monitor-{number}"\n' for number in range(plain))
    head = f'[auth]\nsecret_key = "{SECRET}"\n[database]\npath = "kener.db"\n[ingest]\ntoken_rate = 0\n'
    config.write_text(f"{head}{monitors}{checks}")
    if resolver is not None:
        serving = _with_resolver(folder, config, resolver)
    else:
        serving = ours(folder, config, tree=tree)
    with serving as server:
        yield server


@contextmanager
def _with_resolver(folder: Path, config: Path, resolver: Path) -> Iterator[Server]:
    """A server that sees another /etc/resolv.conf: by a mount of its own, which needs root."""
    script = folder / "serve"
    script.write_text(f'#!/bin/sh\nmount --bind {resolver} /etc/resolv.conf && exec "$@"\n')
    script.chmod(0o755)
    python, sys.executable = sys.executable, str(folder / "python")
    Path(sys.executable).write_text(f'#!/bin/sh\nexec unshare -m {script} {python} "$@"\n')
    Path(sys.executable).chmod(0o755)
    try:
        with ours(folder, config) as server:
            yield server
    finally:
        sys.executable = python


def _settle(*servers: Server, seconds: int = 20) -> None:
    for server in servers:
        server.fetch("/")
    time.sleep(seconds)


def figures_of(server: Server) -> Figures:
    """The figures of a server now."""
    delays, counters = {}, {}
    for line in server.fetch("/metrics").decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("kener_checks_delay_seconds_bucket"):
            limit = name.split('"')[1]
            delays[float(limit)] = float(value)
        elif name.startswith("kener_checks"):
            counters[name] = float(value)
    return Figures(delays, counters)


def _spent(plain: Server, checked: Server, seconds: int) -> tuple[float, Figures]:
    """The share of a core that the checks of one server take, and their figures."""
    before = figures_of(checked)
    cpu = checked.cpu_seconds - plain.cpu_seconds
    time.sleep(seconds)
    share = (checked.cpu_seconds - plain.cpu_seconds - cpu) / seconds
    return share, figures_of(checked).since(before)


@contextmanager
def _bare(found: Targets, paths: Sequence[str]) -> Iterator[int]:
    """The process id of bare aiohttp that makes the same GETs, on the same core at the same time."""
    command = [sys.executable, "-m", "benchmarks.bare_checks", str(found.http), str(TIMEOUT), *paths]
    process = subprocess.Popen(pinned(SERVER_CORE, *command), cwd=ROOT)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _rounds(processes: Sequence[int], seconds: int) -> list[list[float]]:
    """The shares of a core that processes take beside each other, in rounds of ROUND_SECONDS."""
    rounds = []
    for _ in range(max(1, seconds // ROUND_SECONDS)):
        began, before = time.monotonic(), [cpu_seconds(pid) for pid in processes]
        time.sleep(ROUND_SECONDS)
        lasted = time.monotonic() - began
        rounds.append([(cpu_seconds(pid) - one) / lasted for pid, one in zip(processes, before, strict=True)])
    return rounds


def _paced(server: Server, seconds: int, pause: int) -> Round:
    """Reports by 32 connections that rest so many milliseconds after each answer."""
    return wrk(server, "now", 1000, seconds, pause_ms=pause)


@contextmanager
def _visitors(server: Server, seconds: int) -> Iterator[None]:
    """32 visitors that look at a page each second."""
    command = load(server, seconds, PAGES, ("--pause", "1000", "/"), {})
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.wait()


def _pages(server: Server, seconds: int) -> Round:
    output = subprocess.run(
        load(server, max(5, seconds), PAGES, ("--pause", "100", "/"), {}, connections=4),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return read_round(output, Usage())


def _p95_of(server: Server, seconds: int) -> float:
    """The p95 of the latencies of the last minutes, in ms."""
    if seconds == 61:
        time.sleep(61)
    with closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT latency FROM samples WHERE source = 1 AND minute >= ? AND minute < ?",
            (int(time.time()) - seconds - 60, int(time.time()) - 60),
        ).fetchall()
    latencies = [float(latency) / 1000 for (latency,) in rows]
    return quantiles(latencies, n=20)[-1]


def _not_up(server: Server) -> int:
    with closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM check_faults").fetchone()
    return int(count)


if __name__ == "__main__":
    sys.exit(main())
