"""Stored faults of checks: what is kept of them, in which order, for how long."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from kener_async import keys
from kener_async.app import fault_age
from kener_async.domain.calendar import DAY
from kener_async.domain.checks import Attempt, Phases, SeenCertificate
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.samples import Sample, SampleSource, Status
from kener_async.store import certificates, check_faults, monitors, observer
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.upgrade import prepare
from kener_async.worker.housekeeping import drop_old_check_records
from kener_async.worker.stop import NEVER
from tests.rigs.service import FakeClock, a_config, a_monitor, running

EARTH, MARS = 1, 2
DOWN = Attempt(60.5, Status.DOWN, 0.25, "status is 502", Phases(name=0.004, connect=0.02))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    prepare(tmp_path / "kener.db")
    with closing(connect(tmp_path / "kener.db")) as connection:
        observer.begin(connection, 0, 0)
        monitors.register(connection, {"earth": MonitorSettings(), "mars": MonitorSettings()}, 0)
        yield connection


def test_a_fault_is_read_as_it_was_stored(session: sqlite3.Connection):
    assert check_faults.add(session, EARTH, [DOWN]) == 1
    assert check_faults.recent(session, EARTH, 10) == [DOWN]
    assert check_faults.recent(session, MARS, 10) == []


def test_what_was_up_is_no_fault_and_what_was_not_measured_is_one(session: sqlite3.Connection):
    check_faults.add(session, EARTH, [Attempt(1.0, Status.UP), Attempt(2.0, None, reason="too many files")])
    assert [fault.status for fault in check_faults.recent(session, EARTH, 10)] == [None]


def test_an_attempt_that_is_stored_twice_is_one(session: sqlite3.Connection):
    check_faults.add(session, EARTH, [DOWN])
    assert check_faults.add(session, EARTH, [DOWN]) == 0
    assert len(check_faults.recent(session, EARTH, 10)) == 1


def test_faults_are_read_page_by_page_newest_first(session: sqlite3.Connection):
    check_faults.add(session, EARTH, [Attempt(float(at), Status.DOWN) for at in range(5)])
    first = check_faults.recent(session, EARTH, 3)
    rest = check_faults.recent(session, EARTH, 3, before=first[-1].at)
    assert [fault.at for fault in [*first, *rest]] == [4, 3, 2, 1, 0]


def test_a_page_of_faults_begins_where_the_one_before_ended_without_reading_that(session: sqlite3.Connection):
    statements: list[str] = []
    session.set_trace_callback(statements.append)
    check_faults.recent(session, EARTH, 3, before=7.5)
    session.set_trace_callback(None)
    (step,) = [row[3] for row in session.execute(f"EXPLAIN QUERY PLAN {statements[0]}")]
    assert "(monitor_id=? AND at<?)" in step


@pytest.mark.parametrize(
    ("sample", "at"),
    [
        (Sample(EARTH, 60, Status.DOWN, 0.0, SampleSource.CHECK), 80.0),
        (Sample(EARTH, 60, Status.DEGRADED, 0.0, SampleSource.CHECK), 90.0),
        (Sample(EARTH, 60, Status.UP, 0.0, SampleSource.CHECK), None),
        (Sample(EARTH, 60, Status.DOWN, 0.0, SampleSource.PUSH), None),
        (Sample(EARTH, 0, Status.DOWN, 0.0, SampleSource.CHECK), None),
        (Sample(MARS, 60, Status.DOWN, 0.0, SampleSource.CHECK), None),
    ],
)
def test_the_fault_behind_a_sample(session: sqlite3.Connection, sample: Sample, at: float | None):
    seen = {60.5: Status.DOWN, 80.0: Status.DOWN, 90.0: Status.DEGRADED, 95.0: None, 120.0: Status.DOWN}
    check_faults.add(session, EARTH, [Attempt(instant, status) for instant, status in seen.items()])
    fault = check_faults.of_sample(session, sample)
    assert (None if fault is None else fault.at) == at


def test_old_faults_are_deleted_a_few_at_a_time(session: sqlite3.Connection):
    check_faults.add(session, EARTH, [Attempt(float(at), Status.DOWN) for at in range(5)])
    check_faults.add(session, MARS, [DOWN])
    assert check_faults.delete_before(session, 4, 3)
    assert not check_faults.delete_before(session, 4, 3)
    assert [fault.at for fault in check_faults.recent(session, EARTH, 10)] == [4.0]
    assert check_faults.recent(session, MARS, 10) == [DOWN]


async def test_faults_and_certificates_are_kept_for_so_many_days(tmp_path: Path):
    async with running(a_config(tmp_path, a_monitor("earth")), FakeClock()) as service:
        database, now = service.app[keys.DATABASE], service.clock()
        old, new = Attempt(now - 30.0 * DAY - 1, Status.DOWN), Attempt(now - 30.0 * DAY, Status.DOWN)
        await database.write(check_faults.add, EARTH, [old, new])
        for days in (31, 1):
            seen = SeenCertificate(bytes([days]), "CN=earth", "CN=Root", now)
            await database.write(certificates.note, EARTH, [seen], now - days * DAY)
        keep = partial(fault_age, service.app)
        await drop_old_check_records(database, service.clock, keep, NEVER)
        assert await database.read(check_faults.recent, EARTH, 10) == [new]
        (left,) = (await database.read(certificates.of, [EARTH]))[EARTH]
        assert left.seen.fingerprint == bytes([1])


async def test_what_checks_saw_after_now_is_forgotten_when_the_clock_is_set_back(tmp_path: Path):
    async with running(a_config(tmp_path, a_monitor("earth")), FakeClock()) as service:
        database, now = service.app[keys.DATABASE], service.clock()
        before, after = Attempt(now - 7200.5, Status.DOWN), Attempt(now - 60.5, Status.DOWN)
        await database.write(check_faults.add, EARTH, [before, after])
        seen = SeenCertificate(bytes(32), "CN=earth", "CN=Root", now)
        await database.write(certificates.note, EARTH, [seen], now)
        service.jump(-3600)
        await service.app[keys.LOADER].observe()
        assert await database.read(check_faults.recent, EARTH, 10) == [before]
        (stored,) = (await database.read(certificates.of, [EARTH]))[EARTH]
        assert (stored.first_seen, stored.last_seen) == (now - 3600, now - 3600)
