"""Kill the server repeatedly under load: no acknowledged sample may be lost.

What the load reports is soon of days that are sealed, and is merged into them all the time.

python -m tests.soak.kill --cycles 200
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.rigs.old_file import DAY, HASTY
from tests.rigs.process import (
    MINUTE,
    Comparison,
    Senders,
    Server,
    Unanswered,
    a_config,
    compare,
    connected,
    integrity,
)
from tests.rigs.stored_samples import STATUSES, samples_in

TAGS = [f"m{number:02d}" for number in range(40)]
CHECKED_EACH = 10


@dataclass
class Report:
    seed: int
    cycles: int = 0
    checks: list[str] = field(default_factory=list)  # what the integrity checks said
    restarts: list[float] = field(default_factory=list)
    comparison: Comparison | None = None
    unanswered: int = 0
    odd: int = 0
    miscounted: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return (
            self.comparison is not None
            and self.comparison.is_ok
            and self.comparison.acked > 0
            and set(self.checks) == {"ok"}
            and not self.odd
            and not self.miscounted
        )

    def __str__(self) -> str:
        assert self.comparison is not None
        restarts, checks = sorted(self.restarts), " ".join(sorted(set(self.checks)))
        return (
            f"seed {self.seed}: {self.cycles} kills, {self.comparison.acked} acknowledged, "
            f"{self.comparison.stored} stored, {self.unanswered} unanswered, "
            f"{len(self.comparison.lost)} lost, {len(self.comparison.phantom)} phantom, "
            f"{self.odd} odd answers, {len(self.checks)} integrity checks: {checks}, "
            f"{len(self.miscounted)} monitors miscounted; start to listening: "
            f"median {restarts[len(restarts) // 2]:.2f} s, longest {restarts[-1]:.2f} s"
        )


# Bugs on purpose, to prove that the rig sees them: an answer before the sample is on disk.
FAULTS = {
    "early": """
from kener_async.worker import writer
async def put(self, item, waiting=writer.Writer.put):
    import asyncio
    self.__dict__.setdefault("early", []).append(asyncio.ensure_future(waiting(self, item)))
writer.Writer.put = put
""",
}


async def run(folder: Path, cycles: int, seed: int, fault: str = "") -> Report:
    chance = random.Random(seed)
    report = Report(seed)
    settings = {"rollups": {"interval_seconds": 1}}
    newest = int(time.time()) // DAY * DAY - 2 * DAY + 30 * MINUTE  # half an hour is not sealed yet
    with Server(folder, a_config(settings, TAGS), fault=HASTY + fault) as server:
        token = server.add_token()
        senders = Senders(server.port, token, TAGS, clients=8, newest=newest)
        await _start(server, report)
        async with senders.running():
            while report.cycles < cycles:
                await asyncio.sleep(chance.uniform(0.05, 0.4))
                await asyncio.to_thread(server.kill)
                report.cycles += 1
                await _start(server, report)
                if report.cycles % CHECKED_EACH == 0:
                    report.checks.append(await asyncio.to_thread(integrity, server.database))
            await asyncio.to_thread(server.kill)
        await _start(server, report)
        report.comparison = compare(server.database, senders.sent)
        report.unanswered, report.odd = len(senders.sent.unanswered), len(senders.sent.odd)
        report.miscounted = await _miscounted(server, token)
        report.checks.append(integrity(server.database))
    return report


async def _start(server: Server, report: Report) -> None:
    began = time.monotonic()
    await asyncio.to_thread(server.start)
    report.restarts.append(time.monotonic() - began)


async def _miscounted(server: Server, token: str) -> list[str]:
    """The monitors whose uptime is not what counting their samples says."""
    faults = []
    async with connected(server.port, token) as client:
        for tag in TAGS:
            try:
                uptime = await client.get(f"/api/monitors/{tag}/uptime?window=90d")
            except Unanswered as error:
                faults.append(f"{tag}: no answer: {error}")
                continue
            counted = _counted(server.database, tag, uptime["from"], uptime["to"])
            shown = {key: uptime["minutes"][key] for key in ("up", "degraded", "down")}
            if shown != counted or uptime["latency"]["count"] != sum(counted.values()):
                faults.append(f"{tag}: shown {shown}, counted {counted}")
    return faults


def _counted(database: Path, tag: str, start: int, end: int) -> dict[str, int]:
    found = [one.status for one in samples_in(database) if one.tag == tag and start <= one.minute < end]
    return {status.lower(): found.count(status) for status in STATUSES}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--prove", action="store_true", help="with a server that answers too early")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kener-kill-") as folder:
        report = asyncio.run(
            run(Path(folder), options.cycles, options.seed, FAULTS["early"] if options.prove else "")
        )
    print(report)
    for fault in report.miscounted:
        print(fault)
    print("OK" if report.is_ok else "FAILED")
    return 0 if report.is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
