"""Scheduled jobs that keep the database in order."""

import asyncio
from collections.abc import Callable

import structlog

from kener_async.clock import Clock
from kener_async.domain.calendar import DAY
from kener_async.domain.states import MonitorStates
from kener_async.store import devices, incidents, observer, retention
from kener_async.store.interface import Database

log = structlog.get_logger(__name__)

ROWS_AT_ONCE = 1000
MONITORS_AT_ONCE = 100
TRUSTED_AFTER = DAY


async def close_ended(database: Database, states: MonitorStates, clock: Clock) -> None:
    """Close the incidents whose end has passed."""
    now = clock()
    if await database.read(incidents.ended, now=now):
        for number in await database.write(incidents.close_ended, now=now):
            states.note_incident_change()
            log.info("incident closed at its end", number=number)


async def drop_old(database: Database, states: MonitorStates, clock: Clock, keep: Callable[[], int]) -> None:
    """Drop what is older than `keep()` seconds, in steps so short that no heartbeat waits behind one.

    After a gap nothing is dropped for a day: it may have been a clock set forward by mistake, and what is
    dropped does not come back.
    """
    now = clock()
    gap_end = await database.read(observer.last_gap_end)
    if gap_end is not None and now < gap_end + TRUSTED_AFTER:
        return
    instant = now - keep()
    monitors = await database.write(retention.keep_from, instant=instant)
    states.note_kept_from(await database.read(observer.kept_from))
    while monitors:
        some = monitors[:MONITORS_AT_ONCE]
        if not await database.write(retention.delete_before, some, instant, ROWS_AT_ONCE):
            del monitors[:MONITORS_AT_ONCE]
        await asyncio.sleep(0.05)


async def forget_devices(database: Database, clock: Clock, ages: Callable[[], tuple[int, int]]) -> None:
    """Drop what devices are remembered for and no batch can ask for any more."""
    accepted, kept = ages()
    now = clock()
    await database.write(devices.expire, claims_before=now - accepted - DAY, silent_since=now - kept)
