"""The counts of UTC days that are over, kept in memory: a window is mostly made of these."""

from collections import defaultdict
from collections.abc import Mapping

from kener_async.domain.calendar import utc_day_of
from kener_async.domain.uptime import Counts


class DayBook:
    """Whole days by monitor, each until one of its quarters is counted again."""

    def __init__(self) -> None:
        self._days: defaultdict[int, dict[int, Counts]] = defaultdict(dict)
        self._editions: defaultdict[int, int] = defaultdict(int)

    def days(self, monitor: int) -> tuple[int, Mapping[int, Counts]]:
        """The edition, and the counts by the day's start."""
        return self._editions[monitor], dict(self._days[monitor])

    def add(self, monitor: int, edition: int, days: Mapping[int, Counts]) -> None:
        """Add what was read when the edition was current; what is out of date by now is not taken."""
        if edition == self._editions[monitor]:
            self._days[monitor].update(days)

    def forget(self, monitor: int, start: int, end: int) -> None:
        """Quarters of `[start, end)` have been counted again."""
        self._editions[monitor] += 1
        days = self._days[monitor]
        for day in [day for day in days if utc_day_of(start) <= day < end]:
            del days[day]

    def clear(self) -> None:
        for monitor in self._days:
            self.forget(monitor, 0, 2**62)
