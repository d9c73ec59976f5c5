"""How far samples have been sealed: which of the three tables holds the sample of a minute."""

from typing import NamedTuple

from kener_async.domain.calendar import DAY, LAST_INSTANT, utc_day_of
from kener_async.store.interface import Session

HOT_DAYS = 2  # before today; so long every sample may be rewritten where it was first written


class SealState(NamedTuple):
    """A row of the table `service`: instants on UTC days, and up to which monitor a day has been sealed.

    The sample of a minute is in `late_samples`, or else in `samples` from `hot_from` on, or else in `sealed`.
    One that comes in is written to `late_samples` before `late_before`, else to `samples`. While the two
    differ, the day between them is being sealed: its rows in `samples` do not change any more.
    """

    hot_from: int
    late_before: int
    sealed_monitor: int
    rolled_until: int


NOT_BEGUN = SealState(0, LAST_INSTANT + 1, 0, 0)


def read(session: Session) -> SealState:
    """The state of a database; nothing is sealed in one on which no server has run yet."""
    row = session.execute(
        "SELECT hot_from, late_before, sealed_monitor, rolled_until FROM service"
    ).fetchone()
    return NOT_BEGUN if row is None else SealState(*row)


def save(session: Session, hot_from: int, late_before: int, sealed_monitor: int = 0) -> None:
    """Store how far samples have been sealed."""
    session.execute(
        "UPDATE service SET hot_from = ?, late_before = ?, sealed_monitor = ?",
        (hot_from, late_before, sealed_monitor),
    )


def hot_days_from(now: int) -> int:
    """The UTC day before which every day is over by two days, and may be sealed."""
    return utc_day_of(now) - HOT_DAYS * DAY
