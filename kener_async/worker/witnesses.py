"""The offline guard: ask witnesses, when a check fails by the network, whether this server is cut off itself.

While none of them answers nothing that failed by the network is believed, and the span is an observer gap.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from math import inf

import structlog

from kener_async.clock import Stopwatch
from kener_async.domain.calendar import MINUTE, minute_of
from kener_async.domain.checks import Attempt, Obstacle
from kener_async.domain.errors import Unavailable
from kener_async.domain.heartbeats import Gap, GapKind
from kener_async.domain.states import MonitorStates
from kener_async.store import observer
from kener_async.store.interface import Database

log = structlog.get_logger(__name__)

PACE = 5.0  # seconds: the witnesses are asked once in this time at most
PATIENCE = 3.0  # seconds in which one of them must answer
OFFLINE = "this server is offline: no witness answers"

Witness = tuple[str, int]  # host and port
Ask = Callable[[str, int], Awaitable[None]]  # raises what kept the witness from answering


class OfflineGuard:
    """Tell failures of targets from our own being offline. Without witnesses nothing is ever asked."""

    def __init__(
        self,
        database: Database,
        states: MonitorStates,
        ask: Ask,
        stopwatch: Stopwatch,
        monotonic: Stopwatch,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._states = states
        self._ask = ask
        self._stopwatch = stopwatch
        self._monotonic = monotonic
        self._sleep = sleep
        self._witnesses: Sequence[Witness] = ()
        self._asked_at = -inf  # by the monotonic clock
        self._online_at = -inf  # when a witness last answered, in UTC seconds
        self._next: asyncio.Task[bool] | None = None  # the next round, until it asks
        self._earliest = inf  # when the first of the attempts began that wait for it
        self._tasks: set[asyncio.Task[bool]] = set()
        self._gap: Gap | None = None  # while offline, as far as it is stored

    def configure(self, witnesses: Sequence[Witness]) -> None:
        """Put witnesses in force; without any, what is under way is believed again."""
        self._witnesses = tuple(witnesses)

    @property
    def is_offline(self) -> bool:
        return self._gap is not None

    async def judge(self, attempt: Attempt) -> Attempt:
        """The attempt, or that it was not measured, because we are offline.

        Only an answer that was asked for after the failure counts, so this may take up to 8 seconds.
        """
        may_be_ours = attempt.is_network or attempt.obstacle is Obstacle.NAMES
        if not self._witnesses or not may_be_ours or await self._is_online(attempt.at):
            return attempt
        return replace(attempt, status=None, reason=OFFLINE, obstacle=Obstacle.OFFLINE, is_network=False)

    async def close(self) -> None:
        """Stop asking; a gap ends now."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end_gap()

    async def _is_online(self, began: float) -> bool:
        self._earliest = min(self._earliest, began)
        return await asyncio.shield(self._next_round())

    def _next_round(self) -> "asyncio.Task[bool]":
        """The round that has not asked yet: it is the first that says something about a failure of now."""
        if self._next is None:
            self._next = task = asyncio.create_task(self._round(), name="witnesses")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return self._next

    async def _round(self) -> bool:
        """Ask all witnesses, as soon as allowed; whether one answers. While offline another follows."""
        await self._sleep(max(0.0, self._asked_at + PACE - self._monotonic()))
        self._next, earliest, self._earliest = None, self._earliest, inf
        self._asked_at = self._monotonic()
        is_online = not self._witnesses or await self._does_one_answer()
        if is_online:
            self._online_at = self._stopwatch()
            await self._end_gap()
        else:
            await self._extend_gap(max(earliest, self._online_at))
            self._next_round()
        return is_online

    async def _does_one_answer(self) -> bool:
        asked = [asyncio.ensure_future(self._ask(host, port)) for host, port in self._witnesses]
        waiting = set(asked)
        try:
            async with asyncio.timeout(PATIENCE):
                while waiting:
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    if any(task.exception() is None for task in done):
                        return True
        except TimeoutError:
            return False
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return False

    async def _extend_gap(self, began: float) -> None:
        """Let the gap reach into this minute: statuses are known to the minute, so more is not stored."""
        now = int(self._stopwatch())
        if self._gap is None:
            log.warning("this server is offline: nothing is measured until a witness answers")
            start = int(min(began, now))
            await self._store(Gap(start, now + 1, GapKind.OFFLINE))
        elif self._gap.end <= minute_of(now):
            await self._store(replace(self._gap, end=now + 1))

    async def _end_gap(self) -> None:
        if self._gap is None:
            return
        now = int(self._stopwatch())
        log.warning("this server is online again", seconds=now - self._gap.start)
        await self._store(replace(self._gap, end=max(now, self._gap.start + 1)))
        self._gap = None

    async def _store(self, gap: Gap) -> None:
        try:
            await self._database.write(observer.save_offline, gap)
            self._states.mark_stale()
        except Unavailable:
            gap = replace(gap, end=gap.end - MINUTE)  # logged by the store; the next round stores it again
        self._gap = gap
