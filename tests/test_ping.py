"""Pings: replies of our own only, loss, permission, and errors of the network."""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable

import pytest

from kener_async.domain.checks import Obstacle
from kener_async.domain.samples import Status
from kener_async.probes import icmp
from kener_async.probes.icmp import EchoSocket
from kener_async.probes.settings import PingTarget
from tests.rigs.icmp import may_ping
from tests.rigs.looks import look

REPLY_V4, REPLY_V6 = 0, 129
can_ping = pytest.mark.skipif(not (may_ping(4) and may_ping(6)), reason="needs permission for ICMP")


class FakeSocket:
    """A socket on which a test puts what comes."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.queue: list[bytes | OSError] = []
        self.options: list[tuple[int, int, object]] = []
        self.is_closed = False

    def setsockopt(self, level: int, name: int, value: object) -> None:
        self.options.append((level, name, value))

    def connect(self, address: object) -> None:
        self.address = address

    def send(self, message: bytes) -> None:
        self.sent.append(message)

    def recvmsg(self, _size: int, _ancillary: int, _flags: int = 0) -> tuple[bytes, list[object], int, None]:
        if not self.queue:
            raise BlockingIOError
        first = self.queue.pop(0)
        if isinstance(first, OSError):
            raise first
        return first, [], 0, None

    def close(self) -> None:
        self.is_closed = True


def refusing(
    *refused: socket.SocketKind, made: FakeSocket
) -> Callable[[socket.SocketKind, int], socket.socket]:
    def opening(kind: socket.SocketKind, _protocol: int) -> socket.socket:
        if kind in refused:
            raise PermissionError(errno.EPERM, "not permitted")
        return made  # type: ignore[return-value]

    return opening


def reply_to(request: bytes, kind: int) -> bytes:
    return bytes([kind]) + request[1:]


@pytest.mark.parametrize(("address", "kind"), [("192.0.2.1", REPLY_V4), ("2001:db8::1", REPLY_V6)])
@pytest.mark.parametrize("is_raw", [False, True])
def test_only_replies_to_its_own_requests_count(address: str, kind: int, is_raw: bool):
    made = FakeSocket()
    echo = EchoSocket(address, refusing(*([socket.SOCK_DGRAM] if is_raw else []), made=made))
    echo.send(0)
    echo.send(1)
    first, second = made.sent
    header = bytes([0x46]) + bytes(23) if is_raw and kind == REPLY_V4 else b""  # with options of IP
    other_token = bytearray(reply_to(first, kind))
    other_token[10] ^= 1
    other_identifier = bytearray(reply_to(first, kind))
    other_identifier[4] ^= 1
    made.queue = [
        header + reply_to(second, kind),
        header + bytes(other_token),
        header + first,  # our own request, as a raw socket on loopback sees it
        header + reply_to(first, 3),
        header + reply_to(first, kind)[:12],
        b"",
        b"\x4f",
        header + reply_to(first, kind),
    ]
    if is_raw:  # a datagram socket has the identifier of the kernel
        made.queue.insert(0, header + bytes(other_identifier))
    assert [reply.number for reply in echo.replies()] == [1, 0]
    echo.close()
    assert made.is_closed


def test_a_checksum_is_that_of_rfc_1071():
    made = FakeSocket()
    echo = EchoSocket("192.0.2.1", refusing(made=made))
    for number in (0, 1, 65_535):
        echo.send(number)
        total = sum(struct.unpack(f"!{len(made.sent[-1]) // 2}H", made.sent[-1]))
        while total >> 16:
            total = (total >> 16) + (total & 0xFFFF)
        assert total == 0xFFFF


def test_identifiers_and_payloads_are_random():
    sent = set()
    for _ in range(20):
        made = FakeSocket()
        EchoSocket("192.0.2.1", refusing(made=made)).send(0)
        sent.add(made.sent[0][8:24])
    assert len(sent) == 20


async def test_without_permission_nothing_is_measured(monkeypatch: pytest.MonkeyPatch):
    plain = socket.socket

    def refusing_icmp(family: int = -1, kind: int = -1, protocol: int = -1, fileno: int | None = None):
        if protocol in {socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6}:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return plain(family, kind, protocol, fileno)

    monkeypatch.setattr(socket, "socket", refusing_icmp)
    assert (may_ping(4), may_ping(6)) == ("", "")
    for host, version in (("127.0.0.1", 4), ("::1", 6)):
        made = await look(PingTarget(host))
        assert (made.status, made.obstacle) == (None, Obstacle.PERMISSION)
        assert made.reason == f"no permission to ping over IPv{version}"


@can_ping
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_target_replies(host: str):
    made = await look(PingTarget(host), expect=["loss == 0", f'ip == "{host}"', "latency < 1s"])
    assert (made.status, made.reason) == (Status.UP, "")
    assert 0 < made.seconds < 1


@can_ping
def test_a_reply_within_a_millisecond_has_a_latency():
    uvloop = pytest.importorskip("uvloop")  # whose time has whole milliseconds
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = [runner.run(look(PingTarget("127.0.0.1", packets=1))).seconds for _ in range(20)]
    assert min(seen) > 0


@can_ping
async def test_many_pings_at_once_do_not_confuse():
    before = len(os.listdir("/proc/self/fd"))
    targets = [PingTarget(host, packets=5) for host in ("127.0.0.1", "127.0.0.2", "::1")] * 20
    made = await asyncio.gather(*(look(each, expect=["loss == 0"]) for each in targets))
    assert {(each.status, each.reason) for each in made} == {(Status.UP, "")}
    assert len(os.listdir("/proc/self/fd")) <= before


@can_ping
async def test_a_cancelled_ping_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(icmp.EchoSocket, "replies", lambda _self: [])
    before = len(os.listdir("/proc/self/fd"))
    made = await look(PingTarget("127.0.0.1"), timeout=0.3)
    assert (made.status, made.reason, made.is_network) == (Status.DOWN, "no reply within 300 ms", True)
    assert len(os.listdir("/proc/self/fd")) <= before


@can_ping
async def test_lost_requests_are_counted(monkeypatch: pytest.MonkeyPatch):
    send = EchoSocket.send
    for lost, expect in (
        ({1}, ["loss > 0.3", "loss < 0.4"]),
        ({0, 2}, ["loss > 0.6", "loss < 0.7"]),
        ({2}, None),
    ):
        monkeypatch.setattr(
            EchoSocket, "send", lambda self, number, lost=lost: number in lost or send(self, number)
        )
        for timeout in (5, 1):  # longer and shorter than the last replies are waited for
            made = await look(PingTarget("127.0.0.1"), expect=expect, timeout=timeout)
            assert (made.status, made.reason) == (Status.UP, ""), (lost, timeout)
