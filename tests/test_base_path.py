"""Base path: every address in responses is below it, and answers."""

import re
from collections import Counter
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from click.testing import CliRunner

from kener_async.app import create_app, reserved_segments
from kener_async.cli.main import main
from kener_async.config.load import ConfigError, load
from kener_async.config.model import Config
from tests.rigs.service import FakeClock, Service, a_config, running

BASE = "/status"
# Where a crawl begins: what no page links to.
ENTRIES = (
    "/", "/api/docs", "/api/openapi.json", "/sitemap.xml", "/robots.txt", "/favicon.ico", "/embed/earth",
    "/embed/earth.js", "/badge/earth/uptime", "/badge/earth/status.json", "/api/v2/summary.json",
    "/preview.png", "/healthz", "/readyz", "/metrics",
)  # fmt: skip
IN_MARKUP = re.compile(r'(?:href|src|action|content|value|data-[a-z]+)="((?:https?:/)?/[^"<>]*)"')
RELATIVE = re.compile(r'(?:href|src)="([a-z.][^":<>]*)"')
IN_TEXT = re.compile(r"""https?://127\.0\.0\.1[^\s"'<>\\]*|url\(["']?(/[^"')]*)""")
OF_A_KIND = 3  # days and months are many, and made alike


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return based(a_config(tmp_path))


def based(config: Config, path: str = BASE) -> Config:
    return replace(
        config,
        server=replace(config.server, base_path=path),
        site=replace(config.site, favicon="/static/icon.svg", locales=("en", "de")),
    )


@pytest.fixture
async def told(service: Service) -> Service:
    """A service with something on each of its pages."""
    await service.beat()
    await service.beat("mars", "DOWN")
    await service.post(
        "/api/incident",
        {"title": "Cable", "startDatetime": service.clock(), "tags": ["earth"], "status": "OPEN",
         "impact": "DEGRADED"},
    )  # fmt: skip
    await service.roll()
    return service


def addresses(text: str, page: str) -> set[str]:
    """Every address in a text of ours, as a visitor of the page resolves it."""
    found = {*IN_MARKUP.findall(text), *RELATIVE.findall(text)}
    found |= {match[1] or match[0] for match in IN_TEXT.finditer(text)}
    return {urljoin(page, unescape(address)).partition("#")[0] for address in found}


def is_readable(content_type: str) -> bool:
    return any(kind in content_type for kind in ("html", "xml", "json", "css", "plain"))


async def read(service: Service, address: str) -> tuple[int, set[str]]:
    """The status at an address, and the addresses of this server that the answer names."""
    path = urlsplit(address)._replace(scheme="", netloc="").geturl()
    async with service.client.get(path, allow_redirects=False) as reply:
        found = {urljoin(address, reply.headers["Location"])} if "Location" in reply.headers else set()
        if is_readable(reply.content_type) and "swagger-ui" not in address:
            found |= addresses(await reply.text(), address)
    return reply.status, {one for one in found if urlsplit(one).netloc == urlsplit(address).netloc}


def is_below(address: str) -> bool:
    path = urlsplit(address).path
    return path == BASE or path.startswith(f"{BASE}/")


async def test_a_crawl_from_every_entry_stays_below_the_base_path_and_meets_no_error(told: Service):
    origin = str(told.client.make_url("")).rstrip("/")
    waiting = [f"{origin}{BASE}{path}" for path in ENTRIES]
    seen, kinds = set(waiting), Counter[str]()
    astray, failed = [], []
    while waiting:
        address = waiting.pop()
        status, found = await read(told, address)
        failed += [(address, status)] if status >= 400 else []
        astray += [(address, one) for one in found if not is_below(one)]
        for one in found - seen:
            kind = re.sub(r"[0-9]+", "0", one)
            kinds[kind] += 1
            if kinds[kind] <= OF_A_KIND:
                seen.add(one)
                waiting.append(one)
    assert astray == []
    assert failed == []
    visited = {urlsplit(one).path for one in seen}
    for path in ("/monitor/earth", "/incidents", "/feed.atom", "/maintenance.ics", "/static/page.js"):
        assert BASE + path in visited


