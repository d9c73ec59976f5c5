"""Samples in three tables, read as one: whatever is sealed, merged, dropped or interrupted, and when."""

import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kener_async.domain.calendar import DAY, HOUR, MINUTE, QUARTER, utc_day_of
from kener_async.domain.heartbeats import Gap, MonitorSettings
from kener_async.domain.samples import Sample, SampleSource, Status, winners
from kener_async.store import dirty, monitors, observer, retention, samples, sealing
from kener_async.store.interface import Session
from kener_async.store.packing import DamagedDay
from kener_async.store.sqlite import connections, migrations, upgrade
from kener_async.store.sqlite.database import SQLiteDatabase, opened
from kener_async.worker.sealing import seal_days
from kener_async.worker.stop import NEVER, StopToken
from tests.rigs.service import NOON

TAGS = ("earth", "mars", "venus")
BEGIN = utc_day_of(NOON) + 7 * HOUR

Key = tuple[int, int]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(a_database(tmp_path / "kener.db")) as one:
        yield one


def a_database(path: Path) -> sqlite3.Connection:
    upgrade.prepare(path)
    one = connections.connect(path, synchronous="OFF")
    observer.begin(one, BEGIN, 400 * DAY)
    monitors.register(one, dict.fromkeys(TAGS, MonitorSettings()), BEGIN)
    return one


def seal(connection: sqlite3.Connection, now: int, limit: int = 2) -> int:
    """Seal all that is due; the number of turns."""
    turns = 0
    while connections.transaction(connection, sealing.seal_turn, now, limit):
        turns += 1
        assert turns < 10_000
    return turns


def counts(connection: Session) -> tuple[int, int, int]:
    """The rows of the hot table, of late samples, and of sealed days."""
    hot, late, sealed = (
        connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("samples", "late_samples", "sealed")
    )
    return hot, late, sealed


def damage(session: Session) -> None:
    """Change a byte of each sealed day."""
    session.execute(
        "UPDATE sealed SET packed = CAST(substr(packed, 1, 9) || x'07' || substr(packed, 11) AS BLOB)"
    )


def everything(connection: sqlite3.Connection) -> dict[Key, Sample]:
    """All samples, by their iteration."""
    ids = [monitor for (monitor,) in connection.execute("SELECT id FROM monitors")]
    found = [sample for monitor in ids for sample in samples.every(connection, monitor)]
    assert found == sorted(found, key=lambda sample: (sample.monitor, sample.minute))
    return {(sample.monitor, sample.minute): sample for sample in found}


def a_day_of(monitor: int, day: int, step: int = MINUTE) -> list[Sample]:
    return [Sample(monitor, minute, Status.UP, 0.123) for minute in range(day, day + DAY, step)]


# Against a model: a dictionary, in which nothing is sealed


