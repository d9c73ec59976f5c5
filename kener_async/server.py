"""Listening: connections with a limit and a deadline, signals, and an orderly stop."""

import asyncio
import gc
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from kener_async import keys
from kener_async.api.errors import refusal
from kener_async.api.gate import dress, new_request_id
from kener_async.config import Config
from kener_async.metrics import Metrics

log = structlog.get_logger(__name__)

BACKLOG = 1024
KEEPALIVE_SECONDS = 75  # longer than proxies keep idle connections, so that the proxy is the one to close
CLEANUP_SECONDS = 2
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\nRetry-After: 5\r\n"
    b'Content-Length: 32\r\nConnection: close\r\n\r\n{"error":"too many connections"}'
)


class Connections:
    """How many there are, and may be."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self.limit = limit
        self.open = 0
        self._metrics = metrics

    def refuse(self, transport: asyncio.Transport) -> None:
        self._metrics.refused_connections.inc()
        transport.write(BUSY)
        transport.close()


class Connection(RequestHandler):
    """aiohttp's connection, which must bring its first request's head in time and may be one too many."""

    __slots__ = ("_connections", "_deadline", "_seconds", "_within")

    def __init__(
        self, server: web.Server, connections: Connections, seconds: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEPALIVE_SECONDS,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
            lingering_time=2,
        )
        self._connections = connections
        self._seconds = seconds
        self._within = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._connections.open >= self._connections.limit:
            self._connections.refuse(cast(asyncio.Transport, transport))
            return
        self._within = True
        self._connections.open += 1
        self._deadline = asyncio.get_running_loop().call_later(self._seconds, self._check_started)
        super().connection_made(transport)

    def _check_started(self) -> None:
        self._deadline = None
        if self._request_count == 0:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._within:
            return
        self._within = False
        self._connections.open -= 1
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._within:
            super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What the parser refuses, in our envelope and without an echo of what was sent."""
        response = refusal(status, "malformed request" if status < 500 else "internal error")
        dress(response, new_request_id())
        response.force_close()
        return response


async def serve(app: web.Application, config: Config, reload: Callable[[], Awaitable[None]]) -> int:
    """Serve until told to stop; the exit status. `reload` is called on SIGHUP."""
    loop = asyncio.get_running_loop()
    bound = listening_socket(config.server.host, config.server.port)
    runner = web.AppRunner(
        app, shutdown_timeout=max(1, config.server.shutdown_seconds - CLEANUP_SECONDS), access_log=None
    )
    try:
        await runner.setup()
        connections = Connections(connection_limit(config.server.max_connections), app[keys.METRICS])
        listener = await loop.create_server(
            _protocol(runner, connections, config.server.request_timeout_seconds), sock=bound, backlog=BACKLOG
        )
    except BaseException:
        bound.close()
        await runner.cleanup()
        raise
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    reloads: set[asyncio.Task[None]] = set()

    def on_hangup() -> None:
        task = asyncio.ensure_future(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    port = listener.sockets[0].getsockname()[1]
    log.info("listening", address=f"{config.server.host}:{port}", connections=connections.limit)
    gc.freeze()  # what is there now stays: the collector need not look at it again
    return await _until_stopped(app, runner, listener, stop, config.server.shutdown_seconds)


def _protocol(runner: web.AppRunner, connections: Connections, seconds: float) -> Callable[[], Connection]:
    server = runner.server
    assert server is not None  # noqa: S101 - set up
    loop = asyncio.get_running_loop()
    return lambda: Connection(server, connections, seconds, loop)


async def _until_stopped(
    app: web.Application, runner: web.AppRunner, listener: asyncio.Server, stop: asyncio.Event, seconds: int
) -> int:
    failed = app[keys.DATABASE].failed
    stopped = asyncio.ensure_future(stop.wait())
    waits: set[asyncio.Future[Any]] = {stopped, failed}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if failed.done():
        log.critical("stopping", reason=failed.result())
    log.info("stopping", within_seconds=seconds)
    listener.close()
    try:
        async with asyncio.timeout(seconds):
            await runner.cleanup()
    except TimeoutError:
        log.critical("could not stop in time; unanswered requests are dropped", seconds=seconds)
        return 1
    log.info("stopped")
    return 1 if failed.done() else 0


def connection_limit(configured: int) -> int:
    """As configured, else four fifths of the file descriptors, so that the database never lacks one."""
    if configured:
        return configured
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft * 4 // 5


def listening_socket(host: str, port: int) -> socket.socket:
    """Bound and not yet listening; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
