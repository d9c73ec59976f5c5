"""Pushover: notifications on phones."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpAnswer, HttpChannel, HttpClient, HttpRequest, accepted, refusal
from kener_async.channels.message import Message, Receipt
from kener_async.channels.plain import plain_body
from kener_async.channels.texts import cut, texts_of
from kener_async.channels.urgency import urgency_of
from kener_async.config.channels import PushoverChannel
from kener_async.domain.alerts import Severity

URL = "https://api.pushover.net/1/messages.json"
MESSAGE_CHARACTERS = 1024
TITLE_CHARACTERS = 250
URL_CHARACTERS = 512
URL_TITLE_CHARACTERS = 100
PRIORITIES = {Severity.INFO: -1, Severity.WARNING: 0, Severity.CRITICAL: 1}  # 1 disturbs quiet hours


def pushover(settings: PushoverChannel, session: ClientSession, url: str = URL) -> HttpChannel:
    def render(message: Message, references: Mapping[str, str]) -> HttpRequest:
        return HttpRequest(url, json.dumps(notification(settings, message)).encode())

    return HttpChannel(HttpClient(session, (settings.token, settings.user)), render, judge)


def judge(answer: HttpAnswer) -> Receipt:
    """The receipt; an answer of 2xx must also say so in its document."""
    receipt = accepted(answer)
    if answer.json().get("status") != 1:
        raise refusal(answer)
    return receipt


def notification(settings: PushoverChannel, message: Message) -> dict[str, Any]:
    """The message as Pushover's API has it."""
    text = texts_of(message)
    fields: dict[str, Any] = {
        "token": settings.token,
        "user": settings.user,
        "title": cut(text.title, TITLE_CHARACTERS),
        "message": cut(plain_body(text, with_links=False) or text.title, MESSAGE_CHARACTERS),
        "priority": PRIORITIES[urgency_of(message)],
        "timestamp": message.items[0].at,
        "device": settings.device,
        "sound": settings.sound,
    }
    if text.links and len(text.links[0].url) <= URL_CHARACTERS:
        fields |= {"url": text.links[0].url, "url_title": cut(text.links[0].label, URL_TITLE_CHARACTERS)}
    return {name: value for name, value in fields.items() if value != ""}
