"""Requests of channels: one attempt with a time-out, its answer read in part, and what that means."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
    TraceConfig,
)

from kener_async import __version__
from kener_async.channels.message import Message, NotDelivered, Receipt
from kener_async.domain import masking
from kener_async.probes.sockets import guarded_socket
from kener_async.probes.targets import PublicTargets

TIMEOUT_SECONDS = 10
ANSWER_BYTES = 8192
ANSWER_CHARACTERS = 500
SHORTEST_SECRET = 6  # shorter ones are words, and masking them would hide what happened

# Statuses for which the same request would be refused again.
PERMANENT_STATUSES = frozenset({400, 401, 403, 404, 410, 422})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a channel sends; only the length of the body and the program's own name are added."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The answer to a request. `text` is masked and cut, to be shown; `body` is the beginning as received.

    `received_at` is the time of this host in UTC seconds.
    """

    status: int
    text: str
    body: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    received_at: float

    def json(self) -> dict[str, Any]:
        """The JSON object in the body; empty if it is none."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def retry_after(self) -> float | None:
        """The seconds of its Retry-After, which may also name a time; None: none that can be read."""
        text = self.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self._now())
        except (ValueError, OverflowError):
            return None

    def _now(self) -> float:
        """The time of the receiver, whose clock may differ from that of this host."""
        try:
            return parsedate_to_datetime(self.headers.get("Date", "")).timestamp()
        except (ValueError, OverflowError):
            return self.received_at


def accepted(answer: HttpAnswer) -> Receipt:
    """The receipt for a status of 2xx; raises NotDelivered for any other."""
    if 200 <= answer.status <= 299:
        return Receipt(f"{answer.status} {answer.text}".strip())
    raise refusal(answer)


def refusal(answer: HttpAnswer, *, retry_after: float | None = None) -> NotDelivered:
    """The error for an answer, by its status; `retry_after` replaces the seconds of Retry-After."""
    text = f"answered {answer.status}: {answer.text}".removesuffix(": ")
    if 300 <= answer.status <= 399:
        text = f"answered {answer.status}, a redirect, which is not followed: set the address it leads to"
    return NotDelivered(
        text,
        for_good=answer.status in PERMANENT_STATUSES,
        retry_after=answer.retry_after() if retry_after is None else retry_after,
    )


Render = Callable[[Message, Mapping[str, str]], HttpRequest]
Judge = Callable[[HttpAnswer], Receipt]


def session_of_channels(
    traces: Sequence[TraceConfig] = (), targets: PublicTargets | None = None
) -> ClientSession:
    """The session of all channels: without cookies, and with compression refused, as answers are bounded.

    `targets` are the addresses that it may reach, for channels that config.toml does not name; None: all.
    """
    headers = {"User-Agent": f"kener-async/{__version__}", "Accept-Encoding": "identity"}
    connector = None if targets is None else TCPConnector(socket_factory=partial(guarded_socket, targets))
    return ClientSession(
        connector=connector, headers=headers, cookie_jar=DummyCookieJar(), trace_configs=[*traces]
    )


class HttpClient:
    """Send requests of one channel. No text of it holds one of `secrets`, or a secret part of the address.

    `ca_file` holds the authorities that are trusted instead of the system's; without `verify`, any is.
    """

    def __init__(
        self,
        session: ClientSession,
        secrets: Iterable[str] = (),
        *,
        verify: bool = True,
        ca_file: Path | None = None,
        timeout: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session = session
        self._secrets = tuple({part for secret in secrets for part in _with_parts(secret)})
        self._verify = verify
        self._ca_file = ca_file
        self._timeout = timeout
        self._clock = clock
        self._tls: ssl.SSLContext | None = None

    async def request(self, request: HttpRequest) -> HttpAnswer:
        """One attempt; redirects are not followed. Raises NotDelivered when no complete answer came."""
        tls = await self._tls_context()
        try:
            async with self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=[("Content-Type", request.content_type), *request.headers],
                ssl=tls,
                allow_redirects=False,
                timeout=ClientTimeout(total=self._timeout),
            ) as response:
                body, is_cut = await _beginning(response)
                return self._answer(request, response, body, is_cut)
        except TimeoutError:
            raise NotDelivered(f"no answer within {self._timeout:g} s") from None
        except (InvalidURL, UnicodeError):
            raise NotDelivered("the address is not valid", for_good=True) from None
        except (ClientError, OSError, ValueError) as error:
            raise NotDelivered(self._masked(_what_failed(error), request.url)) from None

    async def _tls_context(self) -> ssl.SSLContext | bool:
        if not self._verify:
            return False
        if self._ca_file is None:
            return True
        if self._tls is None:
            try:
                self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
            except (OSError, ValueError) as error:
                raise NotDelivered(f"ca_file cannot be read: {_reason(error)}") from None
        return self._tls

    def _answer(
        self, request: HttpRequest, response: ClientResponse, body: bytes, is_cut: bool
    ) -> HttpAnswer:
        text = body.decode(errors="replace")
        shown = self._masked(text, request.url)
        if is_cut:  # the end may be the beginning of a secret
            shown = shown[: -max(map(len, (request.url, *self._secrets)))]
        return HttpAnswer(
            response.status,
            " ".join(printable(shown).split())[:ANSWER_CHARACTERS],
            text,
            response.headers,
            self._clock(),
        )

    def _masked(self, text: str, url: str) -> str:
        return masked(text, {*self._secrets, *parts_of(url)})


class HttpChannel:
    """A channel of one request: `render` is pure, and `judge` says what the answer means."""

    def __init__(
        self,
        client: HttpClient,
        render: Render,
        judge: Judge = accepted,
        *,
        takes_one_at_a_time: bool = False,
        keeps_state: bool = False,
    ) -> None:
        self._client = client
        self._render = render
        self._judge = judge
        self.takes_one_at_a_time = takes_one_at_a_time
        self.keeps_state = keeps_state

    async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
        """Send one request; see channels/message.py."""
        return self._judge(await self._client.request(self._render(message, references)))


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets, in whatever form they may stand in it; short ones stay."""
    return masking.masked(text, (secret for secret in secrets if len(secret) >= SHORTEST_SECRET))


