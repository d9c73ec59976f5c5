"""systemd: notifications, the watchdog, socket activation. Without systemd all of them do nothing.

The protocols are those of sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3): datagrams to a socket
and environment variables, which need no library.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from time import monotonic_ns

import structlog

from kener_async.errors import FatalError
from kener_async.worker.background import background

log = structlog.get_logger(__name__)

FIRST_DESCRIPTOR = 3
SOCKET_NAME = "http"  # FileDescriptorName= of our socket unit
START_SECONDS = 30  # by which each message while starting extends the timeout


class SocketError(FatalError):
    """A socket passed by systemd is no listening TCP socket."""


class SystemdNotifier:
    """Talk to systemd as the environment describes it.

    `watchdog_seconds`: the longest time between two watchdog messages; None: no watchdog is configured.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_seconds = self._watchdog_seconds()

    def _watchdog_seconds(self) -> float | None:
        microseconds = self._environment.get("WATCHDOG_USEC", "")
        if not microseconds.isdigit() or not int(microseconds) or not self._is_for_us("WATCHDOG_PID"):
            return None
        return int(microseconds) / 1_000_000

    def _is_for_us(self, variable: str, default: str = "any") -> bool:
        """Whether the variable names this process, or the parent that unpacked the single binary."""
        ours = {"any", str(os.getpid())}
        if getattr(sys, "frozen", False):
            ours.add(str(os.getppid()))
        return self._environment.get(variable, default) in ours

    def notify(self, *states: str) -> None:
        """Send states such as READY=1. A failure is only logged: the service must work without systemd."""
        if not self._address.startswith(("/", "@")):
            return
        path = self._address.encode()
        address = b"\0" + path[1:] if path.startswith(b"@") else path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto("\n".join(states).encode(), address)
        except OSError as error:
            log.warning("systemd could not be notified", states=states, error=error.strerror)

    def reloading(self) -> None:
        """Send that a reload begins; READY=1 must follow it."""
        self.notify("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")

    def passed_sockets(self) -> list[socket.socket]:
        """The listening sockets that systemd passed, maybe none; raises SocketError."""
        count = self._environment.get("LISTEN_FDS", "")
        if not count.isdigit() or not self._is_for_us("LISTEN_PID", ""):
            return []
        descriptors = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))
        names = self._environment.get("LISTEN_FDNAMES", "").split(":")
        with_name = [number for number, name in zip(descriptors, names, strict=False) if name == SOCKET_NAME]
        return [_listening(descriptor) for descriptor in with_name or descriptors]

    @asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Extend the start timeout while entered, so that a start may take long as long as the loop runs."""
        async with background(self._extend_timeout(), "start"):
            yield

    async def _extend_timeout(self) -> None:
        while True:
            self.notify(f"EXTEND_TIMEOUT_USEC={START_SECONDS * 1_000_000}")
            await asyncio.sleep(START_SECONDS / 3)

    @asynccontextmanager
    async def watching(self, answer: Callable[[], Awaitable[str | None]]) -> AsyncIterator[None]:
        """Send watchdog messages while entered, each after `answer` has returned, maybe a state to send too.

        When the loop stalls, or `answer` does not return, none is sent and systemd restarts the service.
        """
        if self.watchdog_seconds is None:
            yield
            return
        async with background(self._feed(self.watchdog_seconds / 2, answer), "watchdog"):
            yield

    async def _feed(self, pause: float, answer: Callable[[], Awaitable[str | None]]) -> None:
        while True:
            state = await answer()
            self.notify("WATCHDOG=1", *([state] if state else []))
            await asyncio.sleep(pause)


def _listening(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    try:
        passed = socket.socket(fileno=descriptor)
        listens = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SocketError(f"descriptor {descriptor}, passed by systemd: {error.strerror}") from error
    if passed.family not in (socket.AF_INET, socket.AF_INET6) or not listens:
        passed.close()
        raise SocketError(f"descriptor {descriptor}, passed by systemd: is no listening TCP socket")
    return passed
