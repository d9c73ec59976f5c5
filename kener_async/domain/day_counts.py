"""The day-counts cache: counts of whole days, kept in memory because most days that are shown are over."""

from collections.abc import Iterable, Mapping, Sequence

from kener_async.domain.uptime import Counts

Span = tuple[int, int]


class DayCountsCache:
    """Counts of days by monitor; a day is valid until one of its quarters is counted again."""

    def __init__(self) -> None:
        self._by_monitor: dict[int, tuple[Sequence[Span], list[Counts | None]]] = {}

    def get(self, monitor: int) -> Mapping[Span, Counts]:
        """The cached days of a monitor."""
        days, counts = self._by_monitor.get(monitor, ((), []))
        return {day: cached for day, cached in zip(days, counts, strict=True) if cached is not None}

    def put(self, monitor: int, days: Sequence[Span], counts: Sequence[Counts | None]) -> None:
        """Replace the days of a monitor; None is a day without counts. `days` may be shared by monitors."""
        self._by_monitor[monitor] = days, list(counts)

    def invalidate(self, monitor: int, start: int, end: int) -> None:
        """Drop the days that overlap `[start, end)`, because quarters in it were counted again."""
        days, counts = self._by_monitor.get(monitor, ((), []))
        for place, day in enumerate(days):
            if day[0] < end and start < day[1]:
                counts[place] = None

    def keep_only(self, monitors: Iterable[int]) -> None:
        """Drop the monitors that are not configured any more."""
        for monitor in self._by_monitor.keys() - set(monitors):
            del self._by_monitor[monitor]
