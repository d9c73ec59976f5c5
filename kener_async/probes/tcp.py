"""TCP: a connection, what is sent over it, and the answer where a condition asks for it."""

import asyncio
import time

from kener_async.probes.answers import AnswerConditions
from kener_async.probes.probe import Observation, Trace
from kener_async.probes.settings import CheckSettings, TcpTarget
from kener_async.probes.sockets import Route, Streams, abort
from kener_async.probes.vantage import Vantage

PART_BYTES = 1 << 16
QUIET_SECONDS = 0.05  # without more, an answer on which the conditions hold is complete
JUDGED_EVERY = 0.2  # seconds at most, while more comes


class TcpProbe:
    """Looks at a port. Reusable; see probes/probe.py."""

    def __init__(self, target: TcpTarget, check: CheckSettings, vantage: Vantage) -> None:
        self._target = target
        self._sockets = vantage.sockets
        self._route = Route.of(check)
        self._conditions = AnswerConditions(check)

    async def look(self, trace: Trace) -> Observation:
        """Connect, send and receive; raises as every probe."""
        began = time.perf_counter()
        streams = await self._sockets.connect(self._target.host, self._target.port, self._route, trace)
        writer = streams[1]
        try:
            seen = self._observed(streams, time.perf_counter() - began)
            if self._target.send:
                writer.write(self._target.send)
                await writer.drain()
            return await self._answered(streams, began, trace) if self._conditions.are_there else seen
        finally:
            abort(writer.transport)

    async def _answered(self, streams: Streams, began: float, trace: Trace) -> Observation:
        """Receive until the conditions hold and no more comes, or the target closes the connection.

        What has come is judged when there is a pause, and now and then: not at each byte of a slow sender.
        """
        received = bytearray()
        arrived = judged = time.perf_counter()
        pause: float | None = None
        while True:
            quiet = asyncio.timeout(pause)
            try:
                async with quiet:
                    part: bytes | None = await streams[0].read(PART_BYTES)
            except TimeoutError:
                if not quiet.expired():  # but the system gave the connection up
                    raise
                part = None
            now = time.perf_counter()
            if part:
                if not received:
                    trace.add(first_byte=now - began - sum(each or 0 for each in trace.phases))
                received += part[: self._target.max_body - len(received)]
                arrived, pause = now, QUIET_SECONDS
            is_over = part == b"" or len(received) >= self._target.max_body
            if not is_over and part is not None and now - judged < JUDGED_EVERY:
                continue
            judged = now
            trace.partial = self._observed(streams, arrived - began, received)
            if is_over or (part is None and self._conditions.hold(str(trace.partial.values["answer"]))):
                return trace.partial
            if part is None:
                pause = None

    @staticmethod
    def _observed(streams: Streams, seconds: float, answer: bytearray | None = None) -> Observation:
        values = {"ip": str(streams[1].get_extra_info("peername")[0])}
        if answer is not None:
            values["answer"] = answer.decode(errors="replace")
        return Observation(seconds, values)
