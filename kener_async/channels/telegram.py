"""Telegram: a bot that writes to a chat."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpAnswer, HttpChannel, HttpClient, HttpRequest, accepted, refusal
from kener_async.channels.markup import (
    HTML,
    body_lines,
    fitted,
    foot_lines,
    shortened,
    tone_of,
    without_mentions,
)
from kener_async.channels.message import Message, Receipt
from kener_async.channels.texts import texts_of
from kener_async.config.channels import TelegramChannel

API = "https://api.telegram.org"
TEXT_CHARACTERS = 4096
TITLE_CHARACTERS = 1000


def telegram(settings: TelegramChannel, session: ClientSession, *, api: str = API) -> HttpChannel:
    client = HttpClient(session, (settings.token,))
    return HttpChannel(client, partial(render, settings, api=api), judge)


def render(
    settings: TelegramChannel, message: Message, references: Mapping[str, str], *, api: str = API
) -> HttpRequest:
    """The title in bold and the lines, as HTML; what refers to an opening answers its message."""
    text = texts_of(message)
    title = shortened(f"{tone_of(message).symbol} {text.title}", TITLE_CHARACTERS, without_mentions)
    lines = [HTML.bold(title), *body_lines(text, HTML)]
    body: dict[str, Any] = {
        "chat_id": settings.chat,
        "text": fitted(lines, TEXT_CHARACTERS, foot=foot_lines(text, HTML)),
        "parse_mode": "HTML",
        "disable_notification": settings.silent,
        "link_preview_options": {"is_disabled": True},
    }
    if settings.topic:
        body["message_thread_id"] = settings.topic
    reference = references.get(message.items[0].alert, "") if len(message.items) == 1 else ""
    if reference.isdecimal():
        body["reply_parameters"] = {"message_id": int(reference), "allow_sending_without_reply": True}
    return HttpRequest(f"{api}/bot{settings.token}/sendMessage", json.dumps(body).encode())


def judge(answer: HttpAnswer) -> Receipt:
    """Telegram says whether it is `ok` in the answer, with a status of its own and the seconds to wait."""
    said = answer.json()
    if said.get("ok") is True:
        result = said.get("result")
        reference = result.get("message_id", "") if isinstance(result, dict) else ""
        return Receipt(accepted(answer).answer, str(reference))
    code, parameters = said.get("error_code"), said.get("parameters")
    wait = parameters.get("retry_after") if isinstance(parameters, dict) else None
    stated = replace(answer, status=code) if isinstance(code, int) else answer
    raise refusal(stated, retry_after=float(wait) if isinstance(wait, int | float) else None)
