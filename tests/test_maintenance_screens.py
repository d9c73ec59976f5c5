"""The screens of maintenance, by a browser without JavaScript."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.load import load
from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.domain.people import Role
from kener_async.store import maintenance, managed
from tests.rigs.html_client import HtmlClient
from tests.rigs.people import a_person, signed_in
from tests.rigs.service import FakeClock, Service, running
from tests.test_series_store import ADA, BODY, HEAD, START, WEEKLY, begins, configure


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "config.toml").write_text(HEAD)
    async with running(load(tmp_path / "config.toml", {}), FakeClock(START)) as service:
        yield service


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[HtmlClient]:
    person = await a_person(service, "ada", Role.RESPONDER)
    async with signed_in(service, person) as browser:
        yield browser


async def test_one_is_planned_lengthened_moved_and_cancelled(service: Service, browser: HtmlClient) -> None:
    screen = await browser.open("/manage/maintenance/new")
    screen = await screen.press(
        "Plan it", title="Move", monitors=["earth"], begin="2026-03-08T02:30", length="2h", announce=["24h"]
    )
    assert "Planned. Visitors see it now." in screen.said
    screen = await screen.press("30 minutes longer")
    screen = await screen.press("Move", start="2026-03-09T02:30")
    one = await service.app[keys.DATABASE].read(maintenance.get, 1)
    assert ((one.end or 0) - one.start, one.announce) == (150 * MINUTE, (DAY,))
    screen = await screen.follow("Cancel it")
    screen = await screen.press("Cancel the maintenance")
    assert "Cancelled. Visitors see that it was." in screen.said
    assert "Move" in (await browser.open("/manage/maintenance?over=1")).said
    assert "There is none." in (await browser.open("/manage/maintenance")).said


async def test_one_under_way_is_ended(service: Service, browser: HtmlClient) -> None:
    screen = await browser.open("/manage/maintenance/new")
    values: dict[str, Any] = {
        "title": "Move",
        "monitors": ["earth"],
        "begin": "2026-03-01T13:00",
        "length": "2h",
    }
    screen = await screen.press("Plan it", **values)  # 13:00 in Berlin is now
    service.pass_time(HOUR)
    screen = await (await browser.open("/manage/maintenance/1")).press("End now")
    assert "Ended" in screen.said
    one = await service.app[keys.DATABASE].read(maintenance.get, 1)
    assert one.end == START + HOUR


async def test_a_series_is_saved_only_after_its_dates_were_shown(
    service: Service, browser: HtmlClient
) -> None:
    screen = await browser.open("/manage/maintenance/new")
    values: dict[str, Any] = {
        "title": "Weekly updates",
        "monitors": ["category:Planets"],
        "begin": "2026-03-22T02:30",
    }
    screen = await screen.press("Plan it", repeat="weekly", weekdays=["SU"], length="2h", **values)
    assert await service.app[keys.DATABASE].read(managed.list_of, "series") == []
    assert screen.said.count("UTC") >= 1
    assert "Mar 29, 2026, 3:00" in screen.said.replace("\u202f", " ")
    assert "this local time does not exist on the day" in screen.said
    screen = await screen.press("Save the series")
    assert "Saved. What is to come follows." in screen.said
    assert await begins(service, "weekly-updates") == ["03-22 01:30", "03-29 01:00"]
    screen = await screen.follow("Change the series")
    screen = await screen.press("Show the dates", begin="2026-03-22T04:30")
    screen = await screen.press("Save the series")
    assert await begins(service, "weekly-updates") == ["03-22 03:30", "03-29 02:30"]
    screen = await screen.follow("Delete the series")
    assert "2 maintenances to come" in screen.said
    screen = await screen.press("Delete the series")
    assert await begins(service, "weekly-updates") == []
    assert screen.path.startswith("/manage/maintenance?")


async def test_other_dates_than_those_shown_are_shown_first(service: Service, browser: HtmlClient) -> None:
    screen = await browser.open("/manage/maintenance/new")
    values: dict[str, Any] = {
        "title": "A",
        "monitors": ["earth"],
        "begin": "2026-03-22T02:30",
        "length": "2h",
    }
    screen = await screen.press("Show the dates", repeat="daily", **values)
    screen = await screen.press("Save the series", length="3h")
    assert "Next occurrences" in screen.said
    assert await service.app[keys.DATABASE].read(managed.list_of, "series") == []
    await screen.press("Save the series")
    assert len(await service.app[keys.DATABASE].read(managed.list_of, "series")) == 1


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"length": "long"}, 'must be such as "90m" or "2h"'),
        ({"timezone": "Mars"}, '"Mars" is not a time zone'),
        ({"begin": "2026-02-01T02:30"}, "must be in the future"),
        ({"repeat": "rule", "rule": "FREQ=HOURLY"}, "FREQ=HOURLY is not supported"),
        ({"repeat": "rule"}, "is missing"),
        ({"repeat": "daily", "excluded": "soon"}, "must be a date such as 2026-12-27"),
        ({"monitors": []}, "choose at least one"),
        ({"title": ""}, "is missing"),
    ],
)
async def test_what_is_wrong_stands_beside_its_field_and_all_is_kept(
    browser: HtmlClient, values: dict[str, Any], error: str
) -> None:
    plain = {
        "title": "Kept",
        "monitors": ["earth"],
        "begin": "2026-03-22T02:30",
        "length": "2h",
        "text": "this",
    }
    screen = await browser.open("/manage/maintenance/new")
    screen = await screen.press("Plan it", status=None, **{**plain, **values})
    assert screen.status == 400, screen.said
    assert error in screen.said
    form = screen.form(action="/maintenance/new")
    assert form.value("text") == "this"


async def test_one_of_the_file_is_shown_with_its_dates_and_not_changed(
    service: Service, browser: HtmlClient
) -> None:
    await configure(service, WEEKLY)
    screen = await (await browser.open("/manage/maintenance")).follow("Updates")
    screen = await browser.open("/manage/maintenance/series/weekly")
    assert "Set in config.toml." in screen.said
    assert "Change the series" not in screen.said
    await browser.open("/manage/maintenance/series/weekly/edit", status=409)


async def test_the_calendar_has_months_ahead(service: Service, browser: HtmlClient) -> None:
    await configure(service, WEEKLY)
    screen = await browser.open("/manage/maintenance?month=2026-11")
    assert screen.body.count('<td class="maintenance"') == 5


async def test_a_viewer_sees_and_does_nothing(service: Service, browser: HtmlClient) -> None:
    await configure(service, WEEKLY)
    viewer = await a_person(service, "linus", Role.VIEWER)
    async with signed_in(service, viewer) as other:
        assert "Plan maintenance" not in (await other.open("/manage/maintenance")).said
        assert "End now" not in (await other.open("/manage/maintenance/1")).said
        await other.open("/manage/maintenance/new", status=403)


async def test_a_person_of_some_categories_sees_those(service: Service, browser: HtmlClient) -> None:
    await service.app[keys.SERIES].save("reboots", dict(BODY), None, ADA)
    person = await a_person(service, "grace", Role.EDITOR, categories=["Moons"])
    async with signed_in(service, person) as other:
        assert "Reboots" not in (await other.open("/manage/maintenance")).said
        await other.open("/manage/maintenance/1", status=404)
        await other.open("/manage/maintenance/series/reboots", status=404)


async def test_a_second_press_makes_one(service: Service, browser: HtmlClient) -> None:
    screen = await browser.open("/manage/maintenance/new")
    form = screen.form("Plan it")
    form.fill(title="Move", monitors=["earth"], begin="2026-03-08T02:30", length="2h")
    first = await form.submit("Plan it")
    second = await form.submit("Plan it")
    assert first.path.partition("?")[0] == second.path.partition("?")[0]
    found = await service.app[keys.DATABASE].read(
        maintenance.search, maintenance.MaintenanceSearch(), service.clock()
    )
    assert len(found) == 1
