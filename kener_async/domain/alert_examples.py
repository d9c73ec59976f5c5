"""Worked examples of alert rules: when an alert of bad reports, or of a silence, opens and is told."""

from dataclasses import dataclass
from math import ceil

from kener_async.domain.alert_decisions import AlertContext, decide
from kener_async.domain.alert_streaks import Side, StreakCondition, side_of, streak_of
from kener_async.domain.alerts import AlertRule, StatusIs
from kener_async.domain.calendar import DAY, MINUTE, minute_end, minute_from, minute_of
from kener_async.domain.check_examples import failed_runs
from kener_async.domain.checks import CheckTiming
from kener_async.domain.heartbeats import AtSchedule, EveryInterval, Expectation, MonitorSettings, Version
from kener_async.domain.samples import Sample, Status
from kener_async.domain.timeline import Layers, runs

LONGEST_SILENCE = 2 * 366 * DAY  # longer than a schedule of once a year


@dataclass(frozen=True, slots=True)
class AlertExample:
    """The earliest instants of an alert, in UTC seconds.

    The monitor is bad from `bad_at` on, the alert opens at `opens_at`, and is told at `told_at`, which lies
    later where the hours of the rule have not begun.
    """

    bad_at: int
    opens_at: int
    told_at: int


def example_of_reports(rule: AlertRule, settings: MonitorSettings, minute: int) -> AlertExample | None:
    """The alert of reports that are bad from this minute on and come as expected, else every minute.

    None for conditions that no report meets: NO_DATA, uptimes and burn rates.
    """
    condition = rule.condition
    if not isinstance(condition, StreakCondition) or condition == StatusIs(Status.NO_DATA):
        return None
    last = minute
    for _ in range(1, rule.count):
        last = _next_report(settings.expectation, last)
    # A report is known to its minute only, so time counts from the end of that minute.
    elapsed = minute + MINUTE + rule.after if rule.after else minute
    return _example(rule, minute, max(elapsed, last))


def example_of_runs(rule: AlertRule, timing: CheckTiming, first: float) -> AlertExample | None:
    """The alert of a check that is bad from the run at the instant `first` on; None as above."""
    condition = rule.condition
    if not isinstance(condition, StreakCondition) or condition == StatusIs(Status.NO_DATA):
        return None
    bad_at = minute_of(int(first))
    reports: set[int] = set()
    known_at = 0
    for run in failed_runs(timing, first, is_retried=isinstance(condition, StatusIs)):
        reports.update(run.minutes)
        known_at = ceil(run.known_at)
        if len(reports) >= rule.count:
            break
    elapsed = bad_at + MINUTE + rule.after if rule.after else bad_at
    return _example(rule, bad_at, max(elapsed, known_at))


def example_of_silence(rule: AlertRule, settings: MonitorSettings, minute: int) -> AlertExample | None:
    """The alert of a monitor whose last report, of this minute, was good; None: its silence opens none."""
    condition = rule.condition
    if not isinstance(condition, StreakCondition):
        return None
    report = Sample(0, minute, Status.UP, 0.0)
    layers = Layers({minute: report}, None, (), [Version(minute, settings)], ())
    timeline = runs(layers, minute, minute + LONGEST_SILENCE)
    bad_at = next((run.start for run in timeline if side_of(condition, run, report) is Side.BAD), None)
    if bad_at is None:
        return None
    opens_at = bad_at + rule.after
    streak = streak_of(condition, layers, runs(layers, minute, minute_end(opens_at)))
    if decide(rule, streak, None, (), AlertContext(opens_at)) is None:
        return None
    return _example(rule, bad_at, opens_at)


def _example(rule: AlertRule, bad_at: int, opens_at: int) -> AlertExample:
    return AlertExample(bad_at, opens_at, rule.hours.next_open(opens_at) if rule.hours else opens_at)


def _next_report(expectation: Expectation | None, minute: int) -> int:
    match expectation:
        case EveryInterval(interval=interval):
            return minute_from(minute + interval)
        case AtSchedule(schedule=schedule):
            return schedule.next_after(minute)
    return minute + MINUTE
