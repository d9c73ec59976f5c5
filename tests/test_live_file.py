"""The database is deleted, replaced or overwritten under the server: only what is kept is acknowledged."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from kener_async.store import tokens
from kener_async.store.sqlite import condition, files, transactions
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.live_file import (
    DELETED,
    LOG_LOST,
    MOVED,
    OVERWRITTEN,
    REPLACED,
    TRUNCATED,
    LiveFile,
)
from tests.rigs.process import Client, Server, a_config, connected, integrity, stored_samples

BEAT = {"tag": "earth", "status": "UP", "latency": 0.1}


def path_of(server: Server, suffix: str = "") -> Path:
    return Path(f"{server.database}{suffix}")


def delete(server: Server) -> None:
    server.database.unlink()


def delete_the_folder(server: Server) -> None:
    shutil.rmtree(server.database.parent)


def truncate(server: Server) -> None:
    os.truncate(server.database, server.database.stat().st_size // 2)


def empty(server: Server) -> None:
    os.truncate(server.database, 0)


def overwrite(server: Server, content: bytes) -> None:
    with open(server.database, "r+b") as file:
        file.write(content)


def overwrite_with_zeros(server: Server) -> None:
    overwrite(server, bytes(server.database.stat().st_size))


def another_database(server: Server, *, of_ours: bool) -> Path:
    other = server.folder / "other.db"
    if of_ours:
        transactions.write(other, tokens.add, tokens.Token("id", "other", (), None, 1, None))
    else:
        with closing(sqlite3.connect(other)) as connection:
            connection.execute("CREATE TABLE albums (title)")
    return other


def overwrite_with_another_of_ours(server: Server) -> None:
    """As `cp` does, which keeps the inode."""
    shutil.copyfile(another_database(server, of_ours=True), server.database)


def overwrite_with_a_foreign_one(server: Server) -> None:
    shutil.copyfile(another_database(server, of_ours=False), server.database)


def replace(server: Server) -> None:
    os.replace(another_database(server, of_ours=True), server.database)


def rename_the_folder(server: Server) -> None:
    server.database.parent.rename(server.folder / "elsewhere")


def delete_the_log(server: Server) -> None:
    path_of(server, "-wal").unlink()


def delete_the_index(server: Server) -> None:
    path_of(server, "-shm").unlink()


@dataclass(frozen=True)
class Kind:
    happens: Callable[[Server], None]
    what: str  # is said by every answer

    def __str__(self) -> str:
        return self.happens.__name__


LOST = [
    Kind(delete, DELETED.what),
    Kind(delete_the_folder, DELETED.what),
    Kind(truncate, TRUNCATED.what),
    Kind(empty, TRUNCATED.what),
    Kind(overwrite_with_zeros, OVERWRITTEN.what),
    Kind(overwrite_with_another_of_ours, OVERWRITTEN.what),
    Kind(overwrite_with_a_foreign_one, OVERWRITTEN.what),
    Kind(replace, REPLACED.what),
    Kind(rename_the_folder, MOVED.what),
]
REPAIRED = [Kind(delete_the_log, LOG_LOST.what), Kind(delete_the_index, LOG_LOST.what)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Not started yet; its database has a folder of its own."""
    with Server(tmp_path, a_config(), database=tmp_path / "data" / "kener.db") as one:
        yield one


async def beats(client: Client, count: int) -> list[int]:
    return [(await client.ask("POST", "/api/status", BEAT)).status for _ in range(count)]


@pytest.mark.process
@pytest.mark.parametrize("kind", LOST, ids=str)
async def test_what_is_posted_after_the_database_is_lost_is_never_acknowledged(server: Server, kind: Kind):
    token = server.add_token()
    await asyncio.to_thread(server.start)
    async with connected(server.port, token) as client:
        assert await beats(client, 3) == [200] * 3
        assert (await client.ask("GET", "/")).status == 200
        kind.happens(server)
        refused = [await client.ask("POST", "/api/status", BEAT) for _ in range(3)]
        assert [(answer.status, "retry-after" in answer.headers) for answer in refused] == [(503, True)] * 3
        assert all(kind.what in answer.json()["error"] for answer in refused)
        ready = await client.ask("GET", "/readyz")
        assert (ready.status, kind.what in ready.json()["checks"]["database"]) == (503, True)
        alive = await client.ask("GET", "/healthz")
        assert (alive.status, kind.what in alive.json()["status"]) == (200, True)
        assert (await client.ask("GET", "/")).status == 200, "the page is still in memory"
    assert server.is_running
    lost = [line for line in server.logs() if line["event"] == "the database is lost"]
    assert [line["what"] for line in lost] == [kind.what]
    assert server.stop() == 0
    assert "Traceback" not in server.log_text()


