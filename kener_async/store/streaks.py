"""Streaks: since when a monitor has had its status."""

from collections.abc import Iterator, Mapping

from kener_async.domain.calendar import DAY, QUARTER
from kener_async.domain.samples import Status
from kener_async.domain.streaks import streak
from kener_async.domain.timeline import runs
from kener_async.store import dirty, layers
from kener_async.store.dirty import Span
from kener_async.store.interface import Session

COLUMNS = {
    Status.UP: "up",
    Status.DEGRADED: "degraded",
    Status.DOWN: "down",
    Status.MAINTENANCE: "maintenance",
}


def since(session: Session, statuses: Mapping[int, Status], base: int) -> dict[int, int | None]:
    """The start of the streak of each monitor's status that lasts until `base`, the start of a quarter.

    None: there is no such streak, because another status came last.
    """
    return {monitor: _since(session, monitor, status, base) for monitor, status in statuses.items()}


def _since(session: Session, monitor: int, status: Status, base: int) -> int | None:
    start_of_streak: int | None = None
    for start, end in _backwards(session, monitor, status, base):
        begin, is_decided = streak(list(runs(layers.load(session, monitor, start, end), start, end)), status)
        start_of_streak = start_of_streak if begin is None else begin
        if is_decided:
            break
    return start_of_streak


def _backwards(session: Session, monitor: int, status: Status, base: int) -> Iterator[Span]:
    """The spans whose minutes decide, latest first: those not counted yet, and two quarters of the rollups.

    The quarters between them contain only this status or no data.
    """
    counted = min(base, dirty.rolled_until(session))
    marked = dirty.spans(session, monitor, max(counted - DAY, 0), counted)
    counted = min([counted, *(start for start, _ in marked)])
    if counted < base:
        yield counted, base
    column = COLUMNS[status]
    other = _last_of_another(session, monitor, column, counted)
    (first,) = session.execute(
        f"""
        SELECT min(quarter) FROM quarters
         WHERE monitor_id = ? AND quarter > ? AND quarter < ? AND {column} > 0
        """,  # noqa: S608
        (monitor, -1 if other is None else other, counted),
    ).fetchone()
    for quarter in (first, other):
        if quarter is not None:
            yield quarter, quarter + QUARTER


def _last_of_another(session: Session, monitor: int, column: str, until: int) -> int | None:
    """The last quarter before an instant with a minute of another status than the one of the column.

    Days with a stored sum are passed over, so that only the quarters of a few days are looked at.
    """
    days = session.execute(
        f"""
        SELECT start, "end", up + degraded + down + maintenance > {column} FROM days
         WHERE monitor_id = ? AND start < ? ORDER BY start DESC
        """,  # noqa: S608 - a name of ours
        (monitor, until),
    )
    for start, end, has_another in days:
        if end > until:
            continue  # not over, or it overlaps the one after it, because it is a day of another zone
        if end < until or has_another:
            found = _last_within(session, monitor, column, start if has_another else end, until)
            if found is not None:
                return found
        until = start
    return _last_within(session, monitor, column, 0, until)


def _last_within(session: Session, monitor: int, column: str, start: int, end: int) -> int | None:
    (quarter,) = session.execute(
        f"""
        SELECT max(quarter) FROM quarters
         WHERE monitor_id = ? AND quarter >= ? AND quarter < ?
           AND up + degraded + down + maintenance > {column}
        """,  # noqa: S608
        (monitor, start, end),
    ).fetchone()
    return None if quarter is None else int(quarter)
