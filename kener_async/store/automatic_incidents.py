"""Incidents that alert rules open, join, reopen and resolve, in the transaction of their alerts."""

from collections.abc import Iterable

from kener_async.domain import automatic_incidents as automatic
from kener_async.domain.alert_plans import AlertPlan
from kener_async.domain.alerts import Alert, AlertRule
from kener_async.domain.automatic_incidents import Affected
from kener_async.domain.incidents import Incident
from kener_async.domain.samples import Status
from kener_async.store import alerts, incident_updates, incidents, monitors
from kener_async.store.interface import Session

MEMBERS = 20  # the oldest alerts of an incident, by which it is known what belongs to it


class AutomaticIncidents:
    """The automatic incidents of one transaction, which are stored by `finish`.

    Each is read, stored and looked at for its end once for all alerts of the transaction, because a storm
    brings hundreds of one incident.
    """

    def __init__(self, session: Session, plan: AlertPlan, now: int) -> None:
        self._session = session
        self._plan = plan
        self._now = now
        self._incidents: dict[int, Incident] = {}
        self._members: dict[int, list[tuple[AlertRule, str]]] = {}
        self._candidates: list[int] | None = None
        self._joined: dict[int, list[Affected]] = {}
        self._remarks: list[tuple[int, str]] = []
        self._may_be_over: set[int] = set()
        self._stored: dict[int, Incident] = {}  # those that change, as they were before the transaction
        self.changed: set[int] = set()

    def begin(
        self, alert: Alert, rule: AlertRule, affected: Affected, status: Status, before: Alert | None
    ) -> int:
        """The number of the incident of an alert that is told: `before`'s, one that it joins, or a new one.

        `before` is the newest alert of the same monitor and rule before this one.
        """
        number = self._reopen(rule, affected, before)
        if number is None:
            number = self._join(rule, affected, status)
        if number is None:
            number = self._open(alert, rule, affected, status)
        self._members_of(number).append((rule, affected.category))
        return number

    def ended(self, number: int) -> None:
        """Note that an alert of the incident ended, or that its pair settled."""
        self._may_be_over.add(number)

    def finish(self) -> None:
        """Store the incidents that changed, and those that are over, with their remarks."""
        for number in self._may_be_over:
            self._end(number)
        for number, joined in self._joined.items():
            remarks = automatic.remarks_on_joining(joined, len(self._incidents[number].tags))
            self._remarks += [(number, remark) for remark in remarks]
        for number in self.changed:
            self._note_state(self._stored.get(number), self._incidents[number])
            incidents.save_automatic(self._session, self._incidents[number])
        for number, remark in self._remarks:
            incidents.remark(self._session, number, remark, self._now)

    def _note_state(self, before: Incident | None, after: Incident) -> None:
        if before is None or before.state is after.state:
            return
        incident_updates.note_states(self._session, before)
        at = self._now if after.resolved_at is None else after.resolved_at
        incident_updates.add_state(self._session, after.number, after.state, at, "", self._now)

    def _reopen(self, rule: AlertRule, affected: Affected, before: Alert | None) -> int | None:
        incident = None if before is None or before.incident is None else self._find(before.incident)
        if incident is None or before is None:
            return None
        if before.is_flapping and not incident.is_resolved:
            return incident.number  # it has gone on while the pair was flapping
        if not automatic.is_reopened(incident, self._now):
            return None
        self._change(automatic.reopened(incident, rule, self._now))
        self._remarks.append((incident.number, f"{affected.name} is {affected.words} again."))
        return incident.number

    def _join(self, rule: AlertRule, affected: Affected, status: Status) -> int | None:
        if rule.join_by == "none":
            return None
        for incident in map(self._find, self._joinable_ones()):
            if incident is None or not automatic.is_joinable(incident, rule, self._now):
                continue
            if automatic.belongs(rule, affected, self._members_of(incident.number)):
                if affected.tag not in incident.tags:
                    self._joined.setdefault(incident.number, []).append(affected)
                impact = automatic.impact_of(rule, status)
                self._change(automatic.joined(incident, affected, impact, self._now))
                return incident.number
        return None

    def _open(self, alert: Alert, rule: AlertRule, affected: Affected, status: Status) -> int:
        number = incidents.next_number(self._session)
        template, zone = self._plan.template(rule), self._plan.zone
        incident = automatic.opened_by(number, rule, template, affected, status, alert, zone)
        incidents.save_automatic(self._session, incident)
        self._change(incident)
        self._members[number] = []
        self._joinable_ones().append(number)
        return number

    def _end(self, number: int) -> None:
        if alerts.has_open(self._session, number):
            return
        incident = self._find(number)
        if incident is None:
            return
        outcome = automatic.over(incident, alerts.of_incident(self._session, number), self._now)
        if outcome is not None:
            after, remark = outcome
            self._change(after)
            self._remarks.append((number, remark))

    def _change(self, incident: Incident) -> None:
        if incident.number in self._incidents:
            self._stored.setdefault(incident.number, self._incidents[incident.number])
        self._incidents[incident.number] = incident
        self.changed.add(incident.number)

    def _joinable_ones(self) -> list[int]:
        if self._candidates is None:
            oldest = self._now - automatic.JOINED_WITHIN
            found = incidents.open_automatic(self._session, oldest)
            self._incidents = {incident.number: incident for incident in found} | self._incidents
            self._candidates = [incident.number for incident in found]
        return self._candidates

    def _members_of(self, number: int) -> list[tuple[AlertRule, str]]:
        """The rules and the categories of an incident's first alerts, of those that are still configured."""
        if number not in self._members:
            found = alerts.of_incident(self._session, number, MEMBERS)
            self._members[number] = list(self._configured(found))
        return self._members[number]

    def _configured(self, found: list[Alert]) -> Iterable[tuple[AlertRule, str]]:
        tags = monitors.tags_of(self._session, {alert.monitor for alert in found})
        for alert in found:
            monitor = self._plan.monitors.get(tags.get(alert.monitor, ""))
            rule = None if monitor is None else monitor.rule(alert.rule)
            if monitor is not None and rule is not None:
                yield rule, monitor.category

    def _find(self, number: int) -> Incident | None:
        """The incident; None when it was deleted."""
        if number not in self._incidents:
            for incident in incidents.of_numbers(self._session, [number]):
                self._incidents[number] = incident
        return self._incidents.get(number)
