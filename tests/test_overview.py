"""Overviews: windows and days equal the database, without a query while only time passes."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web

from kener_async import keys
from kener_async.app import create_app, storage
from kener_async.domain.calendar import DAY, HOUR, MINUTE, QUARTER, days_between, minute_of, quarter_of
from kener_async.domain.errors import Unavailable
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings, Version
from kener_async.domain.incidents import Overlay
from kener_async.domain.overview import CutQuarter, Overview, first_day_counted, frame_at
from kener_async.domain.samples import Sample, Status
from kener_async.domain.timeline import Layers, count_span
from kener_async.domain.uptime import NOTHING, Counts
from kener_async.domain.windows import WINDOWS
from kener_async.store import dirty, incidents, observer, retention, rollups, samples
from kener_async.store.interface import Session
from kener_async.store.sqlite import connections
from kener_async.store.sqlite.database import SQLiteDatabase
from kener_async.worker.housekeeping import drop_old
from kener_async.worker.stop import NEVER
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor

BERLIN, KOLKATA, APIA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("Pacific/Apia")
ZONES = (ZoneInfo("UTC"), BERLIN, KOLKATA, APIA)
EXPECTED = MonitorSettings(
    expectation=EveryInterval(20 * MINUTE, MINUTE, 30 * MINUTE), include_degraded_in_downtime=True
)
STATUSES = (Status.UP, Status.UP, Status.UP, Status.DEGRADED, Status.UP, Status.DOWN, Status.UP)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


# A service without its background: only what a test asks for is asked of the file


class Quiet:
    """A service of one monitor, earth, whose jobs run when a test says so."""

    def __init__(self, app: web.Application, clock: FakeClock) -> None:
        self.app = app
        self.clock = clock
        self.database, self.states = app[keys.DATABASE], app[keys.STATES]
        self.loader, self.overviews = app[keys.LOADER], app[keys.OVERVIEWS]

    async def overview(self, zone: ZoneInfo = BERLIN) -> Overview:
        (overview,) = await self.overviews.of([await self.loader.state("earth")], zone)
        return overview

    async def beat(self, minute: int, status: Status = Status.UP) -> None:
        state = self.states.find("earth")
        assert state is not None
        batch = [Sample(state.id, minute, status, 0.7)]
        self.states.add_samples(await self.database.write(partial(samples.record, batch=batch)))

    async def store_days(self, zone: ZoneInfo = BERLIN) -> None:
        await self.app[keys.DAY_SUMS].store(zone)

    async def outage(self, start: int, end: int) -> None:
        fields = {"title": "x", "tags": ("earth",), "impact": Status.DOWN, "start": start, "end": end}
        await self.database.write(incidents.add, fields, self.clock())
        self.states.mark_stale(["earth"])

    def pass_time(self, seconds: int) -> None:
        self.clock.now += seconds
        self.app[keys.OBSERVER].last_seen = self.clock.now

    async def recounted(self, zone: ZoneInfo = BERLIN) -> Overview:
        """What the file says, window by window and day by day."""
        now, end = self.clock(), minute_of(self.clock()) + MINUTE
        state = self.states.find("earth")
        assert state is not None
        today = datetime.fromtimestamp(now, zone).date()
        days = [
            day
            for day in days_between(now - 93 * DAY, end, zone)
            if day[1] < day[2] and today - timedelta(days=90) <= day[0]
        ]

        def recount(session: Session) -> Overview:
            stored = rollups.by_quarter(session, state.id, quarter_of(now - 93 * DAY), quarter_of(now))

            def count(start: int, until: int) -> Counts:
                counts = NOTHING
                kept = max(start, observer.kept_from(session))
                for first, last, whole in rollups.pieces((min(kept, until), until), now):
                    if whole:
                        some = (stored.get(at, NOTHING) for at in range(first, last, QUARTER))
                        counts = sum(some, counts)
                    else:
                        counts += rollups.count_window(session, state.id, (first, last), now)
                return counts.without_latencies

            return Overview(
                {name: count(end - length, end) for name, length in WINDOWS.items()},
                [(day, start, until, count(start, min(until, end))) for day, start, until in days],
            )

        return await self.database.read(recount)

    async def is_exact(self, zone: ZoneInfo = BERLIN) -> None:
        told, recounted = await self.overview(zone), await self.recounted(zone)
        assert told == recounted
        ((days, counts),) = await self.overviews.days_of([await self.loader.state("earth")], zone)
        assert [(*day, counted) for day, counted in zip(days, counts, strict=True)] == told.days

    @contextmanager
    def listening(self) -> Iterator[list[str]]:
        """The statements that are run meanwhile."""
        heard: list[str] = []
        assert isinstance(self.database, SQLiteDatabase)
        connections = [self.database._writer._conn, *(reader._conn for reader in self.database._readers)]
        for connection in connections:
            connection.set_trace_callback(heard.append)
        yield heard
        for connection in connections:
            connection.set_trace_callback(None)


@asynccontextmanager
async def quiet(folder: Path, now: int) -> AsyncIterator[Quiet]:
    clock = FakeClock(now)
    app = create_app(a_config(folder, a_monitor("earth", EXPECTED)), clock)
    async with storage(app):
        yield Quiet(app, clock)


async def fill(folder: Path, now: int) -> None:
    """A file with 100 days of heartbeats, one every 13 minutes with a hole each day, all of it counted."""
    async with quiet(folder, now - 100 * DAY) as service:
        state = await service.loader.state("earth")
        minutes = range(service.clock(), now, 13 * MINUTE)
        batch = [
            Sample(state.id, minute_of(minute), STATUSES[minute // 60 % 7], minute % 977 / 1000)
            for minute in minutes
            if minute % DAY < 22 * HOUR
        ]
        await service.database.write(partial(samples.record, batch=batch))
        service.pass_time(now - service.clock())
        await service.loader.roll()
        for zone in ZONES:
            await service.store_days(zone)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, int], None]:
    """Puts a filled file into a folder; one is made for each instant."""
    made: dict[int, Path] = {}

    def put(folder: Path, now: int) -> None:
        if now not in made:
            made[now] = tmp_path_factory.mktemp("filled")
            asyncio.run(fill(made[now], now))
        shutil.copytree(made[now], folder, dirs_exist_ok=True)

    return put


@pytest.fixture
async def earth(filled: Callable[[Path, int], None], tmp_path: Path) -> AsyncIterator[Quiet]:
    await asyncio.to_thread(filled, tmp_path, NOON)
    async with quiet(tmp_path, NOON) as service:
        yield service


# Exact


@pytest.mark.parametrize("offset", [0, 59, QUARTER - 1, QUARTER, HOUR, 13 * HOUR, DAY - 1])
@pytest.mark.parametrize(
    ("now", "zone"),
    [
        pytest.param(NOON, ZoneInfo("UTC"), id="days of UTC"),
        pytest.param(NOON, KOLKATA, id="days that begin at half past"),
        pytest.param(at("2026-03-29 12:00"), BERLIN, id="a day of 23 hours"),
        pytest.param(at("2025-10-26 22:30"), BERLIN, id="24 hours ago is today, on a day of 25 hours"),
        pytest.param(at("2012-01-03 09:45"), APIA, id="a date was left out"),
    ],
)
async def test_an_overview_is_the_recount_of_each_window_and_day(
    filled: Callable[[Path, int], None], tmp_path: Path, now: int, zone: ZoneInfo, offset: int
):
    await asyncio.to_thread(filled, tmp_path, now)
    async with quiet(tmp_path, now) as service:
        service.pass_time(offset)
        await service.is_exact(zone)


def test_a_date_that_a_zone_left_out_is_no_day():
    days = [day for day, _, _ in frame_at(at("2012-01-03 09:45"), APIA, 0).days]
    assert date(2011, 12, 30) not in days
    assert {date(2011, 12, 29), date(2011, 12, 31)} <= set(days)
    assert len(days) == 90


async def test_it_stays_exact_from_minute_to_minute(earth: Quiet):
    for minute in range(40):
        earth.pass_time(MINUTE)
        if minute % 3 == 0:
            await earth.beat(minute_of(earth.clock()), STATUSES[minute % 7])
        if minute == 20:
            await earth.loader.roll()
        await earth.is_exact()


async def less_is_kept(earth: Quiet) -> None:
    await drop_old(earth.database, earth.states, earth.clock, lambda: 50 * DAY + 5 * HOUR, NEVER)


async def less_is_kept_but_not_dropped_yet(earth: Quiet) -> None:
    horizon = NOON - 90 * DAY + 3 * HOUR
    monitors = await earth.database.write(partial(retention.keep_from, instant=horizon))
    await earth.database.write(partial(retention.delete_before, monitors=monitors, instant=horizon, limit=1))
    earth.states.note_kept_from(horizon)


async def a_late_sample_of_this_utc_day(earth: Quiet) -> None:
    earth.pass_time(8 * HOUR)  # in Kolkata the next day has begun
    await earth.overview(KOLKATA)
    await earth.beat(NOON - HOUR, Status.DOWN)
    await earth.is_exact(KOLKATA)


async def a_clock_set_back(earth: Quiet, days: int = 2) -> None:
    earth.clock.now -= days * DAY


async def a_clock_set_back_a_little(earth: Quiet) -> None:
    earth.pass_time(5 * MINUTE)
    await earth.beat(NOON + 4 * MINUTE, Status.DOWN)
    await earth.overview()
    earth.clock.now -= 2 * MINUTE


async def counted(earth: Quiet) -> None:
    await earth.beat(NOON - 5 * DAY, Status.DOWN)
    await earth.loader.roll()


Change = Callable[[Quiet], Awaitable[object]]
CHANGES = pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda earth: earth.beat(NOON, Status.DOWN), id="a sample of the quarter"),
        pytest.param(lambda earth: earth.beat(NOON - 5 * DAY, Status.DOWN), id="a late sample"),
        pytest.param(a_late_sample_of_this_utc_day, id="a late sample of this UTC day"),
        pytest.param(counted, id="a late sample that the job has counted"),
        pytest.param(lambda earth: earth.outage(NOON - 40 * DAY, NOON - 39 * DAY), id="an incident long ago"),
        pytest.param(
            lambda earth: earth.outage(NOON - 7 * DAY, NOON - 7 * DAY + 300),
            id="an incident where a window begins",
        ),
        pytest.param(less_is_kept, id="samples dropped"),
        pytest.param(less_is_kept_but_not_dropped_yet, id="samples not dropped yet but not kept"),
        pytest.param(a_clock_set_back, id="a clock set back"),
        pytest.param(a_clock_set_back_a_little, id="a clock set back by two minutes"),
        pytest.param(partial(a_clock_set_back, days=900), id="a clock set back before all that is kept"),
        pytest.param(lambda earth: earth.overview(KOLKATA), id="another zone"),
    ],
)


@CHANGES
async def test_it_is_exact_after(earth: Quiet, change: Change):
    await earth.overview()
    await change(earth)
    await earth.is_exact()
    earth.pass_time(MINUTE)
    await earth.is_exact()


async def test_a_day_that_changed_and_was_counted_during_the_read_is_not_kept(
    earth: Quiet, monkeypatch: pytest.MonkeyPatch
):
    read = earth.database.read
    jobs: list[asyncio.Task[None]] = []

    async def meanwhile(work: Any, *args: Any, **kwargs: Any) -> Any:
        answer = await read(work, *args, **kwargs)
        if name_of(work) == "load_many" and not jobs:
            await earth.beat(NOON - 5 * DAY, Status.DOWN)
            jobs.append(asyncio.create_task(earth.loader.roll()))
            await asyncio.wait(jobs, timeout=0.1)  # it would be done by then, if nothing made it wait
        return answer

    monkeypatch.setattr(earth.database, "read", meanwhile)
    await earth.overview()
    await jobs[0]
    await earth.is_exact()


def name_of(work: Any) -> str:
    return str(getattr(work, "func", work).__name__)


# While nothing can be written


async def refuse(*_: Any, **__: Any) -> Any:
    raise Unavailable("the disk is full; nothing was stored")


@CHANGES
async def test_while_nothing_can_be_written_it_is_counted_from_the_layers(
    earth: Quiet, monkeypatch: pytest.MonkeyPatch, change: Change
):
    await earth.overview()
    await change(earth)
    with monkeypatch.context() as patch:
        patch.setattr(earth.database, "write", refuse)
        await earth.is_exact()
        earth.pass_time(2 * QUARTER)
        await earth.is_exact()
    await earth.is_exact()
    earth.pass_time(QUARTER)
    await earth.is_exact()


# Cheap


async def test_within_a_quarter_there_is_no_query(earth: Quiet):
    await earth.overview()
    for minute in range(14):
        earth.pass_time(MINUTE)
        await earth.beat(minute_of(earth.clock()), STATUSES[minute % 7])
        with earth.listening() as heard:
            await earth.overview()
        assert heard == []


def days_summed(heard: list[str]) -> int:
    return sum("sum(up)" in statement for statement in heard)


async def test_a_clock_set_back_within_a_quarter_has_nothing_read_or_counted_again(earth: Quiet):
    earth.pass_time(5 * MINUTE)
    before = await earth.loader.state("earth")
    await earth.overview()
    earth.clock.now -= 2 * MINUTE
    await earth.loader.observe()
    with earth.listening() as heard:
        assert await earth.loader.state("earth") is before
        await earth.overview()
    assert heard == []
    assert earth.app[keys.OBSERVER].last_seen == earth.clock.now
    assert await earth.database.read(lambda session: dirty.monitors(session, NOON + DAY)) == []


async def test_a_clock_set_back_brings_back_no_more_than_it_was_set_back(earth: Quiet):
    await earth.database.write(retention.keep_from, NOON - 40 * DAY)  # 400 days are configured
    earth.clock.now -= DAY
    await earth.loader.observe()
    assert await earth.database.read(observer.kept_from) == NOON - 41 * DAY


async def test_when_the_quarter_turns_no_day_that_is_over_is_summed_again(earth: Quiet):
    await earth.overview()
    earth.pass_time(QUARTER)
    await earth.loader.roll()
    with earth.listening() as heard:
        await earth.overview()
    assert days_summed(heard) == 1 + len(WINDOWS)  # today so far, and where each window begins
    assert len(heard) < 60


async def test_after_a_late_sample_only_the_days_it_speaks_for_are_summed_again(earth: Quiet):
    await earth.overview()
    await earth.beat(minute_of(NOON - 5 * DAY), Status.DOWN)
    await earth.loader.roll()
    with earth.listening() as heard:
        await earth.overview()
    assert days_summed(heard) == 1 + len(WINDOWS) + 1
    earth.pass_time(QUARTER)
    await earth.loader.roll()
    await earth.store_days()
    with earth.listening() as heard:
        await earth.overview()
    assert days_summed(heard) == 1 + len(WINDOWS)


async def test_days_without_a_stored_sum_are_summed_once_each(earth: Quiet):
    await earth.database.write(lambda session: session.execute("DELETE FROM days"))
    with earth.listening() as heard:
        await asyncio.gather(earth.overviews.read_ahead(BERLIN), earth.overview())
    assert days_summed(heard) == 91 + len(WINDOWS)


async def test_the_list_of_monitors_asks_nothing_of_the_file_within_a_quarter(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    await service.get("/api/monitors")
    read = service.app[keys.DATABASE].read
    asked: list[str] = []

    async def listening(work: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(name_of(work))
        return await read(work, *args, **kwargs)

    monkeypatch.setattr(service.app[keys.DATABASE], "read", listening)
    service.pass_time(MINUTE)
    await service.beat()
    listed = await service.get("/api/monitors")
    assert listed[0]["uptime"]["90d"] == "100"
    assert "load_many" not in asked


async def test_what_was_read_ahead_is_not_read_again(earth: Quiet):
    for _ in range(2):
        await earth.overviews.read_ahead(BERLIN)
        with earth.listening() as heard:
            await asyncio.gather(earth.overviews.read_ahead(BERLIN), earth.overview())
        assert heard == []
        earth.pass_time(QUARTER)
        await earth.loader.roll()


async def test_what_is_kept_is_known_from_the_start_on(filled: Callable[[Path, int], None], tmp_path: Path):
    await asyncio.to_thread(filled, tmp_path, NOON)
    async with quiet(tmp_path, NOON) as earth:
        await less_is_kept(earth)
    async with quiet(tmp_path, NOON) as earth:
        await earth.overview()
        with earth.listening() as heard:
            await earth.overview()
        assert heard == []


def test_spans_are_counted_as_windows_are(filled: Callable[[Path, int], None], tmp_path: Path):
    filled(tmp_path, NOON)
    spans = frame_at(NOON, KOLKATA, NOON - 50 * DAY).spans
    with closing(connections.connect(tmp_path / "kener.db", read_only=True)) as connection:
        windows = {span: rollups.count_window(connection, 1, span, NOON) for span in spans}
        marked = rollups.not_clean(connection, [1], spans[0][0], NOON)[1]
        counted = rollups.count_spans(connection, 1, spans, marked, NOON)
        assert counted == {span: counts.without_latencies for span, counts in windows.items()}


def test_a_cut_quarter_is_counted_from_any_minute_on():
    layers = Layers(
        {
            NOON + 60 * place: Sample(1, NOON + 60 * place, STATUSES[place % 7], place / 8)
            for place in (0, 1, 2, 4, 5, 11)
        },
        None,
        [Overlay(1, NOON + 7 * 60 + 30, NOON + 9 * 60, Status.DOWN, False)],
        [
            Version(NOON - DAY, MonitorSettings(default_status=Status.DEGRADED)),
            Version(NOON + 13 * 60, replace(EXPECTED, default_status=Status.DEGRADED, expectation=None)),
        ],
        (),
    )
    cut = CutQuarter.of(layers, NOON)
    for minute in range(NOON, NOON + QUARTER + MINUTE, MINUTE):
        assert cut.counts_from(minute) == count_span(layers, minute, NOON + QUARTER).without_latencies


# The day of a zone


@pytest.mark.parametrize(
    ("query", "start"),
    [
        ({}, NOON - 12 * HOUR),
        ({"timezone": "UTC"}, NOON - 12 * HOUR),
        ({"timezone": "Asia/Kolkata"}, NOON - 17 * HOUR - 30 * MINUTE),
        ({"timezone": "Pacific/Apia"}, NOON - HOUR),
    ],
)
@pytest.mark.parametrize("route", ["uptime", "history"])
async def test_today_is_that_of_the_zone_that_is_named(
    service: Service, route: str, query: dict[str, str], start: int
):
    answer = await service.get(f"/api/monitors/earth/{route}", window="today", **query)
    begin = answer["from"] if route == "uptime" else answer["items"][0]["from"]
    assert begin == start


async def test_an_unknown_zone_is_refused(service: Service):
    query = {"window": "today", "timezone": "Mars/Olympus"}
    status, answer = await service.ask("GET", "/api/monitors/earth/uptime", params=query)
    assert (status, answer["error"]) == (400, "Invalid timezone: must be a name of the tz database")


# What a figure rests on


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Counts(up=1), date(2025, 12, 31)),
        (Counts(up=100), date(2025, 12, 31)),
        (Counts(up=101), date(2025, 12, 30)),
        (Counts(up=100, down=44), date(2025, 12, 30)),
        (Counts(maintenance=5), None),
        (Counts(up=500), None),
    ],
)
def test_a_figure_rests_on_the_first_day_that_counts_within_its_window(
    window: Counts, expected: date | None
) -> None:
    days = [
        (date(2025, 12, 28), Counts()),
        (date(2025, 12, 29), Counts(maintenance=1440)),
        (date(2025, 12, 30), Counts(degraded=43, up=20)),
        (date(2025, 12, 31), Counts(up=100)),
    ]
    assert first_day_counted(window, days) == expected
