"""The SQLite file: opened and checked, one connection that writes, a few that read."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import IO, Concatenate, ParamSpec, TypeVar

import aiosqlite
import structlog

from kener_async.domain.errors import Unavailable
from kener_async.errors import FatalError
from kener_async.store.sqlite import files, migrations, upgrade, version

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[sqlite3.Connection, P], T]

log = structlog.get_logger(__name__)

NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs"}
SMALL_TABLES = (
    "service",
    "monitors",
    "settings",
    "gaps",
    "incidents",
    "incident_monitors",
    "tokens",
    "devices",
    "device_monitors",
    "boots",
    "runs",
)
LARGE_TABLES = ("dirty", "comments", "samples", "quarters", "heard", "claims")
READERS = 2
CHECKPOINT_PAGES = 250  # a checkpoint of SQLite's 1,000 holds up heartbeats for 30 ms


class DatabaseFileError(FatalError):
    """The database cannot be used, and why, in one line."""


class Connection(aiosqlite.Connection):
    """An aiosqlite connection that runs a whole transaction in one hop to its thread.

    Each awaited call of aiosqlite is a hop, and hops cost more than commits (docs/why.md).
    """

    async def transact(self, begin: str, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._execute(_transaction, self._conn, begin, work, *args, **kwargs)  # type: ignore[no-untyped-call]
        return result


def _transaction(
    connection: sqlite3.Connection, begin: str, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    try:
        connection.execute(begin)
        result = work(connection, *args, **kwargs)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


class SQLiteDatabase:
    """The database of a running service (store/interface.py): one connection writes, a few read."""

    def __init__(self, writer: Connection, readers: list[Connection]) -> None:
        self._writer = writer
        self._readers = readers
        self._idle: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for reader in readers:
            self._idle.put_nowait(reader)
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.last_commit = monotonic()
        self.damage: str | None = None

    async def write(self, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the work in a transaction of its own; its changes are durable on return.

        Raises Unavailable when the file cannot be written now (disk full, read-only). A failed flush to disk
        ends the service, because the system may then report pages as written that are not on disk.
        """
        try:
            result = await self._writer.transact("BEGIN IMMEDIATE", work, *args, **kwargs)
        except sqlite3.OperationalError as error:
            raise self._refusal(error) from error
        self.last_commit = monotonic()
        return result

    async def read(self, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the work on one consistent snapshot, which holds everything committed before the call."""
        reader = await self._idle.get()
        try:
            return await reader.transact("BEGIN", work, *args, **kwargs)
        finally:
            self._idle.put_nowait(reader)

    async def check_writer(self) -> None:
        """Return once the writer has run an empty transaction; raises Unavailable when it cannot."""
        await self.write(_nothing)

    async def check_large_tables(self) -> None:
        """SQLite's quick check of the tables too large to check before the start; sets `damage`."""
        for table in LARGE_TABLES:
            try:
                await self.read(check, table)
            except sqlite3.DatabaseError as error:
                self.damage = f"{table}: {error}"
                log.error("the database is damaged", table=table, error=str(error))

    def _refusal(self, error: sqlite3.OperationalError) -> Exception:
        code = error.sqlite_errorcode
        log.error("the database could not be written", error=str(error), code=error.sqlite_errorname)
        if code in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC):
            if not self.failed.done():
                self.failed.set_result("a write could not be flushed to disk; the service must start anew")
            return Unavailable("the disk failed; nothing was stored")
        match code & 0xFF:
            case sqlite3.SQLITE_FULL:
                return Unavailable("the disk is full; nothing was stored")
            case sqlite3.SQLITE_READONLY:
                return Unavailable("the database is read-only; nothing was stored")
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_BUSY | sqlite3.SQLITE_CANTOPEN:
                return Unavailable("the database cannot be written; nothing was stored")
        return error

    async def close(self) -> None:
        # The writer goes last: it alone may checkpoint, and takes the WAL file away.
        for reader in self._readers:
            await reader.close()
        await self._writer.close()