@pytest.mark.process
@pytest.mark.parametrize("kind", REPAIRED, ids=str)
async def test_without_its_log_the_service_ends_in_order_and_a_restart_has_everything(
    server: Server, kind: Kind
):
    token = server.add_token()
    await asyncio.to_thread(server.start)
    async with connected(server.port, token) as client:
        assert await beats(client, 3) == [200] * 3
        kind.happens(server)
        assert (await client.ask("POST", "/api/status", BEAT | {"tag": "mars"})).status == 503
    assert await asyncio.to_thread(server.wait) == 1
    assert server.until_logged("stopping")["reason"] == f"{kind.what}; a restart repairs that"
    assert [tag for tag, _ in stored_samples(server.database)] == ["earth"]
    assert integrity(server.database) == "ok"
    await asyncio.to_thread(server.start)
    async with connected(server.port, token) as client:
        assert await beats(client, 1) == [200]
    assert server.stop() == 0


@pytest.mark.process
@pytest.mark.parametrize("happens", [delete, delete_the_folder, replace], ids=lambda call: call.__name__)
async def test_what_a_deleted_database_held_is_saved_and_can_be_restored(
    server: Server, happens: Callable[[Server], None]
):
    token = server.add_token()
    await asyncio.to_thread(server.start)
    async with connected(server.port, token) as client:
        assert await beats(client, 3) == [200] * 3
        happens(server)
        assert await beats(client, 1) == [503]
        saved = (await asyncio.to_thread(server.until_logged, "what the lost database held is saved"))["file"]
        assert saved in (await client.ask("GET", "/readyz")).json()["checks"]["database"]
    assert server.stop() == 0
    done = server.run("restore", saved, "--force")
    assert done.returncode == 0, done.stderr
    assert [tag for tag, _ in stored_samples(server.database)] == ["earth"]
    await asyncio.to_thread(server.start)
    async with connected(server.port, token) as client:
        assert await beats(client, 1) == [200]
    assert server.stop() == 0


@pytest.mark.process
async def test_a_folder_that_is_moved_back_is_written_to_again(server: Server):
    token = server.add_token()
    await asyncio.to_thread(server.start)
    async with connected(server.port, token) as client:
        rename_the_folder(server)
        assert await beats(client, 1) == [503]
        (server.folder / "elsewhere").rename(server.database.parent)
        assert await beats(client, 1) == [200]
        assert (await client.ask("GET", "/readyz")).status == 200
    assert len([line for line in server.logs() if line["event"] == "the database can be written again"]) == 1
    assert server.stop() == 0
    assert integrity(server.database) == "ok"


@pytest.mark.process
@pytest.mark.parametrize("happens", [overwrite_with_another_of_ours, replace], ids=lambda call: call.__name__)
async def test_the_log_of_the_lost_database_is_not_applied_to_the_one_in_its_place(
    server: Server, happens: Callable[[Server], None]
):
    token = server.add_token()
    await asyncio.to_thread(server.start)
    async with connected(server.port, token) as client:
        assert await beats(client, 3) == [200] * 3
        happens(server)
        content = server.database.read_bytes()
        assert await beats(client, 3) == [503] * 3
    assert server.stop() == 0
    assert server.database.read_bytes() == content
    assert not path_of(server, "-wal").exists()
    assert integrity(server.database) == "ok"


