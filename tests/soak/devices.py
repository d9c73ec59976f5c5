"""Thousands of devices that each report once a minute, each over a connection of its own.

Every acknowledged sample must be stored. Each minute the program prints how long devices waited and how much
memory the server uses. With `--mad` another device sends as fast as it can, with its own token. At the end
two tokens of one name send numbered batches of a device of one name, of which none may be lost either.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles

from tests.rigs.process import (
    MINUTE,
    STATUSES,
    Client,
    Refused,
    Sent,
    Server,
    Unanswered,
    a_config,
    compare,
    integrity,
)

MAD_CONNECTIONS = 64
EXPECTED = "[monitors.heartbeat]\ninterval = 60\ngrace = 60\n"


class Fleet:
    """So many devices, each with a monitor of its own."""

    def __init__(self, port: int, token: str, devices: int, seed: int) -> None:
        self.own_delays: list[float] = []
        self.port = port
        self.token = token
        self.tags = [f"d{number:05d}" for number in range(devices)]
        self.sent = Sent()
        self.waits: list[float] = []
        self._random = random.Random(seed)

    async def report_for(self, minutes: int) -> None:
        """Every device reports once in each of so many minutes from now."""
        first, began = int(time.time()) // MINUTE * MINUTE, time.monotonic()
        phases = {tag: self._random.uniform(0, MINUTE) for tag in self.tags}
        due = sorted(
            (
                minute * MINUTE + min(max(phase + self._random.gauss(0, 2), 0), 59.9),
                tag,
                first + minute * MINUTE,
            )
            for minute in range(minutes)
            for tag, phase in phases.items()
        )
        under_way: set[asyncio.Task[None]] = set()
        for after, tag, minute in due:
            await asyncio.sleep(began + after - time.monotonic())
            task = asyncio.create_task(self._report(tag, minute))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)

    async def watch_oneself(self) -> None:
        """How late this program itself is woken: that much of a wait is not the server's."""
        while True:
            due = time.perf_counter() + 0.005
            await asyncio.sleep(0.005)
            self.own_delays.append(time.perf_counter() - due)

    async def _report(self, tag: str, minute: int) -> None:
        status = self._random.choice(STATUSES)
        body = {"tag": tag, "status": status, "latency": 0.042, "timestampInSeconds": minute}
        client = Client(self.port, self.token)
        began = time.perf_counter()
        try:
            answer = await client.ask("POST", "/api/status", body)
        except (Refused, Unanswered):
            self.sent.unanswered[tag, minute] = status
        else:
            if answer.status == 200:
                self.sent.acked[tag, minute] = status
            else:
                self.sent.refused[answer.status] += 1
                self.sent.refused_keys[tag, minute] = status
        self.waits.append(time.perf_counter() - began)
        await client.close()


@asynccontextmanager
async def gone_mad(port: int, token: str) -> AsyncIterator[Sent]:
    """A device that sends without end, whatever it is told."""
    sent = Sent()

    async def rave(client: Client) -> None:
        body = {"tag": "mad", "status": "UP", "latency": 1}
        while True:
            sent.refused[(await client.ask("POST", "/api/status", body)).status] += 1

    clients = [Client(port, token) for _ in range(MAD_CONNECTIONS)]
    tasks = [asyncio.create_task(rave(client)) for client in clients]
    try:
        yield sent
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def of_one_name(port: int, tokens: Mapping[str, str], samples: int) -> bool:
    """Send so many numbered samples with each of these tokens, by tag; whether all were accepted."""

    async def send(tag: str, token: str) -> bool:
        client, now, accepted = Client(port, token), int(time.time()) // MINUTE * MINUTE, 0
        for number in range(1, samples + 1):
            sample = {"tag": tag, "status": "UP", "latency": number, "seq": number}
            sample["timestampInSeconds"] = now - (samples - number) * MINUTE
            answer = await client.ask("POST", "/api/status/batch", {"device": "gate", "samples": [sample]})
            accepted += answer.json()["accepted"]
        await client.close()
        return accepted == samples

    return all(await asyncio.gather(*(send(tag, token) for tag, token in tokens.items())))


async def watched(server: Server, fleet: Fleet, minutes: int) -> None:
    """Say once a minute how it goes."""
    for minute in range(1, minutes + 1):
        count = len(fleet.waits)
        await asyncio.sleep(MINUTE)
        some = fleet.waits[count:]
        print(f"  minute {minute:2}: {_line(some)}; {server.resident_bytes() / 1e6:.0f} MB", flush=True)


def _line(waits: list[float]) -> str:
    if len(waits) < 100:
        return f"{len(waits)} times"
    cuts = quantiles(waits, n=1000)
    return (
        f"{len(waits)} times, p50 {cuts[499] * 1e3:.1f} ms, p99 {cuts[989] * 1e3:.1f} ms, "
        f"p99.9 {cuts[998] * 1e3:.1f} ms, longest {max(waits) * 1e3:.0f} ms"
    )


async def run(folder: Path, devices: int, minutes: int, is_mad: bool, seed: int) -> bool:
    tags = [*(f"d{number:05d}" for number in range(devices)), "mad", "first", "second"]
    text = "\n".join(f'[[monitors]]\ntag = "{tag}"\n{EXPECTED}' for tag in tags)
    with Server(folder, a_config(None, (), text)) as server:
        token, other = server.add_token(), server.add_token()
        await asyncio.to_thread(server.start, 60)
        fleet = Fleet(server.port, token, devices, seed)
        watch = asyncio.create_task(watched(server, fleet, minutes))
        control = asyncio.create_task(fleet.watch_oneself())
        if is_mad:
            async with gone_mad(server.port, other) as mad:
                await fleet.report_for(minutes)
            print(f"  the mad one was answered {dict(mad.refused)}")
        else:
            await fleet.report_for(minutes)
        all_accepted = await of_one_name(server.port, {"first": token, "second": other}, 200)
        print(f"two tokens of one name: {'nothing lost' if all_accepted else 'samples lost'}")
        watch.cancel()
        control.cancel()
        stopped = await asyncio.to_thread(server.stop)
        comparison = compare(server.database, fleet.sent)
        phantom = {key for key in comparison.phantom if key[0] not in ("mad", "first", "second")}
        check = integrity(server.database)
    sent = fleet.sent
    print(f"{devices} devices, {minutes} minutes: {_line(fleet.waits)}")
    print(f"this program was itself woken late: {_line(fleet.own_delays)}")
    print(
        f"{len(sent.acked)} acknowledged, {len(comparison.lost)} of them lost, {sum(sent.refused.values())} "
        f"refused, {len(sent.unanswered)} unanswered, {len(phantom)} that nobody sent; database: {check}"
    )
    return (
        not comparison.lost
        and all_accepted
        and not phantom
        and check == "ok"
        and stopped == 0
        and not sent.refused
        and not sent.unanswered
        and len(sent.acked) == devices * minutes
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.devices", description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--mad", action="store_true", help="one device more, gone mad")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kener-fleet-") as name:
        is_ok = asyncio.run(run(Path(name), options.devices, options.minutes, options.mad, options.seed))
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
