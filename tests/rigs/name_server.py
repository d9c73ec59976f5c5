"""A name server of the tests, over UDP and TCP on one port, with what a test lets it answer."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.message
import dns.rrset
from dns.message import Message

ZONE = """
example.org. 60 IN A 192.0.2.1
example.org. 60 IN A 192.0.2.2
example.org. 60 IN AAAA 2001:DB8::1
example.org. 60 IN AAAA 2001:db8::2
example.org. 60 IN CAA 0 issue "letsencrypt.org"
example.org. 60 IN CAA 0 iodef "mailto:Ops@example.org"
www.example.org. 60 IN CNAME Example.ORG.
example.org. 60 IN MX 10 Mail.Example.ORG.
example.org. 60 IN MX 20 mail2.example.org.
example.org. 60 IN NS NS1.example.org.
example.org. 60 IN NS ns2.example.org.
1.2.0.192.in-addr.arpa. 60 IN PTR Example.org.
example.org. 60 IN SOA ns1.Example.org. Host.example.org. 7 3600 600 86400 60
_sip._tcp.example.org. 60 IN SRV 0 5 5060 Sip.example.org.
_sip._tcp.example.org. 60 IN SRV 1 5 5060 sip2.example.org.
example.org. 60 IN TXT "v=spf1 " "-all"
example.org. 60 IN TXT "Case Stays. "
_443._tcp.example.org. 60 IN TLSA 3 1 1 ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789
example.org. 60 IN NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:Info@example.org!" .
example.org. 60 IN HTTPS 1 . alpn="h2"
loop.example.org. 60 IN CNAME loop.example.org.
"""

Answer = Callable[[Message, bool], Sequence[bytes]]  # a question, and whether it came over UDP


def records() -> dict[tuple[str, str], dns.rrset.RRset]:
    """The sets of the zone by name and type."""
    texts: dict[tuple[str, str], list[str]] = {}
    for line in ZONE.strip().splitlines():
        name, _, _, kind, text = line.split(" ", 4)
        texts.setdefault((name, kind), []).append(text)
    return {key: dns.rrset.from_text_list(key[0], 60, "IN", key[1], each) for key, each in texts.items()}


RECORDS = records()


def answered(question: Message) -> Message:
    """The answer of the zone: with aliases, NXDOMAIN for an unknown name."""
    reply = dns.message.make_response(question)
    name, kind = question.question[0].name.to_text().lower(), question.question[0].rdtype.name
    if not any(known == name for known, _ in RECORDS):
        reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply
    if (alias := RECORDS.get((name, "CNAME"))) is not None and kind != "CNAME":
        reply.answer.append(alias)
        name = alias[0].target.to_text().lower()
    if (found := RECORDS.get((name, kind))) is not None and found not in reply.answer:
        reply.answer.append(found)
    return reply


def by_zone(question: Message, _is_datagram: bool) -> Sequence[bytes]:
    """As the zone has it."""
    return [answered(question).to_wire()]


@dataclass(slots=True)
class FakeNameServer:
    """A server that runs; `asked` has whether each question came over UDP."""

    port: int
    asked: list[bool] = field(default_factory=list)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: FakeNameServer, answer: Answer) -> None:
        self._server, self._answer = server, answer

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.asked.append(True)
        for each in self._answer(dns.message.from_wire(data), True):
            self._transport.sendto(each, addr)


@asynccontextmanager
async def name_server(
    answer: Answer = by_zone, tls: ssl.SSLContext | None = None
) -> AsyncIterator[FakeNameServer]:
    """Run a server that answers so, on 127.0.0.1; with `tls` over TLS only."""
    running = FakeNameServer(0)

    async def answer_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            running.asked.append(False)
            for each in answer(dns.message.from_wire(await reader.readexactly(length)), False):
                writer.write(struct.pack("!H", len(each)) + each)
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(answer_stream, "127.0.0.1", 0, ssl=tls) as server:
        running.port = server.sockets[0].getsockname()[1]
        datagrams, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(running, answer), ("127.0.0.1", running.port)
        )
        try:
            yield running
        finally:
            datagrams.close()
