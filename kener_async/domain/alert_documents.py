"""Alerts as JSON documents: the same for the API and for commands."""

from collections.abc import Mapping
from typing import Any

from kener_async.domain.alerts import Alert


def state_of(alert: Alert, now: int) -> str:
    """In a word: open, quiet (it was told to nobody), acknowledged, snoozed, or how it closed."""
    if alert.closing is not None:
        return alert.closing.name.lower()
    if alert.acknowledged_at is not None:
        return "acknowledged"
    if alert.snoozed_until is not None and alert.snoozed_until > now:
        return "snoozed"
    return "quiet" if alert.told_at is None else "open"


def alert_document(alert: Alert, tags: Mapping[int, str], now: int) -> dict[str, Any]:
    """The JSON document of one, in UTC seconds; `tags` are those of the monitors that may be named."""
    return {
        "id": alert.id,
        "monitor": tags[alert.monitor],
        "rule": alert.rule,
        "severity": alert.severity.name.lower(),
        "state": state_of(alert, now),
        "since": alert.since,
        "openedAt": alert.opened_at,
        "toldAt": alert.told_at,
        "reminders": alert.reminders,
        "remindedAt": alert.reminded_at,
        "because": None if alert.because is None else tags.get(alert.because),
        "isFlapping": alert.is_flapping,
        "settledAt": alert.settled_at,
        "acknowledgedAt": alert.acknowledged_at,
        "acknowledgedBy": alert.acknowledged_by or None,
        "acknowledgedFrom": alert.acknowledged_from or None,
        "snoozedUntil": alert.snoozed_until,
        "incidentNumber": alert.incident,
        "until": alert.until,
        "closedAt": alert.closed_at,
        "closing": None if alert.closing is None else alert.closing.name.lower(),
    }
