"""Every page in Chromium: complete without JavaScript, no errors, no overflow, no third-party requests."""

import re
from collections.abc import AsyncIterator, Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
import pytest_asyncio
from aiohttp import ClientSession, DummyCookieJar
from playwright.async_api import Browser

from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.samples import Status
from tests.e2e.browser import Watched, beyond, dresses, opened, watching
from tests.e2e.site import LONG, PAGES, status_of
from tests.rigs.service import FakeClock, Service, a_config, a_monitor, running

pytestmark = pytest.mark.browser

NARROWEST = 320  # as wide as a large screen magnified four times
SHOWN = ("new", "web", "api", "mail", "store", "old")
MARKUP = '<img src=x onerror="document.title=1"> & <b>bold</b>'
TWICE = """() => {
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  return ids.filter((id, place) => ids.indexOf(id) !== place);
}"""
# The labels of charts that touch the one before them.
OVERLAPPING = """() => [...document.querySelectorAll(".chart")].flatMap((chart) => {
  const labels = [...chart.querySelectorAll("text[y='196']")].map((label) => label.getBoundingClientRect());
  const shown = labels.filter((box) => box.width);
  return shown.slice(1).map((box, place) => box.left - shown[place].right).filter((gap) => gap <= 0);
})"""


@pytest_asyncio.fixture(
    scope="module", loop_scope="session", params=[True, False], ids=["with JavaScript", "without JavaScript"]
)
async def tab(browser: Browser, site: Service, request: pytest.FixtureRequest) -> AsyncIterator[Watched]:
    """A visitor's tab, with and without JavaScript."""
    async with watching(browser, site, script=request.param) as watched:
        yield watched


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_quiet_and_well_formed_and_within_every_window(tab: Watched, name: str):
    path = PAGES[name]
    async with tab.at(path, status_of(path)) as page:
        assert await page.locator("h1").count() == 1
        assert await page.evaluate(TWICE) == []
        assert "Not to be seen" not in await page.content()
        colors = set()
        async for dress in dresses(page):
            assert await beyond(page) == [], dress
            assert await page.evaluate(OVERLAPPING) == [], dress
            colors.add(await page.evaluate("getComputedStyle(document.querySelector('main')).color"))
        assert len(colors) == (1 if name.startswith("embed") else 2), "light and dark"
        await page.set_viewport_size({"width": NARROWEST, "height": 640})
        await page.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")
        assert await beyond(page) == []


SAID = {
    "home": """Example|Incidents|Contact|Interface|Call us at example.org any time.|Welcome|This is how we do.
        Partial outage|We are moving|On Saturday, all of it:|Short of disks|Change your passwords
        Ongoing|Mail is late|We look into it|Latest update|Outage|Investigating|New disks|In progress
        Upcoming|New network|Everything will be gone for a while.|Jan 2, 2026, 12:00 PM \N{EN DASH} 4:00 PM
        Scheduled|Website|What everyone sees|Up for|210 ms|99.9845% uptime|API|Degraded for
        Storage|In maintenance for 30 min|Retired sensor|No data, last report 2 h ago|Not heard yet
        No uptime figure|Past incidents|Database overloaded|Too many queries.|All well again.|Given up
        Cancelled|Operational
        As of Dec 31, 2025, 12:00 PM.|Times and days are in UTC.|Made with care""",
    "category": "Services|What people use|Partial outage|Website|API|Mail of|Mail is late|New network",
    "monitor": """Website|What everyone sees|Up for|Last latency|210 ms|Last heard|Dec 31, 2025, 12:00 PM
        New network|90 days|30 days|7 days|24 h|Today|how is this computed?|Latency|on average, between
        Database overloaded|Old trouble|All 90 days and today""",
    "monitor without data": "Not heard yet|No data|never|No latency was reported in this period.",
    "day with an outage": """Sunday, December 21, 2025|Previous day|Next day|uptime|Operational|Degraded|Down
        12:00 AM|11:00 PM|Database overloaded|set by an incident|1 h 30 min|From \N{EN DASH} to""",
    "today": "Wednesday, December 31, 2025|Previous day|as reported|210 ms",
    "ongoing incident": """Mail is late|Outage|Investigating|since Dec 31, 2025, 11:00 AM|for 1 h
        We look into it|Affected|Mail of|Down for 1 h|Timeline|Started|We found it.|quoted""",
    "past incident": """Database overloaded|Degraded performance|Resolved
        Dec 21, 2025, 12:00 PM \N{EN DASH} 1:30 PM
        1 h 30 min|Too many queries.|Affects:|Website|API|All well again.""",
    "maintenance under way": "New disks|Maintenance|In progress|for 30 min|Add to your calendar|Planned end",
    "maintenance to come": "New network|Scheduled|4 h|Planned start|Planned end|Storage",
    "cancelled maintenance": "Given up|Cancelled|was planned for Jan 1, 2026, 12:00 PM",
    "archive": """December 2025|Sun|Mon|31|New disks|Database overloaded|Too many queries.|Latest update
        All monitors|November 2025""",
    "archive of a month": "November 2025|Old trouble|1 day|December 2025",
    "archive of a monitor": "December 2025|Website|Database overloaded",
    "embed, light": "Website|Up for|90 days ago|uptime|Today",
    "error": "This page does not exist.|Status of Example",
}


