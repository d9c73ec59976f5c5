"""ICMP echo requests: how many of them are answered, and how soon."""

import asyncio
import errno
import os
import socket
import time
from contextlib import closing
from typing import NoReturn

from kener_async.probes.icmp import EchoSocket
from kener_async.probes.own_faults import words_of
from kener_async.probes.probe import NoAnswer, Observation, Trace
from kener_async.probes.settings import CheckSettings, PingTarget
from kener_async.probes.sockets import Route
from kener_async.probes.vantage import Vantage

LONGEST_PAUSE = 0.2  # seconds between two requests
LEAST_PATIENCE = 1.0  # seconds for the last replies, once something has come
# No way to an address of this version of IP: another address of the same name may have one.
NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


class PingProbe:
    """Looks at a target by ICMP echo. Reusable; see probes/probe.py."""

    def __init__(self, target: PingTarget, check: CheckSettings, vantage: Vantage) -> None:
        self._target = target
        self._sockets = vantage.sockets
        self._route = Route.of(check)
        # Half of the time is left for replies.
        self._pause = min(LONGEST_PAUSE, check.timing.timeout / (2 * target.packets))

    async def look(self, trace: Trace) -> Observation:
        """Send the requests and await the replies; raises as every probe."""
        addresses = await self._sockets.addresses(self._target.host, self._route, trace)
        trace.awaited = "reply"
        for address in addresses[:-1]:
            try:
                return await self._ping(address, trace)
            except OSError as error:
                if error.errno not in NO_WAY:
                    raise
        return await self._ping(addresses[-1], trace)

    async def _ping(self, address: str, trace: Trace) -> Observation:
        def opening(kind: socket.SocketKind, protocol: int) -> socket.socket:
            return self._sockets.open(address, kind, self._route, protocol)

        with closing(EchoSocket(address, opening)) as echo:
            series = _Series(echo, address, self._target.packets, trace)
            return await series.run(self._pause)


class _Series:
    """The requests of one attempt and their replies."""

    def __init__(self, echo: EchoSocket, address: str, packets: int, trace: Trace) -> None:
        self._echo, self._address, self._packets, self._trace = echo, address, packets, trace
        self._sent: dict[int, tuple[float, float]] = {}  # when, by the monotonic clock and in UTC
        self._seconds: dict[int, float] = {}  # until the reply
        self._refusal: OSError | None = None  # of this system: to send
        self._error = 0  # of the network: to deliver

    async def run(self, pause: float) -> Observation:
        """Send one request after another, and await the replies; raises NoAnswer, NotMeasured and OSError."""
        for number in range(self._packets):
            self._send(number)
            if number < self._packets - 1:
                await self._collect(pause)
        if not self._sent and self._refusal is not None:
            raise self._refusal
        while len(self._seconds) < len(self._sent) and await self._collect(self._patience(), is_short=True):
            pass
        if not self._seconds:
            self._fail()
        return self._observation()

    def _send(self, number: int) -> None:
        now, utc = time.monotonic(), time.time()
        try:
            self._echo.send(number)
        except OSError as error:  # also an error of an earlier request, and a firewall of this host
            self._refusal = error
        else:
            self._sent[number] = (now, utc)

    async def _collect(self, seconds: float | None, *, is_short: bool = False) -> bool:
        """Take what comes within so many seconds, None: whenever; `is_short`: only what comes first.

        Returns False when the time is over; what came while the loop could not run has been taken, too.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self._echo.wait()
                    self._take()
                    if is_short:
                        return True
        except TimeoutError:
            self._take()
            return False

    def _take(self) -> None:
        self._error = self._echo.error() or self._error
        now = time.monotonic()
        for reply in self._echo.replies():
            if reply.number in self._sent and reply.number not in self._seconds:
                sent, utc = self._sent[reply.number]
                # By the kernel's clock, as the loop may be busy; by ours where that has been set since.
                by_kernel = reply.received - utc
                self._seconds[reply.number] = by_kernel if 0 <= by_kernel <= now - sent else now - sent
        if self._seconds:
            self._trace.partial = self._observation()

    def _patience(self) -> float | None:
        """How many seconds to wait for more replies; None while nothing has come."""
        if not self._seconds and not self._error:
            return None
        last = max(sent for sent, _ in self._sent.values())
        longest = max(LEAST_PATIENCE, 2 * max(self._seconds.values(), default=0.0))
        return last + longest - time.monotonic()

    def _observation(self) -> Observation:
        mean = sum(self._seconds.values()) / len(self._seconds)
        loss = 1 - len(self._seconds) / self._packets
        return Observation(mean, {"loss": loss, "ip": self._address})

    def _fail(self) -> NoReturn:
        """No request was answered."""
        if self._error in {errno.EACCES, errno.EPERM}:  # said by a router, so it is no fault of our own
            raise NoAnswer("a firewall on the way prohibits it")
        raise NoAnswer(words_of(OSError(self._error, os.strerror(self._error))))
