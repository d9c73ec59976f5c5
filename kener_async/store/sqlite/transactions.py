"""One transaction on a database file, for commands: a server may be running on the same file."""

from contextlib import closing
from pathlib import Path

from kener_async.store.sqlite import migrations
from kener_async.store.sqlite.connections import (
    P,
    T,
    Work,
    beside_the_server,
    connect,
    faults_of,
    prepare,
    transaction,
)

OLDER_SCHEMA = "has an older schema: start the service, or run `kener-async migrate`, first"


def read(path: Path, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on one snapshot of an existing database; raises DatabaseFileError."""
    with faults_of(path), closing(connect(path, read_only=True)) as connection:
        if migrations.lacking(connection):
            raise ValueError(OLDER_SCHEMA)
        connection.execute("BEGIN")
        return work(connection, *args, **kwargs)


def write(path: Path, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a short transaction, without ever checkpointing; raises DatabaseFileError."""
    with beside_the_server(path) as connection:
        return transaction(connection, work, *args, **kwargs)


def fill(path: Path, work: Work[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on a new database that no server uses yet; raises DatabaseFileError.

    Nothing is flushed before the end: a run that is killed leaves a file to throw away.
    """
    with faults_of(path):
        prepare(path)
        with closing(connect(path, synchronous="OFF")) as connection:
            result = transaction(connection, work, *args, **kwargs)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return result
