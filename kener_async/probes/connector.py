"""Connections of HTTP requests: aiohttp's connector, by the sockets of checks, and a new one each time.

`_create_connection` is what aiohttp documents for connectors of one's own. `_retry_connection` of a session
and `_factory` of a connector are private attributes (tests/test_aiohttp_private.py).
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BaseConnector, ClientRequest, ClientSession, ClientTimeout, DummyCookieJar
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from kener_async.probes.probe import NoAnswer, Trace
from kener_async.probes.settings import TlsSettings
from kener_async.probes.sockets import Route, Sockets

CONNECTOR_ATTRIBUTES = ("_create_connection", "_factory")
SESSION_ATTRIBUTES = ("_retry_connection",)
LARGEST_FIELD = 1 << 16  # bytes; policies and cookies of real sites are longer than aiohttp's default
LARGEST_TUNNEL_ANSWER = 1 << 14  # bytes
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

    def peer(self) -> str:
        """The address that its last connection leads to."""
        peer = self.opened[-1].get_extra_info("peername") if self.opened else None
        return str(peer[0]) if peer else ""

    def abort(self) -> None:
        """Close all its connections at once; a peer that does not answer cannot delay that."""
        for transport in self.opened:
            transport.abort()
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


class CheckConnector(BaseConnector):
    """Connects by the hop of the look that sends the request."""

    def __init__(self, sockets: Sockets) -> None:
        super().__init__(force_close=True, limit=0)
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
            self._factory, _host(req.url), _port(req.url), hop.route, hop.trace, tls
        )
        hop.opened.append(transport)
        return protocol

    async def _by_proxy(self, req: ClientRequest, proxy: URL, hop: Hop) -> ResponseHandler:
        """A connection to the proxy, for https with a tunnel through it."""
        tls = TlsSettings() if proxy.scheme == "https" else None
        if not req.is_ssl():
            transport, protocol = await self._sockets.create(
                self._factory, _host(proxy), _port(proxy), hop.route, hop.trace, tls
            )
            hop.opened.append(transport)
            return protocol
        reader, writer = await self._sockets.connect(_host(proxy), _port(proxy), hop.route, hop.trace, tls)
        hop.opened.append(writer.transport)
        hop.trace.certificates = ()  # are those of the proxy
        await _tunnel(reader, writer, req.url, hop.proxy_authorization)
        transport, protocol = await self._sockets.tunnel_tls(
            writer.transport, self._factory, _host(req.url), hop.trace, hop.tls
        )
        hop.opened.append(transport)
        return protocol


def session_of_checks(sockets: Sockets, user_agent: str) -> ClientSession:
    """The session of all http checks: without cookies, and no request is sent a second time."""
    session = ClientSession(
        connector=CheckConnector(sockets),
        headers={"User-Agent": user_agent},
        skip_auto_headers=("Accept-Encoding", "Content-Type"),
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
