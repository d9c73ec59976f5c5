"""Back-tests: what an alert rule would have told in the past, by the rule that decides about the present.

The measured minutes of a monitor become stretches that say the same, and the rule is asked only at instants
at which its answer can change: at edges of stretches, and where a threshold is reached. The server looks at
every monitor when a minute begins, and again with the report of that minute; so does this, as if each report
had come in right after its minute began. Acknowledgements and snoozes are left out.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kener_async.domain.alert_decisions import (
    FLAPPING_OPENINGS,
    AlertContext,
    AlertEvent,
    AlertOpened,
    AlertSettled,
    changed,
    decide,
    notice_of,
    opened_alert,
)
from kener_async.domain.alert_looks import said_by_parents
from kener_async.domain.alert_streaks import (
    NO_STREAK,
    AlertStreak,
    Said,
    Side,
    StreakCondition,
    StreakTally,
    said_by,
)
from kener_async.domain.alerts import Alert, AlertRule
from kener_async.domain.calendar import DAY, MINUTE, minute_from, minute_of
from kener_async.domain.heartbeats import Gap
from kener_async.domain.notices import NoticeKind
from kener_async.domain.samples import Sample
from kener_async.domain.timeline import Layers, Run, runs, version_at

LEAD = DAY  # before the window, so that alerts and flapping that reach into it are known
EVENTS_AT_MOST = 8  # of one rule at one instant

BEFORE_REPORT, WITH_REPORT = 0, 1  # the two looks at the minute of a report
GOOD = Said(Side.GOOD)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Minutes `[start, end)` that say the same.

    `before` is what the first of them said until its report came in; None: nothing that decides anything.
    `begun` is what it said when it began, if something within it changed that.
    """

    start: int
    end: int
    said: Said
    before: Said | None = None
    begun: Said | None = None


@dataclass(frozen=True, slots=True)
class ReplayedAlert:
    """An alert that a rule would have had, with the instants and kinds of what would have been told of it."""

    alert: Alert
    notices: tuple[tuple[int, NoticeKind], ...]


def stretches(condition: StreakCondition, layers: Layers, start: int, end: int) -> list[Stretch]:
    """The measured minutes of `[start, end)`, both on the minute; `layers` are those of the span."""
    layers = layers.measured()
    broken = _broken_minutes(layers)
    found: list[Stretch] = []
    newest, side = layers.earlier, Side.BRIDGE
    for run in runs(layers, start, end):
        sample, prior = layers.samples.get(run.start), newest
        newest = sample or newest
        said = said_by(condition, run, newest, layers.gaps)
        first = run.start
        side = side if not found or found[-1].said.side is Side.BRIDGE else found[-1].said.side
        if run.start in broken:
            found.append(_broken(condition, layers, run.start, said, sample, prior))
            first += MINUTE
            if first == run.end:
                continue
            sample = None
        last, before = found[-1] if found else None, None
        if sample is not None:
            before = _before_report(condition, layers, run, said, prior, last)
            if said.side is side and before.side in (side, Side.BRIDGE) and not before.is_uncounted:
                before = None  # the look with the report decides the same
        if before is None and last is not None and last.said == said and last.end == first:
            found[-1] = replace(last, end=run.end)
        else:
            found.append(Stretch(first, run.end, said, before))
    return found


def _broken_minutes(layers: Layers) -> set[int]:
    """The minutes within which something begins that was not known when they began."""
    instants = [overlay.start for overlay in layers.overlays] + [one.since for one in layers.versions]
    broken = {minute_of(instant) for instant in instants if instant % MINUTE}
    return broken | {minute_of(gap.start) for gap in layers.gaps}


def _broken(
    condition: StreakCondition,
    layers: Layers,
    minute: int,
    said: Said,
    sample: Sample | None,
    prior: Sample | None,
) -> Stretch:
    before = None if sample is None else _view(condition, layers, minute, None, prior)
    begun = _view(condition, layers, minute, sample, prior)
    return Stretch(minute, minute + MINUTE, said, before, begun)


def _before_report(
    condition: StreakCondition,
    layers: Layers,
    run: Run,
    said: Said,
    prior: Sample | None,
    last: Stretch | None,
) -> Said:
    """What the minute of a sample said before it came in; `prior` is the sample before."""
    version = version_at(layers.versions, run.start)
    is_expected = version is not None and version.settings.expectation is not None
    is_next = prior is not None and prior.minute == run.start - MINUTE
    if is_expected and is_next and last is not None and last.said.is_sample and said.is_sample:
        return Said(last.said.side)  # the word of the sample before is held at least until its deadline
    return _view(condition, layers, run.start, None, prior)


