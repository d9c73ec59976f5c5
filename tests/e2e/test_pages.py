"""The pages in Chromium: whole without JavaScript, quiet, within the window, and all from this server."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, Request, async_playwright

from kener_async.config import Category, Config
from kener_async.domain.heartbeats import Settings
from kener_async.domain.samples import Status
from tests.service import FakeClock, Service, a_config, a_monitor, running

pytestmark = pytest.mark.browser

CHROMIUM = Path(os.environ.get("KENER_TEST_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MARKUP = '<img src=x onerror="document.title=1"> & <b>bold</b>'
LONG = "Verylongnamewithoutanyspace" * 6
WIDTHS = {390: 844, 1440: 900}
HOUR, DAY = 3600, 86400


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is missing")
        pytest.skip(f"{CHROMIUM} is missing")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = a_config(
        tmp_path,
        a_monitor("earth", name=MARKUP, description=MARKUP, category="Planets"),
        a_monitor("mars", name=LONG, description=LONG, category="Planets"),
        a_monitor("moon", Settings(default_status=Status.UP), day_down_minimum_count=3),
        a_monitor("secret", name="Not to be seen", hidden=True),
    )
    site = replace(config.site, title=MARKUP)
    return replace(config, site=site, categories=(Category("Planets", MARKUP), Category("Empty", "")))


@pytest.fixture
async def service(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    """A service with a little history, an incident, and a maintenance to come."""
    async with running(config, clock) as service:
        now = clock.now
        for minute in range(3):
            await service.beat("earth", at=now - DAY - minute * 60, status="DOWN")
            await service.beat(
                "moon", at=now - 2 * DAY - minute * 60, status="DOWN" if minute else "DEGRADED"
            )
        await service.beat("earth")
        await service.beat("secret", "DOWN")
        incident = {"title": MARKUP, "body": f"{MARKUP}\n{LONG}", "tags": ["earth", "secret"]}
        await service.post("/api/incident", {**incident, "startDatetime": now - HOUR, "impact": "DEGRADED"})
        planned = {"title": "Planned work", "tags": ["mars"], "isMaintenance": True}
        span = {"startDatetime": now + DAY, "endDatetime": now + DAY + HOUR}
        await service.post("/api/incident", {**planned, **span})
        hidden = {"title": "Not to be seen", "tags": ["secret"], "startDatetime": now - HOUR}
        await service.post("/api/incident", {**hidden, "impact": "DOWN"})
        yield service


class Watched:
    """A page, and everything it did that it should not."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on(
            "console",
            lambda said: self.faults.append(said.text) if said.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self._check(request.url, origin))
        page.on("requestfailed", self._failed)
        page.on("response", lambda reply: self.faults.append(reply.url) if reply.status >= 400 else None)

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # as an icon under way is when the page is left
            self.faults.append(f"{request.failure}: {request.url}")

    def _check(self, url: str, origin: str) -> None:
        if urlsplit(url).scheme not in ("data", "blob") and not url.startswith(f"{origin}/"):
            self.faults.append(f"off-site: {url}")


@asynccontextmanager
async def opened(
    browser: Browser,
    service: Service,
    path: str,
    width: int = 1440,
    scheme: str = "light",
    script: bool = True,
) -> AsyncIterator[Watched]:
    context = await browser.new_context(
        viewport={"width": width, "height": WIDTHS[width]},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=script,
    )
    origin = str(service.client.make_url("")).rstrip("/")
    watched = Watched(await context.new_page(), origin)
    answer = await watched.page.goto(origin + path)
    assert answer is not None
    assert answer.status == 200
    yield watched
    assert watched.faults == []
    await context.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
async def test_the_page_is_quiet_and_within_the_window(
    browser: Browser, service: Service, width: int, script: bool
):
    grounds = set()
    for scheme in ("light", "dark"):
        async with opened(browser, service, "/", width, scheme, script) as watched:
            page = watched.page
            box = await page.locator("body").bounding_box()
            assert box is not None
            assert box["width"] <= width
            # Measured from outside, where no script may run.
            size = await (await page.context.new_cdp_session(page)).send("Page.getLayoutMetrics")
            assert size["cssContentSize"]["width"] <= width
            assert await page.locator("article.monitor").count() == 3
            assert await page.locator("svg.bars").first.is_visible()
            shot = await page.screenshot(clip={"x": 0, "y": 0, "width": 8, "height": 8})
            grounds.add(shot)
    assert len(grounds) == 2, "light and dark look the same"


