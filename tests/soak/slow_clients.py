"""Slow clients of five kinds beside heartbeats: all are disconnected in time, every heartbeat is answered.

    python -m tests.soak.slow_clients [--connections 8000] [--seconds 15]

The kinds: half of a request line, half of the headers, a body that stalls, nothing at all, and pipelined
requests for the page whose answers are not read. Needs twice as many file descriptors as connections.
"""

import argparse
import asyncio
import contextlib
import resource
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from tests.rigs.process import Client, Server, a_config, connected

PAGES = 30  # pipelined requests of a client that does not read
HANGUP = select.POLLRDHUP | select.POLLHUP | select.POLLERR
PAGE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
KINDS = ("request line", "headers", "body", "nothing", "reader")
TAGS = tuple(f"monitor-{number}" for number in range(20))  # so that the page is not a small one


def first_bytes(kind: str, token: str) -> bytes:
    """All that a client of the kind ever sends."""
    lines = "POST /api/status HTTP/1.1", "Host: a", f"Authorization: Bearer {token}", "Content-Length: 99"
    return {
        "request line": b"GET /hea",
        "headers": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Note: ",
        "body": "\r\n".join([*lines, "", "{"]).encode(),
        "nothing": b"",
        "reader": PAGE * PAGES,
    }[kind]


@dataclass
class Report:
    """`left` are the clients still connected at the end, by kind; times in seconds."""

    connections: int
    left: Counter[str]
    last_closed: float
    heartbeats: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    peak_mb: float = 0

    @property
    def is_ok(self) -> bool:
        return not self.left and not self.faults

    def __str__(self) -> str:
        times = sorted(self.heartbeats) or [0.0]
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        lines = [
            f"{self.connections} slow clients, the last was disconnected after {self.last_closed:.1f} s, "
            f"left: {dict(self.left) or 'none'}",
            f"{len(self.heartbeats)} heartbeats answered meanwhile, p50 {p50 * 1000:.0f} ms, "
            f"p99 {p99 * 1000:.0f} ms, slowest {times[-1] * 1000:.0f} ms; "
            f"peak of the server's memory {self.peak_mb:.0f} MB",
            *self.faults,
        ]
        return "\n".join(lines)


class Herd:
    """The slow clients, watched for the end of their connections without reading."""

    def __init__(self, port: int, token: str, kinds: tuple[str, ...]) -> None:
        self._address = ("127.0.0.1", port)
        self._token = token
        self._kinds = kinds
        self._poll = select.poll()
        self._sockets: dict[int, tuple[str, socket.socket]] = {}
        self.connected_at: dict[int, float] = {}
        self.last_closed = 0.0

    def add(self, number: int) -> None:
        kind = self._kinds[number % len(self._kinds)]
        client = socket.create_connection(self._address, timeout=10)
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.send(first_bytes(kind, self._token))
        self._sockets[client.fileno()] = kind, client
        self.connected_at[client.fileno()] = monotonic()
        self._poll.register(client, select.POLLRDHUP)

    def note_closed(self) -> None:
        for descriptor, events in self._poll.poll(0):
            if events & HANGUP:
                self._poll.unregister(descriptor)
                _, client = self._sockets.pop(descriptor)
                self.last_closed = max(self.last_closed, monotonic() - self.connected_at[descriptor])
                client.close()

    @property
    def left(self) -> Counter[str]:
        return Counter(kind for kind, _ in self._sockets.values())

    def close(self) -> None:
        for _, client in self._sockets.values():
            client.close()


async def run(server: Server, connections: int, seconds: float, kinds: tuple[str, ...] = KINDS) -> Report:
    """Let the clients come at a started server, send heartbeats, and wait until all were disconnected.

    Each must be within `seconds` of its own connect.
    """
    token = server.add_token()
    report = Report(connections, Counter(), 0)
    with closing(Herd(server.port, token, kinds)) as herd:
        async with connected(server.port, token) as client:
            for number in range(connections):
                herd.add(number)
                if number % 100 == 99:
                    herd.note_closed()
                    await _beat(client, report)
            deadline = monotonic() + seconds
            while herd.left and monotonic() < deadline:
                herd.note_closed()
                await _beat(client, report)
                await asyncio.sleep(0.02)
            herd.note_closed()
        report.left, report.last_closed = herd.left, herd.last_closed
    report.peak_mb = _peak_mb(server.pid)
    if report.last_closed > seconds:
        report.faults.append(f"a client was connected for {report.last_closed:.1f} s")
    return report


async def _beat(client: Client, report: Report) -> None:
    began = time.monotonic()
    body = {"tag": TAGS[0], "status": "UP", "latency": 0.1}
    answer = await client.ask("POST", "/api/status", body)
    report.heartbeats.append(time.monotonic() - began)
    if answer.status != 200:
        report.faults.append(f"a heartbeat was answered {answer.status}: {answer.body!r}")


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


@contextlib.contextmanager
def serving(folder: Path, connections: int, memory_mb: int = 0) -> Iterator[Server]:
    """A server that takes so many connections; of `memory_mb` at most, if that is not 0."""
    settings = {
        "server": {"max_connections": connections + 50},
        "ingest": {"token_rate": 0},
    }
    before = ("prlimit", f"--data={memory_mb * 1024 * 1024}") if memory_mb else ()
    with Server(folder, a_config(settings, TAGS), before=before).start() as server:
        yield server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.slow_clients", description=__doc__)
    parser.add_argument("--connections", type=int, default=8000)
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with TemporaryDirectory() as folder, serving(Path(folder), options.connections) as server:
        report = asyncio.run(run(server, options.connections, options.seconds))
        if not server.is_running:
            report.faults.append("the server has stopped")
    print(report)
    return 0 if report.is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
