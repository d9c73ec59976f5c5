"""The page of an incident, and the archive by months with its calendar."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from html import unescape
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from kener_async.config.model import Config
from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.domain.incident_updates import Update
from kener_async.domain.incidents import Incident
from kener_async.domain.months import Month, neighbours
from kener_async.domain.samples import Status
from kener_async.locales.locale import locale
from kener_async.web.incidents import TimelineEvent, duration, timeline
from kener_async.web.pages.snapshot import IncidentView
from kener_async.web.parts.calendar import Cell, sentence, weeks, within
from tests.rigs.service import NOON, FakeClock, Service, a_monitor, running

ENGLISH = locale("en")
UTC_ZONE, BERLIN, KOLKATA = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
MONDAY, SATURDAY, SUNDAY = 0, 5, 6
OCTOBER, NOVEMBER, DECEMBER = Month(2025, 10), Month(2025, 11), Month(2025, 12)
JANUARY = Month(2026, 1)


def at(text: str, zone: ZoneInfo = UTC_ZONE) -> int:
    """The instant of a civil time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


NOW = at("2025-11-20 12:00")


def an_incident(start: int, end: int | None = None, **fields: object) -> Incident:
    """One that is closed if its end has passed by NOW."""
    plain: dict[str, object] = {
        "number": 1,
        "title": "Title",
        "body": "",
        "tags": ("earth",),
        "impact": None,
        "is_maintenance": False,
        "is_identified": False,
        "is_resolved": False,
        "created_at": start,
        "resolved_at": None,
        "closed_at": end if end is not None and end <= NOW else None,
        "ended_by_resolving": False,
        "updated_at": start,
        "revision": 0,
    }
    return Incident(start=start, end=end, **(plain | fields))  # type: ignore[arg-type]


def an_event(start: int, end: int | None = None, **fields: object) -> IncidentView:
    return IncidentView(an_incident(start, end, **fields), (), ("earth",))


# Months


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("2025-11", NOVEMBER),
        ("1970-01", Month(1970, 1)),
        ("9998-12", Month(9998, 12)),
        ("2025-1", None),
        ("2025-00", None),
        ("2025-13", None),
        ("0001-01", None),
        ("9999-12", None),
        ("2025-11-01", None),
        ("2025-11\n", None),
        ("\u0662\u0660\u0662\u0665-\u0661\u0661", None),
        ("now", None),
        ("", None),
    ],
)
def test_a_month_is_four_digits_a_dash_and_two(text: str, month: Month | None):
    assert Month.parsed(text) == month
    assert month is None or str(month) == text


@pytest.mark.parametrize(
    ("month", "zone", "begins", "hours"),
    [
        pytest.param(NOVEMBER, UTC_ZONE, "2025-11-01 00:00", 720, id="thirty days"),
        pytest.param(DECEMBER, UTC_ZONE, "2025-12-01 00:00", 744, id="the last month of a year"),
        pytest.param(Month(2024, 2), UTC_ZONE, "2024-02-01 00:00", 696, id="February of a leap year"),
        pytest.param(Month(2025, 3), BERLIN, "2025-02-28 23:00", 743, id="summer time begins"),
        pytest.param(OCTOBER, BERLIN, "2025-09-30 22:00", 745, id="summer time ends"),
        pytest.param(NOVEMBER, KOLKATA, "2025-10-31 18:30", 720, id="half an hour beside the hour"),
    ],
)
def test_a_month_is_as_long_as_its_days_in_the_zone(month: Month, zone: ZoneInfo, begins: str, hours: int):
    start, end = month.bounds(zone)
    assert start == at(begins)
    assert end - start == hours * HOUR
    assert Month.of(start, zone) == month == Month.of(end - 1, zone)
    assert Month.of(end, zone) == month.following


def test_what_is_beyond_the_last_month_counts_as_in_it():
    assert Month.of(253402300799, KOLKATA) == Month(9998, 12)


@pytest.mark.parametrize("zone", [UTC_ZONE, BERLIN, KOLKATA], ids=str)
def test_each_month_begins_where_the_one_before_it_ends(zone: ZoneInfo):
    month = Month(2023, 12)
    for _ in range(30):
        assert month.bounds(zone)[1] == month.following.bounds(zone)[0]
        assert month.following.previous == month
        month = month.following


