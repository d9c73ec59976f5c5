"""ICMP echo: sockets by which this process may send requests, and the messages."""

import asyncio
import errno
import os
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from kener_async.domain.checks import Obstacle
from kener_async.probes.probe import NotMeasured
from kener_async.probes.sockets import socket_address

Opening = Callable[[socket.SocketKind, int], socket.socket]

HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
TYPES = {4: (8, 0), 6: (128, 129)}  # those of an echo request and of a reply
TOKEN_BYTES, PADDING = 16, bytes(40)  # as many bytes as ping(8) sends
LARGEST_MESSAGE, ANCILLARY_BYTES = 4096, 512
MOST_AT_ONCE = 1000  # messages: a flood must not hold the loop
ALL_BITS = 0xFFFFFFFF
# Constants of Linux that Python lacks. IP_RECVERR: a router's "host unreachable" is reported, too.
RECEIVE_ERRORS = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
PROTOCOLS = {
    4: (socket.AF_INET, socket.IPPROTO_ICMP),
    6: (socket.AF_INET6, socket.IPPROTO_ICMPV6),
}
# For raw sockets: bits of the types that are dropped, all but replies. ICMP_FILTER and ICMP6_FILTER.
REPLY_FILTERS = {
    4: (255, 1, struct.pack("=I", ALL_BITS & ~1)),
    6: (socket.IPPROTO_ICMPV6, 1, struct.pack("=8I", *[ALL_BITS] * 4, ALL_BITS & ~2, *[ALL_BITS] * 3)),
}
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@ll")
EXTENDED_ERROR = struct.Struct("=I")  # its first field is the error number
NOT_PERMITTED = {errno.EACCES, errno.EPERM}
NOT_THERE = {errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT}


class EchoReply(NamedTuple):
    """A reply to the request `number`; `received` is when it came, on the clock of `time.time`."""

    number: int
    received: float


class EchoSocket:
    """A socket for echo requests to one literal address; to be closed.

    A random payload tells the replies to its requests from those to other programs'. `opening` makes a socket
    of a kind and a protocol to this address, such as Sockets.open.
    """

    def __init__(self, address: str, opening: Opening) -> None:
        """Connect; raises NotMeasured and OSError."""
        self._version = 6 if ":" in address else 4
        self._token = os.urandom(TOKEN_BYTES)
        self._identifier = int.from_bytes(os.urandom(2))  # of a datagram socket the kernel chooses another
        self._socket, self._is_raw = _opened(self._version, opening)
        try:
            self._set_up()
            self._socket.connect(socket_address(address, 0))
        except BaseException:
            self._socket.close()
            raise

    def _set_up(self) -> None:
        if self._is_raw:
            self._socket.setsockopt(*REPLY_FILTERS[self._version])
        self._socket.setsockopt(*RECEIVE_ERRORS[self._version], 1)
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def close(self) -> None:
        self._socket.close()

    def send(self, number: int) -> None:
        """Send the request `number`; raises OSError."""
        kind = TYPES[self._version][0]
        payload = self._token + PADDING
        message = HEADER.pack(kind, 0, 0, self._identifier, number) + payload
        if self._version == 4:  # for IPv6 the kernel does it
            message = HEADER.pack(kind, 0, _checksum(message), self._identifier, number) + payload
        self._socket.send(message)

    async def wait(self) -> None:
        """Wait until something has come: replies or errors."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        # Each wait registers anew, because uvloop ends a registration with the first error on the socket.
        loop.add_reader(self._socket.fileno(), _finish, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self._socket.fileno())

    def replies(self) -> list[EchoReply]:
        """The replies to requests of this socket that have come since the last call."""
        found: list[EchoReply] = []
        for _ in range(MOST_AT_ONCE):
            try:
                received, ancillary, _, _ = self._socket.recvmsg(LARGEST_MESSAGE, ANCILLARY_BYTES)
            except BlockingIOError:
                return found
            except OSError:  # `error` tells it
                continue
            if (number := self._number_of(received)) is not None:
                found.append(EchoReply(number, _time_in(ancillary)))
        return found

    def error(self) -> int | None:
        """The last error that the network has reported since the last call, such as EHOSTUNREACH."""
        number = None
        for _ in range(MOST_AT_ONCE):
            try:
                _, ancillary, _, _ = self._socket.recvmsg(
                    LARGEST_MESSAGE, ANCILLARY_BYTES, socket.MSG_ERRQUEUE
                )
            except OSError:  # also BlockingIOError: there are no more
                return number
            for level, kind, value in ancillary:
                if (level, kind) == RECEIVE_ERRORS[self._version] and len(value) >= EXTENDED_ERROR.size:
                    (number,) = EXTENDED_ERROR.unpack_from(value)
        return number

    def _number_of(self, received: bytes) -> int | None:
        """The number of the request that a message replies to; None: it is another message."""
        if self._is_raw and self._version == 4 and received:
            received = received[(received[0] & 15) * 4 :]  # after the header of IP
        if len(received) < HEADER.size + TOKEN_BYTES or received[HEADER.size :][:TOKEN_BYTES] != self._token:
            return None
        kind, _, _, identifier, number = HEADER.unpack_from(received)
        if kind != TYPES[self._version][1] or (self._is_raw and identifier != self._identifier):
            return None
        return int(number)


def _opened(version: int, opening: Opening) -> tuple[socket.socket, bool]:
    """A datagram socket for ICMP, else a raw one; and whether it is raw."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return opening(kind, PROTOCOLS[version][1]), kind == socket.SOCK_RAW
        except OSError as error:
            if error.errno not in NOT_PERMITTED | NOT_THERE:
                raise
    raise NotMeasured(Obstacle.PERMISSION, f"no permission to ping over IPv{version}")


def _finish(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _time_in(ancillary: list[tuple[int, int, bytes]]) -> float:
    """When the kernel received a message, else now."""
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS) and len(value) == TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack(value)
            return float(seconds + nanoseconds / 1e9)
    return time.time()


def _checksum(message: bytes) -> int:
    """That of RFC 1071, of an even number of bytes."""
    total = sum(int.from_bytes(message[at : at + 2]) for at in range(0, len(message), 2))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
