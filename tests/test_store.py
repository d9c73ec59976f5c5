"""The database: creation and migration, a single writer, and durable commits."""

import asyncio
import multiprocessing
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from kener_async import keys
from kener_async.domain.calendar import DAY, LAST_INSTANT
from kener_async.domain.errors import Unavailable
from kener_async.domain.heartbeats import Gap
from kener_async.domain.samples import Sample, SampleSource, Status
from kener_async.domain.states import MonitorStates
from kener_async.errors import FatalError
from kener_async.metrics import Metrics
from kener_async.resources import shipped
from kener_async.store import observer, retention, samples, tokens
from kener_async.store.interface import StoreError
from kener_async.store.sqlite import database, migrations, transactions
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.database import SQLiteDatabase
from kener_async.store.sqlite.errors import DatabaseFileError
from kener_async.store.sqlite.migrations import APPLICATION_ID, VERSION, migrate
from kener_async.store.sqlite.upgrade import prepare
from kener_async.worker.housekeeping import drop_old
from kener_async.worker.schedule import DelayTrigger, Pool, Scheduler, short
from kener_async.worker.stop import NEVER, StopToken
from kener_async.worker.writer import BATCH_LIMIT, Writer
from tests.rigs.process import ROOT
from tests.rigs.service import NOON, FakeClock, Service, a_monitor

RELEASED = sorted((Path(__file__).parent / "data").glob("schema_v*.sql"))
MONITOR = 1

Shape = dict[tuple[str, str], Any]


def shape(connection: sqlite3.Connection) -> Shape:
    """What there is in a file, and the columns of each table; how the SQL is laid out does not matter."""
    found: Shape = {}
    for kind, name in connection.execute("SELECT type, name FROM sqlite_schema").fetchall():
        columns = connection.execute(f"PRAGMA table_xinfo('{name}')").fetchall()
        found[kind, name] = columns or connection.execute(f"PRAGMA index_xinfo('{name}')").fetchall()
    return found


def pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kener.db"


# Migrations


