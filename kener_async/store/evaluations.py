"""Evaluations: decide about the alerts of a monitor by what is stored, and store what follows from it.

The alert, its notice with the deliveries, and its incident are written in the caller's transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kener_async.domain.alert_decisions import (
    FLAPPING_SPAN,
    AlertClosed,
    AlertContext,
    AlertEvent,
    AlertOpened,
    AlertSettled,
    AlertTold,
    changed,
    decide,
    needs_earlier,
    notice_of,
    opened_alert,
    removed,
)
from kener_async.domain.alert_figures import FigureCondition
from kener_async.domain.alert_looks import (
    PARENT_IS_BAD,
    AlertLook,
    is_in_maintenance,
    needs_earlier_of_parent,
    said_by_parents,
    silenced_by,
)
from kener_async.domain.alert_plans import AlertPlan
from kener_async.domain.alert_reasons import certificate_reason, condition_words, reason_of
from kener_async.domain.alert_streaks import (
    NO_STREAK,
    AlertStreak,
    Side,
    StreakCondition,
    measured_runs,
    streak_of,
)
from kener_async.domain.alerts import Alert, AlertRule, CertificateWithin, Closing, StatusIs
from kener_async.domain.automatic_incidents import Affected
from kener_async.domain.calendar import QUARTER, minute_of, quarter_of
from kener_async.domain.certificates import ends_at
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.domain.samples import Status
from kener_async.domain.timeline import CurrentStatus, Layers, Reason, Run, current_status, newest_sample
from kener_async.store import (
    alert_streaks,
    alerts,
    certificates,
    check_faults,
    deliveries,
    layers,
    monitors,
    notices,
)
from kener_async.store.automatic_incidents import AutomaticIncidents
from kener_async.store.interface import Session

EVENTS_AT_MOST = 8  # of one monitor and rule at one instant


AlertsByRule = Mapping[int, Mapping[str, Alert]]  # by monitor, then by the name of the rule


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What evaluations left: how many notices, the numbers of the incidents that were written, the open
    alerts of the monitors, and the newest closed ones of those pairs that still flap."""

    notices: int
    incidents: frozenset[int]
    open: AlertsByRule
    unsettled: AlertsByRule


def evaluate(
    session: Session, looks: Iterable[AlertLook], plan: AlertPlan, bad_now: int, visible: int, now: int
) -> Evaluated:
    """Decide about the alerts of monitors, all at `now`, and store what follows.

    `bad_now` of the `visible` monitors are bad.
    """
    incidents = AutomaticIncidents(session, plan, now)
    looks = list(looks)
    open_alerts = _by_rule(alerts.open_of(session, (look.monitor for look in looks)))
    evaluations = [
        Evaluation(session, look, plan, (bad_now, visible), open_alerts.get(look.monitor, {}), incidents)
        for look in looks
    ]
    for evaluation in evaluations:
        evaluation.run()
    incidents.finish()
    return Evaluated(
        sum(evaluation.notices for evaluation in evaluations),
        frozenset(incidents.changed),
        {evaluation.monitor: evaluation.open for evaluation in evaluations},
        {evaluation.monitor: evaluation.unsettled for evaluation in evaluations},
    )


def load_unsettled(session: Session) -> AlertsByRule:
    """The newest closed alerts of the pairs of monitor and rule that still flap."""
    return _by_rule(alerts.unsettled(session))


def load_open(session: Session) -> AlertsByRule:
    """All open alerts."""
    return _by_rule(alerts.all_open(session))


def _by_rule(found: Iterable[Alert]) -> AlertsByRule:
    monitors: dict[int, dict[str, Alert]] = {}
    for alert in found:
        monitors.setdefault(alert.monitor, {})[alert.rule] = alert
    return monitors


def is_unsettled(closed: Alert) -> bool:
    """Whether a pair of monitor and rule still flaps whose newest alert is this closed one."""
    return closed.is_flapping and closed.settled_at is None and closed.closing is not Closing.REMOVED


