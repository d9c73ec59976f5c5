"""The overview: what is bad now, what people did about it, and what is wrong with the service itself."""

from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.model import TemplateConfig
from kener_async.domain.alerts import Alert, Severity
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.domain.people import Role
from kener_async.domain.samples import Status
from kener_async.store import alerts, channel_states, deliveries, incidents, managed, notices
from kener_async.store.interface import Session
from tests.rigs.alerts import a_rule, with_rules
from tests.rigs.html_client import HtmlClient, Screen
from tests.rigs.people import COMMAND, a_person, signed_in
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

MINUTE, HOUR, DAY = 60, 3600, 86_400


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """Three planets with a rule that no alert of theirs meets by itself, and a channel."""
    planets = [
        a_monitor("earth", category="Inner"),
        a_monitor("mars", category="Inner", depends_on=("earth",)),
        a_monitor("pluto", category="Outer", hidden=True),
    ]
    config = with_rules(a_config(tmp_path, *planets), a_rule(after=DAY))
    async with running(config, FakeClock()) as service:
        for tag in ("earth", "mars", "pluto"):
            await service.beat(tag, "UP")
        yield service


@pytest.fixture
async def ada(service: Service) -> AsyncIterator[HtmlClient]:
    person = await a_person(service, role=Role.ADMIN, password=None)
    async with signed_in(service, person) as browser:
        yield browser


async def overview_of(service: Service, role: Role, categories: Collection[str] | None = None) -> Screen:
    """The overview of another person."""
    person = await a_person(service, "grace", role, categories=categories, password=None)
    async with signed_in(service, person) as browser:
        return await browser.open("/manage")


async def an_alert(service: Service, tag: str, **fields: Any) -> Alert:
    monitor = service.app[keys.STATES].find(tag).id
    alert = replace(Alert(0, monitor, "outage", Severity.CRITICAL, NOON, NOON, NOON), **fields)
    opened: Alert = await service.app[keys.DATABASE].write(alerts.add, alert)
    return opened


async def open_alerts(service: Service) -> list[Alert]:
    found: list[Alert] = await service.app[keys.DATABASE].read(alerts.all_open)
    return found


async def down(service: Service, *tags: str) -> None:
    service.pass_time(10 * MINUTE)
    for tag in tags:
        await service.beat(tag, "DOWN")


async def test_all_is_well(service: Service, ada: HtmlClient):
    said = (await ada.open("/manage")).said
    assert "All systems operational" in said
    assert "Nothing is wrong with it." in said
    assert "Tell visitors" not in said


async def test_what_is_bad_is_shown_worst_first_with_its_cause(service: Service, ada: HtmlClient):
    await down(service, "earth", "mars")
    await service.beat("pluto", "DEGRADED")
    said = (await ada.open("/manage")).said
    assert "2 of 3 monitors are down" in said
    assert said.index("Earth") < said.index("Mars") < said.index("Pluto")
    assert "because of Earth" in said
    assert "hidden from visitors" in said


async def test_an_alert_is_acknowledged_by_whom_is_shown(service: Service, ada: HtmlClient):
    await down(service, "earth")
    await an_alert(service, "earth")
    page = await (await ada.open("/manage")).press("Acknowledge")
    assert "acknowledged by ada" in page.said
    (alert,) = await open_alerts(service)
    assert alert.acknowledged_by == "ada"
    assert "Acknowledge" not in page.said.replace("Acknowledged.", "")


async def test_all_alerts_are_acknowledged_with_one_tap(service: Service, ada: HtmlClient):
    await down(service, "earth", "mars")
    for tag in ("earth", "mars"):
        await an_alert(service, tag)
    await (await ada.open("/manage")).press("Acknowledge all")
    assert [alert.acknowledged_by for alert in await open_alerts(service)] == ["ada", "ada"]


@pytest.mark.parametrize(
    ("button", "until"),
    [("Snooze for an hour", NOON + 10 * MINUTE + HOUR), ("Snooze until 8:00", NOON - 4 * HOUR + DAY)],
)
async def test_an_alert_is_snoozed(service: Service, ada: HtmlClient, button: str, until: int):
    await down(service, "earth")
    await an_alert(service, "earth")
    page = await (await ada.open("/manage")).press(button)
    (alert,) = await open_alerts(service)
    assert alert.snoozed_until == until
    assert "snoozed until" in page.said


async def test_open_incidents_say_for_how_long_nothing_was_said(service: Service, ada: HtmlClient):
    fields = {"title": "Payments fail", "body": "", "tags": ("earth",), "start": NOON, "impact": Status.DOWN}
    opened = await service.app[keys.DATABASE].write(incidents.open, fields, COMMAND, NOON)
    service.app[keys.STATES].note_incidents(opened)
    service.pass_time(42 * MINUTE)
    said = (await ada.open("/manage")).said
    assert "nothing said for 42 min" in said
    assert "Tell visitors more" in said  # what is bad is told already
    update = {"body": "Still looking."}
    await service.app[keys.DATABASE].write(incidents.post_update, 1, update, COMMAND, service.clock())
    service.pass_time(5 * MINUTE)
    assert "nothing said for 5 min" in (await ada.open("/manage")).said


