"""Kill the server, or cut its power, while it tells a webhook of alerts: no delivery may be lost.

    python -m tests.soak.deliveries --deliveries 20000 --kills 1000
    python -m tests.soak.deliveries --deliveries 0 --kills 0 --cuts 20

Monitors go down and up, each when the webhook has heard of its last change. A fifth of the requests fails:
they are answered 5xx, reset, or slow. What was interrupted may be told a second time, under the
same key: at most one message for each kill. Delays of retries are shortened. Cuts need root, ext4 and xfs_io.
"""

import argparse
import asyncio
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from kener_async.domain.notices import DeliveryState
from tests.rigs.process import Refused, Server, Unanswered, a_config, connected, integrity, reading
from tests.soak.power import Disk, ext4

TAGS = [f"m{number:02d}" for number in range(30)]
FAILING = 0.2  # of the requests
PATIENCE = 90  # seconds until everything that waits must have been told

QUICK = """
from kener_async.domain import deliveries
deliveries.RETRY_DELAYS = (0.1, 0.2, 0.4, 0.8)
deliveries.FAILING_PAUSE = deliveries.PROBE_AFTER = 0.1
"""

# Bugs on purpose, to prove that the rig sees them.
FAULTS = {
    "marked as sent before": """
from kener_async.store import deliveries
sending = deliveries.mark_sending
def mark_sending(session, numbers):
    numbers = list(numbers)
    sending(session, numbers)
    deliveries.mark_sent(session, numbers, 1, "")
deliveries.mark_sending = mark_sending
""",
    "another key each time": """
import dataclasses, secrets
from kener_async.channels import webhook
sent = webhook.Webhook.send
async def send(self, message, references):
    items = [dataclasses.replace(item, key=secrets.token_hex(4) + "-" + item.key) for item in message.items]
    return await sent(self, dataclasses.replace(message, items=tuple(items)), references)
webhook.Webhook.send = send
""",
}

CONFIG = """
[[alerts]]
name = "outage"
to = ["ops"]
flapping = false

[[channels]]
name = "ops"
kind = "webhook"
url = "http://127.0.0.1:{port}/"
gather = 0
per_minute = 10000
"""


