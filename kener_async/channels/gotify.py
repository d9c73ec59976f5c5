"""Gotify: messages of an application."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpChannel, HttpClient, HttpRequest
from kener_async.channels.message import Message
from kener_async.channels.plain import plain_body
from kener_async.channels.texts import cut, texts_of
from kener_async.channels.urgency import urgency_of
from kener_async.config.channels import GotifyChannel

TITLE_CHARACTERS = 250
MESSAGE_CHARACTERS = 10_000


def gotify(settings: GotifyChannel, session: ClientSession) -> HttpChannel:
    def render(message: Message, references: Mapping[str, str]) -> HttpRequest:
        return request_of(settings, message)

    return HttpChannel(HttpClient(session, (settings.url, settings.token)), render)


def request_of(settings: GotifyChannel, message: Message) -> HttpRequest:
    """The request to the server."""
    url = settings.url.rstrip("/").removesuffix("/message") + "/message"
    body = json.dumps(created(settings, message)).encode()
    return HttpRequest(url, body, headers=(("X-Gotify-Key", settings.token),))


def created(settings: GotifyChannel, message: Message) -> dict[str, Any]:
    """The message as Gotify's API has it: plain text, which a client shows as it is."""
    text = texts_of(message)
    extras: dict[str, Any] = {"client::display": {"contentType": "text/plain"}}
    if text.links:
        extras["client::notification"] = {"click": {"url": text.links[0].url}}
    return {
        "title": cut(text.title, TITLE_CHARACTERS),
        "message": cut(plain_body(text) or text.title, MESSAGE_CHARACTERS),
        "priority": settings.priority[urgency_of(message)],
        "extras": extras,
    }
