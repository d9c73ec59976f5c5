"""What a person does about the open alerts of a monitor: acknowledge them, snooze them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kener_async.domain.access import EVERYTHING, Grant
from kener_async.domain.alerts import Alert
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.notices import Facts, Notice, NoticeKind, Recipients
from kener_async.domain.people import Actor
from kener_async.store import alerts, audit, monitors, notices
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class AlertAct:
    """An acknowledgement, or a snooze `until` an instant: by whom, and when."""

    actor: Actor
    at: int
    until: int | None = None


def perform(
    session: Session,
    number: int,
    act: AlertAct,
    recipients: Mapping[str, Recipients],
    grant: Grant = EVERYTHING,
) -> list[Alert]:
    """Perform an act on all open alerts of the monitor of an alert, as they are then.

    `recipients`, by the name of the rule, hear of each alert that was told and that the act changes. Raises
    NotFound, also for an alert of a monitor outside the grant, and Invalid for one that is closed.
    """
    alert = alerts.get(session, number)
    tag = monitors.tags_of(session, [alert.monitor])[alert.monitor]
    if not grant.allows_tag(tag):
        raise NotFound("alert not found")
    if alert.closed_at is not None:
        raise Invalid("the alert is closed")
    _act_on(session, {alert.monitor: tag}, act, recipients)
    return alerts.open_of(session, [alert.monitor])


def perform_on(session: Session, tag: str, act: AlertAct, recipients: Mapping[str, Recipients]) -> int:
    """Perform an act on all open alerts of the monitor of a tag; 1 if it changed any, else 0.

    Raises Invalid where none is open.
    """
    found = {number: each for number, each in monitors.tags(session).items() if each == tag}
    if not alerts.open_of(session, found):
        raise Invalid("the monitor has no open alert")
    return _act_on(session, found, act, recipients)


def acknowledge_all(
    session: Session, act: AlertAct, recipients: Mapping[str, Recipients], grant: Grant = EVERYTHING
) -> int:
    """Acknowledge all open alerts of the monitors of a grant; of how many monitors there were any to change.

    Those that are acknowledged already stay as they are.
    """
    found = {alert.monitor for alert in alerts.all_open(session) if alert.acknowledged_at is None}
    tags = monitors.tags_of(session, found)
    visible = {monitor: tag for monitor, tag in tags.items() if grant.allows_tag(tag)}
    return _act_on(session, visible, act, recipients)


def _act_on(
    session: Session, tags: Mapping[int, str], act: AlertAct, recipients: Mapping[str, Recipients]
) -> int:
    """Perform an act on the open alerts of monitors, given with their tags; of how many it changed any."""
    by, origin = act.actor.name, act.actor.network
    count = 0
    for monitor, tag in tags.items():
        before = alerts.open_of(session, [monitor])
        if act.until is None:
            changed = alerts.acknowledge(session, monitor, act.at, by, origin)
        else:
            changed = alerts.snooze(session, monitor, act.until, by, origin)
        if changed:
            _tell(session, [one for one in changed if one.told_at is not None], act, recipients)
            _record(session, act, tag, before, alerts.open_of(session, [monitor]))
            count += 1
    return count


def _record(
    session: Session, act: AlertAct, tag: str, before: Sequence[Alert], after: Sequence[Alert]
) -> None:
    name = "alert.acknowledge" if act.until is None else "alert.snooze"
    facts = [{"alerts": [_audited(alert) for alert in found]} for found in (before, after)]
    audit.record(session, act.actor, name, f"monitor {tag}", facts[0], facts[1], act.at)


def _audited(alert: Alert) -> dict[str, int | str | None]:
    return {
        "id": alert.id,
        "rule": alert.rule,
        "acknowledgedAt": alert.acknowledged_at,
        "acknowledgedBy": alert.acknowledged_by or None,
        "snoozedUntil": alert.snoozed_until,
    }


def _tell(
    session: Session, changed: Sequence[Alert], act: AlertAct, recipients: Mapping[str, Recipients]
) -> None:
    told = [(alert, recipients[alert.rule]) for alert in changed if alert.rule in recipients]
    told = [(alert, recipient) for alert, recipient in told if recipient.channels]
    if not told:
        return
    earlier = notices.of_alerts(session, [alert.id for alert, _ in told])
    tags = monitors.tags_of(session, {alert.monitor for alert, _ in told})
    for alert, recipient in told:
        facts = _facts(alert, tags[alert.monitor], earlier[alert.id], act)
        notices.add(
            session,
            NoticeKind.ACKNOWLEDGED,
            act.at,
            alert.id,
            alert.incident,
            facts,
            recipient.channels,
            recipient.due_at,
        )


def _facts(alert: Alert, tag: str, earlier: Sequence[Notice], act: AlertAct) -> Facts:
    """The facts that were told last, with the act; `until` is where a snooze ends."""
    known = (
        earlier[-1].facts
        if earlier
        else Facts(tag, alert.rule, alert.severity, since=alert.since, incident=alert.incident)
    )
    return replace(known, acknowledged_by=act.actor.name, until=act.until)