def _nothing(connection: sqlite3.Connection) -> None:
    """The work of a transaction that only shows whether the writer answers."""


@asynccontextmanager
async def opened(path: Path, synchronous: str) -> AsyncIterator[SQLiteDatabase]:
    """The database of a running service: created, migrated and checked; refused to a second server.

    Raises DatabaseFileError.
    """
    prepare_folder(path)
    with locked(path):
        await asyncio.get_running_loop().run_in_executor(None, prepare, path)
        writer = Connection(lambda: connect(path, synchronous=synchronous), 64)
        readers = [Connection(lambda: connect(path, read_only=True), 64) for _ in range(READERS)]
        async with writer:
            for reader in readers:
                await reader
            database = SQLiteDatabase(writer, readers)
            try:
                yield database
            finally:
                await database.close()


def connect(path: Path, *, synchronous: str = "FULL", read_only: bool = False) -> sqlite3.Connection:
    """A connection as all of ours are: explicit transactions, WAL, foreign keys, a short wait for a lock."""
    version.require()
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -8000")
    connection.create_function("casefold", 1, lambda text: text.casefold(), deterministic=True)
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    return connection


@contextmanager
def beside_the_server(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one short command while a server may be running: it writes, but never checkpoints.

    SQLite before 3.51.3 can corrupt a WAL when two connections checkpoint at once; only the server does.
    """
    prepare_folder(path)
    prepare(path, may_upgrade=False)
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        yield connection


def transaction(connection: sqlite3.Connection, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run the work in a transaction of its own, outside the service."""
    return _transaction(connection, "BEGIN IMMEDIATE", work, *args, **kwargs)


def prepare_folder(path: Path) -> None:
    folder = path.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise DatabaseFileError(f"{folder}: cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DatabaseFileError(f"{folder}: not writable")
    if file_system(folder) in NETWORK_FILE_SYSTEMS:
        log.warning(
            "the database lies on a network file system, where SQLite's locks may fail", folder=str(folder)
        )


def prepare(path: Path, *, may_upgrade: bool = True) -> None:
    """Bring the file to this program's schema and check what is small; raises DatabaseFileError.

    An old file is upgraded by who holds its lock only: a server of the old version may be running on it.
    """
    with faults_of(path), closing(connect(path)) as connection:
        if not may_upgrade and migrations.lacking(connection):
            raise ValueError("has an older schema: start the service, or run `kener-async migrate`, first")
        upgrade.upgrade(connection, path)
        for table in SMALL_TABLES:
            check(connection, table)


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Say in one line what is wrong with the file."""
    try:
        yield
    except (sqlite3.DatabaseError, ValueError) as error:
        raise DatabaseFileError(f"{path}: {error}") from error
    except OSError as error:
        raise DatabaseFileError(f"{error.filename or path}: {error.strerror}") from error


def check(connection: sqlite3.Connection, table: str) -> None:
    """SQLite's quick check of one table; raises sqlite3.DatabaseError with what it found."""
    (answer,) = connection.execute(f"PRAGMA quick_check('{table}')").fetchone()
    if answer != "ok":
        raise sqlite3.DatabaseError(f"damaged: {answer}")


def file_system(folder: Path) -> str:
    """The type of the file system a folder lies on, "" where the system does not tell."""
    best, kind = "", ""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    for line in mounts:
        _, point, fs, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = folder == Path(point) or Path(point) in folder.parents
        if inside and len(point) >= len(best):
            best, kind = point, fs
    return kind


@contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """Hold the exclusive lock of a database, as a running server does; raises DatabaseFileError."""
    try:
        lock = open(f"{path}.lock", "w")  # noqa: SIM115 - held as long as the service runs
        files.give_to_owner_of(path.absolute().parent, Path(f"{path}.lock"))
    except OSError as error:
        raise DatabaseFileError(f"{path}.lock: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise DatabaseFileError(f"{path}: another server is running on this database") from None
    try:
        yield lock
    finally:
        lock.close()
