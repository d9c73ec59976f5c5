"""Hours of the week: when something may be told, in the local time of a zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import MINUTE, day_of

_A_WEEK_AND_A_DAY = 8  # the days after one on which the next hours begin, also where a zone leaves out a date


@dataclass(frozen=True, slots=True)
class Hours:
    """The times of a week in a zone at which something may be told.

    `days` are 0 (Monday) to 6; `[start, end)` are minutes of the local day. An end up to the start is one of
    the next day.
    """

    days: frozenset[int]
    start: int
    end: int
    timezone: str

    def next_open(self, instant: int) -> int:
        """The instant itself where it lies within the hours, else the next one at which they begin.

        Raises ValueError for hours without a day.
        """
        zone = ZoneInfo(self.timezone)
        today = day_of(instant, zone)
        for begin, end in self._spans(today - timedelta(days=1), zone):
            if instant < end:
                return max(begin, instant)
        raise ValueError("hours without a day")

    def _spans(self, first: date, zone: ZoneInfo) -> Iterator[tuple[int, int]]:
        """The spans that begin from the first day on, without those that a change of the clock empties."""
        length_in_days = 1 if self.end <= self.start else 0
        for days in range(_A_WEEK_AND_A_DAY + 2):
            day = first + timedelta(days=days)
            if day.weekday() in self.days:
                begin = _instant(day, self.start, zone)
                end = _instant(day + timedelta(days=length_in_days), self.end, zone)
                if begin < end:
                    yield begin, end


def _instant(day: date, minute: int, zone: ZoneInfo) -> int:
    """The first instant at which the clock shows a minute of a day or, if that is skipped, a later one."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(minutes=minute)
    instant = int(local.timestamp())
    shown = datetime.fromtimestamp(instant, zone).replace(tzinfo=None)
    if shown == local.replace(tzinfo=None):
        return instant
    # The minute is skipped, and Python has read it by the offset before the change: the change is within the
    # hours before what it found.
    offset_after = datetime.fromtimestamp(instant, zone).utcoffset()
    while datetime.fromtimestamp(instant - MINUTE, zone).utcoffset() == offset_after:
        instant -= MINUTE
    return instant
