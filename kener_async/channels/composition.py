"""Compose messages: facts that were stored, with the names and addresses of the configuration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo

from kener_async.channels.message import Message, MessageItem
from kener_async.config.model import Config
from kener_async.domain.alerts import Severity
from kener_async.domain.deliveries import Sending
from kener_async.domain.notices import Delivery, DeliveryState, Facts, Notice, NoticeKind
from kener_async.domain.samples import Status


@dataclass(frozen=True, slots=True)
class MonitorLabels:
    """What a message says of a monitor besides its tag. `unit` is that of its latency, `page` its address."""

    name: str
    category: str
    unit: str
    page: str


@dataclass(frozen=True, slots=True)
class MessageSource:
    """What the messages of all channels have in common.

    `home` is the address of the page, or empty. `count_bad` returns how many monitors are bad now, and how
    many there are.
    """

    identity: UUID
    site: str
    home: str
    labels: Mapping[str, MonitorLabels]
    count_bad: Callable[[], tuple[int, int]]


def message_source(config: Config, identity: UUID, count_bad: Callable[[], tuple[int, int]]) -> MessageSource:
    """What the messages of a configuration have in common."""
    server = config.server
    home = server.public_url + server.base_path if server.public_url else ""
    labels = {
        monitor.tag: MonitorLabels(
            name=monitor.name,
            category=monitor.category,
            unit=monitor.latency_unit,
            page="" if monitor.hidden or not home else f"{home}/monitor/{quote(monitor.tag)}",
        )
        for monitor in config.monitors
    }
    return MessageSource(identity, config.site.name, home, labels, count_bad)


def compose(source: MessageSource, locale: str, zone: ZoneInfo, sending: Sending) -> Message:
    """The message of a sending, in a channel's language and zone."""
    bad_now, monitors = source.count_bad()
    return Message(
        key=message_key(source.identity, sending.ids),
        items=tuple(_item(source, delivery, sending) for delivery in sending.deliveries),
        site=source.site,
        home=source.home,
        locale=locale,
        zone=zone,
        bad_now=bad_now,
        monitors=monitors,
    )


def _item(source: MessageSource, delivery: Delivery, sending: Sending) -> MessageItem:
    notice, labels = delivery.notice, source.labels.get(delivery.notice.facts.monitor)
    if notice.kind is NoticeKind.MAINTENANCE_ANNOUNCED:
        return _announcement(source, delivery)
    return MessageItem(
        kind=notice.kind,
        at=notice.at,
        facts=notice.facts,
        key=message_key(source.identity, (delivery.id,)),
        alert="" if notice.alert is None else f"{installation_of(source.identity)}-alert-{notice.alert}",
        name=notice.facts.monitor if labels is None else labels.name,
        category="" if labels is None else labels.category,
        page="" if labels is None else labels.page,
        unit="s" if labels is None else labels.unit,
        was_not_told=delivery.id in sending.untold,
        is_late=delivery.id in sending.late,
    )


def _announcement(source: MessageSource, delivery: Delivery) -> MessageItem:
    """The announcement of a maintenance, with the page of the maintenance."""
    notice, facts = delivery.notice, delivery.notice.facts
    labels = (source.labels.get(tag) for tag in facts.tags)
    return MessageItem(
        kind=notice.kind,
        at=notice.at,
        facts=facts,
        key=message_key(source.identity, (delivery.id,)),
        alert="",
        name=facts.title,
        page=f"{source.home}/incident/{notice.incident}" if source.home else "",
        affected=tuple(each.name for each in labels if each is not None),
    )


def message_key(identity: UUID, deliveries: Sequence[int]) -> str:
    """The key of a message: the same for the same deliveries of a database, and for no other ones."""
    if len(deliveries) == 1:
        return f"{installation_of(identity)}-{deliveries[0]}"
    digest = sha256(",".join(map(str, deliveries)).encode()).hexdigest()[:16]
    return f"{installation_of(identity)}-{deliveries[0]}-{digest}"


def installation_of(identity: UUID) -> str:
    """The part of keys that tells one database from another."""
    return identity.hex[:12]


EXAMPLE_REASON = "this is a test"


def example(source: MessageSource, locale: str, zone: ZoneInfo, now: int, key: str) -> Message:
    """A message to test a channel with: a monitor that is DOWN; the first one that is configured."""
    tag = next(iter(source.labels), "example")
    facts = Facts(
        monitor=tag,
        rule="test",
        severity=Severity.INFO,
        before=Status.UP,
        status=Status.DOWN,
        since=now - 5 * 60,
        reason=EXAMPLE_REASON,
    )
    notice = Notice(0, NoticeKind.TEST, now, None, None, facts)
    delivery = Delivery(0, notice, "", DeliveryState.SENDING, 0, float(now))
    item = replace(_item(source, delivery, Sending((delivery,))), key=key, alert=key)
    composed = compose(source, locale, zone, Sending((delivery,)))
    return replace(composed, key=key, items=(item,), is_test=True)
