"""Connections of HTTP requests: aiohttp's connector, by the sockets of checks, and a new one each time.

`_create_connection` is what aiohttp documents for connectors of one's own. `_retry_connection` of a session
and `_reading_paused` and `_buffer_paused` of a connection are private attributes
(tests/test_aiohttp_private.py). Without the first, a request whose connection is reset would be sent a second
time, and a target that fails every other time would look well.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import (
    BaseConnector,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    StreamReader,
    hdrs,
)
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_parser import RawResponseMessage
from yarl import URL

from kener_async.probes.probe import NoAnswer, Trace
from kener_async.probes.settings import TlsSettings
from kener_async.probes.sockets import Route, Sockets, abort

SESSION_ATTRIBUTES = ("_retry_connection",)
RESPONSE_ATTRIBUTES = ("_reading_paused", "_buffer_paused")
LARGEST_FIELD = 1 << 16  # bytes; policies and cookies of real sites are longer than aiohttp's default
LARGEST_TUNNEL_ANSWER = 1 << 14  # bytes
SLICE_BYTES = 4096
PARSING_SECONDS = 0.004  # for which parsing may hold the loop
MOST_ANSWERS = 32  # to one request, those of 1xx included
NO_TIMEOUT = ClientTimeout(total=None, sock_connect=None)  # an attempt has one of its own


@dataclass(slots=True)
class Hop:
    """How the requests of one look are connected.

    `proxy_authorization` is shown to a proxy's tunnel. `follows_redirects`: more than one may be connected.
    """

    route: Route
    trace: Trace
    tls: TlsSettings
    proxy_authorization: str = ""
    follows_redirects: bool = True
    opened: list[asyncio.WriteTransport] = field(default_factory=list)
    answers: list[ClientResponse] = field(default_factory=list)
    peer: str = ""  # the address that its last connection leads to

    def note(self, transport: asyncio.WriteTransport) -> None:
        """Take a new connection."""
        self.opened.append(transport)
        address = transport.get_extra_info("peername")
        self.peer = str(address[0]) if address else ""

    def abort(self) -> None:
        """Close all its connections at once; a peer that does not answer cannot delay that."""
        for answer in self.answers:
            answer.close()
        for transport in self.opened:
            abort(transport)
        self.answers.clear()
        self.opened.clear()


_current: ContextVar[Hop] = ContextVar("hop")


@contextmanager
def connecting(hop: Hop) -> Iterator[None]:
    """Connect the requests made within by this hop, and close their connections at the end."""
    token = _current.set(hop)
    try:
        yield
    finally:
        _current.reset(token)
        hop.abort()


class SlicedResponses(ResponseHandler):
    """Parses what a target sends in slices, between which the loop runs other things.

    A quarter of a megabyte can come at once; ten thousand tiny answers in it would hold the loop a second.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._slices: deque[bytes] = deque()
        self._ends: list[Callable[[], object]] = []  # of the connection, after the slices
        self._is_parsing = False
        self._answers = 0

    def data_received(self, data: bytes) -> None:
        """Parse a little at once, and what is more in turns with others."""
        is_little = len(data) <= SLICE_BYTES and not self._slices
        if not data or self._is_parsing or is_little:  # without data, aiohttp goes on with what it has
            super().data_received(data)
            return
        is_first = not self._slices
        self._slices.extend(data[at : at + SLICE_BYTES] for at in range(0, len(data), SLICE_BYTES))
        if is_first:
            self._pause()  # and go on later: the loop reads on and on, within one step, what is not paused
            asyncio.get_running_loop().call_soon(self._parse)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Let aiohttp read on, but not before the slices that have come are parsed."""
        super().resume_reading(resume_parser)
        if self._slices:
            self._pause()

    def eof_received(self) -> None:
        """Take the end of what is sent after the slices before it."""
        if self._slices:
            self._ends.append(super().eof_received)
        else:
            super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take the end of the connection after the slices before it."""
        if self._slices:
            self._ends.append(partial(super().connection_lost, exc))
        else:
            super().connection_lost(exc)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take a parsed answer; too many fail the request."""
        self._answers += 1
        if self._answers <= MOST_ANSWERS:
            super().feed_data(data, size)
            return
        self.abort()
        self.set_exception(NoAnswer(f"more than {MOST_ANSWERS} answers to one request", is_network=False))

    def close(self) -> None:
        """Close the connection; what has come is of no interest any more."""
        self._slices.clear()
        super().close()

    def abort(self) -> None:
        """Close it at once."""
        self._slices.clear()
        super().abort()

    def _parse(self) -> None:
        until = time.perf_counter() + PARSING_SECONDS
        self._is_parsing = True
        try:
            while self._slices and time.perf_counter() < until:
                super().data_received(self._slices.popleft())
        finally:
            self._is_parsing = False
        if self._slices:
            asyncio.get_running_loop().call_soon(self._parse)
            return
        for end in self._ends:
            end()
        self._ends.clear()
        if self.transport is not None and not self._reading_paused and not self._buffer_paused:
            with suppress(RuntimeError):
                self.transport.resume_reading()

    def _pause(self) -> None:
        if self.transport is not None:
            with suppress(RuntimeError):
                self.transport.pause_reading()


class CheckConnector(BaseConnector):
    """Connects by the hop of the look that sends the request."""

    def __init__(self, sockets: Sockets) -> None:
        super().__init__(force_close=True, limit=0)
        self._protocol = partial(SlicedResponses, asyncio.get_running_loop())
        self._sockets = sockets

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Any],
        timeout: ClientTimeout,  # noqa: ASYNC109  as aiohttp calls it
    ) -> ResponseHandler:
        hop = _current.get()
        if hop.opened and not hop.follows_redirects:
            raise NoAnswer("redirects, which is not followed", is_network=False)
        if req.proxy is not None:
            return await self._by_proxy(req, req.proxy, hop)
        tls = hop.tls if req.is_ssl() else None
        transport, protocol = await self._sockets.create(
            self._protocol, _host(req.url), _port(req.url), hop.route, hop.trace, tls
        )
        hop.note(transport)
        return protocol

    async def _by_proxy(self, req: ClientRequest, proxy: URL, hop: Hop) -> ResponseHandler:
        """A connection to the proxy, for https with a tunnel through it."""
        tls = TlsSettings() if proxy.scheme == "https" else None
        if not req.is_ssl():
            transport, protocol = await self._sockets.create(
                self._protocol, _host(proxy), _port(proxy), hop.route, hop.trace, tls
            )
            hop.note(transport)
            return protocol
        reader, writer = await self._sockets.connect(_host(proxy), _port(proxy), hop.route, hop.trace, tls)
        hop.note(writer.transport)
        hop.trace.certificates = ()  # are those of the proxy
        await _tunnel(reader, writer, req.url, hop.proxy_authorization)
        transport, protocol = await self._sockets.tunnel_tls(
            writer.transport, self._protocol, _host(req.url), hop.trace, hop.tls
        )
        hop.note(transport)
        return protocol


class CheckRequest(ClientRequest):
    """A request that accepts every type, in no encoding; to skip headers would cost each request more."""

    DEFAULT_HEADERS = {hdrs.ACCEPT: "*/*"}  # noqa: RUF012  as aiohttp has it


def session_of_checks(sockets: Sockets, user_agent: str) -> ClientSession:
    """The session of all http checks: without cookies, and no request is sent a second time."""
    session = ClientSession(
        connector=CheckConnector(sockets),
        headers={"User-Agent": user_agent},
        request_class=CheckRequest,
        cookie_jar=DummyCookieJar(),
        timeout=NO_TIMEOUT,
        max_line_size=LARGEST_FIELD,
        max_field_size=LARGEST_FIELD,
    )
    session._retry_connection = False
    return session


async def _tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: URL, authorization: str
) -> None:
    """Ask a proxy for a tunnel to the target; raises NoAnswer when it does not make one."""
    authority = (
        f"{target.raw_host if ':' not in str(target.raw_host) else f'[{target.raw_host}]'}:{target.port}"
    )
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if authorization:
        lines.append(f"Proxy-Authorization: {authorization}")
    writer.write("\r\n".join((*lines, "", "")).encode())
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < LARGEST_TUNNEL_ANSWER:
        if not (part := await reader.read(1024)):
            break
        answer += part
    words = answer.split(b"\r\n", 1)[0].split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise NoAnswer("the proxy did not answer as a proxy does")
    if words[1] != b"200":
        raise NoAnswer(f"the proxy answered {words[1][:3].decode('ascii', 'replace')}")


def _host(url: URL) -> str:
    return url.raw_host or ""


def _port(url: URL) -> int:
    return url.port or 80
