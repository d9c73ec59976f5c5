"""The page cache: rendered once, compressed, in the visitor's language, and never outdated."""

import asyncio
import gzip
import re
import threading
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any, Literal
from unittest.mock import Mock

import brotli
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from kener_async.app import apply
from kener_async.config.model import Category, Config
from kener_async.domain.errors import TooSlow
from kener_async.web.pages.cache import CachedPage, PageCache, RenderedPage
from kener_async.web.pages.page import PageRequest, by_path_and_query, page
from kener_async.web.pages.snapshot import Snapshot, Snapshots
from kener_async.web.pages.throttle import RenderThrottle
from tests.rigs.service import FakeClock, Service, a_config, a_monitor, running

PAGE = {"Accept": "text/html"}


async def fetch(service: Service, path: str = "/", **headers: str):
    """The answer to somebody without a token; as it was sent, if an encoding was asked for."""
    reply = await service.client.get(
        path,
        headers={**PAGE, **headers},
        allow_redirects=False,
        auto_decompress="Accept-Encoding" not in headers,
    )
    await reply.read()
    return reply


@pytest.mark.parametrize(
    ("accepted", "encoding", "decoded"),
    [
        ("gzip, deflate, br", "br", brotli.decompress),
        ("gzip", "gzip", gzip.decompress),
        ("br;q=0, gzip", "gzip", gzip.decompress),
        ("identity", None, bytes),
        ("", None, bytes),
    ],
)
async def test_a_page_comes_in_the_best_encoding_that_is_accepted(service, accepted, encoding, decoded):
    plain = await (await fetch(service, **{"Accept-Encoding": "identity"})).read()
    reply = await fetch(service, **{"Accept-Encoding": accepted})
    assert reply.headers.get("Content-Encoding") == encoding
    assert decoded(await reply.read()) == plain
    assert "Accept-Encoding" in reply.headers["Vary"]


@pytest.mark.parametrize("known", ["{etag}", '"other", {etag}', "*"])
async def test_a_request_with_the_current_etag_is_answered_304(service, known):
    etag = (await fetch(service)).headers["ETag"]
    reply = await fetch(service, **{"If-None-Match": known.format(etag=etag)})
    assert (reply.status, await reply.read(), reply.headers["ETag"]) == (304, b"", etag)


async def test_a_page_changes_with_a_heartbeat(service):
    etag = (await fetch(service)).headers["ETag"]
    await service.beat()
    reply = await fetch(service, **{"If-None-Match": etag})
    assert reply.status == 200
    assert "Up for 1 min" in await reply.text()


async def test_a_page_is_another_a_minute_later(service):
    etag = (await fetch(service)).headers["ETag"]
    service.pass_time(60)
    assert (await fetch(service, **{"If-None-Match": etag})).status == 200


@pytest.mark.parametrize("clock_step", [-7200, 7200])
async def test_a_page_does_not_outlive_a_clock_that_steps(service, clock_step):
    await service.beat()
    etag = (await fetch(service)).headers["ETag"]
    service.jump(clock_step)
    assert (await fetch(service, **{"If-None-Match": etag})).status == 200


async def test_an_incident_is_on_the_page_from_its_first_to_its_last_second(service):
    now = service.clock()
    span = {"startDatetime": now + 10, "endDatetime": now + 20}
    await service.post("/api/incident", {"title": "Short", "tags": ["earth"], "impact": "DOWN", **span})
    seen = []
    for _ in range(4):
        text = await (await fetch(service)).text()
        upcoming, ongoing = (f'id="{name}">\n</div>' not in text for name in ("upcoming", "ongoing"))
        seen.append((upcoming, ongoing))
        service.pass_time(7)
    assert seen == [(True, False), (True, False), (False, True), (False, False)]