@pytest.mark.parametrize("first_weekday", [MONDAY, SATURDAY, SUNDAY])
@pytest.mark.parametrize("month", [Month(2021, 2), OCTOBER, NOVEMBER, Month(2024, 2)], ids=str)
def test_the_weeks_of_a_month_hold_each_of_its_days_once_below_its_weekday(month: Month, first_weekday: int):
    rows = month.weeks(first_weekday)
    days = [day for week in rows for day in week if day is not None]
    assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(days))
    assert (days[0], days[-1] + timedelta(days=1)) == (month.first_day, month.following.first_day)
    for week in rows:
        assert len(week) == 7
        assert any(week)
        for column, day in enumerate(week):
            assert day is None or day.weekday() == (first_weekday + column) % 7


def test_a_february_of_four_whole_weeks_has_no_empty_cell():
    assert len(Month(2021, 2).weeks(MONDAY)) == 4
    assert len(Month(2021, 2).weeks(SUNDAY)) == 5


@pytest.mark.parametrize(
    ("month", "expected"),
    [
        pytest.param(NOVEMBER, (OCTOBER, DECEMBER), id="within"),
        pytest.param(OCTOBER, (None, NOVEMBER), id="nothing before the first incident"),
        pytest.param(DECEMBER, (NOVEMBER, None), id="nothing beyond the last that is planned"),
        pytest.param(Month(2019, 1), (None, OCTOBER), id="from long before it leads to the first"),
        pytest.param(Month(2031, 1), (DECEMBER, None), id="from long after it leads to the last"),
    ],
)
def test_one_leafs_from_the_first_incident_to_the_last(
    month: Month, expected: tuple[Month | None, Month | None]
):
    assert neighbours(month, OCTOBER, DECEMBER) == expected


def test_a_site_without_incidents_has_one_month():
    assert neighbours(NOVEMBER, NOVEMBER, NOVEMBER) == (None, None)


# What a month shows


@pytest.mark.parametrize(
    ("event", "zone", "shown_in"),
    [
        pytest.param(
            an_event(at("2025-11-03 10:00"), at("2025-11-03 11:00")),
            UTC_ZONE,
            [NOVEMBER],
            id="within one month",
        ),
        pytest.param(
            an_event(at("2025-10-31 23:00"), at("2025-11-01 01:00")),
            UTC_ZONE,
            [OCTOBER, NOVEMBER],
            id="over the end of a month",
        ),
        pytest.param(
            an_event(at("2025-10-31 23:00"), at("2025-11-01 00:00")),
            UTC_ZONE,
            [OCTOBER],
            id="until the very end of a month",
        ),
        pytest.param(
            an_event(at("2025-10-31 19:00"), at("2025-10-31 20:00")),
            KOLKATA,
            [NOVEMBER],
            id="it was November in Kolkata",
        ),
        pytest.param(
            an_event(at("2025-10-31 22:30"), at("2025-10-31 22:45")),
            BERLIN,
            [OCTOBER],
            id="it was still October in Berlin, an hour after summer time",
        ),
        pytest.param(an_event(at("2025-10-02 10:00")), UTC_ZONE, [OCTOBER, NOVEMBER], id="open, until now"),
        pytest.param(an_event(at("2025-12-24 10:00")), UTC_ZONE, [DECEMBER], id="to come, without an end"),
        pytest.param(
            an_event(at("2025-12-31 10:00"), at("2026-01-02 10:00")),
            UTC_ZONE,
            [DECEMBER, JANUARY],
            id="planned over the end of a year",
        ),
        pytest.param(
            an_event(at("2025-12-24 10:00"), at("2025-12-24 11:00"), closed_at=NOW),
            UTC_ZONE,
            [DECEMBER],
            id="resolved before its begin, where it would have been",
        ),
        pytest.param(
            an_event(at("2025-11-10 10:00"), at("2025-12-24 11:00"), closed_at=NOW),
            UTC_ZONE,
            [NOVEMBER],
            id="resolved long before its planned end",
        ),
        pytest.param(
            an_event(at("2025-11-10 10:00"), 253402300799),
            KOLKATA,
            [NOVEMBER, DECEMBER, JANUARY],
            id="for good",
        ),
    ],
)
def test_a_month_shows_what_overlaps_it(event: IncidentView, zone: ZoneInfo, shown_in: list[Month]):
    asked = [Month(2025, 9), OCTOBER, NOVEMBER, DECEMBER, JANUARY]
    assert [month for month in asked if within([event], month, zone, NOW)] == shown_in


