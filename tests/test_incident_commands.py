"""`kener-async incident`: open, comment, resolve, show, publish, delete, beside a running server."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kener_async import keys
from kener_async.cli import incidents as cli
from kener_async.cli.main import main
from kener_async.config.load import load
from kener_async.domain.calendar import HOUR
from kener_async.ops import incidents as ops
from kener_async.store import audit
from kener_async.store.audit import AuditSearch
from tests.rigs.service import NOON, SECRET, FakeClock, Service, running

CONFIG = f"""
[auth]
secret_key = "{SECRET}"
[database]
path = "kener.db"
[[monitors]]
tag = "earth"
[[monitors]]
tag = "mars"
"""


@pytest.fixture
async def service(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Service]:
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.setenv("SUDO_USER", "ada")
    monkeypatch.delenv("KENER_CONFIG", raising=False)
    for module in (cli, ops):
        monkeypatch.setattr(module, "system_clock", clock)
    async with running(load(tmp_path / "config.toml", {}), clock) as running_service:
        yield running_service


def run(service: Service, *words: str, given: str | None = None) -> Result:
    file = service.app[keys.RUNNING].config.file
    return CliRunner().invoke(main, ["incident", *words, "--config", str(file)], input=given)


def done(service: Service, *words: str, given: str | None = None) -> str:
    result = run(service, *words, given=given)
    assert result.exit_code == 0, result.output
    return result.output


async def statuses(service: Service) -> list[str | None]:
    return [(await service.get("/api/status", tag=tag)).get("status") for tag in ("earth", "mars")]


async def test_an_incident_is_opened_told_about_and_resolved_while_the_service_runs(service: Service):
    watch = service.app[keys.INCIDENT_WATCH]
    said = done(
        service, "open", "Payments fail", "--monitor", "earth", "--monitor", "mars", "--impact", "DEGRADED",
        "--impact-on", "earth=down", "--since", "10m", "--text", "-", given="We are *looking*.\n",
    )  # fmt: skip
    assert said == "opened incident 1, 'Payments fail'\n"
    await watch.look()
    assert await statuses(service) == ["DOWN", "DEGRADED"]
    contract = await service.get("/api/incident/1")
    assert (contract["startDatetime"], contract["body"]) == (NOON - 600, "We are *looking*.")

    service.clock.now += 600
    done(service, "comment", "1", "A disk.", "--state", "identified", "--impact-on", "mars=none")
    await watch.look()
    assert await statuses(service) == ["DOWN", None]
    assert (await service.get("/api/incident/1"))["isIdentified"]
    (comment,) = await service.get("/api/incident/1/comment")
    assert (comment["body"], comment["createdAt"]) == ("A disk.", NOON + 600)

    service.clock.now += HOUR
    assert done(service, "resolve", "1", "Over.", "--at", "5m") == "resolved incident 1, 'Payments fail'\n"
    await watch.look()
    contract = await service.get("/api/incident/1")
    assert (contract["isResolved"], contract["closedAt"]) == (True, service.clock.now - 300)
    assert await statuses(service) == [None, None]

    told = done(service, "show", "1").splitlines()[1:]
    assert told == [
        "1       resolved  2025-12-31 11:50  2025-12-31 13:05  DOWN *  earth mars  Payments fail",
        "2025-12-31 12:00",
        "    We are *looking*.",
        "2025-12-31 12:10  identified  mars=NONE  by command:ada  [1]",
        "    A disk.",
        "2025-12-31 13:05  resolved  by command:ada  [2]",
        "    Over.",
    ]
    rows = await service.app[keys.DATABASE].read(audit.search, AuditSearch(actor="command"))
    assert [(row.act, row.actor) for row in rows[::-1]] == [
        ("incident.open", "command:ada"),
        ("incident.update", "command:ada"),
        ("incident.update", "command:ada"),
    ]


async def test_a_draft_is_written_published_and_withdrawn(service: Service):
    watch = service.app[keys.INCIDENT_WATCH]
    assert done(service, "open", "Soon", "--monitor", "earth", "--draft") == "drafted incident 1, 'Soon'\n"
    for act, expected in (("show", 404), ("publish", 200), ("unpublish", 404), ("publish", 200)):
        done(service, act, "1")
        await watch.look()
        assert (await service.ask("GET", "/api/incident/1"))[0] == expected
    assert done(service, "delete", "1", "--yes") == "deleted incident 1, 'Soon'\n"
    await watch.look()
    assert "Soon" not in await (await service.client.get("/")).text()


async def test_a_duplicate_is_merged_into_the_other_one(service: Service):
    done(service, "open", "Payments fail", "--monitor", "earth")
    done(service, "open", "Shop is slow", "--monitor", "mars")
    done(service, "comment", "2", "A disk is full.")
    assert run(service, "merge", "2", "--into", "1", given="n\n").exit_code != 0
    said = done(service, "merge", "2", "--into", "1", given="y\n")
    assert "Merge incident 2, 'Shop is slow', into 1, 'Payments fail', for good? [y/N]" in said
    assert "merged incident 2, 'Shop is slow', into 1, 'Payments fail'" in said
    shown = json.loads(done(service, "show", "1", "--json"))
    assert (shown["tags"], [one["body"] for one in shown["updates"]]) == (
        ["earth", "mars"],
        ["A disk is full."],
    )
    await service.app[keys.INCIDENT_WATCH].look()
    assert "Shop is slow" not in await (await service.client.get("/")).text()


async def test_json_is_what_scripts_read(service: Service):
    opened = json.loads(done(service, "open", "x", "--monitor", "earth", "--state", "monitoring", "--json"))
    assert (opened["incidentNumber"], opened["state"], opened["impact"]) == (1, "monitoring", "DOWN")
    posted = json.loads(done(service, "comment", "1", "y", "--json"))
    shown = json.loads(done(service, "show", "1", "--json"))
    states = [(one["id"], one["state"], one["body"]) for one in shown["updates"]]
    assert states == [(1, "monitoring", ""), (posted["updateId"], None, "y")]
    assert json.loads(done(service, "list", "--json"))[0]["revision"] == posted["revision"] == 1


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["open", "x", "--monitor", "pluto"], "unknown tags: pluto"),
        (["open", " ", "--monitor", "earth"], "must be 1 to 500 characters"),
        (["open", "x"], "Missing option '--monitor'"),
        (["open", "x", "--monitor", "earth", "--since", "noon"], "noon is neither how long ago"),
        (["open", "x", "--monitor", "earth", "--impact-on", "mars=DOWN"], "does not name mars"),
        (["open", "x", "--monitor", "earth", "--impact-on", "earth"], "must be TAG=DOWN"),
        (["comment", "1"], "Invalid body: an update needs a text, a state or impacts"),
        (["comment", "1", "x", "--at", "2031-01-01T00:00Z"], "Invalid at: is in the future"),
        (["resolve", "1", "--at", "3d"], "Invalid at: is more than a day before"),
        (["resolve", "2"], "incident not found"),
        (["merge", "1", "--into", "1", "--yes"], "is not merged into itself"),
        (["merge", "1", "--into", "2", "--yes"], "incident not found"),
    ],
)
async def test_a_mistake_is_named_and_changes_nothing(service: Service, words: list[str], error: str):
    done(service, "open", "x", "--monitor", "earth")
    before = done(service, "show", "1")
    result = run(service, *words)
    assert (result.exit_code != 0, error in result.output) == (True, True), result.output
    assert done(service, "show", "1") == before


async def test_a_monitor_that_no_server_has_seen_cannot_be_named_yet(service: Service):
    file = service.app[keys.RUNNING].config.file
    file.write_text(file.read_text() + '[[monitors]]\ntag = "venus"\n')
    result = run(service, "open", "x", "--monitor", "venus")
    assert result.exit_code == 1
    assert "no server has been started with these monitors yet: venus" in result.output
    known: list[Any] = json.loads(done(service, "list", "--json"))
    assert known == []