@dataclass
class Webhook:
    """A receiver that fails at random; `taken` are the messages it answered with 200."""

    chance: random.Random
    taken: list[dict[str, Any]] = field(default_factory=list)
    heard: dict[str, tuple[int, str]] = field(
        default_factory=dict
    )  # by monitor, the newest delivery, its kind
    failed: Counter[str] = field(default_factory=Counter)
    port: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Webhook"]:
        app = web.Application()
        app.router.add_post("/", self._take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.chance.random() < FAILING:
            how = self.chance.choice(("5xx", "reset", "slow"))
            self.failed[how] += 1
            if how == "5xx":
                return web.Response(status=self.chance.choice((500, 502, 503, 504)))
            if how == "reset":
                assert request.transport is not None
                request.transport.abort()
                return web.Response(status=500)
            await asyncio.sleep(self.chance.uniform(0.1, 0.6))
        body["header"] = request.headers.get("Idempotency-Key")
        self.taken.append(body)
        for item in body["items"]:  # a slow request may end after one that came later
            told = (_number(item), item["kind"])
            self.heard[item["monitor"]] = max(told, self.heard.get(item["monitor"], told))
        return web.Response()


@dataclass
class Report:
    """What was told, compared with what was stored."""

    seed: int
    interruptions: int = 0
    deliveries: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    twice: int = 0
    other_keys: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        is_complete = not self.lost and not self.unheard and not self.other_keys
        is_proven = self.deliveries > 0 and all(self.failed[how] for how in ("5xx", "reset", "slow"))
        is_sound = set(self.checks) <= {"ok"}
        return is_complete and is_proven and is_sound and self.twice <= self.interruptions

    def __str__(self) -> str:
        states = ", ".join(f"{number} {state}" for state, number in sorted(self.states.items()))
        failures = ", ".join(f"{number} {how}" for how, number in sorted(self.failed.items()))
        return (
            f"seed {self.seed}: {self.interruptions} kills or cuts, {self.deliveries} deliveries ({states}), "
            f"the webhook failed {self.failed.total()} times ({failures}); {len(self.lost)} lost, "
            f"{len(self.unheard)} changes never told, {self.twice} messages twice, "
            f"{len(self.other_keys)} under other keys"
        )

    def compare(self, database: Path, taken: Sequence[dict[str, Any]]) -> None:
        """Hold all that the webhook took against the deliveries that are stored."""
        with closing(reading(database)) as connection:
            rows = connection.execute("SELECT id, state, merged_into FROM deliveries").fetchall()
        self.deliveries = len(rows)
        told = {_number(item) for body in taken for item in body["items"]}
        for number, state, merged_into in rows:
            self.states[DeliveryState(state).name.lower()] += 1
            is_told = number in told or merged_into in told
            if not is_told and state != DeliveryState.DROPPED:
                self.lost.append(f"delivery {number} is {DeliveryState(state).name} and was not told")
        known = {number for number, *_ in rows}
        self.lost += [f"delivery {number} was told and is not stored" for number in sorted(told - known)]
        seen: set[str] = set()
        for body in taken:  # what is sent again may be in one message with what is new
            items = {item["id"] for item in body["items"]}
            self.twice += bool(items & seen)
            seen |= items
        keys = defaultdict(set)
        for body in taken:
            if body["header"] != body["key"]:
                self.other_keys.append(f"{body['header']} is not {body['key']}")
            for item in body["items"]:
                keys[item["alert"], item["kind"], item["at"]].add(item["id"])
        self.other_keys += [f"{event}: {found}" for event, found in keys.items() if len(found) > 1]


class Load:
    """Monitors that go down and up, each as soon as the webhook has heard of its last change."""

    def __init__(self, server: Server, token: str, webhook: Webhook) -> None:
        self.server, self.token, self.webhook = server, token, webhook
        self.stop = asyncio.Event()
        self.unheard: list[str] = []

    async def flip(self, tag: str) -> None:
        while not self.stop.is_set():
            for status, kinds in (("DOWN", {"opened"}), ("UP", {"resolved", "retracted"})):
                await self._post(tag, status)
                began = time.monotonic()
                while self.webhook.heard.get(tag, (0, ""))[1] not in kinds:
                    await asyncio.sleep(0.02)
                    if time.monotonic() - began > PATIENCE:
                        self.unheard.append(f"{tag} is {status}")
                        return

    async def _post(self, tag: str, status: str) -> None:
        """Until it is acknowledged."""
        while True:
            with suppress(Refused, Unanswered):
                async with connected(self.server.port, self.token) as client:
                    body = {"tag": tag, "status": status, "latency": 0.1}
                    if (await client.ask("POST", "/api/status", body)).status == 200:
                        return
            await asyncio.sleep(0.05)


async def run(
    folder: Path, deliveries: int, kills: int, seed: int, *, fault: str = "", disk: Disk | None = None
) -> Report:
    """Interrupt it so often, and go on until there are so many deliveries; then wait until all are told.

    With a disk its power is cut, instead of the server being killed.
    """
    chance = random.Random(seed)
    report, webhook = Report(seed), Webhook(chance)
    database = None if disk is None else disk.point / "kener.db"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(webhook.running())
        config = a_config({"rollups": {"interval_seconds": 1}}, TAGS, CONFIG.format(port=webhook.port))
        server = stack.enter_context(Server(folder, config, database=database, fault=QUICK + fault))
        token = server.add_token() if disk is None else await asyncio.to_thread(server.mint)
        await asyncio.to_thread(server.start)
        load = Load(server, token, webhook)
        tasks = [asyncio.create_task(load.flip(tag)) for tag in TAGS]
        while report.interruptions < kills:
            await asyncio.sleep(chance.uniform(0.1, 0.8) if disk is None else chance.uniform(0.5, 2))
            await _interrupt(server, disk)
            report.interruptions += 1
            if report.interruptions % 20 == 0 or disk is not None:
                report.checks.append(await asyncio.to_thread(integrity, server.database))
            await asyncio.to_thread(server.start)
        while sum(len(body["items"]) for body in webhook.taken) < deliveries and not load.unheard:
            await asyncio.sleep(0.1)
        load.stop.set()
        await asyncio.gather(*tasks)
        await _until_told(server.database)
        report.checks.append(await asyncio.to_thread(integrity, server.database))
        report.failed, report.unheard = webhook.failed, load.unheard
        report.compare(server.database, webhook.taken)
    return report


async def _interrupt(server: Server, disk: Disk | None) -> None:
    if disk is None:
        await asyncio.to_thread(server.kill)
        return
    # Stopped first: a flush under way when the file system goes is neither done nor failed.
    await asyncio.to_thread(server.freeze)
    await asyncio.sleep(0.05)
    await asyncio.to_thread(disk.cut_power)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(disk.unmount)
    await asyncio.to_thread(disk.mount)


async def _until_told(database: Path) -> None:
    """Wait until nothing is due any more, or patience ends."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        with closing(reading(database)) as connection, suppress(sqlite3.OperationalError):
            (waiting,) = connection.execute(
                "SELECT count(*) FROM deliveries WHERE state IN (?, ?)",
                (DeliveryState.DUE, DeliveryState.SENDING),
            ).fetchone()
            if waiting == 0:
                return
        await asyncio.sleep(0.2)


def _number(item: Mapping[str, Any]) -> int:
    """The number of the delivery that an item of a webhook is of; later ones are greater."""
    return int(item["id"].rpartition("-")[2])


async def cut(folder: Path, cuts: int, seed: int) -> Report:
    """The same on a disk whose power is cut."""
    with ext4(folder / "disk") as disk:
        return await run(folder, 0, cuts, seed, disk=disk)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--deliveries", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--cuts", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    reports = []
    with tempfile.TemporaryDirectory(prefix="kener-deliveries-") as folder:
        if options.deliveries or options.kills:
            reports.append(asyncio.run(run(Path(folder), options.deliveries, options.kills, options.seed)))
    with tempfile.TemporaryDirectory(prefix="kener-deliveries-") as folder:
        if options.cuts:
            reports.append(asyncio.run(cut(Path(folder), options.cuts, options.seed)))
    for report in reports:
        print(report)
        for fault in [*report.lost, *report.unheard, *report.other_keys][:20]:
            print(fault)
    is_ok = all(report.is_ok for report in reports)
    print("OK" if is_ok else "FAILED")
    return 0 if is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
