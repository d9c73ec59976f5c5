"""Changed monitors: those with alert rules that have changed since they were last evaluated."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kener_async.domain.samples import Sample, SampleSource


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
        self._oldest_checks: dict[int, int] = {}

    def add(self, monitors: Iterable[int]) -> None:
        """Record that what is stored of these monitors changed, other than by reports."""
        if not self.watched:
            return
        self._changed |= self.watched.intersection(monitors)
        if self._changed:
            self.signal()

    def add_sample(self, monitor: int, sample: Sample) -> None:
        """Record that a sample was stored that a watched monitor, or a member of it, was reported by.

        Minutes that checks of this server confirmed late are no backlog, so they are kept apart from reports.
        """
        is_check = sample.source is SampleSource.CHECK
        _note_oldest(self._oldest_checks if is_check else self._oldest_reports, monitor, sample.minute)
        self.signal()

    def take(self) -> "Changes":
        """What was recorded since the last call."""
        taken = Changes(self._changed, self._oldest_reports, self._oldest_checks)
        self._changed, self._oldest_reports, self._oldest_checks = set(), {}, {}
        return taken


@dataclass(frozen=True, slots=True)
class Changes:
    """The monitors that changed other than by samples, and the oldest minute that a report, or a check of
    this server, was about, by monitor."""

    monitors: set[int]
    reports: Mapping[int, int]
    checks: Mapping[int, int]

    @property
    def samples(self) -> Mapping[int, int]:
        """The oldest minute of which a sample came, by monitor."""
        oldest = dict(self.reports)
        for monitor, minute in self.checks.items():
            _note_oldest(oldest, monitor, minute)
        return oldest


def _note_oldest(oldest: dict[int, int], monitor: int, minute: int) -> None:
    known = oldest.get(monitor)
    if known is None or minute < known:
        oldest[monitor] = minute
