"""The message as JSON: all that is known of it, for programs."""

from typing import Any

from kener_async.channels.message import Message, MessageItem
from kener_async.domain.samples import Status


def document_of(message: Message) -> dict[str, Any]:
    """The fields of a message. Instants are UTC seconds; what is not known is null or empty."""
    return {
        "id": message.key,
        "site": message.site,
        "home": message.home,
        "locale": message.locale,
        "timezone": message.zone.key,
        "test": message.is_test,
        "bad_now": message.bad_now,
        "monitors": message.monitors,
        "items": [_item(item) for item in message.items],
    }


def _item(item: MessageItem) -> dict[str, Any]:
    facts = item.facts
    return {
        "id": item.key,
        "kind": item.kind.name.lower(),
        "at": item.at,
        "alert": item.alert,
        "monitor": facts.monitor,
        "name": item.name,
        "category": item.category,
        "page": item.page,
        "rule": facts.rule,
        "severity": facts.severity.name.lower(),
        "status_before": _name(facts.before),
        "status": _name(facts.status),
        "since": facts.since,
        "until": facts.until,
        "reason": facts.reason,
        "latency": facts.latency,
        "latency_unit": item.unit,
        "changes": facts.changes,
        "because": facts.because,
        "acknowledged_by": facts.acknowledged_by,
        "acknowledge": item.acknowledge,
        "incident": facts.incident,
        "channel": facts.channel,
        "title": facts.title,
        "tags": list(facts.tags),
        "was_not_told": item.was_not_told,
    }


def _name(status: Status | None) -> str | None:
    return None if status is None else status.name
