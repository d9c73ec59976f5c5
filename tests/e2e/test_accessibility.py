"""Accessibility: axe finds no violations, contrast is sufficient, everything works by keyboard."""

from collections.abc import AsyncIterator, Mapping
from itertools import product
from typing import Any, cast

import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.async_api import Browser, Page

from tests.e2e.browser import SCHEMES, Watched, dresses, opened, watching
from tests.e2e.site import PAGES, status_of
from tests.rigs.service import Service

pytestmark = pytest.mark.browser

# What axe judges unasked, best practices too, and the size of what is to be hit; of the dark scheme the
# contrast, for it differs in nothing but colours. The bars are thinner than a finger: the first tap tells
# only of a day, and the table of the monitor's page leads to the same days.
AXE = """async (part) => {
  const judge = async (where, rules) =>
    (await axe.run(where, {...(rules && {runOnly: rules}), resultTypes: ["violations"]})).violations;
  if (matchMedia("(prefers-color-scheme: dark)").matches) return judge(part, ["color-contrast"]);
  return [...await judge(part), ...await judge({include: [part], exclude: [".bars"]}, ["target-size"])];
}"""
# Everything that is folded; but of ninety days a few, one being like the other.
UNFOLD = """() => {
  for (const one of document.querySelectorAll("main details:not(.menu)")) one.open = true;
  for (const one of document.querySelectorAll("#days tbody tr:nth-child(n + 15)")) one.remove();
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tab(browser: Browser, site: Service) -> AsyncIterator[Watched]:
    async with watching(browser, site) as watched:
        yield watched


async def violations(page: Page, part: str = "html") -> Mapping[str, list[str]]:
    """What axe finds in a part of the page, by the dress it finds it in."""
    await page.evaluate(AXE_SCRIPT)
    found = {dress: cast(list[Any], await page.evaluate(AXE, part)) async for dress in dresses(page)}
    return {dress: [*map(described, rules)] for dress, rules in found.items() if rules}


def _lines(found: Mapping[str, list[str]]) -> str:
    return "\n".join(f"{dress}: {told}" for dress, lines in found.items() for told in lines)


def described(rule: Mapping[str, Any]) -> str:
    nodes = [
        f"\n    {node['html'][:200]}\n        "
        + "; ".join(check["message"] for check in (*node["any"], *node["all"], *node["none"]))
        for node in rule["nodes"]
    ]
    return f"{rule['id']} ({rule['impact']}): {rule['help']}{''.join(nodes)}"


@pytest.mark.parametrize("name", PAGES)
async def test_axe_finds_no_fault_in_a_page(tab: Watched, name: str):
    path = PAGES[name]
    async with tab.at(path, status_of(path)) as page:
        await page.evaluate(UNFOLD)
        found = await violations(page)
    assert found == {}, _lines(found)


@pytest.mark.parametrize(
    ("name", "menu"),
    [("home", "Subscribe"), ("home", "Language"), ("monitor", "Share"), ("archive", "All monitors")],
)
async def test_axe_finds_no_fault_in_a_page_with_an_open_menu(tab: Watched, name: str, menu: str):
    async with tab.at(PAGES[name]) as page:
        summary = page.locator("details.menu > summary").filter(has_text=menu)
        await summary.or_(page.locator(f'summary[aria-label="{menu}"]')).click()
        assert await page.locator("details[open] > .sheet").is_visible()
        found = await violations(page, "details.menu[open]")
    assert found == {}, _lines(found)


async def test_axe_finds_faults_where_there_are_some(tab: Watched):
    async with tab.at(PAGES["error"], 404) as page:
        await page.evaluate("document.querySelector('h1').outerHTML = '<h4 style=color:#999><img></h4>'")
        lines = _lines(await violations(page))
        tab.faults.clear()  # the page's policy forbids such a style
    for rule in ("image-alt", "page-has-heading-one", "empty-heading"):
        assert rule in lines


# Contrast

TOKENS = """() => {
  const style = getComputedStyle(document.documentElement);
  const names = ["ground", "raised", "sunken", "text", "muted", "accent", "up", "down", "maintenance"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}"""
FOR_TEXT, FOR_PICTURES = 4.5, 3.0  # AA


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_the_default_colours_have_enough_contrast(browser: Browser, site: Service, scheme: Any):
    async with opened(browser, site, "/", scheme=scheme) as watched:
        colors = await watched.page.evaluate(TOKENS)
    for front, back in product(("text", "muted", "accent"), ("ground", "raised", "sunken")):
        assert contrast(colors[front], colors[back]) >= FOR_TEXT, (front, back)
    for status in ("up", "down", "maintenance"):
        assert contrast(colors[status], colors["raised"]) >= FOR_PICTURES, status


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
    shares = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_theme_that_is_chosen_is_the_one_the_device_would_give(
    browser: Browser, site: Service, scheme: Any
):
    other = "light" if scheme == "dark" else "dark"
    async with opened(browser, site, "/", scheme=scheme) as watched:
        given = await watched.page.evaluate(TOKENS)
        await watched.page.emulate_media(color_scheme=other)  # type: ignore[arg-type]
        assert await watched.page.evaluate(TOKENS) != given
        await watched.page.evaluate(f"document.documentElement.dataset.theme = '{scheme}'")
        assert await watched.page.evaluate(TOKENS) == given


# Motion

MOVING = """() => [...document.querySelectorAll("*")].filter((one) =>
  [null, "::before", "::after"].some((part) => {
    const style = getComputedStyle(one, part);
    return style.animationName !== "none" || style.transitionDuration !== "0s";
  })).map((one) => one.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("name", ["home", "monitor", "today", "archive", "embed, light"])
async def test_nothing_moves_with_reduced_motion(tab: Watched, name: str):
    async with tab.at(PAGES[name]) as page:
        await page.emulate_media(reduced_motion="reduce")
        assert await page.evaluate(MOVING) == []
        await page.emulate_media(reduced_motion="no-preference")


# Keyboard

# What has the focus, in a word, and whether that can be seen.
FOCUS = """() => {
  const one = document.activeElement;
  if (one === document.body) return null;
  const style = getComputedStyle(one.closest(".switch label") || one);
  const box = (one.closest(".switch label") || one).getBoundingClientRect();
  return {
    name: (one.getAttribute("aria-label") || one.id || one.innerText).split("\\n")[0].trim(),
    place: (one.closest(".bars, .switch, .sheet, nav, .tools, main, footer") || document.body).className
      || one.parentElement.tagName,
    seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && box.width > 1
      && box.bottom > 0 && box.top < innerHeight,
  };
}"""


async def stops(page: Page) -> list[dict[str, Any]]:
    """Where Tab leads, one after the other, until it leaves the page."""
    found: list[dict[str, Any]] = []
    while True:
        await page.keyboard.press("Tab")
        stop = await page.evaluate(FOCUS)
        if stop is None:
            return found
        found.append(stop)
        assert len(found) < 200, "Tab leads in a circle"


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
async def test_tab_leads_from_the_top_through_everything(browser: Browser, site: Service, script: bool):
    async with opened(browser, site, "/", script=script) as watched:
        found = await stops(watched.page)
    theme = ["Theme: automatic"] if script else []
    head = [
        "Skip to content",
        "Example",
        "Incidents",
        "Contact",
        "Interface",
        "Subscribe",
        "Language",
        *theme,
    ]
    assert [stop["name"] for stop in found][: len(head)] == head
    assert [stop["name"] for stop in found if stop["place"] == "switch"] == ["w-90d"]
    assert [stop["name"] for stop in found if stop["place"] == "bars"] == ["Dec 31, 2025"] * 6
    assert found[-1]["name"] == "imprint"


@pytest.mark.parametrize(
    "name", ["home", "monitor", "today", "ongoing incident", "archive", "embed, light", "error"]
)
async def test_what_has_the_focus_can_be_seen(browser: Browser, site: Service, name: str):
    path = PAGES[name]
    async with opened(browser, site, path, status=status_of(path)) as watched:
        found = await stops(watched.page)
    assert len(found) >= 2
    assert [stop["name"] for stop in found if not stop["seen"]] == []


async def test_the_first_stop_skips_the_head(browser: Browser, site: Service):
    async with opened(browser, site, "/") as watched:
        for key in ("Tab", "Enter", "Tab"):
            await watched.page.keyboard.press(key)
        assert (await watched.page.evaluate(FOCUS))["name"] == "example.org"


async def test_arrow_keys_choose_a_window(browser: Browser, site: Service):
    async with opened(browser, site, "/") as watched:
        figures = watched.page.locator("#old .uptimes > span:visible")
        await watched.page.locator("#w-90d").focus()
        for shown in ("35.0000%", "42.8571%", "100%"):
            await watched.page.keyboard.press("ArrowRight")
            (figure,) = await figures.all_inner_texts()
            assert figure.startswith(f"{shown} uptime")
