"""Restart under a steady load: connections that are made meanwhile wait, and are not refused.

This program holds the listening socket, as systemd does; with `--own` the service binds for itself, and
refused connections must be measured.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.rigs.process import MINUTE, Key, Refused, Senders, Server, a_config, compare, connected, integrity
from tests.rigs.systemd import activated

TAGS = [f"m{number:02d}" for number in range(40)]
CLIENTS = 64


class Steady(Senders):
    """Clients that keep to a rate: what could not be sent in time is sent as soon as it can be.

    Every second one takes a new connection for each request.
    """

    def __init__(
        self, port: int, token: str, tags: Sequence[str], rate: float, clients: int = CLIENTS
    ) -> None:
        super().__init__(port, token, tags, clients)
        self.every = clients / rate  # seconds between a client's requests
        self.refused_connections = 0
        self.waits: list[float] = []
        self._started = 0

    def start_after(self, stored: Iterable[Key]) -> None:
        """Send no sample that speaks of a minute that is stored already."""
        oldest = min((minute for _, minute in stored), default=self._newest + MINUTE)
        self._next = len(self.tags) * ((self._newest - oldest) // MINUTE + 1)

    async def _send_on(self, stop: asyncio.Event) -> None:
        number, self._started = self._started, self._started + 1
        due = time.monotonic() + self.every * number / self.clients
        async with connected(self.port, self.token) as client:
            while not stop.is_set():
                await asyncio.sleep(max(0, due - time.monotonic()))
                due += self.every
                key, status = self._sample()
                began = time.monotonic()
                try:
                    await self._send(client, key, status)
                except Refused:
                    self.refused_connections += 1
                self.waits.append(time.monotonic() - began)
                if number % 2:
                    await client.close()


@dataclass
class Report:
    restarts: int = 0
    seconds: float = 0
    sent: int = 0
    acked: int = 0
    refused_connections: int = 0
    refused_requests: int = 0
    unanswered: int = 0
    longest_wait: float = 0
    lost: int | None = None  # None: not compared
    check: str = ""
    away: list[float] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        nobody_refused = not (self.refused_connections or self.refused_requests or self.unanswered)
        return nobody_refused and self.lost == 0 and self.check == "ok"

    def __str__(self) -> str:
        return (
            f"{self.restarts} restarts, {self.sent} requests in {self.seconds:.1f} s "
            f"({self.sent / self.seconds:.0f}/s): {self.acked} acknowledged, {self.lost} of them lost; "
            f"{self.refused_connections} connections and {self.refused_requests} requests refused, "
            f"{self.unanswered} unanswered; away for {max(self.away):.2f} s at most, "
            f"the longest wait {self.longest_wait:.2f} s; database: {self.check}"
        )


async def under_load(
    senders: Steady, restart: Callable[[], Awaitable[None]], restarts: int, between: float
) -> Report:
    """Restart so many times while the clients send; `between`: seconds of load before and after each."""
    report, began = Report(restarts), time.monotonic()
    async with senders.running() as sent:
        await asyncio.sleep(between)
        for _ in range(restarts):
            left = time.monotonic()
            await restart()
            report.away.append(time.monotonic() - left)
            await asyncio.sleep(between)
    report.seconds = time.monotonic() - began
    report.sent, report.acked = len(senders.waits), len(sent.acked)
    report.refused_connections = senders.refused_connections
    report.refused_requests = sum(sent.refused.values())
    report.unanswered = len(sent.unanswered)
    report.longest_wait = max(senders.waits)
    return report


async def run(
    make: AbstractContextManager[Server],
    restarts: int,
    rate: float,
    between: float = 2,
    clients: int = CLIENTS,
) -> Report:
    """A server of this machine, stopped and started again."""
    with make as server:
        token = server.add_token()
        await asyncio.to_thread(server.start)

        async def restart() -> None:
            assert await asyncio.to_thread(server.stop) == 0
            await asyncio.to_thread(server.start)

        senders = Steady(server.port, token, TAGS, rate, clients)
        report = await under_load(senders, restart, restarts, between)
        assert await asyncio.to_thread(server.stop) == 0
        comparison = compare(server.database, senders.sent)
        assert not comparison.phantom
        report.lost, report.check = len(comparison.lost), integrity(server.database)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--rate", type=float, default=1000, help="requests a second")
    parser.add_argument("--own", action="store_true", help="the service binds for itself, and must refuse")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kener-restart-") as name:
        folder, config = Path(name), a_config(None, TAGS)
        make = Server(folder, config) if options.own else activated(folder, config)
        report = asyncio.run(run(make, options.restarts, options.rate))
    print(report)
    return 0 if (report.refused_connections > 0 if options.own else report.is_ok) else 1


if __name__ == "__main__":
    sys.exit(main())
