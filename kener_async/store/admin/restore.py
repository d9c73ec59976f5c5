"""The way back: a backup is verified, then takes the place of the database, which is kept beside."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from kener_async.errors import FatalError
from kener_async.store.admin import archive, integrity
from kener_async.store.admin.archive import DATABASE, KEY, Manifest
from kener_async.store.admin.backup import TIME
from kener_async.store.sqlite import files, migrations
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.errors import database_errors
from kener_async.store.sqlite.files import Progress, no_progress

SQLITE = b"SQLite format 3\0"


class RestoreError(FatalError):
    """Nothing was put in place, and why."""


def restore(
    source: Path, database: Path, now: int, *, force: bool = False, progress: Progress = no_progress
) -> tuple[Path | None, bytes | None]:
    """Verify a backup, or a plain copy of a database, and put it in place.

    Returns where the database before was kept, and the signing key in the backup, if there was one of each.
    Raises FatalError when a server is running, when there is a database and no `force`, and for a faulty
    source; then nothing has changed.
    """
    with alone_with(database, force=force) as work, database_errors(source):
        bring(source, work, progress)
        with closing(connect(work / DATABASE, read_only=True)) as connection:
            for fault in integrity.faults(connection, quick=False, progress=progress):
                raise RestoreError(f"{source}: is damaged: {fault}")
        key = (work / KEY).read_bytes() if (work / KEY).exists() else None
        return place(work / DATABASE, database, now), key


def bring(source: Path, folder: Path, progress: Progress = no_progress) -> Manifest | None:
    """Unpack a backup, or copy a database, into a folder; None: it was a database, which has no manifest."""
    manifest = None
    with database_errors(source):
        if is_database(source):
            with closing(connect(source, read_only=True)) as connection:
                files.copy(connection, folder / DATABASE, progress)
        else:
            manifest = archive.unpack(source, folder, progress)
        with closing(connect(folder / DATABASE, read_only=True)) as connection:
            migrations.lacking(connection)
    return manifest


def is_database(source: Path) -> bool:
    """Whether it is a plain database, not a backup."""
    with open(source, "rb") as file:
        return file.read(len(SQLITE)) == SQLITE


@contextmanager
def alone_with(database: Path, *, force: bool) -> Iterator[Path]:
    """Keep servers off, and give a folder beside the database in which its successor is made.

    Raises FatalError when a server is running, and when there is a database and no `force`.
    """
    files.make_folder(database)
    with files.locked(database):
        if _holds_something(database) and not force:
            raise RestoreError(f"{database}: exists; with --force it is kept beside, under another name")
        with files.workspace(database.parent) as work:
            yield work


def _holds_something(database: Path) -> bool:
    return database.exists() and database.stat().st_size > 0


def place(new: Path, database: Path, now: int) -> Path | None:
    """Put a finished database in place; where the one before was kept.

    At every moment there is the old one or the new one, whole.
    """
    kept = _kept_beside(database, now) if _holds_something(database) else None
    # A log that belongs to the old file would be played into the new one.
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    files.replace(new, database)
    return kept


def _kept_beside(database: Path, now: int) -> Path:
    with (
        suppress(sqlite3.Error),
        closing(connect(database)) as connection,
    ):  # it may be damaged: why it is replaced
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    time = datetime.fromtimestamp(now, UTC).strftime(TIME)
    kept = database.with_name(f"{database.name}.before-restore-{time}")
    for suffix in ("-wal", ""):
        if Path(f"{database}{suffix}").exists():
            os.link(f"{database}{suffix}", f"{kept}{suffix}")
    files.flush(database.parent)
    return kept
