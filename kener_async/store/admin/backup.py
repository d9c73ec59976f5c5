"""Backups: make them while the server runs, check them, and delete the oldest."""

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from kener_async import __version__
from kener_async.errors import FatalError, reason_of
from kener_async.store.admin import archive, integrity
from kener_async.store.admin.archive import DATABASE, Manifest, entry_of
from kener_async.store.sqlite import files, migrations
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.errors import database_errors
from kener_async.store.sqlite.files import Progress, no_progress

NAME = re.compile(r"(.+)-([0-9]{8}T[0-9]{6}Z)\.tar\.gz")
TIME = "%Y%m%dT%H%M%SZ"


class BackupError(FatalError):
    """No backup was made; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class BackupSource:
    """What to back up: a database, and other files by their names in the backup, by content or by path.

    `left_out` is what the backup does not have, in words for the operator.
    """

    database: Path
    beside: Mapping[str, bytes]
    paths: Mapping[str, Path] = field(default_factory=dict)
    left_out: Sequence[str] = ()


def write(
    source: BackupSource, out: IO[bytes], folder: Path, now: int, progress: Progress = no_progress
) -> Manifest:
    """Write a backup of the database as it is now; a temporary copy is made in `folder`.

    Raises BackupError when the database is damaged: a damaged backup must not replace a good one.
    """
    with _backup_errors(folder), files.workspace(folder) as work:
        manifest = _collect(source, work, now, progress)
        archive.pack(out, manifest, work, progress)
    return manifest


def save(source: BackupSource, target: Path, now: int, progress: Progress = no_progress) -> Manifest:
    """Make a backup file, complete and flushed, or none; replaces an earlier backup of that name."""
    _require_replaceable(target)
    with _backup_errors(target.parent), files.workspace(target.parent) as work:
        manifest = _collect(source, work, now, progress)
        draft = work / "draft"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            archive.pack(out, manifest, work, progress)
        files.replace(draft, target)
    return manifest


def add(
    source: BackupSource, folder: Path, now: int, keep: int | None = None, progress: Progress = no_progress
) -> tuple[Path, Manifest]:
    """Make a backup in a folder, named after the database and the time; then keep the newest `keep`."""
    with _backup_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stem = source.database.stem
    target = folder / f"{stem}-{datetime.fromtimestamp(now, UTC).strftime(TIME)}.tar.gz"
    manifest = save(source, target, now, progress)
    if keep is not None:
        for path, _ in _newest_first(folder, stem, now)[keep:]:
            path.unlink(missing_ok=True)
    return target, manifest


def newest(folder: Path, stem: str, now: int) -> int | None:
    """When the newest backup in a folder was made; those with a future time do not count."""
    return max((instant for _, instant in _backups(folder, stem) if instant <= now), default=None)


def _newest_first(folder: Path, stem: str, now: int) -> list[tuple[Path, int]]:
    """The backups, newest first; those with a future time last, because their clock was wrong."""
    return sorted(_backups(folder, stem), key=lambda backup: (backup[1] <= now, backup[1]), reverse=True)


def _backups(folder: Path, stem: str) -> Iterator[tuple[Path, int]]:
    for path in folder.glob("*.tar.gz"):
        match = NAME.fullmatch(path.name)
        if match is not None and match[1] == stem:
            try:
                instant = datetime.strptime(match[2], TIME).replace(tzinfo=UTC)
            except ValueError:
                continue
            yield path, int(instant.timestamp())


def _collect(source: BackupSource, work: Path, now: int, progress: Progress) -> Manifest:
    """Collect the files of a backup in a folder, and check the copy of the database."""
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
    for name, path in source.paths.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, work / name)
    entries = {name: entry_of(work / name) for name in (DATABASE, *source.beside, *source.paths)}
    files.require_room(work, sum(entry.bytes for entry in entries.values()))
    return Manifest(now, __version__, schema, rows, entries, source.left_out)


def _require_replaceable(target: Path) -> None:
    if target.exists():
        with _backup_errors(target), open(target, "rb") as file:
            if file.read(len(archive.MAGIC)) != archive.MAGIC:
                raise BackupError(f"{target}: exists and is not a backup; it was left unchanged")


@contextmanager
def _backup_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file system and of SQLite into BackupError."""
    try:
        yield
    except OSError as error:
        raise BackupError(f"{error.filename or path}: {reason_of(error)}") from error
    except sqlite3.Error as error:
        raise BackupError(f"{path}: {error}") from error
