"""TCP and UDP checks: what is sent, what answers come, and ports where nothing listens."""

import asyncio
import errno
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from kener_async.domain.samples import Status
from kener_async.probes.names import Names
from kener_async.probes.settings import DnsTarget, TcpTarget, UdpTarget
from kener_async.probes.sockets import Route, Sockets
from tests.rigs.looks import look
from tests.rigs.process import a_free_port

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def tcp_server(serve: Serve) -> AsyncIterator[int]:
    async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(ended, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if await reader.readline() == b"PING\n":
        writer.write(b"+PO")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"NG\r\n")
    await reader.read()


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def closing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def dripping(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"y")
        await writer.drain()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("serve", "send", "expect", "status", "reason"),
    [
        (silent, b"", None, Status.UP, ""),
        (closing, b"", None, Status.UP, ""),
        (silent, b"PING\n", None, Status.UP, ""),
        (pong, b"PING\n", ['answer contains "PONG"'], Status.UP, ""),
        (pong, b"PING\n", ['answer == "+PONG\r\n"'.replace("\r\n", "\\r\\n")], Status.UP, ""),
        (pong, b"PING\n", ['answer not contains "ERR"', "length(answer) == 7"], Status.UP, ""),
        (pong, b"PING\n", ['answer contains "OK"'], Status.DOWN, "answer"),
        (silent, b"", ['answer contains "PONG"'], Status.DOWN, "no answer within 700 ms"),
        (silent, b"", ['answer not contains "ERR"'], Status.DOWN, "no answer within 700 ms"),
        (closing, b"", ['answer contains "PONG"'], Status.DOWN, "answer"),
        (closing, b"", ["length(answer) == 0"], Status.UP, ""),
        (endless, b"", ['answer contains "xxx"', "length(answer) == 100000"], Status.UP, ""),
        (endless, b"", ['answer contains "y"'], Status.DOWN, "answer"),
        (dripping, b"", ['answer contains "x"'], Status.DOWN, "answer"),
    ],
)
async def test_an_answer_is_read_until_it_is_decided(
    serve: Serve, send: bytes, expect: list[str] | None, status: Status, reason: str
):
    before = len(os.listdir("/proc/self/fd"))
    async with tcp_server(serve) as port:
        target = TcpTarget("127.0.0.1", port, send, max_body=100_000)
        made = await look(target, expect=expect, timeout=0.7)
        assert made.status is status, made.reason
        assert made.reason.startswith(reason)
    await asyncio.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_the_latency_ends_with_the_last_byte():
    async with tcp_server(pong) as port:
        target = TcpTarget("127.0.0.1", port, b"PING\n")
        made = await look(target, expect=['answer contains "PONG"', "latency < 60ms", "latency >= 20ms"])
        assert (made.status, made.reason) == (Status.UP, "")
        assert made.phases.connect is not None
        assert made.phases.first_byte is not None


async def test_a_warning_on_the_answer_is_degraded():
    async with tcp_server(pong) as port:
        target = TcpTarget("127.0.0.1", port, b"PING\n")
        made = await look(target, warn=['answer contains "FAST"'], timeout=0.5)
        assert made.status is Status.DEGRADED


async def test_a_connection_that_the_system_gives_up_is_down(monkeypatch: pytest.MonkeyPatch):
    reads = 0

    async def read(_self: asyncio.StreamReader, _most: int) -> bytes:
        nonlocal reads
        reads += 1
        if reads > 100:
            return b""
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    async with tcp_server(silent) as port:
        monkeypatch.setattr(asyncio.StreamReader, "read", read)
        made = await look(TcpTarget("127.0.0.1", port), expect=["answer contains 'PONG'"], timeout=1)
    assert (made.status, made.reason, made.is_network) == (Status.DOWN, "no answer", True)
    assert reads == 1


