"""Discord: a webhook that gets an embed."""

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
    foot_lines,
    is_urgent,
    shortened,
    tone_of,
)
from kener_async.channels.message import Message, Receipt
from kener_async.channels.texts import texts_of
from kener_async.config.channels import DiscordChannel

TITLE_CHARACTERS = 256
DESCRIPTION_CHARACTERS = 4096
NAME_CHARACTERS = 80


def escaped(text: str) -> str:
    """Escape every character that Markdown, links, mentions or emoji could begin with."""
    return re.sub(r"[\\*_~`|<>@#:\[\]()!-]", r"\\\g<0>", text)


MARKDOWN = Markup(escaped, lambda text: f"**{text}**", lambda text, url: f"[{text}]({address(url)})")


def discord(settings: DiscordChannel, session: ClientSession) -> HttpChannel:
    return HttpChannel(HttpClient(session, (settings.url,)), partial(render, settings), judge)


def render(settings: DiscordChannel, message: Message, references: Mapping[str, str]) -> HttpRequest:
    """Texts by others are in the embed only, which mentions nobody; `content` is the configured mention."""
    text, tone = texts_of(message), tone_of(message)
    embed: dict[str, Any] = {
        "title": shortened(f"{tone.symbol} {text.title}", TITLE_CHARACTERS, escaped),
        "description": fitted(
            body_lines(text, MARKDOWN), DESCRIPTION_CHARACTERS, foot=foot_lines(text, MARKDOWN)
        ),
        "color": tone.colour,
    }
    body: dict[str, Any] = {"embeds": [embed], "allowed_mentions": {"parse": []}}
    if is_urgent(message) and settings.mention:
        body["content"], body["allowed_mentions"] = mention_of(settings.mention)
    if settings.username:
        body["username"] = settings.username[:NAME_CHARACTERS]
    if settings.picture:
        body["avatar_url"] = settings.picture
    separator = "&" if "?" in settings.url else "?"
    return HttpRequest(f"{settings.url}{separator}wait=true", json.dumps(body).encode())


def mention_of(setting: str) -> tuple[str, dict[str, list[str]]]:
    """The text of a mention, and whom it may mention; here, everyone, user:ID or role:ID."""
    kind, _, number = setting.partition(":")
    if kind in ("here", "everyone"):
        return f"@{kind}", {"parse": ["everyone"]}
    if number.isdecimal() and kind in ("user", "role"):
        return f"<@{'&' if kind == 'role' else ''}{number}>", {"parse": [], f"{kind}s": [number]}
    return "", {"parse": []}


def judge(answer: HttpAnswer) -> Receipt:
    """The message's id; over the limit, the seconds to wait are also in the answer and in another header."""
    if answer.status == 429:
        raise refusal(answer, retry_after=_retry_after(answer))
    return Receipt(accepted(answer).answer, str(answer.json().get("id", "")))


def _retry_after(answer: HttpAnswer) -> float | None:
    for stated in (answer.json().get("retry_after"), answer.headers.get("X-RateLimit-Reset-After")):
        try:
            return max(0.0, float(stated or ""))
        except ValueError:
            continue
    return None
