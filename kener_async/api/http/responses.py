"""JSON answers, and pages that are finished: they leave in one piece.

aiohttp builds a response, fills its headers in and joins them to text, for every request. Where all but a
number and a length is known before, that costs more than all we do; it is done once a second, for the date.
"""

from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from time import time

import orjson
from aiohttp import HttpVersion11, web

JSON = "application/json"
EVERYWHERE = {"Server": "kener_async", "X-Content-Type-Options": "nosniff"}
# For what says nothing else of itself.
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
}
NOT_STORED = "no-store"
_HEAD = "HTTP/1.1 200 OK\r\n" + "".join(
    f"{name}: {value}\r\n"
    for name, value in {
        "Content-Type": f"{JSON}; charset=utf-8",
        **EVERYWHERE,
        "Cache-Control": NOT_STORED,
        **PAGE_HEADERS,
    }.items()
)


class AlreadySent(web.StreamResponse):
    """Stands for an answer that has been handed to the transport."""

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None

    @property
    def keep_alive(self) -> bool:
        return True


class PrebuiltResponse:
    """An answer of which all is known but its date and the number of its request."""

    __slots__ = ("_headers", "body", "head", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.body = body
        self._headers = headers
        dressed = {**PAGE_HEADERS, **headers, **EVERYWHERE}
        if status != HTTPStatus.NOT_MODIFIED:
            dressed["Content-Length"] = str(len(body))
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *map(": ".join, dressed.items()), "Date: "]
        self.head = "\r\n".join(lines).encode()

    def response(self) -> web.Response:
        """The same as any other response."""
        return web.Response(status=self.status, headers=self._headers, body=self.body)


class RawWriter:
    """Sends finished answers."""

    def __init__(self) -> None:
        self._second = 0
        self._date = b""
        self._head = b""
        self._sent = AlreadySent()

    def takes(self, request: web.Request) -> bool:
        """Whether the answer to a request is one of those that only differ in what is filled in here."""
        return request.version is HttpVersion11 and request.keep_alive and request.method != "HEAD"

    async def send(self, request: web.Request, body: bytes, request_id: str) -> web.StreamResponse:
        """Send JSON of the API with status 200."""
        self._look_at_the_clock()
        return await self._write(
            request,
            b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (self._head, request_id.encode(), len(body), body),
        )

    async def send_whole(
        self, request: web.Request, answer: PrebuiltResponse, request_id: str
    ) -> web.StreamResponse:
        self._look_at_the_clock()
        return await self._write(
            request, b"%b%b%b\r\n\r\n%b" % (answer.head, self._date, request_id.encode(), answer.body)
        )

    def _look_at_the_clock(self) -> None:
        second = int(time())
        if second != self._second:
            self._second = second
            self._date = f"{formatdate(second, usegmt=True)}\r\nX-Request-Id: ".encode()
            self._head = f"{_HEAD}Date: ".encode() + self._date

    async def _write(self, request: web.Request, data: bytes) -> web.StreamResponse:
        transport = request.transport
        if transport is not None and not transport.is_closing():
            transport.write(data)
            if transport.get_write_buffer_size():
                await request.writer.drain()
        return self._sent


def answer(raw: bytes) -> web.Response:
    """The same as any other response."""
    return web.Response(body=raw, content_type=JSON, charset="utf-8")


def as_json(value: object) -> bytes:
    return value if isinstance(value, bytes) else orjson.dumps(value)
