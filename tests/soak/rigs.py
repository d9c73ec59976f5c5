"""Tests of the rigs: with a bug on purpose in the program under test, each must report a fault.

    python -m pytest -p no:xdist --timeout 0 tests/soak/rigs.py

`make test` only checks that these bugs still fit the code (tests/test_soak.py).
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.rigs.process import Sent, Server, a_config, compare
from tests.soak import agent, clock, deliveries, fuzz, heartbeat_script, kill


async def test_an_agent_that_forgets_samples_before_they_are_taken_is_caught(tmp_path: Path):
    report = await agent.run(tmp_path, cuts=1, kills=1, pause=1, fault=agent.FAULTS["forgetful"])
    assert any("numbers heard" in fault for fault in report.faults), str(report)


async def test_an_agent_that_trusts_its_wall_clock_is_caught(tmp_path: Path):
    report = await agent.run(tmp_path, "back", cuts=2, kills=0, pause=1, fault=agent.FAULTS["simple"])
    assert any(fault.endswith("was rejected") for fault in report.faults), str(report)


@pytest.mark.parametrize("fault", heartbeat_script.FAULTS)
async def test_a_script_that_loses_samples_is_caught(tmp_path: Path, fault: str):
    report = await heartbeat_script.run(tmp_path, "dash", "back", cuts=4, kills=0, seed=2, fault=fault)
    assert report.faults


async def test_a_server_that_acknowledges_before_the_commit_is_caught(tmp_path: Path):
    for seed in range(8):
        (folder := tmp_path / str(seed)).mkdir()
        report = await kill.run(folder, cycles=1, seed=seed, fault=kill.FAULTS["early"])
        assert report.comparison is not None
        if report.comparison.lost:
            return
    pytest.fail("eight kills lost nothing that was acknowledged too early")


@pytest.mark.parametrize("fault", clock.FAULTS)
async def test_a_server_that_misses_a_step_of_the_clock_is_caught(tmp_path: Path, fault: str):
    report = await clock.run(tmp_path, steps=(-3600, 365 * 86400), stay=2.5, fault=clock.FAULTS[fault])
    assert not (report.is_ok and report.is_proven), str(report)


@pytest.mark.parametrize("fault", fuzz.FAULTS)
async def test_a_server_that_fails_at_a_hostile_request_is_caught(tmp_path: Path, fault: str):
    report = await fuzz.assault(tmp_path, 1500, seed=1, fault=fuzz.FAULTS[fault])
    assert report.faults


@pytest.mark.parametrize("fault", deliveries.FAULTS)
async def test_a_server_that_loses_deliveries_or_renames_them_is_caught(tmp_path: Path, fault: str):
    report = await deliveries.run(tmp_path, 0, kills=12, seed=1, fault=deliveries.FAULTS[fault])
    assert report.lost or report.unheard or report.other_keys, str(report)


def test_the_comparison_names_what_is_missing_changed_or_never_sent(tmp_path: Path):
    with Server(tmp_path, a_config(None, ["earth"])) as server:
        server.start()
        assert server.stop() == 0
        with closing(sqlite3.connect(server.database)) as connection, connection:
            connection.executemany("INSERT INTO samples VALUES (1, ?, 0, 0, 1)", [(60,), (120,), (180,)])
        sent = Sent(acked={("earth", 60): "UP", ("earth", 120): "DOWN", ("earth", 240): "UP"})
        comparison = compare(server.database, sent)
        assert comparison.lost == [("earth", 120), ("earth", 240)]
        assert comparison.phantom == [("earth", 120), ("earth", 180)]