def printable(text: str) -> str:
    """The text without what cannot be encoded or shown: lone surrogates and control characters are spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if "\ud800" <= each <= "\udfff" or _is_control(each) else each for each in text)


def _is_control(character: str) -> bool:
    """Whether it is a control character, or one that changes the direction of the text after it."""
    return (
        character < " "
        or "\x7f" <= character <= "\x9f"
        or character in "\u2028\u2029\u200e\u200f\u061c\ufeff"
        or "\u202a" <= character <= "\u202e"
        or "\u2066" <= character <= "\u2069"
    )


async def _beginning(response: ClientResponse) -> tuple[bytes, bool]:
    """The first bytes of the body, and whether there are more."""
    body = b""
    while len(body) <= ANSWER_BYTES:
        part = await response.content.read(ANSWER_BYTES + 1 - len(body))
        if not part:
            return body, False
        body += part
    return body[:ANSWER_BYTES], True


def parts_of(url: str) -> Iterable[str]:
    """An address and what in it may be a secret: user, password, path, its segments, and the query."""
    parts = urlsplit(url)
    yield from (url, parts.path, parts.query, parts.username or "", parts.password or "")
    yield from (segment for segment in parts.path.split("/") if len(segment) > SHORTEST_SECRET + 2)
    yield from (pair.partition("=")[2] for pair in parts.query.split("&"))


def _with_parts(secret: str) -> Iterable[str]:
    """A secret, and if it is an address, its parts: one that is not requested itself may be sent in parts."""
    with suppress(ValueError):  # of one that only looks like an address
        return (secret, *parts_of(secret)) if "://" in secret else (secret,)
    return (secret,)


def _what_failed(error: Exception) -> str:
    match error:
        case ClientConnectorCertificateError():
            reason = error.certificate_error
            return f"the certificate is not valid: {getattr(reason, 'verify_message', '') or _reason(reason)}"
        case ClientSSLError():
            return f"TLS failed: {_reason(error.os_error)}"
        case ClientConnectorDNSError():
            return "the host cannot be resolved"
        case ClientConnectorError():
            return f"no connection: {_reason(error.os_error)}"
        case ClientPayloadError():
            return "the answer is incomplete"
        case _:
            return f"the connection failed: {_reason(error)}"


def _reason(error: Exception) -> str:
    """In words and without addresses, which may be secrets."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
