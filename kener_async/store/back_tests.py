"""Back-tests over the stored minutes; quarters that are good throughout are passed over by their counts."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Protocol

from kener_async.domain.alert_looks import PARENT_IS_BAD
from kener_async.domain.alert_streaks import AlertStreak, Side, StreakCondition, side_of
from kener_async.domain.alerts import AlertRule, LatencyAbove, StatusIs
from kener_async.domain.back_test_results import BackTest, BackTestPlan, reaching_into
from kener_async.domain.back_tests import LEAD, Replay, ReplayedAlert, StreakHistory, Stretch, stretches
from kener_async.domain.calendar import MINUTE, QUARTER, minute_end, quarter_of
from kener_async.domain.heartbeats import EveryInterval, OnChange, Version
from kener_async.domain.samples import Status
from kener_async.domain.timeline import Reason, Run
from kener_async.store import alert_streaks, alerts, dirty, layers, samples
from kener_async.store.dirty import Span
from kener_async.store.interface import Session
from kener_async.store.observer import kept_from

READ_AT_ONCE = 16 * QUARTER
ALERTS_AT_MOST = 20_000  # of a back-test


class BackTestRun:
    """A back-test under way, one monitor at a time; `tags` are those of all monitors by id."""

    def __init__(self, plan: BackTestPlan, tags: Mapping[int, str]) -> None:
        self._plan = plan
        self._ids = {tag: monitor for monitor, tag in tags.items()}
        self._histories: dict[int, StreakHistory] = {}
        self._would: list[ReplayedAlert] = []
        self._untested: list[str] = []

    @property
    def is_full(self) -> bool:
        """Whether so many alerts were found that the rest has to be left out."""
        return len(self._would) >= ALERTS_AT_MOST

    def leave_out(self, tag: str) -> None:
        self._untested.append(tag)

    def test(self, session: Session, tag: str) -> None:
        """Replay the rule for the monitor of a tag of the plan; one that was never stored has no alerts."""
        plan = self._plan
        if tag not in self._ids:
            return
        first = first_minute(session, plan.start)
        parents = [self._ids[parent] for parent in plan.parents[tag] if parent in self._ids]
        unread = [parent for parent in parents if parent not in self._histories]
        self._histories.update(histories(session, unread, first, plan.now))
        known = {parent: self._histories[parent] for parent in parents}
        found = replay(session, self._ids[tag], plan.rules[tag], known, first, plan.now)
        self._would += reaching_into(plan.start, found)

    def result(self, session: Session) -> BackTest:
        """What was found, beside the alerts that are stored."""
        tested = self._plan.rules.keys() - set(self._untested)
        monitors = [self._ids[tag] for tag in tested if tag in self._ids]
        did = alerts.of_rule(session, self._plan.name, monitors, self._plan.start)
        self._would.sort(key=lambda one: one.alert.opened_at, reverse=True)
        return BackTest(self._plan, self._would, did, self._untested)


class StretchReader(Protocol):
    """What reads the minutes of a monitor: while it is settled, good minutes may be passed over."""

    @property
    def is_settled(self) -> bool: ...

    def take(self, stretch: Stretch) -> None: ...

    def pass_good(self, start: int, end: int) -> None: ...


def first_minute(session: Session, start: int) -> int:
    """Where a back-test begins to read whose window begins at `start`."""
    return quarter_of(max(start - LEAD, kept_from(session)))


def histories(session: Session, parents: Iterable[int], first: int, now: int) -> dict[int, StreakHistory]:
    """The streaks of monitors that others depend on, by monitor, from the minute `first` on."""
    found: dict[int, StreakHistory] = {}
    gaps = layers.gaps(session, first)
    for parent in parents:
        found[parent] = StreakHistory(gaps, _streak_before(session, parent, PARENT_IS_BAD, first))
        _read(session, parent, PARENT_IS_BAD, (first, now), found[parent], is_brief=True)
    return found


def replay(
    session: Session,
    monitor: int,
    rule: AlertRule,
    parents: Mapping[int, StreakHistory],
    first: int,
    now: int,
) -> list[ReplayedAlert]:
    """The alerts that a rule, not about a figure, would have had of a monitor from the minute `first` on."""
    condition = rule.condition
    if not isinstance(condition, StreakCondition):
        raise TypeError("figures have no stretches")
    earlier = _streak_before(session, monitor, condition, first)
    found = Replay(rule, monitor, now, layers.gaps(session, first), parents, earlier)
    _read(session, monitor, condition, (first, now), found, is_brief=rule.after == 0)
    return list(found.alerts)


def _streak_before(session: Session, monitor: int, condition: StreakCondition, first: int) -> AlertStreak:
    def is_enough(streak: AlertStreak, start: int) -> bool:
        return streak.is_whole or streak.side is Side.GOOD

    streak, _ = alert_streaks.before(session, monitor, condition, first, None, is_enough)
    return streak


def _read(
    session: Session,
    monitor: int,
    condition: StreakCondition,
    span: Span,
    reader: StretchReader,
    *,
    is_brief: bool,
) -> None:
    """Let the reader have every minute from the span's start up to the current one.

    `is_brief`: what is bad for a moment only, until the report of its minute comes in, matters, too.
    """
    start, now = span

    def read(first: int, last: int) -> None:
        for begin in range(first, last, READ_AT_ONCE):
            end = min(begin + READ_AT_ONCE, last)
            stored = layers.load(session, monitor, begin, min(end, now + 1)).begun_by(now)
            for stretch in stretches(condition, stored, begin, end):
                reader.take(stretch)

    for first, last in _good_spans(session, monitor, condition, span, is_brief=is_brief):
        read(start, first)
        start = first
        # Also the first quarter: because its first report may have come in after a deadline.
        while start < last and (start == first or not reader.is_settled):
            read(start, start + QUARTER)
            start += QUARTER
        if start < last:
            reader.pass_good(start, last)
            start = last
    read(start, minute_end(now))


def _good_spans(
    session: Session, monitor: int, condition: StreakCondition, span: Span, *, is_brief: bool
) -> Iterator[Span]:
    """Spans of ended quarters in which every minute is good at every look, oldest first."""
    start, end = span[0], min(quarter_of(span[1]), dirty.rolled_until(session))
    versions = layers.versions(session, monitor)
    if start >= end or (is_brief and _is_bad_before_reports(condition, versions)):
        return
    if is_brief and layers.starts(session, {monitor: start}, end):
        return
    apart = set[int]()
    for first, last in dirty.spans(session, monitor, start, end):
        apart.update(range(max(first, start), min(last, end), QUARTER))
    apart.update(quarter_of(version.since) for version in versions)
    for gap in layers.gaps(session, start):
        apart.update((quarter_of(gap.start), quarter_of(gap.end)))
    if is_brief:
        apart.update(_late_quarters(session, monitor, versions, start, end))
    for first, last in _up_spans(session, monitor, condition, start, end):
        begin = first
        for quarter in sorted(quarter for quarter in apart if first <= quarter < last):
            if begin < quarter:
                yield begin, quarter
            begin = quarter + QUARTER
        if begin < last:
            yield begin, last


def _is_bad_before_reports(condition: StreakCondition, versions: Iterable[Version]) -> bool:
    """Whether a minute whose report has not come in yet may be bad although the reports come as expected."""
    for version in versions:
        settings = version.settings
        default = settings.default_status
        if default is not None:
            run = Run(0, MINUTE, default, Reason.DEFAULT)
            if side_of(condition, run, None) is Side.BAD:
                return True
        if settings.expectation is None:
            if default is None and condition == StatusIs(Status.NO_DATA):
                return True
        elif not isinstance(settings.expectation, EveryInterval | OnChange):
            return True  # at times of a schedule
    return False


def _late_quarters(
    session: Session, monitor: int, versions: Iterable[Version], start: int, end: int
) -> Iterator[int]:
    """The quarters with a report that came in the very minute in which it was late."""
    latest = [_held_for(version) for version in versions]
    held = min((seconds for seconds in latest if seconds is not None), default=None)
    if held is None:
        return
    sparse = session.execute(
        f"{_ISLANDS} AND latency_count < 15) GROUP BY island ORDER BY 1",
        (monitor, start, end),
    ).fetchall()
    for first, last in sparse:
        minutes = samples.minutes(session, monitor, first - MINUTE, last + 2 * QUARTER)
        if minutes:
            yield quarter_of(minutes[0])
        yield from (quarter_of(minute) for before, minute in pairwise(minutes) if minute - before >= held)


def _held_for(version: Version) -> int | None:
    """The seconds from the minute of a report to the first that may be late; None: it is never late."""
    match version.settings.expectation:
        case EveryInterval(interval, grace):
            return MINUTE + interval + grace
        case OnChange(stale_after):
            return MINUTE + stale_after
    return None


_ISLANDS = """
    SELECT min(quarter), max(quarter)
      FROM (SELECT quarter, quarter - 900 * row_number() OVER (ORDER BY quarter) AS island
              FROM quarters WHERE monitor_id = ? AND quarter >= ? AND quarter < ? AND up = 15
"""


def _up_spans(
    session: Session, monitor: int, condition: StreakCondition, start: int, end: int
) -> Iterator[Span]:
    """Spans of quarters that are UP throughout and, for a limit of latencies, below it."""
    is_below = ""
    values: tuple[float, ...] = (monitor, start, end)
    if isinstance(condition, LatencyAbove):
        is_below = """
            AND (latency_count = 0 OR
                 iif(typeof(latency_max) = 'integer', latency_max / 1e6, latency_max) <= ?)
        """
        values = (*values, condition.limit)
    rows = session.execute(
        f"{_ISLANDS} {is_below}) GROUP BY island ORDER BY 1",
        values,
    ).fetchall()
    return ((first, last + QUARTER) for first, last in rows)
