"""Draw situations of the page that the demo does not have: `python -m tools.situations FOLDER`.

Silent monitors, outages without an incident, incidents of alert rules, an incident beside an announcement,
thousands of monitors, names that are written from right to left; and `manage`, every screen of the signed-in
side. Each is drawn narrow and wide, light and dark, to be looked at.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from kener_async import keys
from kener_async.config.model import AlertConfig, Announcement, Category, Config, MonitorConfig
from kener_async.domain.alerts import AlertRule, StatusIs
from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from kener_async.domain.samples import Status
from kener_async.identity.sessions import LOOPBACK_COOKIE
from kener_async.store import people
from tests.rigs import manage_site
from tests.rigs.people import a_session
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running
from tools.screenshots import ARGUMENTS, CHROMIUM, HEIGHTS, THEMES, small, window

EVERY_MINUTE = MonitorSettings(expectation=EveryInterval(interval=60, grace=120, down_after=600))
SERVICES = ("Website", "API", "Mail", "Storage", "Search", "Login", "Payments", "Reports", "Backups", "DNS")
ARABIC = ("الموقع الإلكتروني", "خدمة البريد", "واجهة API الخارجية", "التخزين (Berlin)")
HEBREW = ("אתר הבית", "שרת הדואר 2", "API ציבורי", "גיבויים")


@dataclass(frozen=True)
class Situation:
    """A site, what happens on it, and the pages to draw."""

    monitors: Sequence[MonitorConfig]
    happen: Callable[[Service], Awaitable[None]]
    paths: Sequence[str] = ("/",)
    announcements: Sequence[Announcement] = ()
    days: int = 20  # since the monitors are known
    rules: Sequence[AlertRule] = ()


def named(count: int, per_category: int, settings: MonitorSettings = EVERY_MINUTE) -> list[MonitorConfig]:
    return [
        a_monitor(
            f"m{n}",
            settings,
            name=f"{SERVICES[n % 10]} {n // 10 + 1}",
            category=f"Site {n // per_category + 1}" if per_category else "",
        )
        for n in range(count)
    ]


async def beats(service: Service, tags: Sequence[str], minutes: Sequence[int], status: str = "UP") -> None:
    samples = [
        {
            "tag": tag,
            "status": status,
            "latency": 0.12 + n % 7 / 50,
            "timestampInSeconds": NOON - ago * MINUTE,
        }
        for n, tag in enumerate(tags)
        for ago in minutes
    ]
    for first in range(0, len(samples), 1000):
        await service.post("/api/status/batch", {"samples": samples[first : first + 1000]})


RECENT = (*range(12), *range(60, 40 * 60, 60))


async def silence(service: Service) -> None:
    await beats(service, ["m0", "m1", "m2"], RECENT)
    await beats(service, ["m3"], [3 * 24 * 60 + n for n in range(5)], "DOWN")
    await beats(service, ["m4"], [*range(6, 60)])
    await beats(service, ["m5"], [*range(45, 90)])


async def outage(service: Service) -> None:
    down = [f"m{n}" for n in range(3, 50, 6)]
    await beats(service, [f"m{n}" for n in range(50) if f"m{n}" not in down], RECENT)
    await beats(service, down, RECENT[12:])
    await beats(service, down[:6], range(12), "DOWN")
    await beats(service, down[6:], range(7), "DEGRADED")


async def incident(service: Service) -> None:
    await beats(service, [f"m{n}" for n in range(8)], RECENT)
    for fields in (
        {"title": "Slow searches", "tags": ["m4"], "impact": "DEGRADED", "startDatetime": NOON - 3 * HOUR},
        {
            "title": "Payments fail",
            "body": "Cards are refused. We are **on it**.",
            "tags": ["m6", "m1"],
            "impact": "DOWN",
            "startDatetime": NOON - HOUR,
        },
    ):
        await service.post("/api/incident", fields)
    await service.post("/api/incident/2/comment", {"body": "The provider has found the cause."})


async def automatic(service: Service) -> None:
    """Incidents of alert rules: one that many monitors joined, one again, one in monitoring."""
    tags = [f"m{n}" for n in range(40)]
    await beats(service, tags, RECENT[12:])
    outages = {"m1": (range(50, 42, -1), range(12, 5, -1)), "m30": (range(30, 14, -1),)}
    outages |= {f"m{n}": (range(25, -1, -1),) for n in range(10, 28)}
    down = {(tag, ago) for tag, spans in outages.items() for span in spans for ago in span}
    service.clock.now -= 60 * MINUTE
    for ago in range(59, -1, -1):
        service.pass_time(MINUTE)
        samples = [{"tag": t, "status": "DOWN" if (t, ago) in down else "UP", "latency": 0.2} for t in tags]
        await service.post("/api/status/batch", {"samples": samples})
        await service.app[keys.ALERTS].look()
        if ago == 22:  # a person answers, so that only a person resolves it
            (number,) = await incidents_of(service, "m30")
            await service.post(f"/api/incident/{number}/comment", {"body": "We restart the server."})


async def incidents_of(service: Service, tag: str) -> list[int]:
    return [each["incidentNumber"] for each in await service.get("/api/incident") if tag in each["tags"]]


async def fleet(service: Service) -> None:
    tags = [f"m{n}" for n in range(5000)]
    await beats(service, [tag for n, tag in enumerate(tags) if n % 71], [0])
    await beats(service, tags[::213], [0], "DOWN")


async def right_to_left(service: Service) -> None:
    await beats(service, [f"rtl{n}" for n in range(7)], RECENT)
    await service.post(
        "/api/incident",
        {
            "title": "انقطاع في الشبكة",
            "body": "نعمل على الإصلاح.",
            "tags": ["rtl1", "rtl4"],
            "impact": "DOWN",
        },
    )


SITUATIONS = {
    "silent": Situation(named(7, 0), silence, ("/", "/monitor/m3", "/monitor/m6")),
    "outage": Situation(named(50, 10), outage, ("/", "/category/Site%201")),
    "incident": Situation(
        named(8, 4),
        incident,
        announcements=(Announcement("New office hours", "We answer from 8 to 18.", "info", None, None),),
    ),
    "automatic": Situation(
        named(40, 10),
        automatic,
        ("/", "/incident/1", "/incident/2", "/incident/3"),
        rules=(AlertRule("outage", StatusIs(Status.DOWN), incident="publish"),),
    ),
    "fleet": Situation(named(5000, 100), fleet, ("/", "/?q=mail+41"), days=0),
    "right-to-left": Situation(
        [
            a_monitor(f"rtl{n}", EVERY_MINUTE, name=name, category="خدمات" if n < 4 else "שירותים")
            for n, name in enumerate((*ARABIC, *HEBREW))
        ],
        right_to_left,
        ("/", "/monitor/rtl2"),
    ),
}


def configured(folder: Path, situation: Situation) -> Config:
    config = a_config(folder, *situation.monitors)
    categories = dict.fromkeys(monitor.category for monitor in situation.monitors if monitor.category)
    return replace(
        config,
        site=replace(config.site, title="Status of Example", name="Example"),
        categories=tuple(Category(name, "", hidden=False) for name in categories),
        announcements=tuple(situation.announcements),
        alerts=tuple(AlertConfig(("*",), rule) for rule in situation.rules),
        ingest=replace(config.ingest, token_rate=0),
    )


async def draw(browser: Browser, name: str, situation: Situation, folder: Path) -> None:
    with TemporaryDirectory() as data:
        async with running(
            configured(Path(data), situation), FakeClock(NOON - situation.days * DAY)
        ) as service:
            service.pass_time(situation.days * DAY)
            await situation.happen(service)
            await service.roll()
            url = str(service.client.make_url("")).rstrip("/")
            for width, theme, (number, path) in product(HEIGHTS, THEMES, enumerate(situation.paths)):
                async with window(browser, width, theme) as page:
                    await page.goto(url + path, wait_until="networkidle")
                    (folder / f"{name}-{number}-{width}-{theme}.png").write_bytes(await shot(page))


async def draw_screens(browser: Browser, folder: Path, names: Sequence[str]) -> None:
    """Draw the screens of the signed-in side, as its admin sees them."""
    with TemporaryDirectory() as data:
        async with manage_site.managed(manage_site.config(Path(data))) as service:
            url = str(service.client.make_url("")).rstrip("/")
            person = await service.app[keys.DATABASE].read(people.named, manage_site.ADMIN)
            cookie: Any = {"name": LOOPBACK_COOKIE, "value": await a_session(service, person), "url": url}
            for width, theme in product(HEIGHTS, THEMES):
                async with window(browser, width, theme) as page:
                    await page.goto(f"{url}/manage/sign-in")
                    (folder / f"manage-sign-in-{width}-{theme}.png").write_bytes(await shot(page))
                    await page.context.add_cookies([cookie])
                    for name in names:
                        await page.goto(url + manage_site.PAGES[name], wait_until="networkidle")
                        file = f"manage-{name.replace(' ', '-')}-{width}-{theme}.png"
                        (folder / file).write_bytes(await shot(page))


async def shot(page: Page) -> bytes:
    return small(await page.screenshot(full_page=True))


async def main() -> None:
    folder = Path(sys.argv[1])
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name in sys.argv[2:] or (*SITUATIONS, "manage"):
            if name in SITUATIONS:
                await draw(browser, name, SITUATIONS[name], folder)
            else:
                await draw_screens(browser, folder, [*manage_site.PAGES] if name == "manage" else [name])
        await browser.close()


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    asyncio.run(main())