def test_a_month_shows_the_newest_first():
    starts = [at("2025-11-02 10:00"), at("2025-11-09 10:00"), at("2025-11-09 10:00")]
    events = [an_event(start, start + HOUR, number=number) for number, start in enumerate(starts, 1)]
    assert [event.incident.number for event in within(events, NOVEMBER, UTC_ZONE, NOW)] == [3, 2, 1]


def cells(
    month: Month, zone: ZoneInfo, *events: IncidentView, bars: dict[date, Status] | None = None
) -> dict[date, Cell]:
    made = weeks(month, MONDAY, zone, bars or {}, events, NOW)
    return {cell.day: cell for week in made for cell in week if cell is not None}


@pytest.mark.parametrize(
    ("event", "month", "zone", "days"),
    [
        pytest.param(
            an_event(at("2025-11-03 23:30"), at("2025-11-04 00:30")),
            NOVEMBER,
            UTC_ZONE,
            [3, 4],
            id="over midnight",
        ),
        pytest.param(
            an_event(at("2025-11-03 23:30"), at("2025-11-04 00:30")),
            NOVEMBER,
            BERLIN,
            [4],
            id="the same, where it was past midnight already",
        ),
        pytest.param(
            an_event(at("2025-11-03 19:00"), at("2025-11-03 19:10")), NOVEMBER, KOLKATA, [4], id="in Kolkata"
        ),
        pytest.param(
            an_event(at("2025-10-26", BERLIN), at("2025-10-27", BERLIN)),
            OCTOBER,
            BERLIN,
            [26],
            id="the whole of a day of 25 hours",
        ),
        pytest.param(
            an_event(at("2025-03-30", BERLIN), at("2025-03-31", BERLIN)),
            Month(2025, 3),
            BERLIN,
            [30],
            id="the whole of a day of 23 hours",
        ),
        pytest.param(
            an_event(at("2025-10-30 12:00"), at("2025-11-02 12:00")),
            OCTOBER,
            UTC_ZONE,
            [30, 31],
            id="before the end of the month",
        ),
        pytest.param(
            an_event(at("2025-10-30 12:00"), at("2025-11-02 12:00")),
            NOVEMBER,
            UTC_ZONE,
            [1, 2],
            id="and after it",
        ),
        pytest.param(
            an_event(at("2025-11-18 12:00")), NOVEMBER, UTC_ZONE, [18, 19, 20], id="open: until today"
        ),
        pytest.param(
            an_event(at("2025-11-25 12:00"), at("2025-11-25 13:00"), closed_at=NOW),
            NOVEMBER,
            UTC_ZONE,
            [25],
            id="resolved before its begin",
        ),
    ],
)
def test_an_incident_is_marked_on_each_day_it_touches(
    event: IncidentView, month: Month, zone: ZoneInfo, days: list[int]
):
    shown = cells(month, zone, event)
    assert [cell.day.day for cell in shown.values() if cell.incidents] == days


OUTAGE = an_event(at("2025-11-03 10:00"), at("2025-11-03 11:00"), impact=Status.DOWN)
NOTICE = an_event(at("2025-11-04 10:00"), at("2025-11-04 11:00"))
WORK = an_event(at("2025-11-05 10:00"), at("2025-11-05 11:00"), is_maintenance=True)
PLANNED = an_event(at("2025-11-25 10:00"), at("2025-11-25 11:00"), is_maintenance=True)


@pytest.mark.parametrize(
    ("day", "status"),
    [
        pytest.param(date(2025, 11, 2), None, id="nothing is known of a day without bars and incidents"),
        pytest.param(date(2025, 11, 3), Status.DOWN, id="without bars an incident speaks"),
        pytest.param(date(2025, 11, 4), None, id="a notice says nothing of the monitors"),
        pytest.param(date(2025, 11, 5), Status.UP, id="bars speak first: the maintenance was an hour of it"),
        pytest.param(date(2025, 11, 25), None, id="the future is not painted"),
    ],
)
def test_a_day_is_as_its_bars_say_else_as_its_incidents_say(day: date, status: Status | None):
    bars = {date(2025, 11, 5): Status.UP}
    assert cells(NOVEMBER, UTC_ZONE, OUTAGE, NOTICE, WORK, PLANNED, bars=bars)[day].status is status


