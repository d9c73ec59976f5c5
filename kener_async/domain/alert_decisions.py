"""What happens to an alert now: the rule, the streak that reaches the present, and the alerts stored before.

`decide` says one event at a time; the caller stores it with `opened_alert` or `changed`, and asks again until
there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kener_async.domain.alert_figures import FigureCondition
from kener_async.domain.alert_streaks import AlertStreak, Side
from kener_async.domain.alerts import Alert, AlertRule, Closing
from kener_async.domain.calendar import HOUR, MINUTE
from kener_async.domain.notices import NoticeKind

LATE_REPORT_AGE = 2 * MINUTE  # a report for an older minute is one of a backlog
BACKLOG_SECONDS = 30  # after such a report nothing opens
FLAPPING_OPENINGS = 4  # as many within FLAPPING_SPAN are flapping
FLAPPING_SPAN = HOUR


@dataclass(frozen=True, slots=True)
class AlertContext:
    """What else decides about the alerts of a monitor at `now`, in UTC seconds.

    `late_report_at` is when a report of a backlog last came in (`is_late_report`). `bad_parent` is the id of
    a parent that is measured bad, and `parents_good_from` the instant from which all of them are good: None
    while one is not, 0 without parents. `silenced_by` is the open alert of the monitor that keeps others
    quiet (`silencer`). `awaits_parents`: they are being checked just now, and nothing opens before.
    """

    now: int
    late_report_at: int | None = None
    is_in_maintenance: bool = False
    bad_parent: int | None = None
    parents_good_from: int | None = 0
    silenced_by: Alert | None = None
    awaits_parents: bool = False

    @property
    def is_backlog_coming_in(self) -> bool:
        if self.late_report_at is None:
            return False
        return 0 <= self.now - self.late_report_at <= BACKLOG_SECONDS  # the clock may have been set back


@dataclass(frozen=True, slots=True)
class AlertOpened:
    """An alert opens; quietly unless `is_told`.

    `because` is the id of a bad parent. `is_flapping`: it opens while the pair flaps, or is told as the begin
    of that. `silenced_by` is the alert whose acknowledgement or snooze holds for it, too.
    """

    since: int
    is_told: bool
    because: int | None = None
    is_flapping: bool = False
    silenced_by: Alert | None = None


@dataclass(frozen=True, slots=True)
class AlertClosed:
    """The open alert closes; `until` is where the good streak began, of one that never was its `since`."""

    until: int
    closing: Closing
    is_told: bool


@dataclass(frozen=True, slots=True)
class AlertReminded:
    """The open alert is told again."""


@dataclass(frozen=True, slots=True)
class AlertTold:
    """The open alert, which opened quietly, is told now."""


@dataclass(frozen=True, slots=True)
class AlertSettled:
    """The pair of monitor and rule kept one side after flapping; `alert` is its newest.

    `changes` are the openings and closings while it flapped.
    """

    alert: Alert
    side: Side
    changes: int


AlertEvent = AlertOpened | AlertClosed | AlertReminded | AlertTold | AlertSettled


def is_late_report(minute: int, now: int) -> bool:
    """Whether a report that comes in now for this minute is one of a backlog."""
    return now - minute > LATE_REPORT_AGE


def decide(
    rule: AlertRule,
    streak: AlertStreak,
    alert: Alert | None,
    recent: Sequence[Alert],
    context: AlertContext,
) -> AlertEvent | None:
    """Decide what happens next for one monitor and rule; None: nothing.

    `alert` is the open one, if any. `recent` are the closed ones of the pair, oldest first: those that
    opened within FLAPPING_SPAN, and at least the newest.
    """
    if context.is_in_maintenance or not streak.speaks:
        return None
    now = context.now
    has_just_changed = _has_just_changed(rule, [*recent, alert] if alert is not None else recent, now)
    recent = [_as_of(one, now) for one in recent]
    if alert is None:
        flapping = _flapping(rule, recent)
        opening = _opening(rule, streak, recent, context)
        return opening or (None if has_just_changed else _settling(rule, streak, flapping, now))
    alert = _as_of(alert, now)
    flapping = _flapping(rule, [*recent, alert])
    if streak.side is Side.GOOD:
        return _closing(rule, streak, alert, bool(flapping), now)
    if flapping:
        return None if has_just_changed else _settling(rule, streak, flapping, now)
    return _telling(rule, streak, alert, context)


def needs_earlier(rule: AlertRule, streak: AlertStreak, start: int, newest: Alert | None, now: int) -> bool:
    """Whether minutes before `start`, the first that the streak was computed from, can change the decision.

    `newest` is the newest alert of the pair of monitor and rule. For a monitor that is well, and mostly also
    for one whose alert is open, the minutes at hand are enough.
    """
    alert = newest if newest is not None and newest.closed_at is None else None
    is_answered = alert is not None and not (alert.acknowledged_at is None and alert.snoozed_until is None)
    if streak.is_whole or (streak.is_cut and not is_answered):  # an answered one may keep others quiet
        return False
    if streak.side is None:
        return True
    if newest is not None and not streak.has_cut:
        if _flapping(rule, [newest]) and streak.elapsed(now) < rule.flap_quiet:
            return True
        if alert is not None and alert.told_at is None and streak.elapsed(now) < rule.after:
            return True
    if alert is None:
        return streak.side is Side.BAD
    if streak.side is Side.BAD:
        return alert.acknowledged_at is not None and streak.since > alert.acknowledged_at
    are_met = streak.has_cut or _is_met(streak, rule.recover_after, rule.recover_count, now)
    return start > alert.since or not are_met


def silencer(pairs: Sequence[tuple[AlertRule, Alert, AlertStreak]], now: int) -> Alert | None:
    """The alert that keeps other rules of its monitor quiet, among the open ones given with their streaks.

    An acknowledgement holds for the streak in which it was given, a snooze until its instant. Figures have no
    streak: an uptime that is known to be low for weeks must not hide that the monitor is DOWN.
    """
    bad = [
        (alert, streak.since)
        for rule, alert, streak in pairs
        if streak.side is Side.BAD and not isinstance(rule.condition, FigureCondition)
    ]
    for alert, since in bad:
        if alert.acknowledged_at is not None and since <= alert.acknowledged_at:
            return alert
    return next((alert for alert, _ in bad if _is_snoozed(alert, now)), None)


def opened_alert(event: AlertOpened, alert: int, monitor: int, rule: AlertRule, now: int) -> Alert:
    """The alert that an opening stores, under the id `alert`."""
    opened = Alert(
        id=alert,
        monitor=monitor,
        rule=rule.name,
        severity=rule.severity,
        since=event.since,
        opened_at=now,
        told_at=now if event.is_told else None,
        because=event.because,
        is_flapping=event.is_flapping,
    )
    if event.silenced_by is None:
        return opened
    return replace(
        opened,
        acknowledged_at=event.silenced_by.acknowledged_at,
        acknowledged_by=event.silenced_by.acknowledged_by,
        acknowledged_from=event.silenced_by.acknowledged_from,
        snoozed_until=event.silenced_by.snoozed_until,
    )


def changed(alert: Alert, event: AlertClosed | AlertReminded | AlertTold | AlertSettled, now: int) -> Alert:
    """The alert as an event leaves it."""
    match event:
        case AlertClosed(until, closing):
            return replace(alert, until=until, closed_at=now, closing=closing)
        case AlertReminded():
            return replace(alert, reminders=alert.reminders + 1, reminded_at=now)
        case AlertTold():
            return replace(alert, told_at=now)
        case AlertSettled():
            return replace(alert, settled_at=now, told_at=now if alert.told_at is None else alert.told_at)


def removed(alert: Alert, now: int) -> AlertClosed:
    """The closing of an alert whose rule or monitor is gone."""
    return AlertClosed(now, Closing.REMOVED, is_told=alert.told_at is not None)


def notice_of(event: AlertEvent) -> NoticeKind | None:
    """What is told of an event; None: nothing. REMOVED is for channels that keep state only."""
    match event:
        case AlertOpened(is_told=False) | AlertClosed(is_told=False):
            return None
        case AlertOpened(is_flapping=True):
            return NoticeKind.FLAPPING
        case AlertOpened() | AlertTold():
            return NoticeKind.OPENED
        case AlertClosed(closing=closing):
            return _CLOSING_NOTICES[closing]
        case AlertReminded():
            return NoticeKind.REMINDED
        case AlertSettled():
            return NoticeKind.SETTLED


_CLOSING_NOTICES = {
    Closing.RESOLVED: NoticeKind.RESOLVED,
    Closing.RETRACTED: NoticeKind.RETRACTED,
    Closing.REMOVED: NoticeKind.REMOVED,
}


def _opening(
    rule: AlertRule, streak: AlertStreak, recent: Sequence[Alert], context: AlertContext
) -> AlertOpened | None:
    now = context.now
    if streak.side is not Side.BAD or context.is_backlog_coming_in or context.awaits_parents:
        return None
    if not _is_met(streak, rule.after, rule.count, now):
        return None
    is_flapping = bool(_flapping(rule, recent))
    if is_flapping or context.bad_parent is not None or context.silenced_by is not None:
        return AlertOpened(streak.since, False, context.bad_parent, is_flapping, context.silenced_by)
    within = sum(now - one.opened_at <= FLAPPING_SPAN for one in recent)
    is_flapping = rule.flapping and within + 1 >= FLAPPING_OPENINGS
    return AlertOpened(streak.since, is_told=True, is_flapping=is_flapping)


def _closing(
    rule: AlertRule, streak: AlertStreak, alert: Alert, is_flapping: bool, now: int
) -> AlertClosed | None:
    if not _is_met(streak, rule.recover_after, rule.recover_count, now):
        return None
    is_told = alert.told_at is not None and not is_flapping
    closing = _closing_of(rule, streak, alert)
    return AlertClosed(alert.since if closing is Closing.RETRACTED else streak.since, closing, is_told)


def _closing_of(rule: AlertRule, streak: AlertStreak, alert: Alert) -> Closing:
    """RETRACTED where no minute from the alert's `since` on is bad; figures are never retracted."""
    if isinstance(rule.condition, FigureCondition):
        return Closing.RESOLVED
    bad_until = streak.other_until
    return Closing.RETRACTED if bad_until is None or bad_until <= alert.since else Closing.RESOLVED


