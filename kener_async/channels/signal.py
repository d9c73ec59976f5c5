"""Signal, by a signal-cli-rest-api."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpChannel, HttpClient, HttpRequest
from kener_async.channels.message import Message
from kener_async.channels.plain import plain_body
from kener_async.channels.texts import cut, texts_of
from kener_async.config.channels import SignalChannel

MESSAGE_CHARACTERS = 2000  # more becomes an attachment


def signal(settings: SignalChannel, session: ClientSession) -> HttpChannel:
    url = settings.url.rstrip("/").removesuffix("/v2/send") + "/v2/send"

    def render(message: Message, references: Mapping[str, str]) -> HttpRequest:
        return HttpRequest(url, json.dumps(sending(settings, message)).encode())

    return HttpChannel(HttpClient(session, (settings.url,)), render)


def sending(settings: SignalChannel, message: Message) -> dict[str, Any]:
    """The message as the API has it, without styles."""
    text = texts_of(message)
    return {
        "number": settings.sender,
        "recipients": list(settings.to),
        "message": cut(f"{text.title}\n{plain_body(text)}".strip(), MESSAGE_CHARACTERS),
        "text_mode": "normal",
    }
