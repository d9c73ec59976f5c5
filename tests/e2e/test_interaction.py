"""Interaction by mouse, keyboard and touch, with JavaScript and without."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image
from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.e2e.browser import opened
from tests.rigs.service import Service

pytestmark = pytest.mark.browser

SPACE = "\u202f"  # before AM and PM
GROUND = "getComputedStyle(document.body).backgroundColor"
# What the ground was in every frame that was painted, from the first on.
GROUNDS = f"""window.grounds = new Set();
  requestAnimationFrame(function look() {{
    if (document.body) grounds.add({GROUND});
    requestAnimationFrame(look);
  }});"""
FORBIDDEN = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("denied", "SecurityError"); },
});"""


async def corner(page: Page) -> tuple[int, ...]:
    """The colour painted in the top left corner."""
    shot = await page.screenshot(clip={"x": 0, "y": 0, "width": 1, "height": 1})
    pixel = Image.open(BytesIO(shot)).convert("RGB").getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel


async def late(route: Route) -> None:
    """Let the browser paint meanwhile, if it would."""
    await asyncio.sleep(0.3)
    await route.continue_()


async def bubble(bar: Locator) -> str:
    """The text that hangs over a bar, or nothing."""
    style = await bar.evaluate("(bar) => getComputedStyle(bar, '::after').content")
    return "" if style == "none" else str(await bar.get_attribute("aria-label"))


# Theme


async def test_the_chosen_theme_is_kept_and_is_there_in_the_first_frame(browser: Browser, site: Service):
    async with opened(browser, site, "/", scheme="light") as watched:
        page = watched.page
        light = await page.evaluate(GROUND)
        await page.locator("#theme").click()
        dark = await page.evaluate(GROUND)
        assert dark != light
        await page.add_init_script(GROUNDS)
        await page.route("**/page.js?*", late)
        for path in ("/", "/monitor/web"):
            await page.goto(watched.origin + path, wait_until="domcontentloaded")
            assert await page.evaluate(GROUND) == dark
            assert max(await corner(page)) < 64
            assert await page.evaluate("performance.getEntriesByType('paint').length > 0")
            assert await page.evaluate("[...grounds]") == [dark]
        await page.locator("#theme").click()
        assert await page.evaluate(GROUND) == light


async def test_the_first_choice_turns_what_the_system_says(browser: Browser, site: Service):
    async with opened(browser, site, "/", scheme="dark") as watched:
        dark = await watched.page.evaluate(GROUND)
        await watched.page.locator("#theme").click()
        assert await watched.page.evaluate(GROUND) != dark
        assert await watched.page.evaluate("document.documentElement.dataset.theme") == "light"


async def test_choices_hold_for_the_page_where_nothing_may_be_kept(browser: Browser, site: Service):
    async with opened(browser, site, "/", scheme="light") as watched:
        page = watched.page
        await page.add_init_script(FORBIDDEN)
        await page.reload()
        light = await page.evaluate(GROUND)
        await page.locator("#theme").click()
        assert await page.evaluate(GROUND) != light
        await page.get_by_text("7 days", exact=True).click()
        await expect(page.locator("#web .w-7d")).to_be_visible()


# Windows

WINDOWS = {"90d": "90 days", "30d": "30 days", "7d": "7 days", "24h": "24 h", "today": "Today"}


async def expect_window(page: Page, name: str, faded: int) -> None:
    """Only the figure of this window is shown, and so many bars lie before it."""
    for window in WINDOWS:
        await expect(page.locator(f"#web .w-{window}")).to_be_visible(visible=window == name)
    await expect(page.locator(f"#w-{name}")).to_be_checked()
    bars = page.locator("#web .bars a")
    if faded:
        await expect(bars.nth(faded - 1)).to_have_css("opacity", "0.4")
    await expect(bars.nth(faded)).not_to_have_css("opacity", "0.4")


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
async def test_the_switch_shows_another_window(browser: Browser, site: Service, script: bool):
    async with opened(browser, site, "/", script=script) as watched:
        await expect_window(watched.page, "90d", 0)
        for name, faded in (("30d", 60), ("7d", 83), ("24h", 89), ("today", 90), ("90d", 0)):
            await watched.page.get_by_role("group").get_by_text(WINDOWS[name], exact=True).click()
            await expect_window(watched.page, name, faded)


