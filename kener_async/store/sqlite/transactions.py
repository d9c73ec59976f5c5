"""One transaction on a database file, for commands: a server may be running on the same file."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kener_async.store.sqlite import files, migrations, upgrade
from kener_async.store.sqlite.connections import P, SQLiteWork, T, connect, transaction
from kener_async.store.sqlite.errors import database_errors


def read(path: Path, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on one snapshot of an existing database; raises DatabaseFileError."""
    with database_errors(path), closing(connect(path, read_only=True)) as connection:
        if migrations.lacking(connection):
            raise ValueError(upgrade.OLDER_SCHEMA)
        connection.execute("BEGIN")
        return work(connection, *args, **kwargs)


def write(path: Path, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a short transaction, without ever checkpointing; raises DatabaseFileError."""
    with beside_the_server(path) as connection:
        return transaction(connection, work, *args, **kwargs)


@contextmanager
def beside_the_server(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection that writes, but never checkpoints, while a server may be running.

    Because SQLite before 3.51.3 can corrupt a WAL when two connections checkpoint at once, only the server
    does.
    """
    files.make_folder(path)
    upgrade.prepare(path, may_upgrade=False)
    with database_errors(path), closing(connect(path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        yield connection


def fill(path: Path, work: SQLiteWork[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on a new database that no server uses yet; raises DatabaseFileError.

    Nothing is flushed before the end: a run that is killed leaves a file to throw away.
    """
    with database_errors(path):
        upgrade.prepare(path)
        with closing(connect(path, synchronous="OFF")) as connection:
            result = transaction(connection, work, *args, **kwargs)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return result
