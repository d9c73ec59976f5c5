"""Streaks of alert rules, read back from the stored layers as far as a decision needs."""

from collections.abc import Callable

from kener_async.domain.alert_streaks import NO_STREAK, AlertStreak, StreakCondition, streak_of
from kener_async.domain.alerts import Alert
from kener_async.domain.calendar import QUARTER, minute_of
from kener_async.domain.timeline import runs
from kener_async.store import layers, samples
from kener_async.store.interface import Session

GROWTH = 4  # each span that is read is so many times as long as the one before

IsEnough = Callable[[AlertStreak, int], bool]


def before(
    session: Session,
    monitor: int,
    condition: StreakCondition,
    end: int,
    alert: Alert | None,
    enough: IsEnough,
) -> tuple[AlertStreak, int]:
    """The streak at the end of the minutes before `end`, and the first minute that was read for it.

    It reads back in growing spans until `enough` says that a streak and its first minute are; 0 stands for
    all that is stored. One span begins where an open `alert` began.
    """
    length, start, streak = QUARTER, end, NO_STREAK
    if enough(streak, start):
        return streak, start
    first = _first_minute(session, monitor, end)
    while not enough(streak, start):
        if start <= first:
            return streak, 0
        start = _further(start, max(first, end - length), alert)
        streak = extended(session, monitor, condition, NO_STREAK, start, end)
        length *= GROWTH
    return streak, start


def extended(
    session: Session, monitor: int, condition: StreakCondition, streak: AlertStreak, start: int, end: int
) -> AlertStreak:
    """The streak at the end of the stored minutes of `[start, end)`; `streak` is the one before them."""
    for first, last, stored in layers.load_pieces(session, monitor, (start, end), end):
        streak = streak_of(condition, stored, runs(stored.measured(), first, last), streak)
    return streak


def _further(start: int, wanted: int, alert: Alert | None) -> int:
    if alert is None or alert.closed_at is not None:
        return wanted
    began = minute_of(alert.since)
    return began if wanted < began < start else wanted


def _first_minute(session: Session, monitor: int, end: int) -> int:
    """The first minute of which a sample or settings are stored; `end` without any."""
    sample = samples.first_minute(session, monitor)
    (known,) = session.execute("SELECT min(since) FROM settings WHERE monitor_id = ?", (monitor,)).fetchone()
    return min((minute_of(instant) for instant in (sample, known) if instant is not None), default=end)