def _flapping(rule: AlertRule, alerts: Sequence[Alert]) -> list[Alert]:
    """The alerts of the pair that opened since it began to flap; none unless it still does."""
    flapping: list[Alert] = []
    for alert in reversed(alerts if rule.flapping else ()):
        if not alert.is_flapping or alert.settled_at is not None:
            break
        flapping.append(alert)
    return flapping[::-1]


def _has_just_changed(rule: AlertRule, alerts: Sequence[Alert], now: int) -> bool:
    """Whether the newest alert opened or closed less than `flap_quiet` ago.

    The streak alone does not say so: reports that change within a minute replace one another, and may leave
    minutes that are all alike. An instant that lies ahead, because the clock was set back, says nothing.
    """
    if not alerts:
        return False
    newest = alerts[-1]
    changed_at = newest.opened_at if newest.closed_at is None else newest.closed_at
    return 0 <= now - changed_at < rule.flap_quiet


def _settling(
    rule: AlertRule, streak: AlertStreak, flapping: Sequence[Alert], now: int
) -> AlertSettled | None:
    """The end of flapping, once the side that the newest alert stands for was kept for long enough."""
    if not flapping or streak.side is None or streak.elapsed(now) < rule.flap_quiet:
        return None
    newest = flapping[-1]
    if (newest.closed_at is None) is not (streak.side is Side.BAD):
        return None
    closings = sum(alert.closing not in (None, Closing.REMOVED) for alert in flapping)
    return AlertSettled(newest, streak.side, len(flapping) + closings)


