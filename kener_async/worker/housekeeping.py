"""Scheduled jobs on the database: close ended incidents, drop what is old, check integrity, count alerts."""

from collections.abc import Callable, Collection

import structlog

from kener_async.clock import Clock
from kener_async.domain.calendar import DAY, MINUTE
from kener_async.domain.states import MonitorStates
from kener_async.identity.sessions import SEEN_EVERY
from kener_async.metrics import Metrics
from kener_async.store import (
    alerts,
    audit,
    certificates,
    challenges,
    channel_states,
    check_faults,
    deliveries,
    devices,
    incidents,
    invitations,
    observer,
    people,
    retention,
    sessions,
    submissions,
    tries,
)
from kener_async.store.interface import Database, Session
from kener_async.worker.stop import StopToken

log = structlog.get_logger(__name__)

ROWS_AT_ONCE = 1000
ALERTS_AT_ONCE = 100  # with their notices and deliveries
MONITORS_AT_ONCE = 100
PAUSE_SECONDS = 0.05  # between two steps, for heartbeats
TRUSTED_AFTER = DAY
TRIES_KEPT = DAY  # after the last failed sign-in; the waits between tries are minutes
CHECKED_EVERY = DAY
FIRST_CHECK_AFTER = 10 * MINUTE  # of integrity, after a start


async def close_ended(database: Database, states: MonitorStates, clock: Clock) -> None:
    """Close the incidents whose end has passed."""
    now = clock()
    if await database.read(incidents.ended, now=now):
        for number in await database.write(incidents.close_ended, now=now):
            states.note_incident_change()
            log.info("incident closed at its end", number=number)


async def drop_old(
    database: Database, states: MonitorStates, clock: Clock, keep: Callable[[], int], stop: StopToken
) -> None:
    """Drop samples older than `keep()` seconds, in transactions so short that heartbeats hardly wait.

    Nothing is dropped within a day after a gap: the clock may have been set forward by mistake, and dropped
    samples do not come back. A stop leaves the rest to the next run.
    """
    if not await _is_clock_trusted(database, clock):
        return
    instant = clock() - keep()
    monitors = await database.write(retention.keep_from, instant=instant)
    states.note_kept_from(await database.read(observer.kept_from))
    while monitors and not stop.is_set:
        some = monitors[:MONITORS_AT_ONCE]
        if not await database.write(retention.delete_before, some, instant, ROWS_AT_ONCE):
            del monitors[:MONITORS_AT_ONCE]
        await stop.sleep(PAUSE_SECONDS)


async def _is_clock_trusted(database: Database, clock: Clock) -> bool:
    gap_end = await database.read(observer.last_gap_end)
    return gap_end is None or clock() >= gap_end + TRUSTED_AFTER


async def forget_devices(database: Database, clock: Clock, ages: Callable[[], tuple[int, int]]) -> None:
    """Drop what is stored of devices and no batch can need any more."""
    accepted, kept = ages()
    now = clock()
    await database.write(devices.expire, claims_before=now - accepted - DAY, silent_since=now - kept)


async def count_alerts(
    database: Database, metrics: Metrics, channels: Callable[[], Collection[str] | None]
) -> None:
    """Count the open alerts, the waiting deliveries and the paused channels for the metrics.

    `channels()` are the names of those that are configured; None: there is no alerting.
    """
    names = channels()
    if names is None:
        return
    open_alerts = await database.read(alerts.count_open)
    waiting = await database.read(deliveries.count_waiting)
    states = await database.read(channel_states.all_states)
    paused = sum(states[name].paused_at is not None for name in names if name in states)
    metrics.note_alerts(open_alerts, waiting, paused)


async def drop_old_alerts(database: Database, clock: Clock, keep: Callable[[], int], stop: StopToken) -> None:
    """Drop alerts, notices and deliveries that have been done with for more than `keep()` seconds.

    What is open or waits stays. Short transactions, and none within a day after a gap, as in `drop_old`.
    """
    if not await _is_clock_trusted(database, clock):
        return
    instant = clock() - keep()
    while not stop.is_set and await database.write(retention.delete_alerts, instant, ALERTS_AT_ONCE):
        await stop.sleep(PAUSE_SECONDS)


async def drop_old_check_records(
    database: Database, clock: Clock, keep: Callable[[], int], stop: StopToken
) -> None:
    """Drop faults of checks, and certificates not seen any more, older than `keep()` seconds.

    Short transactions, and none within a day after a gap, as in `drop_old`.
    """
    if not await _is_clock_trusted(database, clock):
        return
    instant = clock() - keep()
    await database.write(certificates.delete_before, instant)
    while not stop.is_set and await database.write(check_faults.delete_before, instant, ROWS_AT_ONCE):
        await stop.sleep(PAUSE_SECONDS)


async def drop_old_audit(database: Database, clock: Clock, keep: Callable[[], int], stop: StopToken) -> None:
    """Drop rows of the audit log that are older than `keep()` seconds.

    Short transactions, and none within a day after a gap, as in `drop_old`.
    """
    if not await _is_clock_trusted(database, clock):
        return
    instant = clock() - keep()
    if not await database.read(audit.has_before, instant):
        return
    while not stop.is_set and await database.write(audit.delete_before, instant, ROWS_AT_ONCE):
        await stop.sleep(PAUSE_SECONDS)


async def drop_ended_sign_ins(
    database: Database, metrics: Metrics, clock: Clock, idle: Callable[[], int]
) -> None:
    """Drop what has ended of sign-ins, and count the sessions for the metrics; nothing without people.

    Dropped are sessions that ended or were not used for `idle()` seconds, steps of sign-ins under way,
    invitations, failed tries, and the one-time keys of forms.
    """
    if await database.read(people.exists):
        now = clock()
        metrics.sessions.set(await database.write(_drop_ended_sign_ins, now, now - idle()))


def _drop_ended_sign_ins(session: Session, now: int, seen_before: int) -> int:
    # The table has the last request of a session up to a minute late.
    sessions.drop_ended(session, seen_before - SEEN_EVERY, now)
    challenges.drop_ended(session, now)
    invitations.drop_ended(session, now)
    tries.drop_old(session, now - TRIES_KEPT)
    submissions.drop_old(session, now)
    return sessions.count(session, seen_before, now)


async def first_check_after(database: Database, clock: Clock) -> int:
    """How many seconds after a start the integrity of the large tables is first looked at.

    Not at once, because a check reads the whole file while the first visitors arrive. But where a service is
    restarted again and again before that, it is at most a day late.
    """
    passed_at = await database.read(observer.integrity_passed_at)
    is_overdue = passed_at is not None and clock() >= passed_at + 2 * CHECKED_EVERY
    return 0 if is_overdue else FIRST_CHECK_AFTER


async def check_integrity(database: Database, clock: Clock, stop: StopToken) -> None:
    """Check the large tables when they last passed a day ago, also over restarts; `database.damage` is set.

    A stop ends the check, and the next start begins it again. Damage that was found is not searched again:
    it stays until the file is replaced. A restart has it found again, because the tables have not passed.
    """
    now, passed_at = clock(), await database.read(observer.integrity_passed_at)
    is_recent = passed_at is not None and passed_at <= now < passed_at + CHECKED_EVERY
    if is_recent or database.damage is not None:
        return
    await stop.cancelling(database.check_large_tables())
    if not stop.is_set and database.damage is None:
        await database.write(observer.save_integrity_passed, now)
