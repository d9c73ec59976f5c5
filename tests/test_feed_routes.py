"""Feeds, calendar, summary and robots.txt over HTTP."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from kener_async import keys
from kener_async.app import apply
from kener_async.config.model import Config
from tests.rigs.service import FakeClock, Service, a_config, a_monitor, running

ATOM = "{http://www.w3.org/2005/Atom}"
DAY = 86400


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return a_config(tmp_path, a_monitor("earth"), a_monitor("mars"), a_monitor("secret", hidden=True))


@pytest.fixture
async def told(service: Service) -> Service:
    """A service with an outage of Earth, a maintenance of Mars, and something that nobody may see."""
    now = service.clock()
    await service.post("/api/incident", {"title": "Outage", "tags": ["earth", "secret"], "impact": "DOWN"})
    await service.post("/api/incident/1/comment", {"body": "We found the cause."})
    span = {"startDatetime": now + DAY, "endDatetime": now + 2 * DAY, "isMaintenance": True}
    await service.post("/api/incident", {"title": "Work", "tags": ["mars"], **span})
    await service.post("/api/incident", {"title": "Quiet", "tags": ["secret"], "impact": "DOWN"})
    return service


async def fetch(service: Service, path: str, **headers: str):
    reply = await service.client.get(path, headers=headers)
    assert reply.status == 200, path
    return reply


@pytest.mark.parametrize(
    ("path", "titles"),
    [
        ("/feed.atom", {"Outage", "Work"}),
        ("/monitor/earth/feed.atom", {"Outage"}),
        ("/monitor/mars/feed.atom", {"Work"}),
    ],
)
async def test_a_feed_has_what_its_page_has(told: Service, path: str, titles: set[str]):
    root = ElementTree.fromstring(await (await fetch(told, path)).text())
    assert {entry.findtext(f"{ATOM}title") for entry in root.iter(f"{ATOM}entry")} == titles


async def test_all_forms_of_a_feed_agree(told: Service):
    rss = ElementTree.fromstring(await (await fetch(told, "/feed.rss")).text())
    json = await (await fetch(told, "/feed.json")).json(content_type="application/feed+json")
    assert {item.findtext("title") for item in rss.iter("item")} == {"Outage", "Work"}
    assert {item["title"] for item in json["items"]} == {"Outage", "Work"}


async def test_a_comment_is_in_the_feed_at_once(told: Service):
    etag = (await fetch(told, "/feed.atom")).headers["ETag"]
    assert (await told.client.get("/feed.atom", headers={"If-None-Match": etag})).status == 304
    await told.post("/api/incident/1/comment", {"body": "It is mended."})
    text = await (await fetch(told, "/feed.atom", **{"If-None-Match": etag})).text()
    assert "It is mended." in text


@pytest.mark.parametrize(
    ("path", "count"),
    [("/maintenance.ics", 1), ("/monitor/mars/maintenance.ics", 1), ("/monitor/earth/maintenance.ics", 0)],
)
async def test_the_calendar_has_the_maintenance(told: Service, path: str, count: int):
    reply = await fetch(told, path)
    assert reply.content_type == "text/calendar"
    assert (await reply.text()).count("BEGIN:VEVENT") == count


async def test_the_summary_is_what_the_page_says(told: Service):
    summary = await (await fetch(told, "/api/v2/summary.json")).json()
    assert [one["name"] for one in summary["incidents"]] == ["Outage"]
    assert [one["name"] for one in summary["scheduled_maintenances"]] == ["Work"]
    assert {one["name"]: one["status"] for one in summary["components"]} == {"Earth": "major_outage"}
    status = await (await fetch(told, "/api/v2/status.json")).json()
    unresolved = await (await fetch(told, "/api/v2/incidents/unresolved.json")).json()
    assert unresolved["incidents"] == summary["incidents"]
    assert status["status"] == summary["status"]


@pytest.mark.parametrize(
    "path",
    [
        "/monitor/secret/feed.atom",
        "/monitor/nothing/feed.rss",
        "/monitor/secret/maintenance.ics",
        "/feed.xml",
        "/api/v2/nothing.json",
    ],
)
async def test_what_is_hidden_or_unknown_is_not_there(told: Service, path: str):
    assert (await told.client.get(path)).status == 404


async def test_addresses_are_those_of_the_visitor_until_one_is_configured(told: Service):
    text = await (await fetch(told, "/feed.atom", Host="status.example.org")).text()
    assert "http://status.example.org/incident/1" in text
    server = replace(told.app[keys.RUNNING].config.server, public_url="https://configured.example.org")
    await apply(told.app, replace(told.app[keys.RUNNING].config, server=server))
    text = await (await fetch(told, "/feed.atom", Host="status.example.org")).text()
    assert "https://configured.example.org/incident/1" in text
    assert "status.example.org/" not in text.replace("https://configured.example.org/", "")


async def test_the_scheme_a_stranger_claims_is_not_believed(told: Service):
    text = await (await fetch(told, "/sitemap.xml", **{"X-Forwarded-Proto": "https"})).text()
    assert "https://" not in text.replace("https://www.sitemaps.org", "")


async def test_the_map_of_the_site_leads_to_pages_that_exist(told: Service):
    root = ElementTree.fromstring(await (await fetch(told, "/sitemap.xml", Host="localhost")).text())
    paths = [str(loc.text).removeprefix("http://localhost") for loc in root.iter() if loc.tag.endswith("loc")]
    assert "/monitor/earth" in paths
    assert not any("secret" in path for path in paths)
    for path in paths:
        await fetch(told, path)


async def test_robots_are_asked_to_stay_away_where_the_site_is_private(told: Service):
    assert "Sitemap: " in await (await fetch(told, "/robots.txt")).text()
    config = told.app[keys.RUNNING].config
    await apply(told.app, replace(config, site=replace(config.site, indexed=False)))
    assert "Disallow: /\n" in await (await fetch(told, "/robots.txt")).text()
    assert 'name="robots" content="noindex' in await (await fetch(told, "/")).text()


async def test_the_preview_image_is_a_png_that_follows_the_status(told: Service):
    first = await (await fetch(told, "/preview.png")).read()
    assert first.startswith(b"\x89PNG")
    await told.post("/api/incident/1/status", {"isResolved": True})
    await told.beat("earth")
    assert await (await fetch(told, "/preview.png")).read() != first


# Edits, in every format


def shown(text: str) -> str:
    """What a reader sees of a page: its words."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split())