async def test_the_switch_goes_by_keyboard(browser: Browser, site: Service):
    async with opened(browser, site, "/") as watched:
        await watched.page.locator("#w-90d").focus()
        await watched.page.keyboard.press("ArrowRight")
        await expect_window(watched.page, "30d", 60)


async def test_the_chosen_window_is_kept(browser: Browser, site: Service):
    async with opened(browser, site, "/") as watched:
        await watched.page.get_by_text("7 days", exact=True).click()
        await watched.page.reload()
        await expect_window(watched.page, "7d", 83)
        await watched.goto("/category/Services")
        await expect_window(watched.page, "7d", 83)


# Bars


async def test_a_bar_tells_of_its_day_under_the_mouse(browser: Browser, site: Service):
    async with opened(browser, site, "/") as watched:
        bar = watched.page.locator('#web .bars [href$="/2025-12-21"]')
        assert await bubble(bar) == ""
        await bar.hover()
        text = await bubble(bar)
        day, minutes, uptime = text.split("\n")
        assert day == "Dec 21, 2025"
        assert "down" in minutes
        assert uptime.endswith("% uptime")
        before = await watched.page.screenshot()
        await watched.page.mouse.move(0, 0)
        assert await bubble(bar) == ""
        assert await watched.page.screenshot() != before


async def test_arrow_keys_lead_along_the_bars_which_are_one_stop(browser: Browser, site: Service):
    async with opened(browser, site, "/") as watched:
        page, keyboard = watched.page, watched.page.keyboard
        bars = page.locator("#web .bars a")
        await page.locator("#web h3 a").focus()
        await keyboard.press("Tab")
        await expect(bars.last).to_be_focused()
        assert "Dec 31, 2025" in await bubble(bars.last)
        for key, place in (
            ("ArrowRight", 90),
            ("ArrowLeft", 89),
            ("PageUp", 82),
            ("Home", 0),
            ("ArrowLeft", 0),
            ("ArrowRight", 1),
            ("End", 90),
            ("Home", 0),
            ("PageDown", 7),
        ):
            await keyboard.press(key)
            await expect(bars.nth(place)).to_be_focused()
        await keyboard.press("Tab")
        assert await page.locator("#web .bars a:focus").count() == 0
        await keyboard.press("Shift+Tab")
        await expect(bars.nth(7)).to_be_focused()
        href = await bars.nth(7).get_attribute("href")
        await keyboard.press("Enter")
        await page.wait_for_url(f"**{href}")


async def test_the_browsers_own_keys_stay_its_own(browser: Browser, site: Service):
    async with opened(browser, site, "/") as watched:
        page = watched.page
        await page.locator("#web .bars a").last.focus()
        await page.evaluate(
            "addEventListener('keydown', (event) => { window.taken = event.defaultPrevented; })"
        )
        for key in ("Alt+ArrowLeft", "Meta+ArrowLeft", "Control+Home"):
            await page.keyboard.press(key)
            assert await page.evaluate("window.taken") is False, key
        await page.keyboard.press("ArrowLeft")
        assert await page.evaluate("window.taken") is True


PHONE: dict[str, Any] = {"width": 390, "has_touch": True, "is_mobile": True}


async def test_the_first_tap_tells_of_a_day_and_the_second_opens_it(browser: Browser, site: Service):
    async with opened(browser, site, "/", **PHONE) as watched:
        page = watched.page
        one, other = page.locator("#web .bars a").nth(70), page.locator("#web .bars a").nth(75)
        await one.tap()
        assert await bubble(one)
        await other.tap()
        assert (await bubble(one), bool(await bubble(other))) == ("", True)
        await page.locator("#web h3").tap(position={"x": 100, "y": 5})
        assert await bubble(other) == ""
        await one.tap()
        assert await bubble(one)
        assert page.url == f"{watched.origin}/"
        await one.tap()
        await page.wait_for_url("**/monitor/web/2025-12-11")


