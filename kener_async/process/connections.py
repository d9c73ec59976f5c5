"""HTTP connections with limits: how many, how long each side may stall, how many bytes may wait.

Out of file descriptors asyncio spins, and a client that does not read keeps its answer in memory for ever; so
connections are counted, and every wait for a client has a deadline.
"""

import asyncio
import math
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from kener_async.api.http.aiohttp_private import (
    is_idle,
    is_reading_paused,
    limit_pipelining,
    received_requests,
)
from kener_async.api.http.errors import ErrorResponse
from kener_async.api.http.middleware import new_request_id
from kener_async.metrics import Metrics
from kener_async.worker.background import background

KEEPALIVE_SECONDS = 75  # longer than proxies keep idle connections, so that the proxy is the one to close
MAX_WAITING = 32 * 1024 * 1024  # bytes of answers that all clients together have not taken yet
MAX_HEAD = 64 * 1024  # bytes of a request's head
MAX_TIMEOUTS = 12  # a whole answer may take so many timeouts, as a whole body may
READ_AHEAD = 64 * 1024  # bytes of a body; aiohttp stops to read when twice as many wait for the handler
SWEEP_SECONDS = 1.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger


def _refusal(status: str, message: bytes, headers: bytes = b"") -> bytes:
    body = b'{"error":"%b"}' % message
    return (
        b"HTTP/1.1 %b\r\nContent-Type: application/json; charset=utf-8\r\nServer: kener_async\r\n%b"
        b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (status.encode(), headers, len(body), body)
    )


BUSY = _refusal("503 Service Unavailable", b"too many connections", b"Retry-After: 5\r\n")
LARGE_HEAD = _refusal("431 Request Header Fields Too Large", b"the headers are too large")


class Connections:
    """All open connections: at most `limit`, and those that wait for their client to read."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self.limit = limit
        self._open: set[HttpConnection] = set()
        self._none_open = asyncio.Event()
        self._none_open.set()
        self._waiting: dict[HttpConnection, int] = {}  # bytes, the connection that has waited longest first
        self._waiting_bytes = 0
        self._metrics = metrics
        self._max_stall = math.inf  # seconds; each connection has its own timeout, too

    @property
    def is_full(self) -> bool:
        return len(self._open) >= self.limit

    def add(self, connection: "HttpConnection") -> None:
        self._open.add(connection)
        self._none_open.clear()

    def remove(self, connection: "HttpConnection") -> None:
        self.stop_waiting(connection)
        self._open.discard(connection)
        if not self._open:
            self._none_open.set()

    def start_waiting(self, connection: "HttpConnection", size: int) -> None:
        """Count bytes that the client has not taken; over the bound, abort those that waited longest."""
        self._waiting[connection] = size
        self._waiting_bytes += size
        while self._waiting_bytes > MAX_WAITING and len(self._waiting) > 1:
            longest = next(iter(self._waiting))
            self.stop_waiting(longest)
            longest.abort("memory")

    def stop_waiting(self, connection: "HttpConnection") -> None:
        self._waiting_bytes -= self._waiting.pop(connection, 0)

    async def until_closed(self, seconds: float) -> None:
        """Wait until none is open, at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none_open.wait()

    def hurry(self, seconds: float) -> None:
        """From now on abort a connection whose client takes nothing for so long."""
        self._max_stall = seconds

    def aborted(self, reason: str) -> None:
        self._metrics.aborted_connections.labels(reason).inc()

    def refuse(self, transport: asyncio.Transport) -> None:
        self._metrics.refused_connections.inc()
        transport.write(BUSY)
        transport.close()

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        """Abort connections whose client does not read in time, as long as the context lasts."""
        async with background(self._sweep(), "slow clients"):
            yield

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for connection in list(self._open):
                connection.check_progress(now, self._max_stall)


class HttpConnection(RequestHandler):
    """An aiohttp connection with a deadline for its first request, and for its client to read each answer.

    While an answer waits for the client, no further request of the connection is handled.
    """

    __slots__ = (
        "_connections",
        "_deadline",
        "_head_bytes",
        "_seconds",
        "_stream",
        "_waited_since",
        "_waiting",
        "_waits_since",
    )

    def __init__(
        self,
        server: web.Server,
        connections: Connections,
        seconds: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEPALIVE_SECONDS,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
            read_bufsize=READ_AHEAD,
            lingering_time=2,
        )
        limit_pipelining(self)
        self._connections = connections
        self._seconds = seconds
        self._stream: asyncio.Transport | None = None  # None: refused or closed
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._waiting = 0  # bytes that the client had not taken at the last sweep
        self._waits_since = 0.0  # since when some wait
        self._waited_since = 0.0  # since when none of them was taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        if self._connections.is_full:
            self._connections.refuse(stream)
            return
        self._stream = stream
        # Writing pauses as soon as the kernel does not take all of an answer.
        stream.set_write_buffer_limits(high=0)
        self._connections.add(self)
        self._deadline = asyncio.get_running_loop().call_later(self._seconds, self._check_started)
        super().connection_made(transport)

    def _check_started(self) -> None:
        self._deadline = None
        if not received_requests(self):
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._stream is None:
            return
        self._stream = None
        self._connections.remove(self)
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._stream is None:
            return
        before = received_requests(self)
        super().data_received(data)
        # Where no request came in, the connection is as idle as it was before.
        if received_requests(self) != before or not (is_idle(self) or self.writing_paused):
            self._head_bytes = 0
            return
        # Part of a head; of a body only where the client takes no answers, and so deserves no patience.
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD:
            if is_idle(self):
                self._stream.write(LARGE_HEAD)
            self.force_close()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume what was paused: aiohttp calls this for every body, and would parse nothing, again."""
        if is_reading_paused(self):
            super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stream is not None:
            self._connections.start_waiting(self, self._stream.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._waiting = 0
        self._connections.stop_waiting(self)

    def check_progress(self, now: float, max_stall: float = math.inf) -> None:
        """Abort if the client took nothing for the timeout, or needs more than twelve timeouts for all."""
        timeout = min(self._seconds, max_stall)
        size = 0 if self._stream is None else self._stream.get_write_buffer_size()
        if not self._waiting:
            self._waits_since = now
        if not self._waiting or size < self._waiting:
            self._waited_since = now
        self._waiting = size
        if not size:
            return
        if max(now - self._waited_since, (now - self._waits_since) / MAX_TIMEOUTS) >= timeout:
            self.abort("deadline")

    def abort(self, reason: str) -> None:
        """Close at once and drop what was not sent; also where a close waits for that."""
        if self._stream is not None:
            self._connections.aborted(reason)
            # Else the kernel would go on offering the rest to the client, and keep it in memory for minutes.
            opened = self._stream.get_extra_info("socket")
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self._stream.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer malformed requests in our error format, without an echo of what was sent."""
        response = ErrorResponse(status, "malformed request" if status < 500 else "internal error")
        response.request_id = new_request_id()
        response.force_close()
        return response


def protocol_factory(
    server: web.Server, connections: Connections, timeout_seconds: Callable[[], float]
) -> Callable[[], HttpConnection]:
    """What the event loop makes a connection with."""
    loop = asyncio.get_running_loop()
    return lambda: HttpConnection(server, connections, timeout_seconds(), loop)
