"""Zulip: a bot that writes to a stream."""

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlencode

from aiohttp import ClientSession, encode_basic_auth

from kener_async.channels.http import HttpAnswer, HttpChannel, HttpClient, HttpRequest, accepted, refusal
from kener_async.channels.markup import MARKDOWN, body_lines, broken, fitted, foot_lines, shortened, tone_of
from kener_async.channels.message import Message, Receipt
from kener_async.channels.texts import cut, name_of, one_line, texts_of
from kener_async.config.channels import ZulipChannel

TOPIC_CHARACTERS = 60
TITLE_CHARACTERS = 1000
CONTENT_CHARACTERS = 9500  # Zulip takes 10,000


def zulip(settings: ZulipChannel, session: ClientSession) -> HttpChannel:
    login = encode_basic_auth(settings.user, settings.token)
    client = HttpClient(session, (settings.token, settings.user, login.removeprefix("Basic ")))
    return HttpChannel(client, partial(render, settings), judge)


def render(settings: ZulipChannel, message: Message, references: Mapping[str, str]) -> HttpRequest:
    """The topic is that of the settings, else the monitor, so that all about one is in one place."""
    text = texts_of(message)
    title = shortened(f"{tone_of(message).symbol} {text.title}", TITLE_CHARACTERS, broken)
    lines = [MARKDOWN.bold(title), "", *body_lines(text, MARKDOWN)]
    fields = {
        "type": "stream",
        "to": settings.stream,
        "topic": settings.topic or _topic(message),
        "content": fitted(lines, CONTENT_CHARACTERS, foot=["", *foot_lines(text, MARKDOWN)]),
    }
    login = encode_basic_auth(settings.user, settings.token)
    return HttpRequest(
        f"{settings.url.rstrip('/')}/api/v1/messages",
        urlencode(fields).encode(),
        "application/x-www-form-urlencoded",
        (("Authorization", login),),
    )


def _topic(message: Message) -> str:
    name = name_of(message.items[0]) if len(message.items) == 1 else one_line(message.site)
    return cut(name, TOPIC_CHARACTERS) or "alerts"


def judge(answer: HttpAnswer) -> Receipt:
    """Zulip says its result in the answer, and the seconds to wait in a field of it."""
    said = answer.json()
    if said.get("result") != "success":
        wait = said.get("retry-after")
        raise refusal(answer, retry_after=float(wait) if isinstance(wait, int | float) else None)
    return Receipt(accepted(answer).answer, str(said.get("id", "")))
