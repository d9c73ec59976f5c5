"""The counts of days, kept in memory: what is shown is mostly made of days that are over."""

from collections.abc import Iterable, Mapping, Sequence

from kener_async.domain.uptime import Counts

Span = tuple[int, int]


class DayCountsCache:
    """Days by monitor, each until one of its quarters is counted again."""

    def __init__(self) -> None:
        self._pages: dict[int, tuple[Sequence[Span], list[Counts | None]]] = {}

    def days(self, monitor: int) -> Mapping[Span, Counts]:
        """What is known of a monitor."""
        days, counts = self._pages.get(monitor, ((), []))
        return {day: one for day, one in zip(days, counts, strict=True) if one is not None}

    def write(self, monitor: int, days: Sequence[Span], counts: Sequence[Counts | None]) -> None:
        """Keep these days of a monitor and no others; None: it is not known. `days` may be shared by many."""
        self._pages[monitor] = days, list(counts)

    def forget(self, monitor: int, start: int, end: int) -> None:
        """Quarters of `[start, end)` have been counted again."""
        days, counts = self._pages.get(monitor, ((), []))
        for place, day in enumerate(days):
            if day[0] < end and start < day[1]:
                counts[place] = None

    def keep_only(self, monitors: Iterable[int]) -> None:
        """Forget the monitors that are not configured any more."""
        for monitor in self._pages.keys() - set(monitors):
            del self._pages[monitor]
