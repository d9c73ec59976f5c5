"""Messages for the tests of channels: of each kind, and with hostile texts."""

from dataclasses import replace
from zoneinfo import ZoneInfo

from kener_async.channels.message import Message, MessageItem
from kener_async.domain.alerts import Severity
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.domain.samples import Status

AT = 1_764_300_000  # 2025-11-28 03:20 UTC

HOSTILE = {
    "quotes": "\"; DROP TABLE alerts; -- ' \\ \\u0022 {name} %s $(reboot) `reboot`",
    "markup": "<script>alert(1)</script><img src=http://evil.example/x.png> **b** [a](//evil.example) &amp;",
    "mentions": "@everyone @here <!channel> <@U012AB3CD> <@&1> <users/all> @all @room",
    "newlines": "first\r\nBcc: victim@example.org\r\n\r\n.\r\nQUIT\n\n\ttabs\x00nul\x1b[31mred\x7f",
    "long": "x" * 65536,
    "words": "long words " * 6000,
    "rtl": "\u202egnp.exe \u2066\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u200f",
    "surrogates": "half \ud83d and \udc00 other",
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466" * 400,
    "empty": "",
}


def an_item(kind: NoticeKind = NoticeKind.OPENED, text: str = "", **changes: object) -> MessageItem:
    """What happened to a monitor; `text` stands wherever others can write something."""
    is_over = kind in {NoticeKind.RESOLVED, NoticeKind.RETRACTED, NoticeKind.SETTLED}
    facts = Facts(
        monitor="shop",
        rule=text or "outage",
        severity=Severity.CRITICAL,
        before=Status.DOWN if is_over else Status.UP,
        status=Status.UP if is_over else Status.DOWN,
        since=AT - 600,
        until=AT - 60 if is_over else None,
        reason=text or "HTTP 503",
        latency=0.25,
        bad_now=0 if is_over else 3,
        monitors=240,
        changes=6,
        acknowledged_by=text or "ada" if kind is NoticeKind.ACKNOWLEDGED else "",
        channel=text or "chat" if kind is NoticeKind.CHANNEL_PAUSED else "",
    )
    item = MessageItem(
        kind=kind,
        at=AT,
        facts=facts,
        key="delivery-17",
        alert="alert-3",
        name=text or "The shop",
        category=text or "Sales",
        page="https://status.example.org/monitor/shop",
        acknowledge="https://status.example.org/alerts/3/acknowledge?token=abc",
    )
    return replace(item, **changes)  # type: ignore[arg-type]  # the names are those of the record


def a_message(*items: MessageItem, text: str = "", **changes: object) -> Message:
    """What one sending tells: these items, or one that opened."""
    message = Message(
        key="delivery-17",
        items=items or (an_item(text=text),),
        site=text or "Example",
        home="https://status.example.org",
        locale="en",
        zone=ZoneInfo("Europe/Berlin"),
        bad_now=3,
        monitors=240,
    )
    return replace(message, **changes)  # type: ignore[arg-type]  # the names are those of the record
