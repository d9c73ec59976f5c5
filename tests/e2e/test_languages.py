"""Languages and time zones in Chromium: words and dates of the language, days of the site."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, Page

from kener_async.config.fields import LOCALES
from kener_async.domain.calendar import day_start
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.samples import Status
from tests.e2e.browser import beyond, opened, watching
from tests.e2e.site import PAGES, status_of
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

pytestmark = pytest.mark.browser

HOUR, DAY = 3600, 86400
SEEN = ("home", "monitor", "today", "ongoing incident", "archive", "embed, light", "error")
ENGLISH = re.compile(
    r"\b(Past incidents|Affects:|Minute by minute|Timeline|days ago|uptime|does not exist)\b"
)


def spaced(text: str | None) -> str:
    """With plain spaces only: languages and browsers have narrow ones and such that hold words together."""
    return " ".join((text or "").split())


@pytest.mark.parametrize("tag", LOCALES)
async def test_a_language_is_the_pages_own_and_fits_the_narrowest_screen(
    browser: Browser, site: Service, tag: str
):
    async with watching(browser, site, width=390, locale=tag) as watched:
        for name in SEEN:
            path = PAGES[name]
            async with watched.at(path, status_of(path)) as page:
                assert await page.locator("html").get_attribute("lang") == tag
                html = await page.content()
                assert "%(" not in html.replace("%(ago)s", ""), name  # which a script fills in
                english = ENGLISH.findall(await page.locator("body").inner_text())
                assert tag == "en" or english == [], name
                for width in (390, 320):
                    await page.set_viewport_size({"width": width, "height": 844})
                    assert await beyond(page) == [], (name, width)


SAID = {
    "de": {
        "home": """Vorfälle|Teilausfall|seit 31.12.2025, 11:00|02.01.2026, 12:00 \N{EN DASH} 16:00
            99,9845 % Verfügbarkeit|In Wartung: 30 Min.|Stand: 31.12.2025, 12:00""",
        "day with an outage": "Sonntag, 21. Dezember 2025|98,6806 % Verfügbarkeit|1 Std. 30 Min.|13:00",
        "archive": "Dezember 2025|November 2025|Montag|Dienstag",
    },
    "hi": {
        "home": """घटनाएँ|आंशिक रुकावट|31 दिस॰ 2025, 11:00 am से|99.9845% अपटाइम|30 मि॰""",
        "day with an outage": "रविवार, 21 दिसंबर 2025|98.6806% अपटाइम|1 घं॰ 30 मि॰|1:00 pm",
        "archive": "दिसंबर 2025|नवंबर 2025|रवि|सोम",
    },
}


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
@pytest.mark.parametrize("tag", SAID)
async def test_words_numbers_and_dates_are_those_of_the_language(
    browser: Browser, site: Service, tag: str, script: bool
):
    async with watching(browser, site, script=script, locale=tag, timezone_id="UTC") as watched:
        for name, said in SAID[tag].items():
            async with watched.at(PAGES[name]) as page:
                shown = spaced(await page.locator("body").inner_text())
            texts = [text.strip() for text in re.split(r"[|\n]", said)]
            assert [text for text in texts if text not in shown] == []


@pytest.mark.parametrize("tag", LOCALES)
async def test_a_browser_writes_times_as_the_server_does(browser: Browser, site: Service, tag: str):
    written = {}
    for script in (True, False):
        async with opened(browser, site, "/", script=script, locale=tag, timezone_id="UTC") as watched:
            times = await watched.page.locator("time").all_text_contents()
            # But for the comma, which comes and goes with the edition of the rules.
            written[script] = [spaced(time.replace(",", " ")) for time in times]
    assert written[True] == written[False] != []


async def test_a_visitor_reads_times_of_their_own_zone_and_days_of_the_site(browser: Browser, site: Service):
    async with opened(browser, site, "/", timezone_id="Asia/Kolkata") as watched:
        page = watched.page
        time = page.locator("#incident-1 .when time")
        assert spaced(await time.text_content()) == "Dec 31, 2025, 4:30 PM"
        assert spaced(await time.get_attribute("title")) == "Dec 31, 2025, 11:00 AM"
        assert await time.get_attribute("datetime") == "2025-12-31T11:00:00Z"
        assert spaced(await page.locator("#as-of").text_content()) == "As of Dec 31, 2025, 5:30 PM."
        zone = await page.locator("#zone").text_content()
        assert zone == "Times are in your time zone, days in UTC."
        assert await page.locator("#web .bars a").last.get_attribute("href") == "/monitor/web/2025-12-31"
        await page.goto(f"{watched.origin}/monitor/web/2025-12-31")
        assert spaced(await page.locator(".hours span").first.text_content()) == "12:00 AM"


@pytest.mark.parametrize(
    ("start", "hours", "site_reads", "visitor_reads"),
    [
        (17, 3, "Dec 30, 2025, 5:00 PM – 8:00 PM", "Dec 30, 2025, 10:30 PM – Dec 31, 2025, 1:30 AM"),  # noqa: RUF001
        (23, 2, "Dec 30, 2025, 11:00 PM – Dec 31, 2025, 1:00 AM", "Dec 31, 2025, 4:30 AM – 6:30 AM"),  # noqa: RUF001
        (6, 1, "Dec 30, 2025, 6:00 AM – 7:00 AM", "Dec 30, 2025, 11:30 AM – 12:30 PM"),  # noqa: RUF001
    ],
)
async def test_a_range_over_midnight_has_both_dates_and_a_day_has_one_zone(
    browser: Browser, tmp_path: Path, start: int, hours: int, site_reads: str, visitor_reads: str
):
    midnight = NOON - 36 * HOUR
    async with running(a_config(tmp_path, a_monitor("earth")), FakeClock()) as service:
        span = {"startDatetime": midnight + start * HOUR, "endDatetime": midnight + (start + hours) * HOUR}
        await service.post("/api/incident", {"title": "Dark", "tags": ["earth"], "impact": "DOWN", **span})
        async with opened(browser, service, "/incident/1", timezone_id="Asia/Kolkata") as watched:
            page = watched.page
            assert spaced(await page.locator("#incident .when > span").first.inner_text()) == visitor_reads
            await watched.goto("/monitor/earth/2025-12-30")
            assert spaced(await page.locator("#events p").inner_text()) == site_reads
            runs = spaced(await page.locator("#runs").inner_text())
            assert site_reads.split(", ")[2][:5].strip() in runs
            assert await page.locator(".foot").get_by_text("Times and days are in UTC.").count() == 1
            assert "your time zone" not in await page.locator(".foot").inner_text()
            shown = await page.locator("time").all_text_contents()
            assert not [text for text in shown if spaced(text) in visitor_reads]


# Days of the site's zone, as long as they are there


@asynccontextmanager
async def down_for_a_day(folder: Path, zone: str, day: date) -> AsyncIterator[Service]:
    """A service two days later, with a monitor that was down for just that day, and up before and after."""
    known = ZoneInfo(zone)
    start, end = day_start(day, known), day_start(day + timedelta(days=1), known)
    config = a_config(folder, a_monitor("earth", MonitorSettings(default_status=Status.UP)))
    config = replace(config, site=replace(config.site, timezone=known))
    async with running(config, FakeClock(start - 5 * DAY)) as service:
        service.pass_time(end + DAY + HOUR // 2 - service.clock())
        span = {"startDatetime": start, "endDatetime": end}
        await service.post("/api/incident", {"title": "Dark", "tags": ["earth"], "impact": "DOWN", **span})
        yield service


@pytest.mark.parametrize(
    ("zone", "day", "hours", "lasted", "labels"),
    [
        ("Asia/Kolkata", "2025-12-31", 24, "1 day", ["12:00 AM", "1:00 AM", "2:00 AM"]),
        ("America/St_Johns", "2025-12-31", 24, "1 day", ["12:00 AM", "1:00 AM", "2:00 AM"]),
        ("Australia/Lord_Howe", "2025-12-31", 24, "1 day", ["12:00 AM", "1:00 AM", "2:00 AM"]),
        (
            "Europe/Berlin",
            "2025-10-26",
            25,
            "1 day 1 h",
            ["12:00 AM CEST", "1:00 AM CEST", "2:00 AM CEST", "2:00 AM CET", "3:00 AM CET"],
        ),
        ("Europe/Berlin", "2026-03-29", 23, "23 h", ["12:00 AM CET", "1:00 AM CET", "3:00 AM CEST"]),
        (
            "America/St_Johns",
            "2025-11-02",
            25,
            "1 day 1 h",
            ["12:00 AM NDT", "1:00 AM NDT", "1:00 AM NST", "2:00 AM NST"],
        ),
        # Half an hour is skipped or comes twice: rows begin an hour apart, the last is half as long.
        (
            "Australia/Lord_Howe",
            "2025-10-05",
            24,
            "23 h 30 min",
            ["12:00 AM +1030", "1:00 AM +1030", "2:30 AM +11"],
        ),
        (
            "Australia/Lord_Howe",
            "2026-04-05",
            25,
            "1 day 30 min",
            ["12:00 AM +11", "1:00 AM +11", "1:30 AM +1030"],
        ),
    ],
)
async def test_a_day_is_as_long_as_it_is_in_the_sites_zone(
    browser: Browser, tmp_path: Path, zone: str, day: str, hours: int, lasted: str, labels: list[str]
):
    asked = date.fromisoformat(day)
    async with down_for_a_day(tmp_path, zone, asked) as service, watching(browser, service) as watched:
        async with watched.at("/") as page:
            bars = page.locator("#earth .bars a")
            assert await bars.count() == 91
            last = f"/monitor/earth/{asked + timedelta(days=2)}"
            assert await bars.last.get_attribute("href") == last
            told = [await label(page, asked + timedelta(days=step)) for step in (-1, 0, 1)]
            assert told == [
                ["Operational", "100% uptime"],
                [f"Down · {lasted} down", "0% uptime"],
                ["Operational", "100% uptime"],
            ]
        async with watched.at(f"/monitor/earth/{day}") as page:
            shown = [spaced(one) for one in await page.locator(".hours span").all_text_contents()]
            assert len(shown) == hours
            assert shown[: len(labels)] == labels
            ways = await page.locator(".leaf a").evaluate_all(
                "(all) => all.map((one) => one.href.slice(-10))"
            )
            assert ways == [str(asked - timedelta(days=1)), str(asked + timedelta(days=1))]
            rows = await page.locator("#runs tbody tr").all_inner_texts()
            assert len(rows) == 1
            assert lasted in rows[0]
            assert await beyond(page) == []


async def label(page: Page, day: date) -> list[str]:
    """What the bar of a day says below its date."""
    bar = page.locator(f'#earth .bars [href$="/{day}"]')
    return (await bar.get_attribute("aria-label") or "").splitlines()[1:]
