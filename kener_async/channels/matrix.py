"""Matrix: an account that writes to a room."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import ClientSession

from kener_async.channels.http import HttpAnswer, HttpClient, HttpRequest, accepted, refusal
from kener_async.channels.markup import (
    HTML,
    PLAIN,
    body_lines,
    fitted,
    foot_lines,
    shortened,
    tone_of,
    without_mentions,
)
from kener_async.channels.message import Message, NotDelivered, Receipt
from kener_async.channels.texts import texts_of
from kener_async.config.channels import MatrixChannel

TITLE_CHARACTERS = 1000
TEXT_CHARACTERS = 9000  # an event may have 65,536 bytes of UTF-8, with both forms of the text


class Matrix:
    """Write messages whose transaction id is their key: the server drops one that is sent twice."""

    takes_one_at_a_time = False
    keeps_state = False

    def __init__(self, settings: MatrixChannel, session: ClientSession) -> None:
        self._settings = settings
        self._client = HttpClient(session, (settings.token,))
        self._room = settings.room if settings.room.startswith("!") else ""

    async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
        """Look up the room's id once where an alias is configured, then write."""
        if not self._room:
            self._room = await self._resolved()
        return judge(await self._client.request(render(self._settings, self._room, message, references)))

    async def _resolved(self) -> str:
        answer = await self._client.request(
            _request(self._settings, "GET", f"directory/room/{quote(self._settings.room, safe='')}")
        )
        if answer.status != 200:
            raise _refused(answer)
        room = answer.json().get("room_id")
        if not isinstance(room, str):
            raise NotDelivered("the server did not say which room the alias stands for")
        return room


def render(
    settings: MatrixChannel, room: str, message: Message, references: Mapping[str, str]
) -> HttpRequest:
    """The event: plain text and HTML, mentioning nobody, as an answer where the opening is known."""
    text, symbol = texts_of(message), tone_of(message).symbol
    plain = [f"{symbol} {text.title}", *body_lines(text, PLAIN)]
    title = shortened(f"{symbol} {text.title}", TITLE_CHARACTERS, without_mentions)
    marked = [HTML.bold(title), *body_lines(text, HTML)]
    event: dict[str, Any] = {
        "msgtype": "m.text",
        "body": fitted(plain, TEXT_CHARACTERS, foot=foot_lines(text, PLAIN)),
        "format": "org.matrix.custom.html",
        "formatted_body": fitted(marked, TEXT_CHARACTERS, foot=foot_lines(text, HTML)).replace("\n", "<br>"),
        "m.mentions": {},
    }
    reference = references.get(message.items[0].alert, "") if len(message.items) == 1 else ""
    if reference:
        event["m.relates_to"] = {"m.in_reply_to": {"event_id": reference}}
    path = f"rooms/{quote(room, safe='')}/send/m.room.message/{quote(message.key, safe='')}"
    return _request(settings, "PUT", path, json.dumps(event).encode())


def _request(settings: MatrixChannel, method: str, path: str, body: bytes = b"") -> HttpRequest:
    return HttpRequest(
        f"{settings.homeserver.rstrip('/')}/_matrix/client/v3/{path}",
        body,
        headers=(("Authorization", f"Bearer {settings.token}"),),
        method=method,
    )


def judge(answer: HttpAnswer) -> Receipt:
    """The id of the event."""
    event = answer.json().get("event_id")
    if answer.status != 200 or not isinstance(event, str):
        raise _refused(answer)
    return Receipt(accepted(answer).answer, event)


def _refused(answer: HttpAnswer) -> NotDelivered:
    """The seconds to wait are in the answer of older servers."""
    wait = answer.json().get("retry_after_ms")
    return refusal(answer, retry_after=wait / 1000 if isinstance(wait, int) else None)
