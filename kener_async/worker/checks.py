"""The checks of this server: begin each run when it is due, try again what failed, and record the verdict.

One heap holds what is due next of all checks: a run, or the retry of one. Between two attempts a run has no
task. A run that is under way when the service stops, or when its check changes, is forgotten.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Protocol

import structlog

from kener_async.clock import Stopwatch
from kener_async.domain.check_times import CheckTimes, check_times
from kener_async.domain.checks import Attempt, Obstacle, SeenCertificate, is_over, verdict
from kener_async.domain.errors import Invalid, Unavailable
from kener_async.domain.samples import Sample, SampleSource
from kener_async.domain.states import MonitorStates
from kener_async.metrics import Metrics
from kener_async.probes.settings import CheckSettings
from kener_async.worker.check_obstacles import Obstacles
from kener_async.worker.check_records import CheckRecords

log = structlog.get_logger(__name__)

KEPT_ATTEMPTS = 20  # of each check, in memory
EARLY = 0.0005  # seconds by which a timer may fire too soon
LATENCY_DIGITS = 6  # more would not be stored as an integer
MAX_AT_ONCE = 256


class Prober(Protocol):
    """Makes attempts."""

    async def attempt(self, check: CheckSettings, at: float) -> Attempt:
        """One attempt, begun at the instant `at` (UTC seconds)."""
        ...

    def keep_only(self, tags: Container[str]) -> None:
        """Drop what is kept of monitors that have no check any more."""
        ...

    async def close(self) -> None:
        """Close what attempts are made with, after the last."""
        ...


class Guard(Protocol):
    """Tells failures of targets from our own being offline (worker/witnesses.py)."""

    async def judge(self, attempt: Attempt) -> Attempt:
        """The attempt, or that it was not measured."""
        ...

    async def close(self) -> None:
        """Stop, after the last attempt."""
        ...


@dataclass(slots=True)
class CheckRun:
    """A run under way. `waiting` are those that asked for it; `is_trying`: an attempt is under way.

    `planned` is the number of the retry that is due, 0 while none is.
    """

    attempts: list[Attempt] = field(default_factory=list)
    planned: int = 0
    waiting: list["asyncio.Future[list[Attempt]]"] = field(default_factory=list)
    is_trying: bool = False


class ScheduledCheck:
    """A check in force: when it is due, its run under way, and what its last attempts saw."""

    __slots__ = ("attempts", "certificates", "last_began", "run", "settings", "times")

    def __init__(self, settings: CheckSettings, times: CheckTimes) -> None:
        self.settings = settings
        self.times = times
        self.run: CheckRun | None = None
        self.attempts: deque[Attempt] = deque(maxlen=KEPT_ATTEMPTS)
        self.certificates: tuple[SeenCertificate, ...] = ()
        self.last_began: float | None = None  # the last run, in UTC seconds

    def keep(self, attempt: Attempt) -> None:
        """Keep an attempt; its certificates only once, because they are the same each minute."""
        if attempt.certificates:
            if attempt.certificates != self.certificates:
                self.certificates = attempt.certificates
            attempt = replace(attempt, certificates=())
        self.attempts.append(attempt)


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """Something that is due at an instant of the monotonic clock: a run of a check, or the retry of `run`."""

    at: float
    number: int  # in which order they were planned
    check: ScheduledCheck = field(compare=False)
    run: CheckRun | None = field(compare=False, default=None)


class Checks:
    """Run the checks of a configuration."""

    def __init__(
        self,
        states: MonitorStates,
        prober: Prober,
        guard: Guard,
        records: CheckRecords,
        stopwatch: Stopwatch,
        monotonic: Stopwatch,
        metrics: Metrics,
    ) -> None:
        self._states = states
        self._prober = prober
        self._guard = guard
        self._records = records
        self._stopwatch = stopwatch
        self._monotonic = monotonic
        self._metrics = metrics
        self._obstacles = Obstacles()
        self._checks: dict[str, ScheduledCheck] = {}
        self._heap: list[Due] = []
        self._planned = 0
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._at_once = MAX_AT_ONCE
        self._ahead = stopwatch() - monotonic()  # UTC seconds before the monotonic clock, at the start
        self._tasks: dict[asyncio.Task[None], ScheduledCheck] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_running = False

    # Configuration

    def configure(self, checks: Sequence[CheckSettings], max_at_once: int = MAX_AT_ONCE) -> None:
        """Put checks in force. Those that have not changed keep their due time and their run."""
        if max_at_once != self._at_once:
            self._slots, self._at_once = asyncio.Semaphore(max_at_once), max_at_once
        before, self._checks = self._checks, {}
        for settings in checks:
            kept = before.get(settings.tag)
            if kept is not None and kept.settings == settings:
                self._checks[settings.tag] = before.pop(settings.tag)
            else:
                self._checks[settings.tag] = check = self._scheduled(settings, kept)
                self._plan_next(check)
        for gone in before.values():
            self._forget(gone)
        self._obstacles.keep_only(self._checks)
        self._prober.keep_only(self._checks)
        self._heap = [due for due in self._heap if self._is_in_force(due.check)]
        self._heap.sort()  # a sorted list is a heap
        self._arm()

    def _scheduled(self, settings: CheckSettings, before: ScheduledCheck | None) -> ScheduledCheck:
        timing = settings.timing
        ahead = self._ahead if timing.cron is None else self._stopwatch() - self._monotonic()
        check = ScheduledCheck(settings, check_times(settings.tag, timing.every, timing.cron, ahead))
        if before is not None and before.settings.target == settings.target:
            check.attempts, check.certificates = before.attempts, before.certificates
        return check

    def reanchor(self) -> None:
        """Plan the runs of cron expressions anew, because the wall clock stepped; it moves no others."""
        moved = [check for check in self._checks.values() if check.settings.timing.cron is not None]
        ahead = self._stopwatch() - self._monotonic()
        for check in moved:
            settings = check.settings
            check.times = check_times(settings.tag, settings.timing.every, settings.timing.cron, ahead)
        self._heap = [due for due in self._heap if due.run is not None or due.check not in moved]
        self._heap.sort()
        for check in moved:
            self._plan_next(check)
        self._arm()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Checks"]:
        """Begin runs when they are due until left; runs under way are then forgotten."""
        self._is_running = True
        self._arm()
        try:
            yield self
        finally:
            self._is_running = False
            self._arm()
            for check in self._checks.values():
                self._abandon(check)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._records.close()
            await self._guard.close()
            await self._prober.close()

    # Questions

    async def run_now(self, tag: str) -> list[Attempt]:
        """Run a check at once, or join its run under way; return the attempts when they are recorded.

        Raises Invalid for a monitor without a check, and Unavailable if the run was forgotten.
        """
        check = self._checks.get(tag)
        if check is None:
            raise Invalid("the monitor has no check")
        if not self._is_running:
            raise Unavailable("the service is starting or stopping")
        future = asyncio.get_running_loop().create_future()
        run = check.run
        if run is None:
            run = self._begin(check, self._monotonic())
        elif not run.is_trying:  # it waits for a retry
            self._try(check, run, self._monotonic())
        run.waiting.append(future)
        attempts: list[Attempt] = await future
        await self._records.flushed()
        return attempts

    def last_attempts(self, tag: str) -> Sequence[Attempt]:
        """The last attempts of a monitor's check, oldest first; none without a check."""
        check = self._checks.get(tag)
        return () if check is None else tuple(check.attempts)

    def certificates(self, tag: str) -> Sequence[SeenCertificate]:
        """The chain that the target sent last, its own certificate first; none was seen: empty."""
        check = self._checks.get(tag)
        return () if check is None else check.certificates

    def not_measured(self, tag: str) -> str:
        """Why the last attempt of a monitor's check could not be measured; empty if it was."""
        return self._obstacles.reason(tag)

    def last_began(self, tag: str) -> float | None:
        """When the last run of a monitor's check began, in UTC seconds; None: never, or it has no check."""
        check = self._checks.get(tag)
        return None if check is None else check.last_began

    def next_due(self, tag: str) -> float | None:
        """When the next run of a monitor's check begins, in UTC seconds; None: it has no check."""
        check = self._checks.get(tag)
        if check is None:
            return None
        now = self._monotonic()
        return self._stopwatch() + check.times.next_after(now) - now

    def has(self, tag: str) -> bool:
        """Whether the monitor has a check."""
        return tag in self._checks

    def is_failing(self, tag: str) -> bool:
        """Whether a run is under way of which the newest attempt was bad, and may be confirmed yet."""
        check = self._checks.get(tag)
        if check is None or check.run is None or not check.run.attempts:
            return False
        return bool(check.run.attempts[-1].status)

    # Due times

    def begin_due(self) -> None:
        """Begin what is due by now, and wait for the next."""
        now = self._monotonic()
        while self._is_running and self._heap and self._heap[0].at <= now + EARLY:
            due = heappop(self._heap)
            if not self._is_in_force(due.check):
                continue
            if due.run is None:
                self._begin_due(due, now)
            elif due.run is due.check.run and due.run.planned == due.number:
                self._try(due.check, due.run, due.at)
        self._arm()

    def _begin_due(self, due: Due, now: float) -> None:
        """Begin a run, unless the last one is under way or the next is due as well, as after a suspend."""
        check = due.check
        following = self._plan_next(check, max(now, due.at))
        if check.run is not None or check.times.next_after(due.at) < following:
            self._metrics.checks_skipped.inc()
        else:
            self._begin(check, due.at)

    def _plan_next(self, check: ScheduledCheck, after: float | None = None) -> float:
        at = check.times.next_after(self._monotonic() if after is None else after)
        self._plan(at, check)
        return at

    def _plan(self, at: float, check: ScheduledCheck, run: CheckRun | None = None) -> None:
        self._planned += 1
        if run is not None:
            run.planned = self._planned
        heappush(self._heap, Due(at, self._planned, check, run))

    def _arm(self) -> None:
        """Set the timer for what is due next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_running and self._heap:
            delay = max(0.0, self._heap[0].at - self._monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self.begin_due)

    def _is_in_force(self, check: ScheduledCheck) -> bool:
        return self._checks.get(check.settings.tag) is check

    # Runs

    def _begin(self, check: ScheduledCheck, due_at: float) -> CheckRun:
        check.run = run = CheckRun()
        check.last_began = self._stopwatch()
        self._try(check, run, due_at)
        return run

    def _try(self, check: ScheduledCheck, run: CheckRun, due_at: float) -> None:
        run.is_trying, run.planned = True, 0
        task = asyncio.create_task(self._attempt(check, run, due_at), name=f"check of {check.settings.tag}")
        self._tasks[task] = check
        task.add_done_callback(self._tasks.pop)

    async def _attempt(self, check: ScheduledCheck, run: CheckRun, due_at: float) -> None:
        """Make an attempt, once there is a free slot, and what follows from it."""
        async with self._slots:
            self._metrics.check_delay.observe(max(0.0, self._monotonic() - due_at))
            self._metrics.checks_under_way.inc()
            try:
                attempt = await self._look(check.settings)
            finally:
                self._metrics.checks_under_way.dec()
        attempt = await self._judged(check.settings, attempt)
        if check.run is not run:  # forgotten meanwhile
            return
        run.is_trying = False
        run.attempts.append(attempt)
        self._note(check, attempt)
        if is_over(run.attempts, check.settings.timing.retries):
            self._end(check, run)
        else:
            self._plan(self._monotonic() + check.settings.timing.retry_every, check, run)
            self._arm()

    async def _look(self, settings: CheckSettings) -> Attempt:
        at = self._stopwatch()
        try:
            return await self._prober.attempt(settings, at)
        except Exception as error:
            if not self._obstacles.reason(settings.tag):  # once, not at each run
                log.exception("a check failed by a defect", monitor=settings.tag)
            return Attempt(at, None, reason=f"a defect: {type(error).__name__}", obstacle=Obstacle.DEFECT)

    async def _judged(self, settings: CheckSettings, attempt: Attempt) -> Attempt:
        """The attempt as the guard judges it; by a defect of the guard the run must not stay under way."""
        try:
            return await self._guard.judge(attempt)
        except Exception:
            log.exception("the offline guard failed by a defect", monitor=settings.tag)
            return attempt

    def _note(self, check: ScheduledCheck, attempt: Attempt) -> None:
        """Keep an attempt, as an explanation."""
        tag = check.settings.tag
        check.keep(attempt)
        is_news = self._obstacles.note(tag, attempt)
        if attempt.obstacle is not None:
            self._metrics.checks_not_measured.labels(attempt.obstacle.value).inc()
        state = self._states.find(tag)
        if state is None:
            return
        if attempt.status or (attempt.status is None and is_news):
            self._records.add_fault(state.id, attempt)
        if attempt.certificates:
            self._records.add_certificates(state.id, attempt.certificates)

    def _end(self, check: ScheduledCheck, run: CheckRun) -> None:
        """Record the verdict of a run."""
        check.run = None
        minutes = verdict(run.attempts)
        if minutes:
            settings = check.settings
            measured = [attempt.status for attempt in run.attempts if attempt.status is not None]
            self._metrics.check_ended(measured[-1])
            state = self._states.find(settings.tag)
            if state is not None:
                scale = 1000 if settings.in_milliseconds else 1
                digits = LATENCY_DIGITS - 3 if settings.in_milliseconds else LATENCY_DIGITS
                self._records.add_samples(
                    [
                        Sample(state.id, minute, status, round(seconds * scale, digits), SampleSource.CHECK)
                        for minute, status, seconds in minutes
                    ]
                )
        for future in run.waiting:
            if not future.done():
                future.set_result(run.attempts)

    def _forget(self, check: ScheduledCheck) -> None:
        """Forget a check that is gone or has changed, with its run."""
        self._abandon(check)
        for task, owner in self._tasks.items():
            if owner is check:
                task.cancel()

    def _abandon(self, check: ScheduledCheck) -> None:
        run, check.run = check.run, None
        for future in () if run is None else run.waiting:
            if not future.done():
                future.set_exception(Unavailable("the run was given up: its check changed or ended"))
