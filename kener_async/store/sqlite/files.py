"""Consistent copies of a database, made while others go on writing to it.

SQLite's backup API, a megabyte at a time, on one snapshot: without the snapshot it would begin anew with
every commit of the server. It only reads, so nothing is checkpointed here (docs/why.md).
"""

import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kener_async.domain import free_space
from kener_async.errors import FatalError

PAGES_AT_ONCE = 256
HELD = "held"  # a file that is locked as long as its folder is in use

# Told what is being done, how much of it is done, and of how much; what it raises ends the work.
Progress = Callable[[str, int, int], None]


class NotEnoughSpace(FatalError):
    """The disk has too little room; nothing was written."""


def quiet(what: str, done: int, total: int) -> None:
    """A progress that nobody watches."""


def copy(source: sqlite3.Connection, target: Path, progress: Progress = quiet) -> None:
    """Write the database, as it is now, to a new file, which needs neither -wal nor -shm.

    The source is in no transaction and may be in use. The copy is on disk on return.
    Raises NotEnoughSpace, and sqlite3.Error as it comes.
    """
    require_room(target.parent, size(source))
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    source.execute("BEGIN")
    try:
        source.execute(
            "SELECT count(*) FROM sqlite_schema"
        ).fetchone()  # the snapshot is taken with the first read
        with closing(sqlite3.connect(target, isolation_level=None)) as copied:
            copied.execute("PRAGMA synchronous = OFF")
            source.backup(
                copied,
                pages=PAGES_AT_ONCE,
                progress=lambda _, left, total: progress("copying", total - left, total),
            )
            copied.execute("PRAGMA journal_mode = DELETE")
    finally:
        source.execute("ROLLBACK")
    flush(target)


def size(connection: sqlite3.Connection) -> int:
    """The bytes of the database without its write-ahead log."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(page)


def require_room(folder: Path, needed: int) -> None:
    """Raises NotEnoughSpace unless the disk of the folder takes so many bytes and has some to spare."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    required = needed + free_space.BESIDE_A_COPY
    if free < required:
        raise NotEnoughSpace(f"{folder}: needs {_megabytes(required)}, but only {_megabytes(free)} are free")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def flush(path: Path) -> None:
    """Have a file, or the names in a folder, on disk on return."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put(new: Path, path: Path) -> None:
    """Give a finished file its name, in place of what had it: one or the other is there, at any moment."""
    give_to_owner_of(path.parent, new)
    flush(new)
    os.replace(new, path)
    flush(path.parent)


def give_to_owner_of(folder: Path, path: Path) -> None:
    """What root makes there, the service's user can use."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """A folder of one's own within the folder, gone on leaving; what a killed run left there goes too."""
    with _held(folder):
        for left in folder.glob(".kener-*.partial"):
            _sweep(left)
        work = Path(tempfile.mkdtemp(prefix=".kener-", suffix=".partial", dir=folder))
        mine = os.open(work / HELD, os.O_WRONLY | os.O_CREAT, 0o600)
        fcntl.flock(mine, fcntl.LOCK_EX)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(mine)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep others from tidying the folder at the same moment."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sweep(left: Path) -> None:
    """Remove a workspace unless whoever made it still holds it."""
    try:
        descriptor = os.open(left / HELD, os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)
