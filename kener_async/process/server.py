"""The server: sockets, signals, graceful shutdown."""

import asyncio
import gc
import os
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from aiohttp import web

from kener_async import keys
from kener_async.config.model import Config
from kener_async.process.connections import Connections, protocol_factory
from kener_async.process.reloader import Reloader
from kener_async.process.systemd import SystemdNotifier

log = structlog.get_logger(__name__)

BACKLOG = 4096  # connections that the kernel queues, for example while the service restarts
UNSENT_BYTES = 64 * 1024
CLEANUP_SECONDS = 2
DRAIN_SECONDS = 1  # how long a stop waits for requests that may be on their way on open connections


async def serve(
    app: web.Application,
    config: Config,
    reload: Callable[[], Awaitable[None]],
    announce: Callable[[int], None] = lambda port: None,
) -> int:
    """Serve until a signal stops it; returns the exit status.

    `reload` is called on SIGHUP, `announce` with the port once connections are accepted.
    """
    notifier = SystemdNotifier(os.environ)
    runner = web.AppRunner(
        app, shutdown_timeout=max(1, config.server.shutdown_seconds - CLEANUP_SECONDS), access_log=None
    )
    connections = Connections(connection_limit(config.server.max_connections), app[keys.METRICS])
    async with notifier.starting():
        listeners = await _listeners(notifier, config, runner, connections)
    addresses = ", ".join(_address(bound) for listener in listeners for bound in listener.sockets)
    ready = "READY=1", f"STATUS=Listening on {addresses}"
    stop, reloader = asyncio.Event(), Reloader(reload, notifier, ready)
    app[keys.RUNNING].request_reload = reloader.request
    _on_signals(stop.set, reloader.request)  # before READY: because systemd may send signals from then on
    log.info("listening", address=addresses, connections=connections.limit)
    gc.freeze()  # what exists now is kept: the collector need not traverse it again
    notifier.notify(*ready)
    announce(listeners[0].sockets[0].getsockname()[1])
    async with connections.sweeping():
        async with notifier.watching(partial(_condition, app, ready[1])), reloader.running():
            failed = await _until_stopped(app, stop)
        notifier.notify("STOPPING=1", "STATUS=Answering what is under way")
        for listener in listeners:
            listener.close()
        in_time = await _shut_down(app, runner, connections, config.server.shutdown_seconds)
    return 0 if in_time and not failed else 1


async def _listeners(
    notifier: SystemdNotifier, config: Config, runner: web.AppRunner, connections: Connections
) -> list[asyncio.Server]:
    """Set up the service and listen on the sockets that systemd passed, else on the configured address."""
    sockets = notifier.passed_sockets() or [listening_socket(config.server.host, config.server.port)]
    loop, running = asyncio.get_running_loop(), runner.app[keys.RUNNING]
    try:
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - set up
        protocol = protocol_factory(
            runner.server, connections, lambda: running.config.server.request_timeout_seconds
        )
        for bound in sockets:
            _limit_unsent(bound)
        return [await loop.create_server(protocol, sock=bound, backlog=BACKLOG) for bound in sockets]
    except BaseException:
        for bound in sockets:
            bound.close()
        await runner.cleanup()
        raise


def _limit_unsent(listener: socket.socket) -> None:
    """Let the kernel keep only a little of what a client does not read, on connections accepted from now on.

    Else it takes megabytes for each, which count against the memory of the service, and which hide that the
    client reads nothing. What is under way to a client that reads is not limited.
    """
    if hasattr(socket, "TCP_NOTSENT_LOWAT") and listener.family in (socket.AF_INET, socket.AF_INET6):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def _address(bound: Any) -> str:
    host, port, *_ = bound.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _on_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Stop on SIGTERM and SIGINT, reload on SIGHUP."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)


async def _condition(app: web.Application, ready: str) -> str:
    """The status for systemd, when the writer's thread has run something for us.

    A failure shows that it works, too. `ready` is the status of a service that can store.
    """
    database = app[keys.DATABASE]
    with suppress(Exception):
        await database.check_writer()
    return ready if database.fault is None else f"STATUS=Nothing is stored: {database.fault}"


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
    app: web.Application, runner: web.AppRunner, connections: Connections, seconds: int
) -> bool:
    """Answer requests under way or on their way, and close everything; returns whether that was in time.

    From now on every response closes its connection, so busy clients connect elsewhere by themselves; only a
    connection that is idle for the whole drain is closed without a response.
    """
    log.info("stopping", within_seconds=seconds)
    app[keys.RUNNING].stopping = True
    connections.hurry(seconds / 4)
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
