"""Targets of checks, in a process of their own: HTTP that answers at once, in 20 ms, in 5 s or never; DNS.

Arguments: the port of HTTP, which also accepts plain connections, and of DNS over UDP.
"""

import asyncio
import socket
import sys
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
DELAYS = {b"/now": 0.0, b"/20ms": 0.02, b"/5s": 5.0}


class HttpTarget(asyncio.Protocol):
    """Answers each request after the delay that its path names; other paths never."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        delay = DELAYS.get(data.split(b" ", 2)[1])
        if delay == 0:
            self._transport.write(ANSWER)
        elif delay is not None:
            asyncio.get_running_loop().call_later(delay, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():  # the check may have given up
            self._transport.write(ANSWER)


class DnsTarget(asyncio.DatagramProtocol):
    """Answers every question with 192.0.2.1."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        header = data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("192.0.2.1")
        self._transport.sendto(header + data[12:end] + answer, address)


async def main() -> None:
    loop = asyncio.get_running_loop()
    http, dns = (int(argument) for argument in sys.argv[1:3])
    await loop.create_datagram_endpoint(DnsTarget, local_addr=("127.0.0.1", dns))
    server = await loop.create_server(HttpTarget, "127.0.0.1", http, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
