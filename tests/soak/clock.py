"""Step the wall clock of a running server: it must not stall, and must not call a monitor DOWN that reported.

    python -m tests.soak.clock

The clock is libfaketime's (Debian: faketime), which does not change the monotonic clock; neither does a time
server or a resumed machine. At the end the rig tests itself: a monitor that stops reporting while the clock
advances in small steps must become DOWN, and a stopped server must be measured as a stall.
"""

import argparse
import asyncio
import contextlib
import re
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.rigs.process import Client, Server, a_config, connected

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)
HOUR, DAY = 3600, 86400
STEPS = (-HOUR, 0, -DAY, 0, HOUR, 0, DAY, 0, 30 * DAY, 0, 365 * DAY, 0)
LONGEST_GAP = 0.25
JOBS_WITHIN = 15.0
AROUND = 20 * 60  # the seconds of history that are read on each side of a step
REPORTING = ("at-once", "in-between")
SILENT = "silent"
EXPECTATIONS = "".join(
    f'[[monitors]]\ntag = "{tag}"\n[monitors.heartbeat]\ninterval = 60\ngrace = 60\n{more}\n'
    for tag, more in (("at-once", ""), ("in-between", 'down_after = "10m"'), (SILENT, ""))
)
# Bugs on purpose, to prove that the rig sees them: a scheduler that is not told of a step, and an observer
# that takes a clock set forward for time in which it watched.
FAULTS = {
    "deaf": """
from kener_async.worker import schedule
assert schedule.Scheduler.reanchor
schedule.Scheduler.reanchor = lambda self: None
""",
    "blind": """
from kener_async.worker import observer
assert observer.gap_between
observer.gap_between = lambda last_seen, now: None
""",
}


def preload() -> Path | None:
    """libfaketime, where it is installed."""
    return next((Path(path) for path in LIBRARIES if Path(path).exists()), None)


@contextmanager
def tidied(server: Server) -> Iterator[None]:
    """Take away what libfaketime leaves behind of a killed process."""
    try:
        yield
    finally:
        server.kill()
        for name in ("faketime_shm", "sem.faketime_sem"):
            Path(f"/dev/shm/{name}_{server.pid}").unlink(missing_ok=True)


class FakedClock:
    """The wall clock of one process."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.offset = 0
        self.step_to(0)

    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(preload()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Without it a thread that waits for the interpreter's lock spins, and the rig itself makes gaps.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def step_to(self, offset: int) -> None:
        """Set the clock to the true time plus the offset, at once."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{offset:+d}\n")
        draft.rename(self._file)
        self.offset = offset

    def now(self) -> int:
        return int(time.time()) + self.offset


