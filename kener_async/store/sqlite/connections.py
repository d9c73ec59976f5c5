"""Connections to the SQLite file, all set up alike, and transactions on them."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import aiosqlite

from kener_async.store.sqlite import version

P = ParamSpec("P")
T = TypeVar("T")
SQLiteWork = Callable[Concatenate[sqlite3.Connection, P], T]

# KiB of pages that a connection keeps. A reader loses them with each commit of the writer, so it needs only
# what one transaction reads twice.
WRITER_CACHE, READER_CACHE = 8000, 2000
CHECKPOINT_PAGES = 250  # a checkpoint of SQLite's 1,000 holds up heartbeats for 30 ms


def connect(path: Path, *, synchronous: str = "FULL", read_only: bool = False) -> sqlite3.Connection:
    """Open a connection with explicit transactions, WAL, foreign keys and a short wait for locks.

    Raises UnsupportedSQLite, and sqlite3.Error.
    """
    version.require()
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{READER_CACHE if read_only else WRITER_CACHE}")
    connection.create_function("casefold", 1, lambda text: text.casefold(), deterministic=True)
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    return connection


def transaction(
    connection: sqlite3.Connection, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run `work` in a write transaction of its own; an error rolls it back."""
    return _transaction(connection, "BEGIN IMMEDIATE", work, *args, **kwargs)


def _transaction(
    connection: sqlite3.Connection, begin: str, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs
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


class AsyncConnection(aiosqlite.Connection):
    """An aiosqlite connection that runs a whole transaction in one hop to its thread.

    Each public call of aiosqlite is a hop of its own, and hops cost more than commits (docs/why.md). So this
    uses two private attributes of aiosqlite, here and nowhere else: `_execute`, which runs a function in the
    thread, and `_conn`, the sqlite3 connection. pyproject.toml bounds the version because of them.
    """

    async def interrupt_work(self) -> None:
        """End the work that runs in the connection's thread, and wait until it has ended.

        Again and again, because an interrupt between two statements, or before the first, has no effect.
        """
        ended = asyncio.ensure_future(self._execute(lambda: None))  # type: ignore[no-untyped-call]
        while not ended.done():
            self._conn.interrupt()
            await asyncio.wait({ended}, timeout=0.01)

    async def run(self, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in the connection's thread."""
        result: T = await self._execute(work, self._conn, *args, **kwargs)  # type: ignore[no-untyped-call]
        return result

    async def transact(self, begin: str, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` between `begin` and COMMIT; an error rolls it back."""
        return await self.run(_transaction, begin, work, *args, **kwargs)
