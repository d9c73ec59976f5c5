"""Webhooks: the fields of Kener's alerts and ours, or a body of the operator's, signed."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.document import document_of
from kener_async.channels.http import HttpClient, HttpRequest, accepted, printable
from kener_async.channels.markup import PLAIN, body_lines, foot_lines
from kener_async.channels.message import Message, MessageItem, Receipt
from kener_async.channels.signature import HEADER, signature
from kener_async.channels.texts import OVER, name_of, texts_of
from kener_async.config.channels import WebhookChannel
from kener_async.domain.alerts import Severity
from kener_async.domain.calendar import MINUTE
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.domain.placeholders import replaced_placeholders
from kener_async.domain.samples import Status

TRIGGERED, RESOLVED = "TRIGGERED", "RESOLVED"
LONGEST_TEXT = 2000
MOST_ITEMS = 100
BODY_BYTES = 100_000  # many receivers refuse what is larger


class Webhook:
    """Send JSON to an address of the operator's. The key of the message is its Idempotency-Key."""

    takes_one_at_a_time = False
    keeps_state = False

    def __init__(
        self, settings: WebhookChannel, session: ClientSession, *, clock: Callable[[], float] = time.time
    ) -> None:
        secrets = (settings.url, settings.secret, *(value for _, value in settings.headers))
        secrets += tuple(value.partition(" ")[2] for _, value in settings.headers)
        self._client = HttpClient(session, secrets, verify=settings.verify, ca_file=settings.ca_file)
        self._settings = settings
        self._clock = clock

    async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
        """Send one request; any status of 2xx means that it was taken."""
        return accepted(await self._client.request(render(self._settings, message, int(self._clock()))))


def render(settings: WebhookChannel, message: Message, now: int) -> HttpRequest:
    """The request; it is signed when the settings have a secret."""
    document = body_of(message)
    if settings.body:
        document = replaced_placeholders(json.loads(settings.body), values_of(message))
    body = json.dumps(document).encode()
    own = {name.lower() for name, _ in settings.headers}
    content_type = next(
        (value for name, value in settings.headers if name.lower() == "content-type"), "application/json"
    )
    headers = [pair for pair in settings.headers if pair[0].lower() != "content-type"]
    if "idempotency-key" not in own:
        headers.append(("Idempotency-Key", message.key))
    if settings.secret:
        headers.append((HEADER, signature(settings.secret, now, body)))
    return HttpRequest(settings.url, body, content_type, tuple(headers), settings.method)


def body_of(message: Message) -> dict[str, Any]:
    """Kener's fields, of the first item or of all together, then ours, with the first items one by one.

    Of items with long texts there are as many as fit, at least one.
    """
    most = min(len(message.items), MOST_ITEMS)
    while True:
        body = _body_with(message, most)
        if most <= 1 or len(json.dumps(body)) <= BODY_BYTES:
            return body
        most //= 2


def _body_with(message: Message, most: int) -> dict[str, Any]:
    told = replace(message, items=message.items[:most])
    ours: dict[str, Any] = _printable(document_of(told))
    ours["key"] = ours.pop("id")
    ours["items_left_out"] = len(message.items) - len(told.items)
    return kener_fields(message) | ours


def kener_fields(message: Message) -> dict[str, Any]:
    """The fields as Kener 2 and 3 send them. Of several items `id` is the key, and the worst is told."""
    text = texts_of(message)
    first = min(message.items, key=lambda item: (status_of(item) == RESOLVED, -item.facts.severity))
    is_one = len(message.items) == 1
    actions = [{"text": "View Monitor", "url": (first.page if is_one else "") or message.home}]
    if is_one and first.acknowledge and status_of(first) == TRIGGERED:
        actions.append({"text": "Acknowledge", "url": first.acknowledge})
    return {
        "id": id_of(first) if is_one else message.key,
        "alert_name": f"{name_of(first)} {bad_status(first.facts, first.kind)}" if is_one else text.title,
        "severity": first.facts.severity.name.lower(),
        "status": status_of(first),
        "source": "Kener",
        "timestamp": timestamp(max(item.at for item in message.items)),
        "description": description_of(message),
        "details": {
            "metric": name_of(first) if is_one else text.title,
            "current_value": bad_minutes(first) if is_one else len(message.items),
            "threshold": 1,
        },
        "actions": actions,
    }


def id_of(item: MessageItem) -> str:
    """As Kener's: the tag and the number of the alert; the same when it opens and when it is over."""
    number = item.alert.rpartition("-")[2] or item.key
    return printable(f"{item.facts.monitor or item.facts.channel}-{number}")


def status_of(item: MessageItem) -> str:
    """TRIGGERED, or RESOLVED when nothing is wrong any more."""
    is_over = item.kind in OVER or (item.kind is NoticeKind.SETTLED and item.facts.status is Status.UP)
    return RESOLVED if is_over else TRIGGERED


def bad_status(facts: Facts, kind: NoticeKind) -> str:
    """The status that the alert is about: DOWN, DEGRADED or NO_DATA, also when it is over."""
    known = (facts.before, facts.status) if kind in OVER else (facts.status, facts.before)
    bad = next((each for each in known if each in (Status.DOWN, Status.DEGRADED, Status.NO_DATA)), None)
    if bad is None:
        bad = Status.DOWN if facts.severity is Severity.CRITICAL else Status.DEGRADED
    return bad.name


def description_of(message: Message) -> str:
    """All lines of the message but its links, as one text."""
    text = texts_of(message)
    lines = [text.title, *body_lines(text, PLAIN), text.now]
    return "\n".join(line for line in lines if line)


def bad_minutes(item: MessageItem) -> int:
    """For how many minutes it was bad: what Kener counts as failed checks."""
    since, until = item.facts.since, item.facts.until
    end = until if until is not None and item.kind in OVER else item.at
    return 1 if since is None else max(1, (end - since) // MINUTE)


def timestamp(at: int) -> str:
    """As JavaScript writes it: 2025-11-28T03:20:00.000Z."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def values_of(message: Message) -> dict[str, str | int | None]:
    """The values of the placeholders (domain/placeholders.py). Instants are UTC seconds, or null."""
    fields, text = kener_fields(message), texts_of(message)
    item = message.items[0]
    facts = item.facts
    values: dict[str, str | int | None] = {
        **{name: fields[name] for name in ("id", "alert_name", "severity", "status", "source", "timestamp")},
        "description": fields["description"],
        **fields["details"],
        "action_text": fields["actions"][0]["text"],
        "action_url": fields["actions"][0]["url"],
        "key": message.key,
        "kind": item.kind.name.lower(),
        "title": text.title,
        "text": "\n".join([*body_lines(text, PLAIN), *foot_lines(text, PLAIN)]),
        "monitor": facts.monitor,
        "name": name_of(item),
        "category": item.category,
        "rule": facts.rule,
        "reason": facts.reason,
        "since": facts.since,
        "until": facts.until,
        "bad_now": message.bad_now,
        "monitors": message.monitors,
        "site": message.site,
        "home": message.home,
        "page": item.page,
        "acknowledge": item.acknowledge,
    }
    return _printable(values)  # type: ignore[no-any-return]  # the same shape as it was given


def _printable(document: Any) -> Any:
    """The document with texts that other programs can decode: lone surrogates are valid in few of them."""
    match document:
        case str():
            return "\n".join(map(printable, document[:LONGEST_TEXT].split("\n")))
        case list():
            return [_printable(each) for each in document]
        case dict():
            return {name: _printable(each) for name, each in document.items()}
        case _:
            return document