@pytest.mark.parametrize("path", ENTRIES)
async def test_a_request_may_come_with_the_base_path_or_without_it(told: Service, path: str):
    bare = await told.client.get(path, allow_redirects=False)
    below = await told.client.get(BASE + path, allow_redirects=False)
    assert below.status == bare.status < 400
    if path not in ("/metrics", "/readyz"):
        assert await below.read() == await bare.read()


@pytest.mark.parametrize("path", [BASE, f"{BASE}/", f"{BASE}?", "/"])
async def test_the_overview_is_at_the_base_path_itself(told: Service, path: str):
    reply = await told.client.get(path)
    assert reply.status == 200
    assert f'href="{BASE}/monitor/earth"' in await reply.text()


async def test_the_api_reads_writes_and_refuses_below_the_base_path(told: Service):
    body = {"tag": "earth", "status": "UP", "latency": 0.2}
    status, _ = await told.ask("POST", f"{BASE}/api/status", json=body)
    assert status == 200
    assert await told.get(f"{BASE}/api/status", tag="earth") == await told.get("/api/status", tag="earth")
    assert await told.ask("DELETE", f"{BASE}/api/status") == (405, {"error": "method not allowed"})
    assert await told.ask("GET", f"{BASE}/api/nothing") == (404, {"error": "not found"})
    assert (await told.ask("GET", f"{BASE}/api/status?tag=earth", token="wrong"))[0] == 401


@pytest.mark.parametrize(
    "path", [f"{BASE}x", f"{BASE}{BASE}", BASE * 900, f"{BASE}//evil.example/", f"{BASE}/../monitor/nobody"]
)
async def test_what_only_resembles_an_address_below_it_is_not_found(told: Service, path: str):
    assert (await told.client.get(path)).status == 404


async def test_a_language_is_kept_for_the_base_path_and_the_redirect_stays_below_it(told: Service):
    for path in (f"{BASE}/incidents?lang=de", "/incidents?lang=de"):
        reply = await told.client.get(path, allow_redirects=False)
        assert (reply.status, reply.headers["Location"]) == (303, f"{BASE}/incidents")
        assert f"Path={BASE};" in reply.headers["Set-Cookie"] + ";"


async def test_the_api_is_described_at_its_address(told: Service):
    assert (await told.get(f"{BASE}/api/openapi.json"))["servers"] == [{"url": BASE}]


async def test_an_error_page_leads_home_below_the_base_path(told: Service):
    reply = await told.client.get(f"{BASE}/nowhere", headers={"Accept": "text/html"})
    assert reply.status == 404
    assert f'href="{BASE}/"' in await reply.text()


async def test_without_a_base_path_no_path_below_one_is_found(tmp_path: Path, clock: FakeClock):
    async with running(a_config(tmp_path), clock) as service:
        assert (await service.client.get("/status/")).status == 404


def test_no_base_path_may_begin_like_a_route(config: Config):
    reserved = reserved_segments()
    assert {"api", "badge", "beat", "incidents", "static", "metrics", "favicon.ico"} <= reserved
    own = config.server.manage_path.removeprefix("/")
    for resource in create_app(config).router.resources():
        assert resource.canonical.split("/")[1] in reserved | {"", own}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('base_path = "/api"', "server.base_path: must not begin with /api, which is a path of this program"),
        ('base_path = "/monitor/x"', "server.base_path: must not begin with /monitor, which is a path"),
        ('base_path = "/manage/x"', "server.base_path: must not begin with /manage, as manage_path does"),
        ('manage_path = "/incident"', "server.manage_path: must not begin with /incident, which is a path"),
        ('public_url = "https://a.example/status"', "server.public_url: must be scheme and host alone"),
    ],
)
def test_contradicting_addresses_are_refused(tmp_path: Path, text: str, fault: str):
    file = tmp_path / "config.toml"
    file.write_text(f"[server]\n{text}\n")
    with pytest.raises(ConfigError, match=re.escape(fault)):
        load(file, {}, reserved_segments)


def test_check_config_names_a_base_path_that_is_a_route(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text('[server]\nbase_path = "/metrics"\n')
    result = CliRunner().invoke(main, ["check-config", "--config", str(file)])
    assert result.exit_code == 1
    assert "server.base_path: must not begin with /metrics" in result.output