async def texts(service: Service, number: int) -> dict[str, str]:
    """What each format says of an incident."""
    feeds = {
        path: await (await fetch(service, path)).text()
        for path in ("/feed.atom", "/feed.rss", "/feed.json", "/maintenance.ics")
    }
    page = await (await fetch(service, f"/incident/{number}")).text()
    archive = await (await fetch(service, "/incidents/2026-01")).text()
    return feeds | {"page": shown(page), "archive": shown(archive)}


async def planned(service: Service) -> int:
    """The number of a new maintenance from tomorrow noon for two hours."""
    tomorrow = service.clock() + DAY
    span = {"startDatetime": tomorrow, "endDatetime": tomorrow + 7200, "isMaintenance": True}
    number: int = (await service.post("/api/incident", {"title": "Work", "tags": ["mars"], **span}))[
        "incidentNumber"
    ]
    service.pass_time(60)
    return number


PLANNED = "2026-01-01 12:00 UTC to 2026-01-01 14:00 UTC"


async def test_a_cancelled_maintenance_reads_cancelled_with_its_planned_time_in_every_format(
    service: Service,
):
    number = await planned(service)
    await service.post(f"/api/incident/{number}/status", {"isResolved": True})
    said = await texts(service, number)
    for feed in ("/feed.atom", "/feed.rss", "/feed.json"):
        assert f"Maintenance, cancelled, was planned for {PLANNED}" in said[feed], feed
    for calendar_line in (
        "STATUS:CANCELLED",
        "DTSTART:20260101T120000Z",
        "DTEND:20260101T140000Z",
        "SEQUENCE:1",
    ):
        assert calendar_line in said["/maintenance.ics"]
    for page in ("page", "archive"):
        assert re.search(r"Cancelled was planned for Jan 1, 2026, 12:00.PM . 2:00.PM", said[page]), page
    for name in ("summary", "incidents", "scheduled-maintenances"):
        document = await (await fetch(service, f"/api/v2/{name}.json")).json()
        assert document.get("scheduled_maintenances", []) == document.get("incidents", []) == []


async def test_a_moved_maintenance_has_its_new_time_in_every_format(service: Service):
    number = await planned(service)
    start = service.clock() - 60 + 2 * DAY
    moved = {"title": "Work", "tags": ["mars"], "startDatetime": start, "endDatetime": start + 7200}
    status, _ = await service.ask("PATCH", f"/api/incident/{number}", json=moved)
    assert status == 200
    said = await texts(service, number)
    for feed in ("/feed.atom", "/feed.rss", "/feed.json"):
        assert "Maintenance, scheduled, 2026-01-02 12:00 UTC to 2026-01-02 14:00 UTC" in said[feed], feed
        assert "2026-01-01" not in said[feed]
    for calendar_line in (
        "STATUS:CONFIRMED",
        "DTSTART:20260102T120000Z",
        "DTEND:20260102T140000Z",
        "SEQUENCE:1",
    ):
        assert calendar_line in said["/maintenance.ics"]
    assert "DTSTAMP:20251231T120100Z" in said["/maintenance.ics"]
    assert re.search(r"Scheduled Jan 2, 2026, 12:00.PM . 2:00.PM", said["page"])
    document = await (await fetch(service, "/api/v2/summary.json")).json()
    (one,) = document["scheduled_maintenances"]
    assert (one["scheduled_for"], one["updated_at"]) == (
        "2026-01-02T12:00:00.000Z",
        "2025-12-31T12:01:00.000Z",
    )


