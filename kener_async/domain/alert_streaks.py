"""The streak that reaches the present: what the newest minutes say for a condition (docs/alerts.md)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from kener_async.domain.alerts import LatencyAbove, StatusIs
from kener_async.domain.calendar import MINUTE, minute_end
from kener_async.domain.heartbeats import Gap
from kener_async.domain.samples import Sample, Status
from kener_async.domain.timeline import Layers, Reason, Run, is_in_gap, runs

StreakCondition = StatusIs | LatencyAbove


class Side(Enum):
    """What a minute says for a condition."""

    GOOD = "good"
    BAD = "bad"
    BRIDGE = "bridge"  # says nothing and interrupts nothing: no sample
    CUT = "cut"  # says nothing, and thresholds count from its end on: maintenance, observer gap


@dataclass(frozen=True, slots=True)
class AlertStreak:
    """The newest minutes of one side, with the bridges and cuts between them. Instants are UTC seconds.

    `side` is GOOD or BAD, None before the first minute that says either. `[since, until)` spans the streak,
    cuts or not. Thresholds count its part after the last cut: from `counted_from`, the end of the first
    minute of that part where it is a sample, because a sample is known to its minute only, else its begin;
    and the `samples` of that part.

    `is_uncounted`: the part holds bad minutes that stand for reports that did not come, minutes of a group,
    or a figure. Those cannot be counted, so every count is met. `is_cut`: a cut is newer than the streak, so
    that nothing can be said now. `has_cut`: earlier minutes can change `since` only. `is_whole`: the other
    side came before it, and ended at `other_until`, so that earlier minutes can change nothing.
    """

    side: Side | None = None
    since: int = 0
    until: int = 0
    counted_from: int = 0
    samples: int = 0
    is_uncounted: bool = False
    is_cut: bool = False
    has_cut: bool = False
    other_until: int | None = None

    @property
    def is_whole(self) -> bool:
        return self.other_until is not None

    @property
    def speaks(self) -> bool:
        """Whether anything can be said now."""
        return self.side is not None and not self.is_cut

    def elapsed(self, now: int) -> int:
        """The seconds that thresholds count; 0 while the first minute is not over."""
        return max(0, now - self.counted_from)


NO_STREAK = AlertStreak()


def measured_runs(layers: Layers, start: int, now: int) -> list[Run]:
    """The minutes from `start`, on the minute, up to and including the current one, as measured."""
    return list(runs(layers.begun_by(now).measured(), start, minute_end(now)))


def streak_of(
    condition: StreakCondition,
    layers: Layers,
    minutes: Iterable[Run],
    earlier: AlertStreak = NO_STREAK,
) -> AlertStreak:
    """The streak at the end of these measured minutes; `earlier` is the one at the end of those before them.

    `layers` are those of the minutes.
    """
    tally = StreakTally(earlier)
    newest = layers.earlier
    for run in minutes:
        newest = layers.samples.get(run.start, newest)
        said = said_by(condition, run, newest, layers.gaps)
        tally.add(said, run.start, run.end)
    return tally.streak()


@dataclass(frozen=True, slots=True)
class Said:
    """What each of some minutes says.

    `is_known_late`: at its end, as a sample is known to its minute only. `is_uncounted`: it follows from no
    sample of its own, so that no count of samples can be asked for.
    """

    side: Side
    is_sample: bool = False
    is_uncounted: bool = False
    is_known_late: bool = False


class StreakTally:
    """A streak that grows by minutes, oldest first; `earlier` is the one before them."""

    __slots__ = (
        *("_counted_from", "_has_cut", "_is_cut", "_is_uncounted", "_other_until", "_samples", "_side"),
        *("_since", "_until"),
    )

    def __init__(self, earlier: AlertStreak = NO_STREAK) -> None:
        self._side, self._since, self._until = earlier.side, earlier.since, earlier.until
        self._counted_from, self._samples = earlier.counted_from, earlier.samples
        self._is_uncounted, self._is_cut = earlier.is_uncounted, earlier.is_cut
        self._has_cut, self._other_until = earlier.has_cut, earlier.other_until

    def add(self, said: Said, start: int, end: int) -> None:
        """Add the minutes `[start, end)`, each of which says the same."""
        side = said.side
        if side is Side.BRIDGE:
            return
        if side is Side.CUT:
            self._is_cut = True
            return
        if side is not self._side or self._is_cut:
            if side is not self._side:
                self._other_until = self._until if self._side is not None else None
                self._side, self._since, self._has_cut = side, start, False
            self._has_cut = self._has_cut or self._is_cut
            self._is_cut = False
            self._counted_from = start + MINUTE if said.is_sample or said.is_known_late else start
            self._samples, self._is_uncounted = 0, False
        self._until = end
        if said.is_sample:
            self._samples += (end - start) // MINUTE
        self._is_uncounted = self._is_uncounted or said.is_uncounted

    def streak(self) -> AlertStreak:
        """The streak at the end of the minutes that were added."""
        return AlertStreak(
            self._side,
            self._since,
            self._until,
            self._counted_from,
            self._samples,
            self._is_uncounted,
            self._is_cut,
            self._has_cut,
            self._other_until,
        )


def said_by(condition: StreakCondition, run: Run, newest: Sample | None, gaps: Sequence[Gap] = ()) -> Said:
    """What each minute of a run says; `newest` is the newest sample up to it."""
    side = side_of(condition, run, newest, gaps)
    is_of_group = run.reason is Reason.MEMBERS  # the samples of its members are not its own
    is_uncounted = is_of_group or (side is Side.BAD and run.reason not in _REPORTED)
    return Said(side, run.reason is Reason.SAMPLE, is_uncounted, is_known_late=is_of_group)


_REPORTED = (Reason.SAMPLE, Reason.HELD, Reason.DEFAULT)


def side_of(condition: StreakCondition, run: Run, newest: Sample | None, gaps: Sequence[Gap] = ()) -> Side:
    """What each minute of a run says; `newest` is the newest sample up to it.

    Minutes of which nothing is known are bad for NO_DATA, except those before the monitor was first known.
    Where the word of a sample is held, so is its latency.
    """
    if run.status is Status.MAINTENANCE or run.reason is Reason.NOT_OBSERVED:
        return Side.CUT
    if run.status is Status.NO_DATA and is_in_gap(gaps, run.start):  # stale, or not known yet
        return Side.CUT
    is_for_no_data = isinstance(condition, StatusIs) and condition.status is Status.NO_DATA
    if run.status is Status.NO_DATA:
        return Side.BAD if is_for_no_data and run.reason is not Reason.NOT_KNOWN else Side.BRIDGE
    if is_for_no_data:
        return Side.GOOD
    return Side.BAD if _is_bad(condition, run, newest) else Side.GOOD


def _is_bad(condition: StreakCondition, run: Run, newest: Sample | None) -> bool:
    """Whether the minutes of a run that have a status are bad."""
    if isinstance(condition, StatusIs):
        return run.status >= condition.status
    if run.status is Status.DOWN:
        return True
    is_reported = run.reason in (Reason.SAMPLE, Reason.HELD)
    return is_reported and newest is not None and newest.latency > condition.limit