class World:
    """A database, and what it should hold."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.now = BEGIN
        self.held: dict[Key, Sample] = {}
        self.dropped_before = 0

    def record(self, batch: list[Sample]) -> None:
        won = connections.transaction(self.connection, samples.record, batch)
        assert won == winners(batch, self.held)
        self.held.update(won)

    def turn(self, limit: int, *, is_killed: bool) -> None:
        """A turn of the job, after which the process may be killed before it commits."""
        if is_killed:
            self.connection.execute("BEGIN IMMEDIATE")
            sealing.seal_turn(self.connection, self.now, limit)
            self.connection.execute("ROLLBACK")
        else:
            connections.transaction(self.connection, sealing.seal_turn, self.now, limit)

    def drop(self, age: int) -> None:
        horizon = self.now - age
        ids = retention.keep_from(self.connection, horizon)
        while retention.delete_before(self.connection, ids, horizon, 700):
            pass
        self.dropped_before = max(self.dropped_before, horizon - horizon % QUARTER)

    def check(self, chance: random.Random) -> None:
        found = everything(self.connection)
        # Of what is older than the horizon some may be left, the newest always.
        assert {key: one for key, one in found.items() if key[1] >= self.dropped_before} == {
            key: one for key, one in self.held.items() if key[1] >= self.dropped_before
        }
        assert found.items() <= self.held.items()
        for monitor in range(1, len(TAGS) + 1):
            old = [key[1] for key in self.held if key[0] == monitor and key[1] < self.dropped_before]
            assert not old or (monitor, max(old)) in found
        self.held = found
        assert samples.count(self.connection) == len(found)
        minutes = sorted({minute for _, minute in found})
        instants = [*chance.sample(minutes, min(len(minutes), 5)), self.now, BEGIN - 9 * DAY]
        for instant in instants:
            self.check_at(instant, instant + chance.choice((QUARTER, DAY, 9 * DAY)))

    def check_at(self, start: int, end: int) -> None:
        ids = list(range(1, len(TAGS) + 1))
        of = {one: sorted(minute for monitor, minute in self.held if monitor == one) for one in ids}
        within = {one: [minute for minute in of[one] if start <= minute < end] for one in ids}
        spans = samples.spans(self.connection, ids, start, end)
        assert {one: list(spans.get(one, {}).values()) for one in ids} == {
            one: [self.held[one, minute] for minute in within[one]] for one in ids
        }
        for one in ids:
            assert samples.minutes(self.connection, one, start, end) == within[one]
            assert samples.first_minute(self.connection, one) == min(of[one], default=None)
        newest = {one: max((minute for minute in of[one] if minute < start), default=None) for one in ids}
        expected = {one: self.held[one, minute] for one, minute in newest.items() if minute is not None}
        assert samples.newest_before(self.connection, ids, start) == expected
        assert samples.newest_minutes(self.connection, ids, start) == {
            one: sample.minute for one, sample in expected.items()
        }
        keys = [(one, start - start % MINUTE) for one in ids]
        later = {key: min((minute for minute in of[key[0]] if minute > key[1]), default=None) for key in keys}
        assert samples.following(self.connection, keys) == {
            key: minute for key, minute in later.items() if minute is not None
        }
        assert samples.at(self.connection, keys) == {key: self.held[key] for key in keys if key in self.held}


@st.composite
def batches(draw: st.DrawFn) -> tuple[int, int, int, int, list[Any]]:
    """A run of reports: a monitor, seconds back from now, a number of minutes, a step, and values."""
    values = st.tuples(
        st.sampled_from([Status.UP, Status.UP, Status.DEGRADED, Status.DOWN]),
        st.sampled_from([0.123, 0.5, 123.0, 0.1234567, 1 / 3, 0.0]),
        st.sampled_from(SampleSource),
    )
    back = draw(st.sampled_from([0, 0, 0, HOUR, DAY, 2 * DAY, 3 * DAY, 5 * DAY, 8 * DAY]))
    return (
        draw(st.integers(1, len(TAGS))),
        back + MINUTE * draw(st.integers(0, 90)),
        draw(st.sampled_from([1, 2, 40, 700])),
        draw(st.sampled_from([MINUTE, MINUTE, 7 * MINUTE, HOUR])),
        draw(st.lists(values, min_size=1, max_size=5)),
    )


STEPS = st.one_of(
    st.tuples(st.just("record"), batches()),
    st.tuples(st.just("turn"), st.integers(1, 9), st.sampled_from([1, 2, 50]), st.booleans()),
    st.tuples(st.just("pass"), st.sampled_from([MINUTE, HOUR, DAY, DAY, 3 * DAY, 30 * DAY, -HOUR, -2 * DAY])),
    st.tuples(st.just("drop"), st.sampled_from([3 * DAY, 5 * DAY + HOUR, 20 * DAY])),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, min_size=3, max_size=25), st.integers(0, 2**32))
def test_what_is_sealed_is_read_as_if_it_were_not(steps: list[Any], seed: int):
    with closing(a_database_in_memory()) as connection:
        world, chance = World(connection), random.Random(seed)
        for step in steps:
            match step:
                case "record", (monitor, back, number, pause, values):
                    first = (world.now - back) // MINUTE * MINUTE
                    world.record(
                        [
                            Sample(monitor, first - pause * place, status, latency, source)
                            for place in reversed(range(number))
                            for status, latency, source in [values[place % len(values)]]
                        ]
                    )
                case "turn", number, limit, is_killed:
                    for _ in range(number):
                        world.turn(limit, is_killed=is_killed)
                case "pass", seconds:
                    world.now += seconds
                case "drop", age:
                    world.drop(age)
            world.check(chance)


def a_database_in_memory() -> sqlite3.Connection:
    one = sqlite3.connect(":memory:", isolation_level=None)
    migrations.migrate(one)
    observer.begin(one, BEGIN, 400 * DAY)
    monitors.register(one, dict.fromkeys(TAGS, MonitorSettings()), BEGIN)
    return one


# Step by step


def test_a_day_is_sealed_once_it_has_been_over_for_two_days(connection: sqlite3.Connection):
    day = utc_day_of(BEGIN)
    reported = [*a_day_of(1, day), *a_day_of(2, day, HOUR)]
    samples.record(connection, reported)
    assert seal(connection, day + 3 * DAY - 1) == 0
    assert counts(connection) == (1440 + 24, 0, 0)
    assert seal(connection, day + 3 * DAY) > 0
    assert counts(connection) == (0, 0, 2)
    assert list(everything(connection).values()) == reported


def test_what_comes_in_for_a_sealed_day_is_merged_into_it_in_one_transaction(connection: sqlite3.Connection):
    day = utc_day_of(BEGIN)
    samples.record(connection, a_day_of(1, day, HOUR))
    seal(connection, day + 4 * DAY)
    late = [
        Sample(1, day, Status.DOWN, 9.5),
        Sample(1, day + 90, Status.UP, 0.25),
        Sample(2, day, Status.UP, 1.0),
    ]
    late = [sample._replace(minute=sample.minute // MINUTE * MINUTE) for sample in late]
    samples.record(connection, late)
    assert counts(connection) == (0, 3, 1)
    before = everything(connection)
    assert [before[1, day].latency, len(before)] == [9.5, 26]
    seal(connection, day + 4 * DAY)
    assert counts(connection) == (0, 0, 2)
    assert everything(connection) == before


def test_a_check_does_not_replace_a_sealed_push(connection: sqlite3.Connection):
    day = utc_day_of(BEGIN)
    samples.record(connection, a_day_of(1, day, HOUR))
    seal(connection, day + 4 * DAY)
    samples.record(connection, [Sample(1, day, Status.DOWN, 1.0, SampleSource.CHECK)])
    assert everything(connection)[1, day].status is Status.UP


def test_sealing_marks_nothing(connection: sqlite3.Connection):
    day = utc_day_of(BEGIN)
    dirty.mark_closed(connection, day + 5 * DAY)
    samples.record(connection, a_day_of(1, day))
    connection.execute("DELETE FROM dirty")
    seal(connection, day + 5 * DAY)
    assert dirty.monitors(connection, day + 6 * DAY) == []


def test_a_turn_seals_at_most_so_many_days_of_a_monitor(connection: sqlite3.Connection):
    day = utc_day_of(BEGIN)
    for monitor in (1, 2, 3):
        samples.record(connection, a_day_of(monitor, day, HOUR))
    seen = [counts(connection)[2]]
    while sealing.seal_turn(connection, day + 4 * DAY, 1):
        seen.append(counts(connection)[2])
    assert max(after - before for before, after in pairwise(seen)) == 1
    assert seen[-1] == 3


def test_empty_days_take_no_turns(connection: sqlite3.Connection):
    day = utc_day_of(BEGIN)
    samples.record(connection, [Sample(1, day, Status.UP, 1.0), Sample(1, day + 300 * DAY, Status.UP, 1.0)])
    assert seal(connection, day + 310 * DAY) < 12
    assert counts(connection) == (0, 0, 2)


def test_no_day_is_begun_within_a_day_after_a_long_gap(connection: sqlite3.Connection):
    """The clock may be a year ahead by mistake: what is sealed then is not unsealed."""
    day = utc_day_of(BEGIN)
    samples.record(connection, a_day_of(1, day, HOUR))
    later = day + 365 * DAY
    observer.save_seen(connection, [Gap(day + DAY, later)], later)
    assert seal(connection, later + DAY - 1) == 0
    assert seal(connection, later + DAY) > 0


def test_after_a_short_gap_days_are_sealed_as_ever(connection: sqlite3.Connection):
    day = utc_day_of(BEGIN)
    samples.record(connection, a_day_of(1, day, HOUR))
    observer.save_seen(connection, [Gap(day + 4 * DAY - 300, day + 4 * DAY)], day + 4 * DAY)
    assert seal(connection, day + 4 * DAY) > 0


@pytest.mark.parametrize("read", [samples.count, lambda one: samples.spans(one, [1], 0, BEGIN + DAY)])
def test_a_damaged_day_is_named(connection: sqlite3.Connection, read: Any):
    day = utc_day_of(BEGIN)
    samples.record(connection, a_day_of(1, day))
    seal(connection, day + 4 * DAY)
    connection.execute(
        "UPDATE sealed SET packed = CAST(substr(packed, 1, 9) || x'07' || substr(packed, 11) AS BLOB)"
    )
    with pytest.raises(DamagedDay, match=f"sealed day {day} of monitor 1 is damaged: its checksum"):
        read(connection)


def test_days_that_are_old_go_whole_with_what_came_in_late_for_them(connection: sqlite3.Connection):
    day = utc_day_of(BEGIN)
    for number in range(6):
        samples.record(connection, a_day_of(1, day + number * DAY, HOUR))
    seal(connection, day + 30 * DAY)
    samples.record(connection, [Sample(1, day + MINUTE, Status.DOWN, 1.0)])
    horizon = day + 3 * DAY + HOUR
    while retention.delete_before(connection, [1, 2, 3], horizon, 2):
        pass
    assert min(everything(connection)) == (1, day + 3 * DAY)
    assert counts(connection) == (0, 0, 3)


def test_the_newest_sample_before_the_horizon_stays_however_old_it_is(connection: sqlite3.Connection):
    day = utc_day_of(BEGIN)
    samples.record(connection, [*a_day_of(1, day, HOUR), *a_day_of(1, day + DAY, HOUR)])
    seal(connection, day + 30 * DAY)
    assert not retention.delete_before(connection, [1, 2, 3], day + 20 * DAY, 1000)
    assert set(everything(connection)) == {(1, minute) for minute in range(day + DAY, day + 2 * DAY, HOUR)}


# An import, and a file of the release before


def test_an_import_seals_whole_days_at_once(connection: sqlite3.Connection):
    day = utc_day_of(BEGIN)
    reported = [sample for number in range(-9, 1) for sample in a_day_of(1, day + number * DAY, HOUR)]
    samples.insert_many(connection, reported)
    assert counts(connection) == (3 * 24, 0, 7)
    assert list(everything(connection).values()) == reported
    samples.insert_many(connection, [Sample(1, day - 9 * DAY, Status.DOWN, 2.0)])
    assert everything(connection)[1, day - 9 * DAY].status is Status.DOWN


def a_file_of_version_7(path: Path, rows: list[tuple[int, int, int, int, float]], last_seen: int) -> None:
    schema = Path(__file__).parent / "data" / "schema_v7.sql"
    with closing(sqlite3.connect(path)) as old, old:
        old.executescript(f"PRAGMA application_id = {migrations.APPLICATION_ID}; {schema.read_text()}")
        old.execute("PRAGMA user_version = 7")
        old.execute(
            "INSERT INTO service (id, last_seen, rolled_until, kept_from) VALUES (1, ?, ?, 0)",
            (last_seen, last_seen),
        )
        old.executemany("INSERT INTO monitors (id, tag) VALUES (?, ?)", enumerate(TAGS, 1))
        old.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", rows)


def test_the_history_of_the_release_before_is_sealed_after_the_upgrade(tmp_path: Path):
    day = utc_day_of(BEGIN)
    rows: list[tuple[int, int, int, int, float]] = [
        (monitor, minute, 0, 0, 123_000 if minute % HOUR else 0.1234567)
        for monitor in (1, 3)
        for minute in range(day - 9 * DAY, BEGIN, 7 * MINUTE)
    ]
    ahead = (2, day + 300 * DAY, 2, 1, 1_000_000)  # stored while the clock was ahead
    a_file_of_version_7(tmp_path / "kener.db", [*rows, ahead], BEGIN)
    upgrade.prepare(tmp_path / "kener.db")
    with closing(connections.connect(tmp_path / "kener.db")) as connection:
        assert counts(connection) == (1, len(rows), 0)
        before = everything(connection)
        assert len(before) == len(rows) + 1
        samples.record(connection, [Sample(1, day + DAY - MINUTE, Status.UP, 1.0)])
        seal(connection, BEGIN)
        assert everything(connection).items() >= before.items()
        hot, _, sealed = counts(connection)
        assert (hot, sealed) == (1, 14)  # the newest two days and today wait
        samples.record(connection, [Sample(1, day + DAY, Status.UP, 1.0)])
        seal(connection, day + 5 * DAY)
        assert counts(connection) == (1, 0, 14 + 3 + 3 + 1)
        assert everything(connection).items() >= before.items()
        assert samples.newest_before(connection, [2], day + 400 * DAY)[2].status is Status.DOWN


# The job


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteDatabase]:
    async with opened(tmp_path / "kener.db", "OFF") as one:
        await one.write(observer.begin, BEGIN, 400 * DAY)
        await one.write(monitors.register, dict.fromkeys(TAGS, MonitorSettings()), BEGIN)
        yield one


async def test_the_job_seals_all_that_is_due(store: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kener_async.worker.sealing.PAUSE_SECONDS", 0)
    day = utc_day_of(BEGIN)
    for number in range(5):
        await store.write(
            samples.record, [sample for one in (1, 2) for sample in a_day_of(one, day + number * DAY)]
        )
    await seal_days(store, lambda: day + 5 * DAY, NEVER)
    assert await store.read(counts) == (2 * 2 * 1440, 0, 2 * 3)


async def test_a_stop_leaves_the_rest_to_the_next_run(store: SQLiteDatabase):
    day = utc_day_of(BEGIN)
    await store.write(samples.record, a_day_of(1, day))
    stop = StopToken()
    stop.set()
    await seal_days(store, lambda: day + 5 * DAY, stop)
    assert await store.read(counts) == (1440, 0, 0)


async def test_a_damaged_day_does_not_keep_others_from_being_sealed(
    store: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kener_async.worker.sealing.PAUSE_SECONDS", 0)
    day = utc_day_of(BEGIN)
    await store.write(samples.record, a_day_of(1, day))
    await seal_days(store, lambda: day + 3 * DAY, NEVER)
    await store.write(samples.record, [*a_day_of(1, day + DAY), Sample(1, day, Status.UP, 1.0)])
    await store.write(damage)
    await seal_days(store, lambda: day + 4 * DAY, NEVER)
    assert await store.read(counts) == (0, 1, 2)