def lock_for(database: Path, seconds: float) -> "subprocess.Popen[str]":
    """Another process that holds the lock of the database, from the return of this on."""
    work = (
        "import sqlite3, sys, time; connection = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "connection.execute('BEGIN IMMEDIATE'); print('locked', flush=True); time.sleep(float(sys.argv[2]))"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", work, database, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    return holder


@pytest.mark.process
async def test_while_another_process_holds_the_lock_heartbeats_are_refused_in_time_and_pages_do_not_wait(
    tmp_path: Path,
):
    tags = [f"m{number}" for number in range(30)]
    with Server(tmp_path, a_config(tags=tags)) as server:
        token = server.add_token()
        await asyncio.to_thread(server.start)

        async def timed(method: str, path: str, body: Any = None) -> tuple[int, float]:
            async with connected(server.port, token) as client:
                began = time.monotonic()
                return (await client.ask(method, path, body)).status, time.monotonic() - began

        old = int(time.time()) // 60 * 60 - 7200  # marks quarters to be counted before they are shown
        for tag in tags:
            late = BEAT | {"tag": tag, "timestampInSeconds": old}
            assert (await timed("POST", "/api/status", late))[0] == 200
        with lock_for(server.database, 30) as holder:
            try:
                reads = [timed("GET", path) for path in ("/", "/monitor/m1", "/api/status?tag=m2") * 5]
                batch = {"samples": [BEAT | {"tag": "m1", "timestampInSeconds": old}]}
                posts = [timed("POST", "/api/status", BEAT | {"tag": tag}) for tag in tags]
                posts += [timed("POST", "/api/status/batch", batch) for _ in range(4)]
                answered = await asyncio.gather(*reads, *posts)
                again = await asyncio.gather(
                    *(timed("POST", "/api/status", BEAT | {"tag": "m1"}) for _ in "ab")
                )
            finally:
                holder.kill()
        assert [status for status, _ in answered] == [200] * 15 + [503] * 34
        assert max(took for _, took in answered[:15]) < 1.5
        assert max(took for _, took in answered[15:]) < 4
        assert max(took for _, took in again) < 1
        assert (await timed("POST", "/api/status", BEAT | {"tag": "m1"}))[0] == 200
        refusals = [line for line in server.logs() if line["event"] == "the database could not be written"]
        assert len(refusals) == 1
        assert server.stop() == 0


@pytest.mark.process
def test_a_second_server_is_refused_although_the_lock_file_was_removed(server: Server, tmp_path: Path):
    server.start()
    path_of(server, ".lock").unlink()
    (tmp_path / "second").mkdir()
    with Server(tmp_path / "second", database=server.database) as second:
        second.launch()
        assert second.wait() == 1
        assert "another server is running on this database" in second.log_text()
    assert condition.server_of(server.database) == server.pid


@pytest.mark.process
@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (delete, "was deleted or moved away under the server that runs on it"),
        (replace, "is not the file that the server runs on"),
        (delete_the_log, "kener.db-wal was deleted under the server"),
        (overwrite_with_zeros, "file is not a database"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_doctor_and_status_say_what_happened_to_the_file(
    server: Server, happens: Callable[[Server], None], words: str
):
    server.config.write_text(a_config({"server": {"port": server.port}}))
    server.start()
    if happens is delete_the_log:
        server.freeze()  # or it ends, and repairs it
    happens(server)
    doctor, status = server.run("doctor"), server.run("status")
    assert (doctor.returncode, words in doctor.stdout) == (1, True), doctor.stdout
    assert (status.returncode, words in status.stderr) == (1, True), status.stderr
    assert "Traceback" not in doctor.stderr + status.stderr


# Without a server


@pytest.fixture
def database(tmp_path: Path) -> Path:
    transactions.write(tmp_path / "kener.db", lambda session: None)
    return tmp_path / "kener.db"


@pytest.fixture
def live(database: Path) -> Iterator[tuple[LiveFile, sqlite3.Connection]]:
    """A file that is watched, and the connection that writes to it."""
    with files.locked(database) as descriptor, closing(connect(database)) as writer:
        assert descriptor is not None
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("COMMIT")
        yield LiveFile(database, descriptor), writer


def grow(connection: sqlite3.Connection) -> None:
    connection.executemany(
        "INSERT INTO tokens (id, name, scopes, created_at) VALUES (hex(randomblob(9)), ?, '', 1)",
        [("x" * 3000,)] * 20,
    )


def checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def test_what_sqlite_itself_does_to_the_file_is_no_fault(live: tuple[LiveFile, sqlite3.Connection]):
    file, writer = live
    size = file.path.stat().st_size
    for _ in range(30):
        grow(writer)
        assert file.check() is None
        checkpoint(writer)
        assert file.check() is None
    assert file.path.stat().st_size > size


def test_a_checkpoint_and_a_vacuum_of_another_process_are_no_fault(
    live: tuple[LiveFile, sqlite3.Connection],
):
    file, _ = live
    with closing(connect(file.path)) as other:
        grow(other)
        checkpoint(other)
        assert file.check() is None
        other.execute("DELETE FROM tokens")
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert file.check() is None


def test_a_touched_file_is_no_fault(live: tuple[LiveFile, sqlite3.Connection]):
    file, _ = live
    file.path.touch()
    file.path.chmod(0o600)
    assert file.check() is None


def test_a_fault_of_the_content_stays_until_a_restart(live: tuple[LiveFile, sqlite3.Connection]):
    file, _ = live
    content = file.path.read_bytes()
    file.path.write_bytes(bytes(len(content)))
    assert file.check() is OVERWRITTEN
    file.path.write_bytes(content)
    assert file.check() is OVERWRITTEN


def test_a_look_costs_little_beside_a_commit(live: tuple[LiveFile, sqlite3.Connection]):
    """Both looks of a commit, against a commit without any flush to disk, which is the cheapest."""
    file, writer = live
    writer.execute("PRAGMA synchronous = OFF")

    def timed(work: Callable[[], Any]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    def commit() -> None:
        writer.execute("BEGIN IMMEDIATE")
        grow(writer)
        writer.execute("COMMIT")

    def look_twice() -> None:
        file.require()
        file.require()

    assert median(timed(look_twice) for _ in range(100)) < median(timed(commit) for _ in range(100)) / 3
