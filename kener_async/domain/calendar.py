"""Minutes, quarters and days on the UTC timeline. All instants are whole UTC seconds."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = 60
QUARTER = 15 * MINUTE
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# The instants that every time zone can show as dates, and the day after them: 1970 to 9999-12-29.
FIRST_INSTANT, LAST_INSTANT = 0, 253_402_127_999


def is_showable(instant: int) -> bool:
    """Whether every time zone can show the instant as a date."""
    return FIRST_INSTANT <= instant <= LAST_INSTANT


def nearest_showable(instant: int) -> int:
    """The instant, or the nearest one that every time zone can show."""
    return max(FIRST_INSTANT, min(instant, LAST_INSTANT))


def minute_of(instant: int) -> int:
    """The start of the minute `[t, t + 60)` that holds the instant."""
    return instant - instant % MINUTE


def minute_end(now: int) -> int:
    """The end of the current minute, with which windows, days so far and overviews end."""
    return minute_of(now) + MINUTE


def minute_from(instant: int) -> int:
    """The start of the first minute that begins at the instant or after it."""
    return -(-instant // MINUTE) * MINUTE


def quarter_of(instant: int) -> int:
    """The start of the quarter-hour that holds the instant."""
    return instant - instant % QUARTER


def quarter_from(instant: int) -> int:
    """The start of the first quarter-hour that begins at the instant or after it."""
    return -(-instant // QUARTER) * QUARTER


def utc_day_of(instant: int) -> int:
    """The start of the UTC day that holds the instant."""
    return instant - instant % DAY


def day_start(day: date, zone: ZoneInfo) -> int:
    """The instant at which a civil day begins.

    Where midnight does not exist (a clock set forward over it) this is the moment of the change, so that
    consecutive days always meet: a day is `[day_start(d), day_start(d + 1))`, 23 to 25 hours long, and empty
    for a date that a zone left out.
    """
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def day_of(instant: int, zone: ZoneInfo) -> date:
    """The civil day in the zone that holds the instant."""
    return datetime.fromtimestamp(instant, zone).date()


def days_between(start: int, end: int, zone: ZoneInfo) -> list[tuple[date, int, int]]:
    """The civil days that overlap `[start, end)`, oldest first, each with its full bounds."""
    days = []
    day = day_of(start, zone)
    while (begins := day_start(day, zone)) < end:
        following = day + timedelta(days=1)
        days.append((day, begins, day_start(following, zone)))
        day = following
    return days


def day_so_far(now: int) -> tuple[int, int]:
    """The minutes of the UTC day that have begun, as a span."""
    return utc_day_of(now), minute_end(now)
