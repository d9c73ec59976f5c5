"""The home page and category pages: their bound and order, folded categories, the filter, addresses."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.app import apply
from kener_async.config.model import Announcement, Category, Config, MonitorConfig
from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.samples import Status
from kener_async.domain.uptime import Counts
from kener_async.locales.locale import NAMES
from kener_async.web import home
from kener_async.web.parts.rows import MAX_CACHED, ROW_CACHE
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

BOUND = 500_000
LONGEST_TAG = "m" * 60


async def fetch(service: Service, path: str, language: str = "en") -> tuple[int, str]:
    headers = {"Accept": "text/html", "Accept-Language": language}
    async with service.client.get(path, headers=headers, allow_redirects=False) as reply:
        return reply.status, unescape(await reply.text())


async def shown(service: Service, path: str = "/", language: str = "en") -> str:
    status, text = await fetch(service, path, language)
    assert status == 200, path
    return text


def rows(text: str) -> list[str]:
    """The tags of the monitors that have a row."""
    return re.findall(r'<article class="monitor" id="([^"]+)"', text)


def listed(text: str) -> list[str]:
    """The tags of the monitors listed above all others because they are not up."""
    found = re.search(r'<ul class="card attention">.*?</ul>', text, re.DOTALL)
    return re.findall(r'/monitor/([^"]+)"', found[0]) if found else []


def with_categories(config: Config, *monitors: MonitorConfig) -> Config:
    names = dict.fromkeys(monitor.category for monitor in monitors if monitor.category)
    return replace(
        config, monitors=monitors, categories=tuple(Category(name, "", hidden=False) for name in names)
    )


def fleet(config: Config, number: int, per_category: int, tag: str = "") -> Config:
    """So many monitors, each so many in a category; 0: without categories."""
    monitors = []
    for n in range(number):
        category = f"Site {n // per_category}" if per_category else ""
        monitors.append(a_monitor(f"{tag}{n}", name=f"Device number {n}", category=category))
    return with_categories(config, *monitors)


@pytest.fixture
async def fifty(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    """Fifty monitors in five categories, eight of them down and no incident."""
    async with running(fleet(config, 50, 10), clock) as service:
        for n in range(50):
            await service.beat(str(n), "DOWN" if n % 6 == 5 else "UP")
        yield service


# The bound


@pytest.mark.parametrize("language", ["en", "hi"])
@pytest.mark.parametrize(
    ("number", "per_category", "tag"),
    [
        (25, 5, ""),
        (50, 10, ""),
        (50, 0, ""),
        (600, 2, ""),
        (1000, 0, ""),
        (1000, 50, ""),
        (25, 0, LONGEST_TAG),
    ],
    ids=["few", "fifty", "fifty alone", "small categories", "alone", "many", "long tags"],
)
async def test_a_page_has_a_bound_whatever_the_number_of_monitors(
    config: Config, clock: FakeClock, number: int, per_category: int, tag: str, language: str
):
    config = fleet(
        replace(config, site=replace(config.site, locales=tuple(NAMES))), number, per_category, tag
    )
    async with running(config, clock) as service:
        paths = ["/", "/?page=1", "/?q=device"] + (["/category/Site%200"] if per_category else [])
        for path in paths:
            assert len((await shown(service, path, language)).encode()) <= BOUND, path


async def test_many_incidents_of_many_monitors_do_not_make_the_page_larger_than_its_bound(
    config: Config, clock: FakeClock
):
    async with running(fleet(config, 200, 0), clock) as service:
        tags = [str(n) for n in range(200)]
        for n in range(30):
            await service.post("/api/incident", {"title": f"Outage {n}", "tags": tags, "impact": "DOWN"})
        assert len((await shown(service)).encode()) <= BOUND


async def test_a_row_that_would_exceed_the_bound_has_no_bars(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(home, "MAX_ROWS_BYTES", 20_000)
    text = await shown(service)
    assert rows(text) == ["earth", "mars"]
    assert text.count('<div class="bars"') == 1


async def test_a_heartbeat_makes_one_row_anew(config: Config, clock: FakeClock):
    async with running(fleet(config, 20, 0), clock) as service:
        cache = service.app[ROW_CACHE]
        made = 0
        render = cache._rendered

        def counted(*args: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            return render(*args, **options)

        cache._rendered = counted
        await shown(service)
        assert made == 20
        await service.beat("7", "DOWN")
        await shown(service)
        assert made == 21


@pytest.mark.parametrize("limit", [MAX_CACHED, 3000, 0], ids=["all", "some", "none"])
async def test_rows_that_were_kept_are_those_that_were_rendered(
    config: Config, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, limit: int
):
    monkeypatch.setattr("kener_async.web.parts.rows.MAX_CACHED", limit)
    async with running(fleet(config, 20, 0), clock) as service:
        rendered = await shown(service)
        assert service.app[ROW_CACHE]._size <= limit
        service.app[keys.STATES].note_change()
        assert await shown(service) == rendered


# Folded categories


async def test_with_many_monitors_a_category_is_a_link_with_its_counts(fifty: Service):
    text = await shown(fifty)
    assert rows(text) == []
    folds = re.findall(r'<section class="fold" id="fold-/category/([^"]+)">(.*?)</section>', text, re.DOTALL)
    assert [name for name, _ in folds] == [f"Site%20{n}" for n in range(5)]
    said = re.sub(r"<[^>]+>", "", folds[0][1]).split()
    assert " ".join(said) == "Site 0 Down 1 10 monitors"
    assert len(rows(await shown(fifty, "/category/Site%200"))) == 10


async def test_with_few_monitors_all_are_shown_by_category(config: Config, clock: FakeClock):
    async with running(fleet(config, 25, 5), clock) as service:
        assert len(rows(await shown(service))) == 25


async def test_more_categories_than_a_page_has_room_for_are_found_in_the_list(
    config: Config, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(home, "MAX_CATEGORIES", 3)
    async with running(fleet(config, 50, 10), clock) as service:
        text = await shown(service)
        assert text.count('class="fold"') == 3
        assert 'href="/?page=1">All monitors' in text


async def test_a_category_of_many_monitors_has_several_pages(config: Config, clock: FakeClock):
    async with running(fleet(config, 60, 60), clock) as service:
        seen = []
        path = "/category/Site%200"
        for number in (1, 2, 3):
            text = await shown(service, path)
            seen += rows(text)
            assert f"{number} / 3" in text
            following = re.search(r'rel="next" href="([^"]+)"', text)
            path = following[1] if following else ""
        assert path == ""
        assert sorted(seen, key=int) == [str(n) for n in range(60)]


# What is not up


async def test_an_outage_of_eight_of_fifty_monitors_is_listed_first(fifty: Service):
    text = await shown(fifty)
    assert listed(text) == [str(n) for n in range(50) if n % 6 == 5]
    assert text.index('class="card attention"') < text.index('id="monitors"')
    assert "Down for 1 min" in text


async def test_the_worst_is_listed_first(config: Config, clock: FakeClock):
    async with running(fleet(config, 12, 0), clock) as service:
        for n in range(12):
            if n != 3:  # which never spoke
                await service.beat(str(n), {5: "DEGRADED", 9: "DOWN"}.get(n, "UP"))
        assert listed(await shown(service)) == ["9", "5", "3"]


async def test_when_all_are_up_nothing_is_listed(config: Config, clock: FakeClock):
    async with running(fleet(config, 12, 0), clock) as service:
        for n in range(12):
            await service.beat(str(n))
        assert listed(await shown(service)) == []


async def test_of_an_outage_of_thousands_the_first_are_listed(
    config: Config, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(home, "MAX_ATTENTION", 5)
    async with running(fleet(config, 30, 0), clock) as service:
        assert listed(await shown(service)) == []  # before the first report
        await service.beat("29")
        text = await shown(service)
        assert listed(text) == ["0", "1", "2", "3", "4"]
        assert 'href="/?page=1">and 24 more</a>' in text


async def test_in_a_list_of_several_pages_what_is_not_up_comes_first(fifty: Service):
    assert rows(await shown(fifty, "/?page=1"))[:9] == ["5", "11", "17", "23", "29", "35", "41", "47", "0"]


# The filter


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("number+41", ["41"]),
        ("NUMBER+41", ["41"]),
        ("+41++number+", ["41"]),
        ("site+4+number+41", ["41"]),
        ("nothing", []),
    ],
)
async def test_monitors_are_found_by_name_tag_and_category(fifty: Service, query: str, found: list[str]):
    assert rows(await shown(fifty, f"/?q={query}")) == found


async def test_what_was_typed_stays_in_the_filter_and_is_escaped(fifty: Service):
    reply = await fifty.client.get("/?q=%22%3E%3Cb%3E", headers={"Accept": "text/html"})
    text = await reply.text()
    assert "No monitor matches." in text
    assert 'value="&#34;&gt;&lt;b&gt;"' in text


async def test_the_pages_of_a_search_keep_its_text(config: Config, clock: FakeClock):
    async with running(fleet(config, 80, 0), clock) as service:
        text = await shown(service, "/?q=device&page=2")
        assert 'href="/?q=device&page=3"' in text
        assert 'href="/?q=device&page=1"' in text


@pytest.mark.parametrize("number", ["0", "-1", "x", "", "99", "9999999", "1.5", "%D9%A1"])
async def test_a_page_that_does_not_exist_is_not_found(fifty: Service, number: str):
    for path in (f"/?page={number}", f"/category/Site%200?page={number}"):
        assert (await fetch(fifty, path))[0] == 404, path


async def test_a_filter_is_offered_where_there_are_many_monitors(fifty: Service, config: Config):
    assert 'id="filter"' in await shown(fifty)
    await apply(fifty.app, fleet(config, 5, 0))
    assert 'id="filter"' not in await shown(fifty)


# Incidents and announcements


async def test_an_incident_stands_before_announcements_that_only_inform(tmp_path: Path, clock: FakeClock):
    config = replace(
        a_config(tmp_path),
        announcements=tuple(
            Announcement(f"An {level} text", "", level, None, None)
            for level in ("info", "warning", "critical")
        ),
    )
    async with running(config, clock) as service:
        await service.post("/api/incident", {"title": "It burns", "tags": ["earth"], "impact": "DOWN"})
        text = await shown(service)
        order = ["An warning text", "An critical text", "It burns", "An info text"]
        assert all(text.index(one) < text.index(other) for one, other in pairwise(order))


async def test_ongoing_incidents_are_in_the_order_of_their_severity_then_of_their_start(service: Service):
    def incident(title: str, ago: int, **fields: Any) -> dict[str, Any]:
        return {"title": title, "tags": ["earth"], "startDatetime": NOON - ago, **fields}

    for fields in (
        incident("Maintenance", 9 * HOUR, isMaintenance=True, endDatetime=NOON + HOUR),
        incident("Notice", 8 * HOUR),
        incident("Slow", 7 * HOUR, impact="DEGRADED"),
        incident("Late outage", 2 * HOUR, impact="DOWN"),
        incident("Early outage", 3 * HOUR, impact="DOWN"),
    ):
        await service.post("/api/incident", fields)
    text = await shown(service)
    found = re.findall(r"<h3[^>]*><a href=\"/incident/\d\">([^<]+)", text.partition('id="recent"')[0])
    assert found == ["Early outage", "Late outage", "Slow", "Notice", "Maintenance"]


# Category pages


@pytest.fixture
async def named(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    config = with_categories(config, a_monitor("a", category="Käse & Brot"), a_monitor("b", category="Web"))
    site = replace(config.site, title="Status of Example")
    async with running(replace(config, site=site), clock) as service:
        yield service


async def test_a_category_page_has_a_title_of_its_own(named: Service):
    assert "<title>Web · Status of Example</title>" in await shown(named, "/category/Web")
    assert "<title>Status of Example</title>" in await shown(named)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/category/web", "/category/Web"),
        ("/category/WEB", "/category/Web"),
        ("/category/k%C3%84SE%20&%20brot", "/category/K%C3%A4se%20&%20Brot"),
    ],
)
async def test_the_name_of_a_category_in_another_case_leads_to_it(named: Service, path: str, address: str):
    reply = await named.client.get(path, headers={"Accept": "text/html"}, allow_redirects=False)
    assert (reply.status, reply.headers["Location"]) == (308, address)
    assert (await fetch(named, address))[0] == 200


# Figures of which little is known


@pytest.mark.parametrize(
    ("language", "text"), [("en", "100% uptime, since Dec 31"), ("de", "100 % Verfügbarkeit, seit 31. Dez.")]
)
async def test_a_minute_of_data_does_not_read_as_ninety_days(
    config: Config, clock: FakeClock, language: str, text: str
):
    site = replace(config.site, locales=("en", "de"))
    async with running(replace(config, site=site), clock) as service:
        await service.beat()
        for path in ("/", "/embed/earth"):
            assert text in (await shown(service, path, language)).replace("\u00a0", " "), path
        basis = text.rpartition(", ")[2]
        page = await shown(service, "/monitor/earth", language)
        figures = page.partition('id="figures"')[2].partition("</dl>")[0]
        assert figures.count(basis) == 5  # of each window


async def test_a_figure_of_a_known_window_stands_alone(config: Config, clock: FakeClock):
    up = MonitorSettings(default_status=Status.UP)
    async with running(replace(config, monitors=(a_monitor("earth", up),)), clock) as service:
        service.pass_time(10 * DAY)
        await service.roll()
        text = await shown(service)
        assert '<span class="w-90d">100% uptime</span>' in text  # 10 of 90 days


@pytest.mark.parametrize(("up", "is_sparse"), [(0, True), (9, True), (10, False), (100, False)])
def test_a_window_of_which_less_than_a_tenth_is_known_is_sparse(up: int, is_sparse: bool):
    assert Counts(up=up).is_sparse(0, 100 * MINUTE) is is_sparse
    assert Counts(maintenance=up).is_sparse(0, 100 * MINUTE) is is_sparse
