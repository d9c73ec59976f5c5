"""Automatic incidents: what alerts of rules with `incident` open, join, reopen and resolve (docs/alerts.md).

They cover no minute, so that an alert never sees its own incident.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zoneinfo import ZoneInfo

from kener_async.domain.alert_plans import IncidentTemplate
from kener_async.domain.alerts import Alert, AlertRule, Closing, LatencyAbove, StatusIs
from kener_async.domain.calendar import MINUTE
from kener_async.domain.durations import format_duration
from kener_async.domain.incidents import Incident, IncidentSource, edited, opened
from kener_async.domain.samples import Status
from kener_async.domain.templates import NAMED, Circumstances, filled, listed

JOINED_WITHIN = 10 * MINUTE  # of the opening of an incident
REOPENED_WITHIN = 30 * MINUTE  # of its end


@dataclass(frozen=True, slots=True)
class Affected:
    """A monitor of which a rule is true: its name, its category, and what it is, such as DOWN."""

    tag: str
    name: str
    category: str
    words: str


def _filled(text: str, affected: Affected, alert: Alert, zone: ZoneInfo) -> str:
    at = alert.opened_at
    return filled(text, Circumstances([affected.name], affected.words, alert.since, at, zone))


def impact_of(rule: AlertRule, status: Status) -> Status | None:
    """The impact that an incident shows: that of the status; none for a figure and for silence."""
    if isinstance(rule.condition, LatencyAbove):
        return Status.DOWN if status is Status.DOWN else Status.DEGRADED
    is_shown = isinstance(rule.condition, StatusIs) and status in (Status.DOWN, Status.DEGRADED)
    return status if is_shown else None


def opened_by(
    number: int,
    rule: AlertRule,
    template: IncidentTemplate,
    affected: Affected,
    status: Status,
    alert: Alert,
    zone: ZoneInfo,
) -> Incident:
    """The incident that an alert opens, beginning with what is wrong."""
    fields: Mapping[str, Any] = {
        "title": _filled(template.title, affected, alert, zone),
        "body": _filled(template.text, affected, alert, zone),
        "tags": (affected.tag,),
        "start": alert.since,
        "impact": impact_of(rule, status),
    }
    return replace(
        opened(number, fields, alert.opened_at),
        source=IncidentSource.RULE,
        covers=False,
        is_draft=rule.incident == "draft",
    )


def is_joinable(incident: Incident, rule: AlertRule, now: int) -> bool:
    """Whether an alert of the rule may join the incident, if it belongs to it."""
    is_open = incident.source is IncidentSource.RULE and not incident.is_resolved
    is_new = 0 <= now - incident.created_at <= JOINED_WITHIN
    return is_open and is_new and incident.is_draft == (rule.incident == "draft")


def belongs(rule: AlertRule, affected: Affected, others: Iterable[tuple[AlertRule, str]]) -> bool:
    """Whether an alert belongs to an incident with alerts of these rules and categories."""
    if rule.join_by == "none":
        return False
    alike = [(other, category) for other, category in others if other.join_by == rule.join_by]
    if rule.join_by == "rule":
        return any(other.name == rule.name for other, _ in alike)
    return any(category == affected.category for _, category in alike)


def joined(incident: Incident, affected: Affected, impact: Status | None, now: int) -> Incident:
    """The incident with one more monitor, whose impact counts if it is worse."""
    impacts = [one for one in (incident.impact, impact) if one is not None]
    tags = incident.tags if affected.tag in incident.tags else (*incident.tags, affected.tag)
    fields = {"tags": tags, "impact": max(impacts, default=None), "impacts": incident.impacts}
    return edited(incident, fields, now)


def remarks_on_joining(affected: Sequence[Affected], monitors: int) -> Iterator[str]:
    """What is said of monitors that have joined an incident, which has so many monitors now.

    Beyond NAMED monitors it is said how many there are, whenever that number has doubled.
    """
    if monitors > NAMED:
        before = max(monitors - len(affected), NAMED)
        if (monitors // NAMED).bit_length() != (before // NAMED).bit_length() or before == NAMED:
            yield f"{monitors} monitors are affected by now."
        return
    for words in dict.fromkeys(one.words for one in affected):
        names = [one.name for one in affected if one.words == words]
        yield f"{listed(names)} {'is' if len(names) == 1 else 'are'} {words}, too."


def is_reopened(incident: Incident, now: int) -> bool:
    """Whether another alert of the same monitor and rule reopens this incident."""
    is_untouched = incident.source is IncidentSource.RULE and incident.touched_at is None
    ended = incident.resolved_at
    return is_untouched and ended is not None and 0 <= now - ended <= REOPENED_WITHIN


def reopened(incident: Incident, rule: AlertRule, now: int) -> Incident:
    """The incident again; one that was withdrawn is public again, if the rule publishes."""
    return replace(edited(incident, {"is_resolved": False}, now), is_draft=rule.incident == "draft")


def over(incident: Incident, alerts: Sequence[Alert], now: int) -> tuple[Incident, str] | None:
    """The incident when all its alerts, oldest first, have ended, and a remark; None while one goes on.

    An alert of a pair that still flaps goes on. One that no person has touched is resolved with the last
    recovery, and withdrawn if all alerts were retracted; others wait for a person.
    """
    newest = {(alert.monitor, alert.rule): alert for alert in alerts}.values()
    if incident.is_resolved or incident.is_monitoring or not alerts or any(map(_goes_on, newest)):
        return None
    end = max(now if alert.until is None else alert.until for alert in alerts)
    is_retracted = all(alert.closing is Closing.RETRACTED for alert in alerts)
    remark = _remark(alerts, end - _last_outage(alerts, now), is_retracted=is_retracted)
    if incident.touched_at is not None:
        return edited(incident, {"is_identified": True, "is_monitoring": True}, now), remark
    resolved = edited(incident, {"is_resolved": True}, min(end, now))
    is_draft = incident.is_draft or is_retracted
    return replace(resolved, updated_at=max(now, incident.updated_at), is_draft=is_draft), remark


def _last_outage(alerts: Sequence[Alert], now: int) -> int:
    """Where the last outage began of those that the incident had one after the other."""
    ordered = sorted(alerts, key=lambda alert: alert.since)
    begin, end = ordered[0].since, ordered[0].since
    for alert in ordered:
        if alert.since > end:
            begin = alert.since
        end = max(end, now if alert.until is None else alert.until)
    return begin


def _goes_on(alert: Alert) -> bool:
    if alert.closed_at is None:
        return True
    return alert.is_flapping and alert.settled_at is None and alert.closing is not Closing.REMOVED


def _remark(alerts: Sequence[Alert], seconds: int, *, is_retracted: bool) -> str:
    if is_retracted:
        return "It was up all along; its reports came late."
    if all(alert.closing is Closing.REMOVED for alert in alerts):
        return "No longer watched."
    return f"Recovered after {format_duration(seconds)}."
