"""The sealing job: pack the samples of days that are over, a short transaction at a time."""

import structlog

from kener_async.clock import Clock
from kener_async.store import sealing
from kener_async.store.interface import Database
from kener_async.store.packing import DamagedDay
from kener_async.worker.stop import StopToken

log = structlog.get_logger(__name__)

DAYS_AT_ONCE = 6  # of a monitor: 15 to 20 ms, in which heartbeats wait
PAUSE_SECONDS = 0.05  # between two turns, for heartbeats


async def seal_days(database: Database, clock: Clock, stop: StopToken) -> None:
    """Seal all that is due; a stop leaves the rest to the next run, and so does a damaged day.

    After an upgrade from a release that sealed nothing this is its whole history.
    """
    turns = 0
    try:
        while not stop.is_set and await database.write(sealing.seal_turn, clock(), DAYS_AT_ONCE):
            turns += 1
            await stop.sleep(PAUSE_SECONDS)
    except DamagedDay as error:
        log.error("a day cannot be sealed", reason=str(error))
    if turns:
        log.info("sealed the days that are over", turns=turns, is_complete=not stop.is_set)
