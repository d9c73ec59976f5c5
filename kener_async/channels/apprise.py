"""Apprise: its API server, which tells the services that are configured there under a key."""

import json
from collections.abc import Mapping

from aiohttp import ClientSession

from kener_async.channels.http import HttpChannel, HttpClient, HttpRequest
from kener_async.channels.message import Message
from kener_async.channels.plain import plain_body
from kener_async.channels.texts import cut, texts_of
from kener_async.channels.urgency import is_good_news, urgency_of
from kener_async.config.channels import AppriseChannel
from kener_async.domain.alerts import Severity

TITLE_CHARACTERS = 250
BODY_CHARACTERS = 10_000
TYPES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


def apprise(settings: AppriseChannel, session: ClientSession) -> HttpChannel:
    def render(message: Message, references: Mapping[str, str]) -> HttpRequest:
        return HttpRequest(settings.url, json.dumps(notification(settings, message)).encode())

    return HttpChannel(HttpClient(session, (settings.url,)), render)


def notification(settings: AppriseChannel, message: Message) -> dict[str, str]:
    """The message as the API has it."""
    text = texts_of(message)
    told = {
        "title": cut(text.title, TITLE_CHARACTERS),
        "body": cut(plain_body(text) or text.title, BODY_CHARACTERS),
        "type": "success" if is_good_news(message) else TYPES[urgency_of(message)],
        "format": "text",
    }
    return told | ({"tag": settings.tag} if settings.tag else {})
