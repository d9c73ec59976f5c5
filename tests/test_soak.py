"""The bugs that the long tests inject still fit the code; the shortest of them are run."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.old_file import HASTY
from tests.rigs.process import ROOT
from tests.soak import agent, checks, clock, deliveries, fuzz, heartbeat_script, kill, mutations, power
from tests.soak.requests import Requests

FAULTS = {**agent.FAULTS, **checks.FAULTS, **clock.FAULTS, **deliveries.FAULTS, **fuzz.FAULTS, **kill.FAULTS}


@pytest.mark.parametrize(
    "code",
    [agent.JOURNALS, deliveries.QUICK, HASTY, *FAULTS.values()],
    ids=["journals", "quick", "hasty sealing", *FAULTS],
)
def test_what_a_rig_replaces_in_the_package_is_there(code: str, tmp_path):
    """The code runs before the program does, and fails where a name has changed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("fault", heartbeat_script.FAULTS)
def test_what_a_rig_replaces_in_the_script_is_there(fault: str):
    assert heartbeat_script.with_fault(heartbeat_script.SCRIPT.read_text(), fault)


def test_the_text_of_each_mutation_occurs_once():
    assert [mutation.name for mutation in mutations.MUTATIONS if not mutation.is_applicable(ROOT)] == []


@pytest.mark.process
async def test_no_delivery_is_lost_when_the_server_is_killed(tmp_path: Path):
    """In short; `make soak` has 20,000 deliveries and 1,000 kills."""
    report = await deliveries.run(tmp_path, 300, kills=6, seed=int(os.environ.get("KENER_SEED", "1")))
    assert report.lost == report.unheard == report.other_keys == [], str(report)
    assert report.twice <= 6
    assert report.deliveries >= 300


@pytest.mark.process
async def test_no_kill_after_an_attempt_leaves_a_wrong_minute(tmp_path: Path):
    """In short; `make soak` has 20 kills around the end of a minute."""
    report = await checks.run(tmp_path, kills=3, seed=int(os.environ.get("KENER_SEED", "1")))
    assert report.is_ok, f"{report}\n{report.faults}"
    assert report.stored < report.runs <= 3 * checks.AT_ONCE  # a run may not have begun when it is killed


@pytest.mark.process
async def test_no_power_cut_loses_a_sample_of_an_old_database_or_one_that_was_acknowledged(tmp_path: Path):
    """In short; `make soak` cuts the power 30 times under load, and ten times during an upgrade."""
    if not power.is_possible():
        pytest.skip("needs root, ext4 on a loop device, and xfs_io")
    chance = random.Random(int(os.environ.get("KENER_SEED", "1")))
    for number, report in enumerate(
        (await power.run(tmp_path, 2, "FULL", chance), await power.run_upgrades(tmp_path, 2, chance))
    ):
        assert report.is_ok, (number, report)
        assert report.lost == 0, (number, report)
        assert report.acked > 0, (number, report)


@pytest.mark.process
async def test_no_hostile_request_is_answered_5xx_or_not_at_all(tmp_path: Path):
    """In short; `make fuzz` sends two hundred times as many."""
    report = await fuzz.assault(tmp_path, 800, seed=int(os.environ.get("KENER_FUZZ_SEED", "1")))
    assert report.faults == []
    assert report.answers.total() == 800
    assert {200, 400, 401, 403, 404, 405} <= report.statuses.keys()


def test_the_same_seed_makes_the_same_requests():
    def made(seed: int) -> list[bytes]:
        requests = Requests(
            seed, [("GET", "/monitor/{tag}"), ("POST", "/api/status/batch")], ["a"], "k", 10**9
        )
        return [requests.make().raw for _ in range(300)]

    first = made(1)
    assert first == made(1)
    assert first != made(2)