def make(path: Path, schema: Path) -> None:
    """A file as the release with this schema left it, with a sample in it."""
    version = int(schema.stem.removeprefix("schema_v"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; {schema.read_text()}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("INSERT INTO monitors (id, tag) VALUES (1, 'earth')")
        connection.execute("INSERT INTO samples VALUES (1, 60, 2, 0, 1500000)")


def test_a_new_file_has_the_schema_and_its_version(path: Path):
    prepare(path)
    with closing(connect(path)) as connection, closing(sqlite3.connect(":memory:")) as shipped_schema:
        shipped_schema.executescript(shipped("schema.sql"))
        assert shape(connection) == shape(shipped_schema)
        assert pragma(connection, "user_version") == VERSION
        assert pragma(connection, "application_id") == APPLICATION_ID


def test_the_current_schema_is_among_the_released_ones():
    assert [schema.name for schema in RELEASED] == [
        f"schema_v{number}.sql" for number in range(1, VERSION + 1)
    ]
    with closing(sqlite3.connect(":memory:")) as current, closing(sqlite3.connect(":memory:")) as released:
        current.executescript(shipped("schema.sql"))
        released.executescript(RELEASED[-1].read_text())
        assert shape(current) == shape(released)


@pytest.mark.parametrize("schema", RELEASED, ids=[schema.stem for schema in RELEASED])
def test_a_file_of_any_release_comes_to_the_current_schema_with_its_data(path: Path, schema: Path):
    make(path, schema)
    prepare(path)
    with closing(connect(path)) as connection, closing(sqlite3.connect(":memory:")) as current:
        current.executescript(shipped("schema.sql"))
        assert shape(connection) == shape(current)
        assert pragma(connection, "user_version") == VERSION
        assert list(samples.spans(connection, [1], 0, 120)[1]) == [60]


INCIDENTS = """
    INSERT INTO incidents VALUES (1, 'commented', '', 100, NULL, NULL, 0, 0, 0, 100, NULL, NULL, 0);
    INSERT INTO incidents VALUES (2, 'closed', '', 100, 900, NULL, 0, 0, 0, 100, NULL, 900, 0);
    INSERT INTO incidents VALUES (3, 'resolved', '', 100, 900, NULL, 0, 0, 1, 100, 950, 900, 0);
    INSERT INTO incidents VALUES (4, 'lasts', '', 100, 99999999999, NULL, 0, 0, 1, 100, NULL, 99999999999, 0);
    INSERT INTO incidents VALUES (5, 'for ever', '', 100, 253402300799, NULL, 0, 0, 0, 100, NULL, NULL, 0);
    INSERT INTO comments VALUES (1, 1, 'first', 300), (2, 1, 'second', 200);
    INSERT INTO service (id, last_seen, rolled_until, kept_from) VALUES (1, 900, 900, 0);
"""


@pytest.mark.parametrize("schema", RELEASED[:3], ids=[schema.stem for schema in RELEASED[:3]])
def test_an_incident_of_an_older_file_was_last_edited_when_it_was_last_heard_of(path: Path, schema: Path):
    make(path, schema)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(INCIDENTS)
    prepare(path)
    with closing(connect(path)) as connection:
        rows = connection.execute("SELECT title, updated_at, revision FROM incidents").fetchall()
        assert rows == [
            ("commented", 300, 0),
            ("closed", 900, 0),
            ("resolved", 950, 0),
            ("lasts", 100, 0),
            ("for ever", 100, 0),
        ]
        (end,) = connection.execute("SELECT \"end\" FROM incidents WHERE title = 'for ever'").fetchone()
        assert end == LAST_INSTANT
        identity = observer.identity(connection)
        assert (identity.version, identity.variant) == (4, "specified in RFC 4122")


EXPECTATIONS = """
    INSERT INTO service (id, last_seen, rolled_until, kept_from) VALUES (1, 9000, 9000, 900);
    INSERT INTO monitors (id, tag) VALUES (2, 'mars'), (3, 'titan');
    INSERT INTO settings VALUES
        (1, 0, '{"default_status": null, "expectation": {"stale_after": 9}}'),
        (1, 9, '{"default_status": null, "expectation": null}'),
        (2, 0, '{"default_status": null, "expectation": null}'),
        (3, 0, '{"default_status": "UP", "expectation": null}');
    INSERT INTO dirty VALUES (1, 900, 1800);
"""


@pytest.mark.parametrize("schema", RELEASED[:3], ids=[schema.stem for schema in RELEASED[:3]])
def test_what_was_counted_by_older_rules_is_counted_again(path: Path, schema: Path):
    make(path, schema)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(EXPECTATIONS)
    prepare(path)
    with closing(connect(path)) as connection:
        rows = connection.execute("SELECT * FROM dirty ORDER BY 1").fetchall()
        assert rows == [(1, 900, 9000), (3, 900, 9000)]


Steps = dict[int, str]
NEXT = VERSION + 1


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Steps of releases to come: VERSION follows the number of the last one."""
    steps = {
        NEXT: "ALTER TABLE monitors ADD COLUMN note TEXT; UPDATE monitors SET note = 'one';",
        NEXT + 1: "CREATE TABLE notes (body TEXT) STRICT; INSERT INTO notes SELECT note FROM monitors;",
    }
    monkeypatch.setattr(migrations, "step", steps.__getitem__)
    monkeypatch.setattr(migrations, "VERSION", NEXT + 1)
    return steps


def an_old_file(path: Path) -> sqlite3.Connection:
    make(path, RELEASED[-1])
    return connect(path)


DEVICES = """
    INSERT INTO tokens (id, name, scopes, created_at, revoked_at, expires_at) VALUES
        ('a1', 'alone', '', 1, NULL, NULL),
        ('b1', 'rotated', '', 1, 5, NULL), ('b2', 'rotated', '', 1, NULL, NULL),
        ('c1', 'shared', '', 1, NULL, NULL), ('c2', 'shared', '', 1, NULL, NULL),
        ('d1', 'expired', '', 1, NULL, 9), ('d2', 'expired', '', 1, NULL, 99999999999);
    INSERT INTO devices (sender, name, last_heard, newest, clock_offset, floor, lost, restarts)
    SELECT value, 'gate', 7300, 7200, 30, 0, 0, 0
      FROM json_each('["alone", "rotated", "shared", "expired", "elsewhere"]');
"""


@pytest.mark.parametrize("schema", RELEASED[2:3], ids=[schema.stem for schema in RELEASED[2:3]])
def test_a_device_of_an_older_file_belongs_to_the_only_valid_token_of_its_name(path: Path, schema: Path):
    make(path, schema)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DEVICES)
    prepare(path)
    with closing(connect(path)) as connection:
        senders = [sender for (sender,) in connection.execute("SELECT sender FROM devices ORDER BY id")]
        assert senders == ["a1", "b2", "shared", "d2", "elsewhere"]
        offsets = connection.execute("SELECT DISTINCT hour, smallest FROM clock_offsets").fetchall()
        assert offsets == [(7200, 30)]


def test_each_step_that_is_lacking_is_taken_in_turn(path: Path, steps: Steps):
    with closing(an_old_file(path)) as connection:
        migrate(connection)
        assert pragma(connection, "user_version") == NEXT + 1
        assert connection.execute("SELECT body FROM notes").fetchall() == [("one",)]
        migrate(connection)
        assert connection.execute("SELECT body FROM notes").fetchall() == [("one",)]


def test_a_step_that_fails_leaves_the_file_as_it_was_before_the_first(path: Path, steps: Steps):
    steps[NEXT + 1] = (
        "DELETE FROM samples; CREATE TABLE notes (body TEXT) STRICT; INSERT INTO nowhere VALUES (1);"
    )
    with closing(an_old_file(path)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
            migrate(connection)
        assert not connection.in_transaction
    with closing(connect(path)) as connection:
        assert pragma(connection, "user_version") == VERSION
        assert ("table", "notes") not in shape(connection)
        assert "note" not in [column[1] for column in shape(connection)["table", "monitors"]]
        assert connection.execute("SELECT count(*) FROM samples").fetchone() == (1,)
        steps[NEXT + 1] = "CREATE TABLE notes (body TEXT) STRICT;"
        migrate(connection)
        assert pragma(connection, "user_version") == NEXT + 1


def _migrate_and_die(path: Path, statements: int) -> None:
    """In a process of its own, which ends as a kill would once so many statements have begun."""
    begun = 0

    def count(_: str) -> None:
        nonlocal begun
        begun += 1
        if begun > statements:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)

    with closing(connect(path)) as connection:
        connection.set_trace_callback(count)
        migrate(connection)


def test_a_migration_killed_at_any_statement_goes_on_where_it_was(tmp_path: Path, steps: Steps):
    processes = multiprocessing.get_context("fork")
    survived = False
    for statements in range(3, 40):
        path = tmp_path / f"{statements}.db"
        make(path, RELEASED[-1])
        process = processes.Process(target=_migrate_and_die, args=(path, statements))
        process.start()
        process.join()
        with closing(connect(path)) as connection:
            version = pragma(connection, "user_version")
            assert (("table", "notes") in shape(connection)) == (version == NEXT + 1)
            migrate(connection)
            assert pragma(connection, "user_version") == NEXT + 1
            assert connection.execute("SELECT body FROM notes").fetchall() == [("one",)]
            assert connection.execute("SELECT count(*) FROM samples").fetchone() == (1,)
        survived = process.exitcode == 0
        if survived:
            break
    assert survived


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path):
    prepare(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(DatabaseFileError, match=r"was written by a newer version"):
        prepare(path)
    assert path.read_bytes() == before


def test_a_file_of_another_program_is_refused(path: Path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE albums (title)")
    with pytest.raises(DatabaseFileError, match="is a database of another program"):
        prepare(path)
    with closing(sqlite3.connect(path)) as connection:
        assert list(shape(connection)) == [("table", "albums")]


# The schema and the connections


def test_an_sqlite_that_is_too_old_is_named_in_one_line(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(FatalError, match=r"^SQLite 3\.38 or newer is needed, this is 3\.34\.1$"):
        prepare(path)
    assert not path.exists()


@pytest.mark.process
def test_six_first_commands_at_once_all_find_the_database_that_one_of_them_made(tmp_path: Path):
    work = (
        "import sys, time; from pathlib import Path; from kener_async.store import tokens;"
        "from kener_async.store.sqlite import transactions;"
        "time.sleep(max(0, float(sys.argv[3]) - time.time()));"
        "token = tokens.Token(sys.argv[2], 'x', (), None, 1, None);"
        "transactions.write(Path(sys.argv[1]), tokens.add, token)"
    )
    at_once = str(time.time() + 2)
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", work, tmp_path / "data/kener.db", str(number), at_once],
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for number in range(6)
    ]
    assert [(command.communicate(timeout=30)[1], command.returncode) for command in commands] == [("", 0)] * 6
    assert len(transactions.read(tmp_path / "data/kener.db", tokens.all_tokens)) == 6


async def test_the_private_attributes_of_aiosqlite_are_there():
    async with aiosqlite.connect(":memory:") as connection:
        missing = [name for name in ("_execute", "_conn") if not hasattr(connection, name)]
    assert not missing, f"aiosqlite.Connection has no {missing} any more: see store/sqlite/connections.py"


def test_every_table_is_strict(path: Path):
    prepare(path)
    with closing(connect(path)) as connection:
        tables = connection.execute("PRAGMA table_list").fetchall()
    ours = {name: strict for _, name, kind, _, _, strict in tables if not name.startswith("sqlite_")}
    assert len(ours) >= 11
    assert set(ours.values()) == {1}


@pytest.mark.parametrize(
    "row", [(1, 61, 0, 0, 1), (1, 60, 3, 0, 1), (1, 60, 0, 2, 1), (1, 60, "UP", 0, 1), (1, 60, 0, 0, None)]
)
def test_a_sample_that_cannot_be_is_not_stored(path: Path, row: tuple[Any, ...]):
    prepare(path)
    with closing(connect(path)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", row)


def insert(connection: sqlite3.Connection, tag: str) -> None:
    connection.execute("INSERT INTO monitors (tag) VALUES (?)", (tag,))


@asynccontextmanager
async def opened(path: Path, synchronous: str = "FULL") -> AsyncIterator[SQLiteDatabase]:
    """A database that knows one monitor."""

    def begin(connection: sqlite3.Connection) -> None:
        observer.begin(connection, NOON, 400 * DAY)
        connection.execute("INSERT INTO monitors (id, tag) VALUES (1, 'earth') ON CONFLICT DO NOTHING")

    async with database.opened(path, synchronous) as store:
        await store.write(begin)
        yield store


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteDatabase]:
    async with opened(path) as one:
        yield one


@pytest.mark.parametrize(("configured", "number"), [("NORMAL", 1), ("FULL", 2), ("EXTRA", 3)])
async def test_commits_are_flushed_as_configured(path: Path, configured: str, number: int):
    async with opened(path, configured) as store:
        assert await store.write(partial(pragma, name="synchronous")) == number
        assert await store.write(partial(pragma, name="journal_mode")) == "wal"
        assert await store.write(partial(pragma, name="foreign_keys")) == 1


async def test_a_row_that_refers_to_nothing_is_refused(store: SQLiteDatabase):
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        await store.write(lambda connection: connection.execute("INSERT INTO settings VALUES (9, 0, '{}')"))


async def test_only_one_connection_can_write(store: SQLiteDatabase):
    for _ in range(database.READERS + 1):
        with pytest.raises(StoreError, match="readonly"):
            await store.read(partial(insert, tag="x"))
    await store.write(partial(insert, tag="x"))


async def test_only_the_writer_checkpoints(store: SQLiteDatabase):
    def checkpoint(connection: sqlite3.Connection) -> Any:
        connection.execute("COMMIT")
        try:
            return connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            connection.execute("BEGIN")

    with pytest.raises(StoreError):
        await store.read(checkpoint)


async def test_a_command_beside_the_server_never_checkpoints(path: Path, store: SQLiteDatabase):
    with transactions.beside_the_server(path) as connection:
        assert pragma(connection, "wal_autocheckpoint") == 0
        assert pragma(connection, "synchronous") == 2


async def test_what_fails_in_the_middle_leaves_nothing(store: SQLiteDatabase):
    def work(connection: sqlite3.Connection) -> None:
        insert(connection, "x")
        raise KeyError("later")

    with pytest.raises(KeyError):
        await store.write(work)
    assert await store.read(count_of("monitors")) == 1


async def test_a_reader_sees_what_was_written_before_it_asked(store: SQLiteDatabase):
    async def write_and_read(number: int) -> None:
        tag = f"tag-{number}"
        await store.write(partial(insert, tag=tag))
        found = await store.read(
            lambda connection: connection.execute("SELECT 1 FROM monitors WHERE tag = ?", (tag,)).fetchone()
        )
        assert found == (1,)

    await asyncio.gather(*(write_and_read(number) for number in range(200)))


async def test_a_read_is_of_one_moment(store: SQLiteDatabase):
    loop = asyncio.get_running_loop()

    def twice(connection: sqlite3.Connection) -> tuple[int, int]:
        first = count_of("monitors")(connection)
        added = asyncio.run_coroutine_threadsafe(
            store.write(partial(insert, tag="x")),
            loop,
        )
        added.result(10)
        return first, count_of("monitors")(connection)

    assert await store.read(twice) == (1, 1)
    assert await store.read(count_of("monitors")) == 2


async def test_a_cancelled_write_does_not_break_the_next_one(store: SQLiteDatabase):
    def slow(connection: sqlite3.Connection) -> None:
        insert(connection, "slow")
        time.sleep(0.1)

    task = asyncio.create_task(store.write(slow))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.write(partial(insert, tag="next"))


def count_of(table: str) -> Callable[[sqlite3.Connection], int]:
    return lambda connection: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


# Group commit


def beat(number: int, status: Status = Status.UP, source: SampleSource = SampleSource.PUSH) -> Sample:
    return Sample(MONITOR, NOON - 60 * number, status, 0.5, source)


def a_writer(store: SQLiteDatabase, limit: int = 10_000) -> Writer:
    return Writer(store, MonitorStates(), FakeClock(), Metrics(), limit)


class Held:
    """A turn of the database's writer that lasts until `release`."""

    def __init__(self, store: SQLiteDatabase) -> None:
        self._event = multiprocessing.get_context("fork").Event()
        self._task = asyncio.create_task(store.write(lambda _: self._event.wait(10)))

    async def release(self) -> None:
        self._event.set()
        await self._task


async def stored(store: SQLiteDatabase) -> dict[int, Sample]:
    found = await store.read(partial(samples.spans, monitors=[MONITOR], start=0, end=NOON + 60))
    return found.get(MONITOR, {})


async def test_what_was_put_is_on_disk_when_put_returns(path: Path, store: SQLiteDatabase):
    async with a_writer(store).running() as writer:
        await writer.put(beat(0))
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as other:
            assert other.execute("SELECT minute FROM samples").fetchall() == [(NOON,)]


async def test_samples_that_arrive_together_share_commits(
    store: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
):
    commits, write = 0, store.write

    async def counted(*work: Any, **kwargs: Any) -> Any:
        nonlocal commits
        commits += 1
        return await write(*work, **kwargs)

    monkeypatch.setattr(store, "write", counted)
    async with a_writer(store).running() as writer:
        await asyncio.gather(*(writer.put(beat(number)) for number in range(500)))
    assert len(await stored(store)) == 500
    assert commits <= 3


async def test_one_bad_sample_fails_alone(store: SQLiteDatabase):
    bad = Sample(MONITOR, NOON + 1, Status.UP, 0.5)  # not the begin of a minute
    batch = [*(beat(number) for number in range(10)), bad, *(beat(number) for number in range(10, 20))]
    async with a_writer(store).running() as writer:
        outcomes = await asyncio.gather(*(writer.put(one) for one in batch), return_exceptions=True)
    failed = [one for one, outcome in zip(batch, outcomes, strict=True) if outcome is not None]
    assert failed == [bad]
    assert isinstance(outcomes[10], StoreError)
    assert len(await stored(store)) == 20


async def test_a_full_queue_refuses_and_what_waits_is_stored(store: SQLiteDatabase):
    async with a_writer(store, limit=5).running() as writer:
        held = Held(store)
        first = asyncio.create_task(writer.put(beat(0)))
        await asyncio.sleep(0.01)  # taken from the queue, and waiting for the disk
        waiting = [asyncio.create_task(writer.put(beat(number))) for number in range(1, 6)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="too many heartbeats"):
            await writer.put(beat(6))
        await held.release()
        await asyncio.gather(first, *waiting)
        await writer.put(beat(6))
    assert len(await stored(store)) == 7


async def test_what_waits_at_the_stop_is_written_and_what_comes_later_refused(store: SQLiteDatabase):
    writer = a_writer(store)
    async with writer.running():
        held = Held(store)
        waiting = [asyncio.create_task(writer.put(beat(number))) for number in range(2 * BATCH_LIMIT + 7)]
        await asyncio.sleep(0.01)
        released = asyncio.get_running_loop().call_later(0.05, held._event.set)
    released.cancel()
    assert all(task.done() and task.exception() is None for task in waiting)
    assert len(await stored(store)) == 2 * BATCH_LIMIT + 7
    with pytest.raises(Unavailable, match="the service is stopping"):
        await writer.put(beat(3000))
    await held.release()


async def test_a_cancelled_request_does_not_break_its_batch(store: SQLiteDatabase):
    async with a_writer(store).running() as writer:
        held = Held(store)
        waiting = [asyncio.create_task(writer.put(beat(number))) for number in range(10)]
        await asyncio.sleep(0.01)
        for task in waiting[::2]:
            task.cancel()
        await held.release()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False] * 5
        await writer.put(beat(10))
    assert {NOON - 60 * number for number in (1, 3, 5, 7, 9, 10)} <= (await stored(store)).keys()


async def test_a_batch_that_the_disk_refuses_is_refused_whole_and_the_next_is_taken(
    store: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
):
    fails, write = True, store.write

    async def failing(*work: Any, **kwargs: Any) -> Any:
        if fails:
            raise Unavailable("the disk is full; nothing was stored")
        return await write(*work, **kwargs)

    monkeypatch.setattr(store, "write", failing)
    async with a_writer(store).running() as writer:
        refused = await asyncio.gather(*(writer.put(beat(n)) for n in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in refused] == [Unavailable] * 5
        fails = False
        await writer.put(beat(0))
    assert len(await stored(store)) == 1


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two"])
async def test_a_check_never_replaces_a_push(store: SQLiteDatabase, together: bool):
    push, check = beat(0, Status.UP), beat(0, Status.DOWN, SampleSource.CHECK)
    async with a_writer(store).running() as writer:
        if together:
            await asyncio.gather(writer.put(push), writer.put(check))
        else:
            await writer.put(push)
            await writer.put(check)
        assert await stored(store) == {NOON: push}
        await writer.put(beat(0, Status.DEGRADED))
    assert (await stored(store))[NOON].status is Status.DEGRADED


# Reading while nothing can be written


@pytest.fixture
def full(service: Service, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on the disk is full."""

    async def refuse(*_: Any, **__: Any) -> Any:
        raise Unavailable("the disk is full; nothing was stored")

    def fill_up() -> None:
        for method in ("write", "write_now"):
            monkeypatch.setattr(service.app[keys.DATABASE], method, refuse)

    return fill_up


READS = ("/api/status?tag=earth", "/api/monitors", "/api/monitors/earth/uptime", "/api/incident")


async def reads(service: Service) -> dict[str, int]:
    return {path: (await service.ask("GET", path))[0] for path in READS}


async def test_a_late_report_can_be_read_when_nothing_more_can_be_written(service: Service, full: Any):
    service.pass_time(3 * 3600)
    await service.beat()
    await service.beat(status="DOWN", at=NOON)
    full()
    assert await reads(service) == dict.fromkeys(READS, 200)


@pytest.mark.parametrize("seconds", [120, 900, DAY])
async def test_answers_go_on_while_the_disk_is_full_for_long(service: Service, full: Any, seconds: int):
    await service.beat()
    full()
    service.jump(seconds)
    assert await reads(service) == dict.fromkeys(READS, 200)


async def test_a_reload_that_cannot_be_stored_keeps_the_old_configuration(service: Service, full: Any):
    full()
    with suppress(Unavailable):
        await service.configure(a_monitor("earth"), a_monitor("pluto"))
    listed = await service.get("/api/monitors")
    assert [monitor["tag"] for monitor in listed] == ["earth", "mars"]


# Retention


def fill(connection: sqlite3.Connection, days: int) -> None:
    """A sample a day, the newest now."""
    samples.record(connection, [beat(1440 * day) for day in range(days)])


def dropped(connection: sqlite3.Connection, instant: int) -> bool:
    everyone = retention.keep_from(connection, instant)
    return retention.delete_before(connection, everyone, instant, limit=1000)


async def test_what_is_too_old_goes_except_the_newest_of_it(store: SQLiteDatabase):
    await store.write(partial(fill, days=20))
    await store.write(partial(dropped, instant=NOON - 10 * DAY + 900))
    assert min(await stored(store)) == NOON - 10 * DAY
    await store.write(partial(dropped, instant=NOON - 5 * DAY))
    assert min(await stored(store)) == NOON - 6 * DAY
    assert len(await stored(store)) == 7


async def test_dropping_goes_in_small_steps_to_the_end(
    store: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kener_async.worker.housekeeping.ROWS_AT_ONCE", 3)
    await store.write(partial(fill, days=20))
    await drop_old(store, MonitorStates(), lambda: NOON, lambda: 10 * DAY, NEVER)
    assert len(await stored(store)) == 12


@pytest.mark.parametrize(("since_gap", "left"), [(DAY - 1, 20), (DAY, 12)])
async def test_nothing_is_dropped_for_a_day_after_a_gap(store: SQLiteDatabase, since_gap: int, left: int):
    await store.write(partial(fill, days=20))
    end = NOON - since_gap
    await store.write(partial(observer.save_seen, gaps=[Gap(end - 3600, end)], now=end))
    await drop_old(store, MonitorStates(), lambda: NOON, lambda: 10 * DAY, NEVER)
    assert len(await stored(store)) == left


@pytest.mark.parametrize("path", ["/api/status", "/api/status/batch"])
async def test_what_a_lock_of_another_process_holds_up_is_refused_in_time_and_never_stored(
    service: Service, monkeypatch: pytest.MonkeyPatch, path: str
):
    monkeypatch.setattr("kener_async.worker.writer.MAX_WAIT", 0.2)
    sample = {"tag": "earth", "status": "UP", "latency": 1}
    body = sample if path == "/api/status" else {"samples": [sample]}
    other = sqlite3.connect(service.app[keys.RUNNING].config.database.path, isolation_level=None)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        answers = await asyncio.gather(*(service.ask("POST", path, json=body) for _ in range(5)))
        answers.append(await service.ask("POST", path, json=body))
        took = time.monotonic() - began
        other.execute("ROLLBACK")
    error = {"error": "the database does not answer; nothing was stored"}
    assert answers == [(503, error)] * 6
    assert took < 3  # SQLite itself waits for 5 s, for each transaction
    async with asyncio.timeout(5):
        while await service.ask("POST", path, json=body) == (503, error):
            assert await service.app[keys.DATABASE].read(samples.at, [(1, NOON)]) == {}
            await asyncio.sleep(0.01)


async def test_a_clock_a_year_ahead_by_mistake_drops_nothing(service: Service, clock: FakeClock):
    await service.beat()
    service.jump(500 * DAY)
    await service.app[keys.LOADER].observe()
    await drop_old(service.app[keys.DATABASE], service.app[keys.STATES], clock, lambda: 400 * DAY, NEVER)
    service.jump(-500 * DAY)
    await service.beat("mars")
    assert (await service.get("/api/status", tag="earth"))["lastUpdatedAt"] == NOON


# Jobs


async def test_one_run_of_a_job_at_a_time(monkeypatch: pytest.MonkeyPatch):
    running, most, runs = 0, 0, 0
    go_on = asyncio.Event()

    async def job(stop: StopToken) -> None:
        nonlocal running, most, runs
        running, runs = running + 1, runs + 1
        most = max(most, running)
        await go_on.wait()
        running -= 1

    pool = Pool(Metrics())
    for _ in range(5):
        pool.submit("one", job)
        await asyncio.sleep(0)
    pool.submit("other", job)
    await asyncio.sleep(0)
    assert (runs, most) == (2, 2)
    go_on.set()
    await pool.drained()
    pool.submit("one", job)
    await pool.drained()
    assert runs == 3


async def test_a_pool_lets_what_has_begun_finish():
    finished = []

    async def job(seconds: float, stop: StopToken) -> None:
        await asyncio.sleep(seconds)
        finished.append(seconds)

    pool = Pool(Metrics())
    pool.submit("a", partial(job, 0.02))
    pool.submit("b", partial(job, 0.05))
    await pool.drained()
    assert finished == [0.02, 0.05]


async def test_a_job_that_fails_is_counted_and_runs_again():
    metrics = Metrics()

    async def job(stop: StopToken) -> None:
        raise RuntimeError("on purpose")

    pool = Pool(metrics)
    for _ in range(2):
        pool.submit("bad", job)
        await pool.drained()
    assert b'kener_job_failures_total{job="bad"} 2.0' in metrics.text()


async def test_leaving_the_schedule_waits_for_the_run_under_way():
    begun, finished = asyncio.Event(), False

    async def job(stop: StopToken) -> None:
        nonlocal finished
        begun.set()
        await asyncio.sleep(0.05)
        finished = True

    schedule = Scheduler(Metrics())
    schedule.every(3600, "slow", job)
    async with schedule.running():
        await asyncio.wait_for(begun.wait(), 5)
    assert finished


async def test_after_a_step_of_the_clock_every_job_runs_at_once():
    runs = asyncio.Queue[str]()
    schedule = Scheduler(Metrics())
    for name in ("a", "b"):
        schedule.every(3600, name, short(partial(runs.put, name)))
    async with schedule.running():
        assert {await asyncio.wait_for(runs.get(), 5) for _ in "ab"} == {"a", "b"}
        schedule.reanchor()
        assert {await asyncio.wait_for(runs.get(), 5) for _ in "ab"} == {"a", "b"}


@pytest.mark.parametrize("jump", [timedelta(0), timedelta(hours=1), timedelta(days=365), -timedelta(days=1)])
def test_the_next_run_is_counted_from_now_whatever_was_missed(jump: timedelta):
    planned = datetime(2026, 1, 1, tzinfo=UTC)
    now = planned + jump
    assert DelayTrigger(5).get_next_fire_time(planned, now) == now + timedelta(seconds=5)
    assert DelayTrigger(5).get_next_fire_time(None, now) == now + timedelta(seconds=5)