async def test_a_comment_is_on_the_page_at_once(service):
    await service.post("/api/incident", {"title": "Slow", "tags": ["earth"], "impact": "DEGRADED"})
    await fetch(service)
    await service.post("/api/incident/1/comment", {"body": "We found the *cause*."})
    assert "We found the <em>cause</em>." in await (await fetch(service)).text()


async def test_a_reload_of_the_configuration_changes_the_page(service):
    await fetch(service)
    await service.configure(a_monitor("venus", name="The evening star"))
    text = await (await fetch(service)).text()
    assert "The evening star" in text
    assert "Mars" not in text


async def test_the_page_without_a_monitor_says_so(tmp_path: Path, clock: FakeClock):
    async with running(replace(a_config(tmp_path), monitors=()), clock) as service:
        assert "No monitors are configured yet." in await (await fetch(service)).text()


async def test_what_pages_load_may_be_kept_for_ever(service):
    text = await (await fetch(service)).text()
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
    assert len(addresses) == 4
    for address in addresses:
        reply = await fetch(service, address)
        assert reply.status == 200
        assert "immutable" in reply.headers["Cache-Control"]
        assert (await fetch(service, address.partition("?")[0])).headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Bad request."),
        ("de", "Ungültige Anfrage."),
        ("es", "Solicitud no válida."),
        ("fr", "Requête non valide."),
        ("pt-BR", "Solicitação inválida."),
    ],
)
async def test_a_malformed_request_of_a_browser_is_answered_in_its_language(service, language, text):
    page = await fetch(service, "/a%00b", **{"Accept-Language": language})
    assert page.status == 400
    assert f"<h1>{text}</h1>" in await page.text()


async def test_an_error_is_a_page_for_browsers_and_json_for_programs(service):
    page = await fetch(service, "/nothing")
    assert (page.status, page.content_type) == (404, "text/html")
    assert "This page does not exist." in await page.text()
    for path, accept in (("/nothing", "*/*"), ("/api/nothing", "text/html")):
        reply = await fetch(service, path, Accept=accept)
        assert (reply.status, await reply.json()) == (404, {"error": "not found"})


async def test_a_category_has_a_page_of_its_own(tmp_path: Path, clock: FakeClock):
    config: Config = replace(
        a_config(
            tmp_path,
            a_monitor("earth", category="Inner planets"),
            a_monitor("pluto", name="Pluto", category="Secret", hidden=True),
            a_monitor("sun", name="The Sun"),
        ),
        categories=(Category("Inner planets", "", False), Category("Secret", "", True)),
    )
    async with running(config, clock) as service:
        home = await (await fetch(service)).text()
        assert "Pluto" not in home
        assert "Secret" not in home
        address = re.search(r'<h2><a dir="auto" href="([^"]+)">Inner planets', home)
        assert address is not None
        page = await (await fetch(service, address[1])).text()
        assert "Earth" in page
        assert "The Sun" not in page
        for path in ("/category/Secret", "/category/nothing"):
            assert (await fetch(service, path)).status == 404


async def test_files_of_the_site_are_served_and_nothing_beside_them(tmp_path: Path, clock: FakeClock):
    folder = tmp_path / "assets"
    folder.mkdir()
    (folder / "logo.svg").write_text("<svg onload='alert(1)'/>")
    config = a_config(tmp_path)
    async with running(config, clock) as service:
        assert (await fetch(service, "/assets/logo.svg")).status == 404
        site = replace(config.site, assets=folder, logo="logo.svg")
        await apply(service.app, replace(config, site=site))
        assert 'src="/assets/logo.svg"' in await (await fetch(service)).text()
        reply = await fetch(service, "/assets/logo.svg")
        assert reply.status == 200
        assert "sandbox" in reply.headers["Content-Security-Policy"]
        for path in (
            "/assets/../kener.db",
            "/assets/%2e%2e/kener.db",
            "/assets/nothing",
            "/assets/.",
            "/assets/" + "a" * 300,
        ):
            assert (await fetch(service, path)).status == 404


