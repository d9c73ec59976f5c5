"""Restore a backup: verify it and put it in place of the database, which is kept under another name."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from kener_async.domain.people import Actor
from kener_async.errors import FatalError
from kener_async.store import audit
from kener_async.store.admin import archive, integrity, old_news, startable
from kener_async.store.admin.archive import DATABASE, KEY, Manifest
from kener_async.store.admin.backup import TIME
from kener_async.store.audit import Facts
from kener_async.store.sqlite import files, migrations
from kener_async.store.sqlite.connections import connect, transaction
from kener_async.store.sqlite.errors import database_errors
from kener_async.store.sqlite.files import Progress, no_progress

SQLITE = b"SQLite format 3\0"


class RestoreError(FatalError):
    """Nothing was restored; the message gives the reason."""


def restore(
    source: Path,
    database: Path,
    now: int,
    *,
    force: bool = False,
    actor: Actor | None = None,
    progress: Progress = no_progress,
    beside: Callable[[Path], None] = lambda folder: None,
) -> tuple[Path | None, bytes | None]:
    """Verify a backup, or a plain copy of a database, and put it in place.

    Returns where the old database was kept, if there was one, and the signing key, if it is in the backup.
    What still waits to be delivered in it is dropped (old_news.py), and with an `actor` its audit log says
    that it was restored, unless its schema is older than that. `beside` is called with the folder of the
    unpacked backup when the database is in place. Raises FatalError if a server is running, if there is a
    database and no `force`, and for a source that is damaged or on which no service could start; then nothing
    has changed.
    """
    with alone_with(database, force=force) as work, database_errors(source):
        manifest = fetch(source, work, progress)
        with closing(connect(work / DATABASE, read_only=True)) as connection:
            for fault in integrity.faults(connection, quick=False, progress=progress):
                raise RestoreError(f"{source}: is damaged: {fault}")
        try:
            startable.require(work / DATABASE, work)
        except startable.NotStartable as fault:
            raise RestoreError(f"{source}: {fault}") from fault
        with closing(connect(work / DATABASE)) as connection:
            transaction(connection, old_news.drop, now)
        if actor is not None:
            facts = {"made_at": None if manifest is None else manifest.created_at}
            note(work / DATABASE, actor, "database.restore", facts, now)
        key = (work / KEY).read_bytes() if (work / KEY).exists() else None
        kept = place(work / DATABASE, database, now)
        beside(work)
        return kept, key


def note(database: Path, actor: Actor, act: str, facts: Facts, now: int) -> None:
    """Add a row to the audit log of a database that is put in place; none to one of an older schema."""
    with closing(connect(database)) as connection:
        if not migrations.lacking(connection):
            transaction(connection, audit.record, actor, act, "database", None, facts, now)


def fetch(source: Path, folder: Path, progress: Progress = no_progress) -> Manifest | None:
    """Unpack a backup into a folder, or copy a database, which has no manifest."""
    manifest = None
    with database_errors(source):
        if is_database(source):
            with closing(connect(source, read_only=True)) as connection:
                files.copy(connection, folder / DATABASE, progress)
        else:
            manifest = archive.unpack(source, folder, progress)
        with closing(connect(folder / DATABASE, read_only=True)) as connection:
            if migrations.is_new(connection):
                raise ValueError("is an empty database: nothing is stored in it")
            migrations.lacking(connection)
    return manifest


def is_database(source: Path) -> bool:
    """Whether the file is a database and not a backup."""
    with open(source, "rb") as file:
        return file.read(len(SQLITE)) == SQLITE


@contextmanager
def alone_with(database: Path, *, force: bool) -> Iterator[Path]:
    """Hold the lock of the database, and make a temporary folder next to it for its replacement.

    Raises FatalError if a server is running, or if there is a database and no `force`.
    """
    files.make_folder(database)
    with files.locked(database):
        if _is_there(database) and not force:
            raise RestoreError(f"{database}: exists; with --force it is kept under another name")
        with files.workspace(database.parent) as work:
            yield work


def _is_there(database: Path) -> bool:
    return database.exists() and database.stat().st_size > 0


def place(new: Path, database: Path, now: int) -> Path | None:
    """Put a finished database in place, atomically; returns where the old one was kept."""
    kept = _keep_old(database, now) if _is_there(database) else None
    # A write-ahead log of the old file would be applied to the new one.
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    files.replace(new, database)
    return kept


def _keep_old(database: Path, now: int) -> Path:
    # It may be damaged, which is why it is replaced.
    with suppress(sqlite3.Error), closing(connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    time = datetime.fromtimestamp(now, UTC).strftime(TIME)
    kept = database.with_name(f"{database.name}.before-restore-{time}")
    for suffix in ("-wal", ""):
        if Path(f"{database}{suffix}").exists():
            os.link(f"{database}{suffix}", f"{kept}{suffix}")
    files.flush(database.parent)
    return kept
