"""List, acknowledge and snooze alerts in the database, while a server may be running on it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kener_async.config.model import Config
from kener_async.domain.alert_documents import state_of
from kener_async.domain.alerts import Alert
from kener_async.domain.errors import NotFound
from kener_async.domain.notices import NoticeKind, Recipients
from kener_async.store import alert_acts, alerts, monitors
from kener_async.store.alert_acts import AlertAct
from kener_async.store.interface import Session
from kener_async.store.sqlite import transactions

HEADS = ("id", "monitor", "rule", "severity", "since", "state", "by")


@dataclass(frozen=True, slots=True)
class ListedAlerts:
    """Alerts with the tags of their monitors by id."""

    alerts: Sequence[Alert]
    tags: Mapping[int, str]


def find(config: Config, *, is_open: bool | None, tag: str | None, limit: int) -> ListedAlerts:
    """The newest alerts, newest first, of all monitors or one; raises NotFound, and FatalError."""
    return transactions.read(config.database.path, _find, is_open, tag, limit)


def perform(config: Config, target: str, act: AlertAct) -> ListedAlerts:
    """Acknowledge or snooze the open alerts of a monitor, given by its tag or the id of one of its alerts.

    Raises NotFound, Invalid for an alert that is closed, and FatalError. A running server notices at once.
    """
    recipients = config.recipients(NoticeKind.ACKNOWLEDGED, act.at)
    return transactions.write(config.database.path, _perform, target, act, recipients)


def _find(session: Session, is_open: bool | None, tag: str | None, limit: int) -> ListedAlerts:
    tags = monitors.tags(session)
    only = None if tag is None else [_monitor_of(tags, tag)]
    criteria = alerts.AlertSearch(is_open=is_open, monitors=only, limit=limit)
    return ListedAlerts(alerts.search(session, criteria), tags)


def _perform(
    session: Session, target: str, act: AlertAct, recipients: Mapping[str, Recipients]
) -> ListedAlerts:
    tags = monitors.tags(session)
    number = int(target) if target.isascii() and target.isdigit() and target not in tags.values() else None
    if number is None:
        there = alerts.open_of(session, [_monitor_of(tags, target)])
        if not there:
            raise NotFound(f"{target} has no open alert")
        number = there[0].id
    return ListedAlerts(alert_acts.perform(session, number, act, recipients), tags)


def _monitor_of(tags: Mapping[int, str], wanted: str) -> int:
    for monitor, tag in tags.items():
        if tag == wanted:
            return monitor
    raise NotFound(f"no monitor has the tag {wanted}")


def table(listed: ListedAlerts, now: int) -> Iterator[tuple[str, ...]]:
    """The rows of the table, its heading first."""
    yield HEADS
    for alert in listed.alerts:
        yield (
            str(alert.id),
            listed.tags[alert.monitor],
            alert.rule,
            alert.severity.name.lower(),
            _time(alert.since),
            _state(alert, now),
            alert.acknowledged_by or "-",
        )


def _state(alert: Alert, now: int) -> str:
    state = state_of(alert, now)
    return f"snoozed until {_time(alert.snoozed_until)}" if state == "snoozed" else state


def _time(instant: int | None) -> str:
    return "-" if instant is None else f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M}"