OWN_FILES = (
    "kener.db",
    "kener.db-wal",
    "secret.key",
    "config.toml",
    "kener-2025.tar.gz",
    "token",
    "kener.env",
)


async def test_only_kinds_of_files_that_pages_use_are_served(tmp_path: Path, clock: FakeClock):
    folder = tmp_path / "assets"
    (folder / ".git").mkdir(parents=True)
    served = ("logo.svg", "Photo.JPG", "own.css", "inter.woff2", "terms.html", "terms.pdf")
    for name in (*served, *OWN_FILES, ".hidden.svg", ".git/logo.svg", "page.js", "notes.txt"):
        (folder / name).write_text("x")
    (tmp_path / "outside.svg").write_text("x")
    (folder / "out.svg").symlink_to(tmp_path / "outside.svg")
    (folder / "disguised.svg").symlink_to(folder / "secret.key")
    (folder / "inside.svg").symlink_to(folder / "logo.svg")
    config = a_config(tmp_path)
    config = replace(config, site=replace(config.site, assets=folder))
    async with running(config, clock) as service:
        answers = {
            path.relative_to(folder).as_posix(): (
                await fetch(service, f"/assets/{path.relative_to(folder).as_posix()}")
            ).status
            for path in folder.rglob("*")
        }
    assert {name for name, status in answers.items() if status == 200} == {*served, "inside.svg"}
    assert set(answers.values()) == {200, 404}


async def test_colours_font_and_rules_of_the_site_are_part_of_the_stylesheet(
    tmp_path: Path, clock: FakeClock
):
    css = tmp_path / "mine.css"
    css.write_text(".banner { border-radius: 0 }")
    config = a_config(tmp_path)
    site = replace(
        config.site,
        colors=replace(config.site.colors, up="#123456"),
        dark_colors=replace(config.site.dark_colors, up="#abcdef"),
        font_family="Georgia, serif",
        custom_css=css,
    )
    async with running(replace(config, site=site), clock) as service:
        style = await (await fetch(service, "/static/page.css")).text()
        assert ":root { --up: #123456; }" in style
        assert ':root[data-theme="dark"] { --up: #abcdef; }' in style
        assert "--font: Georgia, serif," in style
        assert style.endswith(css.read_text())


@pytest.mark.parametrize(
    ("style", "text"), [("current", "Up for 1 min"), ("day", "Down · 2 min down")], ids=["now", "today"]
)
async def test_a_monitor_says_how_it_is_now_or_how_it_was_today(
    config: Config, clock: FakeClock, style: Literal["current", "day"], text: str
):
    async with running(replace(config, site=replace(config.site, summary_style=style)), clock) as service:
        for ago in (60, 120):
            await service.beat(status="DOWN", at=clock() - ago)
        await service.beat()
        page = await (await fetch(service)).text()
        assert f"<span>{text}</span>" in page