@pytest.mark.parametrize(
    ("zone", "today"), [(UTC_ZONE, date(2025, 11, 20)), (ZoneInfo("Pacific/Kiritimati"), date(2025, 11, 21))]
)
def test_today_is_that_of_the_zone(zone: ZoneInfo, today: date):
    assert [cell.day for cell in cells(NOVEMBER, zone).values() if cell.is_today] == [today]
    assert not any(cell.is_today for cell in cells(OCTOBER, zone).values())


@pytest.mark.parametrize(
    ("status", "events", "text"),
    [
        (None, [], "November 3, 2025"),
        (Status.UP, [], "November 3, 2025: Operational"),
        (Status.NO_DATA, [], "November 3, 2025: No data"),
        (Status.DOWN, [OUTAGE], "November 3, 2025: Outage, 1 incident"),
        (Status.DEGRADED, [OUTAGE, NOTICE], "November 3, 2025: Degraded performance, 2 incidents"),
        (
            Status.MAINTENANCE,
            [NOTICE, WORK],
            "November 3, 2025: Maintenance, 1 incident, 1 maintenance window",
        ),
        (None, [PLANNED, WORK], "November 3, 2025: 2 maintenance windows"),
    ],
)
def test_a_day_is_told_in_words(status: Status | None, events: list[IncidentView], text: str):
    assert sentence(ENGLISH, Cell(date(2025, 11, 3), status, events, is_today=False)) == text


# One incident


START = at("2025-11-10 10:00")


@pytest.mark.parametrize(
    ("incident", "expected"),
    [
        pytest.param(an_incident(START), [(0, TimelineEvent.BEGAN)], id="open"),
        pytest.param(
            an_incident(START, START + HOUR),
            [(0, TimelineEvent.BEGAN), (HOUR, TimelineEvent.ENDED)],
            id="its end has passed",
        ),
        pytest.param(
            an_incident(START, START + 30 * DAY, closed_at=START + HOUR),
            [(0, TimelineEvent.BEGAN), (HOUR, TimelineEvent.ENDED)],
            id="closed before its planned end",
        ),
        pytest.param(
            an_incident(START, START + DAY, is_maintenance=True, created_at=START - DAY),
            [(-DAY, TimelineEvent.ANNOUNCED), (0, TimelineEvent.BEGAN), (DAY, TimelineEvent.ENDED)],
            id="a maintenance was announced",
        ),
        pytest.param(
            an_incident(START, START + DAY, is_maintenance=True, created_at=START + MINUTE),
            [(0, TimelineEvent.BEGAN), (DAY, TimelineEvent.ENDED)],
            id="a maintenance written down afterwards was not",
        ),
        pytest.param(
            an_incident(START, START, is_maintenance=True, created_at=START - DAY, closed_at=START - HOUR),
            [(-DAY, TimelineEvent.ANNOUNCED), (-HOUR, TimelineEvent.CANCELLED)],
            id="resolved before its begin, it never was",
        ),
    ],
)
def test_the_course_of_events_tells_what_happened_and_what_is_planned(
    incident: Incident, expected: list[tuple[int, TimelineEvent]]
):
    assert [(entry.at - START, entry.event) for entry in timeline(incident, (), NOW)] == expected[::-1]


def test_comments_stand_where_they_were_made_also_after_the_end():
    comments = [
        Update(1, "one", START + MINUTE, START + MINUTE),
        Update(2, "two", START + 2 * HOUR, START + 2 * HOUR),
    ]
    told = timeline(an_incident(START, START + HOUR), comments, NOW)
    assert [entry.update and entry.update.body for entry in told] == ["two", None, "one", None]


