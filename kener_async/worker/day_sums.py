"""Day sums: store the sums of the days that are over, in short transactions of their own."""

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from kener_async.clock import Clock
from kener_async.domain.calendar import day_of, day_start
from kener_async.domain.states import MonitorStates
from kener_async.store import day_sums
from kener_async.store.interface import Database
from kener_async.store.rollups import CountedSpan
from kener_async.worker.stop import NEVER, StopToken

READ_AT_ONCE = 20  # monitors
TURN_SECONDS = 0.005  # the longest a transaction that stores sums may delay heartbeats
PAUSE_SECONDS = 0.05  # between two of them, and between two reads of what lacks


class DaySums:
    """Store the sums that lack: of the day that ended, and of days of which quarters were counted again.

    Readers do without them, so that none waits for these transactions.
    """

    def __init__(self, database: Database, states: MonitorStates, clock: Clock) -> None:
        self._database = database
        self._states = states
        self._clock = clock
        self._zone: ZoneInfo | None = None
        self._until = 0  # the end of the last day that is over
        self._complete: set[int] = set()  # monitors of which no sum lacks until then

    def note_counted(self, spans: Iterable[CountedSpan]) -> None:
        """Note that quarters were counted again, so that the sums of their days are gone."""
        self._complete.difference_update({monitor for monitor, start, _ in spans if start < self._until})

    async def store(self, zone: ZoneInfo, stop: StopToken = NEVER) -> None:
        """The scheduled job: store what lacks of the days of a zone; raises Unavailable."""
        now = self._clock()
        until = day_start(day_of(now, zone), zone)
        if (zone, until) != (self._zone, self._until):
            self._zone, self._until = zone, until
            self._complete.clear()
        due = [state.id for state in self._states if state.id not in self._complete]
        for first in range(0, len(due), READ_AT_ONCE):
            if first:
                await stop.sleep(PAUSE_SECONDS)
            if stop.is_set:
                return
            await self._store_some(due[first : first + READ_AT_ONCE], zone, now, stop)

    async def _store_some(self, monitors: Sequence[int], zone: ZoneInfo, now: int, stop: StopToken) -> None:
        # Before they are read, so that what is counted meanwhile is noted.
        self._complete.update(monitors)
        left = monitors
        try:
            left = await self._database.read(day_sums.lacking, monitors, zone, now)
            while left and not stop.is_set:
                left = await self._database.write_now(day_sums.store_for, TURN_SECONDS, left, zone, now)
                if left:
                    await stop.sleep(PAUSE_SECONDS)
        finally:
            self._complete.difference_update(left)
