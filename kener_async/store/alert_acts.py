"""What a person does about the open alerts of a monitor: acknowledge them, snooze them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kener_async.domain.alerts import Alert
from kener_async.domain.errors import Invalid
from kener_async.domain.notices import Facts, Notice, NoticeKind, Recipients
from kener_async.store import alerts, monitors, notices
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class AlertAct:
    """An acknowledgement, or a snooze `until` an instant: the person or token, when, and from where."""

    by: str
    origin: str
    at: int
    until: int | None = None


def perform(
    session: Session, number: int, act: AlertAct, recipients: Mapping[str, Recipients]
) -> list[Alert]:
    """Perform an act on all open alerts of the monitor of an alert, as they are then.

    `recipients`, by the name of the rule, hear of each alert that was told and that the act changes. Raises
    NotFound, and Invalid for an alert that is closed.
    """
    alert = alerts.get(session, number)
    if alert.closed_at is not None:
        raise Invalid("the alert is closed")
    if act.until is None:
        changed = alerts.acknowledge(session, alert.monitor, act.at, act.by, act.origin)
    else:
        changed = alerts.snooze(session, alert.monitor, act.until, act.by, act.origin)
    _tell(session, [one for one in changed if one.told_at is not None], act, recipients)
    return alerts.open_of(session, [alert.monitor])


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
    return replace(known, acknowledged_by=act.by, until=act.until)