async def test_a_finger_slides_along_the_bars(browser: Browser, site: Service):
    async with opened(browser, site, "/", **PHONE) as watched:
        page = watched.page
        await page.locator("#web .bars a").nth(80).tap()
        touch = await page.context.new_cdp_session(page)
        for place in (80, 79, 75, 70):
            box = await page.locator("#web .bars a").nth(place).bounding_box()
            assert box is not None
            point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
            kind = "touchStart" if place == 80 else "touchMove"
            await touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        await expect(page.locator("#web .bars a").nth(70)).to_contain_class("on")
        assert await bubble(page.locator("#web .bars a").nth(70))
        assert await bubble(page.locator("#web .bars a").nth(80)) == ""
        await touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert page.url == f"{watched.origin}/"


async def test_a_key_opens_a_day_also_after_a_touch(browser: Browser, site: Service):
    async with opened(browser, site, "/", has_touch=True) as watched:
        page = watched.page
        await page.locator("#web h3").tap(position={"x": 300, "y": 5})
        await page.locator("#web .bars a").last.focus()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/monitor/web/2025-12-31")


# Times, languages


@pytest.mark.parametrize(
    ("zone", "began"), [("Asia/Kolkata", "4:30"), ("America/St_Johns", "7:30"), ("UTC", "11:00")]
)
async def test_times_are_those_of_the_visitor(browser: Browser, site: Service, zone: str, began: str):
    async with opened(browser, site, "/incident/1", timezone_id=zone) as watched:
        half = "PM" if zone == "Asia/Kolkata" else "AM"
        time = watched.page.locator("#incident .when time").first
        await expect(time).to_have_text(f"Dec 31, 2025, {began} {half}")
        assert await time.get_attribute("title") == f"Dec 31, 2025, 11:00{SPACE}AM"
        assert "your time zone" in await watched.page.locator("#zone").inner_text()


async def test_without_javascript_times_are_those_of_the_site(browser: Browser, site: Service):
    async with opened(browser, site, "/incident/1", script=False, timezone_id="Asia/Kolkata") as watched:
        time = watched.page.locator("#incident .when time").first
        assert await time.inner_text() == f"Dec 31, 2025, 11:00{SPACE}AM"
        assert await watched.page.locator("#zone").inner_text() == "Times and days are in UTC."


async def test_the_chosen_language_stays(browser: Browser, site: Service):
    async with opened(browser, site, "/monitor/web", timezone_id="Asia/Kolkata") as watched:
        page = watched.page
        await page.locator("summary[title=Language]").click()
        await page.get_by_text("Deutsch").click()
        await page.wait_for_url("**/monitor/web")
        await expect(page.locator("html")).to_have_attribute("lang", "de")
        assert await page.locator("#as-of time").inner_text() == "31.12.2025, 17:30"
        await watched.goto("/incidents")
        await expect(page.locator("html")).to_have_attribute("lang", "de")
        await page.locator("summary[title=Sprache]").click()
        await page.get_by_text("English").click()
        await expect(page.locator("html")).to_have_attribute("lang", "en")


# Menus, and what they offer to copy


async def test_menus_close_by_escape_and_by_a_click_elsewhere(browser: Browser, site: Service):
    async with opened(browser, site, "/") as watched:
        page = watched.page
        language, feeds = page.locator("summary[title=Language]"), page.locator("summary[title=Subscribe]")
        opened_menus = page.locator("details.menu[open]")
        await language.click()
        await expect(opened_menus).to_have_count(1)
        await feeds.click()
        await expect(opened_menus).to_have_count(1)
        await page.keyboard.press("Escape")
        await expect(opened_menus).to_have_count(0)
        await expect(feeds).to_be_focused()
        await language.click()
        await page.locator("h1").click()
        await expect(opened_menus).to_have_count(0)


