"""Checks on a clock that tests set: a target whose outcomes are listed, and what was recorded of it."""

import asyncio
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kener_async.domain.checks import Attempt, CheckTiming, Obstacle, SeenCertificate
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.samples import Sample, Status
from kener_async.domain.states import MonitorStates
from kener_async.metrics import Metrics
from kener_async.probes.settings import CheckSettings, HttpTarget
from kener_async.worker.checks import Checks
from tests.rigs.service import NOON


def a_check(tag: str, *, url: str = "http://target.test/", **timing: Any) -> CheckSettings:
    """A check of a minute without retries, unless said otherwise."""
    plain: dict[str, Any] = {"every": 60, "timeout": 10.0, "retries": 0}
    return CheckSettings(tag, HttpTarget(url), CheckTiming(**(plain | timing)))


class FakeTime:
    """The wall clock and the monotonic clock, which tests move; only a step moves them apart."""

    def __init__(self) -> None:
        self.now = 1000.0  # monotonic
        self.wall = float(NOON)

    def monotonic(self) -> float:
        return self.now

    def stopwatch(self) -> float:
        return self.wall

    def clock(self) -> int:
        return int(self.wall)

    def step(self, seconds: float) -> None:
        """Set the wall clock."""
        self.wall += seconds


Outcome = Status | Obstacle


class FakeProber:
    """A Prober (worker/checks.py) whose attempts end at once, or, of tags in `held`, when they are released.

    Each tag's outcomes come one after the other; then it is UP.
    """

    def __init__(self, time: FakeTime) -> None:
        self._time = time
        self.outcomes: dict[str, list[Outcome]] = {}
        self.begun: list[tuple[str, float]] = []  # tag and monotonic instant
        self.ended: list[tuple[str, Attempt]] = []
        self.under_way: dict[str, int] = {}
        self.most_at_once = 0
        self.held: dict[str, asyncio.Event] = {}

    def hold(self, *tags: str) -> None:
        self.held |= {tag: asyncio.Event() for tag in tags}

    def release(self, *tags: str) -> None:
        for tag in tags or tuple(self.held):
            self.held.pop(tag).set()

    def answer(self, tag: str, *outcomes: Outcome) -> None:
        self.outcomes[tag] = list(outcomes)

    async def attempt(self, check: CheckSettings, at: float) -> Attempt:
        self.begun.append((check.tag, self._time.now))
        self.under_way[check.tag] = self.under_way.get(check.tag, 0) + 1
        assert self.under_way[check.tag] == 1, "a monitor is looked at twice at once"
        self.most_at_once = max(self.most_at_once, sum(self.under_way.values()))
        try:
            if check.tag in self.held:
                await self.held[check.tag].wait()
        finally:
            self.under_way[check.tag] -= 1
        listed = self.outcomes.get(check.tag)
        attempt = outcome_of(listed.pop(0) if listed else Status.UP, at)
        self.ended.append((check.tag, attempt))
        return attempt

    def keep_only(self, tags: Container[str]) -> None:
        return

    async def close(self) -> None:
        return


class NoGuard:
    """A Guard (worker/checks.py) without witnesses."""

    async def judge(self, attempt: Attempt) -> Attempt:
        return attempt

    async def close(self) -> None:
        return


def outcome_of(outcome: Outcome, at: float) -> Attempt:
    if isinstance(outcome, Obstacle):
        return Attempt(at, None, reason=f"no {outcome}", obstacle=outcome)
    reason = "" if outcome is Status.UP else f"it is {outcome.name}"
    return Attempt(at, outcome, seconds=0.25, reason=reason, is_network=outcome is Status.DOWN)


@dataclass
class FakeRecords:
    """What was recorded (worker/check_records.py)."""

    runs: list[Sequence[Sample]] = field(default_factory=list)
    faults: list[tuple[int, Attempt]] = field(default_factory=list)
    chains: list[tuple[int, Sequence[SeenCertificate]]] = field(default_factory=list)
    is_closed: bool = False

    def add_samples(self, samples: Sequence[Sample]) -> None:
        assert not self.is_closed
        self.runs.append(samples)

    def add_fault(self, monitor: int, attempt: Attempt) -> None:
        self.faults.append((monitor, attempt))

    def add_certificates(self, monitor: int, chain: Sequence[SeenCertificate]) -> None:
        self.chains.append((monitor, chain))

    async def flushed(self) -> None:
        return

    async def close(self) -> None:
        self.is_closed = True


class Bench:
    """Checks with a fake target, on a clock that stands still until `pass_time`."""

    def __init__(self, tags: Iterable[str]) -> None:
        self.time = FakeTime()
        self.prober = FakeProber(self.time)
        self.records = FakeRecords()
        self.metrics = Metrics()
        self.states = MonitorStates()
        self.ids = {tag: number for number, tag in enumerate(tags, start=1)}
        settings: Mapping[str, MonitorSettings] = dict.fromkeys(self.ids, MonitorSettings())
        self.states.configure(self.ids, settings, NOON)
        records: Any = self.records
        self.checks = Checks(
            self.states,
            self.prober,
            NoGuard(),
            records,
            self.time.stopwatch,
            self.time.monotonic,
            self.metrics,
        )

    async def settle(self) -> None:
        """Let everything run that can."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass, and begin what becomes due on the way."""
        end = self.time.now + seconds
        while self.time.now < end:
            moved = min(step, end - self.time.now)
            self.time.now += moved
            self.time.wall += moved
            self.checks.begin_due()
            await self.settle()

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    @property
    def said(self) -> list[tuple[int, int, Status]]:
        """The samples as monitor, seconds after NOON and status."""
        return [(one.monitor, one.minute - NOON, one.status) for run in self.records.runs for one in run]
