"""Opsgenie: the Alert API v2, in which an alert is known by its `alias`."""

import json
from typing import Any
from urllib.parse import quote

from aiohttp import ClientSession

from kener_async.channels.http import HttpClient, HttpRequest
from kener_async.channels.message import Message, MessageItem
from kener_async.channels.pagers import PagerRequests, PagerStep, event_key, facts_of, severity_of, steps_of
from kener_async.channels.plain import plain_body
from kener_async.channels.texts import cut, one_line, texts_of
from kener_async.config.channels import OpsgenieChannel
from kener_async.domain.alerts import Severity

URLS = {"us": "https://api.opsgenie.com", "eu": "https://api.eu.opsgenie.com"}
PRIORITIES = {Severity.INFO: "P5", Severity.WARNING: "P3", Severity.CRITICAL: "P1"}
MESSAGE_CHARACTERS = 130
DESCRIPTION_CHARACTERS = 15_000
DETAIL_CHARACTERS = 500  # 8,000 for all
NOTE_CHARACTERS = 25_000
SOURCE_CHARACTERS = 100
TAG_CHARACTERS = 50


def opsgenie(settings: OpsgenieChannel, session: ClientSession, url: str = "") -> PagerRequests:
    address = f"{url or URLS[settings.region]}/v2/alerts"
    headers = (("Authorization", f"GenieKey {settings.api_key}"),)

    def render(message: Message) -> list[HttpRequest]:
        return [
            HttpRequest(address + path, json.dumps(body).encode(), headers=headers)
            for path, body in requests_of(settings, message)
        ]

    return PagerRequests(HttpClient(session, (settings.api_key,)), render)


def requests_of(settings: OpsgenieChannel, message: Message) -> list[tuple[str, dict[str, Any]]]:
    """Paths below the one of the alerts, and documents, in order."""
    return [
        ("", _alert(settings, message, item)) if act is PagerStep.OPEN else _change(message, item, act)
        for item, act in steps_of(message)
    ]


def _alert(settings: OpsgenieChannel, message: Message, item: MessageItem) -> dict[str, Any]:
    text = texts_of(message)
    return {
        "message": cut(text.title, MESSAGE_CHARACTERS),
        "alias": event_key(item),
        "description": cut(plain_body(text), DESCRIPTION_CHARACTERS),
        "responders": [_responder(each) for each in settings.responders],
        "tags": [cut(tag, TAG_CHARACTERS) for tag in [one_line(item.facts.rule)] if tag],
        "details": {name: cut(value, DETAIL_CHARACTERS) for name, value in facts_of(item).items()},
        "entity": item.facts.monitor,
        "source": _source(message),
        "priority": PRIORITIES[severity_of(item)],
    }


def _change(message: Message, item: MessageItem, act: PagerStep) -> tuple[str, dict[str, Any]]:
    verb = "close" if act is PagerStep.CLOSE else "acknowledge"
    path = f"/{quote(event_key(item), safe='')}/{verb}?identifierType=alias"
    return path, {"source": _source(message), "note": cut(texts_of(message).title, NOTE_CHARACTERS)}


def _source(message: Message) -> str:
    return one_line(message.site, SOURCE_CHARACTERS) or "kener-async"


def _responder(text: str) -> dict[str, str]:
    """A team by its name, or a user by `user:` and an address."""
    if text.startswith("user:"):
        return {"type": "user", "username": text.removeprefix("user:")}
    return {"type": "team", "name": text}
