"""The page of a day: every minute, in the site's time zone, also when daylight saving begins or ends."""

import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from html import unescape
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kener_async import keys
from kener_async.app import apply
from kener_async.config.model import Config
from kener_async.domain.calendar import day_start
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from kener_async.domain.samples import Status
from kener_async.domain.timeline import Reason, Run
from kener_async.locales.locale import locale
from kener_async.web.parts import hours
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
MARKUP = '<img src=x onerror="alert(1)"> & <b>"bold"</b>'
DASH = "\N{EN DASH}"
MINUTE, HOUR, DAY = 60, 3600, 86400
CLASSES = {
    "up": "UP",
    "degraded": "DEGRADED",
    "down": "DOWN",
    "maintenance": "MAINTENANCE",
    "no-data": "NO_DATA",
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return a_config(
        tmp_path,
        a_monitor(
            "earth",
            MonitorSettings(expectation=EveryInterval(interval=300, grace=60, down_after=900)),
            name=MARKUP,
        ),
        a_monitor("mars"),
        a_monitor("secret", hidden=True),
    )


async def fetch(service: Service, path: str) -> tuple[int, str]:
    async with service.client.get(path, headers={"Accept": "text/html"}) as reply:
        return reply.status, await reply.text()


async def page(service: Service, tag: str, day: date | str) -> str:
    status, html = await fetch(service, f"/monitor/{tag}/{day}")
    assert status == 200
    return html


async def put_in(service: Service, zone: ZoneInfo) -> None:
    config = service.app[keys.RUNNING].config
    await apply(service.app, replace(config, site=replace(config.site, timezone=zone)))


def drawn(html: str) -> dict[int, str]:
    """The status that is drawn for each minute."""
    minutes = {}
    for start, cells in re.findall(r'<svg [^>]*data-start="(\d+)">(.*?)</svg>', html, re.DOTALL):
        for status, first, width in re.findall(r'class="([\w-]+)" d="M(\d+) \d+h(\d+)', cells):
            for minute in range(int(first), int(first) + int(width)):
                assert minute < 60
                minutes[int(start) + minute * MINUTE] = CLASSES[status]
    return minutes


def labels(html: str) -> list[str]:
    return re.findall(r"<div><span>(.*?)</span><svg", html)


def plain(text: str) -> str:
    """With the spaces and dashes of a keyboard."""
    return " ".join(text.split()).replace("\N{EN DASH}", "-")


def spoken(html: str) -> list[tuple[str, str, str]]:
    """The table: from - to, status, duration."""
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td></tr>', html)
    first, second, third = (
        [plain(unescape(re.sub(r"<[^>]+>", " ", cell))) for cell in column]
        for column in zip(*rows, strict=True)
    )
    return list(zip(first, second, third, strict=True))


async def told(service: Service, tag: str, start: int, end: int) -> dict[int, str]:
    """The status of each minute as the API has it."""
    query = {"resolution": "minute", "from": start, "to": end}
    history = await service.get(f"/api/monitors/{tag}/history", **query)
    return {item["from"]: item["status"] for item in history["items"]}


async def some_history(service: Service, tag: str, start: int, end: int) -> None:
    """Reports, silence, an incident and a maintenance between two instants, as far as they have begun."""
    for number, at in enumerate(range(start, min(end, service.clock()), 7 * MINUTE)):
        if number % 50 < 44:
            await service.beat(tag, "DEGRADED" if number % 11 == 0 else "UP", at=at, latency=number % 9)
    planned = {"title": "Work", "tags": [tag], "isMaintenance": True}
    span = {"startDatetime": start + 3 * HOUR + 30, "endDatetime": start + 3 * HOUR + 1730}
    await service.post("/api/incident", planned | span)
    outage = {"title": "Outage", "tags": [tag], "impact": "DOWN"}
    span = {"startDatetime": start + 5 * HOUR, "endDatetime": start + 6 * HOUR}
    await service.post("/api/incident", outage | span)


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [
        (BERLIN, date(2025, 12, 30), 24),
        (BERLIN, date(2025, 10, 26), 25),
        (BERLIN, date(2025, 3, 30), 23),
        (KOLKATA, date(2025, 12, 30), 24),
        (KOLKATA, date(2025, 12, 31), 24),
    ],
    ids=["an ordinary day", "a day of 25 hours", "a day of 23 hours", "half past the hour", "today"],
)
async def test_each_minute_is_drawn_as_the_api_tells_it(tmp_path: Path, config, zone, day, length):
    clock = FakeClock(day_start(day, zone) - DAY)
    async with running(config, clock) as service:
        await put_in(service, zone)
        start, end = day_start(day, zone), day_start(day + timedelta(days=1), zone)
        assert end - start == length * HOUR
        is_today = day == date(2025, 12, 31)
        service.pass_time((end - 5 * HOUR if is_today else end + HOUR) - clock())
        await some_history(service, "earth", start, end)
        html = await page(service, "earth", day)
        begun = min(end, clock() // MINUTE * MINUTE + MINUTE)
        assert drawn(html) == await told(service, "earth", start, begun)
        assert len(drawn(html)) == (begun - start) // MINUTE
        assert len(labels(html)) == length
        assert set(drawn(html).values()) >= {"UP", "DEGRADED", "DOWN", "MAINTENANCE"}


async def test_its_figures_are_those_of_the_api(service: Service):
    await put_in(service, BERLIN)
    start = day_start(date(2025, 12, 29), BERLIN)
    await some_history(service, "mars", start, start + DAY)
    query = {"resolution": "day", "timezone": "Europe/Berlin", "from": start, "to": start + DAY}
    (item,) = (await service.get("/api/monitors/mars/history", **query))["items"]
    html = await page(service, "mars", "2025-12-29")
    english, minutes = locale("en"), item["minutes"]
    assert f"<span>{item['uptime']}% uptime</span>" in html
    shown = [unescape(re.sub(r"<[^>]+>", "", text)) for text in re.findall(r"<dd>(.*?)</dd>", html)]
    assert shown == [
        english.duration(minutes[name] * MINUTE) if minutes[name] else DASH
        for name in ("up", "degraded", "down", "maintenance", "noData")
    ]


async def test_the_table_says_in_words_what_is_drawn(config: Config):
    start = NOON - 12 * HOUR
    async with running(config, FakeClock(start)) as service:
        service.pass_time(12 * HOUR)
        for at in range(start, start + 10 * HOUR, 5 * MINUTE):
            await service.beat("earth", at=at)
        planned = {"title": "Work", "tags": ["earth"], "isMaintenance": True}
        span = {"startDatetime": start + 2 * HOUR, "endDatetime": start + 3 * HOUR}
        await service.post("/api/incident", planned | span)
        html = await page(service, "earth", "2025-12-31")
    assert spoken(html) == [
        ("12:00 AM - 2:00 AM", "Operational as reported", "2 h"),
        ("2:00 AM - 3:00 AM", "Maintenance planned maintenance", "1 h"),
        ("3:00 AM - 10:02 AM", "Operational as reported", "7 h 2 min"),
        ("10:02 AM - 10:11 AM", "Degraded no report in time", "9 min"),
        ("10:11 AM - 12:01 PM", "Down no report in time", "1 h 50 min"),
    ]
    assert '<a href="/incident/1">planned maintenance</a>' in html
    assert '<a href="/incident/1"><bdi>Work</bdi></a>' in html


async def test_an_hour_that_comes_twice_is_named_twice(tmp_path: Path, config: Config):
    clock = FakeClock(day_start(date(2025, 10, 28), BERLIN))
    async with running(config, clock) as service:
        await put_in(service, BERLIN)
        named = [plain(label) for label in labels(await page(service, "earth", "2025-10-26"))]
        assert named[1:5] == ["1:00 AM CEST", "2:00 AM CEST", "2:00 AM CET", "3:00 AM CET"]
        assert named[-1] == "11:00 PM CET"


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        ("2025-12-31", "2025-12-30", None),
        ("2025-12-30", "2025-12-29", "2025-12-31"),
        ("2024-11-26", None, "2024-11-27"),
    ],
    ids=["today", "yesterday", "the oldest that is kept"],
)
async def test_days_lead_to_their_neighbours_and_not_beyond(service: Service, day, before, after):
    html = await page(service, "mars", day)
    links = dict(re.findall(r'rel="(prev|next)" href="/monitor/mars/([\d-]+)"', html))
    assert (links.get("prev"), links.get("next")) == (before, after)


