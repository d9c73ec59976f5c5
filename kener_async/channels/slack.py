"""Slack: an incoming webhook that gets blocks."""

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiohttp import ClientSession

from kener_async.channels.http import HttpAnswer, HttpChannel, HttpClient, HttpRequest, accepted, refusal
from kener_async.channels.markup import (
    Markup,
    address,
    body_lines,
    fitted,
    is_urgent,
    links_of,
    shortened,
    tone_of,
)
from kener_async.channels.message import Message, Receipt
from kener_async.channels.texts import texts_of
from kener_async.config.channels import SlackChannel

HEADER_CHARACTERS = 150
SECTION_CHARACTERS = 3000
TEXT_CHARACTERS = 3000


def escaped(text: str) -> str:
    """Escape what Slack reads as links and mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


MRKDWN = Markup(escaped, str, lambda text, url: f"<{escaped(address(url))}|{text}>")


def slack(settings: SlackChannel, session: ClientSession) -> HttpChannel:
    return HttpChannel(HttpClient(session, (settings.url,)), partial(render, settings), judge)


def render(settings: SlackChannel, message: Message, references: Mapping[str, str]) -> HttpRequest:
    """Texts by others are in `verbatim` texts only, in which Slack makes neither links nor mentions."""
    text, symbol = texts_of(message), tone_of(message).symbol
    title = shortened(f"{symbol} {text.title}", HEADER_CHARACTERS, str)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}
    ]
    if lines := body_lines(text, MRKDWN):
        blocks.append(_section(fitted(lines, SECTION_CHARACTERS), is_verbatim=True))
    if links := links_of(text):
        blocks.append(_section(" · ".join(MRKDWN.link(escaped(link.label), link.url) for link in links)))
    if mention := mention_of(settings.mention) if is_urgent(message) else "":
        blocks.append(_section(mention))
    if foot := " · ".join(part for part in (text.now, text.site) if part):
        elements = [{"type": "plain_text", "text": foot, "emoji": False}]
        blocks.append({"type": "context", "elements": elements})
    fallback = shortened(text.title, TEXT_CHARACTERS, escaped)
    return HttpRequest(settings.url, json.dumps({"text": fallback, "blocks": blocks}).encode())


def _section(text: str, *, is_verbatim: bool = False) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": is_verbatim}}


def mention_of(setting: str) -> str:
    """The mention that a setting stands for: here, channel, everyone, a member's or a user group's id."""
    name = setting.lstrip("@!")
    if name in ("here", "channel", "everyone"):
        return f"<!{name}>"
    if re.fullmatch(r"S[A-Z0-9]+", name):
        return f"<!subteam^{name}>"
    return f"<@{name}>" if re.fullmatch(r"[UW][A-Z0-9]+", name) else ""


def judge(answer: HttpAnswer) -> Receipt:
    """Slack says `ok`; its API, also with a status of 200, `{"ok": false}`."""
    if answer.json().get("ok") is False:
        raise refusal(answer)
    return accepted(answer)
