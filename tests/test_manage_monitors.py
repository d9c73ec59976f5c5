"""The screens of monitors: what they show, to whom, and what may be done on them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from kener_async import keys
from kener_async.config.load import load
from kener_async.config.model import Config
from kener_async.domain.alerts import Alert, Severity
from kener_async.domain.checks import Attempt, Phases, SeenCertificate
from kener_async.domain.people import Role
from kener_async.domain.samples import Status
from kener_async.identity.sessions import LOOPBACK_COOKIE
from kener_async.store import alerts, certificates, check_faults, monitors
from kener_async.store.interface import Session
from tests.rigs.html_client import HtmlClient, session_of_client
from tests.rigs.people import a_person, a_session
from tests.rigs.service import NOON, SECRET, FakeClock, Service, is_of_a_request, running

HOSTILE = "<script>alert(1)</script>&\"'"
SETTINGS = f"""
[auth]
secret_key = "{SECRET}"
[database]
path = "kener.db"
[[categories]]
name = "Planets"
[[categories]]
name = "Moons"
[[monitors]]
tag = "earth"
name = "Earth"
category = "Planets"
[monitors.check]
http = "http://user:pass-word@127.0.0.1:9/health?key=topsecret"
every = "1h"
[[monitors]]
tag = "mars"
name = '<b>Mars</b>'
category = "Planets"
depends_on = ["luna"]
[monitors.heartbeat]
interval = "1m"
grace = "1m"
[monitors.uptime_kuma]
token = "kuma-token-1"
[[monitors]]
tag = "luna"
name = "Luna"
category = "Moons"
hidden = true
[[channels]]
name = "ops"
kind = "command"
command = ["/bin/cat"]
[[alerts]]
name = "outage"
to = ["ops"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "config.toml").write_text(SETTINGS)
    return load(tmp_path / "config.toml", {})


