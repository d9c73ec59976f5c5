"""A database of a release and the answers its program gave, frozen so that later programs answer the same.

    python -m tests.rigs.released tests/data

run in the tree of a release, writes `released_v<schema>.db.xz` and `released_v<schema>.json.xz`.
"""

import asyncio
import json
import lzma
import random
import sqlite3
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from kener_async.config.model import Config
from kener_async.domain.groups import GroupSettings
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings, OnChange
from kener_async.domain.samples import Status
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

HOUR, DAY = 3600, 86400
DAYS = 6
BEGIN = NOON - DAYS * DAY - 7 * HOUR
STATUSES = ("UP", "UP", "UP", "UP", "UP", "UP", "DEGRADED", "DOWN")

Answers = dict[str, Any]  # by path and query


def config_of(folder: Path) -> Config:
    """Four monitors: with milliseconds, microseconds, all digits of doubles, and a group of the first two."""
    config = a_config(
        folder,
        a_monitor("earth", MonitorSettings(expectation=EveryInterval(60, 60, 600))),
        a_monitor("mars", MonitorSettings(expectation=OnChange(1800), include_degraded_in_downtime=True)),
        a_monitor("phobos", MonitorSettings(default_status=Status.UP)),
        a_monitor("planets", MonitorSettings(group=GroupSettings(("earth", "mars"), 1, False, True))),
    )
    return replace(config, database=replace(config.database, retention_days=400))


async def fill(folder: Path) -> FakeClock:
    """Fill a database in the folder with days of samples, incidents, a gap and late reports."""
    clock, chance = FakeClock(BEGIN), random.Random(7)
    config = config_of(folder)
    for part in range(2):
        async with running(config, clock) as service:
            for _ in range((DAYS * 24 + 7) // 2):
                service.pass_time(HOUR)
                await _report(service, clock, chance)
                if clock.now % (8 * HOUR) == 0:
                    await service.roll()
            await _incidents(service, clock, part)
            await service.roll()
        clock.now += 40 * 60  # a gap
    async with running(config, clock) as service:
        for ago in (5 * DAY, 3 * DAY + 77, 2 * DAY, 200):
            await service.beat("mars", "DOWN", at=clock.now - ago, latency=0.25)
        await service.roll()
    return clock


async def _report(service: Service, clock: FakeClock, chance: random.Random) -> None:
    """The reports of the last hour, in one batch of a device."""
    samples = []
    for tag, every in (("earth", 60), ("mars", 300), ("phobos", 600)):
        for instant in range(clock.now - HOUR, clock.now, every):
            latency = {
                "earth": chance.randrange(80, 400) / 1000,
                "mars": chance.randrange(10**6) / 10**6,
                "phobos": chance.random(),
            }[tag]
            if chance.random() > 0.03:
                samples.append(
                    {
                        "tag": tag,
                        "status": chance.choice(STATUSES),
                        "latency": latency,
                        "timestampInSeconds": instant,
                    }
                )
    await service.post("/api/status/batch", {"device": "gate", "sentAt": clock.now, "samples": samples})


async def _incidents(service: Service, clock: FakeClock, part: int) -> None:
    tags = ("earth", "phobos") if part else ("mars",)
    storm = {"title": "Storm", "tags": tags, "impact": "DOWN", "startDatetime": clock.now - 26 * HOUR}
    await service.post("/api/incident", storm | {"endDatetime": clock.now - 20 * HOUR - 77})
    works = {"title": "Repairs", "tags": ["earth"], "isMaintenance": True}
    times = {"startDatetime": clock.now - 50 * HOUR, "endDatetime": clock.now - 49 * HOUR}
    await service.post("/api/incident", works | times)


async def answers(service: Service, now: int) -> Answers:
    """All figures of all monitors: windows, days, quarter-hours and minutes."""
    found: Answers = {}

    async def ask(path: str, **query: str) -> Any:
        text = "&".join(f"{name}={value}" for name, value in query.items())
        found[f"{path}?{text}"] = answer = await service.get(path, **query)
        return answer

    for monitor in await ask("/api/monitors"):
        tag = monitor["tag"]
        await ask("/api/status", tag=tag)
        for ago in range(0, DAYS * DAY, 5 * HOUR):
            await ask("/api/status", tag=tag, timestamp=str(now - ago))
        for window in ("today", "24h", "7d", "30d", "90d"):
            await ask(f"/api/monitors/{tag}/uptime", window=window)
        for zone in ("UTC", "Asia/Kathmandu"):
            await ask(f"/api/monitors/{tag}/history", window="30d", resolution="day", timezone=zone)
        span = {"from": str(BEGIN - 77), "to": str(now)}
        await ask(f"/api/monitors/{tag}/uptime", **span)
        await ask(f"/api/monitors/{tag}/history", **span, resolution="quarter")
        await ask(f"/api/monitors/{tag}/history", **span, resolution="minute")
    return found


def frozen(folder: Path, schema: int) -> tuple[bytes, Answers, int]:
    """The file, the answers, and the instant of these, as a release with this schema left them."""
    database = lzma.decompress((folder / f"released_v{schema}.db.xz").read_bytes())
    said = json.loads(lzma.decompress((folder / f"released_v{schema}.json.xz").read_bytes()))
    return database, said["answers"], said["now"]


async def _freeze(target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clock = await fill(folder)
        async with running(config_of(folder), clock) as service:
            said = {"now": clock.now, "answers": await answers(service, clock.now)}
        with closing(sqlite3.connect(folder / "kener.db", isolation_level=None)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
        for suffix, data in (
            ("db", (folder / "kener.db").read_bytes()),
            ("json", json.dumps(said, separators=(",", ":")).encode()),
        ):
            packed = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
            (target / f"released_v{schema}.{suffix}.xz").write_bytes(packed)
            print(f"{suffix}: {len(data):,} bytes, {len(packed):,} compressed")


if __name__ == "__main__":
    asyncio.run(_freeze(Path(sys.argv[1])))