class MeasuredMinutes:
    """The measured minutes of a monitor from the current quarter on, and their layers."""

    def __init__(self, session: Session, monitor: int, now: int) -> None:
        self.base = quarter_of(now)
        self.layers: Layers = layers.load(session, monitor, self.base, now + 1)
        self.runs: Sequence[Run] = measured_runs(self.layers, self.base, now)
        self.current: CurrentStatus = current_status(self.layers.measured(), now)

    def streak(self, condition: StreakCondition, earlier: AlertStreak = NO_STREAK) -> AlertStreak:
        return streak_of(condition, self.layers, self.runs, earlier)


class Evaluation:
    """The evaluation of the rules of one monitor within a transaction."""

    def __init__(
        self,
        session: Session,
        look: AlertLook,
        plan: AlertPlan,
        counted: tuple[int, int],
        open_alerts: Mapping[str, Alert],
        incidents: AutomaticIncidents,
    ) -> None:
        self._session = session
        self._look = look
        self._plan = plan
        self._bad_now, self._visible = counted
        self._incidents = incidents
        self._now = look.now
        self._minutes = MeasuredMinutes(session, look.monitor, look.now)
        self.open = dict(open_alerts)
        self._streaks: dict[str, AlertStreak] = {}
        self.monitor = look.monitor
        self.unsettled: dict[str, Alert] = {}
        self.notices = 0

    def run(self) -> None:
        """Decide about every rule until nothing happens any more."""
        names = {rule.name for rule in self._look.rules}
        for gone in [alert for alert in self.open.values() if alert.rule not in names]:
            self._remove(gone)
        recent = {rule.name: self._recent(rule) for rule in self._look.rules}
        for rule in self._look.rules:
            self._streaks[rule.name] = self._streak(rule, recent[rule.name])
        for rule in self._look.rules:
            for _ in range(EVENTS_AT_MOST):
                alert, streak = self.open.get(rule.name), self._streaks[rule.name]
                context = self._context(rule, alert, streak)
                event = decide(rule, streak, alert, recent[rule.name], context)
                if event is None:
                    break
                self._store(rule, event, alert, recent[rule.name])
        for name, closed in recent.items():
            if closed and is_unsettled(closed[-1]):
                self.unsettled[name] = closed[-1]

    def _recent(self, rule: AlertRule) -> list[Alert]:
        return alerts.recent_of(self._session, self._look.monitor, rule.name, self._now - FLAPPING_SPAN)

    def _streak(self, rule: AlertRule, recent: Sequence[Alert]) -> AlertStreak:
        condition, now = rule.condition, self._now
        if isinstance(condition, FigureCondition):
            return self._look.figures.get(rule.name, NO_STREAK)
        alert = self.open.get(rule.name)
        newest = alert or next(reversed(recent), None)

        def is_enough(earlier: AlertStreak, start: int) -> bool:
            return not needs_earlier(rule, self._minutes.streak(condition, earlier), start, newest, now)

        earlier, _ = alert_streaks.before(
            self._session, self._look.monitor, condition, self._minutes.base, newest, is_enough
        )
        return self._minutes.streak(condition, earlier)

    def _context(self, rule: AlertRule, alert: Alert | None, streak: AlertStreak) -> AlertContext:
        look, now = self._look, self._now
        quiet = silenced_by(rule, look.rules, self.open, self._streaks, now)
        is_untold = alert is None or alert.told_at is None
        parents = self._parents(rule) if is_untold and streak.side is Side.BAD else ()
        bad_parent, good_from = said_by_parents(parents, look.failing_parents)
        return AlertContext(
            now,
            late_report_at=look.late_report_at,
            is_in_maintenance=is_in_maintenance(self._minutes.layers, now),
            bad_parent=bad_parent,
            parents_good_from=good_from,
            awaits_parents=look.awaits_parents,
            silenced_by=quiet,
        )

    def _parents(self, rule: AlertRule) -> Iterable[tuple[int, AlertStreak]]:
        condition, now = PARENT_IS_BAD, self._now
        for parent in self._look.parents:
            minutes = MeasuredMinutes(self._session, parent, now)

            def is_enough(earlier: AlertStreak, start: int, minutes: MeasuredMinutes = minutes) -> bool:
                return not needs_earlier_of_parent(rule, minutes.streak(condition, earlier), now)

            earlier, _ = alert_streaks.before(self._session, parent, condition, minutes.base, None, is_enough)
            yield parent, minutes.streak(condition, earlier)

    def _store(self, rule: AlertRule, event: AlertEvent, alert: Alert | None, recent: list[Alert]) -> None:
        """Store the alert as the event leaves it, what is told of it, and its incident."""
        before = recent[-1] if recent else None
        match event:
            case AlertOpened():
                opened = opened_alert(event, 0, self._look.monitor, rule, self._now)
                opened = self._with_incident(rule, opened, before, is_told=event.is_told)
                self.open[rule.name] = after = alerts.add(self._session, opened)
            case AlertTold() if alert is not None:
                told = changed(alert, event, self._now)
                self.open[rule.name] = after = self._with_incident(rule, told, before, is_told=True)
            case AlertClosed() if alert is not None:
                after = changed(alert, event, self._now)
                del self.open[rule.name]
                recent.append(after)
            case AlertSettled(alert=settled):
                after = changed(settled, event, self._now)
                if after.closed_at is None:
                    self.open[rule.name] = after
                else:
                    recent[:] = [after if one.id == after.id else one for one in recent]
            case _ if alert is not None:
                self.open[rule.name] = after = changed(alert, event, self._now)
            case _:
                raise AssertionError("an event of an alert that is not open")
        if not isinstance(event, AlertOpened):
            alerts.change(self._session, after)
        if after.incident is not None and after.closed_at is not None:
            self._incidents.ended(after.incident)
        self._tell(rule, event, after)

    def _with_incident(self, rule: AlertRule, alert: Alert, before: Alert | None, *, is_told: bool) -> Alert:
        """The alert with its incident: none for a rule without, nor while it is quiet."""
        if not rule.incident or alert.incident is not None:
            return alert
        if not is_told:
            goes_on = before is not None and alert.is_flapping and before.is_flapping
            return replace(alert, incident=before.incident) if goes_on and before is not None else alert
        status = self._status(rule)
        look = self._look
        affected = Affected(look.tag, look.name, look.category, condition_words(rule, status))
        return replace(alert, incident=self._incidents.begin(alert, rule, affected, status, before))

    def _tell(self, rule: AlertRule, event: AlertEvent, alert: Alert) -> None:
        kind = notice_of(event)
        if kind is None:
            return
        facts = self._facts(rule, event, alert, kind)
        due_at = self._now if rule.hours is None else rule.hours.next_open(self._now)
        channels = self._plan.channels(rule, kind)
        notices.add(self._session, kind, self._now, alert.id, alert.incident, facts, channels, due_at)
        self.notices += 1

    def _remove(self, alert: Alert) -> None:
        """Close an alert whose rule is gone; only channels that keep it open and heard of it are told."""
        event = removed(alert, self._now)
        after = changed(alert, event, self._now)
        alerts.change(self._session, after)
        del self.open[alert.rule]
        if after.incident is not None:
            self._incidents.ended(after.incident)
        if not event.is_told:
            return
        found = notices.of_alerts(self._session, [alert.id])[alert.id]
        heard = deliveries.of_notices(self._session, [notice.id for notice in found])
        told = {delivery.channel for delivery in heard} & self._plan.state_keepers
        facts = self._common(alert, self._last_reason(alert))
        kind = NoticeKind.REMOVED
        notices.add(self._session, kind, self._now, alert.id, alert.incident, facts, sorted(told), self._now)
        self.notices += 1

    def _facts(self, rule: AlertRule, event: AlertEvent, alert: Alert, kind: NoticeKind) -> Facts:
        minutes, now = self._minutes, self._now
        run, held = minutes.runs[-1], minutes.current.held
        streak = self._streaks[rule.name]
        facts = replace(
            self._common(alert, "" if isinstance(event, AlertOpened) else self._last_reason(alert)),
            status=self._status(rule),
            latency=None if held is None else held.latency,
        )
        if streak.side is Side.BAD:
            facts = replace(facts, reason=reason_of(rule, run, minutes.layers, now))
        if isinstance(rule.condition, CertificateWithin):
            facts = self._with_certificate(facts, is_bad=streak.side is Side.BAD)
        elif streak.side is Side.BAD:
            facts = self._with_fault(facts, rule)
        match event:
            case AlertSettled(changes=changes):
                return replace(facts, changes=changes, until=alert.until)
            case AlertClosed():
                return replace(facts, until=alert.until, before=self._status_before(streak.since))
        if kind is NoticeKind.FLAPPING:
            recent = self._recent(rule)
            within = [one for one in recent if now - one.opened_at <= FLAPPING_SPAN]
            facts = replace(facts, changes=2 * len(within) + 1)
        return replace(facts, before=self._status_before(streak.since))

    def _with_certificate(self, facts: Facts, *, is_bad: bool) -> Facts:
        """The facts with the end of the certificate that counts."""
        monitor = self._look.monitor
        ends = ends_at(certificates.of(self._session, [monitor]).get(monitor, ()))
        reason = certificate_reason(ends, self._now) if is_bad else facts.reason
        return replace(facts, certificate_ends=ends, reason=reason)

    def _with_fault(self, facts: Facts, rule: AlertRule) -> Facts:
        """The facts with what the check saw, where a check is why the monitor is bad."""
        run, newest = self._minutes.runs[-1], newest_sample(self._minutes.layers, self._now)
        is_measured = run.reason in (Reason.SAMPLE, Reason.HELD) and newest is not None
        if isinstance(rule.condition, FigureCondition) or not is_measured or newest is None:
            return facts
        fault = check_faults.of_sample(self._session, newest)
        return facts if fault is None else replace(facts, reason=fault.reason)

    def _last_reason(self, alert: Alert) -> str:
        """The reason that the last notice about the alert gave."""
        told = notices.of_alerts(self._session, [alert.id])[alert.id]
        return told[-1].facts.reason if told else ""

    def _common(self, alert: Alert, reason: str) -> Facts:
        """The facts of every notice."""
        return Facts(
            monitor=self._look.tag or self._tag_of(alert.monitor),
            rule=alert.rule,
            severity=alert.severity,
            since=alert.since,
            until=alert.until if alert.closing is not Closing.REMOVED else None,
            reason=reason,
            bad_now=self._bad_now,
            monitors=self._visible,
            because="" if alert.because is None else self._tag_of(alert.because),
            acknowledged_by=alert.acknowledged_by,
            incident=alert.incident,
        )

    def _tag_of(self, monitor: int) -> str:
        return monitors.tags_of(self._session, [monitor])[monitor]

    def _status(self, rule: AlertRule) -> Status:
        """The status now. For rules about silence the last report does not stand for the minutes after it."""
        if rule.condition == StatusIs(Status.NO_DATA):
            return self._minutes.runs[-1].status
        return self._minutes.current.status

    def _status_before(self, instant: int) -> Status | None:
        """The last status that was measured in the quarter-hour before an instant; None: none."""
        minute = minute_of(instant)
        known = _known_before(self._minutes.runs, minute)
        if not known:
            stored = layers.load(self._session, self._look.monitor, minute - QUARTER, minute)
            known = _known_before(measured_runs(stored, minute - QUARTER, minute - 1), minute)
        return known[-1] if known else None


def _known_before(runs: Iterable[Run], minute: int) -> list[Status]:
    """The measured statuses of the runs before a minute, without what says nothing."""
    silent = (Status.NO_DATA, Status.MAINTENANCE)
    return [run.status for run in runs if run.start < minute and run.status not in silent]