async def test_maintenance_is_shown_under_way_and_next(service: Service, ada: HtmlClient):
    for title, begin in (
        ("New disks", NOON - HOUR),
        ("New roof", NOON + 9 * DAY),
        ("Much later", NOON + 20 * DAY),
    ):
        fields = {
            "title": title,
            "body": "",
            "tags": ("earth",),
            "start": begin,
            "end": begin + 2 * HOUR,
            "is_maintenance": True,
        }
        opened = await service.app[keys.DATABASE].write(incidents.open, fields, COMMAND, NOON - 2 * HOUR)
        service.app[keys.STATES].note_incidents(opened)
    said = (await ada.open("/manage")).said
    assert "New disks under way, until" in said
    assert "New roof" in said
    assert "Much later" not in said


async def test_what_is_wrong_with_the_service_is_named(service: Service, ada: HtmlClient):
    def go_wrong(session: Session) -> None:
        alert = alerts.add(session, Alert(0, 1, "outage", Severity.CRITICAL, NOON, NOON, NOON))
        notices.add(session, NoticeKind.OPENED, NOON, alert.id, None, Facts("earth", "outage"), ["ops"], NOON)
        deliveries.mark_failed(session, [1], NOON, "410 Gone")
        channel_states.note_fault(session, "ops", "410 Gone", for_good=True)
        channel_states.pause(session, "ops", NOON)

    batch = {
        "device": "sensor",
        "sentAt": NOON - HOUR,
        "samples": [{"tag": "earth", "status": "UP", "latency": 1, "seq": 1}],
    }
    await service.post("/api/status/batch", batch)
    await service.app[keys.DATABASE].write(go_wrong)
    said = (await ada.open("/manage")).said
    assert "The channel ops is paused: 410 Gone" in said
    assert "1 message could not be delivered in the last day (ops)" in said
    assert "Devices with a wrong clock: sensor" in said
    service.pass_time(2 * HOUR)
    assert "Devices that have been silent for an hour: sensor" in (await ada.open("/manage")).said


async def test_a_full_disk_is_named(service: Service, ada: HtmlClient):
    service.app[keys.DATABASE].refuses = "the disk is full; nothing was stored"
    assert "the disk is full" in (await ada.open("/manage")).said


async def test_a_viewer_has_no_buttons(service: Service):
    await down(service, "earth")
    await an_alert(service, "earth")
    page = await overview_of(service, Role.VIEWER)
    assert "Earth" in page.said
    assert page.forms == []
    assert "Tell visitors" not in page.said


async def test_a_person_of_a_category_sees_its_monitors_only(service: Service):
    await down(service, "earth", "pluto")
    page = await overview_of(service, Role.EDITOR, ["Outer"])
    assert "1 of 1 monitors is down" in page.said
    assert "Pluto" in page.said
    assert "Earth" not in page.body


async def test_the_statements_do_not_grow_with_the_monitors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    counts = []
    for number in (5, 100):
        monitors = [a_monitor(f"m{each}") for each in range(number)]
        (tmp_path / str(number)).mkdir()
        async with running(a_config(tmp_path / str(number), *monitors), FakeClock()) as service:
            for monitor in monitors:
                await service.beat(monitor.tag, "UP" if monitor.tag != "m0" else "DOWN")
            person = await a_person(service, role=Role.EDITOR, password=None)
            async with signed_in(service, person) as browser:
                await browser.open("/manage")
                asked = 0
                read = service.app[keys.DATABASE].read

                async def counted(*args: Any, read: Any = read, **kwargs: Any) -> Any:
                    nonlocal asked
                    asked += 1
                    return await read(*args, **kwargs)

                monkeypatch.setattr(service.app[keys.DATABASE], "read", counted)
                await browser.open("/manage")
                counts.append(asked)
    assert counts[0] == counts[1]


async def test_what_was_made_here_and_has_no_effect_is_named(service: Service, ada: HtmlClient):
    running = service.app[keys.RUNNING]
    table = TemplateConfig("down", "Down", "", "", "", ())
    running.config = replace(running.config, templates=(table,))

    def store(session: Session) -> None:
        things: list[tuple[managed.Kind, str, dict[str, str]]] = [
            ("template", "down", {"title": "Not working"}),
            ("template", "slow", {"title": "Slow"}),
            ("announcement", "sale", {"title": "Sale", "colour": "red"}),
            ("series", "weekly", {"title": "Updates"}),
        ]
        for kind, name, body in things:
            managed.save(session, kind, name, body, None, COMMAND, NOON)

    await service.app[keys.DATABASE].write(store)
    page = await ada.open("/manage")
    assert "without effect because config.toml has one of the same name: down" in page.said
    for name in ("sale", "weekly"):
        assert f"without effect because it is not valid any more: {name}" in page.said
    assert "slow" not in page.said
    assert {"/manage/templates", "/manage/announcements", "/manage/maintenance"} <= set(page.links)
    said = (await overview_of(service, Role.RESPONDER)).said
    assert "without effect" not in said  # of those who cannot change it
