"""The stored sums of days: right whenever they are there, and stored again when they are not."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kener_async import keys
from kener_async.domain.calendar import DAY, HOUR, MINUTE, QUARTER
from kener_async.domain.errors import Unavailable
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.samples import Sample, Status
from kener_async.store import (
    day_sums,
    dirty,
    monitors,
    observer,
    quarters,
    retention,
    rollups,
    samples,
    settling,
    streaks,
)
from kener_async.store.admin import integrity, verify
from kener_async.store.sqlite import connections, upgrade
from tests.rigs.service import NOON, Service

PACKAGE = Path(rollups.__file__).parents[1]
UTC, BERLIN, KOLKATA = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
DAYS = 12
BEGIN = NOON - DAYS * DAY
MEASURED = (Status.UP, Status.DEGRADED, Status.DOWN)
ALWAYS = 60.0  # seconds, which no turn here needs


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with one monitor, without samples."""
    path = tmp_path_factory.mktemp("days") / "kener.db"
    upgrade.prepare(path)
    with closing(connections.connect(path)) as connection:
        observer.begin(connection, now=BEGIN, retention=0)
        monitors.register(connection, {"earth": MonitorSettings()}, now=BEGIN)
    return path


@pytest.fixture
def session(file: Path) -> Iterator[sqlite3.Connection]:
    """A transaction, which is rolled back."""
    with closing(connections.connect(file)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("ROLLBACK")


def fill(session: sqlite3.Connection, batch: Sequence[Sample], now: int = NOON) -> None:
    """Store samples, and count what has ended."""
    samples.record(session, batch=batch)
    while settling.settle_for(session, ALWAYS, [1], (0, now), now)[1]:
        pass


def every_hour(status: Status = Status.UP) -> list[Sample]:
    return [Sample(1, minute, status, 0.1) for minute in range(BEGIN, NOON, HOUR)]


def stored(session: sqlite3.Connection) -> list[tuple[int, int]]:
    return session.execute('SELECT start, "end" FROM days ORDER BY start').fetchall()


def is_right(session: sqlite3.Connection) -> bool:
    """Whether every stored sum is that of its quarters."""
    rows = day_sums.load(session, 1, 0, 2**62)
    return all(quarters.total(session, 1, *day) == counts for day, counts in rows.items())


def midnight(days_ago: int) -> int:
    """The UTC midnight so many days before today's."""
    return NOON - 12 * HOUR - days_ago * DAY


@pytest.mark.parametrize(
    ("zone", "first"),
    [(UTC, midnight(11)), (BERLIN, midnight(11) - HOUR), (KOLKATA, midnight(10) - 5 * HOUR - 30 * MINUTE)],
)
def test_sums_are_stored_of_the_days_that_are_kept_and_over(
    session: sqlite3.Connection, zone: ZoneInfo, first: int
) -> None:
    session.execute("UPDATE service SET kept_from = ?", (midnight(11) - HOUR,))
    fill(session, every_hour())
    assert day_sums.lacking(session, [1], zone, NOON) == [1]
    assert day_sums.store_for(session, ALWAYS, [1], zone, NOON) == []
    assert stored(session)[0] == (first, first + DAY)
    assert stored(session)[-1][1] == NOON - (NOON - first) % DAY
    assert all(last - start == DAY for start, last in stored(session))
    assert is_right(session)
    assert day_sums.lacking(session, [1], zone, NOON) == []


def test_a_turn_that_is_over_leaves_the_rest_to_the_next(session: sqlite3.Connection) -> None:
    fill(session, every_hour())
    assert day_sums.store_for(session, 0, [1], UTC, NOON) == [1]
    assert stored(session) == []


def test_days_before_the_first_report_need_no_sum(session: sqlite3.Connection) -> None:
    fill(session, [Sample(1, midnight(3), Status.UP, 0.1)])
    day_sums.store_for(session, ALWAYS, [1], UTC, NOON)
    assert [start for start, _ in stored(session)] == [midnight(3), midnight(2), midnight(1)]


def late(session: sqlite3.Connection) -> None:
    fill(session, [Sample(1, midnight(5) + HOUR + MINUTE, Status.DOWN, 0.3)])


def set_back(session: sqlite3.Connection) -> None:
    now = midnight(5) + 7 * HOUR
    observer.rewind(session, NOON, now, 400 * DAY)


def dropped(session: sqlite3.Connection) -> None:
    retention.keep_from(session, midnight(5) + HOUR)
    retention.delete_before(session, [1], midnight(5) + HOUR, 10**6)


def partly_dropped(session: sqlite3.Connection) -> None:
    retention.keep_from(session, midnight(5) + HOUR)
    retention.delete_before(session, [1], midnight(5) + HOUR, 300)


@pytest.mark.parametrize(
    ("change", "left"),
    [
        pytest.param(late, [11, 10, 9, 8, 7, 6, 4, 3, 2, 1], id="a late report"),
        pytest.param(set_back, [11, 10, 9, 8, 7, 6], id="a clock set back"),
        pytest.param(dropped, [4, 3, 2, 1], id="retention"),
        pytest.param(partly_dropped, [4, 3, 2, 1], id="retention with a backlog"),
    ],
)
def test_a_sum_is_deleted_with_the_counts_it_is_made_of(
    session: sqlite3.Connection, change: Callable[[sqlite3.Connection], None], left: list[int]
) -> None:
    fill(session, every_hour())
    day_sums.store_for(session, ALWAYS, [1], UTC, NOON)
    assert len(stored(session)) == DAYS - 1
    change(session)
    assert stored(session) == [(midnight(ago), midnight(ago) + DAY) for ago in left]
    assert is_right(session)


def test_a_day_with_a_quarter_to_be_counted_again_gets_no_sum(session: sqlite3.Connection) -> None:
    fill(session, every_hour())
    dirty.mark_span(session, [1], midnight(5) + HOUR, midnight(5) + 2 * HOUR)
    dirty.mark_span(session, [1], midnight(3) - QUARTER, midnight(3) + QUARTER)
    day_sums.store_for(session, ALWAYS, [1], UTC, NOON)
    assert [start for start, _ in stored(session)] == [midnight(ago) for ago in (11, 10, 9, 8, 7, 6, 2, 1)]
    fill(session, [])
    day_sums.store_for(session, ALWAYS, [1], UTC, NOON)
    assert len(stored(session)) == DAYS - 1
    assert is_right(session)


def test_only_one_module_changes_quarters() -> None:
    change = re.compile(r"(INSERT INTO|DELETE FROM|UPDATE|REPLACE INTO)\s+(quarters|days)\b")
    found = {path.name for path in PACKAGE.rglob("*.py") if change.search(path.read_text())}
    assert found == {"quarters.py", "day_sums.py"}


def test_verify_names_a_sum_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "kener.db"
    upgrade.prepare(path)
    with closing(connections.connect(path)) as connection:
        observer.begin(connection, now=BEGIN, retention=0)
        monitors.register(connection, {"earth": MonitorSettings()}, now=BEGIN)
        fill(connection, every_hour())
        day_sums.store_for(connection, ALWAYS, [1], UTC, NOON)
        assert list(verify.verify(path, tmp_path)) == []
        connection.execute("UPDATE days SET up = up + 1 WHERE start = ?", (midnight(2),))
        (line,) = verify.verify(path, tmp_path)
        assert line.startswith("earth 2025-12-29T00:00Z to 2025-12-30T00:00Z: stored up 25,")
        assert "its quarters add up to up 24," in line
        connection.execute("UPDATE days SET up = up - 1, monitor_id = 7 WHERE start = ?", (midnight(2),))
        assert list(verify.verify(path, tmp_path)) == ["days: rows of monitor 7, which does not exist"]
        assert list(integrity.sum_days(connection)) == []


# What is asked of them


REPORTS = st.tuples(  # the first minute, how many reports, and their status
    st.integers(0, DAYS * 24 * 60 - 50), st.sampled_from((1, 2, 15, 16, 31, 47)), st.sampled_from(MEASURED)
)
HISTORY = st.lists(REPORTS, max_size=12)
ABSENT = st.sets(st.integers(0, 2 * DAYS))  # places of days


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(HISTORY, st.sampled_from([UTC, BERLIN, KOLKATA]), ABSENT, st.sampled_from(MEASURED))
def test_sums_and_streaks_are_the_same_whichever_sums_are_stored(
    session: sqlite3.Connection,
    history: list[tuple[int, int, Status]],
    zone: ZoneInfo,
    absent: set[int],
    status: Status,
) -> None:
    by_minute = {
        BEGIN + (place + number) * MINUTE: each for place, length, each in history for number in range(length)
    }
    session.execute("SAVEPOINT example")
    fill(session, [Sample(1, minute, each, minute % 977 / 1000) for minute, each in by_minute.items()])
    day_sums.store_for(session, ALWAYS, [1], UTC, NOON)
    day_sums.store_for(session, ALWAYS, [1], zone, NOON)  # two zones, as after a change of the setting
    for place, day in enumerate(stored(session)):
        if place in absent:
            session.execute('DELETE FROM days WHERE start = ? AND "end" = ?', day)

    backwards = [(minute, by_minute[minute]) for minute in sorted(by_minute, reverse=True)]
    streak = [minute for minute, _ in takewhile(lambda each: each[1] is status, backwards)]
    assert streaks.since(session, {1: status}, NOON) == {1: min(streak, default=None)}
    for start, end in ((BEGIN, NOON), (BEGIN + QUARTER, NOON - HOUR), (midnight(4), midnight(2))):
        counts = rollups.count_window(session, 1, (start, end), NOON)
        within = [minute for minute in by_minute if start <= minute < end]
        assert counts.counted == counts.latency_count == len(within)
        assert counts.down == sum(by_minute[minute] is Status.DOWN for minute in within)
        assert counts.latency_max == max((minute % 977 / 1000 for minute in within), default=None)
        assert counts.latency_sum == pytest.approx(sum(minute % 977 / 1000 for minute in within))
    session.execute("ROLLBACK TO example")


# The job


async def sums(service: Service) -> Any:
    return await service.app[keys.DATABASE].read(
        lambda session: session.execute('SELECT start, "end" FROM days ORDER BY start').fetchall()
    )


async def test_the_job_stores_a_day_when_it_is_over_and_again_after_a_late_report(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = service.app[keys.DAY_SUMS]
    await service.beat()
    for _ in range(2):
        service.pass_time(DAY)
        await service.roll()
        await job.store(UTC)
    yesterday = NOON + 36 * HOUR - DAY
    assert (yesterday, yesterday + DAY) in await sums(service)

    async def refuse(*_: Any, **__: Any) -> Any:
        raise Unavailable("the disk is full; nothing was stored")

    before = await sums(service)
    late = {"tag": "earth", "status": "DOWN", "latency": 1, "timestampInSeconds": yesterday + HOUR}
    await service.post("/api/status", late)
    await service.roll()
    assert (yesterday, yesterday + DAY) not in await sums(service)
    with monkeypatch.context() as patch:
        patch.setattr(service.app[keys.DATABASE], "write_now", refuse)
        with pytest.raises(Unavailable):
            await job.store(UTC)
    await job.store(UTC)
    assert await sums(service) == before

    with monkeypatch.context() as patch:
        patch.setattr(service.app[keys.DATABASE], "read", refuse)  # nothing lacks, and nothing is asked
        await job.store(UTC)
