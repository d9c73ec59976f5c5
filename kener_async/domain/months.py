"""Calendar months: bounds in a zone, weeks, and links to the previous and the next month."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import day_of, day_start, nearest_showable

_TEXT = re.compile(r"([0-9]{4})-([0-9]{2})")
# West of Greenwich instant 0 is in 1969; the month after the last one must still be a valid date.
FIRST_YEAR, LAST_YEAR = 1969, 9998


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of a year, `number` from 1 to 12; as text `2025-11`. Months are ordered by time."""

    year: int
    number: int

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @classmethod
    def parsed(cls, text: str) -> "Month | None":
        """Parse `YYYY-MM`; None for any other text."""
        match = _TEXT.fullmatch(text)
        if match is None:
            return None
        month = cls(int(match[1]), int(match[2]))
        is_one = 1 <= month.number <= 12 and FIRST_YEAR <= month.year <= LAST_YEAR
        return month if is_one else None

    @classmethod
    def of(cls, instant: int, zone: ZoneInfo) -> "Month":
        """The month of an instant in the zone, at most the last one of LAST_YEAR."""
        day = day_of(nearest_showable(instant), zone)
        return min(cls(day.year, day.month), cls(LAST_YEAR, 12))

    @property
    def first_day(self) -> date:
        return date(self.year, self.number, 1)

    @property
    def previous(self) -> "Month":
        return self._shifted(-1)

    @property
    def following(self) -> "Month":
        return self._shifted(1)

    def _shifted(self, months: int) -> "Month":
        years, number = divmod(self.number - 1 + months, 12)
        return Month(self.year + years, number + 1)

    def bounds(self, zone: ZoneInfo) -> tuple[int, int]:
        """The instants `[start, end)` of the month in the zone."""
        return day_start(self.first_day, zone), day_start(self.following.first_day, zone)

    def weeks(self, first_weekday: int) -> list[list[date | None]]:
        """The days by week, from a weekday on (0: Monday); None for the days of other months."""
        length = (self.following.first_day - self.first_day).days
        before = (self.first_day.weekday() - first_weekday) % 7
        days = [self.first_day + timedelta(days=n) for n in range(length)]
        cells = [*[None] * before, *days, *[None] * (-(before + length) % 7)]
        return [cells[start : start + 7] for start in range(0, len(cells), 7)]


def neighbours(month: Month, earliest: Month, latest: Month) -> tuple[Month | None, Month | None]:
    """The previous and the next month to link to, within the bounds; from outside, the nearest bound."""
    back = min(month.previous, latest) if month > earliest else None
    forth = max(month.following, earliest) if month < latest else None
    return back, forth