class Ticker:
    """Asks for /healthz every 20 ms, in a thread of its own; its longest wait is the gap of the loop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._worst = 0.0
        self._done = threading.Event()

    def take_worst(self) -> float:
        """The worst since the last call, in seconds."""
        worst, self._worst = self._worst, 0.0
        return worst

    @contextmanager
    def running(self) -> Iterator["Ticker"]:
        thread = threading.Thread(target=self._tick)
        thread.start()
        try:
            yield self
        finally:
            self._done.set()
            thread.join()

    def _tick(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            while not self._done.is_set():
                began = time.monotonic()
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                if not connection.recv(65536):
                    raise ConnectionError("the server closed the connection")
                took = time.monotonic() - began
                self._worst = max(self._worst, took)
                self._done.wait(max(0.0, 0.02 - took))


@dataclass
class Step:
    offset: int
    by: int
    gap: float = 0.0
    jobs_after: float = 0.0  # seconds until every job had run; the wait is given up at some time
    rollups: int = 0  # runs while the clock stayed there
    grown: int = 0  # bytes
    false_alarms: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return (
            self.gap <= LONGEST_GAP
            and self.jobs_after <= JOBS_WITHIN
            and self.rollups >= 2
            and not self.false_alarms
        )

    def row(self) -> str:
        return (
            f"{_days(self.by):>8} {_days(self.offset):>8} {self.gap * 1000:8.0f} {self.jobs_after:8.1f} "
            f"{self.rollups:8} {self.grown / 2**20:8.1f} {len(self.false_alarms):8}"
            f"{'' if self.is_ok else '  FAILED'}"
        )


HEADING = "    step   offset   gap ms   jobs s  rollups   MB more   false"


@dataclass
class Report:
    quiet_gap: float = 0.0  # the worst before any step: what the machine itself does
    steps: list[Step] = field(default_factory=list)
    final_alarms: list[str] = field(default_factory=list)
    posts_refused: list[str] = field(default_factory=list)
    saw_silence: bool = False
    saw_stop: bool = False

    @property
    def is_ok(self) -> bool:
        return all(step.is_ok for step in self.steps) and not self.final_alarms and not self.posts_refused

    @property
    def is_proven(self) -> bool:
        """Whether the rig saw what was broken on purpose."""
        return self.saw_silence and self.saw_stop

    def __str__(self) -> str:
        lines = [f"worst gap before the first step: {self.quiet_gap * 1000:.0f} ms", HEADING]
        lines += [step.row() for step in self.steps]
        lines += [alarm for step in self.steps for alarm in step.false_alarms][:20]
        lines += [f"at the end: {alarm}" for alarm in self.final_alarms][:20]
        lines += [f"a report was not taken: {text}" for text in self.posts_refused][:20]
        lines.append(f"a silent monitor was seen DOWN: {self.saw_silence}; a stop was seen: {self.saw_stop}")
        return "\n".join(lines)


async def run(
    folder: Path, steps: Sequence[int] = STEPS, stay: float = 12, prove: bool = True, fault: str = ""
) -> Report:
    clock = FakedClock(folder)
    report = Report()
    config = a_config({"rollups": {"interval_seconds": 1}}, [], EXPECTATIONS)
    with Server(folder, config, fault=fault) as server, tidied(server):
        token = await asyncio.to_thread(server.mint, "--expires", "never")
        server.environment |= clock.environment()
        await asyncio.to_thread(server.start)
        rig = Rig(server, clock, token, report, stay)
        async with rig.reporting():
            with Ticker(server.port).running() as ticker:
                await rig.go_through(steps, ticker)
                if prove:
                    await rig.prove(ticker)
    return report


class Rig:
    def __init__(self, server: Server, clock: FakedClock, token: str, report: Report, stay: float) -> None:
        self.server = server
        self.clock = clock
        self.token = token
        self.report = report
        self.stay = stay
        self.silent: set[str] = set()

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """Every monitor reports UP each half second, by the server's time."""
        task = asyncio.create_task(self._report_on())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _report_on(self) -> None:
        async with connected(self.server.port, self.token) as client:
            while True:
                for tag in {*REPORTING, SILENT} - self.silent:
                    answer = await client.ask(
                        "POST", "/api/status", {"tag": tag, "status": "UP", "latency": 1}
                    )
                    if answer.status != 200:
                        self.report.posts_refused.append(f"{answer.status} {answer.body!r}")
                await asyncio.sleep(0.5)

    async def go_through(self, steps: Sequence[int], ticker: Ticker) -> None:
        async with connected(self.server.port, self.token) as client:
            await asyncio.sleep(3)
            self.report.quiet_gap = ticker.take_worst()
            edges = [self.clock.now()]
            for offset in steps:
                step = Step(offset, offset - self.clock.offset)
                edges += [self.clock.now(), self.clock.now() + step.by]
                self.report.steps.append(step)
                await self._take(client, step, ticker)
                step.false_alarms = await self._alarms(client, edges[-2:])
            self.report.final_alarms = await self._alarms(client, edges)

    async def _take(self, client: Client, step: Step, ticker: Ticker) -> None:
        size = self.server.resident_bytes()
        before = await _job_runs(client)
        ticker.take_worst()
        began = time.monotonic()
        self.clock.step_to(step.offset)
        waiting = True
        while waiting and time.monotonic() < began + JOBS_WITHIN + 1:
            await asyncio.sleep(0.1)
            after = await _job_runs(client)
            waiting = any(after[job] <= runs for job, runs in before.items())
        step.jobs_after = time.monotonic() - began
        await asyncio.sleep(self.stay)
        step.rollups = round((await _job_runs(client))["rollups"] - before["rollups"])
        step.gap = ticker.take_worst()
        step.grown = self.server.resident_bytes() - size

    async def _alarms(self, client: Client, edges: Sequence[int]) -> list[str]:
        """Every minute around the edges, and every present status, that is DOWN or DEGRADED."""
        alarms = {}
        for edge in sorted(set(edges)):
            start, end = edge - AROUND, min(edge + AROUND, self.clock.now())
            for tag in REPORTING if start < end else ():
                path = f"/api/monitors/{tag}/history?resolution=minute&from={start}&to={end}"
                for item in (await client.get(path))["items"]:
                    if item["status"] not in ("UP", "NO_DATA"):
                        alarms[tag, item["from"]] = (
                            f"{tag} {item['status']} at {item['from']} ({item['reason']})"
                        )
        listed = {monitor["tag"]: monitor["status"] for monitor in await client.get("/api/monitors")}
        current = [f"{tag} is {listed[tag]} now" for tag in REPORTING if listed[tag] != "UP"]
        return [*alarms.values(), *current]

    async def prove(self, ticker: Ticker) -> None:
        """One monitor falls silent, and the clock creeps ahead by steps too small to be a gap."""
        self.silent = {SILENT}
        async with connected(self.server.port, self.token) as client:
            for _ in range(6):
                self.clock.step_to(self.clock.offset + 50)
                await asyncio.sleep(2)
            listed = {monitor["tag"]: monitor["status"] for monitor in await client.get("/api/monitors")}
            self.report.saw_silence = listed[SILENT] == "DOWN"
            self.report.final_alarms += [
                f"{tag} is {listed[tag]}" for tag in REPORTING if listed[tag] != "UP"
            ]
        ticker.take_worst()
        self.server.send(signal.SIGSTOP)
        await asyncio.sleep(LONGEST_GAP * 2)
        self.server.send(signal.SIGCONT)
        await asyncio.sleep(1)
        self.report.saw_stop = ticker.take_worst() > LONGEST_GAP


async def _statuses(client: Client) -> dict[str, str]:
    return {monitor["tag"]: monitor["status"] for monitor in await client.get("/api/monitors")}


async def _job_runs(client: Client) -> dict[str, float]:
    text = (await client.ask("GET", "/metrics")).body.decode()
    return {job: float(runs) for job, runs in re.findall(r'kener_job_runs_total{job="([^"]+)"} (\S+)', text)}


def _days(seconds: int) -> str:
    return f"{seconds // DAY:+d} d" if seconds and seconds % DAY == 0 else f"{seconds // HOUR:+d} h"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--stay", type=float, default=12, help="seconds to stay after each step")
    parser.add_argument("--fault", choices=FAULTS, help="run a server with this bug, which must be seen")
    options = parser.parse_args()
    if preload() is None:
        print("libfaketime is missing")
        return 1
    with tempfile.TemporaryDirectory(prefix="kener-clock-") as folder:
        report = asyncio.run(run(Path(folder), stay=options.stay, fault=FAULTS.get(options.fault, "")))
    print(report)
    ok = report.is_ok and report.is_proven
    print("OK" if ok else "FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