async def test_ports_where_nothing_listens_are_down():
    port = a_free_port()
    for target in (
        TcpTarget("127.0.0.1", port),
        TcpTarget("::1", port),
        UdpTarget("127.0.0.1", port),
        UdpTarget("::1", port),
        UdpTarget("127.0.0.1", port, b"hello"),
    ):
        made = await look(target)
        assert (made.status, made.reason, made.is_network) == (Status.DOWN, "connection refused", True)
        assert (await look(target, invert=True)).status is Status.UP


class Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram as `answers` says, in turn; the last stands for all that follow."""

    def __init__(self, *answers: list[bytes]) -> None:
        self.received: list[bytes] = []
        self._answers = answers

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.append(data)
        turn = min(len(self.received), len(self._answers)) - 1
        for each in self._answers[turn]:
            self._transport.sendto(each, addr)


@asynccontextmanager
async def udp_server(*answers: list[bytes]) -> AsyncIterator[tuple[int, Datagrams]]:
    made, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Datagrams(*answers), ("127.0.0.1", 0)
    )
    try:
        yield made.get_extra_info("sockname")[1], protocol
    finally:
        made.close()


async def test_an_open_udp_port_is_up():
    async with udp_server([]) as (port, server):
        made = await look(UdpTarget("127.0.0.1", port), timeout=0.4)
        assert (made.status, made.reason, made.seconds) == (Status.UP, "", 0)
        assert server.received == [b""]


async def test_an_answer_over_udp_is_waited_for():
    question = b"\xff\xff\xff\xffTSource Engine Query\0"
    for answers, expect, status, reason in (
        ([[]], None, Status.DOWN, "no answer within 1.3 s"),
        ([[b"hi"]], None, Status.UP, ""),
        ([[], [b"hi"]], None, Status.UP, ""),  # the first is lost
        ([[b"noise", b"a map"]], ['answer contains "map"'], Status.UP, ""),
        ([[b"noise"]], ['answer contains "map"'], Status.DOWN, 'answer does not contain "map"'),
    ):
        async with udp_server(*answers) as (port, server):
            made = await look(UdpTarget("127.0.0.1", port, question), expect=expect, timeout=1.3)
            assert (made.status, made.reason) == (status, reason)
            assert set(server.received) == {question}


async def test_a_flood_of_datagrams_does_not_hold_the_loop():
    """The target sends without end what is no answer: the attempt ends in time all the same."""
    stop = threading.Event()

    def flood(server: socket.socket) -> None:
        _, address = server.recvfrom(65_535)
        while not stop.is_set():
            with suppress(OSError):
                server.sendto(b"noise", address)

    for port_of in (
        lambda port: UdpTarget("127.0.0.1", port, b"hello"),
        lambda port: DnsTarget("example.org", "A", f"127.0.0.1:{port}"),
    ):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            flooding = threading.Thread(target=flood, args=(server,))
            flooding.start()
            began = time.monotonic()
            try:
                made = await look(
                    port_of(server.getsockname()[1]), expect=['answer contains "yes"'], timeout=0.5
                )
            finally:
                stop.set()
                flooding.join()
                stop.clear()
        assert made.status in {Status.DOWN, None}
        assert time.monotonic() - began < 10


async def test_another_address_is_used_where_there_is_no_way_to_the_first(monkeypatch: pytest.MonkeyPatch):
    async def resolve(_self: Names, _host: str, _ip: int = 0) -> tuple[str, ...]:
        return ("192.0.2.1", "127.0.0.1")

    plain = Sockets._datagrams

    def without_a_way(self: Sockets, address: str, port: int, route: Route) -> socket.socket:
        if address == "192.0.2.1":
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        return plain(self, address, port, route)

    monkeypatch.setattr(Names, "resolve", resolve)
    monkeypatch.setattr(Sockets, "_datagrams", without_a_way)
    async with udp_server([b"hi"]) as (port, _):
        made = await look(UdpTarget("both.example.org", port, b"hello"), expect=['ip == "127.0.0.1"'])
        assert (made.status, made.reason) == (Status.UP, "")
