"""UDP: a datagram, and the answer where something is sent."""

import asyncio
import socket
import time

from kener_async.probes.answers import AnswerConditions
from kener_async.probes.probe import Observation, Trace
from kener_async.probes.settings import CheckSettings, UdpTarget
from kener_async.probes.sockets import Route
from kener_async.probes.vantage import Vantage

LARGEST_DATAGRAM = 65_535
REFUSAL_SECONDS = 1.0  # for the message that nothing listens on the port
FIRST_PAUSE = 1.0  # until it is sent again; each pause is twice the one before


class UdpProbe:
    """Looks at a port. Reusable; see probes/probe.py.

    Without `send` an empty datagram is sent, and the target is there unless it reports that the port is not.
    """

    def __init__(self, target: UdpTarget, check: CheckSettings, vantage: Vantage) -> None:
        self._target = target
        self._sockets = vantage.sockets
        self._route = Route.of(check)
        self._conditions = AnswerConditions(check)
        self._refusal_seconds = min(REFUSAL_SECONDS, check.timing.timeout / 2)

    async def look(self, trace: Trace) -> Observation:
        """Send and receive; raises as every probe."""
        target = self._target
        connected, address = await self._sockets.datagrams(target.host, target.port, self._route, trace)
        with connected:
            if self._target.send:
                return await self._answered(connected, address, trace)
            return await self._unrefused(connected, address)

    async def _answered(self, connected: socket.socket, address: str, trace: Trace) -> Observation:
        """Receive datagrams until the conditions hold on one; it is sent again until the first comes."""
        loop = asyncio.get_running_loop()
        pause: float | None = FIRST_PAUSE
        began = time.perf_counter()
        connected.send(self._target.send)
        while True:
            try:
                async with asyncio.timeout(pause):
                    received = await loop.sock_recv(connected, LARGEST_DATAGRAM)
            except TimeoutError:
                pause = (pause or FIRST_PAUSE) * 2
                began = time.perf_counter()
                connected.send(self._target.send)
                continue
            await asyncio.sleep(0)  # a flood must not hold the loop: sock_recv does not let it run
            answer = received.decode(errors="replace")
            seconds = time.perf_counter() - began
            trace.partial = Observation(seconds, {"ip": address, "answer": answer})
            if self._conditions.hold(answer):
                return trace.partial
            pause = None

    async def _unrefused(self, connected: socket.socket, address: str) -> Observation:
        began = time.perf_counter()
        connected.send(b"")
        try:
            async with asyncio.timeout(self._refusal_seconds):
                received = await asyncio.get_running_loop().sock_recv(connected, LARGEST_DATAGRAM)
        except TimeoutError:
            return Observation(0.0, {"ip": address})
        values = {"ip": address, "answer": received.decode(errors="replace")}
        return Observation(time.perf_counter() - began, values)
