"""JSON answers; those of the API leave in one piece.

aiohttp builds a response, fills its headers in and joins them to text, for every request. Where all but a
number and a length is known before, that costs more than all we do; it is done once a second, for the date.
"""

from email.utils import formatdate
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


class Sent(web.StreamResponse):
    """Stands for an answer that has been handed to the transport."""

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None

    @property
    def keep_alive(self) -> bool:
        return True


class Outbox:
    """Sends finished JSON with status 200."""

    def __init__(self) -> None:
        self._second = 0
        self._head = b""
        self._sent = Sent()

    def takes(self, request: web.Request) -> bool:
        """Whether the answer to a request is one of those that only differ in what `send` fills in."""
        return (
            request.version is HttpVersion11
            and request.keep_alive
            and request.method != "HEAD"
            and request.raw_path.startswith("/api/")
        )

    async def send(self, request: web.Request, body: bytes, request_id: str) -> web.StreamResponse:
        second = int(time())
        if second != self._second:
            self._second = second
            self._head = f"{_HEAD}Date: {formatdate(second, usegmt=True)}\r\nX-Request-Id: ".encode()
        transport = request.transport
        if transport is not None and not transport.is_closing():
            transport.write(
                b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (self._head, request_id.encode(), len(body), body)
            )
            if transport.get_write_buffer_size():
                await request.writer.drain()
        return self._sent


def answer(raw: bytes) -> web.Response:
    """The same as any other response."""
    return web.Response(body=raw, content_type=JSON, charset="utf-8")


def as_json(value: object) -> bytes:
    return value if isinstance(value, bytes) else orjson.dumps(value)