def _view(
    condition: StreakCondition, layers: Layers, minute: int, sample: Sample | None, prior: Sample | None
) -> Said:
    """What a minute said at the first look at it, with its sample or without."""
    at = observed(layers.gaps, minute)
    known = Layers(
        {} if sample is None else {minute: sample},
        prior,
        [overlay for overlay in layers.overlays if overlay.start <= at],
        [version for version in layers.versions if version.since <= at],
        [gap for gap in layers.gaps if gap.start < at],
        [start for start in layers.starts if start <= at],
    )
    (run,) = runs(known, minute, minute + MINUTE)
    return said_by(condition, run, sample or prior, known.gaps)


def observed(gaps: Sequence[Gap], instant: int) -> int:
    """The first instant from this one on at which the server was running; `gaps` are disjoint and ordered."""
    place = bisect_right(gaps, instant, key=lambda gap: gap.end)
    if place < len(gaps) and gaps[place].start < instant:
        return gaps[place].end
    return instant


class StreakHistory:
    """The streak of a parent at each look at which it changed."""

    def __init__(self, gaps: Sequence[Gap], earlier: AlertStreak = NO_STREAK) -> None:
        self._gaps = gaps
        self._tally = StreakTally(earlier)
        self._looks: list[tuple[int, int]] = []
        self._streaks: list[AlertStreak] = [earlier]

    @property
    def is_settled(self) -> bool:
        """Whether good minutes change nothing."""
        return _is_good(self._tally.streak())

    def take(self, stretch: Stretch) -> None:
        at = observed(self._gaps, stretch.start)
        if at < stretch.end:
            for place, said in _first_looks(stretch, at):
                streak = _continued(self._tally.streak(), said, stretch.start, minute_of(at) + MINUTE)
                self._note((at, place), streak)
        self._tally.add(stretch.said, stretch.start, stretch.end)

    def pass_good(self, start: int, end: int) -> None:
        """Add minutes that are good; it must be settled."""
        self._tally.add(GOOD, start, end)

    def at(self, look: tuple[int, int]) -> AlertStreak:
        """The streak at a look, an instant and one of BEFORE_REPORT and WITH_REPORT."""
        return self._streaks[bisect_right(self._looks, look)]

    def next_after(self, instant: int) -> int | None:
        """The next instant at which the streak changes."""
        place = bisect_right(self._looks, (instant, WITH_REPORT))
        return self._looks[place][0] if place < len(self._looks) else None

    def _note(self, look: tuple[int, int], streak: AlertStreak) -> None:
        last = self._streaks[-1]
        if (streak.side, streak.is_cut, streak.counted_from) != (last.side, last.is_cut, last.counted_from):
            self._looks.append(look)
            self._streaks.append(streak)


Parents = Mapping[int, StreakHistory]  # by the id of the monitor


