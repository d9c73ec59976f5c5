"""The files of a database: its folder, its lock, consistent copies, and flushed replacements."""

import errno
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import structlog

from kener_async.domain import free_space
from kener_async.errors import OWNER, WRITABLE_DISK, FatalError, reason_of
from kener_async.store.sqlite.errors import DatabaseFileError, database_errors

PAGES_AT_ONCE = 256
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs"}
HELD = "held"  # a file that is locked as long as its folder is in use

# Called with what is being done, how much of it is done, and of how much; an exception ends the work.
Progress = Callable[[str, int, int], None]

log = structlog.get_logger(__name__)


class NotEnoughSpace(FatalError):
    """The disk has too little room; nothing was written."""


def no_progress(what: str, done: int, total: int) -> None:
    """Report no progress."""


# The folder and the lock


def make_folder(path: Path) -> None:
    """Make the folder of a database, if it is missing; raises DatabaseFileError when it cannot be used."""
    folder = path.absolute().parent
    try:
        _make(folder)
    except OSError as error:
        raise DatabaseFileError(f"{folder}: cannot be made: {reason_of(error)}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        is_read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        raise DatabaseFileError(f"{folder}: not writable: {WRITABLE_DISK if is_read_only else OWNER}")
    if file_system(folder) in NETWORK_FILE_SYSTEMS:
        log.warning(
            "the database is on a network file system, where SQLite's locks may fail", folder=str(folder)
        )


def is_empty(path: Path) -> bool:
    """Whether there is no file, or one of no bytes, which SQLite takes for a new database."""
    return not path.exists() or path.stat().st_size == 0


def make_file(path: Path) -> None:
    """Make an empty file, if there is none, which belongs to the owner of its folder from the first."""
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
        give_to_owner_of(path.absolute().parent, path)


def _make(folder: Path) -> None:
    """Make a folder and those above it; each that root makes belongs to the owner of the one above."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(exist_ok=True, mode=0o750)
        give_to_owner_of(missing.parent, missing)
    folder.mkdir(exist_ok=True)  # raises where it is a file


def file_system(folder: Path) -> str:
    """The type of the file system that holds the folder; "" where the system does not name it."""
    best, kind = "", ""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    for line in mounts:
        _, point, fs, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = folder == Path(point) or Path(point) in folder.parents
        if inside and len(point) >= len(best):
            best, kind = point, fs
    return kind


@contextmanager
def locked(path: Path, *, make: bool = False) -> Iterator[int | None]:
    """Hold the exclusive lock of a database, as a running server does; raises DatabaseFileError.

    Two files are locked: `.lock`, which may be there before the database, and the database itself, because a
    `.lock` that was removed keeps nothing out. Yields the descriptor of the database, which is open as long
    as the lock is held; None where there is none and `make`, which makes an empty one, is not set.
    """
    with ExitStack() as held:
        held.enter_context(_file_locked(Path(f"{path}.lock"), path, os.O_CREAT))
        if make:
            with database_errors(path):
                make_file(path)
        yield held.enter_context(_file_locked(path, path)) if path.exists() else None


@contextmanager
def _file_locked(file: Path, database: Path, flags: int = 0) -> Iterator[int]:
    """Open the file and hold its lock; the file is not opened for reading only, because some systems lock
    only files that may be written.

    Not SQLite's kind of lock: of those the process would lose its own when the descriptor is closed.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC | flags, 0o644)
    except OSError as error:
        raise DatabaseFileError(f"{file}: {reason_of(error)}") from error
    try:
        if flags:
            give_to_owner_of(database.absolute().parent, file)
        _lock(descriptor, file, database)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, file: Path, database: Path) -> None:
    if file == database and file_system(database.absolute().parent) in NETWORK_FILE_SYSTEMS:
        return  # there both kinds of locks are one, and SQLite would wait for ours
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise DatabaseFileError(f"{database}: another server is running on this database") from None
    if os.fstat(descriptor).st_nlink == 0:
        raise DatabaseFileError(f"{database}: was replaced meanwhile; try again")


# Copies


def copy(source: sqlite3.Connection, target: Path, progress: Progress = no_progress) -> None:
    """Write the database, as it is now, to a new file, which needs neither -wal nor -shm.

    The source is in no transaction; a server may be writing to it. The copy is on disk on return.
    Raises NotEnoughSpace and sqlite3.Error.
    """
    require_room(target.parent, size(source))
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    # On one snapshot, because without it the backup API starts over with every commit of the server. It only
    # reads, so nothing is checkpointed here (docs/why.md).
    source.execute("BEGIN")
    try:
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the first read takes the snapshot
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
    """Flush a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(new: Path, path: Path) -> None:
    """Move a finished file to its place, flushed: a crash leaves either the old file or the new one."""
    give_to_owner_of(path.parent, new)
    flush(new)
    os.replace(new, path)
    flush(path.parent)


def give_to_owner_of(folder: Path, path: Path) -> None:
    """Give a file made by root to the folder's owner, so that the service can use it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """Make a temporary folder in the folder, removed on exit; those that killed runs left are removed too."""
    with folder_locked(folder):  # because a workspace that is being made is not held yet
        for left in folder.glob(".kener-*.partial"):
            _remove_unless_held(left)
        work = Path(tempfile.mkdtemp(prefix=".kener-", suffix=".partial", dir=folder))
        held = os.open(work / HELD, os.O_WRONLY | os.O_CREAT, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(held)


@contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Lock a folder for a moment, against other processes that make the same thing in it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_unless_held(left: Path) -> None:
    """Remove a workspace unless the process that made it is still running."""
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
