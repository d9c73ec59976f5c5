"""`alert`: list, acknowledge and snooze from a terminal, beside a running server."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kener_async import keys
from kener_async.cli import alerts as commands
from kener_async.cli.main import main
from kener_async.config.model import Config
from kener_async.domain.notices import NoticeKind
from kener_async.ops import actor
from tests.rigs.service import NOON, FakeClock, Service
from tests.test_manage import add_alert, closed, config, service, store, told

__all__ = ["config", "service"]  # fixtures


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    """The user bob at the machine rack-7, with the clock of the test."""
    monkeypatch.setattr(commands, "system_clock", clock)
    monkeypatch.setattr(commands, "gethostname", lambda: "rack-7")
    monkeypatch.setattr(actor, "getuser", lambda: "bob")
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.delenv("KENER_CONFIG", raising=False)


def run(service: Service, *words: str) -> Result:
    file = service.app[keys.RUNNING].config.file
    return CliRunner().invoke(main, ["alert", *words, "--config", str(file)])


async def test_open_alerts_are_listed_newest_first(service: Service):
    await store(service, add_alert, "earth")
    await store(service, lambda session: add_alert(session, "mars", told_at=None))
    await store(service, lambda session: add_alert(session, "mars", rule="late", **closed()))
    done = run(service, "list")
    assert done.stdout.splitlines() == [
        "id  monitor  rule    severity  since             state  by",
        "2   mars     outage  critical  2025-12-31 11:55  quiet  -",
        "1   earth    outage  critical  2025-12-31 11:55  open   -",
    ]
    assert [line.split()[0] for line in run(service, "list", "--all").stdout.splitlines()[1:]] == list("321")
    assert len(run(service, "list", "--monitor", "earth").stdout.splitlines()) == 2


async def test_the_list_is_json_for_programs(service: Service):
    await store(service, add_alert, "earth")
    (document,) = json.loads(run(service, "list", "--json").stdout)
    assert document == {
        "id": 1,
        "monitor": "earth",
        "rule": "outage",
        "severity": "critical",
        "state": "open",
        "since": NOON - 300,
        "openedAt": NOON,
        "toldAt": NOON,
        "reminders": 0,
        "remindedAt": None,
        "because": None,
        "isFlapping": False,
        "settledAt": None,
        "acknowledgedAt": None,
        "acknowledgedBy": None,
        "acknowledgedFrom": None,
        "snoozedUntil": None,
        "incidentNumber": None,
        "until": None,
        "closedAt": None,
        "closing": None,
    }
    await store(service, lambda session: session.execute("DELETE FROM alerts"))
    assert json.loads(run(service, "list", "--json").stdout) == []


@pytest.mark.parametrize("target", ["1", "2", "earth"])
async def test_an_acknowledgement_notes_who_when_and_from_where_and_tells_the_channels(
    service: Service, target: str
):
    await store(service, add_alert, "earth")
    await store(service, lambda session: add_alert(session, "earth", rule="late"))
    await store(service, add_alert, "mars")
    done = run(service, "ack", target)
    assert done.stderr.splitlines() == [
        "acknowledged: alert 1, outage of earth",
        "acknowledged: alert 2, late of earth",
    ]
    mars, *of_earth = await service.get("/api/manage/alerts")
    assert mars["acknowledgedAt"] is None
    for alert in of_earth:
        assert (alert["acknowledgedAt"], alert["acknowledgedBy"]) == (NOON, "bob")
        assert alert["acknowledgedFrom"] == "rack-7"
    heard = await told(service, NoticeKind.ACKNOWLEDGED)
    assert [(alert, channel, facts.acknowledged_by) for alert, channel, facts, _ in heard] == [
        (1, "ops", "bob"),
        (2, "ops", "bob"),
    ]
    assert "acknowledged  bob" in run(service, "list").stdout


async def test_the_person_can_be_named_and_is_else_the_one_behind_sudo(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SUDO_USER", "carol")
    await store(service, add_alert, "earth")
    await store(service, add_alert, "mars")
    assert run(service, "ack", "earth").exit_code == 0
    assert run(service, "ack", "mars", "--by", "Ada").exit_code == 0
    assert [each["acknowledgedBy"] for each in await service.get("/api/manage/alerts")] == ["Ada", "carol"]


async def test_a_snooze_lasts_as_long_as_it_says(service: Service, clock: FakeClock):
    await store(service, add_alert, "earth")
    done = run(service, "snooze", "earth", "--for", "90m")
    assert done.stderr == "snoozed for 1h 30m: alert 1, outage of earth\n"
    assert (await service.get("/api/manage/alerts"))[0]["snoozedUntil"] == NOON + 5400
    assert "snoozed until 2025-12-31 13:30  bob" in run(service, "list").stdout
    clock.now = NOON + 5400
    assert "open" in run(service, "list").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ack", "7"), "alert not found"),
        (("ack", "2"), "the alert is closed"),
        (("ack", "mars"), "mars has no open alert"),
        (("ack", "pluto"), "no monitor has the tag pluto"),
        (("snooze", "pluto"), "no monitor has the tag pluto"),
        (("list", "--monitor", "pluto"), "no monitor has the tag pluto"),
        (("snooze", "earth", "--for", "soon"), "--for: soon is no duration such as 30m or 8h"),
        (("snooze", "earth", "--for", "0s"), "--for: 0s is no duration such as 30m or 8h"),
    ],
)
async def test_a_mistake_is_named(service: Service, words: tuple[str, ...], message: str):
    await store(service, add_alert, "earth")
    await store(service, lambda session: add_alert(session, "mars", **closed()))
    done = run(service, *words)
    assert done.exit_code != 0
    assert message in done.stderr
    assert await told(service, NoticeKind.ACKNOWLEDGED) == []


def test_without_a_database_it_says_so(config: Config, tmp_path: Path):
    done = CliRunner().invoke(main, ["alert", "list", "--config", str(config.file)])
    assert done.exit_code == 1
    assert "kener.db" in done.stderr
