"""Checks and kill -9: a server is killed after each attempt of its runs, again and again.

A run that did not end must leave no minute, one that was answered all of its minutes, and one that ended
without an answer either. The runs begin before the end of a minute, so that their attempts lie in two.
"""

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from kener_async.domain.calendar import MINUTE
from tests.rigs.process import STATUSES, Refused, Server, Unanswered, a_config, connected, integrity
from tests.rigs.stored_samples import samples_in

AT_ONCE = 16  # monitors that are checked at the same time
RETRY_EVERY = 1  # seconds
REPEATED_WITHIN = 0.7  # seconds: the same attempt, which looks again after a stall of the loop
BEFORE_THE_MINUTE = 1.5  # seconds
LATE = 1.0  # seconds that a request may arrive after its attempt began
PAUSES = (0, 0, 0.01, 0.1, 0.7, 1.3)  # seconds from an answer to the kill; results are stored after 1

Minutes = Mapping[int, str]

CHECK = """
[[monitors]]
tag = "{tag}"
[monitors.check]
http = "http://127.0.0.1:{port}/{tag}"
cron = "0 0 1 1 *"
timeout = "5s"
retries = {retries}
retry_every = "{retry_every}s"
warn = ['not exists header "x-degraded"']
"""

# Bugs on purpose, to prove that the rig sees them: the first failure is believed, and one is forgotten.
FAULTS = {
    "hasty": """
from kener_async.worker import checks
is_over = checks.is_over
checks.is_over = lambda attempts, retries: is_over(attempts, 0)
""",
    "unconfirmed": """
from kener_async.worker import checks
note = checks.Checks._note
def hasty_note(self, check, attempt):
    note(self, check, attempt)
    state = self._states.find(check.settings.tag)
    if attempt.status:
        minutes = checks.verdict([attempt])
        source = checks.SampleSource.CHECK
        self._records.add_samples(
            [checks.Sample(state.id, each.minute, each.status, 0.1, source) for each in minutes]
        )
checks.Checks._note = hasty_note
""",
}


@dataclass
class Run:
    """A run of a monitor: what its target answers, when attempts came, and whether it was acknowledged."""

    outcomes: Sequence[str]
    arrived: list[float] = field(default_factory=list)  # UTC seconds
    newest: float = 0  # of the requests of the last attempt, monotonic
    is_acknowledged: bool = False

    @property
    def retries(self) -> int:
        return len(self.outcomes) - 1

    def next_outcome(self) -> str:
        now, before = time.monotonic(), self.newest
        self.newest = now
        if not self.arrived or now - before > REPEATED_WITHIN:
            self.arrived.append(time.time())
        return self.outcomes[min(len(self.arrived), len(self.outcomes)) - 1]

    @property
    def has_asked_for_all(self) -> bool:
        seen = self.outcomes[: len(self.arrived)]
        return "UP" in seen or len(seen) == len(self.outcomes)

    def fault(self, stored: Minutes) -> str:
        """What is wrong with the minutes that are stored."""
        if not stored:
            return "acknowledged, but not stored" if self.is_acknowledged else ""
        if not self.has_asked_for_all:
            return f"did not end, but {dict(stored)} is stored after {len(self.arrived)} attempts"
        return "" if any(stored == each for each in self._expected()) else f"{dict(stored)} is wrong"

    def _expected(self) -> list[Minutes]:
        """The minutes that may follow, by when the attempts may have begun."""
        seen = list(zip(self.arrived, self.outcomes, strict=False))
        if seen[-1][1] == "UP":
            seen = seen[-1:]
        starts = [sorted({_minute(at - LATE), _minute(at)}) for at, _ in seen]
        return [_worst(minutes, [status for _, status in seen]) for minutes in itertools.product(*starts)]


def _minute(at: float) -> int:
    return int(at) // MINUTE * MINUTE


def _worst(minutes: Sequence[int], statuses: Sequence[str]) -> Minutes:
    worst: dict[int, str] = {}
    for minute, status in zip(minutes, statuses, strict=True):
        worst[minute] = max(status, worst.get(minute, "UP"), key=STATUSES.index)
    return worst


