"""A stop during work in the background: it ends soon, in order, and the rest is done after the next start."""

import asyncio
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kener_async import keys
from kener_async.domain.calendar import DAY, HOUR, MINUTE, quarter_of
from kener_async.store import observer
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.database import opened
from kener_async.store.sqlite.quick_check import LARGE_TABLES
from kener_async.worker import housekeeping
from kener_async.worker.housekeeping import check_integrity
from kener_async.worker.stop import NEVER, StopToken
from tests.rigs.process import Server, a_config
from tests.rigs.service import FakeClock, Service, running
from tests.rigs.service import a_config as a_service_config

SOON = 3  # seconds, of which one is for requests that may be on their way
BACKLOG = 300_000  # minutes: at 1,000 in 50 ms more than a stop may take
ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
ENDLESS_CHECK = f"""
from kener_async.store.sqlite import database
from kener_async.worker import housekeeping
housekeeping.FIRST_CHECK_AFTER = 0
def check(connection, table):
    connection.execute({ENDLESS!r}).fetchone()
database.check_table = check
"""


def stop_seconds(server: Server) -> float:
    """Stop the server, which must end with status 0; how long that took."""
    started = time.monotonic()
    server.send(signal.SIGTERM)
    assert server.wait() == 0, server.log_text()
    return time.monotonic() - started


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The database of a server that was stopped."""
    with Server(tmp_path) as server:
        server.start()
        server.stop()
    with closing(connect(tmp_path / "kener.db")) as connection:
        yield connection


@pytest.mark.process
def test_a_stop_leaves_a_backlog_of_old_samples_for_later(tmp_path: Path, database: sqlite3.Connection):
    newest = quarter_of(int(time.time()) - 100 * DAY)
    database.execute(
        """
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?)
        INSERT INTO late_samples SELECT 1, ? - i * 60, 0, 0, 1000 FROM n
        """,
        (BACKLOG, newest),
    )
    config = a_config({"database": {"retention_days": 90}, "server": {"shutdown_seconds": 6}})
    with Server(tmp_path, config) as server:
        server.start()
        while left(database) >= BACKLOG:
            time.sleep(0.05)
        assert stop_seconds(server) < SOON
    assert 0 < left(database) < BACKLOG


def left(database: sqlite3.Connection) -> int:
    (count,) = database.execute("SELECT count(*) FROM late_samples").fetchone()
    return int(count)


@pytest.mark.process
def test_a_stop_ends_an_integrity_check(tmp_path: Path):
    with Server(tmp_path, a_config({"server": {"shutdown_seconds": 6}}), fault=ENDLESS_CHECK) as server:
        server.start()
        time.sleep(0.5)  # it has begun
        assert stop_seconds(server) < SOON
        assert "is damaged" not in server.log_text()


async def test_a_stop_may_coincide_with_the_end_of_a_wait():
    stop = StopToken()
    waiting = asyncio.create_task(stop.wait())
    await asyncio.sleep(0)
    waiting.cancel()  # as a sleep does whose time is over
    stop.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await stop.wait()


async def test_a_read_that_is_cancelled_frees_its_connection(service: Service):
    store = service.app[keys.DATABASE]
    for seconds in (0, 0.001, 0.05):  # there are fewer readers
        endless = asyncio.create_task(store.read(lambda session: session.execute(ENDLESS).fetchone()))
        await asyncio.sleep(seconds)
        endless.cancel()
        await asyncio.wait({endless})
    async with asyncio.timeout(5):
        assert await store.read(lambda session: session.execute("SELECT 1").fetchone()) == (1,)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The large tables that were checked."""
    tables: list[str] = []
    monkeypatch.setattr(
        "kener_async.store.sqlite.database.check_table",
        lambda session, table: tables.append(table),
    )
    return tables


async def checks_of_a_run(tmp_path: Path, clock: FakeClock, checked: list[str]) -> list[str]:
    checked.clear()
    async with running(a_service_config(tmp_path), clock):
        await asyncio.sleep(0.2)
    return list(checked)


@pytest.fixture
def checked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that looks at the integrity of its tables right after the start."""
    monkeypatch.setattr(housekeeping, "FIRST_CHECK_AFTER", 0)


@pytest.mark.usefixtures("checked_at_once")
async def test_integrity_is_checked_once_a_day_also_over_restarts(tmp_path: Path, checked: list[str]):
    clock = FakeClock()
    assert await checks_of_a_run(tmp_path, clock, checked) == list(LARGE_TABLES)
    clock.now += DAY - MINUTE
    assert await checks_of_a_run(tmp_path, clock, checked) == []
    clock.now += MINUTE
    assert await checks_of_a_run(tmp_path, clock, checked) == list(LARGE_TABLES)
    clock.now -= HOUR  # the time of the last check is not to be believed
    assert await checks_of_a_run(tmp_path, clock, checked) == list(LARGE_TABLES)


async def test_right_after_a_start_integrity_is_checked_only_when_that_is_a_day_late(
    tmp_path: Path, checked: list[str]
):
    clock = FakeClock()
    assert await checks_of_a_run(tmp_path, clock, checked) == []
    async with opened(tmp_path / "kener.db", "NORMAL") as database:
        await check_integrity(database, clock, NEVER)
    clock.now += 2 * DAY - MINUTE
    assert await checks_of_a_run(tmp_path, clock, checked) == []
    clock.now += MINUTE
    assert await checks_of_a_run(tmp_path, clock, checked) == list(LARGE_TABLES)


@pytest.mark.usefixtures("checked_at_once")
async def test_damage_is_reported_again_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def damaged(session: object, table: str) -> None:
        if table == "samples":
            raise sqlite3.DatabaseError("damaged: as a test has it")

    monkeypatch.setattr("kener_async.store.sqlite.database.check_table", damaged)
    for _ in range(2):
        async with running(a_service_config(tmp_path), FakeClock()) as service:
            async with asyncio.timeout(5):
                while service.app[keys.DATABASE].damage is None:
                    await asyncio.sleep(0.01)


async def test_a_check_that_a_stop_ended_is_made_again(service: Service, checked: list[str]):
    database, stop = service.app[keys.DATABASE], StopToken()
    stop.set()
    await check_integrity(database, service.clock, stop)
    await database.read(observer.last_seen)  # the same reader: its thread has ended the cancelled check then
    checked.clear()
    await check_integrity(database, service.clock, NEVER)
    assert checked == list(LARGE_TABLES)
    await check_integrity(database, service.clock, NEVER)
    assert checked == list(LARGE_TABLES)
