"""/api/manage/incidents: drafts, updates, impacts, postmortems, deleting, revisions, audit log, feeds."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from kener_async import keys
from kener_async.domain.calendar import DAY, HOUR
from kener_async.store import audit
from kener_async.store.audit import AuditRow, AuditSearch
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

ATOM = "{http://www.w3.org/2005/Atom}"
ALL = ("status:write", "status:read", "incident:read", "incident:write", "incident:delete", "manage:read")
PATH = "/api/manage/incidents"
NEW: dict[str, Any] = {"title": "Payments fail", "tags": ["earth", "mars"], "impact": "DOWN"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    config = a_config(tmp_path)
    monitors = (a_monitor("earth"), a_monitor("mars"), a_monitor("secret", hidden=True))
    async with running(replace(config, monitors=monitors), FakeClock()) as running_service:
        running_service.token = await running_service.mint(scopes=ALL)
        yield running_service


async def opened(service: Service, **fields: Any) -> int:
    number: int = (await service.post(PATH, NEW | fields))["incidentNumber"]
    return number


async def changed(service: Service, method: str, path: str, body: Any = None, **options: Any) -> Any:
    status, answer = await service.ask(method, PATH + path, json=body, **options)
    assert status == 200, answer
    return answer


async def text(service: Service, path: str) -> str:
    async with service.client.get(path, headers={"Accept": "text/html"}) as response:
        assert response.status == 200
        return await response.text()


async def audited(service: Service) -> list[AuditRow]:
    rows: list[AuditRow] = await service.app[keys.DATABASE].read(audit.search, AuditSearch(thing="incident"))
    return rows[::-1]


async def statuses(service: Service) -> tuple[str, str]:
    found = [(await service.get("/api/status", tag=tag)).get("status", "-") for tag in ("earth", "mars")]
    return found[0], found[1]


async def minutes(service: Service, tag: str) -> dict[str, int]:
    answer = await service.get(f"/api/monitors/{tag}/uptime", window="7d")
    counts: dict[str, int] = answer["minutes"]
    return counts


# Drafts


async def seen(service: Service, words: str) -> set[str]:
    """Where an incident is shown to visitors."""
    paths = ("/", "/incidents", "/feed.atom", "/feed.rss", "/feed.json", "/monitor/earth", "/embed/earth",
             "/api/v2/summary.json", "/api/v2/incidents.json", "/incident/1", "/maintenance.ics")  # fmt: skip
    found = set()
    for path in paths:
        async with service.client.get(path, headers={"Accept": "text/html"}) as response:
            if words in await response.text():
                found.add(path)
    return found


async def test_a_draft_is_seen_with_the_scope_only_and_covers_nothing(service: Service):
    for tag in ("earth", "mars"):
        await service.beat(tag)
    number = await opened(service, isDraft=True, body="Draft text")
    assert await seen(service, "Payments fail") == set()
    assert await statuses(service) == ("UP", "UP")
    assert (await changed(service, "GET", f"/{number}"))["isDraft"]
    for method, path in (
        ("GET", f"/api/incident/{number}"),
        ("GET", f"/api/incident/{number}/comment"),
        ("PATCH", f"/api/incident/{number}"),
        ("POST", f"/api/incident/{number}/comment"),
        ("POST", f"/api/incident/{number}/status"),
    ):
        body = {"title": "x", "tags": ["earth"], "body": "x", "isResolved": True}
        assert (await service.ask(method, path, json=body))[0] == 404, path
    assert await service.get("/api/incident") == []
    other = await service.mint(scopes=("manage:read", "incident:write"), tags=("pluto",))
    for method, path in (("GET", ""), ("POST", "/publish"), ("PATCH", "")):
        assert (await service.ask(method, f"{PATH}/{number}{path}", other, json={"title": "x"}))[0] == 404
    wrong: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("PATCH", "", {"tags": ["venus"]}),
        ("PUT", "/monitors/venus", {"impact": "DOWN"}),
    )
    for method, path, sent in wrong:
        for one in (number, number + 1):  # there is no other, so both are answered alike
            status, _ = await service.ask(method, f"{PATH}/{one}{path}", other, json=sent)
            assert status == 404, (method, one)
    assert (await changed(service, "GET", "", token=other)) == []

    await changed(service, "POST", f"/{number}/publish")
    assert {"/", "/incident/1", "/feed.atom", "/api/v2/summary.json"} <= await seen(service, "Payments fail")
    assert await statuses(service) == ("DOWN", "DOWN")
    await changed(service, "POST", f"/{number}/unpublish")
    assert await seen(service, "Payments fail") == set()
    assert await statuses(service) == ("UP", "UP")


# Impact on single monitors


async def test_each_monitor_has_its_own_impact_and_the_contract_the_worst(service: Service):
    for tag in ("earth", "mars"):
        await service.beat(tag)
    number = await opened(service, impact="DEGRADED", impacts={"earth": "DOWN"})
    assert await statuses(service) == ("DOWN", "DEGRADED")
    assert (await service.get(f"/api/incident/{number}"))["impact"] == "DOWN"
    await changed(service, "PUT", f"/{number}/monitors/mars", {"impact": "NONE"})
    assert await statuses(service) == ("DOWN", "UP")
    await changed(service, "PUT", f"/{number}/monitors/earth", {"impact": None})
    assert await statuses(service) == ("DEGRADED", "UP")
    page = await text(service, f"/incident/{number}")
    assert re.search(r"Mars</a> .*?Not affected", page, re.DOTALL)
    components = (await service.get("/api/v2/summary.json"))["components"]
    assert [one["status"] for one in components] == ["degraded_performance", "operational"]
    body = {"title": "y", "tags": ["earth", "mars"], "impact": "DOWN"}
    status, answer = await service.ask("PATCH", f"/api/incident/{number}", json=body)
    assert (status, answer["impact"]) == (200, "DOWN")
    assert (await changed(service, "GET", f"/{number}"))["impacts"] == {}
    assert await statuses(service) == ("DOWN", "DOWN")


async def test_an_update_sets_impacts_unless_a_newer_one_names_the_monitor(service: Service):
    service.clock.now += HOUR
    number = await opened(service, startDatetime=NOON)
    await changed(service, "POST", f"/{number}/updates", {"impacts": {"earth": "DEGRADED"}})
    late = {"body": "before that", "at": NOON + 60, "impacts": {"earth": "NONE", "mars": "NONE"}}
    update = await changed(service, "POST", f"/{number}/updates", late)
    assert (await changed(service, "GET", f"/{number}"))["impacts"] == {"earth": "DEGRADED", "mars": "NONE"}
    await changed(service, "PATCH", f"/{number}/updates/{update['id']}", {"impacts": {"mars": "DOWN"}})
    assert (await changed(service, "GET", f"/{number}"))["impacts"] == {"earth": "DEGRADED", "mars": "DOWN"}


async def test_a_monitor_that_is_named_no_more_has_no_impact(service: Service):
    number = await opened(service, impact="DEGRADED", impacts={"earth": "DOWN"})
    after = await changed(service, "PATCH", f"/{number}", {"tags": ["mars"]})
    assert (after["impacts"], after["impact"]) == ({}, "DEGRADED")
    added = await changed(service, "PUT", f"/{number}/monitors/earth", {"impact": "DOWN"})
    assert (added["tags"], added["impacts"]) == (["mars", "earth"], {"earth": "DOWN"})


async def test_the_impact_on_a_hidden_monitor_is_not_shown(service: Service):
    number = await opened(service, tags=["earth", "secret"], impact="DEGRADED", impacts={"secret": "DOWN"})
    assert "Outage" not in await text(service, f"/incident/{number}")
    (reported,) = (await service.get("/api/v2/incidents.json"))["incidents"]
    assert reported["impact"] == "minor"


async def test_an_impact_on_a_monitor_that_is_not_named_is_refused(service: Service):
    status, answer = await service.ask("POST", PATH, json=NEW | {"impacts": {"secret": "DOWN"}})
    assert (status, answer["error"]) == (400, "Invalid impacts: the incident does not name secret")
    assert await changed(service, "GET", "") == []


# Updates


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "Invalid body: an update needs a text, a state or impacts"),
        ({"body": ""}, "Invalid body: an update needs a text, a state or impacts"),
        ({"body": "x", "at": NOON + 1}, "Invalid at: is in the future"),
        ({"body": "x", "at": NOON - DAY - 1}, "Invalid at: is more than a day before the incident's start"),
        ({"state": "done"}, "Invalid state: must be investigating, identified, monitoring or resolved"),
        ({"impacts": {"pluto": "DOWN"}}, "Invalid impacts: the incident does not name pluto"),
        (
            {"impacts": {"earth": "UP"}},
            "Invalid impacts: must be an object of tags with DOWN, DEGRADED, NONE",
        ),
        ({"impacts": ["earth"]}, "Invalid impacts: must be an object of tags with DOWN, DEGRADED, NONE"),
    ],
)
async def test_what_no_update_can_say_is_refused_naming_the_field(
    service: Service, body: dict[str, Any], error: str
):
    number = await opened(service)
    status, answer = await service.ask("POST", f"{PATH}/{number}/updates", json=body)
    assert (status, answer["error"][: len(error)]) == (400, error)
    assert (await changed(service, "GET", f"/{number}"))["updates"] == []


async def test_the_page_tells_the_stages_with_their_times_and_the_newest_update_first(service: Service):
    number = await opened(service)
    for state, body in (("identified", "A disk."), ("monitoring", ""), ("resolved", "All is well.")):
        service.clock.now += 600
        await changed(service, "POST", f"/{number}/updates", {"state": state, "body": body})
    page = await text(service, f"/incident/{number}")
    stages = re.findall(r'class="step">([^<]+)</span> <span class="at"><time datetime="([^"]+)"', page)
    assert stages == [
        ("Investigating", "2025-12-31T12:00:00Z"),
        ("Identified", "2025-12-31T12:10:00Z"),
        ("Recovered, under observation", "2025-12-31T12:20:00Z"),
        ("Resolved", "2025-12-31T12:30:00Z"),
    ]
    assert page.index("All is well.") < page.index("A disk.") < page.index("Started")
    (reported,) = (await service.get("/api/v2/incidents.json"))["incidents"]
    told = [(one["status"], one["body"]) for one in reported["incident_updates"]]
    assert told == [
        ("resolved", "All is well."),
        ("monitoring", "Monitoring"),
        ("identified", "A disk."),
        ("investigating", "Payments fail"),
    ]
    assert reported["monitoring_at"] == "2025-12-31T12:20:00.000Z"


async def test_an_edited_update_says_so_and_the_log_keeps_what_stood_there(service: Service):
    number = await opened(service)
    update = await changed(service, "POST", f"/{number}/updates", {"body": "A disc.", "state": "identified"})
    service.clock.now += 60
    edited = await changed(service, "PATCH", f"/{number}/updates/{update['id']}", {"body": "A disk."})
    assert (edited["editedAt"], edited["at"], edited["state"]) == (NOON + 60, NOON, "identified")
    assert "edited" in await text(service, f"/incident/{number}")
    after = await changed(service, "DELETE", f"/{number}/updates/{update['id']}")
    assert (after["state"], after["isIdentified"], after["updates"]) == ("investigating", False, [])
    rows = [(row.act, row.before and row.before["body"], row.after and row.after["body"]) for row in
            await audited(service)]  # fmt: skip
    assert rows == [
        ("incident.open", None, ""),
        ("incident.update", None, "A disc."),
        ("incident.update.edit", "A disc.", "A disk."),
        ("incident.update.delete", "A disk.", None),
    ]
    assert {(row.actor, row.network) for row in await audited(service)} == {("token:test", "127.0.0.1")}


async def test_a_resolution_that_is_told_late_ends_it_when_it_was(service: Service):
    number = await opened(service)
    service.clock.now += HOUR
    late = {"state": "resolved", "at": NOON + 600}
    update = await changed(service, "POST", f"/{number}/updates", late)
    after = await changed(service, "GET", f"/{number}")
    assert (after["closedAt"], after["endDatetime"]) == (NOON + 600, NOON + 600)
    await changed(service, "PATCH", f"/{number}/updates/{update['id']}", {"at": NOON + 1200})
    after = await changed(service, "GET", f"/{number}")
    assert (after["closedAt"], after["endDatetime"]) == (NOON + 1200, NOON + 1200)
    reopened = await changed(service, "DELETE", f"/{number}/updates/{update['id']}")
    assert (reopened["closedAt"], "endDatetime" in reopened) == (None, False)


# Deleting


async def test_deleting_takes_it_from_everywhere_and_brings_every_minute_back(service: Service):
    for minute in range(0, 2 * HOUR, 60):
        await service.beat("earth", "UP" if minute % 600 else "DEGRADED", at=NOON - 2 * HOUR + minute)
    await service.roll()
    before = [await minutes(service, tag) for tag in ("earth", "mars")]
    number = await opened(service, startDatetime=NOON - DAY, impacts={"mars": "DEGRADED"})
    await changed(service, "POST", f"/{number}/updates", {"body": "Looking."})
    await service.roll()
    covered = [await minutes(service, tag) for tag in ("earth", "mars")]
    assert [covered[0]["down"], covered[1]["degraded"]] == [DAY // 60 + 1, DAY // 60 + 1]
    await changed(service, "DELETE", f"/{number}")
    assert [await minutes(service, tag) for tag in ("earth", "mars")] == before
    assert await seen(service, "Payments fail") == set()
    assert (await service.ask("GET", f"{PATH}/{number}"))[0] == 404
    gone = (await audited(service))[-1].before
    assert gone is not None
    assert (gone["title"], [one["body"] for one in gone["updates"]]) == ("Payments fail", ["Looking."])
    assert await opened(service) == number + 1


# Postmortem


async def test_a_postmortem_stands_below_the_updates_and_is_a_feed_entry_of_its_own(service: Service):
    number = await opened(service)
    await changed(service, "PUT", f"/{number}/postmortem", {"body": "Not *yet*", "isPublished": False})
    assert "Not" not in await text(service, f"/incident/{number}")
    service.clock.now += DAY
    after = await changed(service, "PUT", f"/{number}/postmortem", {"body": "A *disk* was full."})
    assert after["postmortemAt"] == NOON + DAY
    service.clock.now += 60
    after = await changed(service, "PUT", f"/{number}/postmortem", {"body": "Two *disks* were full."})
    assert after["postmortemAt"] == NOON + DAY
    page = await text(service, f"/incident/{number}")
    assert page.index('id="story"') < page.index('id="postmortem"') < page.index("<em>disks</em>")
    feed = ElementTree.fromstring(await text(service, "/feed.atom"))
    titles = {
        entry.findtext(f"{ATOM}title"): entry.findtext(f"{ATOM}id") for entry in feed.iter(f"{ATOM}entry")
    }
    assert set(titles) == {"Payments fail", "Postmortem: Payments fail"}
    assert len(set(titles.values())) == 2
    await changed(service, "PUT", f"/{number}/postmortem", {"body": ""})
    assert 'id="postmortem"' not in await text(service, f"/incident/{number}")


# Two at once


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"title": "Other"}),
        ("POST", "/updates", {"body": "x"}),
        ("PATCH", "/updates/1", {"body": "y"}),
        ("DELETE", "/updates/1", None),
        ("PUT", "/postmortem", {"body": "x"}),
        ("PUT", "/monitors/earth", {"impact": "NONE"}),
        ("POST", "/unpublish", None),
        ("DELETE", "", None),
    ],
)
async def test_a_change_made_from_an_old_revision_is_refused(
    service: Service, method: str, path: str, body: Any
):
    number = await opened(service)
    await changed(service, "POST", f"/{number}/updates", {"body": "first"})
    status, answer = await service.ask(
        method, f"{PATH}/{number}{path}", json=body, headers={"If-Match": '"0"'}
    )
    assert (status, answer["error"]) == (409, "it was changed since: it is at revision 1")
    assert (await changed(service, "GET", f"/{number}"))["revision"] == 1
    assert len(await audited(service)) == 2
    await changed(service, method, f"/{number}{path}", body, headers={"If-Match": '"1"'})


async def test_of_two_changes_from_one_revision_one_wins(service: Service):
    number = await opened(service)
    answers = await asyncio.gather(
        *(
            service.ask("PATCH", f"{PATH}/{number}", json={"title": title}, headers={"If-Match": "0"})
            for title in ("a", "b", "c")
        )
    )
    assert sorted(status for status, _ in answers) == [200, 409, 409]


async def test_what_changes_nothing_is_not_recorded(service: Service):
    number = await opened(service)
    for _ in range(2):
        await changed(service, "PATCH", f"/{number}", {"title": "Payments fail", "state": "investigating"})
        await changed(service, "POST", f"/{number}/publish")
    assert ((await changed(service, "GET", f"/{number}"))["revision"], len(await audited(service))) == (0, 1)


# Tokens


async def test_a_token_for_other_monitors_changes_nothing(service: Service):
    number = await opened(service)
    token = await service.mint(scopes=ALL, tags=("earth",))
    for method, path, body in (
        ("PATCH", "", {"title": "x"}),
        ("POST", "/updates", {"body": "x"}),
        ("PUT", "/postmortem", {"body": "x"}),
        ("PUT", "/monitors/earth", {"impact": "DOWN"}),
        ("DELETE", "", None),
    ):
        status, _ = await service.ask(method, f"{PATH}/{number}{path}", token, json=body)
        assert status == 403, (method, path)
    own = await opened(service, tags=["earth"])
    status, _ = await service.ask("PATCH", f"{PATH}/{own}", token, json={"tags": ["earth", "mars"]})
    assert status == 403
    status, _ = await service.ask("PUT", f"{PATH}/{own}/monitors/mars", token, json={"impact": "DOWN"})
    assert status == 403
    assert (await changed(service, "GET", f"/{own}", token=token))["tags"] == ["earth"]


# Feeds and calendar


async def revisions(service: Service) -> dict[str, tuple[Any, ...]]:
    """What readers know each entry by, and whether it is news to them."""
    known: dict[str, tuple[Any, ...]] = {}
    for path in ("/feed.atom", "/monitor/earth/feed.atom"):
        feed = ElementTree.fromstring(await text(service, path))
        known[path] = (feed.findtext(f"{ATOM}updated"),)
        for entry in feed.iter(f"{ATOM}entry"):
            known[f"{path} {entry.findtext(f'{ATOM}id')}"] = (entry.findtext(f"{ATOM}updated"),)
    for event in (await text(service, "/maintenance.ics")).split("BEGIN:VEVENT")[1:]:
        fields = dict(line.split(":", 1) for line in event.split("\r\n") if ":" in line)
        modified = (int(fields["SEQUENCE"]), fields["DTSTAMP"], fields["LAST-MODIFIED"])
        known[fields["UID"]] = modified
    return known


async def test_feeds_and_calendar_never_go_back_whatever_is_edited_or_deleted(service: Service):
    dice = random.Random(1)
    latest: dict[str, tuple[Any, ...]] = {}
    for _ in range(120):
        service.clock.now += dice.choice((0, 1, 60, 3600))
        await _one_act(service, dice)
        for key, told in (await revisions(service)).items():
            assert all(a >= b for a, b in zip(told, latest.get(key, told), strict=True)), key
            latest[key] = told
    assert len(latest) > 10


async def _one_act(service: Service, dice: random.Random) -> None:
    now = service.clock.now
    known = await service.get(PATH)
    if len(known) < 2 or dice.random() < 0.1:
        fields: dict[str, Any] = {
            "isMaintenance": dice.random() < 0.5,
            "tags": dice.choice((["earth"], ["mars"], ["earth", "mars"])),
        }
        await opened(service, startDatetime=now + dice.choice((-HOUR, HOUR)), **fields)
        return
    number = dice.choice(known)["incidentNumber"]
    updates = (await changed(service, "GET", f"/{number}"))["updates"]
    update = f"/{number}/updates/{dice.choice(updates)['id']}" if updates else None
    backdated = {
        "body": "x",
        "at": now - dice.randint(0, HOUR),
        "state": dice.choice(["resolved", "identified"]),
    }
    acts: list[tuple[str, str, Any]] = [
        ("POST", f"/{number}/updates", {"body": "x"}),
        ("POST", f"/{number}/updates", backdated),
        ("POST", f"/{number}/{dice.choice(('publish', 'unpublish'))}", None),
        (
            "PATCH",
            f"/{number}",
            {"startDatetime": now + dice.randint(-HOUR, HOUR), "endDatetime": now + 2 * HOUR},
        ),
        ("PATCH", f"/{number}", {"tags": dice.choice((["earth"], ["mars"]))}),
        ("PUT", f"/{number}/postmortem", {"body": dice.choice(("", "x"))}),
    ]
    if update is not None:
        acts += [
            ("PATCH", update, {"body": "y", "at": now - dice.randint(0, HOUR)}),
            ("DELETE", update, None),
        ] * 2
    if dice.random() < 0.1:
        acts = [("DELETE", f"/{number}", None)]
    method, path, body = dice.choice(acts)
    status, answer = await service.ask(method, PATH + path, json=body)
    assert status in (200, 400), answer


# Merging


async def duplicates(service: Service) -> tuple[int, int]:
    """Two incidents about the same: one of earth and mars, with updates, and one of earth alone."""
    for tag in ("earth", "mars"):
        await service.beat(tag, "UP")
    target = await opened(service, tags=["earth"], title="Payments fail")
    service.pass_time(60)
    twice = await opened(service, title="Shop is slow", impact="DEGRADED", impacts={"mars": "NONE"})
    service.pass_time(60)
    await changed(service, "POST", f"/{twice}/updates", {"body": "A disk is full.", "state": "identified"})
    await changed(service, "POST", f"/{twice}/updates", {"state": "monitoring"})
    service.pass_time(60)
    await changed(service, "POST", f"/{target}/updates", {"body": "It is the disk."})
    return twice, target


async def test_a_merged_incident_gives_its_monitors_and_updates_to_the_other_one(service: Service):
    twice, target = await duplicates(service)
    before = await service.get(f"{PATH}/{twice}")
    service.pass_time(60)
    after = await changed(service, "POST", f"/{twice}/merge", {"target": target})
    assert (after["incidentNumber"], after["title"], after["state"]) == (
        target,
        "Payments fail",
        "investigating",
    )
    assert (after["tags"], after["impacts"]) == (["earth", "mars"], {"mars": "NONE"})
    said, others = [(one["body"], one["state"]) for one in after["updates"]], before["updates"]
    assert said == [("A disk is full.", None), ("It is the disk.", None)]
    moved = after["updates"][0]
    assert {key: moved[key] for key in ("id", "at", "author", "createdAt")} == {
        key: others[0][key] for key in ("id", "at", "author", "createdAt")
    }
    assert (await service.ask("GET", f"{PATH}/{twice}"))[0] == 404
    assert await seen(service, "Shop is slow") == set()
    assert {"/incident/1", "/feed.atom"} <= await seen(service, "A disk is full.")
    gone, into = (await audited(service))[-2:]
    assert gone.before is not None
    assert into.before is not None
    assert into.after is not None
    assert (gone.act, gone.thing, gone.after) == (
        "incident.merge",
        f"incident {twice}",
        {"merged_into": target},
    )
    assert [one["state"] for one in gone.before["updates"]] == ["identified", "monitoring"]
    assert (into.thing, into.after["merged"], into.before["tags"]) == (f"incident {target}", twice, ["earth"])


async def test_minutes_follow_a_merge(service: Service):
    twice, target = await duplicates(service)
    service.pass_time(HOUR)
    other = await opened(service, tags=["mars"], impact="DOWN", startDatetime=service.clock() - HOUR)
    assert await statuses(service) == ("DOWN", "DOWN")
    await changed(service, "POST", f"/{other}/merge", {"target": target})
    assert await statuses(service) == ("DOWN", "DOWN")  # as part of the other one
    await changed(service, "DELETE", f"/{twice}")
    await changed(service, "DELETE", f"/{target}")
    assert await statuses(service) == ("UP", "UP")
    assert (await minutes(service, "mars"))["down"] == 0


@pytest.mark.parametrize("which", ["If-Match", "targetRevision"])
async def test_a_merge_of_old_revisions_changes_nothing(service: Service, which: str):
    twice, target = await duplicates(service)
    found = {n: (await service.get(f"{PATH}/{n}"))["revision"] for n in (twice, target)}
    wrong = {"If-Match": twice, "targetRevision": target}[which]
    found[wrong] -= 1
    body = {"target": target, "targetRevision": found[target]}
    before, headers = await audited(service), {"If-Match": f'"{found[twice]}"'}
    path = f"{PATH}/{twice}/merge"
    assert (await service.ask("POST", path, json=body, headers=headers))[0] == 409
    assert await audited(service) == before
    found[wrong] += 1
    body = {"target": target, "targetRevision": found[target]}
    headers = {"If-Match": f'"{found[twice]}"'}
    assert (await service.ask("POST", path, json=body, headers=headers))[0] == 200


async def test_what_is_not_a_duplicate_is_not_merged(service: Service):
    number, draft = await opened(service), await opened(service, isDraft=True)
    window = {"isMaintenance": True, "endDatetime": service.clock() + HOUR}
    planned = await opened(service, **window)
    for one, target, status, reason in (
        (number, number, 400, "into itself"),
        (number, planned, 400, "is a maintenance"),
        (planned, number, 400, "is a maintenance"),
        (number, draft, 400, "is a draft: publish it first"),
        (number, 99, 404, "not found"),
        (99, number, 404, "not found"),
        (number, "1", 400, "Invalid target"),
    ):
        answer = await service.ask("POST", f"{PATH}/{one}/merge", json={"target": target})
        assert answer[0] == status, answer
        assert reason in str(answer[1]), answer
    earth = await service.mint(scopes=ALL, tags=("earth",))
    alone = await opened(service, tags=["earth"])
    for one, target in ((alone, number), (number, alone)):
        path = f"{PATH}/{one}/merge"
        assert (await service.ask("POST", path, earth, json={"target": target}))[0] == 403
    assert (await service.ask("POST", f"{PATH}/{draft}/merge", json={"target": number}))[0] == 200
