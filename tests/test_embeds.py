"""Embeds: a monitor in a frame on any site, and the script that puts it there."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from aiohttp import ClientResponse
from yarl import URL

from kener_async import keys
from kener_async.app import apply
from kener_async.config.model import Config
from tests.rigs.service import Service, a_config, a_monitor

MARKUP = '<img src=x onerror="alert(1)"> & <b>"bold"</b>'
SCRIPT = Path("kener_async/web/static/embed.js").read_text()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = a_config(
        tmp_path, a_monitor("earth"), a_monitor("mars", name=MARKUP), a_monitor("secret", hidden=True)
    )
    return replace(config, site=replace(config.site, locales=("en", "de")))


async def fetch(service: Service, path: str) -> tuple[ClientResponse, str]:
    async with service.client.get(path, headers={"Accept": "text/html"}) as reply:
        return reply, await reply.text()


async def page(service: Service, path: str) -> str:
    reply, html = await fetch(service, path)
    assert reply.status == 200
    return html


async def test_any_site_may_frame_it_and_nothing_else_is_allowed(service: Service):
    reply, _ = await fetch(service, "/embed/earth")
    policy = reply.headers["Content-Security-Policy"]
    assert policy.endswith("frame-ancestors *")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "X-Frame-Options" not in reply.headers
    for path in ("/", "/monitor/earth", "/monitor/earth/2025-12-31"):
        other, _ = await fetch(service, path)
        assert other.headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/embed-earth", "/embed/earth"),
        ("/embed-earth?theme=dark&bgc=ffffff", "/embed/earth?theme=dark&bgc=ffffff"),
        ("/monitor-earth", "/monitor/earth"),
        ("/category-Inner%20planets", "/category/Inner%20planets"),
        ("/category-a%2Fb", "/category/a%2Fb"),
    ],
)
@pytest.mark.parametrize("base", ["", "/status"])
async def test_public_addresses_of_kener_2_redirect_for_good(service: Service, old: str, new: str, base: str):
    config = service.app[keys.RUNNING].config
    await apply(service.app, replace(config, server=replace(config.server, base_path=base)))
    address = service.client.make_url("/").join(URL(base + old, encoded=True))
    async with service.client.session.get(address, allow_redirects=False) as reply:
        assert (reply.status, reply.headers["Location"]) == (301, base + new)
        assert "X-Frame-Options" not in reply.headers


async def test_a_frame_of_kener_2_ends_at_a_page_that_any_site_may_frame(service: Service):
    reply, html = await fetch(service, "/embed-earth?theme=dark")
    assert (reply.status, reply.url.path) == (200, "/embed/earth")
    assert reply.headers["Content-Security-Policy"].endswith("frame-ancestors *")
    assert 'data-theme="dark"' in html


async def test_the_script_of_kener_2_is_answered_at_its_address(service: Service):
    reply, script = await fetch(service, "/embed-earth/js?theme=dark&monitor=https://example.org/embed-earth")
    assert (reply.status, reply.content_type, script) == (200, "text/javascript", SCRIPT)
    assert not reply.history
    assert (await fetch(service, "/embed-secret/js"))[0].status == 404


async def test_it_says_what_the_monitors_page_says(service: Service):
    await service.beat("earth", "DOWN", at=service.clock() - 60)
    await service.beat("earth")
    html, whole = await page(service, "/embed/earth"), await page(service, "/monitor/earth")
    told = await service.get("/api/monitors/earth/uptime", window="90d")
    assert f"{told['uptime']}% uptime" in html
    current = re.search(r'<p class="current-status.*?</p>', html)
    assert current is not None
    assert current[0] in whole
    bars = re.findall(r'<a (?:tabindex=-1 )?href="/monitor/earth/[\d-]+".*?</a>', html, re.DOTALL)
    assert len(bars) == 91
    assert all(bar in whole for bar in bars)


async def test_it_is_never_older_than_the_last_heartbeat(service: Service):
    for status, word in (("DOWN", "Down"), ("UP", "Up")):
        await service.beat("earth", status)
        assert f"{word} for 1 min" in await page(service, "/embed/earth")


async def test_links_open_beside_the_page_that_frames_it(service: Service):
    html = await page(service, "/embed/earth")
    assert '<a href="/monitor/earth" target="_blank" rel="noopener">Earth</a>' in html
    assert '<base target="_blank">' in html


async def test_it_is_bare_and_names_are_text(service: Service):
    html = await page(service, "/embed/mars")
    assert not re.search(r"<header|<footer|<nav|<style|\sstyle=|<script(?![^>]* src=)", html)
    assert "<img" not in html
    assert "<b>" not in html
    assert MARKUP in unescape(html)


@pytest.mark.parametrize(
    ("query", "theme"),
    [
        ("", None),
        ("?theme=light", "light"),
        ("?theme=dark", "dark"),
        ("?theme=sepia", None),
        ('?theme="><script>', None),
        ("?theme=dark&theme=light", "dark"),
    ],
)
async def test_the_theme_is_the_requested_one(service: Service, query: str, theme: str | None):
    found = re.search(r'<html[^>]* data-theme="(\w+)"', await page(service, f"/embed/earth{query}"))
    assert (found and found[1]) == theme


async def test_without_a_theme_it_has_the_sites(service: Service):
    config = service.app[keys.RUNNING].config
    await apply(service.app, replace(config, site=replace(config.site, theme="dark")))
    assert 'data-theme="dark"' in await page(service, "/embed/earth")
    assert 'data-theme="light"' in await page(service, "/embed/earth?theme=light")


@pytest.mark.parametrize(
    ("color", "fill"),
    [
        ("fafafa", "#fafafa"),
        ("FFF", "#fff"),
        ("", None),
        ("%23ffffff", None),
        ("red", None),
        ("ffff", None),
        ('fff"/><script>', None),
        ("٣٣٣", None),
        ("fff%0a", None),
    ],
)
async def test_the_ground_is_a_colour_or_nothing(service: Service, color: str, fill: str | None):
    html = await page(service, f"/embed/earth?bgc={color}")
    found = re.search(r'<svg class="ground".*? fill="(.*?)"/>', html)
    assert (found and found[1]) == fill
    assert "<script>" not in html


async def test_the_language_can_be_chosen_by_the_page_that_frames_it(service: Service):
    for query, tag in (("", "en"), ("?locale=de", "de"), ("?locale=fr", "en"), ("?locale=xx", "en")):
        reply, html = await fetch(service, f"/embed/earth{query}")
        assert f'<html lang="{tag}"' in html
        assert reply.headers["Content-Language"] == tag


async def test_options_do_not_mix(service: Service):
    dark = await page(service, "/embed/earth?theme=dark")
    light = await page(service, "/embed/earth?theme=light&bgc=fff")
    assert await page(service, "/embed/earth?theme=dark") == dark != light


async def test_the_frame_tells_its_height(service: Service):
    script = re.search(r'<script src="(/static/embedded\.js[^"]*)"', await page(service, "/embed/earth"))
    assert script is not None
    reply, text = await fetch(service, script[1])
    assert reply.status == 200
    assert 'parent.postMessage({ kener_async: "height", height:' in text


@pytest.mark.parametrize("query", ["", "?theme=dark&bgc=fff&monitor=';alert(1);'"])
async def test_the_script_is_the_same_for_every_monitor_and_holds_nothing_of_the_request(service, query):
    for tag in ("earth", "mars"):
        reply, text = await fetch(service, f"/embed/{tag}.js{query}")
        assert reply.status == 200
        assert reply.content_type == "text/javascript"
        assert text == SCRIPT


@pytest.mark.parametrize("tag", ["secret", "nobody", "%3Cscript%3E"])
@pytest.mark.parametrize("ending", ["", ".js"])
async def test_hidden_and_unknown_monitors_do_not_exist(service: Service, tag: str, ending: str):
    await service.beat("secret")
    reply, _ = await fetch(service, f"/embed/{tag}{ending}")
    assert reply.status == 404
