"""Responses of which all headers but three are known before the request: sent in one write.

For every response aiohttp fills in a multidict of headers, checks it and joins it to text, which takes longer
than all of our own work for a heartbeat. Here a head is joined once, and Date, X-Request-Id and
Content-Length are added when it is sent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.hdrs import METH_HEAD

JSON = "application/json; charset=utf-8"
STANDARD_HEADERS = {"Server": "kener_async", "X-Content-Type-Options": "nosniff"}
# Of every response that does not set them itself.
DEFAULT_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
}
HTTP_10 = b"HTTP/1.0"
REQUEST_ID_HEADER = "X-Request-Id"
NO_STORE = "no-store"
ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
END, END_OF_LAST = b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"
SHARED_BYTES = 4096  # from this size on a body is sent as it is and not copied behind its head


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PrebuiltHead:
    """A status and headers, also as the bytes that HTTP/1.1 sends for them; shared by many responses."""

    __slots__ = ("has_no_body", "headers", "raw", "status")

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.has_no_body = status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        self.headers = {**DEFAULT_HEADERS, **headers, **STANDARD_HEADERS}
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *map(": ".join, self.headers.items())]
        self.raw = "\r\n".join([*lines, "Date: "]).encode()

    def for_body(self, length: int, request_id: str, end: bytes = END) -> bytes:
        """The head as HTTP/1.1 sends it; 304 has no length of a body."""
        date, number = _date(int(time())), request_id.encode()
        if self.has_no_body:
            return b"%b%b\r\nX-Request-Id: %b%b" % (self.raw, date, number, end)
        return b"%b%b\r\nX-Request-Id: %b\r\nContent-Length: %d%b" % (self.raw, date, number, length, end)


class PrebuiltResponse(web.Response):
    """A prebuilt head and a body, for one request.

    aiohttp's constructor is run late, because it costs more than the whole of a raw write: when an attribute
    that it sets is first read, such as the headers. From then on this is an ordinary response. For cookies
    and compression by aiohttp use web.Response.
    """

    # aiohttp looks for this mark of its exceptions on every response; defined here, it is found at once.
    __http_exception__ = False
    request_id = ""
    _is_constructed = False
    _is_raw = True  # until anything makes it differ from its prebuilt form
    _is_sent = False
    _is_last = False  # of its connection, when it was sent

    def __init__(self, head: PrebuiltHead, content: bytes) -> None:
        self.head = head
        self.content = content

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if self._is_constructed:
                raise AttributeError(name)
            self._is_constructed, self._is_raw = True, False
            super().__init__(status=self.head.status, headers=self.head.headers, body=self.content)
            return getattr(self, name)

        @property
        def body(self) -> Any:
            return super().body if self._is_constructed else self.content

        @body.setter
        def body(self, body: Any) -> None:
            web.Response.body.fset(self, body)

    @property
    def status(self) -> int:
        return super().status if self._is_constructed else self.head.status

    @property
    def keep_alive(self) -> bool | None:
        return not self._is_last if self._is_sent else super().keep_alive

    def force_close(self) -> None:
        self._is_raw = False
        super().force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the whole response if its prebuilt form fits the request, else the headers as aiohttp does."""
        if self._is_sent:
            return None
        if not (self._is_raw and takes_raw(request)):
            self.headers[REQUEST_ID_HEADER] = self.request_id
            return await super().prepare(request)
        self._is_sent, self._is_last = True, not request.keep_alive
        transport = request.transport
        if transport is not None and not transport.is_closing():
            self._write(transport, is_version_11=request.version is HttpVersion11)
            if transport.get_write_buffer_size():
                await request.writer.drain()
        return None

    def _write(self, transport: asyncio.Transport, *, is_version_11: bool) -> None:
        content = b"" if self.head.has_no_body else self.content
        end = END_OF_LAST if self._is_last and is_version_11 else END
        head = self.head.for_body(len(content), self.request_id, end)
        if not is_version_11:
            head = HTTP_10 + head[len(HTTP_10) :]
        if len(content) < SHARED_BYTES:
            transport.write(head + content)
        else:
            # All connections that wait for their clients hold the same bytes of a cached page.
            transport.writelines((head, content))

    async def write_eof(self, data: bytes = b"") -> None:
        if not self._is_sent:
            await super().write_eof(data)


def takes_raw(request: web.BaseRequest) -> bool:
    """Whether a prebuilt head fits; HTTP/1.0 has another one on a connection that stays open."""
    if request.version is not HttpVersion11 and (request.version is not HttpVersion10 or request.keep_alive):
        return False
    return request.method != METH_HEAD


def complete_headers(response: web.StreamResponse, request_id: str) -> None:
    """Add the headers that every response has, also those that aiohttp itself makes."""
    headers = response.headers
    headers[REQUEST_ID_HEADER] = request_id
    headers.update(STANDARD_HEADERS)
    for name, value in DEFAULT_HEADERS.items():
        headers.setdefault(name, value)


@lru_cache(maxsize=256)
def prebuilt_head(status: int, headers: tuple[tuple[str, str], ...]) -> PrebuiltHead:
    """The head of a response that is not made once and kept, such as an error."""
    return PrebuiltHead(status, dict(headers))


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


_JSON_HEAD = PrebuiltHead(200, {"Content-Type": JSON, "Cache-Control": NO_STORE})


def json_response(value: object) -> PrebuiltResponse:
    """Status 200 and the value as JSON; bytes are JSON already."""
    return PrebuiltResponse(_JSON_HEAD, value if isinstance(value, bytes) else orjson.dumps(value))
