"""`status`: the same states as the API, with and without a server."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kener_async.cli.main import main
from kener_async.config.model import Config
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from kener_async.domain.samples import Status
from kener_async.errors import FatalError
from kener_async.ops import status
from kener_async.store.sqlite import condition, upgrade
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

MINUTE, HOUR = 60, 3600
WATCHED = MonitorSettings(expectation=EveryInterval(interval=60, grace=60, down_after=180))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return a_config(
        tmp_path,
        a_monitor("earth"),
        a_monitor("mars", WATCHED, latency_unit="ms"),
        a_monitor("vault", hidden=True),
    )


@pytest.fixture
async def lived(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    """Three hours in which mars fell silent, and an incident on earth ended."""
    async with running(config, clock) as service:
        for _ in range(3 * 60):
            await service.beat("earth", "DEGRADED" if clock() < NOON + HOUR else "UP", latency=0.25)
            if clock() < NOON + 2 * HOUR:
                await service.beat("mars", latency=42)
            service.pass_time(MINUTE)
        yield service


def rows(seen: status.MonitorStatuses) -> dict[str, dict[str, object]]:
    return {row["tag"]: row for row in status.as_json(seen)["monitors"]}


async def test_beside_a_server_it_says_what_the_api_says(lived: Service, config: Config):
    seen = rows(status.read_statuses(config, lived.clock))
    listed = {row["tag"]: row for row in await lived.get("/api/monitors")}
    assert seen.keys() == listed.keys()
    for tag, row in listed.items():
        for key in ("name", "category", "hidden", "status", "latency", "latencyUnit"):
            assert seen[tag][key] == row[key], (tag, key)
        assert seen[tag]["lastHeard"] == row["lastUpdatedAt"]
        assert seen[tag]["uptime"] == {window: row["uptime"][window] for window in ("24h", "90d")}


async def test_each_status_has_its_begin(lived: Service, config: Config):
    seen = rows(status.read_statuses(config, lived.clock))
    assert seen["earth"]["since"] == NOON + HOUR
    asked = {"resolution": "minute", "from": NOON, "to": lived.clock()}
    history = await lived.get("/api/monitors/mars/history", **asked)
    others = [item for item in history["items"] if item["status"] != "DOWN"]
    assert seen["mars"]["since"] == others[-1]["to"]
    assert seen["vault"]["since"] is None


async def test_a_server_is_seen_as_long_as_it_runs(config: Config, clock: FakeClock):
    async with running(config, clock):
        assert condition.server_of(config.database.path) == os.getpid()
        assert status.read_statuses(config, clock).is_served
    assert condition.server_of(config.database.path) is None


async def test_without_a_server_it_is_of_the_instant_one_was_last_there(config: Config, clock: FakeClock):
    async with running(config, clock) as service:
        await service.beat("mars")
    clock.now += 10 * HOUR
    seen = status.read_statuses(config, clock)
    assert (seen.is_served, seen.as_of) == (False, NOON)
    assert rows(seen)["mars"]["status"] == "UP"  # nobody was there to see it fall silent


async def test_nothing_is_written(lived: Service, config: Config):
    before = config.database.path.stat().st_mtime_ns, Path(f"{config.database.path}-wal").stat().st_size
    status.read_statuses(config, lived.clock)
    after = config.database.path.stat().st_mtime_ns, Path(f"{config.database.path}-wal").stat().st_size
    assert before == after


async def test_a_monitor_that_no_server_has_met_has_no_data(config: Config, clock: FakeClock):
    async with running(config, clock):
        added = replace(config, monitors=(*config.monitors, a_monitor("pluto")))
        assert rows(status.read_statuses(added, clock))["pluto"] == {
            "tag": "pluto",
            "name": "Pluto",
            "category": "",
            "hidden": False,
            "status": "NO_DATA",
            "since": None,
            "lastHeard": None,
            "latency": None,
            "latencyUnit": "s",
            "uptime": {"24h": "-", "90d": "-"},
            "notMeasured": None,
            "certificateEndsAt": None,
        }


def test_without_a_database_it_says_so(config: Config, clock: FakeClock):
    with pytest.raises(FatalError, match="there is no database yet: start the service first"):
        status.read_statuses(config, clock)


LINES = [
    "   monitor  status   for      heard  latency        24h        90d",
    "+  Earth    up        2h     1m ago   0.25 s      100 %      100 %",
    "x  Mars     down     57m  1h 1m ago    42 ms  67.9558 %  67.9558 %",
    "?  Vault    no data    -      never        -          -          -",
]


def test_on_a_database_that_no_server_has_run_on_it_says_so(config: Config, clock: FakeClock):
    upgrade.prepare(config.database.path)
    with pytest.raises(FatalError, match="no server has run on it yet: start the service"):
        status.read_statuses(config, clock)


async def test_the_table_has_a_line_for_each_and_a_word_and_a_sign(lived: Service, config: Config):
    seen = status.read_statuses(config, lived.clock)
    assert [line for line, _ in status.table(seen)] == LINES
    assert status.summary(seen) == "3 monitors: 1 up, 1 down, 1 no data; 2025-12-31 15:00:00 UTC"


def test_every_status_has_its_own_sign_word_and_colour():
    for looks in zip(*(status.STYLES[one] for one in Status), strict=True):
        assert len(set(looks)) == len(Status)


# The command


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The configuration of a server that stopped with mars DOWN."""

    async def live() -> None:
        async with running(a_config(tmp_path), FakeClock()) as service:
            await service.beat("mars", "DOWN")

    asyncio.run(live())
    file = tmp_path / "config.toml"
    file.write_text(f'{file.read_text()}[[monitors]]\ntag = "earth"\n[[monitors]]\ntag = "mars"\n')
    return file


def call(*words: str, colour: bool = False) -> Result:
    return CliRunner().invoke(main, list(words), color=colour)


def test_the_command_ends_well_also_when_something_is_down(stopped: Path):
    result = call("status", "--config", str(stopped))
    assert result.exit_code == 0
    assert "no server is running" in result.stderr
    assert "x  mars" in result.stdout
    assert "\x1b" not in result.stdout


def test_with_check_what_is_down_decides(stopped: Path):
    assert call("status", "--check", "--config", str(stopped)).exit_code == 2
    stopped.write_text(stopped.read_text().replace('[[monitors]]\ntag = "mars"', ""))
    assert call("status", "--check", "--config", str(stopped)).exit_code == 0


def test_colour_is_for_terminals_that_want_it(stopped: Path, monkeypatch: pytest.MonkeyPatch):
    assert "\x1b[31m" in call("status", "--config", str(stopped), colour=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in call("status", "--config", str(stopped), colour=True).stdout


def test_json_goes_to_standard_output_alone(stopped: Path):
    told = json.loads(call("status", "--json", "--config", str(stopped)).stdout)
    assert (told["served"], told["asOf"]) == (False, NOON)
    assert told["summary"] == {"UP": 0, "DEGRADED": 0, "DOWN": 1, "MAINTENANCE": 0, "NO_DATA": 1}