@pytest.fixture
async def service(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with running(config, clock) as running_service:
        yield running_service


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with session_of_client() as opened:
        yield opened


async def browser(
    service: Service,
    session: ClientSession,
    role: Role = Role.ADMIN,
    categories: tuple[str, ...] | None = None,
) -> HtmlClient:
    """The browser of a new person of a role who is signed in, and has just proved who they are."""
    person = await a_person(service, role.name.lower(), role, categories=categories, password=None)
    client = HtmlClient(session, str(service.client.make_url("")).rstrip("/"))
    client.cookies[LOOPBACK_COOKIE] = await a_session(service, person)
    return client


def number_of(session: Session, tag: str) -> int:
    return next(number for number, each in monitors.tags(session).items() if each == tag)


def add_faults(session: Session) -> None:
    earth = number_of(session, "earth")
    check_faults.add(
        session,
        earth,
        [
            Attempt(NOON - 60, Status.DOWN, 0.25, f"status 502 {HOSTILE}", Phases(0.002, 0.01, None, 0.2)),
            Attempt(NOON - 30, None, 0.0, "not measured: out of file descriptors"),
        ],
    )
    seen = SeenCertificate(b"\x01" * 32, "CN=earth.example.org", "CN=Example CA", NOON + 86_400 * 10)
    certificates.note(session, earth, [seen], NOON)
    alerts.add(
        session,
        Alert(
            0,
            earth,
            rule="outage",
            severity=Severity.CRITICAL,
            since=NOON - 60,
            opened_at=NOON - 30,
            told_at=NOON,
        ),
    )


# The list


async def test_the_list_has_hidden_monitors_and_each_filter_finds(service: Service, session: ClientSession):
    client = await browser(service, session, Role.VIEWER)
    screen = await client.open("/manage/monitors")
    assert "Earth" in screen.said
    assert "Luna" in screen.said
    assert "<b>Mars</b>" in screen.said  # as text
    assert "<b>Mars" not in screen.body
    for query, found in (
        ("q=MAR", ["mars"]),
        ("kind=check", ["earth"]),
        ("kind=heartbeat", ["mars"]),
        ("kind=pushed", ["luna"]),
        ("category=Moons", ["luna"]),
        ("status=UP", []),
        ("status=NO_DATA&q=earth", ["earth"]),
    ):
        screen = await client.open(f"/manage/monitors?{query}")
        links = [link.rpartition("/")[2] for link in screen.links if "/manage/monitors/" in link]
        assert links == found, query


async def test_the_filter_works_without_a_script(service: Service, session: ClientSession):
    client = await browser(service, session)
    form = (await client.open("/manage/monitors")).form("Filter")
    screen = await form.fill(q="luna", status="NO_DATA").submit("Filter")
    assert "/manage/monitors/luna" in screen.links
    assert "/manage/monitors/earth" not in screen.links


async def test_the_list_says_the_newest_fault_and_counts_open_alerts(
    service: Service, session: ClientSession
):
    await service.app[keys.DATABASE].write(add_faults)
    screen = await (await browser(service, session)).open("/manage/monitors")
    assert "out of file descriptors" in screen.said
    assert "1 open" in screen.said
    assert "/manage/alerts?monitor=earth" in screen.links


# One monitor


async def test_a_monitor_shows_why_its_faults_certificate_alerts_rules_and_table(
    service: Service, session: ClientSession
):
    await service.app[keys.DATABASE].write(add_faults)
    screen = await (await browser(service, session)).open("/manage/monitors/earth")
    for text in (
        "status 502 <script>alert(1)</script>",
        "not measured",
        "first byte 200 ms",
        "CN=Example CA",
        "outage",
        "Tells ops (command",
        "Set in config.toml, line 10.",
        'tag = "earth"',
        'http = "http://127.0.0.1:9/health?***"',
    ):
        assert text in screen.said, text
    assert "<script>alert" not in screen.body
    for secret in ("pass-word", "topsecret"):
        assert secret not in screen.body


async def test_senders_addresses_have_no_secret(service: Service, session: ClientSession):
    screen = await (await browser(service, session)).open("/manage/monitors/mars")
    assert "/api/push/***" in screen.said
    assert "/beat/***" in screen.said
    assert "kuma-token-1" not in screen.body


@pytest.mark.parametrize("window", ["6h", "24h", "7d"])
async def test_the_timeline_says_why_of_each_span(service: Service, session: ClientSession, window: str):
    await service.beat("mars", "DOWN")
    service.pass_time(300)
    screen = await (await browser(service, session)).open(f"/manage/monitors/mars?window={window}")
    assert "as reported" in screen.said
    assert "no report in time" in screen.said


async def test_a_run_is_made_now_and_its_attempts_are_shown(service: Service, session: ClientSession):
    client = await browser(service, session, Role.EDITOR)
    screen = await (await client.open("/manage/monitors/earth")).press("Run the check now")
    assert screen.path.startswith("/manage/monitors/earth?done=run")
    (attempt, *_) = service.app[keys.CHECKS].last_attempts("earth")
    assert attempt.reason in screen.said
    rows = await service.app[keys.DATABASE].read(
        lambda opened: opened.execute(
            "SELECT actor, act, object FROM audit WHERE act = 'monitor.run'"
        ).fetchall()
    )
    assert rows == [("person:editor", "monitor.run", "monitor earth")]


@pytest.mark.parametrize(
    ("role", "buttons"),
    [
        (Role.VIEWER, []),
        (Role.RESPONDER, ["Acknowledge", "Snooze 1 h", "Snooze until 8:00"]),
        (Role.EDITOR, ["Run the check now", "Acknowledge", "Snooze 1 h", "Snooze until 8:00"]),
    ],
)
async def test_each_role_has_the_buttons_of_what_it_may_do(
    service: Service, session: ClientSession, role: Role, buttons: list[str]
):
    await service.app[keys.DATABASE].write(add_faults)
    screen = await (await browser(service, session, role)).open("/manage/monitors/earth")
    assert [button.label for form in screen.forms for button in form.buttons] == buttons


async def test_its_alerts_are_snoozed_until_the_morning(service: Service, session: ClientSession):
    await service.app[keys.DATABASE].write(add_faults)
    client = await browser(service, session, Role.RESPONDER)
    screen = await (await client.open("/manage/monitors/earth")).press("Snooze until 8:00")
    assert "Snoozed" in screen.said
    (alert,) = await service.app[keys.DATABASE].read(alerts.all_open)
    assert alert.snoozed_until == NOON + 20 * 3600
    assert alert.acknowledged_by == "responder"


# A person of some categories


async def test_monitors_of_other_categories_are_not_there(service: Service, session: ClientSession):
    client = await browser(service, session, Role.ADMIN, ("Planets",))
    screen = await client.open("/manage/monitors")
    assert "Luna" not in screen.body
    assert "luna" not in screen.body
    assert "2 in all" in screen.said
    await client.open("/manage/monitors/luna", 404)
    mars = await client.open("/manage/monitors/mars")
    assert "luna" not in mars.body.lower()
    for act in ("run", "alerts"):
        earth = await client.open("/manage/monitors/earth")
        form = earth.form("Run the check now")
        form.action = f"/manage/monitors/luna/{act}"
        form.fields.append(("until", "hour"))
        assert (await form.submit(status=404)).status == 404


async def test_an_unknown_monitor_is_not_found(service: Service, session: ClientSession):
    await (await browser(service, session)).open("/manage/monitors/pluto", 404)


async def test_two_hundred_monitors_take_as_many_queries_as_two(
    config: Config, clock: FakeClock, session: ClientSession
):
    counts = []
    for many in (2, 200):
        folder = config.file.parent / str(many)
        folder.mkdir()
        others = "".join(f'[[monitors]]\ntag = "more-{number}"\n' for number in range(many))
        (folder / "config.toml").write_text(SETTINGS + others)
        loaded = load(folder / "config.toml", {})
        async with running(replace(loaded), clock) as service:
            client = await browser(service, session)
            await client.open("/manage/monitors")
            read = service.app[keys.DATABASE].read
            calls: list[list[str]] = [[]]

            def counted(work: Any, /, *args: Any, calls: Any = calls, read: Any = read, **kwargs: Any) -> Any:
                if is_of_a_request():
                    calls[-1].append(work.__name__)
                return read(work, *args, **kwargs)

            service.app[keys.DATABASE].read = counted
            for _ in range(4):
                calls.append([])
                await client.open("/manage/monitors")
            counts.append(min(map(len, calls[1:])))
    assert counts[0] == counts[1] <= 2
