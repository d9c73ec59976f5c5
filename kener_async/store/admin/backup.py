"""Backups: made while the server runs, checked before they count, and the oldest taken away."""

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from kener_async import __version__
from kener_async.errors import FatalError
from kener_async.store.admin import archive, integrity
from kener_async.store.admin.archive import DATABASE, Manifest, entry_of
from kener_async.store.sqlite import files, migrations
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.errors import database_errors
from kener_async.store.sqlite.files import Progress, no_progress

NAME = re.compile(r"(.+)-([0-9]{8}T[0-9]{6}Z)\.tar\.gz")
TIME = "%Y%m%dT%H%M%SZ"


class BackupError(FatalError):
    """No backup was made, and why."""


@dataclass(frozen=True, slots=True)
class BackupSource:
    """What is backed up: a database, and the text of smaller files that go with it, by their names."""

    database: Path
    beside: Mapping[str, bytes]


def write(
    source: BackupSource, out: IO[bytes], folder: Path, now: int, progress: Progress = no_progress
) -> Manifest:
    """Write a backup of the database as it is now; `folder` takes a copy of it meanwhile.

    Raises BackupError when the database is damaged: a backup that was made is a good one.
    """
    with _told(folder), files.workspace(folder) as work:
        manifest = _gather(source, work, now, progress)
        archive.pack(out, manifest, work, progress)
    return manifest


def save(source: BackupSource, target: Path, now: int, progress: Progress = no_progress) -> Manifest:
    """Make a backup file: whole and on disk, or not there. One that had the name is replaced."""
    _refuse_to_replace_what_is_no_backup(target)
    with _told(target.parent), files.workspace(target.parent) as work:
        manifest = _gather(source, work, now, progress)
        draft = work / "draft"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            archive.pack(out, manifest, work, progress)
        files.replace(draft, target)
    return manifest


def add(
    source: BackupSource, folder: Path, now: int, keep: int | None = None, progress: Progress = no_progress
) -> tuple[Path, Manifest]:
    """Make a backup in a folder, named after the database and the time; then keep the newest `keep`."""
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stem = source.database.stem
    target = folder / f"{stem}-{datetime.fromtimestamp(now, UTC).strftime(TIME)}.tar.gz"
    manifest = save(source, target, now, progress)
    if keep is not None:
        for path, _ in _newest_first(folder, stem, now)[keep:]:
            path.unlink(missing_ok=True)
    return target, manifest


def newest(folder: Path, stem: str, now: int) -> int | None:
    """When the newest backup in a folder was made; one from the future is none."""
    return max((instant for _, instant in _made(folder, stem) if instant <= now), default=None)


def _newest_first(folder: Path, stem: str, now: int) -> list[tuple[Path, int]]:
    """Those from the future last: a clock was wrong, and they must not crowd out the others."""
    return sorted(_made(folder, stem), key=lambda made: (made[1] <= now, made[1]), reverse=True)


def _made(folder: Path, stem: str) -> Iterator[tuple[Path, int]]:
    for path in folder.glob("*.tar.gz"):
        found = NAME.fullmatch(path.name)
        if found is not None and found[1] == stem:
            try:
                instant = datetime.strptime(found[2], TIME).replace(tzinfo=UTC)
            except ValueError:
                continue
            yield path, int(instant.timestamp())


def _gather(source: BackupSource, work: Path, now: int, progress: Progress) -> Manifest:
    """Put all that goes into a backup into a folder; the copy of the database is checked."""
    with database_errors(source.database):
        if not source.database.exists():
            raise ValueError("there is no such file")
        with closing(connect(source.database, read_only=True)) as connection:
            migrations.lacking(connection)
            files.copy(connection, work / DATABASE, progress)
    with closing(sqlite3.connect(work / DATABASE)) as copied:
        for fault in integrity.faults(copied, quick=True, progress=progress):
            raise BackupError(f"{source.database}: is damaged, no backup was made: {fault}")
        (schema,) = copied.execute("PRAGMA user_version").fetchone()
        rows = integrity.rows(copied)
    for name, text in source.beside.items():
        (work / name).write_bytes(text)
    entries = {name: entry_of(work / name) for name in (DATABASE, *source.beside)}
    files.require_room(work, entries[DATABASE].bytes)
    return Manifest(now, __version__, schema, rows, entries)


def _refuse_to_replace_what_is_no_backup(target: Path) -> None:
    if target.exists():
        with _told(target), open(target, "rb") as file:
            if file.read(len(archive.MAGIC)) != archive.MAGIC:
                raise BackupError(f"{target}: exists and is no backup; it was left alone")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in one line what the disk refused."""
    try:
        yield
    except OSError as error:
        raise BackupError(f"{error.filename or path}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise BackupError(f"{path}: {error}") from error
