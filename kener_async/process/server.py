"""The server: connections with a limit and a deadline, signals, graceful shutdown."""

import asyncio
import gc
import os
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from kener_async import keys
from kener_async.api.http.aiohttp_private import has_received_request
from kener_async.api.http.errors import ErrorResponse
from kener_async.api.http.middleware import add_standard_headers, new_request_id
from kener_async.config.model import Config
from kener_async.metrics import Metrics
from kener_async.process.reloader import Reloader
from kener_async.process.systemd import SystemdNotifier

log = structlog.get_logger(__name__)

BACKLOG = 4096  # connections that the kernel queues, for example while the service restarts
KEEPALIVE_SECONDS = 75  # longer than proxies keep idle connections, so that the proxy is the one to close
CLEANUP_SECONDS = 2
DRAIN_SECONDS = 1  # how long a stop waits for requests that may be on their way on open connections
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\nRetry-After: 5\r\n"
    b'Content-Length: 32\r\nConnection: close\r\n\r\n{"error":"too many connections"}'
)


class ConnectionLimiter:
    """Count the open connections and refuse those over the limit."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self.limit = limit
        self.open = 0
        self._none_open = asyncio.Event()
        self._none_open.set()
        self._metrics = metrics

    def enter(self) -> None:
        self.open += 1
        self._none_open.clear()

    def leave(self) -> None:
        self.open -= 1
        if not self.open:
            self._none_open.set()

    async def until_closed(self, seconds: float) -> None:
        """Wait until none is open, at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none_open.wait()

    def refuse(self, transport: asyncio.Transport) -> None:
        self._metrics.refused_connections.inc()
        transport.write(BUSY)
        transport.close()


class HttpConnection(RequestHandler):
    """An aiohttp connection that is refused over the limit, and closed without a first request in time."""

    __slots__ = ("_connections", "_deadline", "_seconds", "_within")

    def __init__(
        self,
        server: web.Server,
        connections: ConnectionLimiter,
        seconds: float,
        loop: asyncio.AbstractEventLoop,
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
        self._connections.enter()
        self._deadline = asyncio.get_running_loop().call_later(self._seconds, self._check_started)
        super().connection_made(transport)

    def _check_started(self) -> None:
        self._deadline = None
        if not has_received_request(self):
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._within:
            return
        self._within = False
        self._connections.leave()
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
        """Answer malformed requests in our error format, without an echo of what was sent."""
        response = ErrorResponse(status, "malformed request" if status < 500 else "internal error")
        add_standard_headers(response, new_request_id())
        response.force_close()
        return response


async def serve(app: web.Application, config: Config, reload: Callable[[], Awaitable[None]]) -> int:
    """Serve until a signal stops it; returns the exit status. `reload` is called on SIGHUP."""
    notifier = SystemdNotifier(os.environ)
    runner = web.AppRunner(
        app, shutdown_timeout=max(1, config.server.shutdown_seconds - CLEANUP_SECONDS), access_log=None
    )
    connections = ConnectionLimiter(connection_limit(config.server.max_connections), app[keys.METRICS])
    async with notifier.starting():
        listeners = await _listeners(notifier, config, runner, connections)
    addresses = ", ".join(_address(bound) for listener in listeners for bound in listener.sockets)
    ready = "READY=1", f"STATUS=Listening on {addresses}"
    stop, reloader = asyncio.Event(), Reloader(reload, notifier, ready)
    _on_signals(stop.set, reloader.request)  # before READY: because systemd may send signals from then on
    log.info("listening", address=addresses, connections=connections.limit)
    gc.freeze()  # what exists now is kept: the collector need not traverse it again
    notifier.notify(*ready)
    async with notifier.watching(partial(_writer_answers, app)), reloader.running():
        failed = await _until_stopped(app, stop)
    notifier.notify("STOPPING=1", "STATUS=Answering what is under way")
    for listener in listeners:
        listener.close()
    in_time = await _shut_down(app, runner, connections, config.server.shutdown_seconds)
    return 0 if in_time and not failed else 1


async def _listeners(
    notifier: SystemdNotifier, config: Config, runner: web.AppRunner, connections: ConnectionLimiter
) -> list[asyncio.Server]:
    """Set up the service and listen on the sockets that systemd passed, else on the configured address."""
    sockets = notifier.passed_sockets() or [listening_socket(config.server.host, config.server.port)]
    loop, running = asyncio.get_running_loop(), runner.app[keys.RUNNING]
    try:
        await runner.setup()
        protocol = _protocol(runner, connections, lambda: running.config.server.request_timeout_seconds)
        return [await loop.create_server(protocol, sock=bound, backlog=BACKLOG) for bound in sockets]
    except BaseException:
        for bound in sockets:
            bound.close()
        await runner.cleanup()
        raise


def _protocol(
    runner: web.AppRunner, connections: ConnectionLimiter, timeout_seconds: Callable[[], float]
) -> Callable[[], HttpConnection]:
    server = runner.server
    assert server is not None  # noqa: S101 - set up
    loop = asyncio.get_running_loop()
    return lambda: HttpConnection(server, connections, timeout_seconds(), loop)


def _address(bound: Any) -> str:
    host, port, *_ = bound.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _on_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Stop on SIGTERM and SIGINT, reload on SIGHUP."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)


async def _writer_answers(app: web.Application) -> None:
    """Return when the writer's thread has run something for us; a failure shows that it works, too."""
    with suppress(Exception):
        await app[keys.DATABASE].check_writer()


async def _until_stopped(app: web.Application, stop: asyncio.Event) -> bool:
    """Wait for a signal or a failed disk; returns whether the disk failed."""
    failed = app[keys.DATABASE].failed
    stopped = asyncio.ensure_future(stop.wait())
    waits: set[asyncio.Future[Any]] = {stopped, failed}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if failed.done():
        log.critical("stopping", reason=failed.result())
    return failed.done()


async def _shut_down(
    app: web.Application, runner: web.AppRunner, connections: ConnectionLimiter, seconds: int
) -> bool:
    """Answer requests under way or on their way, and close everything; returns whether that was in time.

    From now on every response closes its connection, so busy clients connect elsewhere by themselves; only a
    connection that is idle for the whole drain is closed without a response.
    """
    log.info("stopping", within_seconds=seconds)
    app[keys.RUNNING].stopping = True
    try:
        async with asyncio.timeout(seconds):
            await connections.until_closed(min(DRAIN_SECONDS, seconds / 4))
            await runner.cleanup()
    except TimeoutError:
        log.critical("could not stop in time; unanswered requests are dropped", seconds=seconds)
        return False
    log.info("stopped")
    return True


def connection_limit(configured: int) -> int:
    """The configured limit, else 80 % of the file descriptors, so that the database never lacks one."""
    if configured:
        return configured
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft * 4 // 5


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if host == "::":  # IPv4 too, whatever the system's default is
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
