"""The home page with many monitors, its bars on a phone, and what visitors chose there."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from kener_async.config.model import Category
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.samples import Status
from tests.e2e.browser import opened
from tests.e2e.test_accessibility import violations
from tests.rigs.service import FakeClock, Service, a_config, a_monitor, running

pytestmark = pytest.mark.browser

FOLD = "#fold-\\/category\\/Site\\%200"
UP = MonitorSettings(default_status=Status.UP)


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(tmp_path: Path) -> AsyncIterator[Service]:
    """Sixty monitors in two categories, the first of which has two pages."""
    monitors = [
        a_monitor(f"m{n}", UP, name=f"Device {n}", category=f"Site {int(n >= 40)}") for n in range(60)
    ]
    config = replace(
        a_config(tmp_path, *monitors),
        categories=tuple(Category(f"Site {n}", "", hidden=False) for n in (0, 1)),
    )
    async with running(config, FakeClock()) as service:
        await service.beat("m7", "DOWN")
        yield service


# Folded categories


async def test_a_folded_category_is_loaded_into_place_and_folds_again(browser: Browser, fleet: Service):
    async with opened(browser, fleet, "/") as watched:
        page = watched.page
        name = page.locator(f"{FOLD} h2 a")
        await expect(name).to_have_attribute("aria-expanded", "false")
        await name.click()
        await expect(page.locator(f"{FOLD} .monitor")).to_have_count(25)
        await expect(page.locator(f"{FOLD} .monitor").first).to_have_id("m7")
        await expect(name).to_have_attribute("aria-expanded", "true")
        await expect(page.locator(f"{FOLD} .pager")).to_contain_text("1 / 2")
        assert page.url == f"{watched.origin}/"
        await name.click()
        await expect(page.locator(".monitor")).to_have_count(0)


async def test_an_open_category_stays_open_and_up_to_date(browser: Browser, fleet: Service):
    async with opened(browser, fleet, "/") as watched:
        page = watched.page
        await page.locator(f"{FOLD} h2 a").click()
        await expect(page.locator("#m3 .current-status")).to_contain_text("Up")
        await page.evaluate("document.getElementById('m3').isTheSame = true")
        await fleet.beat("m3", "DEGRADED")
        await page.evaluate("dispatchEvent(new Event('online'))")  # has the page ask at once
        await expect(page.locator("#m3 .current-status")).to_contain_text("Degraded")
        await page.reload()
        await expect(page.locator(f"{FOLD} .monitor")).to_have_count(25)


async def test_without_javascript_a_folded_category_leads_to_its_page(browser: Browser, fleet: Service):
    async with opened(browser, fleet, "/", script=False) as watched:
        page = watched.page
        await page.locator(f"{FOLD} h2 a").click()
        await expect(page.locator(".monitor")).to_have_count(25)
        await page.locator(".pager [rel=next]").click()
        await expect(page.locator(".monitor")).to_have_count(15)


async def test_axe_finds_no_fault_in_a_page_of_many_monitors(browser: Browser, fleet: Service):
    async with opened(browser, fleet, "/") as watched:
        await watched.page.locator(f"{FOLD} h2 a").click()
        await expect(watched.page.locator(f"{FOLD} .monitor")).to_have_count(25)
        assert await violations(watched.page) == {}


# The filter


async def test_typing_filters_the_monitors(browser: Browser, fleet: Service):
    async with opened(browser, fleet, "/") as watched:
        page = watched.page
        await page.locator("#filter").press_sequentially("device 31")
        await expect(page.locator(".monitor")).to_have_count(1)
        await expect(page.locator("#filter")).to_be_focused()
        await expect(page.locator("#filter")).to_have_value("device 31")
        assert page.url == f"{watched.origin}/?q=device+31"
        await page.locator("#filter").fill("")
        await expect(page.locator(".fold")).to_have_count(2)
        await expect(page.locator(".monitor")).to_have_count(0)


async def test_without_javascript_the_filter_is_a_form(browser: Browser, fleet: Service):
    async with opened(browser, fleet, "/", script=False) as watched:
        page = watched.page
        await page.locator("#filter").fill("device 31")
        await page.locator("#filter").press("Enter")
        await expect(page.locator(".monitor")).to_have_count(1)
        await expect(page.locator("#filter")).to_have_value("device 31")


# Bars and their figure


@pytest.mark.parametrize("width", [320, 390, 1440])
@pytest.mark.parametrize("path", ["/", "/monitor/web", "/embed/web"])
async def test_all_bars_are_shown_and_the_figure_is_that_of_ninety_days(
    browser: Browser, site: Service, path: str, width: int
):
    async with opened(browser, site, path, width=width) as watched:
        page = watched.page
        bars = page.locator("#web .bars a" if path == "/" else ".bars a")
        await expect(bars).to_have_count(91)
        assert await bars.evaluate_all("(all) => all.every((bar) => bar.getBoundingClientRect().width >= 1)")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        text = await page.locator("main").inner_text()
        assert "90 days ago" in text
        assert "99.9845%" in text


async def test_partial_bars_do_not_look_like_missing_data(browser: Browser, site: Service):
    async with opened(browser, site, "/monitor/web") as watched:
        page = watched.page
        await page.evaluate("document.documentElement.classList.add('partial')")
        down, missing = page.locator(".bars .down"), page.locator(".bars .no-data")
        background = "(bar) => getComputedStyle(bar).backgroundColor"
        assert await down.first.evaluate(background) != await missing.first.evaluate(background)
        heights = "(bar) => bar.getBoundingClientRect().height"
        assert await down.first.evaluate(heights) > await missing.first.evaluate(heights)


# Choices


async def test_a_window_chosen_on_the_home_page_does_not_dim_bars_elsewhere(browser: Browser, site: Service):
    async with opened(browser, site, "/") as watched:
        page = watched.page
        await page.get_by_text("7 days", exact=True).click()
        await expect(page.locator("#web .bars a").first).to_have_css("opacity", "0.4")
        await watched.goto("/monitor/web")
        await expect(page.locator(".bars .up").first).to_have_css("opacity", "1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_theme_button_leads_back_to_the_theme_of_the_device(
    browser: Browser, site: Service, scheme: str
):
    opposite = {"light": "dark", "dark": "light"}[scheme]
    async with opened(browser, site, "/", scheme=scheme) as watched:  # type: ignore[arg-type]
        page = watched.page
        assert await chosen_themes(page, 4) == [opposite, scheme, None, opposite]
        await page.locator("#theme").click()
        await page.locator("#theme").click()
        await page.reload()
        assert await page.evaluate("document.documentElement.dataset.theme") is None
        await expect(page.locator("#theme")).to_have_attribute("title", "Theme: automatic")


async def chosen_themes(page: Page, clicks: int) -> list[str | None]:
    """The theme after each click on the button; None: that of the device."""
    found = []
    for _ in range(clicks):
        await page.locator("#theme").click()
        found.append(await page.evaluate("document.documentElement.dataset.theme || null"))
    return found
