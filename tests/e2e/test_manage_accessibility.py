"""Each screen of the signed-in side: axe finds no fault, nothing is too small, no request leaves."""

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.async_api import Browser, Page

from kener_async import keys
from kener_async.identity.sessions import LOOPBACK_COOKIE
from kener_async.store import people
from tests.e2e.browser import SCHEMES, Watched, beyond, watching
from tests.e2e.test_accessibility import AXE, described
from tests.rigs import manage_site
from tests.rigs.manage_site import PAGES
from tests.rigs.people import a_session
from tests.rigs.service import Service
from tests.test_manage_access import in_table
from tests.test_manage_forms import pattern_of

pytestmark = pytest.mark.browser

WIDTHS = {320: 640, 390: 844, 768: 1024, 1440: 900}
LEAST = 44  # CSS pixels that a finger hits
# What is to be hit and is too small, but for links within a text. A box is hit by its label; with a mouse, on
# wide screens, links may be as small as their text.
SMALL = """(least) => {
  const isShown = (one) => one.checkVisibility({opacityProperty: true, visibilityProperty: true})
    && one.getBoundingClientRect().width > 1;
  const isText = (one) => one.tagName === "A"
    && (innerWidth >= 1000 ? !one.matches(".button, nav *") : getComputedStyle(one).display === "inline");
  const isBox = (one) => one.matches("input[type=checkbox], input[type=radio]");
  const target = (one) => isBox(one) ? one.closest("label") || one : one;
  const kinds = "a[href], button, input:not([type=hidden]), select, textarea, summary";
  return [...document.querySelectorAll(kinds)]
    .filter((one) => isShown(one) && !isText(one) && !one.closest(".skip, .calendar"))
    .map(target)
    .map((one) => [one.getBoundingClientRect(), one.outerHTML.replace(/\\s+/g, " ").slice(0, 120)])
    .filter(([box]) => box.height < least - 0.5 || box.width < least - 0.5)
    .map(([box, text]) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${text}`);
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    config = manage_site.config(tmp_path_factory.mktemp("managed"))
    async with manage_site.managed(config) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tab(browser: Browser, site: Service) -> AsyncIterator[Watched]:
    async with watching(browser, site) as watched:
        await signed_in(watched, site)
        yield watched


async def signed_in(watched: Watched, service: Service, name: str = manage_site.ADMIN) -> None:
    """Give a browser the session of a person."""
    person = await service.app[keys.DATABASE].read(people.named, name)
    cookie: Any = {"name": LOOPBACK_COOKIE, "value": await a_session(service, person), "url": watched.origin}
    await watched.page.context.add_cookies([cookie])


async def test_every_page_is_drawn():
    shown = {path.partition("?")[0] for path in PAGES.values()}
    missing = [
        route.path
        for route in in_table()
        if route.method == "GET"
        and route.scope is None
        and not route.path.endswith(LEADING_ON)
        and not any(map(pattern_of(route.path).fullmatch, shown))
    ]
    assert missing == []


# What leads on, looks as the page to sign in, needs https, or is a file.
LEADING_ON = (
    *("/oidc", "/oidc/callback", "/invitation/{token}", "/second-step", "/sign-in", "/codes/remove"),
    *("/passkeys", "/passkeys/{passkey}/delete", "/export.jsonl", "/config.toml"),
)


@pytest.mark.parametrize("name", PAGES)
async def test_axe_finds_no_fault_and_nothing_is_too_small_and_nothing_leaves(tab: Watched, name: str):
    found: dict[str, Any] = {}
    async with tab.at(
        PAGES[name]
    ) as page:  # which fails by requests elsewhere and by violations of the policy
        await page.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")
        await page.evaluate(AXE_SCRIPT)
        for (width, height), scheme in product(WIDTHS.items(), SCHEMES):
            await page.set_viewport_size({"width": width, "height": height})
            await page.emulate_media(color_scheme=scheme)
            dress = f"{width} px, {scheme}"
            if scheme == "light" or width in (320, 1440):
                found[dress] = [*map(described, cast(list[Any], await page.evaluate(AXE, "html")))]
            if scheme == "light":
                found[f"{dress}, beyond"] = await beyond(page)
                found[f"{dress}, small"] = await page.evaluate(SMALL, LEAST)
    told = [f"{dress}: {fault}" for dress, faults in found.items() for fault in faults]
    assert told == [], "\n".join(told)


async def test_the_sign_in_page(browser: Browser, site: Service):
    async with watching(browser, site, width=320) as watched, watched.at("/manage/sign-in") as page:
        await page.evaluate(AXE_SCRIPT)
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            assert [*map(described, cast(list[Any], await page.evaluate(AXE, "html")))] == []
        assert await beyond(page) == []
        assert await page.evaluate(SMALL, LEAST) == []


FOCUSED = "(document.activeElement.innerText || document.activeElement.value || '').trim()"


async def tab_to(page: Page, text: str) -> None:
    """Press Tab until the element of this text has the focus, which must be seen there."""
    for _ in range(100):
        await page.keyboard.press("Tab")
        if await page.evaluate(FOCUSED) == text:
            style = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style != "none", text
            return
    raise AssertionError(f"Tab does not lead to {text}")


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
async def test_an_incident_is_published_by_keyboard_alone(browser: Browser, tmp_path: Path, script: bool):
    config = manage_site.config(tmp_path)
    async with (
        manage_site.managed(config, is_drafted=False) as service,
        watching(browser, service, script=script) as watched,
    ):
        await signed_in(watched, service)
        page = watched.page
        await watched.goto("/manage")
        await tab_to(page, "Tell visitors")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/incidents/new**")
        await tab_to(page, "Publish")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/incidents/*done=published")
        assert "Undo" in await page.inner_text("main")
