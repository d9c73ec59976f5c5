"""A site as of NOON with every status, incidents in every stage, and all elements of pages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from kener_async.config.model import Announcement, Category, Config, Hero, Link
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.samples import Status
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

MINUTE, HOUR, DAY = 60, 3600, 86400
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
USUALLY_UP = MonitorSettings(default_status=Status.UP)

# Every kind of page, and its address. Incidents are numbered as `shown` opens them.
PAGES = {
    "home": "/",
    "category": "/category/Services",
    "monitor": "/monitor/web",
    "monitor in maintenance": "/monitor/store",
    "monitor without data": "/monitor/new",
    "day with an outage": "/monitor/web/2025-12-21",
    "day without data": "/monitor/new/2025-12-31",
    "today": "/monitor/web/2025-12-31",
    "ongoing incident": "/incident/1",
    "past incident": "/incident/2",
    "maintenance under way": "/incident/3",
    "maintenance to come": "/incident/4",
    "cancelled maintenance": "/incident/5",
    "archive": "/incidents",
    "archive of a month": "/incidents/2025-11",
    "archive of a monitor": "/incidents?tag=web",
    "embed, light": "/embed/web?theme=light",
    "embed, dark": "/embed/mail?theme=dark&bgc=102030",
    "error": "/nowhere",
}
ONGOING, PAST, UNDER_WAY, TO_COME, CANCELLED = 1, 2, 3, 4, 5
WHOLE = (
    "# Report\n\n* one\n* `two`\n\n> quoted\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\n"
    + "long " * 60
    + "\n```"
)


def status_of(path: str) -> int:
    return 404 if path == PAGES["error"] else 200


def config(folder: Path) -> Config:
    config = a_config(
        folder,
        a_monitor("web", USUALLY_UP, name="Website", description="What *everyone* sees", category="Services"),
        a_monitor("api", USUALLY_UP, name="API", category="Services"),
        a_monitor(
            "mail", USUALLY_UP, name=f"Mail of {LONG}", description=f"{LONG} `smtp`", category="Services"
        ),
        a_monitor("store", USUALLY_UP, name="Storage", latency_unit="ms", category="Behind the scenes"),
        a_monitor("old", name="Retired sensor", category="Behind the scenes"),
        a_monitor("new", name="Not heard yet"),
        a_monitor("secret", USUALLY_UP, name="Not to be seen", hidden=True),
    )
    site = replace(
        config.site,
        title="Status of Example",
        name="Example",
        description="How the services of Example stand",
        header="Call us at [example.org](https://example.org/) **any** time.",
        footer="Made with care, [imprint](https://example.org/imprint).",
        hero=Hero("Welcome", "This is how we do.", "/favicon.ico"),
        logo="/favicon.ico",
        nav=(
            Link("Contact", "mailto:control@example.org", ""),
            Link("Interface", "/api/docs", "/favicon.ico"),
        ),
        meta=(("author", "Example"),),
    )
    return replace(
        config,
        site=site,
        categories=(
            Category("Services", "What people **use**", hidden=False),
            Category("Behind the scenes", "", hidden=False),
            Category("Empty", "Nothing is in it", hidden=False),
        ),
        announcements=(
            Announcement("We are moving", f"On *Saturday*, all of it:\n\n{WHOLE}", "info", None, None),
            Announcement("Short of disks", "", "warning", None, None),
            Announcement("Change your passwords", "Now.", "critical", None, NOON + DAY),
            Announcement("Long past", "", "info", None, NOON - DAY),
        ),
    )


@asynccontextmanager
async def shown(config: Config) -> AsyncIterator[Service]:
    """The site, running since 85 days, after a year's end with its troubles."""
    async with running(config, FakeClock(NOON - 85 * DAY)) as service:
        service.pass_time(85 * DAY)
        await _beats(service)
        await _incidents(service)
        await service.roll()
        yield service


async def _beats(service: Service) -> None:
    beats = []
    for tag, latency in (("web", 0.21), ("api", 1.4), ("mail", 0.08), ("store", 43.5)):
        beats += [
            service.beat(tag, at=NOON - step * 30 * MINUTE, latency=latency * (1 + step % 7 / 5))
            for step in range(48)
        ]
    for step in range(20):
        beats.append(service.beat("web", "DOWN", at=NOON - 10 * DAY - step * MINUTE))
        beats.append(service.beat("api", "DEGRADED", at=NOON - 3 * DAY - step * 7 * MINUTE))
        beats.append(service.beat("old", "DOWN" if step % 3 else "UP", at=NOON - 2 * HOUR - step * DAY))
    beats.append(service.beat("api", "DEGRADED", at=NOON))
    beats.append(service.beat("secret", "DOWN"))
    await asyncio.gather(*beats)


async def _incidents(service: Service) -> None:
    for fields in (
        {
            "title": f"Mail is late: {LONG}",
            "body": f"We look into **it**, see https://example.org/{LONG}.\n\n{WHOLE}",
            "tags": ["mail", "secret"],
            "startDatetime": NOON - HOUR,
            "impact": "DOWN",
        },
        {
            "title": "Database overloaded",
            "body": "Too many queries.",
            "tags": ["web", "api"],
            "startDatetime": NOON - 10 * DAY,
            "endDatetime": NOON - 10 * DAY + 90 * MINUTE,
            "impact": "DEGRADED",
        },
        {
            "title": "New disks",
            "tags": ["store"],
            "isMaintenance": True,
            "startDatetime": NOON - 30 * MINUTE,
            "endDatetime": NOON + 2 * HOUR,
        },
        {
            "title": "New network",
            "body": "Everything will be *gone* for a while.",
            "tags": ["web", "api", "mail", "store"],
            "isMaintenance": True,
            "startDatetime": NOON + 2 * DAY,
            "endDatetime": NOON + 2 * DAY + 4 * HOUR,
        },
        {
            "title": "Given up",
            "tags": ["web"],
            "isMaintenance": True,
            "startDatetime": NOON + DAY,
            "endDatetime": NOON + DAY + HOUR,
        },
        {
            "title": "Old trouble",
            "tags": ["web"],
            "startDatetime": NOON - 40 * DAY,
            "endDatetime": NOON - 39 * DAY,
        },
        {"title": "Not to be seen", "tags": ["secret"], "startDatetime": NOON - HOUR, "impact": "DOWN"},
    ):
        await service.post("/api/incident", fields)
    given_up = {"title": "Given up", "tags": ["web"], "isResolved": True}
    status, _ = await service.ask("PATCH", f"/api/incident/{CANCELLED}", json=given_up)
    assert status == 200
    for number, comment in ((ONGOING, "We found **it**."), (ONGOING, WHOLE), (PAST, "All well again.")):
        await service.post(f"/api/incident/{number}/comment", {"body": comment})
