"""What pagers have in common: an alert is an event that is open there until it is resolved."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum

from kener_async.channels.http import HttpClient, HttpRequest, accepted
from kener_async.channels.message import Message, MessageItem, Receipt
from kener_async.channels.texts import one_line
from kener_async.domain.alerts import Severity
from kener_async.domain.notices import NoticeKind
from kener_async.domain.samples import Status

REASON_CHARACTERS = 2000
SEVERITIES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}


class PagerStep(Enum):
    """What happens to the event at the pager."""

    OPEN = "open"
    ACKNOWLEDGE = "acknowledge"
    CLOSE = "close"


_CLOSING = frozenset({NoticeKind.RESOLVED, NoticeKind.RETRACTED, NoticeKind.REMOVED})


def acts_of(item: MessageItem) -> tuple[PagerStep, ...]:
    """What a notice does to the event, in order.

    An outage that could not be told before is opened and closed, so that it is on record. So is a test, which
    must not stay open, and an announcement of maintenance, which nothing closes.
    """
    if item.kind in (NoticeKind.TEST, NoticeKind.MAINTENANCE_ANNOUNCED):
        return (PagerStep.OPEN, PagerStep.CLOSE)
    if item.kind in _CLOSING:
        return (PagerStep.OPEN, PagerStep.CLOSE) if item.was_not_told else (PagerStep.CLOSE,)
    if item.kind is NoticeKind.SETTLED and item.facts.status is Status.UP:
        return (PagerStep.CLOSE,)
    return (PagerStep.ACKNOWLEDGE,) if item.kind is NoticeKind.ACKNOWLEDGED else (PagerStep.OPEN,)


def steps_of(message: Message) -> Iterator[tuple[MessageItem, PagerStep]]:
    """What a message does to events, in order."""
    for item in message.items:
        for act in acts_of(item):
            yield item, act


def severity_of(item: MessageItem) -> Severity:
    """That of the alert, but nobody need get up for what is over already, or for a test."""
    return Severity.INFO if item.was_not_told or item.kind is NoticeKind.TEST else item.facts.severity


def event_key(item: MessageItem) -> str:
    """The same for all that is told of an alert; what is about no alert is an event by itself."""
    return item.alert or item.key


def timestamp(instant: int) -> str:
    """RFC 3339, in UTC."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def facts_of(item: MessageItem) -> dict[str, str]:
    """What is known, by name, as texts; without what is not known."""
    facts = item.facts
    known = {
        "monitor": facts.monitor,
        "name": one_line(item.name),
        "category": one_line(item.category),
        "rule": one_line(facts.rule),
        "status": facts.status.name if facts.status is not None else "",
        "since": timestamp(facts.since) if facts.since is not None else "",
        "until": timestamp(facts.until) if facts.until is not None else "",
        "reason": one_line(facts.reason, REASON_CHARACTERS),
        "latency": f"{facts.latency:g} {item.unit}" if facts.latency is not None else "",
        "because": one_line(facts.because),
        "channel": one_line(facts.channel),
        "page": item.page,
    }
    return {name: value for name, value in known.items() if value}


class PagerRequests:
    """A pager: each alert is an event of its own, for which requests are sent one after the other.

    After a failure all are sent again, which changes nothing: each names its event.
    """

    takes_one_at_a_time = True
    keeps_state = True

    def __init__(self, client: HttpClient, render: Callable[[Message], Sequence[HttpRequest]]) -> None:
        self._client = client
        self._render = render

    async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
        """Return when each request is accepted; see channels/message.py."""
        receipt = Receipt("")
        for request in self._render(message):
            receipt = accepted(await self._client.request(request))
        return receipt