@dataclass
class Report:
    seed: int
    kills: int = 0
    runs: int = 0
    ended: int = 0
    stored: int = 0
    faults: list[str] = field(default_factory=list)
    checks: set[str] = field(default_factory=set)

    @property
    def is_ok(self) -> bool:
        return not self.faults and self.checks == {"ok"} and self.stored > 0

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.kills} kills, {self.runs} runs, {self.ended} acknowledged, "
            f"{self.stored} with minutes, {len(self.faults)} faults; integrity: {' '.join(self.checks)}"
        )


@asynccontextmanager
async def targets(runs: Mapping[str, Run]) -> Any:
    """The port of a server that answers for all targets."""

    async def answer(request: web.Request) -> web.Response:
        outcome = runs[request.match_info["tag"]].next_outcome()
        headers = {"X-Degraded": "1"} if outcome == "DEGRADED" else {}
        return web.Response(status=500 if outcome == "DOWN" else 200, headers=headers)

    app = web.Application()
    app.router.add_get("/{tag}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def a_run(chance: random.Random) -> Run:
    """One of one to five attempts, of which most are bad."""
    return Run([chance.choice(("DOWN", "DOWN", "DEGRADED", "UP")) for _ in range(chance.randint(1, 5))])


async def run(folder: Path, kills: int, seed: int, *, is_aligned: bool = False, fault: str = "") -> Report:
    """Kill the server so often. `is_aligned`: the runs begin before the end of a minute."""
    chance, report = random.Random(seed), Report(seed)
    cycles = [{f"m{cycle}-{number}": a_run(chance) for number in range(AT_ONCE)} for cycle in range(kills)]
    runs = {tag: each for cycle in cycles for tag, each in cycle.items()}
    async with targets(runs) as port:
        tables = [
            CHECK.format(tag=tag, port=port, retries=each.retries, retry_every=RETRY_EVERY)
            for tag, each in runs.items()
        ]
        with Server(folder, a_config({}, (), "".join(tables)), fault=fault) as server:
            token = server.add_token(scopes=("admin",))
            await asyncio.to_thread(server.start)
            for number, cycle in enumerate(cycles):
                if is_aligned:
                    await asyncio.sleep((-BEFORE_THE_MINUTE - time.time()) % MINUTE)
                await _cycle(server, token, cycle, 1 + number % 5, chance.choice(PAUSES))
                report.kills += 1
                await asyncio.to_thread(server.start)
            await asyncio.sleep(1.5)  # so that what a start may do wrong is stored
            await asyncio.to_thread(server.kill)
            report.checks.add(integrity(server.database))
            _compare(server.database, runs, report)
    return report


async def _cycle(server: Server, token: str, runs: Mapping[str, Run], number: int, pause: float) -> None:
    """Begin the runs, and kill the server after an attempt of this number, or the last that was made."""
    tasks = [asyncio.create_task(_ask(server.port, token, tag, each)) for tag, each in runs.items()]
    while not all(each.done() for each in tasks):
        if any(len(each.arrived) >= number for each in runs.values()):
            break
        await asyncio.sleep(0.001)
    await asyncio.sleep(pause)
    await asyncio.to_thread(server.kill)
    await asyncio.gather(*tasks)


async def _ask(port: int, token: str, tag: str, run: Run) -> None:
    async with connected(port, token) as client:
        with suppress(Unanswered, Refused):
            answer = await client.ask("POST", f"/api/manage/monitors/{tag}/run")
            run.is_acknowledged = answer.status == 200 and answer.json()["isOver"]


def _compare(database: Path, runs: Mapping[str, Run], report: Report) -> None:
    found: dict[str, dict[int, str]] = {tag: {} for tag in runs}
    for sample in samples_in(database):
        found[sample.tag][sample.minute] = sample.status
    for tag, each in runs.items():
        report.runs += bool(each.arrived)
        report.ended += each.is_acknowledged
        report.stored += bool(found[tag])
        if fault := each.fault(found[tag]):
            report.faults.append(f"{tag}: {'-'.join(each.outcomes)}: {fault}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--prove", choices=FAULTS, help="with a bug on purpose")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kener-checks-") as folder:
        fault = FAULTS[options.prove] if options.prove else ""
        report = asyncio.run(run(Path(folder), options.kills, options.seed, is_aligned=True, fault=fault))
    print(report)
    for fault in report.faults:
        print(fault)
    print("OK" if report.is_ok else "FAILED")
    return 0 if report.is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
