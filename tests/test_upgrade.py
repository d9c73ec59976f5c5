"""Upgrades: the old file is kept, and after any interruption the database is the old or the new one.

There is one released schema so far; the steps here are those of releases to come.
"""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from kener_async.store.admin import restore
from kener_async.store.sqlite import migrations, transactions
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.errors import DatabaseFileError
from kener_async.store.sqlite.files import NotEnoughSpace, folder_locked
from kener_async.store.sqlite.migrations import VERSION
from kener_async.store.sqlite.upgrade import prepare
from tests.rigs.database import contents, fill
from tests.rigs.process import NotReady, Server, a_config
from tests.rigs.service import NOON, FakeClock

NEXT = VERSION + 1
FIRST = "-- Monitors have notes.\nALTER TABLE monitors ADD COLUMN note TEXT; UPDATE monitors SET note = tag;"
SECOND = """-- Notes have a table.
    CREATE TABLE notes (body TEXT) STRICT;
    INSERT INTO notes SELECT note FROM monitors;
"""
FAILING = "DELETE FROM samples; INSERT INTO nowhere VALUES (1);"
ORPHANING = "DELETE FROM incidents;"
FULL = (
    "PRAGMA max_page_count = 1; CREATE TABLE notes (body TEXT); INSERT INTO notes SELECT hex(zeroblob(9999));"
)
ENDLESS = """
    DELETE FROM samples;
    CREATE TABLE numbers (n);
    INSERT INTO numbers WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c;
"""

Steps = dict[int, str]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled database that nobody changes."""
    return asyncio.run(fill(tmp_path_factory.mktemp("original"), FakeClock()))


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "kener.db"))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Two steps of releases to come."""
    steps = {NEXT: FIRST, NEXT + 1: SECOND}
    monkeypatch.setattr(migrations, "step", steps.__getitem__)
    monkeypatch.setattr(migrations, "VERSION", NEXT + 1)
    return steps


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def kept(path: Path) -> Path:
    return path.with_name(f"{path.name}.v{VERSION}.bak")


def test_the_old_file_is_kept_before_it_is_upgraded(original: Path, path: Path, steps: Steps):
    prepare(path)
    assert version_of(path) == NEXT + 1
    assert ("earth",) in contents(path)["notes"]
    assert version_of(kept(path)) == VERSION
    assert contents(kept(path)) == contents(original)


def test_what_was_kept_is_a_way_back(
    original: Path, path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
):
    prepare(path)
    monkeypatch.undo()  # the old program again
    with pytest.raises(DatabaseFileError, match="was written by a newer version"):
        prepare(path)
    restore.restore(kept(path), path, NOON, force=True)
    prepare(path)
    assert contents(path) == contents(original)


def test_a_new_file_and_one_that_is_up_to_date_are_not_kept(original: Path, path: Path, tmp_path: Path):
    prepare(path)
    prepare(tmp_path / "new.db")
    assert not list(tmp_path.glob("*.bak"))


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (FAILING, "no such table: nowhere"),
        (ORPHANING, "refers to a missing row of incidents"),
        (FULL, "database or disk is full"),
    ],
    ids=["a fault in a step", "a row left without its owner", "a full disk"],
)
def test_a_step_that_fails_leaves_the_file_as_it_was(
    original: Path, path: Path, steps: Steps, last: str, words: str
):
    steps[NEXT + 1] = last
    with pytest.raises(
        DatabaseFileError, match=f"from schema {VERSION} to {NEXT + 1} failed and was rolled back: .*{words}"
    ):
        prepare(path)
    assert version_of(path) == VERSION
    assert contents(path) == contents(original)
    steps[NEXT + 1] = SECOND
    prepare(path)
    assert version_of(path) == NEXT + 1
    assert contents(kept(path)) == contents(original)


def test_without_room_for_the_copy_nothing_is_upgraded(
    original: Path, path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
):
    disk = os.statvfs(path)
    full = os.statvfs_result([*disk[:4], 1000, *disk[5:]])  # f_bavail
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(NotEnoughSpace):
        prepare(path)
    assert contents(path) == contents(original)
    assert not list(path.parent.glob("*.bak"))


def test_a_command_beside_a_server_that_is_still_the_old_one_does_not_upgrade_its_file(
    original: Path, path: Path, steps: Steps
):
    with pytest.raises(DatabaseFileError, match="has an older schema: start the service"):  # noqa: SIM117
        with transactions.beside_the_server(path):
            pass
    assert contents(path) == contents(original)