async def test_markup_is_shown_as_text_and_runs_nothing(browser: Browser, service: Service):
    async with opened(browser, service, "/") as watched:
        page = watched.page
        assert await page.title() == MARKUP
        assert await page.locator("h1").inner_text() == MARKUP
        assert await page.locator("#earth h3").inner_text() == MARKUP
        assert MARKUP in await page.locator("article.incident .text").first.inner_text()
        assert await page.locator("main img, main b").count() == 0


async def test_hidden_monitors_are_not_on_the_page(browser: Browser, service: Service):
    async with opened(browser, service, "/") as watched:
        html = await watched.page.content()
        assert "Not to be seen" not in html
        assert "secret" not in html
        assert await watched.page.locator("article.incident").count() == 2


async def test_the_page_tells_what_the_api_tells(browser: Browser, service: Service):
    async with opened(browser, service, "/") as watched:
        page = watched.page
        assert await page.locator(".banner").inner_text() == "Degraded performance"
        assert await page.locator("#earth .status").inner_text() == "Degraded"
        assert await page.locator("#mars .status").inner_text() == "No data"
        shown = await page.locator("#earth dd").all_inner_texts()
    listed = next(one for one in await service.get("/api/monitors") if one["tag"] == "earth")
    uptime = [listed["uptime"][window] for window in ("today", "24h", "7d", "30d", "90d")]
    assert shown == [f"{figure} %" for figure in uptime]


async def test_a_bar_tells_of_its_day(browser: Browser, service: Service):
    async with opened(browser, service, "/") as watched:
        bars = watched.page.locator("#earth rect")
        assert await bars.count() == 91
        yesterday = bars.nth(89)
        assert await yesterday.get_attribute("class") == "DOWN"
        assert await yesterday.locator("title").text_content() == ("2025-12-30: down, 3 min down, uptime 0 %")
        # Two minutes down are fewer than this monitor's three, so its one degraded minute speaks.
        assert await watched.page.locator("#moon rect").nth(88).get_attribute("class") == "DEGRADED"


async def test_the_page_is_never_older_than_what_was_told(browser: Browser, service: Service):
    async with opened(browser, service, "/") as watched:
        for status, word in (("DOWN", "Down"), ("UP", "Operational"), ("DEGRADED", "Degraded")):
            await service.beat("moon", status)
            await watched.page.reload()
            assert await watched.page.locator("#moon .status").inner_text() == word
        await service.beat("moon", "DOWN", at=service.clock.now - 40 * DAY)
        await watched.page.reload()
        assert "1 min down" in (await watched.page.locator("#moon rect title").nth(50).text_content() or "")


@pytest.mark.parametrize("width", WIDTHS)
async def test_the_description_of_the_api_is_rendered(browser: Browser, service: Service, width: int):
    described = await service.get("/api/openapi.json")
    operations = sum(
        method in ("get", "post", "patch") for item in described["paths"].values() for method in item
    )
    async with opened(browser, service, "/api/docs", width) as watched:
        page = watched.page
        await page.locator(".opblock").first.wait_for()
        assert await page.locator(".opblock").count() == operations
        assert described["info"]["title"] in await page.locator(".info .title").inner_text()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_an_operation_can_be_tried_with_a_token(browser: Browser, service: Service):
    async with opened(browser, service, "/api/docs") as watched:
        page = watched.page
        await page.locator(".btn.authorize").first.click()
        await page.locator(".auth-container input").fill(service.token)
        await page.locator(".auth-container .btn.authorize").click()
        await page.locator(".btn.btn-done").click()
        operation = page.locator(".opblock", has=page.locator('[data-path="/api/monitors"]'))
        await operation.locator(".opblock-summary-control").click()
        async with page.expect_response("**/api/monitors") as answered:
            await operation.locator(".btn.execute").click()
        reply = await answered.value
        assert reply.status == 200
        assert [one["tag"] for one in json.loads(await reply.text())] == ["earth", "mars", "moon", "secret"]
        await operation.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
