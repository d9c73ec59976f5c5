"""An open page updates itself and does not disturb its reader (static/live.js)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Request, Route, expect

from kener_async import keys
from kener_async.app import apply
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.samples import Status
from tests.e2e.browser import Watched, watching
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

pytestmark = pytest.mark.browser

PERIOD = 31_000  # ms; pages ask again after 30 s
DAY = 86400
UP_ALWAYS = MonitorSettings(default_status=Status.UP)
OUTAGE = {"title": "Cable cut", "body": "A digger.\n\nIt was yellow.", "tags": ["earth"], "impact": "DOWN"}
LOGIN = '<link rel="stylesheet" href="/login.css"><h1>Log in</h1>'
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    tags = ("earth", "mars", "moon", "pluto", "titan")
    monitors = [a_monitor(tag, UP_ALWAYS, description=f"About {tag}") for tag in tags]
    async with running(a_config(tmp_path, *monitors), FakeClock()) as service:
        yield service


class Asked:
    """How often a page has asked for itself again."""

    def __init__(self, page: Page) -> None:
        self.count = 0
        page.on("request", self._count)

    def _count(self, request: Request) -> None:
        self.count += request.resource_type == "fetch"


@asynccontextmanager
async def reading(
    browser: Browser, service: Service, path: str = "/", at: int = NOON, **options: Any
) -> AsyncIterator[Watched]:
    """A page whose time passes when a test lets it."""
    async with watching(browser, service, **options) as watched:
        await watched.page.clock.install(time=at)
        await watched.page.add_init_script("Math.random = () => 0.5")  # which spreads visitors over time
        await watched.goto(path)
        await watched.page.evaluate("window.isTheSame = true")
        yield watched


async def renewed(page: Page, periods: int = 1) -> None:
    """Let it ask again, and wait until it has made of the answer what it makes."""
    async with page.expect_event("requestfinished", lambda request: request.resource_type == "fetch"):
        await page.clock.run_for(PERIOD * periods)


async def test_a_heartbeat_is_seen_without_a_reload(browser: Browser, service: Service):
    async with reading(browser, service) as watched:
        page = watched.page
        await expect(page.locator("#earth .current-status")).to_contain_text("Up")
        for status, word in (("DOWN", "Down"), ("UP", "Up"), ("DEGRADED", "Degraded")):
            await service.beat("earth", status)
            await renewed(page)
            await expect(page.locator("#earth .current-status")).to_contain_text(word)
        await expect(page.locator("#banner")).to_contain_text("Degraded performance")
        assert await page.evaluate("window.isTheSame")


async def test_times_and_their_titles_are_renewed(browser: Browser, service: Service):
    async with reading(browser, service, timezone_id="Asia/Kolkata") as watched:
        as_of = watched.page.locator("#as-of time")
        await expect(as_of).to_have_text("Dec 31, 2025, 5:30\u202fPM")
        service.pass_time(300)
        await renewed(watched.page)
        await expect(as_of).to_have_text("Dec 31, 2025, 5:35\u202fPM")
        await expect(as_of).to_have_attribute("title", "Dec 31, 2025, 12:05\u202fPM")


async def test_the_title_follows(browser: Browser, service: Service):
    await service.post("/api/incident", OUTAGE)
    async with reading(browser, service, "/incident/1") as watched:
        await expect(watched.page).to_have_title("Cable cut · Status")
        await service.ask("PATCH", "/api/incident/1", json=OUTAGE | {"title": "Cable mended"})
        await renewed(watched.page)
        await expect(watched.page).to_have_title("Cable mended · Status")


@pytest.mark.parametrize("read", ["#titan .about", "#incident-1 .prose p:last-child", ".foot #zone"])
async def test_what_is_being_read_stays_in_its_place(browser: Browser, service: Service, read: str):
    await service.post("/api/incident", OUTAGE)
    async with reading(browser, service, width=390) as watched:
        page = watched.page
        await page.set_viewport_size({"width": 390, "height": 160})
        await page.locator(read).evaluate("(one) => one.scrollIntoView({ block: 'start' })")
        before = await page.locator(read).bounding_box()
        assert before is not None
        assert await page.evaluate("scrollY") > 100
        await service.post("/api/incident", OUTAGE | {"title": "Another", "startDatetime": NOON - DAY})
        await renewed(page)
        await expect(page.locator("#incident-2")).to_be_attached()
        after = await page.locator(read).bounding_box()
        assert after == pytest.approx(before, abs=1)


async def test_the_top_of_the_page_stays_there(browser: Browser, service: Service):
    async with reading(browser, service) as watched:
        await service.post("/api/incident", OUTAGE)
        await renewed(watched.page)
        await expect(watched.page.locator("#incident-1")).to_be_in_viewport()
        assert await watched.page.evaluate("scrollY") == 0


async def test_a_bar_keeps_the_focus_while_everything_else_changes(browser: Browser, service: Service):
    async with reading(browser, service) as watched:
        page = watched.page
        bars = page.locator("#earth .bars a")
        await bars.last.focus()
        await page.keyboard.press("ArrowLeft")
        await service.beat("earth", "DOWN", at=NOON - DAY)
        await service.post("/api/incident", OUTAGE | {"tags": ["mars", "earth"]})
        await renewed(page)
        await expect(bars.nth(-2)).to_have_class("down")
        await expect(bars.nth(-2)).to_be_focused()
        await page.keyboard.press("ArrowRight")
        await expect(bars.last).to_be_focused()


async def test_an_opened_menu_and_a_tapped_bar_stay_so(browser: Browser, service: Service):
    async with reading(browser, service, width=390, has_touch=True) as watched:
        page = watched.page
        await page.locator("#mars .bars a").nth(-3).tap()
        await page.locator("summary[title=Language]").focus()
        await page.keyboard.press("Enter")
        await service.beat("mars", "DOWN")
        await renewed(page)
        await expect(page.locator("#mars .current-status")).to_contain_text("Down")
        await expect(page.locator("a[hreflang=de]").first).to_be_visible()
        await expect(page.locator("#mars .bars a").nth(-3)).to_contain_class("on")


async def test_an_opened_explanation_stays_open_and_is_renewed(browser: Browser, service: Service):
    await service.beat("earth")
    async with reading(browser, service, "/monitor/earth") as watched:
        page = watched.page
        await page.locator("#how-24h summary").click()
        result = page.locator("#how-24h .formula b")
        await expect(result).to_have_text("100%")
        await service.beat("earth", "DOWN")
        await renewed(page)
        await expect(result).to_have_text("0%")
        await expect(result).to_be_visible()
        await expect(page.locator("#figures dd").nth(3)).to_have_text("0% since Dec 31")


async def test_the_reading_of_a_day_goes_on(browser: Browser, service: Service):
    async with reading(browser, service, "/monitor/earth/2025-12-31") as watched:
        page = watched.page
        hours = page.locator("#hours")
        await hours.focus()
        await page.keyboard.press("End")
        await service.beat("earth", "DOWN", at=NOON - 3600)
        await renewed(page)
        await expect(page.locator("#now dd").nth(2)).to_have_text("1 min")
        await expect(hours).to_be_focused()
        await expect(hours).to_have_attribute("role", "slider")


async def refused(route: Route) -> None:
    await route.abort("connectionrefused")


async def test_the_page_says_how_old_it_is_while_the_server_is_away(browser: Browser, service: Service):
    async with reading(browser, service) as watched:
        page = watched.page
        stale = page.locator("#stale")
        await page.route("**/", refused)
        for periods in (1, 2, 3):
            await expect(stale).to_be_visible(visible=periods > 2)
            async with page.expect_event("requestfailed"):
                await page.clock.run_for(PERIOD * periods)
        await expect(stale).to_have_text("The server is not responding. This page was updated 3 minutes ago.")
        await page.unroute("**/")
        await renewed(page, 4)
        await expect(stale).to_be_hidden()
        assert all("CONNECTION_REFUSED" in fault for fault in watched.faults)
        watched.faults.clear()


async def test_the_page_asks_as_soon_as_it_is_online_again(browser: Browser, service: Service):
    async with reading(browser, service) as watched:
        await service.beat("earth", "DOWN")
        await watched.page.context.set_offline(True)
        await watched.page.context.set_offline(False)
        await expect(watched.page.locator("#earth .current-status")).to_contain_text("Down")


async def test_a_hidden_tab_asks_for_nothing_until_it_is_looked_at(browser: Browser, service: Service):
    async with reading(browser, service) as watched:
        page, asked = watched.page, Asked(watched.page)
        await page.evaluate(HIDE, True)
        await service.beat("earth", "DOWN")
        await page.clock.run_for(20 * PERIOD)
        assert asked.count == 0
        await page.evaluate(HIDE, False)
        await page.clock.run_for(1)
        await expect(page.locator("#earth .current-status")).to_contain_text("Down")
        assert asked.count == 1


async def test_a_new_page_does_not_ask_at_once(browser: Browser, service: Service):
    async with reading(browser, service) as watched:
        asked = Asked(watched.page)
        await watched.page.clock.run_for(PERIOD - 5000)
        assert asked.count == 0


async def test_a_page_that_the_browser_has_kept_asks_at_once(browser: Browser, service: Service):
    async with watching(browser, service) as watched:
        page = watched.page
        await page.clock.install(time=NOON + DAY)
        is_asked = page.expect_event(
            "request", lambda request: request.resource_type == "fetch", timeout=5000
        )
        async with is_asked:
            await watched.goto("/")


async def test_a_page_that_is_no_more_says_so(browser: Browser, service: Service):
    async with reading(browser, service, "/monitor/earth") as watched:
        await service.configure(a_monitor("mars"))
        await renewed(watched.page)
        await expect(watched.page.locator("main")).to_contain_text("This page does not exist.")
        assert all("404" in fault for fault in watched.faults)
        watched.faults.clear()


@pytest.mark.parametrize("status", [200, 404])
async def test_what_another_server_says_in_between_is_not_taken_for_the_page(
    browser: Browser, service: Service, status: int
):
    async with reading(browser, service) as watched:
        page = watched.page
        await page.route("**/", lambda route: route.fulfill(status=status, body=LOGIN))
        await renewed(page)
        await renewed(page, 2)
        await expect(page.locator("#stale")).to_be_visible()
        await expect(page.locator("#earth")).to_be_visible()
        watched.faults.clear()


async def test_a_page_of_another_version_is_reloaded(browser: Browser, service: Service):
    async with reading(browser, service) as watched:
        config = service.app[keys.RUNNING].config
        colors = replace(config.site.colors, up="#00ff00")
        await apply(service.app, replace(config, site=replace(config.site, colors=colors)))
        async with watched.page.expect_navigation():
            await watched.page.clock.run_for(PERIOD)
        assert await watched.page.evaluate("window.isTheSame === undefined")