@pytest.mark.parametrize("tab", [False], indirect=True, ids=["without JavaScript"])
@pytest.mark.parametrize("name", SAID)
async def test_a_page_says_everything_without_javascript(tab: Watched, name: str):
    path = PAGES[name]
    async with tab.at(path, status_of(path)) as page:
        await page.set_viewport_size({"width": 1440, "height": 900})
        shown = " ".join((await page.locator("body").inner_text()).split())
    expected = [text.strip() for text in re.split(r"[|\n]", SAID[name])]
    assert [text for text in expected if text not in shown] == []


@pytest.mark.parametrize("tab", [False], indirect=True, ids=["without JavaScript"])
async def test_a_bar_of_each_day_leads_to_that_day_without_javascript(tab: Watched):
    async with tab.at("/") as page:
        await page.set_viewport_size({"width": 1440, "height": 900})
        for tag in SHOWN:
            bars = page.locator(f"#{tag} .bars a")
            assert await bars.count() == 91
            assert await bars.last.get_attribute("href") == f"/monitor/{tag}/2025-12-31"
        bar = page.locator('#web .bars [href$="/2025-12-21"]')
        assert await bar.get_attribute("class") == "down"
        assert (await bar.get_attribute("aria-label") or "").splitlines() == [
            "Dec 21, 2025",
            "Down · 19 min down · 1 h 30 min degraded",
            "98.6806% uptime",
        ]
        await bar.click()
        assert await page.locator("h1").inner_text() == "Sunday, December 21, 2025"
        assert page.url.endswith("/monitor/web/2025-12-21")


@pytest.mark.parametrize("tab", [False], indirect=True, ids=["without JavaScript"])
async def test_a_window_is_chosen_without_javascript(tab: Watched):
    async with tab.at("/") as page:
        figures = page.locator("#old .uptimes > span:visible")
        assert await figures.all_inner_texts() == ["35.0000% uptime, since Dec 12"]
        await page.get_by_text("Today", exact=True).first.click()
        assert await figures.all_inner_texts() == ["100% uptime, since Dec 31"]


async def test_every_link_of_every_page_leads_somewhere(site: Service):
    origin = str(site.client.make_url("/"))
    async with ClientSession(cookie_jar=DummyCookieJar(), headers={"Accept": "text/html"}) as session:
        linked: set[str] = set()
        for path in PAGES.values():
            async with session.get(urljoin(origin, path)) as reply:
                linked.update(urljoin(str(reply.url), target) for target in targets(await reply.text()))
        ours = sorted(one for one in linked if one.startswith(origin))
        assert len(ours) > 600
        broken, ids = [], dict[str, set[str]]()
        for address in ours:
            page, fragment = urldefrag(address)
            if page not in ids:
                async with session.get(page, allow_redirects=False) as reply:
                    is_html = reply.content_type == "text/html"
                    ids[page] = set(re.findall(r' id="([^"]+)"', await reply.text() if is_html else ""))
                    if reply.status >= 400 and urlsplit(page).path != PAGES["error"]:
                        broken.append(f"{reply.status}: {page}")
            if fragment and fragment not in ids[page]:
                broken.append(address)
    assert broken == []


def targets(html: str) -> Iterator[str]:
    """Whatever the page links, loads or shows."""
    return (unescape(target) for target in re.findall(r'(?:href|src)="([^"]+)"', html))


async def test_the_page_is_never_older_than_the_last_heartbeat(browser: Browser, tmp_path: Path):
    async with running(a_config(tmp_path), FakeClock()) as service, opened(browser, service, "/") as watched:
        for status, words in (("DOWN", "Down for"), ("UP", "Up for"), ("DEGRADED", "Degraded for")):
            await service.beat("earth", status)
            await watched.page.reload()
            assert words in await watched.page.locator("#earth .current-status").inner_text()
        await service.beat("earth", "DOWN", at=service.clock() - 40 * 86400)
        await watched.page.reload()
        bar = watched.page.locator('#earth .bars [href$="/2025-11-21"]')
        assert "1 min down" in (await bar.get_attribute("aria-label") or "")


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
async def test_a_hundred_monitors_with_long_names_are_shown(browser: Browser, tmp_path: Path, script: bool):
    up = MonitorSettings(default_status=Status.UP)
    names = [f"{number} {(LONG, MARKUP, LONG * 4, MARKUP * 9)[number % 4]}" for number in range(100)]
    monitors = [a_monitor(f"m{number}", up, name=name) for number, name in enumerate(names)]
    async with (
        running(a_config(tmp_path, *monitors), FakeClock()) as service,
        opened(browser, service, "/", script=script) as watched,
    ):
        page = watched.page
        shown: list[str] = []
        for number in range(1, 5):
            await watched.goto(f"/?page={number}")
            shown += await page.locator(".monitor h3").all_text_contents()
            assert await page.locator(".bars a").count() == 25 * 91
            async for dress in dresses(page):
                assert await beyond(page) == [], dress
        assert shown == names
