"""The bugs that the long tests inject still fit the code."""

import subprocess
import sys

import pytest

from tests.rigs.process import ROOT
from tests.soak import agent, clock, heartbeat_script, kill, mutations

FAULTS = {**agent.FAULTS, **clock.FAULTS, **kill.FAULTS}


@pytest.mark.parametrize("code", [agent.JOURNALS, *FAULTS.values()], ids=["journals", *FAULTS])
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