async def test_after_a_failed_snapshot_the_outdated_one_is_not_served(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    await service.beat(status="UP")
    await fetch(service)
    await service.beat(status="DOWN")
    build = Snapshots._build

    async def fail(_: Snapshots) -> Snapshot:
        monkeypatch.setattr(Snapshots, "_build", build)
        await asyncio.sleep(0.05)  # until the second request waits
        raise RuntimeError("once")

    monkeypatch.setattr(Snapshots, "_build", fail)
    first, second = await asyncio.gather(fetch(service), fetch(service))
    assert (first.status, second.status) == (500, 200)
    assert "Partial outage" in await second.text()


async def test_nothing_is_rendered_for_a_client_that_has_disconnected(service: Service):
    rendered = 0

    @page("text/plain", language=None)
    async def handler(_: PageRequest) -> str:
        nonlocal rendered
        rendered += 1
        return "page"

    disconnected = make_mocked_request("GET", "/some", app=service.app, protocol=Mock(), transport=None)
    with pytest.raises(TooSlow):
        await handler(disconnected)
    assert rendered == 0
    await handler(make_mocked_request("GET", "/some", app=service.app))
    assert rendered == 1


async def test_variants_never_evict_a_plain_page(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kener_async.web.pages.cache.MAX_PAGES", 2)
    rendered: list[str] = []

    @page("text/plain", language=None)
    async def plain(page: PageRequest) -> str:
        rendered.append(page.request.path)
        return "plain"

    @page("text/plain", key=by_path_and_query, language=None)
    async def variant(page: PageRequest) -> str:
        return str(page.request.rel_url)

    def request(path: str) -> web.Request:
        return make_mocked_request("GET", path, app=service.app)

    await plain(request("/some"))
    for number in range(5):
        await variant(request(f"/other?option={number}"))
    await plain(request("/some"))
    assert rendered == ["/some"]


def test_a_header_of_kilobytes_is_not_parsed_to_its_end():
    page = CachedPage(RenderedPage.of(b"x" * 1000), "text/plain", {}, RenderThrottle(lambda: 0))
    assert page.encoding_for(" " * 300 + ",br") == ""
    assert page.encoding_for("gzip, br" + " " * 8000) == "br"


async def a_response(page: CachedPage, accepted: str) -> bytes:
    request = make_mocked_request("GET", "/", headers={"Accept-Encoding": accepted})
    return (await page.response_to(request)).content


@pytest.mark.parametrize("sentences", [20, 20_000], ids=["small", "large"])
async def test_a_page_is_kept_compressed_unless_it_was_requested_as_it_is(sentences: int):
    body = b"All systems operational. " * sentences
    page = CachedPage(RenderedPage.of(body), "text/html", {}, RenderThrottle(lambda: 0))
    assert brotli.decompress(await a_response(page, "br")) == body
    assert page.size < len(body) / 5
    assert gzip.decompress(await a_response(page, "gzip")) == body
    assert page.size < len(body) / 3
    assert await a_response(page, "identity") == body
    assert await a_response(page, "identity") is await a_response(page, "identity")  # shared, not copied
    assert page.size > len(body)


async def test_no_page_is_hashed_on_the_event_loop(service: Service, monkeypatch: pytest.MonkeyPatch):
    threads: list[int] = []

    def hashed(body: bytes, **options: Any) -> Any:
        threads.append(threading.get_ident())
        return blake2b(body, **options)

    await fetch(service, "/incidents")  # which reads the files of all pages
    monkeypatch.setattr("kener_async.web.pages.cache.blake2b", hashed)
    for path in ("/", "/monitor/earth", "/api/openapi.json"):
        assert (await fetch(service, path)).status == 200
    assert len(threads) == 3
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("accepted", ["br", "gzip", "identity", "br then identity"])
async def test_the_cache_keeps_to_its_bytes_whatever_encodings_are_requested(accepted: str):
    cache, throttle, limit = PageCache(1_000_000), RenderThrottle(lambda: 0), 1_000_000
    random = Random(accepted)
    kept: list[CachedPage] = []
    for number in range(40):
        key = f"/{number}", "en"
        body = random.randbytes(50_000) + bytes(50_000)

        async def render(body: bytes = body) -> CachedPage:
            return CachedPage(RenderedPage.of(body), "text/html", {}, throttle)

        page = await cache.get(key, 1, render)
        for encoding in accepted.split(" then "):
            await a_response(page, encoding)
            cache.note_size(key, page)
        kept = [entry for _, entry in cache._entries.values()]
        assert sum(entry.size for entry in kept) == cache._size <= limit
    assert len(kept) > 4


async def test_the_redirect_to_the_sites_icon_has_the_headers_of_every_answer(service: Service):
    service.change("site", favicon="https://example.org/icon.png")
    async with service.client.get("/favicon.ico", allow_redirects=False) as reply:
        assert (reply.status, reply.headers["Location"]) == (302, "https://example.org/icon.png")
        assert reply.headers["Server"] == "kener_async"
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert reply.headers["X-Request-Id"]