@pytest.mark.parametrize(
    ("incident", "text"),
    [
        pytest.param(an_incident(NOW - 125 * MINUTE), "for 2 h 5 min", id="runs"),
        pytest.param(an_incident(NOW - HOUR, NOW + HOUR), "for 1 h", id="runs, with an end to come"),
        pytest.param(an_incident(START, START + 125 * MINUTE), "2 h 5 min", id="closed"),
        pytest.param(an_incident(NOW + DAY, NOW + DAY + HOUR), "1 h", id="planned"),
        pytest.param(an_incident(NOW + DAY), "", id="planned without an end"),
        pytest.param(an_incident(NOW + DAY, NOW + DAY, closed_at=NOW), "", id="resolved before its begin"),
    ],
)
def test_a_duration_is_so_far_or_whole(incident: Incident, text: str):
    assert duration(ENGLISH, incident, NOW).replace("\u202f", " ") == text


# As served


@pytest.fixture
def config(config: Config) -> Config:
    monitors = (
        a_monitor("earth", name="The <Earth>"),
        a_monitor("mars"),
        a_monitor("secret", name="Not to be seen", hidden=True),
    )
    return replace(config, monitors=monitors, site=replace(config.site, timezone=BERLIN))


@pytest.fixture
async def service(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with running(config, clock) as running_service:
        yield running_service


async def read(service: Service, path: str) -> str:
    """The page's HTML."""
    async with service.client.get(path, headers={"Accept": "text/html"}) as reply:
        assert reply.status == 200, path
        return await reply.text()


async def status_of(service: Service, path: str) -> int:
    async with service.client.get(path, headers={"Accept": "text/html"}) as reply:
        return reply.status


def text_of(html: str) -> str:
    """What a reader reads of it, on one line."""
    main = html[html.index("<main") : html.index("</main>")]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", main)).split())


def links(html: str, within: str) -> list[str]:
    """The addresses of the links of a part of the page, by the beginning of its first tag."""
    part = html[html.index(within) :]
    part = part[: part.index("</" + within[1:].partition(" ")[0])]
    return [unescape(address) for address in re.findall(r'<a [^>]*?href="([^"]*)"', part)]


async def opened(service: Service, title: str, start: int = NOON, **fields: object) -> int:
    """Open an incident of earth; its number."""
    body = {"title": title, "tags": ["earth"], "startDatetime": start, **fields}
    number = (await service.post("/api/incident", body))["incidentNumber"]
    assert isinstance(number, int)
    return number


async def test_an_incident_has_a_page_that_tells_its_course(service: Service):
    await service.beat("earth")
    number = await opened(service, "No <answers>", body="We **look** into it.", impact="DOWN")
    service.pass_time(5 * MINUTE)
    comment = await service.post(f"/api/incident/{number}/comment", {"body": "A disk was full."})
    service.pass_time(2 * HOUR)
    html = await read(service, f"/incident/{number}")
    text = text_of(html)
    assert "<title>No &lt;answers&gt; · " in html
    assert '<meta name="description" content="We look into it.">' in html
    assert "<strong>look</strong>" in html
    assert f'id="comment-{comment["commentID"]}"' in html
    assert re.search(r"No <answers> Outage Investigating since .* for 2 h 5 min", text)
    assert re.search(r"Affected The <Earth> Down for 2 h 5 min", text)
    assert re.search(r"Timeline .* A disk was full\. .* Started$", text)

    await service.post(f"/api/incident/{number}/status", {"isResolved": True})
    text = text_of(await read(service, f"/incident/{number}"))
    assert re.search(
        r"Outage Resolved .* 2 h 5 min Investigating .* Resolved .* We look into it. Affects: The <Earth>",
        text,
    )
    assert re.search(r"Resolved .* A disk was full\. .* Started$", text)


async def test_a_maintenance_says_when_it_was_announced_and_is_planned(service: Service):
    span = {"start": NOON + DAY, "endDatetime": NOON + DAY + HOUR}
    number = await opened(service, "New switches", isMaintenance=True, **span)
    html = await read(service, f"/incident/{number}")
    assert re.search(
        r"Maintenance Scheduled .* 1 h .* Planned end .* Planned start .* Announced", text_of(html)
    )
    assert "/maintenance.ics" in links(html, '<article class="card event maintenance" id="incident"')
    service.pass_time(2 * DAY)
    text = text_of(await read(service, f"/incident/{number}"))
    assert re.search(r"Maintenance Completed .* Completed .* Started .* Announced", text)
    assert "Planned" not in text
    assert "calendar" not in text


async def test_a_maintenance_resolved_before_its_begin_is_cancelled(service: Service):
    span = {"start": NOON + DAY, "endDatetime": NOON + DAY + HOUR}
    number = await opened(service, "New switches", isMaintenance=True, **span)
    await service.post(f"/api/incident/{number}/status", {"isResolved": True})
    text = text_of(await read(service, f"/incident/{number}"))
    assert re.search(r"Maintenance Cancelled was planned for Jan 1, 2026, 1:00.PM", text)
    assert "Started" not in text


async def test_times_are_those_of_the_zone_and_days_are_said_once(service: Service):
    number = await opened(service, "Short", start=NOON - 2 * HOUR, endDatetime=NOON - HOUR)
    overnight = await opened(service, "Long", start=NOON - DAY, endDatetime=NOON - HOUR)
    text = text_of(await read(service, f"/incident/{number}")).replace("\u202f", " ")
    assert "Dec 31, 2025, 11:00 AM \N{EN DASH} 12:00 PM" in text
    text = text_of(await read(service, f"/incident/{overnight}")).replace("\u202f", " ")
    assert "Dec 30, 2025, 1:00 PM \N{EN DASH} Dec 31, 2025, 12:00 PM" in text


@pytest.mark.parametrize(
    "name", ["0", "2", "01", "-1", "+1", "1.0", "1e0", "one", "\u0661", "9" * 18, "9" * 40, "1/2", "%20"]
)
async def test_an_unknown_number_has_no_page(service: Service, name: str):
    await opened(service, "The first")
    assert await status_of(service, "/incident/1") == 200
    assert await status_of(service, f"/incident/{name}") == 404


async def test_hidden_monitors_are_not_mentioned(service: Service):
    both = await opened(service, "Both", tags=["secret", "earth"], impact="DOWN")
    hidden = await opened(service, "Hidden incident", tags=["secret"], impact="DOWN")
    for path in (f"/incident/{both}", "/incidents"):
        html = await read(service, path)
        assert "Both" in html
        assert "secret" not in html
        assert "Not to be seen" not in html
        assert "Hidden incident" not in html
    assert await status_of(service, f"/incident/{hidden}") == 404
    assert await status_of(service, "/incidents?tag=secret") == 404


async def test_an_incident_of_a_monitor_that_was_removed_has_no_page(service: Service):
    number = await opened(service, "Gone with it", tags=["mars"])
    assert await status_of(service, f"/incident/{number}") == 200
    await service.configure(a_monitor("earth"))
    assert await status_of(service, f"/incident/{number}") == 404
    assert "Gone with it" not in await read(service, "/incidents")


async def test_the_archive_shows_the_current_month_and_leafs_to_the_others(service: Service):
    await opened(service, "In October", start=at("2025-10-05 10:00"), endDatetime=at("2025-10-05 11:00"))
    await opened(service, "In December", start=at("2025-12-05 10:00"), endDatetime=at("2025-12-05 11:00"))
    await opened(service, "In January", start=at("2026-01-05 10:00"), isMaintenance=True)
    html = await read(service, "/incidents")
    assert "December 2025" in text_of(html)
    assert "In December" in html
    assert "In October" not in html
    leaf = '<nav class="leaf"'
    assert links(html, leaf) == ["/incidents/2025-11", "/incidents/2026-01"]
    assert "In December" in await read(service, "/incidents/2025-12")

    html = await read(service, "/incidents/2025-11")
    assert "No incidents in November 2025." in text_of(html)
    assert links(html, leaf) == ["/incidents", "/incidents/2025-10", "/incidents"]
    assert links(await read(service, "/incidents/2025-10"), leaf) == ["/incidents", "/incidents/2025-11"]
    assert links(await read(service, "/incidents/2026-01"), leaf) == ["/incidents", "/incidents"]


@pytest.mark.parametrize(
    "name", ["2025-13", "2025", "9999-12", "0000-01", "2025-1", "tomorrow", "2025-11-01"]
)
async def test_a_month_that_is_none_has_no_page(service: Service, name: str):
    assert await status_of(service, f"/incidents/{name}") == 404


async def test_an_incident_over_the_turn_of_the_year_is_in_both_months(service: Service):
    await opened(service, "New year", endDatetime=NOON + DAY, impact="DEGRADED")
    for path in ("/incidents/2025-12", "/incidents/2026-01"):
        assert "New year" in await read(service, path)


async def test_the_month_is_that_of_the_zone(service: Service):
    """In Berlin January begins an hour before it does in UTC."""
    service.pass_time(11 * HOUR)
    await opened(service, "Fireworks", start=service.clock())
    html = await read(service, "/incidents")
    assert "January 2026" in text_of(html)
    assert "Fireworks" in html
    assert "Fireworks" not in await read(service, "/incidents/2025-12")


async def test_the_archive_of_one_monitor_leaves_out_the_others(service: Service):
    await opened(service, "Of the earth")
    await opened(service, "Of mars", start=at("2025-11-05 10:00"), tags=["mars"])
    await service.beat("mars", "DOWN")
    html = await read(service, "/incidents?tag=earth")
    assert "Of the earth" in html
    assert "Of mars" not in html
    assert links(html, '<nav class="leaf"') == []
    assert re.search(r"December 31, 2025: (No data, )?1 incident", html)
    html = await read(service, "/incidents?tag=mars")
    assert "Of mars" in html
    assert "December 31, 2025: Outage, 1 incident" in html
    assert links(html, '<nav class="leaf"') == ["/incidents/2025-11?tag=mars"]
    assert "Of the earth" in await read(service, "/incidents")


@pytest.mark.parametrize("tag", ["venus", "", "earth&", "%00", "x" * 300])
async def test_an_unknown_tag_has_no_archive(service: Service, tag: str):
    assert await status_of(service, f"/incidents?tag={tag.replace('&', '%26')}") in (400, 404)


async def test_the_calendar_tells_each_day_of_the_month(service: Service):
    for minute in range(3):
        await service.beat("earth", at=NOON - 2 * DAY + minute * MINUTE, status="DOWN")
    await service.beat("mars", at=NOON - 3 * DAY)
    number = await opened(service, "Trouble", start=NOON - 2 * DAY, endDatetime=NOON - 2 * DAY + HOUR)
    html = await read(service, "/incidents")
    told = re.findall(r'<span class="hidden">(December \d+, 2025[^<]*)</span>', html)
    assert [int(re.findall(r"\d+", text)[0]) for text in told] == list(range(1, 32))
    assert told[27] == "December 28, 2025: Operational"
    assert told[28] == "December 29, 2025: Outage, 1 incident"
    assert links(html, "<table") == [f"#incident-{number}"]
    assert f'id="incident-{number}"' in html
    assert len(re.findall(r'aria-current="date"', html)) == 1
    assert html.index('aria-current="date"') > html.index("December 30, 2025")


async def test_the_calendar_of_an_earlier_month_tells_its_days_alone(service: Service):
    await service.beat("earth", at=NOON - 35 * DAY, status="DOWN")
    html = await read(service, "/incidents/2025-11")
    told = re.findall(r'<span class="hidden">(November \d+, 2025[^<]*)</span>', html)
    assert [text for text in told if ":" in text and "No data" not in text] == ["November 26, 2025: Outage"]
    assert len(told) == 30


async def test_pages_are_up_to_date_at_once(service: Service):
    number = await opened(service, "Before")
    assert "Before" in await read(service, "/incidents")
    await service.post(f"/api/incident/{number}/comment", {"body": "News."})
    for path in ("/incidents", f"/incident/{number}"):
        assert "News." in await read(service, path)
    await service.ask("PATCH", f"/api/incident/{number}", json={"title": "After", "tags": ["earth"]})
    for path in ("/incidents", f"/incident/{number}"):
        html = await read(service, path)
        assert "After" in html
        assert "Before" not in html


async def test_ids_are_unique_and_every_anchor_has_a_target(service: Service):
    number = await opened(service, "One", start=NOON - 3 * DAY, impact="DOWN")
    await opened(service, "Two", start=NOON - DAY, isMaintenance=True, endDatetime=NOON + DAY)
    for text in ("First.", "Second."):
        await service.post(f"/api/incident/{number}/comment", {"body": text})
    for path in ("/incidents", f"/incident/{number}"):
        html = await read(service, path)
        ids = re.findall(r'\sid="([^"]*)"', html)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r'href="#([^"]+)"', html)) <= set(ids)
