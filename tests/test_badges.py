"""Badges over HTTP: the same figures as the API."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from kener_async import keys
from kener_async.config.model import Config
from kener_async.domain.samples import Status
from kener_async.web.parts import palette
from tests.rigs.service import FakeClock, Service, a_config, a_monitor, running

CSS = Path("kener_async/web/static/page.css").read_text()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return a_config(
        tmp_path,
        a_monitor("earth", name="Earth <\"&'>"),
        a_monitor("mars"),
        a_monitor("secret", hidden=True),
    )


async def fetch(service: Service, path: str):
    reply = await service.client.get(path)
    await reply.read()
    return reply


async def said(service: Service, path: str) -> str:
    """What a badge says to those who cannot see it."""
    reply = await fetch(service, path)
    assert reply.status == 200
    assert reply.content_type == "image/svg+xml"
    label = re.search(r'aria-label="([^"]*)"', await reply.text())
    assert label is not None
    return unescape(label[1])


async def test_badges_follow_the_monitor(service: Service):
    assert await said(service, "/badge/mars/status") == "Mars: no data"
    assert await said(service, "/badge/mars/uptime") == "Mars 90d: no data"
    for status, word in (("DOWN", "down"), ("DEGRADED", "degraded"), ("UP", "up")):
        await service.beat("mars", status)
        assert await said(service, "/badge/mars/status") == f"Mars: {word}"
        assert await said(service, "/badge/mars/dot") == f"Mars: {word}"
    await service.beat("mars", "DOWN", at=service.clock() - 60)
    assert await said(service, "/badge/mars/uptime") == "Mars 90d: 50%, since Dec 31"


async def test_the_overall_badge_says_what_the_headline_says(service: Service):
    name = service.app[keys.RUNNING].config.site.name
    assert await said(service, "/badge/_/status") == f"{name}: no data yet"
    await service.beat("mars")
    assert await said(service, "/badge/_/status") == f"{name}: 1 of 2 monitors has not reported"
    await service.beat("earth")
    for status, words in (
        ("UP", "all systems operational"),
        ("DEGRADED", "degraded performance"),
        ("DOWN", "partial outage"),
    ):
        await service.beat("mars", status)
        assert await said(service, "/badge/_/status") == f"{name}: {words}"
        assert await said(service, "/badge/_/dot") == f"{name}: {words}"
        document = await (await fetch(service, "/badge/_/status.json")).json()
        assert (document["label"], document["message"]) == (name, words)
    await service.beat("earth", "DOWN")
    assert await said(service, "/badge/_/status?label=All") == "All: major outage"


async def test_the_overall_uptime_is_that_of_all_visible_minutes(service: Service):
    for tag, ago, status in (
        ("mars", 0, "UP"),
        ("mars", 60, "DOWN"),
        ("earth", 0, "UP"),
        ("earth", 60, "UP"),
    ):
        await service.beat(tag, status, at=service.clock() - ago)
    await service.beat("secret", "DOWN")
    name = service.app[keys.RUNNING].config.site.name
    windows = {60: "24h", 86400: "24h", 3 * 86400: "7d", 90 * 86400: "90d", 400 * 86400: "90d"}
    for asked, window in windows.items():
        assert await said(service, f"/badge/_/uptime?sinceLast={asked}") == f"{name} {window}: 75.0000%"


@pytest.mark.parametrize("seconds", [60, 3600, 3661, 86400, 100_000, 7 * 86400, 90 * 86400])
async def test_an_uptime_badge_says_what_the_api_says_of_the_same_time(service: Service, seconds: int):
    now = service.clock()
    for number, ago in enumerate((0, 1, 40, 61, 100, 1500, 1700, 20_000)):
        await service.beat("mars", "DOWN" if number % 3 else "UP", at=now - 60 * ago)
    end = now - now % 60 + 60
    asked = {"from": end - seconds // 60 * 60, "to": end}
    figure = (await service.get("/api/monitors/mars/uptime", **asked))["uptime"]
    text = await said(service, f"/badge/mars/uptime?sinceLast={seconds}")
    assert text.partition(", since ")[0].endswith(f": {figure}%")


async def test_a_badge_of_a_window_mostly_unknown_says_what_it_rests_on(service: Service):
    await service.beat("mars")
    assert await said(service, "/badge/mars/uptime") == "Mars 90d: 100%, since Dec 31"
    document = await (await fetch(service, "/badge/mars/uptime.json")).json()
    assert document["message"] == "100%, since Dec 31"
    assert await said(service, "/badge/mars/uptime?sinceLast=300") == "Mars 5m: 100%"


async def test_options_are_part_of_what_is_kept(service: Service):
    one, other = [
        await (await fetch(service, f"/badge/mars/dot?color={color}")).text() for color in ("f00", "0f0")
    ]
    assert "#ff0000" in one
    assert "#00ff00" in other


async def test_shields_can_draw_it_too(service: Service):
    await service.beat("mars")
    reply = await fetch(service, "/badge/mars/status.json")
    answer = await reply.json()
    assert (answer["schemaVersion"], answer["label"], answer["message"]) == (1, "Mars", "up")
    assert reply.headers["Access-Control-Allow-Origin"] == "*"


async def test_markup_in_a_name_stays_text(service: Service):
    assert await said(service, "/badge/earth/status") == "Earth <\"&'>: no data"


@pytest.mark.parametrize(
    "path",
    ["/badge/secret/status", "/badge/nothing/uptime", "/badge/mars/nothing", "/badge/mars/dot.json"],
)
async def test_what_is_hidden_or_unknown_has_no_badge(service: Service, path: str):
    assert (await fetch(service, path)).status == 404


async def test_colours_are_the_sites(config: Config, clock: FakeClock):
    site = replace(config.site, colors=replace(config.site.colors, up="#123456"))
    async with running(replace(config, site=site), clock) as service:
        await service.beat("mars")
        assert "#123456" in await (await fetch(service, "/badge/mars/status")).text()


def test_the_palette_is_the_stylesheets():
    light = CSS.partition("@media")[0]
    for status, color in palette.DEFAULT_COLORS.items():
        assert f"--{status.name.lower().replace('_', '-')}: {color};" in light, status


def test_every_status_has_a_colour():
    assert set(palette.DEFAULT_COLORS) == set(Status)