SHARED = {
    "share-link": "{0}/monitor/web",
    "share-frame-light": '<iframe src="{0}/embed/web?theme=light" title="Website" width="100%" height="150"'
    ' loading="lazy" frameborder="0"></iframe>',
    "share-script-dark": '<script async src="{0}/embed/web.js?theme=dark"></script>',
    "share-uptime": "{0}/badge/web/uptime",
    "share-ping": "{0}/badge/web/dot?animate=ping",
}


async def test_what_is_copied_is_whole(browser: Browser, site: Service):
    async with opened(
        browser, site, "/monitor/web", permissions=["clipboard-read", "clipboard-write"]
    ) as watched:
        page = watched.page
        await page.locator(".share summary").click()
        for name, text in SHARED.items():
            await page.locator(f"[data-copy={name}]").click()
            await expect(page.locator(f"[data-copy={name}]")).to_have_text("Copied")
            assert await page.evaluate("navigator.clipboard.readText()") == text.format(watched.origin)


async def test_copying_goes_also_where_there_is_no_clipboard(browser: Browser, site: Service):
    async with opened(browser, site, "/monitor/web", permissions=["clipboard-read"]) as watched:
        page = watched.page
        await page.evaluate(
            "Object.defineProperty(navigator, 'clipboard', { value: null, configurable: true })"
        )
        await page.locator(".share summary").click()
        await page.locator("[data-copy=share-link]").click()
        await expect(page.locator("[data-copy=share-link]")).to_have_text("Copied")
        await page.evaluate("delete navigator.clipboard")
        assert await page.evaluate("navigator.clipboard.readText()") == f"{watched.origin}/monitor/web"


async def test_the_button_that_was_pressed_twice_is_itself_again(browser: Browser, site: Service):
    async with opened(browser, site, "/monitor/web", permissions=["clipboard-write"]) as watched:
        page, button = watched.page, watched.page.locator("[data-copy=share-link]")
        await page.clock.install()
        await page.reload()
        await page.locator(".share summary").click()
        await button.dblclick()
        await expect(button).to_have_text("Copied")
        await page.clock.run_for(2000)
        await expect(button).to_have_text("Copy")


# Frames


@asynccontextmanager
async def elsewhere(browser: Browser, body: str) -> AsyncIterator[Page]:
    """A page of another origin."""

    async def blog(_: web.Request) -> web.Response:
        return web.Response(text=f"<!DOCTYPE html><body>{body}", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", blog)
    async with TestServer(app) as server:
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(str(server.make_url("/")))
        yield page
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def origin(site: Service) -> str:
    return str(site.client.make_url("")).rstrip("/")


async def test_a_monitor_can_be_framed_by_another_site(browser: Browser, origin: str):
    async with elsewhere(browser, f'<iframe src="{origin}/embed/web"></iframe>') as page:
        await expect(page.frame_locator("iframe").locator("h1")).to_have_text("Website")


@pytest.mark.parametrize("path", ["/", "/monitor/web", "/incident/1", "/api/docs", "/nowhere"])
async def test_nothing_else_can_be_framed(browser: Browser, origin: str, path: str):
    said: list[str] = []
    async with elsewhere(browser, "") as page:
        page.on("console", lambda message: said.append(message.text))
        await page.evaluate(
            f"""new Promise((done) => {{
              const frame = document.createElement("iframe");
              frame.onload = done;
              frame.src = "{origin}{path}";
              document.body.append(frame);
            }})"""
        )
        assert page.frames[1].url == "chrome-error://chromewebdata/", said
        assert any("frame-ancestors" in one for one in said)


async def test_the_script_of_one_line_makes_a_frame_as_high_as_its_content(browser: Browser, origin: str):
    async with elsewhere(browser, f'<script async src="{origin}/embed/web.js"></script>') as page:
        await page.wait_for_function("document.querySelector('iframe')?.style.height")
        frame = page.frames[1]
        await expect(page.frame_locator("iframe").locator("h1")).to_have_text("Website")
        content = await frame.evaluate("document.documentElement.offsetHeight")
        await expect(page.locator("iframe")).to_have_css("height", f"{content}px")
        assert 60 < content < 200
        assert await frame.evaluate("document.documentElement.scrollHeight <= innerHeight")
