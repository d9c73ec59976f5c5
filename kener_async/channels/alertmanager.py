"""Alertmanager of Prometheus: alerts that are known by their labels, posted to its API v2.

Alertmanager resolves an alert without an end after its `resolve_timeout`, unless it is sent again, so an open
one is sent with an end far ahead, and ends when that is told.
"""

import json
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpClient, HttpRequest
from kener_async.channels.message import Message, MessageItem
from kener_async.channels.pagers import SEVERITIES, PagerRequests, PagerStep, acts_of, facts_of, timestamp
from kener_async.channels.plain import plain_body
from kener_async.channels.texts import cut, one_line, texts_of
from kener_async.config.channels import AlertmanagerChannel
from kener_async.domain.calendar import DAY, HOUR
from kener_async.domain.notices import NoticeKind

OPEN_FOR = 365 * DAY
PASSING = HOUR  # of what is about no alert of a rule, so that its end is never told
TEXT_CHARACTERS = 4000

NAMES = {NoticeKind.CHANNEL_PAUSED: "KenerChannelPaused", NoticeKind.TEST: "KenerTest"}


def alertmanager(settings: AlertmanagerChannel, session: ClientSession) -> PagerRequests:
    url = settings.url.rstrip("/").removesuffix("/api/v2/alerts") + "/api/v2/alerts"

    def render(message: Message) -> list[HttpRequest]:
        body = [alert_of(message, item) for item in message.items]
        return [HttpRequest(url, json.dumps(body).encode())]

    return PagerRequests(HttpClient(session, (settings.url,)), render)


def alert_of(message: Message, item: MessageItem) -> dict[str, Any]:
    """An alert of the API. Its labels, which identify it, are the same in all that is told of it."""
    facts, text = item.facts, texts_of(message)
    labels = {
        "alertname": NAMES.get(item.kind) or one_line(facts.rule) or "Kener",
        "monitor": facts.monitor,
        "channel": one_line(facts.channel),
        "severity": SEVERITIES[facts.severity],
        "instance": message.home,
    }
    annotations = {
        "summary": text.title,
        "description": cut(plain_body(text), TEXT_CHARACTERS),
        **facts_of(item),
    }
    start = min(item.at if facts.since is None else facts.since, item.at)
    link = item.page or message.home
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": annotations,
        "startsAt": timestamp(start),
        "endsAt": timestamp(_end(item, start)),
        **({"generatorURL": link} if link else {}),
    }


def _end(item: MessageItem, start: int) -> int:
    """When it is over, in UTC seconds; after the start, as Alertmanager demands."""
    if item.kind in NAMES:
        return item.at + PASSING
    if acts_of(item)[-1] is PagerStep.CLOSE:
        return max(min(item.facts.until or item.at, item.at), start + 1)
    return item.at + OPEN_FOR