@pytest.mark.parametrize(
    "path",
    [
        "/monitor/secret/2025-12-30",
        "/monitor/nobody/2025-12-30",
        "/monitor/mars/2026-01-01",
        "/monitor/mars/2024-11-25",
        "/monitor/mars/0001-01-01",
        "/monitor/mars/0000-01-01",
        "/monitor/mars/9999-12-31",
        "/monitor/mars/2025-02-29",
        "/monitor/mars/2025-13-01",
        "/monitor/mars/20251230",
        "/monitor/mars/2025-W52-1",
        "/monitor/mars/٢٠٢٥-12-30",
    ],
)
async def test_hidden_monitors_and_days_that_are_not_kept_do_not_exist(service: Service, path: str):
    await service.beat("secret")
    assert (await fetch(service, path))[0] == 404


async def test_a_day_begins_when_it_does_in_the_zone(service: Service):
    await put_in(service, KOLKATA)
    midnight = int(datetime(2025, 12, 31, tzinfo=KOLKATA).timestamp())
    await service.beat("mars", "DOWN", at=midnight - MINUTE)
    await service.beat("mars", "UP", at=midnight)
    assert drawn(await page(service, "mars", "2025-12-30"))[midnight - MINUTE] == "DOWN"
    assert drawn(await page(service, "mars", "2025-12-31"))[midnight] == "UP"
    service.clock.now = midnight + 24 * HOUR
    assert (await fetch(service, "/monitor/mars/2026-01-01"))[0] == 200


