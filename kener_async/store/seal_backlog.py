"""The days whose samples are due to be packed and are not yet."""

from kener_async.domain.calendar import DAY, utc_day_of
from kener_async.store.interface import Session
from kener_async.store.seal_state import hot_days_from


def days_waiting(session: Session, now: int) -> int:
    """The number of days of monitors that are due to be packed, those with late samples included.

    Of the days that are plain rows so far each is counted for all monitors.
    """
    due = hot_days_from(now)
    (first,) = session.execute("SELECT min(minute) FROM samples").fetchone()
    (monitors,) = session.execute("SELECT count(*) FROM monitors").fetchone()
    hot_days = 0 if first is None else max(0, due - utc_day_of(first)) // DAY
    return hot_days * int(monitors) + late_days_waiting(session, now)


def late_days_waiting(session: Session, now: int) -> int:
    """The number of days of monitors that have late samples and are due to be packed."""
    due, count = hot_days_from(now), 0
    monitor, begin = -1, 0
    while (row := _next_late(session, monitor, begin)) is not None:
        monitor, minute = row
        count += minute < due
        begin = utc_day_of(minute) + DAY
    return count


def _next_late(session: Session, monitor: int, begin: int) -> tuple[int, int] | None:
    """Monitor and minute of the first late sample from a minute of a monitor on."""
    row: tuple[int, int] | None = session.execute(
        """
        SELECT monitor_id, minute FROM late_samples
         WHERE (monitor_id, minute) >= (?, ?) ORDER BY monitor_id, minute LIMIT 1
        """,
        (monitor, begin),
    ).fetchone()
    return row
