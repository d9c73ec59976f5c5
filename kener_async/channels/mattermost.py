"""Mattermost: an incoming webhook that gets an attachment."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpChannel, HttpClient, HttpRequest
from kener_async.channels.markup import MARKDOWN, body_lines, broken, fitted, foot_lines, shortened, tone_of
from kener_async.channels.message import Message
from kener_async.channels.texts import texts_of
from kener_async.config.channels import MattermostChannel

TITLE_CHARACTERS = 1000
TEXT_CHARACTERS = 7500  # of an attachment Mattermost shows 7,600


def mattermost(settings: MattermostChannel, session: ClientSession) -> HttpChannel:
    return HttpChannel(HttpClient(session, (settings.url,)), partial(render, settings))


def render(settings: MattermostChannel, message: Message, references: Mapping[str, str]) -> HttpRequest:
    """The attachment, coloured by how bad it is; the title is also what notifications show."""
    text, tone = texts_of(message), tone_of(message)
    title = shortened(f"{tone.symbol} {text.title}", TITLE_CHARACTERS, broken)
    attachment = {
        "fallback": title,
        "color": f"#{tone.colour:06x}",
        "title": title,
        "text": fitted(body_lines(text, MARKDOWN), TEXT_CHARACTERS, foot=foot_lines(text, MARKDOWN)),
    }
    body: dict[str, Any] = {"attachments": [attachment]}
    if settings.channel:
        body["channel"] = settings.channel
    return HttpRequest(settings.url, json.dumps(body).encode())
