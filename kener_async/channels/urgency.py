"""How urgent a message is, for services with priorities."""

from kener_async.channels.message import Message
from kener_async.domain.alerts import Severity
from kener_async.domain.notices import NoticeKind
from kener_async.domain.samples import Status

_GOOD_NEWS = frozenset(
    {
        NoticeKind.RESOLVED,
        NoticeKind.RETRACTED,
        NoticeKind.REMOVED,
        NoticeKind.ACKNOWLEDGED,
        NoticeKind.MAINTENANCE_ANNOUNCED,
    }
)


def is_good_news(message: Message) -> bool:
    """Whether all that it tells is over or taken care of."""
    return all(
        item.kind in _GOOD_NEWS or (item.kind is NoticeKind.SETTLED and item.facts.status is Status.UP)
        for item in message.items
    )


def urgency_of(message: Message) -> Severity:
    """The highest severity of what is bad; good news and tests are INFO."""
    if message.is_test or is_good_news(message):
        return Severity.INFO
    return max(item.facts.severity for item in message.items)
