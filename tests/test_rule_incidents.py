"""Incidents that an alert rule opened: what they cover, drafts, being monitored, and who touched them."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from kener_async import keys
from kener_async.domain.incidents import Incident, IncidentSource, IncidentStage
from kener_async.domain.incidents import opened as opened_incident
from kener_async.domain.samples import Status
from kener_async.ops import incidents as incident_commands
from kener_async.store import incidents
from kener_async.store.admin import verify
from kener_async.store.interface import Session
from kener_async.worker.incidents import IncidentWatch
from tests.rigs.service import NOON, FakeClock, Service

HOUR = 3600


def by_rule(session: Session, **fields: Any) -> Incident:
    """An incident as an alert rule opens it."""
    named = {"title": "Earth is DOWN", "body": "No answer", "tags": ("earth",), "impact": Status.DOWN}
    made = opened_incident(incidents.next_number(session), named | {"start": NOON - HOUR}, NOON)
    incident = replace(made, source=IncidentSource.RULE, covers=False, **fields)
    incidents.save_automatic(session, incident)
    return incident


async def opened(service: Service, **fields: Any) -> int:
    incident: Incident = await service.app[keys.DATABASE].write(by_rule, **fields)
    service.app[keys.STATES].mark_stale(incident.tags)
    service.app[keys.STATES].note_incident_change()
    return incident.number


async def stored(service: Service, number: int = 1) -> Incident:
    incident: Incident = await service.app[keys.DATABASE].read(incidents.get, number)
    return incident


async def text(service: Service, path: str) -> str:
    async with service.client.get(path) as response:
        assert response.status == 200
        return await response.text()


async def figures(service: Service) -> tuple[Any, ...]:
    """What is published of the minutes of a monitor, as answers and as bars of its page."""
    status = await service.get("/api/status", tag="earth")
    uptime = await service.get("/api/monitors/earth/uptime", window="24h")
    summary = (await service.get("/api/v2/summary.json"))["components"][0]["status"]
    bars = (await text(service, "/embed/earth")).count('class="down')
    return status["status"], status["uptime"], uptime["uptime"], summary, bars


# What it covers


@pytest.mark.parametrize("fields", [{}, {"is_draft": True}], ids=["public", "draft"])
async def test_the_minutes_of_its_monitors_are_what_was_measured(
    service: Service, clock: FakeClock, fields: dict[str, Any]
):
    for minute in range(60):
        await service.beat("earth", at=clock() - HOUR + 60 * minute)
    await service.roll()
    before = await figures(service)
    await opened(service, **fields)
    await service.roll()
    assert await figures(service) == before
    assert before[0] == "UP"
    database = service.app[keys.RUNNING].config.database.path
    assert list(verify.verify(database, database.parent)) == []


async def test_its_impact_is_shown_and_answered(service: Service):
    number = await opened(service)
    answer = await service.get(f"/api/incident/{number}")
    assert (answer["impact"], answer["isIdentified"], answer["isResolved"]) == ("DOWN", False, False)
    assert [each["incidentNumber"] for each in await service.get("/api/incident")] == [number]
    for path in ("/", f"/incident/{number}", "/incidents", "/feed.atom"):
        assert "Earth is DOWN" in await text(service, path)


async def test_a_person_who_changes_it_does_not_make_it_cover_anything(service: Service):
    await service.beat("earth")
    number = await opened(service)
    await service.ask("PATCH", f"/api/incident/{number}", json={"title": "Storm", "tags": ["earth"]})
    assert not (await stored(service)).covers
    assert (await service.get("/api/status", tag="earth"))["status"] == "UP"


# Drafts


async def test_a_published_draft_is_noticed_and_only_persons_resolve_it(service: Service, clock: FakeClock):
    number = await opened(service, is_draft=True)
    watch = IncidentWatch(service.app[keys.DATABASE], service.app[keys.STATES])
    await watch.look()
    assert "Earth is DOWN" not in await text(service, "/")
    config = service.app[keys.RUNNING].config
    listed = list(incident_commands.table(incident_commands.newest(config, 9), clock()))
    assert listed[1][1] == "investigating (draft)"
    assert incident_commands.as_json(await stored(service), clock())["isDraft"]
    published = incident_commands.publish(config, number)
    await watch.look()
    assert "Earth is DOWN" in await text(service, "/")
    assert (await stored(service), published.is_draft) == (published, False)
    assert published.touched_at is not None


async def test_one_that_is_public_already_is_not_changed_by_publishing(service: Service):
    number = await opened(service)
    before = await stored(service)
    assert incident_commands.publish(service.app[keys.RUNNING].config, number) == before


# Being monitored


async def test_one_that_is_monitored_says_so_in_every_format(service: Service):
    number = await opened(service, is_identified=True, is_monitoring=True)
    (reported,) = (await service.get("/api/v2/incidents.json"))["incidents"]
    stages = {
        "page": "Recovered, under observation" in await text(service, f"/incident/{number}"),
        "home": "Recovered, under observation" in await text(service, "/"),
        "in German": "Behoben, wird beobachtet" in await text(service, f"/incident/{number}?lang=de"),
        "atom": 'term="monitoring"' in await text(service, "/feed.atom"),
        "rss": "<category>monitoring</category>" in await text(service, "/feed.rss"),
        "json": '"monitoring"' in await text(service, "/feed.json"),
        "statuspage": reported["status"] == "monitoring",
        "unresolved": len((await service.get("/api/v2/incidents/unresolved.json"))["incidents"]) == 1,
    }
    assert stages == dict.fromkeys(stages, True)
    answer = await service.get(f"/api/incident/{number}")
    assert (answer["isIdentified"], answer["isResolved"], answer["closedAt"]) == (True, False, None)


@pytest.mark.parametrize(
    ("body", "stage"),
    [
        ({"isIdentified": True}, IncidentStage.MONITORING),
        ({"isResolved": True}, IncidentStage.RESOLVED),
        ({"isIdentified": False}, IncidentStage.INVESTIGATING),
        ({"isResolved": False}, IncidentStage.MONITORING),
    ],
)
async def test_a_change_of_a_flag_changes_its_state(
    service: Service, clock: FakeClock, body: dict[str, bool], stage: IncidentStage
):
    number = await opened(service, is_identified=True, is_monitoring=True)
    await service.post(f"/api/incident/{number}/status", body)
    assert (await stored(service)).stage(clock()) is stage


async def test_one_that_was_resolved_and_reopened_is_monitored_again(service: Service, clock: FakeClock):
    number = await opened(service, is_identified=True, is_monitoring=True)
    for is_resolved in (True, False):
        await service.post(f"/api/incident/{number}/status", {"isResolved": is_resolved})
    assert (await stored(service)).stage(clock()) is IncidentStage.MONITORING


# Touched by a person


async def patch(service: Service, **fields: Any) -> None:
    body = {"title": "Earth is DOWN", "tags": ["earth"]} | fields
    status, _ = await service.ask("PATCH", "/api/incident/1", json=body)
    assert status == 200


async def retitle(service: Service) -> None:
    await patch(service, title="Storm")


async def add_a_monitor(service: Service) -> None:
    await patch(service, tags=["earth", "mars"])


async def identify(service: Service) -> None:
    await service.post("/api/incident/1/status", {"isIdentified": True})


async def comment(service: Service) -> None:
    await service.post("/api/incident/1/comment", {"body": "We look"})


async def change_nothing(service: Service) -> None:
    await patch(service)


async def remark(service: Service) -> None:
    await service.app[keys.DATABASE].write(incidents.remark, 1, "Mars, too", NOON)


@pytest.mark.parametrize(
    ("act", "is_touch"),
    [
        (retitle, True),
        (add_a_monitor, True),
        (identify, True),
        (comment, True),
        (change_nothing, False),
        (remark, False),
    ],
)
async def test_what_is_a_change_by_a_person(
    service: Service, act: Callable[[Service], Awaitable[None]], is_touch: bool
):
    await opened(service)
    service.pass_time(60)
    await act(service)
    first = NOON + 60 if is_touch else None
    assert (await stored(service)).touched_at == first
    service.pass_time(60)
    await comment(service)
    await patch(service, title="Flood")
    assert (await stored(service)).touched_at == (first or NOON + 120)


async def test_an_incident_of_a_person_has_nothing_to_be_touched(service: Service):
    await service.post("/api/incident", {"title": "Storm", "tags": ["earth"]})
    await comment(service)
    await identify(service)
    assert (await stored(service)).touched_at is None


async def test_those_of_rules_that_are_open_and_were_created_lately(service: Service):
    database = service.app[keys.DATABASE]
    for created_at, closed_at in ((NOON, None), (NOON, NOON), (NOON - 600, None), (NOON - 601, None)):
        await database.write(by_rule, created_at=created_at, closed_at=closed_at)
    await service.post("/api/incident", {"title": "Storm", "tags": ["earth"]})
    found = await database.read(incidents.open_automatic, NOON - 600)
    assert [incident.number for incident in found] == [1, 3]
