"""Incidents of alert rules: opened, joined, resolved, left to a person, withdrawn, reopened."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.app import apply
from kener_async.config.model import TemplateConfig
from kener_async.domain.alerts import Closing, LatencyAbove, StatusIs
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from kener_async.domain.incidents import Incident, IncidentStage
from kener_async.domain.people import Actor, ActorKind
from kener_async.domain.samples import Status
from tests.rigs.alerts import (
    a_rule,
    all_alerts,
    all_incidents,
    all_notices,
    an_alert_config,
    look,
    open_alerts,
    remarks,
)
from tests.rigs.service import NOON, FakeClock, Service, a_monitor, running

EXPECTED = MonitorSettings(expectation=EveryInterval(300, 60, 360))
A_PERSON = Actor(ActorKind.PERSON, "ada")


def publishing(**fields: Any) -> Any:
    return a_rule(**({"incident": "publish"} | fields))


async def report(service: Service, status: str, *tags: str, seconds: int = 60) -> None:
    """Let time pass, report the status of monitors, and evaluate."""
    await look(service, seconds)
    for tag in tags or ("earth",):
        await service.beat(tag, status)
    await look(service)


async def the_incident(service: Service) -> Incident:
    (incident,) = await all_incidents(service)
    return incident


async def test_an_alert_opens_an_incident_that_is_resolved_with_it(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(an_alert_config(tmp_path, publishing()), clock) as service:
        await report(service, "UP")
        await report(service, "DOWN")
        incident = await the_incident(service)
        assert (incident.title, incident.tags, incident.start) == ("Earth is DOWN", ("earth",), NOON + 120)
        assert (incident.impact, incident.stage(clock())) == (Status.DOWN, IncidentStage.INVESTIGATING)
        (alert,) = await open_alerts(service)
        assert alert.incident == incident.number
        assert (await all_notices(service))[0].incident == incident.number
        shown = await service.get(f"/api/incident/{incident.number}")
        assert (shown["impact"], shown["isResolved"]) == ("DOWN", False)

        await report(service, "UP", seconds=480)
        incident = await the_incident(service)
        assert (incident.is_resolved, incident.end) == (True, NOON + 600)
        assert await remarks(service, incident.number) == ["Recovered after 8m."]


async def test_its_text_is_that_of_the_template(tmp_path: Path) -> None:
    text = "Since {since}: {monitor} {other} {status}."
    template = TemplateConfig("down", "{monitors} not working", text, "", "", ())
    config = an_alert_config(tmp_path, publishing(template="down"), templates=(template,))
    async with running(config, FakeClock()) as service:
        await report(service, "DOWN")
        incident = await the_incident(service)
        assert incident.title == "Earth not working"
        assert incident.body == "Since 2025-12-31 12:01 UTC: Earth {other} DOWN."


@pytest.mark.parametrize("incident", ["publish", "draft", ""])
async def test_it_changes_no_minute(tmp_path: Path, incident: str) -> None:
    """The recount is the same with and without."""
    clock = FakeClock()
    async with running(an_alert_config(tmp_path, a_rule(incident=incident)), clock) as service:
        for status in ("UP", "DOWN", "DOWN", "UP", "UP", "DOWN", "DEGRADED", "UP"):
            await report(service, status)
        await report(service, "UP", seconds=1800)
        assert len(await all_incidents(service)) == bool(incident)
        counted = await service.get("/api/monitors/earth/uptime", window="24h")
        assert counted["minutes"] == {"up": 5, "degraded": 1, "down": 3, "maintenance": 0} | {
            name: value for name, value in counted["minutes"].items() if name not in _COUNTED
        }


_COUNTED = ("up", "degraded", "down", "maintenance")


async def test_its_own_alert_never_sees_it(tmp_path: Path) -> None:
    """An impact of DOWN that covered the minute would keep the alert open for ever."""
    async with running(an_alert_config(tmp_path, publishing()), FakeClock()) as service:
        await report(service, "DOWN")
        await report(service, "UP")
        assert await open_alerts(service) == []
        assert (await service.get("/api/status", tag="earth"))["status"] == "UP"


async def test_a_draft_is_not_public(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path, a_rule(incident="draft")), FakeClock()) as service:
        await report(service, "DOWN")
        assert (await the_incident(service)).is_draft
        assert await service.get("/api/incident") == []
        async with service.client.get("/feed.json") as reply:
            assert (await reply.json())["items"] == []
        await report(service, "UP")
        incident = await the_incident(service)
        assert (incident.is_draft, incident.is_resolved) == (True, True)


async def test_pages_and_feeds_follow(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path, publishing()), FakeClock()) as service:
        async with service.client.get("/") as reply:
            assert "Earth is DOWN" not in await reply.text()
        await report(service, "DOWN")
        async with service.client.get("/") as reply:
            assert "Earth is DOWN" in await reply.text()
        async with service.client.get("/feed.json") as reply:
            assert len((await reply.json())["items"]) == 1


CATEGORIES = (
    a_monitor("earth", category="Planets"),
    a_monitor("mars", category="Planets"),
    a_monitor("sun", category="Stars"),
)


async def test_alerts_of_a_category_join_within_ten_minutes(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, publishing(), monitors=CATEGORIES)
    async with running(config, FakeClock()) as service:
        await report(service, "DOWN", "earth")
        await report(service, "DOWN", "mars", "sun", seconds=600)
        planets, stars = await all_incidents(service)
        assert (planets.tags, stars.tags) == (("earth", "mars"), ("sun",))
        assert await remarks(service, planets.number) == ["Mars is DOWN, too."]
        await report(service, "UP", "earth", "sun")
        assert [one.is_resolved for one in await all_incidents(service)] == [False, True]
        await report(service, "UP", "mars")
        assert [one.is_resolved for one in await all_incidents(service)] == [True, True]


async def test_later_alerts_open_one_of_their_own(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, publishing(), monitors=CATEGORIES)
    async with running(config, FakeClock()) as service:
        await report(service, "DOWN", "earth")
        await report(service, "DOWN", "mars", seconds=660)
        assert [one.tags for one in await all_incidents(service)] == [("earth",), ("mars",)]


@pytest.mark.parametrize(
    ("join_by", "tags"),
    [("rule", [("earth", "mars", "sun")]), ("none", [("earth",), ("mars",), ("sun",)])],
)
async def test_what_joins_follows_from_join_by(
    tmp_path: Path, join_by: str, tags: list[tuple[str, ...]]
) -> None:
    config = an_alert_config(tmp_path, publishing(join_by=join_by), monitors=CATEGORIES)
    async with running(config, FakeClock()) as service:
        await report(service, "DOWN", "earth", "mars", "sun")
        assert [one.tags for one in await all_incidents(service)] == tags


async def test_a_storm_is_one_incident(tmp_path: Path) -> None:
    monitors = tuple(a_monitor(f"m{number:02}") for number in range(40))
    config = an_alert_config(tmp_path, publishing(), monitors=monitors)
    async with running(config, FakeClock()) as service:
        await report(service, "DOWN", *(monitor.tag for monitor in monitors))
        incident = await the_incident(service)
        assert len(incident.tags) == 40
        assert len(await remarks(service, incident.number)) < 10
        await report(service, "UP", *(monitor.tag for monitor in monitors))
        assert (await the_incident(service)).is_resolved


@pytest.mark.parametrize("how", ["text", "comment", "state", "monitors"])
async def test_one_that_a_person_touched_waits_for_a_person(tmp_path: Path, how: str) -> None:
    clock = FakeClock()
    async with running(an_alert_config(tmp_path, publishing()), clock) as service:
        await report(service, "DOWN")
        path = f"/api/incident/{(await the_incident(service)).number}"
        if how == "comment":
            await service.post(f"{path}/comment", {"body": "We look into it"})
        elif how == "state":
            await service.post(f"{path}/status", {"isIdentified": True})
        else:
            tags = ["earth", "mars"] if how == "monitors" else ["earth"]
            title = "Power failure" if how == "text" else "Earth is DOWN"
            assert (await service.ask("PATCH", path, json={"title": title, "tags": tags}))[0] == 200
        await report(service, "UP")
        incident = await the_incident(service)
        assert (incident.is_resolved, incident.stage(clock())) == (False, IncidentStage.MONITORING)
        assert (await remarks(service, incident.number))[-1] == "Recovered after 1m."
        await service.post(f"{path}/status", {"isResolved": True})
        assert (await the_incident(service)).is_resolved


async def test_one_whose_alerts_were_all_retracted_is_withdrawn(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, publishing(), monitors=(a_monitor("earth", EXPECTED),))
    async with running(config, FakeClock()) as service:
        await report(service, "UP")
        await look(service, 600)
        assert not (await the_incident(service)).is_draft
        for minute in range(2, 12):
            await service.beat("earth", "UP", at=NOON + 60 * minute)
        await look(service)
        assert [alert.closing for alert in await all_alerts(service)] == [Closing.RETRACTED]
        incident = await the_incident(service)
        assert (incident.is_draft, incident.is_resolved) == (True, True)
        assert await service.get("/api/incident", state="closed") == []


@pytest.mark.parametrize(("minutes", "count"), [(30, 1), (31, 2)])
async def test_again_within_half_an_hour_reopens_it(tmp_path: Path, minutes: int, count: int) -> None:
    async with running(an_alert_config(tmp_path, publishing()), FakeClock()) as service:
        await report(service, "DOWN")
        await report(service, "UP")
        await report(service, "DOWN", seconds=minutes * 60)
        found = await all_incidents(service)
        assert (len(found), found[-1].is_resolved) == (count, False)
        again = ["Recovered after 1m.", "Earth is DOWN again."]
        assert await remarks(service, found[0].number) == again[: 3 - count]


async def test_the_end_of_one_that_was_reopened_tells_the_length_of_its_last_outage(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path, publishing()), FakeClock()) as service:
        await report(service, "DOWN")
        await report(service, "UP")
        await report(service, "DOWN", seconds=20 * 60)
        await report(service, "UP", seconds=3 * 60)
        assert (await remarks(service, (await the_incident(service)).number))[-1] == "Recovered after 3m."


async def test_one_that_a_person_resolved_is_not_reopened(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path, publishing()), FakeClock()) as service:
        await report(service, "DOWN")
        number = (await the_incident(service)).number
        await service.post(f"/api/incident/{number}/status", {"isResolved": True})
        await report(service, "UP")
        await report(service, "DOWN", seconds=600)
        assert [one.number for one in await all_incidents(service)] == [number, number + 1]


async def test_flapping_is_one_incident_until_it_settles(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path, publishing()), FakeClock()) as service:
        for _ in range(10):
            await report(service, "DOWN")
            await report(service, "UP")
        incident = await the_incident(service)
        assert not incident.is_resolved
        assert len(await remarks(service, incident.number)) == 6  # three recoveries, three times again
        for _ in range(17):
            await report(service, "UP")
        assert (await the_incident(service)).is_resolved


async def test_none_is_opened_during_a_maintenance(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(an_alert_config(tmp_path, publishing()), clock) as service:
        body = {"title": "Work", "tags": ["earth"], "isMaintenance": True}
        times = {"startDatetime": clock(), "endDatetime": clock() + 600}
        await service.post("/api/incident", body | times)
        await report(service, "DOWN")
        assert len(await all_incidents(service)) == 1  # the maintenance


async def test_one_that_was_deleted_is_not_made_again(tmp_path: Path) -> None:
    from kener_async.store import incidents

    async with running(an_alert_config(tmp_path, publishing()), FakeClock()) as service:
        await report(service, "DOWN")
        number = (await the_incident(service)).number
        await service.app[keys.DATABASE].write(incidents.delete, number, A_PERSON, NOON)
        await report(service, "DOWN")
        await report(service, "UP")
        assert await all_incidents(service) == []


async def test_a_quiet_alert_opens_none(tmp_path: Path) -> None:
    monitors = (a_monitor("router"), a_monitor("earth", depends_on=("router",)))
    config = an_alert_config(tmp_path, publishing(), monitors=monitors)
    async with running(config, FakeClock()) as service:
        await report(service, "DOWN", "router")
        await report(service, "DOWN", "earth")
        assert (await the_incident(service)).tags == ("router",)


async def test_a_restart_opens_none_twice_and_resolves_it(tmp_path: Path) -> None:
    clock, config = FakeClock(), an_alert_config(tmp_path, publishing())
    async with running(config, clock) as service:
        await report(service, "DOWN")
    async with running(config, clock) as service:
        await report(service, "DOWN")
        assert not (await the_incident(service)).is_resolved
        await report(service, "UP")
        assert (await the_incident(service)).is_resolved


async def test_a_rule_that_is_gone_resolves_its_incident(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, publishing())
    async with running(config, FakeClock()) as service:
        await report(service, "DOWN")
        await apply(service.app, replace(config, alerts=()))
        await look(service)
        incident = await the_incident(service)
        assert incident.is_resolved
        assert await remarks(service, incident.number) == ["No longer watched."]


@pytest.mark.parametrize(
    ("condition", "status", "title", "impact"),
    [
        (StatusIs(Status.DEGRADED), "DEGRADED", "Earth is DEGRADED", Status.DEGRADED),
        (LatencyAbove(0.05), "UP", "Earth is slow", Status.DEGRADED),
        (LatencyAbove(0.05), "DOWN", "Earth is DOWN", Status.DOWN),
    ],
)
async def test_the_impact_is_that_of_the_alert(
    tmp_path: Path, condition: Any, status: str, title: str, impact: Status
) -> None:
    async with running(an_alert_config(tmp_path, publishing(condition=condition)), FakeClock()) as service:
        await report(service, status)
        incident = await the_incident(service)
        assert (incident.title, incident.impact) == (title, impact)
