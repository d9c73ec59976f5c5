"""Google Chat: the webhook of a space, which gets a card."""

import html
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpAnswer, HttpChannel, HttpClient, HttpRequest, accepted
from kener_async.channels.markup import Markup, address, body_lines, fitted, links_of, shortened, tone_of
from kener_async.channels.message import Message, Receipt
from kener_async.channels.texts import texts_of
from kener_async.config.channels import GoogleChatChannel

TITLE_CHARACTERS = 200
PARAGRAPH_CHARACTERS = 4000

CARD_HTML = Markup(
    html.escape,
    lambda text: f"<b>{text}</b>",
    lambda text, url: f'<a href="{html.escape(address(url))}">{text}</a>',
)


def googlechat(settings: GoogleChatChannel, session: ClientSession) -> HttpChannel:
    return HttpChannel(HttpClient(session, (settings.url,)), partial(render, settings), judge)


def render(settings: GoogleChatChannel, message: Message, references: Mapping[str, str]) -> HttpRequest:
    """Texts are in a card, where mentions have no effect. The header is plain text, paragraphs are HTML."""
    text = texts_of(message)
    title = shortened(f"{tone_of(message).symbol} {text.title}", TITLE_CHARACTERS, str)
    subtitle = " · ".join(part for part in (text.now, text.site) if part)
    widgets: list[dict[str, Any]] = []
    if lines := body_lines(text, CARD_HTML):
        paragraph = fitted(lines, PARAGRAPH_CHARACTERS).replace("\n", "<br>")
        widgets.append({"textParagraph": {"text": paragraph}})
    if links := links_of(text):
        buttons = [{"text": link.label, "onClick": {"openLink": {"url": link.url}}} for link in links]
        widgets.append({"buttonList": {"buttons": buttons}})
    card = {"header": {"title": title, "subtitle": subtitle}, "sections": [{"widgets": widgets}]}
    body = {"fallbackText": title, "cardsV2": [{"cardId": "alert", "card": card}]}
    return HttpRequest(settings.url, json.dumps(body).encode(), "application/json; charset=UTF-8")


def judge(answer: HttpAnswer) -> Receipt:
    """The name of the message, such as spaces/AAA/messages/BBB."""
    return Receipt(accepted(answer).answer, str(answer.json().get("name", "")))
