"""Listening: connections with a limit and a deadline, signals, and an orderly stop."""

import asyncio
import gc
import os
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from kener_async import keys
from kener_async.api.http.errors import refusal
from kener_async.api.http.middleware import add_standard_headers, new_request_id
from kener_async.config.model import Config
from kener_async.metrics import Metrics
from kener_async.process.systemd import SystemdNotifier

log = structlog.get_logger(__name__)

BACKLOG = 4096  # connections that wait in the system's hands, such as those made while the service restarts
KEEPALIVE_SECONDS = 75  # longer than proxies keep idle connections, so that the proxy is the one to close
CLEANUP_SECONDS = 2
FAREWELL_SECONDS = 1  # how long a stop waits for a request that may be on its way on an open connection
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\nRetry-After: 5\r\n"
    b'Content-Length: 32\r\nConnection: close\r\n\r\n{"error":"too many connections"}'
)


class ConnectionLimiter:
    """How many there are, and may be."""

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
        """Return when none is open any more, after so many seconds at the latest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none_open.wait()

    def refuse(self, transport: asyncio.Transport) -> None:
        self._metrics.refused_connections.inc()
        transport.write(BUSY)
        transport.close()


class HttpConnection(RequestHandler):
    """aiohttp's connection, which must bring its first request's head in time and may be one too many."""

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
        if self._request_count == 0:
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
        """What the parser refuses, in our envelope and without an echo of what was sent."""
        response = refusal(status, "malformed request" if status < 500 else "internal error")
        add_standard_headers(response, new_request_id())
        response.force_close()
        return response


async def serve(app: web.Application, config: Config, reload: Callable[[], Awaitable[None]]) -> int:
    """Serve until told to stop; the exit status. `reload` is called on SIGHUP."""
    supervisor = SystemdNotifier(os.environ)
    runner = web.AppRunner(
        app, shutdown_timeout=max(1, config.server.shutdown_seconds - CLEANUP_SECONDS), access_log=None
    )
    connections = ConnectionLimiter(connection_limit(config.server.max_connections), app[keys.METRICS])
    async with supervisor.starting():
        listeners = await _listeners(supervisor, config, runner, connections)
    addresses = ", ".join(_address(bound) for listener in listeners for bound in listener.sockets)
    states = "READY=1", f"STATUS=Listening on {addresses}"
    stop = _signals(supervisor, reload, states)  # before anybody is told that we are there
    log.info("listening", address=addresses, connections=connections.limit)
    gc.freeze()  # what is there now stays: the collector need not look at it again
    supervisor.tell(*states)
    async with supervisor.watching(partial(_writer_answers, app)):
        failed = await _until_stopped(app, stop)
    supervisor.tell("STOPPING=1", "STATUS=Answering what is under way")
    for listener in listeners:
        listener.close()
    in_time = await _wind_up(app, runner, connections, config.server.shutdown_seconds)
    return 0 if in_time and not failed else 1


async def _listeners(
    supervisor: SystemdNotifier, config: Config, runner: web.AppRunner, connections: ConnectionLimiter
) -> list[asyncio.Server]:
    """The service set up, listening on what systemd passed or else on the configured address."""
    sockets = supervisor.passed_sockets() or [listening_socket(config.server.host, config.server.port)]
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


def _signals(
    supervisor: SystemdNotifier, reload: Callable[[], Awaitable[None]], states: Sequence[str]
) -> asyncio.Event:
    """Set on SIGTERM and SIGINT; on SIGHUP the configuration is read again, and `states` told afterwards."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()

    async def read_again() -> None:
        supervisor.reloading()
        try:
            await reload()
        finally:
            supervisor.tell(*states)

    def on_hangup() -> None:
        task = asyncio.create_task(read_again())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    return stop


async def _writer_answers(app: web.Application) -> None:
    """Return when the thread that writes has got round to us; that it fails is an answer too."""
    with suppress(Exception):
        await app[keys.DATABASE].check_writer()


async def _until_stopped(app: web.Application, stop: asyncio.Event) -> bool:
    """Whether it stops because the disk failed, and not because it was told to."""
    failed = app[keys.DATABASE].failed
    stopped = asyncio.ensure_future(stop.wait())
    waits: set[asyncio.Future[Any]] = {stopped, failed}
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if failed.done():
        log.critical("stopping", reason=failed.result())
    return failed.done()


async def _wind_up(
    app: web.Application, runner: web.AppRunner, connections: ConnectionLimiter, seconds: int
) -> bool:
    """Answer what is under way, or may be on its way, and close everything; whether that was done in time.

    From now on every answer says that it is the connection's last, so whoever keeps asking goes elsewhere by
    itself; only who has been silent for the whole farewell finds the connection closed.
    """
    log.info("stopping", within_seconds=seconds)
    app[keys.RUNNING].stopping = True
    try:
        async with asyncio.timeout(seconds):
            await connections.until_closed(min(FAREWELL_SECONDS, seconds / 4))
            await runner.cleanup()
    except TimeoutError:
        log.critical("could not stop in time; unanswered requests are dropped", seconds=seconds)
        return False
    log.info("stopped")
    return True


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