def test_a_step_may_replace_a_table_that_others_refer_to(original: Path, path: Path, steps: Steps):
    steps[NEXT + 1] = """
        CREATE TABLE planets (id INTEGER PRIMARY KEY, tag TEXT NOT NULL UNIQUE, note TEXT) STRICT;
        INSERT INTO planets SELECT id, tag, note FROM monitors;
        DROP TABLE monitors;
        ALTER TABLE planets RENAME TO monitors;
    """
    prepare(path)
    assert contents(path)["settings"] == contents(original)["settings"]
    with closing(connect(path)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO settings VALUES (99, 1, '{}')")  # keys are watched over again


# The real program

PATCH = """
from kener_async.store.sqlite import migrations
steps = {steps!r}
migrations.step = steps.__getitem__
migrations.VERSION = {version}
"""


def to_come(*texts: str) -> str:
    """A program of a release to come: what runs first in it."""
    steps = dict(enumerate(texts, start=NEXT))
    return PATCH.format(steps=steps, version=NEXT + len(texts) - 1)


Machine = Callable[..., Server]


@pytest.fixture
def machine(tmp_path: Path, path: Path) -> Iterator[Machine]:
    """The server of a release to come, on the filled database; not started."""
    made = []

    def make(*texts: str) -> Server:
        made.append(Server(tmp_path, a_config(), database=path, fault=to_come(*texts)))
        return made[-1]

    yield make
    for server in made:
        server.kill()


def run(server: Server, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command of the same release."""
    return subprocess.run(
        [sys.executable, *server.program, *words, "--config", str(server.config)],
        capture_output=True,
        text=True,
        env={**server.environment, "KENER_DATABASE_PATH": str(server.database)},
        cwd=server.folder,
        timeout=30,
        check=False,
    )


@pytest.mark.process
def test_a_start_upgrades_and_says_so(original: Path, path: Path, machine: Machine):
    server = machine(FIRST, SECOND).start()
    assert server.until_logged("upgrading the database")["kept"] == str(kept(path))
    assert server.stop() == 0
    assert version_of(path) == NEXT + 1
    assert contents(kept(path)) == contents(original)


@pytest.mark.process
def test_a_start_that_cannot_upgrade_says_why_and_the_old_release_goes_on(
    original: Path, path: Path, machine: Machine
):
    server = machine(FIRST, FAILING)
    with pytest.raises(NotReady):
        server.start()
    last = server.logs()[-1]
    assert last["event"] == "cannot start"
    assert "failed and was rolled back: no such table: nowhere" in last["reason"]
    assert contents(path) == contents(original)
    with Server(path.parent, a_config(), database=path).start() as old:
        assert old.stop() == 0


def test_a_process_waits_for_another_that_is_setting_up_the_same_new_file(tmp_path: Path):
    path = tmp_path / "kener.db"
    with ThreadPoolExecutor(1) as pool, closing(connect(path)) as first:
        with folder_locked(tmp_path):
            first.execute("BEGIN IMMEDIATE")
            second = pool.submit(prepare, path)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.5)
            first.execute("COMMIT")
            migrations.migrate(first)
        second.result()
    assert version_of(path) == VERSION


@pytest.mark.process
def test_an_upgrade_that_is_killed_leaves_the_file_as_it_was_and_the_next_start_does_it(
    original: Path, path: Path, machine: Machine
):
    server = machine(FIRST, ENDLESS)
    server.launch()
    server.until_logged("upgrading the database", seconds=30)
    log_has_grown(path)
    server.kill()
    assert version_of(path) == VERSION
    assert contents(path) == contents(original)
    server = machine(FIRST, SECOND).start()
    assert server.stop() == 0
    assert version_of(path) == NEXT + 1
    assert [file.name for file in path.parent.glob("*.bak")] == [kept(path).name]
    assert contents(kept(path)) == contents(original)
    assert not list(path.parent.glob(".kener*"))


def log_has_grown(path: Path) -> None:
    """Wait until the step under way has written a good deal that is not committed."""
    wal = Path(f"{path}-wal")
    while not wal.exists() or wal.stat().st_size < 12 << 20:
        time.sleep(0.005)


@pytest.mark.process
def test_an_upgrade_can_be_tried_while_the_old_release_runs(original: Path, path: Path, machine: Machine):
    with Server(path.parent, a_config(), database=path).start() as old:
        done = run(machine(FIRST, SECOND), "migrate", "--dry-run")
        assert done.returncode == 0
        assert done.stdout.splitlines() == [
            f"schema version {VERSION}, this program needs {NEXT + 1}",
            f"step {NEXT}: Monitors have notes.",
            f"step {NEXT + 1}: Notes have a table.",
            "the upgrade of a copy succeeded and changed 4 rows",
        ]
        refused = run(machine(FIRST, SECOND), "migrate")
        assert refused.returncode == 1
        assert "another server is running on this database" in refused.stderr
        assert old.stop() == 0
    assert version_of(path) == VERSION
    assert not list(path.parent.glob("*.bak"))


@pytest.mark.process
def test_a_rehearsal_finds_what_the_upgrade_would_fail_of(path: Path, machine: Machine):
    done = run(machine(FIRST, FAILING), "migrate", "--dry-run")
    assert done.returncode == 1
    assert done.stderr.endswith("no such table: nowhere\n")
    assert version_of(path) == VERSION


@pytest.mark.process
def test_the_command_upgrades_as_a_start_does(original: Path, path: Path, machine: Machine):
    assert run(machine(FIRST, SECOND), "migrate").returncode == 0
    assert contents(kept(path)) == contents(original)
    again = run(machine(FIRST, SECOND), "migrate")
    assert again.stdout == f"schema version {NEXT + 1}, this program needs {NEXT + 1}\n"


@pytest.mark.process
def test_a_backup_of_the_old_release_is_restored_and_verified_by_the_new_one(
    original: Path, path: Path, machine: Machine, tmp_path: Path
):
    old = Server(path.parent, a_config(), database=path)
    backup = str(tmp_path / "old.tar.gz")
    assert old.run("backup", backup).returncode == 0
    server = machine(FIRST, SECOND)
    assert run(server, "verify", backup).returncode == 0
    assert run(server, "restore", backup, "--force").returncode == 0
    assert contents(path) == contents(original)
    server.start()
    assert server.stop() == 0
    assert version_of(path) == NEXT + 1
