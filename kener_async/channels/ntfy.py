"""ntfy: messages to a topic, published as JSON."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpChannel, HttpClient, HttpRequest
from kener_async.channels.message import Message
from kener_async.channels.plain import cut_bytes, plain_body
from kener_async.channels.texts import texts_of
from kener_async.channels.urgency import is_good_news, urgency_of
from kener_async.config.channels import NtfyChannel

TITLE_BYTES = 250
MESSAGE_BYTES = 4096  # more becomes an attachment
ACTIONS = 3


def ntfy(settings: NtfyChannel, session: ClientSession) -> HttpChannel:
    def render(message: Message, references: Mapping[str, str]) -> HttpRequest:
        return request_of(settings, message)

    return HttpChannel(HttpClient(session, (settings.url, settings.token)), render)


def request_of(settings: NtfyChannel, message: Message) -> HttpRequest:
    """The request to the server; its topic is the last part of the configured address."""
    server, _, topic = settings.url.rstrip("/").rpartition("/")
    headers = (("Authorization", f"Bearer {settings.token}"),) if settings.token else ()
    body = {"topic": topic, **publication(settings, message)}
    return HttpRequest(f"{server}/", json.dumps(body).encode(), headers=headers)


def publication(settings: NtfyChannel, message: Message) -> dict[str, Any]:
    """The message as ntfy's JSON has it, without the topic."""
    text = texts_of(message)
    sign = "white_check_mark" if is_good_news(message) else "rotating_light"
    published: dict[str, Any] = {
        "title": cut_bytes(text.title, TITLE_BYTES),
        "message": cut_bytes(plain_body(text, with_links=False) or text.title, MESSAGE_BYTES),
        "priority": settings.priority[urgency_of(message)],
        "tags": [sign, *settings.tags],
    }
    if text.links:
        published["click"] = text.links[0].url
        published["actions"] = [
            {"action": "view", "label": link.label, "url": link.url} for link in text.links[:ACTIONS]
        ]
    return published
