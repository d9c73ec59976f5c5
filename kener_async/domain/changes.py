"""Changed monitors: those with alert rules that have changed since they were last evaluated."""

from collections.abc import Callable, Iterable


def _ignore() -> None:
    """The signal while nothing evaluates."""


class ChangedMonitors:
    """Collect which of the `watched` monitors changed, until they are taken.

    While none is watched, as without alert rules, it costs callers the look at `watched`. `signal` is called
    when there is something to take; it must not wait.
    """

    def __init__(self) -> None:
        self.watched: frozenset[int] = frozenset()
        self.signal: Callable[[], None] = _ignore
        self._changed: set[int] = set()
        self._oldest_reports: dict[int, int] = {}

    def add(self, monitors: Iterable[int]) -> None:
        """Record that what is stored of these monitors changed, other than by reports."""
        if not self.watched:
            return
        self._changed |= self.watched.intersection(monitors)
        if self._changed:
            self.signal()

    def add_report(self, monitor: int, minute: int) -> None:
        """Record that a report of a watched monitor was stored, about this minute."""
        oldest = self._oldest_reports.get(monitor)
        if oldest is None or minute < oldest:
            self._oldest_reports[monitor] = minute
        self.signal()

    def take(self) -> tuple[set[int], dict[int, int]]:
        """What was recorded since the last call: the monitors that changed other than by reports, and the
        oldest minute that a report was about, by monitor."""
        changed, reports = self._changed, self._oldest_reports
        self._changed, self._oldest_reports = set(), {}
        return changed, reports
