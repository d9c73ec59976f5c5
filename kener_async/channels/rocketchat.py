"""Rocket.Chat: an incoming webhook that gets an attachment."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpAnswer, HttpChannel, HttpClient, HttpRequest, accepted, refusal
from kener_async.channels.markup import MARKDOWN, body_lines, broken, fitted, foot_lines, shortened, tone_of
from kener_async.channels.message import Message, Receipt
from kener_async.channels.texts import texts_of
from kener_async.config.channels import RocketChatChannel

TITLE_CHARACTERS = 1000
TEXT_CHARACTERS = 4000  # Rocket.Chat takes 5,000 for all of a message


def rocketchat(settings: RocketChatChannel, session: ClientSession) -> HttpChannel:
    return HttpChannel(HttpClient(session, (settings.url,)), partial(render, settings), judge)


def render(settings: RocketChatChannel, message: Message, references: Mapping[str, str]) -> HttpRequest:
    """The title as the text, which notifications show, and an attachment coloured by how bad it is."""
    text, tone = texts_of(message), tone_of(message)
    attachment = {
        "color": f"#{tone.colour:06x}",
        "text": fitted(body_lines(text, MARKDOWN), TEXT_CHARACTERS, foot=foot_lines(text, MARKDOWN)),
    }
    title = shortened(f"{tone.symbol} {text.title}", TITLE_CHARACTERS, broken)
    body: dict[str, Any] = {"text": title, "parseUrls": False, "attachments": [attachment]}
    if settings.channel:
        body["channel"] = settings.channel
    return HttpRequest(settings.url, json.dumps(body).encode())


def judge(answer: HttpAnswer) -> Receipt:
    """Rocket.Chat says whether it was a success in the answer, whatever the status."""
    if answer.json().get("success") is False:
        raise refusal(answer)
    return accepted(answer)