def _telling(
    rule: AlertRule, streak: AlertStreak, alert: Alert, context: AlertContext
) -> AlertTold | AlertReminded | None:
    now = context.now
    if alert.acknowledged_at is not None or _is_snoozed(alert, now):
        return None
    if alert.told_at is not None:
        return AlertReminded() if _is_reminder_due(rule, alert, now) else None
    if context.bad_parent is not None or context.parents_good_from is None:
        return None
    if context.is_backlog_coming_in or context.awaits_parents:
        return None
    waited = now - max(streak.counted_from, context.parents_good_from)
    return AlertTold() if max(0, waited) >= rule.after else None


def _is_reminder_due(rule: AlertRule, alert: Alert, now: int) -> bool:
    instants = (alert.told_at, alert.reminded_at, alert.settled_at)
    last = max(instant for instant in instants if instant is not None)
    return 0 < rule.remind_every <= now - last and alert.reminders < rule.remind_times


def _is_met(streak: AlertStreak, after: int, count: int, now: int) -> bool:
    return streak.elapsed(now) >= after and (streak.is_uncounted or streak.samples >= count)


def _is_snoozed(alert: Alert, now: int) -> bool:
    return alert.snoozed_until is not None and alert.snoozed_until > now


def _as_of(alert: Alert, now: int) -> Alert:
    """The alert with the instants that lie ahead read as now: the clock was set back."""
    return replace(
        alert,
        since=min(alert.since, now),
        opened_at=min(alert.opened_at, now),
        told_at=_not_after(alert.told_at, now),
        reminded_at=_not_after(alert.reminded_at, now),
        settled_at=_not_after(alert.settled_at, now),
        acknowledged_at=_not_after(alert.acknowledged_at, now),
    )


def _not_after(instant: int | None, now: int) -> int | None:
    return None if instant is None else min(instant, now)
