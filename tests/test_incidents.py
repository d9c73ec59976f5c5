"""Incidents over HTTP: what is accepted, returned, merged, closed and found."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from kener_async import keys
from kener_async.app import apply
from kener_async.config.model import Config
from kener_async.domain.calendar import LAST_INSTANT
from kener_async.domain.errors import NotFound
from kener_async.domain.incidents import Incident
from kener_async.ops import incidents as incident_commands
from kener_async.store import incidents
from kener_async.store.admin import verify
from kener_async.worker.housekeeping import close_ended
from kener_async.worker.incidents import IncidentWatch
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

HOUR = 3600
DAY = 24 * HOUR
NEW = {"title": "Disk full", "tags": ["mars", "earth"]}
ALWAYS = {
    "createdAt",
    "closedAt",
    "incidentNumber",
    "startDatetime",
    "title",
    "body",
    "tags",
    "isMaintenance",
    "isIdentified",
    "isResolved",
}


async def opened(service: Service, **fields: Any) -> Any:
    return await service.post("/api/incident", NEW | fields)


async def patched(service: Service, number: int, **fields: Any) -> Any:
    status, answer = await service.ask("PATCH", f"/api/incident/{number}", json=NEW | fields)
    assert status == 200, answer
    return answer


async def titles(service: Service, **query: Any) -> list[str]:
    return [incident["title"] for incident in await service.get("/api/incident", **query)]


# Edits


async def marks(service: Service, number: int) -> tuple[int, int]:
    """When the incident was last edited, and how often it was."""
    incident = await service.app[keys.DATABASE].read(incidents.get, number)
    return incident.updated_at, incident.revision


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", NEW | {"title": "Disk nearly full"}),
        ("PATCH", "", NEW | {"tags": ["mars"]}),
        ("PATCH", "", NEW | {"tags": ["earth", "mars"]}),
        ("PATCH", "", NEW | {"body": "sda1"}),
        ("PATCH", "", NEW | {"startDatetime": NOON - 600}),
        ("PATCH", "", NEW | {"endDatetime": NOON + 600}),
        ("PATCH", "", NEW | {"impact": "DOWN"}),
        ("PATCH", "", NEW | {"isMaintenance": True}),
        ("POST", "/status", {"isIdentified": True}),
        ("POST", "/status", {"isResolved": True}),
        ("POST", "/status", {"endDatetime": NOON + 600}),
        ("POST", "/comment", {"body": "Looking."}),
    ],
)
async def test_every_edit_of_what_is_shown_moves_the_time_and_the_count_of_edits(
    service: Service, method: str, path: str, body: dict[str, Any]
):
    number = (await opened(service))["incidentNumber"]
    assert await marks(service, number) == (NOON, 0)
    service.pass_time(120)
    status, _ = await service.ask(method, f"/api/incident/{number}{path}", json=body)
    assert status == 200
    assert await marks(service, number) == (NOON + 120, 1)


async def test_a_request_that_changes_nothing_is_no_edit(service: Service):
    number = (await opened(service))["incidentNumber"]
    service.pass_time(120)
    await patched(service, number)
    await service.post(f"/api/incident/{number}/status", {"isResolved": False})
    assert await marks(service, number) == (NOON, 0)


async def test_the_time_of_the_last_edit_never_goes_back_with_the_clock(service: Service):
    number = (await opened(service))["incidentNumber"]
    service.pass_time(-3600)
    await service.post(f"/api/incident/{number}/comment", {"body": "Looking."})
    await patched(service, number, title="Disk nearly full")
    assert await marks(service, number) == (NOON, 2)


# Instants that some zone cannot show

EDGES = (-1, 253402300799, 253402300800, 253402214400, 2**53, 2**63 - 1, -(2**63))
FARTHEST = ("Pacific/Kiritimati", "Etc/GMT+12", "UTC")
PUBLIC = (
    "/", "/incidents", "/incidents/1969-12", "/incidents/9998-12", "/incidents?tag=earth", "/monitor/earth",
    "/monitor/earth/2025-12-31", "/incident/1", "/feed.atom", "/feed.rss", "/feed.json", "/maintenance.ics",
    "/monitor/earth/feed.atom", "/monitor/earth/maintenance.ics", "/embed/earth", "/badge/earth/status",
    "/badge/earth/uptime.json", "/sitemap.xml", "/preview.png", "/api/v2/summary.json",
    "/api/v2/incidents.json", "/api/v2/scheduled-maintenances.json",
)  # fmt: skip


async def in_zone(service: Service, zone: str) -> None:
    config = service.app[keys.RUNNING].config
    await apply(service.app, replace(config, site=replace(config.site, timezone=ZoneInfo(zone))))


@pytest.mark.parametrize("zone", FARTHEST)
@pytest.mark.parametrize("column", ["start", '"end"', "created_at", "closed_at", "updated_at"])
async def test_a_stored_incident_that_no_zone_can_show_takes_no_public_address_down(
    service: Service, zone: str, column: str
):
    await in_zone(service, zone)
    for maintenance in (False, True):
        for edge in EDGES:
            number = (await opened(service, isMaintenance=maintenance))["incidentNumber"]
            await service.post(f"/api/incident/{number}/comment", {"body": "Looking."})
            change = f"UPDATE incidents SET {column} = {edge} WHERE number = {number}"
            await service.app[keys.DATABASE].write(lambda session, sql=change: session.execute(sql) and None)
    await opened(service, title="That can be shown")
    for path in PUBLIC:
        async with service.client.get(path) as reply:
            text = await reply.read()
            expected = 404 if path == "/incident/1" else 200
            assert reply.status == expected, (path, text)
    async with service.client.get("/") as reply:
        assert "That can be shown" in await reply.text()


@pytest.mark.parametrize("zone", FARTHEST)
async def test_the_farthest_instants_that_are_accepted_are_shown_everywhere(service: Service, zone: str):
    await in_zone(service, zone)
    for start, end in ((0, LAST_INSTANT), (LAST_INSTANT - 1, LAST_INSTANT), (0, 1)):
        for maintenance in (False, True):
            await opened(service, startDatetime=start, endDatetime=end, isMaintenance=maintenance)
    for path in PUBLIC:
        async with service.client.get(path) as reply:
            assert reply.status == 200, (path, await reply.read())


@pytest.mark.parametrize("instant", [*EDGES, LAST_INSTANT + 1])
async def test_an_instant_that_some_zone_cannot_show_is_refused_wherever_it_comes_in(
    service: Service, instant: int
):
    number = (await opened(service))["incidentNumber"]
    beat = {"tag": "earth", "status": "UP", "latency": 0}
    requests: list[tuple[str, str, Any, str]] = [
        ("POST", "/api/incident", NEW | {"startDatetime": instant}, "startDatetime"),
        ("POST", "/api/incident", NEW | {"endDatetime": instant}, "endDatetime"),
        ("PATCH", f"/api/incident/{number}", NEW | {"startDatetime": instant}, "startDatetime"),
        ("PATCH", f"/api/incident/{number}", NEW | {"endDatetime": instant}, "endDatetime"),
        ("POST", f"/api/incident/{number}/status", {"endDatetime": instant}, "endDatetime"),
        ("POST", "/api/status", beat | {"timestampInSeconds": instant}, "timestampInSeconds"),
        ("GET", f"/api/status?tag=earth&timestamp={instant}", None, "timestamp"),
        ("GET", f"/api/incident?created_after_utc={instant}", None, "created_after_utc"),
        ("GET", f"/api/incident?created_before_utc={instant}", None, "created_before_utc"),
        ("GET", f"/api/monitors/earth/uptime?from={instant}", None, "from"),
        ("GET", f"/api/monitors/earth/uptime?from=0&to={instant}", None, "to"),
        ("GET", f"/api/monitors/earth/history?from={instant}", None, "from"),
    ]
    for method, path, body, name in requests:
        status, answer = await service.ask(method, path, json=body)
        assert (status, name in answer["error"]) == (400, True), (path, answer)
    batch = {"samples": [beat | {"timestampInSeconds": instant}]}
    assert (await service.post("/api/status/batch", batch))["rejected"] == 1


async def test_an_incident_that_is_left_out_is_logged_once_at_the_start(tmp_path: Path):
    config, clock = a_config(tmp_path), FakeClock()
    async with running(config, clock) as service:
        number = (await opened(service))["incidentNumber"]
        change = f"UPDATE incidents SET start = -1 WHERE number = {number}"
        await service.app[keys.DATABASE].write(lambda session: session.execute(change) and None)
    with capture_logs() as logs:
        async with running(config, clock) as service:
            for _ in range(3):
                assert (await service.client.get("/")).status == 200
                service.pass_time(60)
    assert [line["number"] for line in logs if "cannot be shown" in line["event"]] == [number]


# What an incident is


async def test_an_incident_of_a_title_and_tags_has_the_defaults_of_everything_else(service: Service):
    assert await opened(service) == {
        "createdAt": NOON,
        "closedAt": None,
        "incidentNumber": 1,
        "startDatetime": NOON,
        "title": "Disk full",
        "body": "",
        "tags": ["mars", "earth"],
        "isMaintenance": False,
        "isIdentified": False,
        "isResolved": False,
    }


async def test_an_incident_is_answered_with_all_that_was_sent(service: Service):
    sent = NEW | {
        "startDatetime": NOON - 60,
        "endDatetime": NOON + 60,
        "body": "**bold**",
        "impact": "DEGRADED",
        "isMaintenance": True,
        "isIdentified": True,
        "isResolved": False,
    }
    answer = await service.post("/api/incident", sent)
    assert sent.items() <= answer.items()
    assert answer.keys() - sent.keys() == {"createdAt", "closedAt", "incidentNumber"}


async def test_every_route_answers_the_same_incident(service: Service):
    created = await opened(service)
    assert await service.get("/api/incident/1") == created
    assert await service.get("/api/incident") == [created]
    assert await service.post("/api/incident/1/status", {}) == created
    assert await patched(service, 1) == created


async def test_an_end_and_an_impact_that_are_not_set_are_left_out(service: Service):
    assert (await opened(service)).keys() == ALWAYS
    given = await opened(service, endDatetime=NOON + 60, impact="DOWN")
    assert given.keys() == ALWAYS | {"endDatetime", "impact"}


async def test_incidents_are_numbered_from_one_and_no_number_comes_twice(service: Service):
    assert [(await opened(service))["incidentNumber"] for _ in range(3)] == [1, 2, 3]


async def test_several_incidents_stand_side_by_side(service: Service):
    for title in ("one", "two"):
        await opened(service, title=title)
    await service.post("/api/incident/2/status", {"isResolved": True})
    assert (await service.get("/api/incident/1"))["isResolved"] is False
    assert (await service.get("/api/incident/2"))["isResolved"] is True


async def test_tags_keep_their_order_and_one_named_twice_counts_once(service: Service):
    assert (await opened(service, tags=["mars", "earth", "mars"]))["tags"] == ["mars", "earth"]


async def test_unknown_properties_are_ignored(service: Service):
    assert (await opened(service, severity="high", incidentNumber=99))["incidentNumber"] == 1


async def test_a_whole_number_with_a_point_is_an_integer(service: Service):
    assert (await opened(service, startDatetime=float(NOON)))["startDatetime"] == NOON


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"title": ""}, "Invalid title"),
    ({"title": " \n"}, "Invalid title"),
    ({"title": "x" * 501}, "Invalid title"),
    ({"title": None}, "Invalid title"),
    ({"title": 5}, "Invalid title"),
    ({"title": "a\0b"}, "Invalid title"),
    ({"tags": []}, "Invalid tags"),
    ({"tags": None}, "Invalid tags"),
    ({"tags": "earth"}, "Invalid tags"),
    ({"tags": ["earth", 5]}, "Invalid tags"),
    ({"tags": ["earth", "pluto", "eris"]}, "unknown tags: pluto, eris"),
    ({"body": 5}, "Invalid body"),
    ({"impact": "UP"}, "Invalid impact"),
    ({"impact": "down"}, "Invalid impact"),
    ({"startDatetime": "1"}, "Invalid startDatetime"),
    ({"startDatetime": True}, "Invalid startDatetime"),
    ({"startDatetime": None}, "Invalid startDatetime"),
    ({"startDatetime": -1}, "Invalid startDatetime"),
    ({"startDatetime": 1.5}, "Invalid startDatetime"),
    ({"endDatetime": "1"}, "Invalid endDatetime"),
    ({"endDatetime": NOON}, "Invalid endDatetime"),
    ({"endDatetime": NOON - 1}, "Invalid endDatetime"),
    ({"startDatetime": 1731901920, "endDatetime": 1704123938}, "Invalid endDatetime"),
    ({"isMaintenance": 1}, "Invalid isMaintenance"),
    ({"isIdentified": "true"}, "Invalid isIdentified"),
    ({"isResolved": None}, "Invalid isResolved"),
]
WAYS = pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/incident"), ("PATCH", "/api/incident/1")], ids=["POST", "PATCH"]
)


@WAYS
async def test_a_wrong_field_is_named_and_nothing_is_stored(service: Service, method: str, path: str):
    before = await opened(service)
    for fields, error in WRONG:
        status, answer = await service.ask(method, path, json=NEW | fields)
        assert (status, answer["error"][: len(error)]) == (400, error), fields
    assert await service.get("/api/incident") == [before]


@WAYS
async def test_title_and_tags_are_required(service: Service, method: str, path: str):
    await opened(service)
    for missing in ("title", "tags"):
        body = {name: value for name, value in NEW.items() if name != missing}
        status, answer = await service.ask(method, path, json=body)
        assert (status, answer["error"][: 8 + len(missing)]) == (400, f"Invalid {missing}")


# How it changes


async def test_a_patch_keeps_what_it_does_not_name(service: Service):
    before = await opened(
        service, body="text", impact="DOWN", endDatetime=NOON + 60, isMaintenance=True, isIdentified=True
    )
    assert await patched(service, 1) == before


async def test_a_patch_sets_what_it_names(service: Service):
    await opened(service)
    fields = {"title": "Disk replaced", "tags": ["earth"], "body": "done", "impact": "DEGRADED"}
    assert fields.items() <= (await patched(service, 1, **fields)).items()


async def test_null_clears_the_end_the_impact_and_the_body(service: Service):
    await opened(service, body="text", impact="DOWN", endDatetime=NOON + 60)
    after = await patched(service, 1, body=None, impact=None, endDatetime=None)
    assert after.keys() == ALWAYS
    assert after["body"] == ""


async def test_a_start_that_is_moved_behind_the_end_is_refused(service: Service):
    await opened(service, endDatetime=NOON + 60)
    status, answer = await service.ask("PATCH", "/api/incident/1", json=NEW | {"startDatetime": NOON + 60})
    assert (status, answer["error"][:19]) == (400, "Invalid endDatetime")


async def test_an_incident_can_be_sent_back_as_it_was_read(service: Service):
    """Also one that was resolved in the second it began."""
    await opened(service, isResolved=True)
    read = await service.get("/api/incident/1")
    assert await patched(service, 1, **read) == read


# How it closes


async def test_resolving_closes_now_and_ends_what_had_no_end(service: Service):
    await opened(service)
    service.pass_time(90)
    resolved = await service.post("/api/incident/1/status", {"isResolved": True})
    assert (resolved["closedAt"], resolved["endDatetime"]) == (NOON + 90, NOON + 90)
    assert resolved["isResolved"] is True


async def test_resolving_with_an_end_to_come_keeps_that_end(service: Service):
    await opened(service, endDatetime=NOON + 500)
    service.pass_time(90)
    resolved = await service.post("/api/incident/1/status", {"isResolved": True})
    assert (resolved["closedAt"], resolved["endDatetime"]) == (NOON + 90, NOON + 500)


async def test_what_is_resolved_no_longer_speaks_for_its_monitors(service: Service):
    await service.beat()
    await opened(service, impact="DOWN")
    assert (await service.get("/api/status", tag="earth"))["status"] == "DOWN"
    await service.post("/api/incident/1/status", {"isResolved": True})
    assert (await service.get("/api/status", tag="earth"))["status"] == "UP"


async def test_reopening_takes_back_the_closing_and_the_end_it_set(service: Service):
    before = await opened(service)
    await service.post("/api/incident/1/status", {"isResolved": True})
    service.pass_time(60)
    assert await service.post("/api/incident/1/status", {"isResolved": False}) == before


async def test_a_past_end_keeps_an_incident_closed_that_is_no_longer_resolved(service: Service):
    await opened(service, startDatetime=NOON - 600, endDatetime=NOON - 60, isResolved=True)
    reopened = await service.post("/api/incident/1/status", {"isResolved": False})
    assert (reopened["isResolved"], reopened["closedAt"]) == (False, NOON - 60)


async def test_an_end_that_is_moved_on_opens_what_had_passed(service: Service):
    await opened(service, startDatetime=NOON - 600, endDatetime=NOON - 60)
    moved = await service.post("/api/incident/1/status", {"endDatetime": NOON + 60})
    assert moved["closedAt"] is None


async def test_a_status_without_fields_changes_nothing(service: Service):
    before = await opened(service, endDatetime=NOON + 60)
    assert await service.post("/api/incident/1/status", {}) == before


async def test_identifying_leaves_everything_else(service: Service):
    before = await opened(service)
    after = await service.post("/api/incident/1/status", {"isIdentified": True})
    assert after == before | {"isIdentified": True}


async def test_a_wrong_status_is_named(service: Service):
    before = await opened(service)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"endDatetime": NOON}, "Invalid endDatetime"),
        ({"endDatetime": None}, "Invalid endDatetime"),
        ({"isResolved": "yes"}, "Invalid isResolved"),
        ({"isIdentified": 0}, "Invalid isIdentified"),
    ]
    for fields, error in wrong:
        status, answer = await service.ask("POST", "/api/incident/1/status", json=fields)
        assert (status, answer["error"][: len(error)]) == (400, error)
    assert await service.get("/api/incident/1") == before


async def test_an_end_closes_for_every_reader_in_the_second_it_passes(service: Service):
    await opened(service, endDatetime=NOON + 60)
    service.pass_time(59)
    assert (await service.get("/api/incident/1"))["closedAt"] is None
    assert await titles(service, state="closed") == []
    service.pass_time(1)
    assert (await service.get("/api/incident/1"))["closedAt"] == NOON + 60
    assert await titles(service, state="open") == []
    assert await titles(service, state="closed") == ["Disk full"]


async def test_the_worker_stores_the_closing_that_readers_saw(service: Service):
    await opened(service, endDatetime=NOON + 60)
    service.pass_time(600)
    seen = await service.get("/api/incident/1")
    database = service.app[keys.DATABASE]
    await close_ended(database, service.app[keys.STATES], service.clock)
    stored = await database.read(partial(incidents.get, number=1))
    assert stored.closed_at == seen["closedAt"] == NOON + 60
    assert await service.get("/api/incident/1") == seen


# How it is found


OPEN = ["outage b", "50% slower", "Straße ÄRGER"]  # newest first
FOUND: list[tuple[dict[str, Any], list[str]]] = [
    ({}, OPEN),
    ({"state": "open"}, OPEN),
    ({"state": "closed"}, ["Outage_A"]),
    ({"tags": "mars"}, ["outage b"]),
    ({"tags": "earth"}, OPEN),
    ({"tags": "mars,pluto"}, ["outage b"]),
    ({"tags": " mars , earth "}, OPEN),
    ({"tags": "pluto"}, []),
    ({"created_after_utc": NOON + 120}, ["outage b"]),
    ({"created_after_utc": NOON + 121}, []),
    ({"created_before_utc": NOON}, ["Straße ÄRGER"]),
    ({"created_before_utc": NOON - 1}, []),
    ({"created_after_utc": NOON + 60, "created_before_utc": NOON + 60}, ["50% slower"]),
    ({"created_after_utc": 0}, OPEN),
    ({"created_after_utc": LAST_INSTANT}, []),
    ({"title_like": "OUTAGE"}, ["outage b"]),
    ({"title_like": "tage"}, ["outage b"]),
    ({"title_like": "ärger"}, ["Straße ÄRGER"]),
    ({"title_like": "STRASSE"}, ["Straße ÄRGER"]),
    ({"title_like": "%"}, ["50% slower"]),
    ({"title_like": "_"}, []),
    ({"title_like": "_", "state": "closed"}, ["Outage_A"]),
    ({"title_like": "o%e"}, []),
    ({"title_like": "' OR 1=1 --"}, []),
    ({"per_page": 2}, ["outage b", "50% slower"]),
    ({"per_page": 2, "page": 2}, ["Straße ÄRGER"]),
    ({"per_page": 2, "page": 3}, []),
    ({"page": 10**9, "per_page": 100}, []),
    ({"per_page": 100}, OPEN),
]


async def test_a_search_finds_what_it_asks_for_and_nothing_else(service: Service):
    await opened(service, title="Straße ÄRGER", tags=["earth"])
    service.pass_time(60)
    await opened(service, title="50% slower", tags=["earth"])
    await opened(service, title="Outage_A", tags=["mars"], isResolved=True)
    service.pass_time(60)
    await opened(service, title="outage b")
    for query, found in FOUND:
        assert await titles(service, **query) == found, query


async def test_incidents_of_one_second_are_found_in_the_reverse_of_their_order(service: Service):
    for number in range(12):
        await opened(service, title=str(number))
    assert await titles(service) == [str(number) for number in range(11, 1, -1)]
    assert await titles(service, page=2) == ["1", "0"]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("page", [0, -1, "one", "1.5", "", "٣", 10**30]),
        ("per_page", [0, 101, "ten"]),
        ("created_after_utc", ["yesterday", "", 2**63, 10**40]),
        ("created_before_utc", ["1e3", 2**63, -(2**63), 10**40]),
    ],
)
async def test_a_search_beyond_the_bounds_of_a_number_names_it(
    service: Service, name: str, values: list[Any]
):
    for value in values:
        status, answer = await service.ask("GET", "/api/incident", params={name: value})
        assert (status, answer["error"][: 8 + len(name)]) == (400, f"Invalid {name}"), value


async def test_an_incident_is_open_or_closed_and_nothing_else(service: Service):
    for state in ("OPEN", "", "resolved", "open,closed"):
        status, answer = await service.ask("GET", "/api/incident", params={"state": state})
        assert (status, answer["error"][:28]) == (400, "state must be open or closed"), state


# Comments


async def test_comments_come_oldest_first_and_as_they_were_written(service: Service):
    await opened(service)
    written = []
    for body in ("first", "<b>*second*</b>\n", "third"):
        written.append(await service.post("/api/incident/1/comment", {"body": body}))
        service.pass_time(1)
    assert await service.get("/api/incident/1/comment") == written
    assert [(one["body"], one["createdAt"]) for one in written] == [
        ("first", NOON),
        ("<b>*second*</b>\n", NOON + 1),
        ("third", NOON + 2),
    ]
    assert len({one["commentID"] for one in written}) == 3


async def test_a_comment_belongs_to_its_incident_alone(service: Service):
    await opened(service)
    await opened(service)
    await service.post("/api/incident/2/comment", {"body": "here"})
    assert await service.get("/api/incident/1/comment") == []


async def test_a_comment_changes_nothing_of_the_incident(service: Service):
    before = await opened(service, isResolved=True)
    service.pass_time(60)
    await service.post("/api/incident/1/comment", {"body": "still broken"})
    assert await service.get("/api/incident/1") == before


async def test_a_comment_without_text_is_refused(service: Service):
    await opened(service)
    bodies: list[Any] = [{}, {"body": ""}, {"body": " "}, {"body": None}, {"body": 5}, {"body": "\0"}]
    for body in bodies:
        status, answer = await service.ask("POST", "/api/incident/1/comment", json=body)
        assert (status, answer["error"][:12]) == (400, "Invalid body"), body
    assert await service.get("/api/incident/1/comment") == []


# Numbers


OF_ONE = [
    ("GET", "", None),
    ("PATCH", "", NEW),
    ("POST", "/comment", {"body": "x"}),
    ("GET", "/comment", None),
    ("POST", "/status", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), OF_ONE)
async def test_an_unassigned_number_is_not_found(service: Service, method: str, path: str, body: Any):
    for number in ("0", "1", "999999999999999999"):
        answer = await service.ask(method, f"/api/incident/{number}{path}", json=body)
        assert answer == (404, {"error": "incident not found"})


@pytest.mark.parametrize(("method", "path", "body"), OF_ONE)
async def test_what_is_no_number_is_an_invalid_one(service: Service, method: str, path: str, body: Any):
    for number in ("one", "1.0", "-1", "+1", "1e3", "0x1", "%D9%A3", "%20", "9" * 19, "1%2F2"):
        status, answer = await service.ask(method, f"/api/incident/{number}{path}", json=body)
        assert (status, answer["error"][:22]) == (400, "Invalid incidentNumber"), number


# What it does to history


async def uptime_by_day(service: Service, tag: str) -> dict[str, str]:
    """The uptime of the last three days, by date."""
    query = {"from": NOON - 2 * DAY - DAY // 2, "to": NOON + 60, "resolution": "day"}
    answer = await service.get(f"/api/monitors/{tag}/history", **query)
    return {item["date"]: item["uptime"] for item in answer["items"]}


async def a_past(service: Service) -> None:
    """Of each of three days and two monitors, ten minutes that were UP."""
    service.clock.now -= 3 * DAY
    await service.configure(a_monitor("earth"), a_monitor("mars"))
    for _ in range(3):
        service.pass_time(DAY)
        for tag in ("earth", "mars"):
            for minute in range(10):
                await service.beat(tag, at=service.clock.now - 60 * minute)
    await service.roll()


ALL_UP = {"2025-12-29": "100", "2025-12-30": "100", "2025-12-31": "100"}
YESTERDAY = {"startDatetime": NOON - DAY - 4 * 60, "endDatetime": NOON - DAY + 60}


async def test_an_old_incident_changes_the_uptime_of_its_day_and_of_no_other(service: Service):
    await a_past(service)
    await opened(service, tags=["earth"], impact="DOWN", **YESTERDAY)
    assert await uptime_by_day(service, "earth") == ALL_UP | {"2025-12-30": "50"}
    assert await uptime_by_day(service, "mars") == ALL_UP


async def test_an_old_incident_that_is_edited_gives_back_the_days_it_leaves(service: Service):
    await a_past(service)
    await opened(service, tags=["earth"], impact="DOWN", **YESTERDAY)
    before = {"startDatetime": NOON - 2 * DAY - 60, "endDatetime": NOON - 2 * DAY + 60}
    await patched(service, 1, tags=["earth"], **before)
    assert await uptime_by_day(service, "earth") == ALL_UP | {"2025-12-29": "80"}


@pytest.mark.parametrize(
    ("edit", "earth", "mars"),
    [
        ({"impact": None}, "100", "100"),
        ({"impact": "DEGRADED"}, "100", "100"),
        ({"isMaintenance": True}, "100", "100"),
        ({"tags": ["mars"]}, "100", "50"),
        ({"tags": ["mars", "earth"]}, "50", "50"),
        ({"title": "another"}, "50", "100"),
        ({"endDatetime": NOON - DAY - 60}, "70", "100"),
    ],
    ids=str,
)
async def test_an_edit_of_an_old_incident_counts_its_day_again(
    service: Service, edit: dict[str, Any], earth: str, mars: str
):
    await a_past(service)
    await opened(service, tags=["earth"], impact="DOWN", **YESTERDAY)
    await patched(service, 1, **({"tags": ["earth"]} | edit))
    assert await uptime_by_day(service, "earth") == ALL_UP | {"2025-12-30": earth}
    assert await uptime_by_day(service, "mars") == ALL_UP | {"2025-12-30": mars}


async def test_resolving_counts_today_again_and_no_other_day(service: Service):
    await a_past(service)
    await opened(service, tags=["earth"], impact="DOWN", startDatetime=NOON - DAY - 4 * 60)
    assert await uptime_by_day(service, "earth") == {
        "2025-12-29": "100",
        "2025-12-30": "0.6859",
        "2025-12-31": "0",
    }
    await service.post("/api/incident/1/status", {"isResolved": True, "endDatetime": NOON - DAY + 60})
    assert await uptime_by_day(service, "earth") == ALL_UP | {"2025-12-30": "50"}


# An incident's stage


async def test_a_cancelled_maintenance_is_cancelled_in_every_format(service: Service):
    """Resolved before its start, it never took place, whichever form says so."""
    fields = {"title": "New switches", "tags": ["earth"], "isMaintenance": True}
    span = {"startDatetime": NOON + DAY, "endDatetime": NOON + DAY + HOUR}
    number = (await service.post("/api/incident", fields | span))["incidentNumber"]
    await service.post(f"/api/incident/{number}/status", {"isResolved": True})
    service.pass_time(2 * HOUR)

    async def text(path: str) -> str:
        async with service.client.get(path) as response:
            assert response.status == 200
            return await response.text()

    stages = {
        "page": "Cancelled" in await text(f"/incident/{number}"),
        "atom": 'term="cancelled"' in await text("/feed.atom"),
        "rss": "<category>cancelled</category>" in await text("/feed.rss"),
        "json": '"cancelled"' in await text("/feed.json"),
        "calendar": "STATUS:CANCELLED" in await text("/maintenance.ics"),
        # Statuspage has no word for it: there it is not announced, and was not completed.
        "statuspage": (await service.get("/api/v2/scheduled-maintenances.json"))["scheduled_maintenances"]
        == [],
    }
    assert stages == dict.fromkeys(stages, True)
    api = await service.get(f"/api/incident/{number}")
    assert api["isResolved"]
    assert api["closedAt"] < api["startDatetime"]


# Monitors that were removed


async def test_an_incident_that_names_a_removed_monitor_can_be_sent_back_as_it_was_read(service: Service):
    number = (await opened(service, isResolved=True))["incidentNumber"]
    await service.configure(a_monitor("earth"))
    service.pass_time(60)
    read = await service.get(f"/api/incident/{number}")
    assert read["tags"] == ["mars", "earth"]
    status, answer = await service.ask("PATCH", f"/api/incident/{number}", json=read)
    assert (status, answer) == (200, read)
    assert (await patched(service, number, tags=["mars"], title="Less"))["tags"] == ["mars"]


async def test_a_removed_monitor_is_unknown_to_an_incident_that_does_not_name_it(service: Service):
    number = (await opened(service, tags=["earth"]))["incidentNumber"]
    await service.configure(a_monitor("earth"))
    for method, path in (("PATCH", f"/api/incident/{number}"), ("POST", "/api/incident")):
        for tags in (["earth", "mars"], ["pluto"]):
            status, answer = await service.ask(method, path, json=NEW | {"tags": tags})
            assert (status, answer["error"]) == (400, f"unknown tags: {tags[-1]}")


# Deleting, which is a command beside the server


def deleted(service: Service, number: int) -> Incident:
    """Delete as the command does, in another connection."""
    return incident_commands.delete(service.app[keys.RUNNING].config, number)


async def test_a_deleted_incident_is_gone_from_page_api_and_feed_and_its_minutes_count_as_measured(
    service: Service, clock: FakeClock
):
    await service.beat("earth", at=NOON - HOUR)
    number = (await opened(service, title="First try", startDatetime=NOON - DAY, impact="DOWN"))[
        "incidentNumber"
    ]
    await service.post(f"/api/incident/{number}/comment", {"body": "looking"})
    deletions = IncidentWatch(service.app[keys.DATABASE], service.app[keys.STATES])
    await deletions.look()
    await service.roll()
    assert (await service.get("/api/status", tag="earth"))["status"] == "DOWN"
    assert "First try" in await (await service.client.get("/")).text()

    assert deleted(service, number).title == "First try"
    with capture_logs() as logs:
        await deletions.look()
    assert [(line["event"], line["things"]) for line in logs] == [
        ("changed by a command", [f"incident {number}"])
    ]
    assert (await service.get("/api/status", tag="earth"))["status"] == "UP"
    assert (await service.get("/api/monitors/earth/uptime", window="7d"))["uptime"] == "100"
    for path in ("/", "/incidents", "/feed.atom"):
        assert "First try" not in await (await service.client.get(path)).text()
    status, answer = await service.ask("GET", f"/api/incident/{number}")
    assert (status, answer) == (404, {"error": "incident not found"})
    with pytest.raises(NotFound):
        deleted(service, number)


async def test_a_deletion_is_noticed_whatever_else_is_made_and_changed(service: Service):
    deletions = IncidentWatch(service.app[keys.DATABASE], service.app[keys.STATES])
    first = (await opened(service))["incidentNumber"]
    with capture_logs() as logs:
        await deletions.look()
        second = (await opened(service))["incidentNumber"]
        await patched(service, first, title="Other")
        await deletions.look()
        assert logs == []
        third = (await opened(service))["incidentNumber"]
        deleted(service, first)
        deleted(service, second)
        await deletions.look()
        await deletions.look()
    assert [line["things"] for line in logs] == [[f"incident {first}", f"incident {second}"]]
    assert await titles(service) == [NEW["title"]]
    deleted(service, third)
    assert (await opened(service))["incidentNumber"] == third + 1  # a number is never used again


async def test_a_deletion_leaves_a_database_that_verifies(service: Service, config: Config):
    await service.beat("earth", at=NOON - HOUR)
    number = (await opened(service, startDatetime=NOON - DAY, impact="DOWN"))["incidentNumber"]
    await service.roll()
    deleted(service, number)
    await service.roll()
    assert list(verify.verify(config.database.path, config.database.path.parent)) == []
