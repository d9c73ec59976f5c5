"""The database of a running service: one connection that writes, a few that read."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from kener_async.domain.errors import Unavailable
from kener_async.store.interface import StoreError
from kener_async.store.sqlite import files, upgrade
from kener_async.store.sqlite.connections import AsyncConnection, P, SQLiteWork, T, connect
from kener_async.store.sqlite.quick_check import LARGE_TABLES, check_table

log = structlog.get_logger(__name__)

READERS = 2


class SQLiteDatabase:
    """See store/interface.py."""

    def __init__(
        self, writer: AsyncConnection, readers: list[AsyncConnection], glancer: AsyncConnection
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._glancer = glancer
        self._idle: asyncio.LifoQueue[AsyncConnection] = asyncio.LifoQueue()
        for reader in readers:
            self._idle.put_nowait(reader)
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.damage: str | None = None

    async def write(self, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the work in a transaction of its own; its changes are durable on return.

        Raises Unavailable when the file cannot be written now (disk full, read-only). A failed flush to disk
        ends the service, because the system may then report pages as written that are not on disk.
        """
        try:
            return await self._writer.transact("BEGIN IMMEDIATE", work, *args, **kwargs)
        except sqlite3.Error as error:
            raise self._write_error(error) from error

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
        """Return once the writer has run an empty transaction; raises Unavailable when it cannot."""
        await self.write(_nothing)

    async def check_large_tables(self) -> None:
        """Run SQLite's quick check on the tables too large to check before the start; sets `damage`."""
        for table in LARGE_TABLES:
            try:
                await self.read(check_table, table)
            except StoreError as error:
                self.damage = f"{table}: {error}"
                log.error("the database is damaged", table=table, error=str(error))

    def _write_error(self, error: sqlite3.Error) -> Exception:
        if not isinstance(error, sqlite3.OperationalError):
            return StoreError(str(error))
        code = error.sqlite_errorcode
        log.error("the database could not be written", error=str(error), code=error.sqlite_errorname)
        if code in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC):
            if not self.failed.done():
                self.failed.set_result("a write could not be flushed to disk; the service must be restarted")
            return Unavailable("the disk failed; nothing was stored")
        match code & 0xFF:
            case sqlite3.SQLITE_FULL:
                return Unavailable("the disk is full; nothing was stored")
            case sqlite3.SQLITE_READONLY:
                return Unavailable("the database is read-only; nothing was stored")
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_BUSY | sqlite3.SQLITE_CANTOPEN:
                return Unavailable("the database cannot be written; nothing was stored")
        return StoreError(str(error))

    async def close(self) -> None:
        """Close all connections, the writer last: it alone may checkpoint, and removes the WAL file."""
        for reader in (*self._readers, self._glancer):
            await reader.close()
        await self._writer.close()


def _nothing(connection: sqlite3.Connection) -> None:
    """The work of a transaction that only shows whether the writer answers."""


@asynccontextmanager
async def opened(path: Path, synchronous: str) -> AsyncIterator[SQLiteDatabase]:
    """Open the database of a service: created, migrated, checked, and locked against a second server.

    Raises DatabaseFileError and UnsupportedSQLite.
    """
    files.make_folder(path)
    with files.locked(path):
        if files.is_empty(path):
            log.info("a new database is made", file=str(path))
        await asyncio.get_running_loop().run_in_executor(None, upgrade.prepare, path)
        writer = AsyncConnection(lambda: connect(path, synchronous=synchronous), 64)
        *readers, glancer = (
            AsyncConnection(lambda: connect(path, read_only=True), 64) for _ in range(READERS + 1)
        )
        async with writer:
            for reader in (*readers, glancer):
                await reader
            database = SQLiteDatabase(writer, readers, glancer)
            try:
                yield database
            finally:
                await database.close()
