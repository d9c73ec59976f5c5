"""The database of a running service: one connection that writes, a few that read."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic

import structlog

from kener_async.domain.errors import Unavailable
from kener_async.errors import FatalError
from kener_async.store.interface import StoreError
from kener_async.store.sqlite import files, upgrade
from kener_async.store.sqlite.connections import AsyncConnection, P, SQLiteWork, T, connect, transaction
from kener_async.store.sqlite.errors import database_errors
from kener_async.store.sqlite.live_file import FileFault, FileLost, LiveFile
from kener_async.store.sqlite.quick_check import LARGE_TABLES, check_table

log = structlog.get_logger(__name__)

READERS = 2
LOCK_SECONDS = 2.0  # how long a write waits while another process holds the lock
LOCKED_SECONDS = 0.1  # and when the lock has been held for that long already
LOCK_PAUSE = 0.01


class SQLiteDatabase:
    """See store/interface.py."""

    def __init__(
        self,
        writer: AsyncConnection,
        readers: list[AsyncConnection],
        glancer: AsyncConnection,
        file: LiveFile,
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._glancer = glancer
        self._file = file
        self._idle: asyncio.LifoQueue[AsyncConnection] = asyncio.LifoQueue()
        for reader in readers:
            self._idle.put_nowait(reader)
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.damage: str | None = None
        self.fault: str | None = None
        self.refuses: str | None = None
        self._locked_since: float | None = None
        self._copying: asyncio.Task[None] | None = None
        self._saved = ""  # where that copy is, for the operator

    async def write(self, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the work in a transaction of its own; its changes are durable on return.

        Raises Unavailable when the file cannot be written now (disk full, read-only, locked by another
        process), and when what is written would not be kept (file deleted, replaced, overwritten). A failed
        flush to disk ends the service, because the system may then report pages as written that are not on
        disk.
        """
        return await self._write(LOCK_SECONDS, work, *args, **kwargs)

    async def write_now(self, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `write`, but raises Unavailable at once where that would wait for another process."""
        if self.refuses is not None:
            raise Unavailable(self.refuses)
        return await self._write(0, work, *args, **kwargs)

    async def _write(
        self, patience: float, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        until = self._lock_deadline(patience)
        while True:
            try:
                result = await self._writer.run(self._commit, work, *args, **kwargs)
            except FileLost as lost:
                raise self._lost(lost.fault) from lost
            except sqlite3.Error as error:
                if _is_locked(error) and monotonic() < until:
                    # Waited for here: a wait in SQLite would hold up the thread, and all writes behind this.
                    self._locked_since = self._locked_since or monotonic()
                    await asyncio.sleep(LOCK_PAUSE)
                    continue
                raise self._write_error(error) from error
            if self.refuses is not None or self._locked_since is not None:
                self._note_refusal(None)
            return result

    def _lock_deadline(self, patience: float) -> float:
        """Until when a write waits for the lock of another process, from when it was first met."""
        now = monotonic()
        if self._locked_since is None or not patience:
            return now + patience
        return max(self._locked_since + patience, now + LOCKED_SECONDS)

    def _commit(
        self, connection: sqlite3.Connection, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """In the writer's thread: a transaction on a file that is there before and after it."""
        self._file.require()
        result = transaction(connection, work, *args, **kwargs)
        self._file.require()
        return result

    async def read(self, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the work on one consistent snapshot, which holds everything committed before the call."""
        reader = await self._idle.get()
        try:
            return await reader.transact("BEGIN", work, *args, **kwargs)
        except asyncio.CancelledError:
            # Because nothing uses the result any more, and a long statement would hold up a stop.
            await reader.interrupt_work()
            raise
        except sqlite3.Error as error:
            await self._raise_if_lost()
            raise StoreError(str(error)) from error
        finally:
            self._idle.put_nowait(reader)

    async def glance(self, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run work that takes a fraction of a millisecond, on a connection that has no other."""
        try:
            return await self._glancer.transact("BEGIN", work, *args, **kwargs)
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error

    async def check_writer(self) -> None:
        """Return once the writer has looked at the file and run an empty transaction; else Unavailable."""
        await self.write(_nothing)

    async def check_large_tables(self) -> None:
        """Run SQLite's quick check on the tables too large to check before the start; sets `damage`."""
        for table in LARGE_TABLES:
            try:
                await self.read(check_table, table)
            except StoreError as error:
                self.damage = f"{table}: {error}"
                log.error("the database is damaged", table=table, error=str(error))

    # Refusals: what is wrong is logged when it begins and when it has ended, not with every write.

    async def _raise_if_lost(self) -> None:
        """Raises Unavailable if a read failed because the file is not as SQLite left it."""
        fault = await self._writer.run(lambda connection: self._file.check())
        if fault is not None:
            raise self._lost(fault)

    def _lost(self, fault: FileFault) -> Unavailable:
        if self.fault is None:
            log.error("the database is lost", file=str(self._file.path), what=fault.what, remedy=fault.remedy)
            if fault.is_copied:
                self._copying = asyncio.create_task(self._save_copy(), name="copy of a lost database")
        self.fault = f"{self._file.path}: {fault}{self._saved}"
        if fault.ends_service and not self.failed.done():
            self.failed.set_result(f"{fault.what}; a restart repairs that")
        self.refuses = f"{fault.what}; nothing was stored"
        return Unavailable(self.refuses)

    async def _save_copy(self) -> None:
        """Save what a deleted or replaced file holds, as long as it is open here; logs where, or why not."""
        reader = await self._idle.get()
        try:
            target = await reader.run(_copied, self._file.copy_path())
        except (FatalError, OSError, sqlite3.Error) as error:
            log.error("the lost database could not be copied", reason=str(error))
        else:
            self._saved = f"; what it held is in {target}"
            self.fault = f"{self.fault}{self._saved}"
            log.warning("what the lost database held is saved", file=str(target))
        finally:
            self._idle.put_nowait(reader)

    def _write_error(self, error: sqlite3.Error) -> Exception:
        if not isinstance(error, sqlite3.OperationalError):
            return StoreError(str(error))
        code = error.sqlite_errorcode
        if code in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC):
            if not self.failed.done():
                self.failed.set_result("a write could not be flushed to disk; the service must be restarted")
            return self._refusal("the disk failed; nothing was stored", error)
        match code & 0xFF:
            case sqlite3.SQLITE_FULL:
                return self._refusal("the disk is full; nothing was stored", error)
            case sqlite3.SQLITE_READONLY:
                return self._refusal("the database is read-only; nothing was stored", error)
            case sqlite3.SQLITE_BUSY:
                return self._refusal(
                    "another process holds the lock of the database; nothing was stored", error
                )
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN:
                return self._refusal("the database cannot be written; nothing was stored", error)
        log.error("the database could not be written", error=str(error), code=error.sqlite_errorname)
        return StoreError(str(error))

    def _refusal(self, text: str, error: sqlite3.Error) -> Unavailable:
        if text != self.refuses:
            log.error("the database could not be written", error=str(error), code=error.sqlite_errorname)
        self._note_refusal(text)
        return Unavailable(text)

    def _note_refusal(self, text: str | None) -> None:
        if text is None:
            if self.refuses is not None:
                log.info("the database can be written again")
            self._locked_since = self.fault = None
        self.refuses = text

    async def close(self) -> None:
        """Close all connections.

        The writer last: it alone may checkpoint, and removes the WAL file. But never into a file that is not
        the one that was opened: then one that only reads is the last, and leaves both alone.
        """
        if self._copying is not None:
            await self._copying
        reading = (*self._readers, self._glancer)
        is_other = self._file.fault is not None and not self._file.fault.ends_service
        for connection in (self._writer, *reading) if is_other else (*reading, self._writer):
            await connection.close()
        self._file.close()


def _is_locked(error: sqlite3.Error) -> bool:
    return (
        isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    )


def _nothing(connection: sqlite3.Connection) -> None:
    """The work of a transaction that only shows whether the writer answers."""


def _copied(connection: sqlite3.Connection, target: Path) -> Path:
    """Copy the database to a new file; raises NotEnoughSpace, OSError and sqlite3.Error."""
    files.make_folder(target)
    with files.workspace(target.parent) as work:
        files.copy(connection, work / "copy.db")
        files.replace(work / "copy.db", target)
    return target


@asynccontextmanager
async def opened(path: Path, synchronous: str) -> AsyncIterator[SQLiteDatabase]:
    """Open the database of a service: created, migrated, checked, and locked against a second server.

    Raises DatabaseFileError and UnsupportedSQLite.
    """
    files.make_folder(path)
    with files.locked(path, make=True) as descriptor:
        assert descriptor is not None  # noqa: S101 - made
        await asyncio.get_running_loop().run_in_executor(None, upgrade.prepare, path)
        database = await _connected(path, descriptor, synchronous)
        try:
            yield database
        finally:
            await database.close()


async def _connected(path: Path, descriptor: int, synchronous: str) -> SQLiteDatabase:
    """Connect to a database that is ready."""
    writer = AsyncConnection(lambda: connect(path, synchronous=synchronous), 64)
    *readers, glancer = (
        AsyncConnection(lambda: connect(path, read_only=True), 64) for _ in range(READERS + 1)
    )
    async with AsyncExitStack() as opened_here:
        for connection in (writer, *readers, glancer):
            await opened_here.enter_async_context(connection)
        with database_errors(path):
            file = await writer.run(_watched, path, descriptor)
        opened_here.pop_all()
    return SQLiteDatabase(writer, readers, glancer, file)


def _watched(connection: sqlite3.Connection, path: Path, descriptor: int) -> LiveFile:
    """Watch the file; a first transaction makes the files beside it."""
    transaction(connection, _nothing)
    connection.execute("PRAGMA busy_timeout = 0")  # SQLiteDatabase waits itself
    return LiveFile(path, descriptor)
