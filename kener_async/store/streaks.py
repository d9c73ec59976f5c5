"""Streaks: since when a monitor has had its status."""

from collections.abc import Mapping

from kener_async.domain.calendar import DAY, MINUTE, QUARTER
from kener_async.domain.samples import Status
from kener_async.domain.streaks import streak
from kener_async.domain.timeline import runs
from kener_async.store import dirty, layers
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
    """Look at the minutes that are not counted yet, then at two quarters of the rollups, latest first.

    The quarters between these two contain only this status or no data.
    """
    counted = min(base, dirty.rolled_until(session))
    marked = dirty.spans(session, monitor, max(counted - DAY, 0), counted)
    counted = min([counted, *(start for start, _ in marked)])
    begin: int | None = None
    if counted < base:
        begin, is_decided = _streak(session, monitor, status, counted, base)
        if is_decided:
            return begin
    column = COLUMNS[status]
    other, other_minutes = _last_of_another(session, monitor, column, counted)
    first, first_minutes = _first_of(session, monitor, column, other + 1, counted)
    # Minutes are read only of a quarter in which they differ: mostly the counts tell where the streak begins.
    if first_minutes == QUARTER // MINUTE:
        begin = first
    elif first_minutes:
        begin = _streak(session, monitor, status, first, first + QUARTER)[0] or begin
    if other_minutes:
        begin = _streak(session, monitor, status, other, other + QUARTER)[0] or begin
    return begin


def _streak(session: Session, monitor: int, status: Status, start: int, end: int) -> tuple[int | None, bool]:
    return streak(list(runs(layers.load(session, monitor, start, end), start, end)), status)


def _first_of(session: Session, monitor: int, column: str, start: int, end: int) -> tuple[int, int]:
    """The first quarter of `[start, end)` with a minute of a status, and how many it has; (end, 0): none."""
    found = session.execute(
        f"""
        SELECT quarter, {column} FROM quarters
         WHERE monitor_id = ? AND quarter >= ? AND quarter < ? AND {column} > 0 ORDER BY quarter LIMIT 1
        """,  # noqa: S608 - a name of ours
        (monitor, start, end),
    ).fetchone()
    return found or (end, 0)


def _last_of_another(session: Session, monitor: int, column: str, until: int) -> tuple[int, int]:
    """The last quarter before an instant with a minute of another status than that of the column.

    With it, how many minutes it has of the column; (-1, 0): there is none. Days with a stored sum are passed
    over, so that only the quarters of a few days are looked at.
    """
    days = session.execute(
        f"""
        SELECT start, "end", up + degraded + down + maintenance > {column} FROM days
         WHERE monitor_id = ? AND start < ? ORDER BY start DESC
        """,  # noqa: S608
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
    return _last_within(session, monitor, column, 0, until) or (-1, 0)


def _last_within(session: Session, monitor: int, column: str, start: int, end: int) -> tuple[int, int] | None:
    found: tuple[int, int] | None = session.execute(
        f"""
        SELECT quarter, {column} FROM quarters
         WHERE monitor_id = ? AND quarter >= ? AND quarter < ?
           AND up + degraded + down + maintenance > {column}
         ORDER BY quarter DESC LIMIT 1
        """,  # noqa: S608
        (monitor, start, end),
    ).fetchone()
    return found
