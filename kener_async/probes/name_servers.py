"""Name servers: how they are written, and one question to one of them, over UDP, TCP or TLS."""

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
from dns.message import Message

from kener_async.probes.probe import NoAnswer, Trace
from kener_async.probes.settings import TlsSettings
from kener_async.probes.sockets import VERIFIED, Route, Sockets, abort

PORT, TLS_PORT = 53, 853
SCHEME = "tls://"
LARGEST_DATAGRAM = 65_535
HEADER_BYTES = 12
LARGE_MESSAGE = 4096  # bytes
FIRST_PAUSE = 1.0  # seconds until a datagram is sent again; each pause is twice the one before
SYSTEM = Path("/etc/resolv.conf")


@dataclass(frozen=True, slots=True)
class NameServer:
    """A name server; one without TLS is asked over UDP, and over TCP where the answer is truncated."""

    host: str
    port: int = PORT
    is_tls: bool = False

    @classmethod
    def parse(cls, text: str) -> "NameServer":
        """Parse `192.0.2.53`, `[2001:db8::53]:5353` or `tls://dns.example.org`; raises ValueError."""
        is_tls = text.startswith(SCHEME)
        host, port = split_port(text.removeprefix(SCHEME))
        return cls(host, port or (TLS_PORT if is_tls else PORT), is_tls)


def split_port(text: str) -> tuple[str, int]:
    """The host and the port of `host`, `host:port`, `::1` or `[::1]:port`; port 0: none is named.

    Raises ValueError.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text} is not a host and a port")
        port = rest[1:]
    elif text.count(":") > 1:
        host, port, rest = text, "", ""
    else:
        host, rest, port = text.partition(":")
    if not host or (rest and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536)):
        raise ValueError(f"{text} is not a host and a port")
    return host, int(port or 0)


def servers_of_system(file: Path = SYSTEM) -> tuple[NameServer, ...]:
    """The name servers of the system, which may be none; raises OSError."""
    lines = (line.split() for line in file.read_text(errors="replace").splitlines())
    return tuple(NameServer(words[1]) for words in lines if len(words) > 1 and words[0] == "nameserver")


async def ask(
    server: NameServer,
    question: Message,
    sockets: Sockets,
    route: Route,
    trace: Trace,
    tls: TlsSettings = VERIFIED,
) -> Message:
    """Ask a name server, with `tls` where it is asked over TLS; raises NoAnswer, NotMeasured and OSError."""
    if not server.is_tls:
        datagrams, _ = await sockets.datagrams(server.host, server.port, route, trace)
        with datagrams:
            answer = await ask_by_datagram(question, datagrams)
        if answer is not None:
            return answer
    reader, writer = await sockets.connect(
        server.host, server.port, route, trace, tls if server.is_tls else None
    )
    try:
        return await ask_by_stream(question, reader, writer)
    finally:
        abort(writer.transport)


async def ask_by_datagram(question: Message, connected: socket.socket) -> Message | None:
    """Ask over a connected, non-blocking UDP socket, repeatedly; None: the answer is truncated.

    What is no answer to the question, such as one with another identifier, is ignored.
    """
    loop = asyncio.get_running_loop()
    wire = question.to_wire()
    pause = FIRST_PAUSE
    while True:
        await loop.sock_sendall(connected, wire)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                while True:
                    received = await loop.sock_recv(connected, LARGEST_DATAGRAM)
                    await asyncio.sleep(0)  # a flood must not hold the loop: sock_recv does not let it run
                    if is_truncated(received, question):
                        return None
                    if (answer := await read_answer(received, question)) is not None:
                        return answer
        pause *= 2


async def ask_by_stream(
    question: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Message:
    """Ask over TCP or TLS; raises NoAnswer."""
    wire = question.to_wire()
    writer.write(struct.pack("!H", len(wire)) + wire)
    await writer.drain()
    try:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        received = await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        raise NoAnswer("the name server closed the connection") from None
    if (answer := await read_answer(received, question)) is None:
        raise NoAnswer("the name server sent no valid answer", is_network=False)
    return answer


def is_truncated(received: bytes, question: Message) -> bool:
    """Whether it is a truncated answer, by its header: what follows may be cut anywhere."""
    if len(received) < HEADER_BYTES:
        return False
    identifier, flags = struct.unpack("!HH", received[:4])
    return bool(identifier == question.id and flags & dns.flags.QR and flags & dns.flags.TC)


async def read_answer(received: bytes, question: Message) -> Message | None:
    """As answer_of; a large message is read in a thread, as it would hold the event loop for 200 ms."""
    if not received.startswith(struct.pack("!H", question.id)):
        return None
    if len(received) > LARGE_MESSAGE:
        return await asyncio.to_thread(answer_of, received, question)
    return answer_of(received, question)


def answer_of(received: bytes, question: Message) -> Message | None:
    """The message received, or None if it is no answer to the question."""
    try:
        answer = dns.message.from_wire(received)
    except (dns.exception.DNSException, ValueError):
        return None
    return answer if question.is_response(answer) else None
