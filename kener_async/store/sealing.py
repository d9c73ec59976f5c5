"""Sealing: samples of days that are over are packed, a short transaction at a time (docs/why.md).

A day that is over by two days is sealed in four steps, each of which may take many turns: what comes in for
it is written to `late_samples` from then on; the rows of some monitors at a time are packed into `sealed`;
the day counts as sealed; its rows in `samples` are deleted. Then late samples are merged into sealed days.

How far that is stands in the database, so that a turn continues where the last one ended. No step changes
what is read, therefore nothing is marked.
"""

from kener_async.domain.calendar import DAY, utc_day_of
from kener_async.store import hot_samples, late_samples, observer, seal_state, sealed_days
from kener_async.store.interface import Session
from kener_async.store.sample_rows import Row
from kener_async.store.seal_state import SealState, hot_days_from

MINUTES_OF_DAY = 1440


def seal_turn(session: Session, now: int, limit: int) -> bool:
    """Seal what is due, up to `limit` days of a monitor; whether there may be more to do.

    Raises DamagedDay, and ValueError for samples that cannot be packed.
    """
    state = seal_state.read(session)
    if hot_samples.delete_before(session, state.hot_from, limit * MINUTES_OF_DAY):
        return True
    if state.hot_from < state.late_before:
        _seal_some(session, state, limit)
        return True
    return _begin_day(session, now) or _merge_late(session, min(state.hot_from, hot_days_from(now)), limit)


def _begin_day(session: Session, now: int) -> bool:
    """Begin to seal the first day with samples, if it has been over for long enough.

    None within a day after a gap of more than a day: the clock may have been set forward by mistake, and what
    comes in for a day that is sealed is written to a place of its own.
    """
    first = hot_samples.first_minute(session)
    if first is None or first >= hot_days_from(now) or observer.had_long_gap(session, now - DAY, DAY):
        return False
    seal_state.save(session, utc_day_of(first), utc_day_of(first) + DAY)
    return True


def _seal_some(session: Session, state: SealState, limit: int) -> None:
    """Seal the day that was begun for the next monitors, or end it after the last."""
    day, end = state.hot_from, state.late_before
    rows = session.execute(
        "SELECT id FROM monitors WHERE id > ? ORDER BY id LIMIT ?", (state.sealed_monitor, limit)
    )
    monitors = [monitor for (monitor,) in rows]
    if not monitors:
        seal_state.save(session, end, end)
        return
    by_monitor: dict[int, list[Row]] = {}
    for row in hot_samples.rows_between(session, (monitors[0], monitors[-1]), day, end):
        by_monitor.setdefault(row[0], []).append(row)
    for monitor, some in by_monitor.items():
        sealed_days.merge(session, monitor, day, some)
    seal_state.save(session, day, end, monitors[-1])


def _merge_late(session: Session, before: int, limit: int) -> bool:
    """Merge late samples of up to `limit` days of a monitor before an instant; whether there were so many."""
    monitor = 0
    for _ in range(limit):
        found = late_samples.first_day(session, before, monitor)
        if found is None:
            return False
        monitor, day = found
        sealed_days.merge(session, monitor, day, late_samples.rows(session, [monitor], day, day + DAY))
        late_samples.delete_day(session, monitor, day)
    return True
