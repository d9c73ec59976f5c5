"""What the API says of checks, and a run that somebody asks for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.api.manage import checks as managed_checks
from kener_async.clock import Cron
from kener_async.config.model import MonitorConfig
from kener_async.domain.calendar import DAY
from kener_async.domain.checks import Attempt, CheckTiming, Phases, SeenCertificate
from kener_async.domain.conditions import parse
from kener_async.domain.samples import Status
from kener_async.probes.settings import CheckSettings, HttpTarget, Target, TcpTarget
from kener_async.store import certificates, check_faults
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

EARTH = 1
SECRET = "s3cret-of-the-shop"
SHOP = CheckSettings(
    "earth",
    HttpTarget(
        f"https://ada:{SECRET}@shop.example.org/{SECRET}/health?key=plain",
        headers={"Authorization": f"Bearer {SECRET}"},
        body=SECRET,
        password=SECRET,
    ),
    CheckTiming(10**7, 5, retries=1),
    expect=(parse("status == 200"), parse(f'body contains "{SECRET}"')),
    secrets=(SECRET,),
)


def a_check(target: Target, **timing: Any) -> CheckSettings:
    return CheckSettings("earth", target, CheckTiming(**({"every": 10**7, "timeout": 5} | timing)))


@asynccontextmanager
async def managed(folder: Path, *monitors: MonitorConfig) -> AsyncIterator[Service]:
    """A service whose client may read and run checks."""
    async with running(a_config(folder, *monitors), FakeClock()) as service:
        scopes = ("status:read", "manage:read", "monitor:write")
        service.token = await service.mint(scopes=scopes)
        yield service


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    earth = a_monitor("earth", check=SHOP)
    async with managed(tmp_path, earth, a_monitor("mars")) as service:
        yield service


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A port of this machine that takes connections."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_the_settings_are_told_without_secrets(service: Service):
    answer = await service.get("/api/monitors/earth/checks")
    assert SECRET not in str(answer)
    assert "plain" not in str(answer)
    assert answer["check"] == {
        "kind": "http",
        "target": "https://shop.example.org/***/health?***",
        "every": 10**7,
        "cron": None,
        "timezone": None,
        "timeout": 5,
        "retries": 1,
        "retryEvery": 20,
        "hold": SHOP.timing.hold,
        "expect": ["status == 200", 'body contains "***"'],
        "warn": [],
        "invert": False,
    }
    assert answer["nextDueAt"] > NOON
    assert (answer["attempts"], answer["lastBeganAt"], answer["notMeasured"]) == ([], None, None)


async def test_a_schedule_is_told_with_its_zone(tmp_path: Path):
    timing = {"cron": Cron("*/5 * * * *", "Europe/Berlin")}
    earth = a_monitor("earth", check=a_check(TcpTarget("127.0.0.1", 1), **timing))
    async with managed(tmp_path, earth) as service:
        check = (await service.get("/api/monitors/earth/checks"))["check"]
        assert (check["kind"], check["target"]) == ("tcp", "127.0.0.1:1")
        assert (check["every"], check["cron"], check["timezone"]) == (None, "*/5 * * * *", "Europe/Berlin")


async def test_a_monitor_without_a_check_has_none(service: Service):
    assert await service.get("/api/monitors/mars/checks") == {
        "tag": "mars",
        "check": None,
        "lastBeganAt": None,
        "nextDueAt": None,
        "notMeasured": None,
        "attempts": [],
        "faults": [],
        "certificateEndsAt": None,
        "certificates": [],
    }
    status, answer = await service.ask("POST", "/api/manage/monitors/mars/run")
    assert (status, answer) == (400, {"error": "the monitor has no check"})


async def test_faults_are_told_page_by_page(service: Service):
    attempts = [
        Attempt(NOON + at + 0.25, Status.DOWN, 0.184, "status is 502", Phases(name=0.004, first_byte=0.1))
        for at in range(5)
    ]
    await service.app[keys.DATABASE].write(check_faults.add, EARTH, attempts)
    first = (await service.get("/api/monitors/earth/checks", limit="3"))["faults"]
    assert first[0] == {
        "at": NOON + 4.25,
        "status": "DOWN",
        "reason": "status is 502",
        "seconds": 0.184,
        "phases": {"name": 0.004, "connect": None, "tls": None, "firstByte": 0.1},
    }
    before = str(first[-1]["at"])
    rest = (await service.get("/api/monitors/earth/checks", limit="3", before=before))["faults"]
    assert [fault["at"] - NOON for fault in [*first, *rest]] == [4.25, 3.25, 2.25, 1.25, 0.25]


@pytest.mark.parametrize("wrong", [{"limit": "0"}, {"limit": "201"}, {"before": "x"}, {"before": "-1"}])
async def test_a_page_that_is_none_is_refused(service: Service, wrong: dict[str, str]):
    status, answer = await service.ask("GET", "/api/monitors/earth/checks", params=wrong)
    assert (status, answer["error"].split(":")[0]) == (400, f"Invalid {next(iter(wrong))}")


async def test_certificates_are_told_and_which_of_them_counts(service: Service):
    for number, days in ((1, 3), (2, 90)):
        seen = SeenCertificate(bytes([number] * 32), "CN=earth", "CN=Root", NOON + days * DAY)
        await service.app[keys.DATABASE].write(certificates.note, EARTH, [seen], NOON + number)
    answer = await service.get("/api/monitors/earth/checks")
    assert answer["certificateEndsAt"] == NOON + 90 * DAY
    assert [(each["fingerprint"][:2], each["isCurrent"]) for each in answer["certificates"]] == [
        ("02", True),
        ("01", False),
    ]


async def test_a_run_that_is_asked_for_is_answered_and_counts(tmp_path: Path, port: int):
    earth = a_monitor("earth", check=a_check(TcpTarget("127.0.0.1", port)))
    async with managed(tmp_path, earth) as service:
        answer = await service.post("/api/manage/monitors/earth/run", {})
        (attempt,) = answer["attempts"]
        assert (answer["isOver"], attempt["status"], attempt["reason"]) == (True, "UP", "")
        assert attempt["phases"]["connect"] > 0
        assert (await service.get("/api/status", tag="earth"))["status"] == "UP"
        known = await service.get("/api/monitors/earth/checks")
        assert known["attempts"] == [attempt]
        assert known["lastBeganAt"] <= attempt["at"]


async def test_a_run_that_takes_long_is_answered_as_far_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(managed_checks, "PATIENCE", 0.2)
    retried = a_check(TcpTarget("127.0.0.1", 1), retries=1, retry_every=3000)
    async with managed(tmp_path, a_monitor("earth", check=retried)) as service:
        answer = await service.post("/api/manage/monitors/earth/run", {})
        assert answer["isOver"] is False
        assert [attempt["status"] for attempt in answer["attempts"]] == ["DOWN"]
        faults: list[object] = []
        while not faults:  # they are stored a little later
            await asyncio.sleep(0.05)
            faults = (await service.get("/api/monitors/earth/checks"))["faults"]
        assert faults == answer["attempts"]
