"""What systemd tells the service and the service tells systemd; where there is no systemd nothing is said.

The protocols are those of sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3): datagrams to a socket
and variables of the environment, which need no library.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic_ns

import structlog

from kener_async.errors import FatalError

log = structlog.get_logger(__name__)

FIRST_DESCRIPTOR = 3
SOCKET_NAME = "http"  # FileDescriptorName= of our socket unit
START_SECONDS = 30  # what one sign of life while starting is good for


class SocketError(FatalError):
    """What systemd passed cannot be listened on."""


class SystemdNotifier:
    """The other side, as the environment describes it.

    `watchdog_seconds`: within which it wants a sign of life, again and again; None: it wants none.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_seconds = self._watchdog_seconds()

    def _watchdog_seconds(self) -> float | None:
        asked = self._environment.get("WATCHDOG_USEC", "")
        if not asked.isdigit() or not int(asked) or not self._means_us("WATCHDOG_PID"):
            return None
        return int(asked) / 1_000_000

    def _means_us(self, name: str, default: str = "any") -> bool:
        """Whether the process named is this one. Of the single binary it is the one that unpacked us."""
        named = self._environment.get(name, default)
        ours = {"any", str(os.getpid())}
        if getattr(sys, "frozen", False):
            ours.add(str(os.getppid()))
        return named in ours

    def tell(self, *states: str) -> None:
        """Such as READY=1. A supervisor that does not listen must not keep the service from working."""
        if not self._address.startswith(("/", "@")):
            return
        path = self._address.encode()
        address = b"\0" + path[1:] if path.startswith(b"@") else path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto("\n".join(states).encode(), address)
        except OSError as error:
            log.warning("systemd could not be told", states=states, error=error.strerror)

    def reloading(self) -> None:
        """To be followed by READY=1."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")

    def passed_sockets(self) -> list[socket.socket]:
        """The listening sockets systemd holds for us, whichever process serves: none where it holds none.

        Raises SocketError.
        """
        count = self._environment.get("LISTEN_FDS", "")
        if not count.isdigit() or not self._means_us("LISTEN_PID", ""):
            return []
        descriptors = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))
        names = self._environment.get("LISTEN_FDNAMES", "").split(":")
        named = [at for at, name in zip(descriptors, names, strict=False) if name == SOCKET_NAME]
        return [_listening(descriptor) for descriptor in named or descriptors]

    @asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """While entered the start may take as long as it needs, if only the loop turns."""
        task = asyncio.create_task(self._ask_for_time(), name="start")
        try:
            yield
        finally:
            await _ended(task)

    async def _ask_for_time(self) -> None:
        while True:
            self.tell(f"EXTEND_TIMEOUT_USEC={START_SECONDS * 1_000_000}")
            await asyncio.sleep(START_SECONDS / 3)

    @asynccontextmanager
    async def watching(self, answer: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """While entered the watchdog is fed, each time `answer` has come back.

        When the loop stalls, or `answer` does not come, it goes hungry, and systemd starts the service anew.
        """
        if self.watchdog_seconds is None:
            yield
            return
        task = asyncio.create_task(self._feed(self.watchdog_seconds / 2, answer), name="watchdog")
        try:
            yield
        finally:
            await _ended(task)

    async def _feed(self, pause: float, answer: Callable[[], Awaitable[None]]) -> None:
        while True:
            await answer()
            self.tell("WATCHDOG=1")
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


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