async def test_a_reopened_incident_reads_open_in_every_format(service: Service):
    number = (await service.post("/api/incident", {"title": "Outage", "tags": ["mars"]}))["incidentNumber"]
    for resolved in (True, False):
        service.pass_time(60)
        await service.post(f"/api/incident/{number}/status", {"isResolved": resolved})
    said = await texts(service, number)
    for feed in ("/feed.atom", "/feed.rss", "/feed.json"):
        assert "Notice, investigating, from 2025-12-31 12:00 UTC" in said[feed], feed
        assert "to 2025" not in said[feed], feed
    assert re.search(r"Investigating since Dec 31, 2025, 12:00.PM", said["page"])
    (one,) = (await (await fetch(service, "/api/v2/summary.json")).json())["incidents"]
    assert (one["status"], one["resolved_at"]) == ("investigating", None)
    assert one["updated_at"] == "2025-12-31T12:02:00.000Z"


EDITS: list[tuple[str, str, dict[str, object]]] = [
    ("PATCH", "", {"title": "Other work"}),
    ("PATCH", "", {"body": "New disks."}),
    ("PATCH", "", {"tags": ["earth"]}),
    ("POST", "/comment", {"body": "Soon."}),
    ("POST", "/status", {"isResolved": True}),
    ("POST", "/status", {"isResolved": False}),
]


async def test_no_edit_and_no_step_of_the_clock_takes_the_marks_of_a_change_back(service: Service):
    number = await planned(service)

    async def marks() -> list[Any]:
        said = await texts(service, number)
        calendar = [
            found[1]
            for name in ("SEQUENCE", "DTSTAMP", "LAST-MODIFIED")
            for found in re.finditer(rf"{name}:(\w+)", said["/maintenance.ics"])
        ]
        atom = ElementTree.fromstring(said["/feed.atom"]).findtext(f"{ATOM}entry/{ATOM}updated")
        rss = ElementTree.fromstring(said["/feed.rss"]).findtext(f"channel/item/{ATOM}updated")
        modified = json.loads(said["/feed.json"])["items"][0]["date_modified"]
        assert atom == rss == modified
        return [int(calendar[0]), *calendar[1:], str(atom)]

    before = await marks()
    for step in (60, -7200, 60):
        for method, path, body in EDITS:
            service.pass_time(step)
            whole = {"title": "Work", "tags": ["mars"]} | body if method == "PATCH" else body
            status, _ = await service.ask(method, f"/api/incident/{number}{path}", json=whole)
            assert status == 200
            after = await marks()
            assert all(new >= old for new, old in zip(after, before, strict=True)), (step, body)
            assert after[0] == before[0] + 1
            before = after


# Ids


async def ids_of(service: Service, host: str) -> list[str]:
    """Every id of feeds, calendar and documents, asked for under a host name."""
    said = [
        await (await fetch(service, path, Host=host)).text()
        for path in ("/feed.atom", "/feed.rss", "/feed.json", "/maintenance.ics", "/api/v2/summary.json")
    ]
    atom, rss = ElementTree.fromstring(said[0]), ElementTree.fromstring(said[1])
    document = json.loads(said[4])
    return [
        *(str(element.text) for element in atom.iter(f"{ATOM}id")),
        *(str(element.text) for element in rss.iter("guid")),
        *(item["id"] for item in json.loads(said[2])["items"]),
        *re.findall("UID:(.*)\r", said[3]),
        document["page"]["id"],
        *(incident["id"] for incident in document["incidents"]),
    ]


async def test_ids_never_depend_on_the_host_asked_for(told: Service):
    first = await ids_of(told, "a.example.org")
    assert first == await ids_of(told, "10.0.0.7:3000")
    assert len(first) == 10
    assert "example.org" not in " ".join(first)


async def test_ids_outlive_a_restart(config: Config, tmp_path: Path):
    clock = FakeClock()
    found: list[list[str]] = []
    for _ in range(2):
        async with running(config, clock) as service:
            if not found:
                await service.post("/api/incident", {"title": "Outage", "tags": ["earth"]})
            found.append(await ids_of(service, "a.example.org"))
    assert found[0] == found[1]


async def test_ids_of_a_site_with_an_address_are_made_of_it(told: Service):
    config = told.app[keys.RUNNING].config
    server = replace(config.server, public_url="https://status.example.org")
    await apply(told.app, replace(config, server=server))
    found = await ids_of(told, "a.example.org")
    assert found[:3] == [
        "https://status.example.org/feed.atom",
        "tag:status.example.org,2025-12-31:/incident/2",
        "tag:status.example.org,2025-12-31:/incident/1",
    ]
    assert "incident-2@status.example.org" in found