async def test_the_future_is_not_drawn(service: Service):
    planned = {"title": "Work", "tags": ["mars"], "isMaintenance": True}
    span = {"startDatetime": service.clock() + HOUR, "endDatetime": service.clock() + 2 * HOUR}
    await service.post("/api/incident", planned | span)
    html = await page(service, "mars", "2025-12-31")
    assert max(drawn(html)) == service.clock()
    assert "MAINTENANCE" not in drawn(html).values()
    assert "Work" in html  # it is announced all the same


async def test_only_incidents_that_touch_the_day_are_listed(service: Service):
    start = service.clock() - 36 * HOUR  # the begin of the 30th
    for title, tag, first, last in (
        ("Before", "mars", start - HOUR, start),
        ("Into", "mars", start - HOUR, start + MINUTE),
        ("Out of", "mars", start + DAY - 1, start + DAY + HOUR),
        ("After", "mars", start + DAY, start + DAY + HOUR),
        ("Elsewhere", "earth", start, start + HOUR),
    ):
        span = {"startDatetime": first, "endDatetime": last}
        await service.post("/api/incident", {"title": title, "tags": [tag]} | span)
    html = await page(service, "mars", "2025-12-30")
    assert re.findall(r'href="/incident/\d+"><bdi>([\w ]+)</bdi></a>', html) == ["Into", "Out of"]


async def test_the_page_changes_with_what_is_reported_late(service: Service):
    at = service.clock() - 30 * HOUR
    assert drawn(await page(service, "mars", "2025-12-30"))[at] == "NO_DATA"
    await service.beat("mars", "DOWN", at=at)
    assert drawn(await page(service, "mars", "2025-12-30"))[at] == "DOWN"


async def test_names_are_shown_as_text_and_ids_are_unique(service: Service):
    html = await page(service, "earth", "2025-12-31")
    assert "<img src=x" not in html
    assert "<b>" not in html
    ids = re.findall(r'\sid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert not re.search(r"<style|\sstyle=|<script(?![^>]* src=)", html)


# How it is drawn


def test_each_status_has_a_shape_of_its_own():
    assert len({hours.shape(status, 0, 5) for status in Status}) == len(Status)


@pytest.mark.parametrize(
    ("said", "joined"),
    [
        ([(Status.UP, Reason.SAMPLE), (Status.UP, Reason.HELD)], [(0, 2, Reason.SAMPLE)]),
        ([(Status.UP, Reason.HELD), (Status.UP, Reason.SAMPLE)], [(0, 2, Reason.SAMPLE)]),
        ([(Status.UP, Reason.HELD), (Status.UP, Reason.HELD)], [(0, 2, Reason.HELD)]),
        ([(Status.UP, Reason.SAMPLE), (Status.DOWN, Reason.SAMPLE)], None),
        ([(Status.UP, Reason.SAMPLE), (Status.UP, Reason.DEFAULT)], None),
    ],
    ids=["held after a report", "before one", "held throughout", "another status", "another reason"],
)
def test_runs_that_say_the_same_are_one(said, joined):
    timeline = [Run(at, at + 1, status, reason) for at, (status, reason) in enumerate(said)]
    found = [(run.start, run.end, run.reason) for run in hours.joined(timeline)]
    assert found == (joined or [(run.start, run.end, run.reason) for run in timeline])


def test_a_run_over_several_hours_is_drawn_in_each():
    timeline = [Run(30 * MINUTE, 150 * MINUTE, Status.DOWN, Reason.SAMPLE)]
    rows = list(hours.hours(timeline, 0, 24 * HOUR, ZoneInfo("UTC"), locale("de")))
    assert [row.label for row in rows[:3]] == ["00:00", "01:00", "02:00"]
    paths = [re.findall(r'd="([^"]*)"><title>(.*?)\n', row.drawing) for row in rows[:4]]
    assert paths == [
        [("M30 0h30v20h-30z", "00:30\N{EN DASH}01:00")],
        [("M0 0h60v20h-60z", "01:00\N{EN DASH}02:00")],
        [("M0 0h30v20h-30z", "02:00\N{EN DASH}02:30")],
        [],
    ]
