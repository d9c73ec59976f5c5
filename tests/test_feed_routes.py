"""Feeds, calendar, summary and robots.txt over HTTP."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kener_async import keys
from kener_async.app import apply
from kener_async.config.model import Config
from tests.rigs.service import Service, a_config, a_monitor

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
