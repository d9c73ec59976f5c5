"""Random histories of monitors under alert rules: every property of docs/alerts.md, and an independent judge.

KENER_HISTORIES=2000 runs that many instead of a few; `python -m tests.soak.alerts` runs 100,000.
"""

import os

import pytest

from tests.rigs import alert_properties as properties
from tests.rigs.alert_properties import Findings, backlog, examine, first_faults

HISTORIES = int(os.environ.get("KENER_HISTORIES", "0")) or 150
SEEDS = range(HISTORIES)


@pytest.fixture(scope="module")
def findings() -> Findings:
    """Every property at every event of all histories."""
    found = Findings()
    for seed in SEEDS:
        found.add(examine(seed))
    return found


@pytest.mark.timeout(0 if HISTORIES > 1000 else 300)
@pytest.mark.parametrize(
    "name",
    [
        properties.JUDGE,
        properties.RESTART,
        properties.INCIDENTS,
        properties.ALTERNATE,
        properties.MAINTENANCE,
        properties.PRESENT,
        properties.EARLY,
        properties.PAST,
    ],
)
@pytest.mark.xdist_group("alert histories")
def test_in_every_history(name: str, findings: Findings):
    assert not findings.faults[name], findings.faults[name][0]


@pytest.mark.xdist_group("alert histories")
def test_the_histories_hold_every_event(findings: Findings):
    expected = {"opened", "reminded", "resolved", "retracted", "removed", "flapping", "settled", "told"}
    assert expected <= findings.events.keys()


@pytest.mark.parametrize(
    ("name", "check"),
    [
        (properties.ONCE, properties.down_around_a_pause),
        (properties.RECOVERED, properties.recovered_in_a_pause),
        (properties.BATCHES, properties.batches),
    ],
    ids=[properties.ONCE, properties.RECOVERED, properties.BATCHES],
)
def test_always(name: str, check):
    assert first_faults(check, SEEDS) == [], name


def test_a_backlog_opens_no_alert_about_what_is_over():
    assert first_faults(lambda seed: backlog(seed, days=2), SEEDS) == []