class Replay:
    """The life of the alerts of one monitor and rule, stretch by stretch, up to `now`."""

    def __init__(
        self,
        rule: AlertRule,
        monitor: int,
        now: int,
        gaps: Sequence[Gap] = (),
        parents: Parents | None = None,
        earlier: AlertStreak = NO_STREAK,
    ) -> None:
        self._rule = rule
        self._monitor = monitor
        self._now = now
        self._gaps = gaps
        self._parents = parents or {}
        self._tally = StreakTally(earlier)
        self._alerts: list[Alert] = []
        self._notices: list[list[tuple[int, NoticeKind]]] = []

    @property
    def alerts(self) -> Iterator[ReplayedAlert]:
        """All alerts, oldest first."""
        for alert, notices in zip(self._alerts, self._notices, strict=True):
            yield ReplayedAlert(alert, tuple(notices))

    @property
    def is_settled(self) -> bool:
        """Whether good minutes change nothing: no alert is open, and nothing flaps."""
        if self._alerts:
            newest = self._alerts[-1]
            if newest.closed_at is None or (newest.is_flapping and newest.settled_at is None):
                return False
        return _is_good(self._tally.streak())

    def pass_good(self, start: int, end: int) -> None:
        """Add minutes that are good; it must be settled."""
        self._tally.add(GOOD, start, end)

    def take(self, stretch: Stretch) -> None:
        """Look at the minutes of a stretch, which follows the one before."""
        seen = streak = self._tally.streak()
        at = observed(self._gaps, stretch.start)
        while at < stretch.end and at <= self._now:
            minute = minute_of(at)
            known = _continued(streak, stretch.said, stretch.start, minute)
            for place, said in self._looks(stretch, at):
                seen = _continued(known, said, minute, minute + MINUTE)
                self._look(at, place, seen)
            if stretch.end - minute <= MINUTE:
                break
            at = observed(self._gaps, self._next_look(at, seen, stretch))
        self._tally.add(stretch.said, stretch.start, stretch.end)

    def _looks(self, stretch: Stretch, at: int) -> tuple[tuple[int, Said], ...]:
        """The looks at an instant. A report of a parent makes the server look as one of the monitor does."""
        first, *others = _first_looks(stretch, at)
        if not self._parents or others:
            return (first, *others)
        place, said = first
        before = said if place == BEFORE_REPORT else Said(Side.BRIDGE)
        return (BEFORE_REPORT, before), (WITH_REPORT, said)

    def _look(self, at: int, place: int, streak: AlertStreak) -> None:
        bad_parent, good_from = self._said_by_parents(at, place)
        context = AlertContext(at, bad_parent=bad_parent, parents_good_from=good_from)
        for _ in range(EVENTS_AT_MOST):
            event = decide(self._rule, streak, self._open, self._recent(), context)
            if event is None:
                return
            self._note(event, at)

    def _said_by_parents(self, at: int, place: int) -> tuple[int | None, int | None]:
        return said_by_parents((parent, history.at((at, place))) for parent, history in self._parents.items())

    @property
    def _open(self) -> Alert | None:
        newest = self._alerts[-1] if self._alerts else None
        return newest if newest is not None and newest.closed_at is None else None

    def _recent(self) -> list[Alert]:
        """The newest closed alerts, oldest first: as many as tell whether the pair flaps."""
        recent = self._alerts[-FLAPPING_OPENINGS - 1 :]
        return [alert for alert in recent if alert.closed_at is not None]

    def _note(self, event: AlertEvent, at: int) -> None:
        if isinstance(event, AlertOpened):
            number = len(self._alerts) + 1
            self._alerts.append(opened_alert(event, number, self._monitor, self._rule, at))
            self._notices.append([])
        else:
            number = event.alert.id if isinstance(event, AlertSettled) else len(self._alerts)
            self._alerts[number - 1] = changed(self._alerts[number - 1], event, at)
        kind = notice_of(event)
        if kind is not None:
            self._notices[number - 1].append((at, kind))

    def _next_look(self, at: int, streak: AlertStreak, stretch: Stretch) -> int:
        """The next instant within a stretch at which anything can happen."""
        instants = (minute_from(instant) for instant in self._thresholds(at, streak, stretch))
        return min((instant for instant in instants if instant > at), default=stretch.end)

    def _thresholds(self, at: int, streak: AlertStreak, stretch: Stretch) -> Iterable[int]:
        rule, alert = self._rule, self._open
        for seconds in (rule.after, rule.recover_after, rule.flap_quiet):
            yield streak.counted_from + seconds
        if stretch.said.is_sample:
            for count in (rule.count, rule.recover_count):
                yield minute_of(at) + (count - streak.samples) * MINUTE
        if self._alerts:
            newest = self._alerts[-1]
            yield (newest.opened_at if newest.closed_at is None else newest.closed_at) + rule.flap_quiet
        if alert is not None and rule.remind_every:
            told = (alert.told_at, alert.reminded_at, alert.settled_at)
            yield max((instant for instant in told if instant is not None), default=at) + rule.remind_every
        for history in self._parents.values():
            yield history.next_after(at) or at
        _, good_from = self._said_by_parents(at, WITH_REPORT)
        if good_from is not None:
            yield good_from + rule.after


def _first_looks(stretch: Stretch, at: int) -> tuple[tuple[int, Said], ...]:
    """The looks at an instant of a stretch, as far as they differ."""
    begun = stretch.said
    if minute_of(at) == stretch.start:
        begun = stretch.begun or stretch.said
        if stretch.before is not None:
            return (BEFORE_REPORT, stretch.before), (WITH_REPORT, begun)
    return ((WITH_REPORT if begun.is_sample else BEFORE_REPORT, begun),)


def _continued(streak: AlertStreak, said: Said, start: int, end: int) -> AlertStreak:
    if start == end:
        return streak
    tally = StreakTally(streak)
    tally.add(said, start, end)
    return tally.streak()


def _is_good(streak: AlertStreak) -> bool:
    return streak.speaks and streak.side is Side.GOOD
