"""Parents that this server checks: they are looked at before anybody is told of a monitor that needs them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from kener_async.clock import Stopwatch
from kener_async.domain.calendar import MINUTE
from kener_async.domain.errors import Invalid, Unavailable

PATIENCE = 10.0  # seconds that an opening waits for the runs of its parents


class CheckRunner(Protocol):
    """The checks of this server (worker/checks.py)."""

    def has(self, tag: str) -> bool: ...

    def last_began(self, tag: str) -> float | None: ...

    def is_failing(self, tag: str) -> bool: ...

    async def run_now(self, tag: str) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class ParentWait:
    """Runs of parents that were asked for at once, and until when they are waited for.

    `since` is the minute in which the streak began that waits.
    """

    since: int
    runs: Sequence["asyncio.Task[None]"]
    until: float  # by the monotonic clock

    def is_over(self, now: float) -> bool:
        return now >= self.until or all(run.done() for run in self.runs)


class ParentChecks:
    """Check the parents of monitors. `on_result` is called when a run has ended that was waited for."""

    def __init__(self, checks: CheckRunner, monotonic: Stopwatch, on_result: Callable[[], None]) -> None:
        self._checks = checks
        self._monotonic = monotonic
        self._on_result = on_result
        self._waits: dict[int, ParentWait] = {}  # by the monitor whose alert would open

    def must_wait(self, monitor: int, parents: Mapping[str, bool], since: int) -> bool:
        """Whether an opening must wait for its parents; their runs are begun when it is first asked.

        `parents` are their tags, and whether each is measured bad. Those of which the last run began after
        the minute `since`, in which the streak began, and that are good, have been looked at already.
        """
        wait = self._waits.get(monitor)
        if wait is None or wait.since < since:  # that of an earlier streak says nothing
            due = [tag for tag, is_bad in parents.items() if self._is_due(tag, since, is_bad=is_bad)]
            wait = ParentWait(since, [self._begin(tag) for tag in due], self._monotonic() + PATIENCE)
            self._waits[monitor] = wait
        return not wait.is_over(self._monotonic())

    def is_waiting(self, monitor: int) -> bool:
        """Whether an opening of the monitor waits for its parents."""
        wait = self._waits.get(monitor)
        return wait is not None and not wait.is_over(self._monotonic())

    def forget(self, monitor: int) -> None:
        """Forget that an opening waited: it has been decided, or would not happen any more."""
        self._waits.pop(monitor, None)

    def is_failing(self, tag: str) -> bool:
        """Whether a run of a parent is under way whose newest attempt was bad."""
        return self._checks.is_failing(tag)

    def _is_due(self, tag: str, since: int, *, is_bad: bool) -> bool:
        if not self._checks.has(tag):
            return False
        began = self._checks.last_began(tag)
        return is_bad or began is None or began < since + MINUTE

    def _begin(self, tag: str) -> "asyncio.Task[None]":
        return asyncio.create_task(self._run(tag), name=f"check of the parent {tag}")

    async def _run(self, tag: str) -> None:
        with suppress(Invalid, Unavailable):  # its check is gone, or the service stops
            await self._checks.run_now(tag)
        self._on_result()
