"""A faulty network: a TCP proxy between a client and a server that fails on demand or at random.

async with FaultyNetwork(server.port, seed=7) as network:
    ...                  # the client speaks to network.port
    network.cut()        # every connection is reset, and every new one; cut("stall") swallows instead
    network.mend()
    network.chance = 0.5 # half of the new connections meet a fault of their own
"""

import asyncio
import random
import struct
from asyncio import StreamReader, StreamWriter
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET
from typing import Literal, Self

# Faults: a connection is refused; is reset within a request; stalls there; is closed in the direction of the
# server only; the server's answer is dropped; or truncated.
KINDS = ("refuse", "reset", "stall", "half-close", "swallow", "tear")
RESET = struct.pack("ii", 1, 0)  # linger for no time: closing sends RST
CHUNK = 65_536


class FaultyNetwork:
    """Listens on `port` of 127.0.0.1 and passes on to `target_port`, while it is not cut.

    `chance` is the share of requests that meet a fault; which, and where, follows from the seed.
    `met` counts what happened, by kind; "cut" are connections that a call of `cut` ended or refused.
    """

    def __init__(self, target_port: int, *, seed: int = 0, chance: float = 0.0) -> None:
        self.target_port = target_port
        self.chance = chance
        self.met: Counter[str] = Counter()
        self.port = 0
        self._random = random.Random(seed)
        self._passing = asyncio.Event()
        self._passing.set()
        self._resets = False
        self._writers: set[StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._taken, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(self._writers):
            _reset(writer)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, how: Literal["reset", "stall"] = "reset") -> None:
        """Reset or stall every connection, and those that are made later."""
        self._passing.clear()
        self._resets = how == "reset"
        if self._resets:
            self._reset_all()

    def mend(self) -> None:
        """Let new connections pass. Stalled ones are reset, as by a router that has lost its state."""
        self._reset_all()
        self._resets = False
        self._passing.set()

    @property
    def is_cut(self) -> bool:
        return not self._passing.is_set()

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            self.met["cut"] += 1
            _reset(writer)

    async def _taken(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except OSError:
            pass
        except asyncio.CancelledError:
            pass  # the proxy is left; a stream's callback wants no cancelled task
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            _reset(writer)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self.is_cut and self._resets:
            self.met["cut"] += 1
        elif self._drawn("refuse"):
            self.met["refuse"] += 1
        else:
            try:
                upstream = await asyncio.open_connection("127.0.0.1", self.target_port)
            except OSError:
                return  # as a server that is not there
            try:
                await self._passed((reader, writer), upstream)
            finally:
                _reset(upstream[1])

    def _drawn(self, *kinds: str) -> str:
        """A random fault of these kinds, or ""."""
        share = self.chance * len(kinds) / len(KINDS)
        return self._random.choice(kinds) if self._random.random() < share else ""

    async def _passed(
        self, client: tuple[StreamReader, StreamWriter], server: tuple[StreamReader, StreamWriter]
    ) -> None:
        """Pass on data both ways, until one side or a fault ends it."""
        link = Link(client[1])
        request = asyncio.create_task(self._requests(link, client[0], server[1]))
        answer = asyncio.create_task(self._answers(link, server[0], client[1]))
        try:
            await asyncio.wait({request, answer}, return_when=asyncio.FIRST_COMPLETED)
            if link.still_answers and not request.cancelled() and not request.exception():
                await answer
        finally:
            request.cancel()
            answer.cancel()
            await asyncio.gather(request, answer, return_exceptions=True)

    async def _requests(self, link: "Link", reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._passing.wait()
            if link.client.is_closing():
                return
            link.fault = link.fault or self._drawn(*KINDS[1:])
            if link.fault in ("reset", "stall", "half-close"):
                self.met[link.fault] += 1
                await _send(writer, data[: self._random.randrange(len(data))])
                if link.fault == "stall":
                    await asyncio.Event().wait()
                if link.fault == "reset":
                    return
                break
            await _send(writer, data)
        writer.write_eof()
        link.still_answers = True

    async def _answers(self, link: "Link", reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._passing.wait()
            if link.fault in ("swallow", "tear"):
                self.met[link.fault] += 1
                if link.fault == "tear":
                    await _send(writer, data[: self._random.randrange(len(data))])
                    writer.close()
                return
            await _send(writer, data)
        writer.close()


@dataclass
class Link:
    """The state of a connection: its fault, and whether only the answer is outstanding."""

    client: StreamWriter
    fault: str = ""
    still_answers: bool = False


async def _send(writer: StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _reset(writer: StreamWriter) -> None:
    socket = writer.get_extra_info("socket")
    with suppress(OSError, ValueError):
        if socket is not None and not writer.is_closing():
            socket.setsockopt(SOL_SOCKET, SO_LINGER, RESET)
    writer.transport.abort()
