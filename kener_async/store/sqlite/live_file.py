"""The file of a running service: whether it is still the one at its path, and as SQLite left it.

SQLite goes on without an error when its file is deleted or replaced, and with it goes all that is stored from
then on. So the file is looked at before and after each commit; a look is a few system calls.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

HEADER_BYTES = 100
START_BYTES = 262_144  # holds the first page of each table, so that it differs in every other database
MAGIC = b"SQLite format 3\0"
Inode = tuple[int, int]
Checkpoint = tuple[bytes, bytes, bytes]


@dataclass(frozen=True, slots=True)
class FileFault:
    """What happened to the file, and what the operator does about it.

    `is_final`: the fault stays until the service is restarted. `is_copied`: the contents are still there and
    worth a copy. `ends_service`: a restart repairs it. `leaves_log`: the write-ahead log at the path belongs
    to the file that was there, and would be applied to another one.
    """

    what: str
    remedy: str
    is_final: bool = False
    is_copied: bool = False
    ends_service: bool = False
    leaves_log: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


RESTORE = "stop the service, restore the newest backup (docs/operate.md, A lost database), start it"
DELETED = FileFault("the database was deleted", RESTORE, is_final=True, is_copied=True, leaves_log=True)
MOVED = FileFault(
    "the database was moved away, or its folder was renamed", "move it back, or restart the service"
)
REPLACED = FileFault(
    "the database was replaced by another file",
    "put it back, or restart the service on the other file",
    is_copied=True,
    leaves_log=True,
)
TRUNCATED = FileFault("the database was truncated", RESTORE, is_final=True, leaves_log=True)
OVERWRITTEN = FileFault("the database was overwritten", RESTORE, is_final=True, leaves_log=True)
LOG_LOST = FileFault(
    "the -wal or -shm file of the database was deleted",
    "nothing: the service saves what it holds and ends, to be started again",
    is_final=True,
    ends_service=True,
)


class FileLost(Exception):
    """Nothing that is written to the file would be kept."""

    def __init__(self, fault: FileFault) -> None:
        super().__init__(str(fault))
        self.fault = fault


@dataclass(frozen=True, slots=True)
class _Content:
    """What was seen of the file at one look."""

    written_at: int
    size: int
    header: bytes
    start: int  # the checksum of its first pages
    checkpoint: Checkpoint

    def is_later_than(self, before: "_Content") -> bool:
        """Whether a checkpoint wrote this, into the same database; one may still be under way."""
        _, done, begun = self.checkpoint
        if self.checkpoint == before.checkpoint and done == begun:
            return False
        is_same = self.header[:24] == before.header[:24] and self.header[56:72] == before.header[56:72]
        shrank = self.size < before.size and self.size != _size_in(self.header)
        return not shrank and (is_same if before.header else self.header.startswith(MAGIC))


def _size_in(header: bytes) -> int:
    """The size of the file by its header: pages times bytes of a page, of which 1 means 65,536."""
    page = int.from_bytes(header[16:18], "big")
    return int.from_bytes(header[28:32], "big") * (65536 if page == 1 else page)


class LiveFile:
    """Watch the file behind a descriptor, which is open as long as any connection to the database is.

    Used in the thread of the connection that writes, which alone checkpoints. The descriptor is only read:
    closing one of the database's would release SQLite's own locks.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._beside = [(beside := f"{path}{suffix}", _inode(os.stat(beside))) for suffix in ("-wal", "-shm")]
        self._index = os.open(f"{path}-shm", os.O_RDONLY | os.O_CLOEXEC)
        self._content = self._read()
        self.fault: FileFault | None = None

    def require(self) -> None:
        """Raises FileLost unless what is written now is kept."""
        fault = self.check()
        if fault is not None:
            raise FileLost(fault)

    def check(self) -> FileFault | None:
        """Look at the file; the fault, if there is one."""
        if self.fault is None or not self.fault.is_final:
            # The mark first: one of a checkpoint that was not seen in the file would hide what it changed.
            checkpoint, opened = self._last_checkpoint(), os.fstat(self._descriptor)
            self.fault = self._place_fault(opened) or self._content_fault(opened, checkpoint)
        return self.fault

    def _place_fault(self, opened: os.stat_result) -> FileFault | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return MOVED if opened.st_nlink else DELETED
        if _inode(found) != _inode(opened):
            return REPLACED
        return None if all(_is_at(path, inode) for path, inode in self._beside) else LOG_LOST

    def _content_fault(self, found: os.stat_result, checkpoint: Checkpoint) -> FileFault | None:
        """Compare the file with the last look, where it was written to since.

        SQLite writes to it in a checkpoint only, which leaves a mark in the index of the log, also when
        another process made it; other programs leave none.
        """
        before = self._content
        if (found.st_mtime_ns, found.st_size) == (before.written_at, before.size):
            if checkpoint != before.checkpoint:
                self._content = replace(before, checkpoint=checkpoint)
            return None
        self._content = now = self._read()
        if now.is_later_than(before) or (now.start, now.size) == (before.start, before.size):  # touched only
            return None
        is_cut = now.size < before.size and before.header.startswith(now.header)
        return TRUNCATED if is_cut else OVERWRITTEN

    def _read(self) -> "_Content":
        """Read the begin of the file, after the mark of the last checkpoint."""
        checkpoint, found = self._last_checkpoint(), os.fstat(self._descriptor)
        start = os.pread(self._descriptor, START_BYTES, 0)
        return _Content(found.st_mtime_ns, found.st_size, start[:HEADER_BYTES], crc32(start), checkpoint)

    def _last_checkpoint(self) -> Checkpoint:
        """The mark of the last checkpoint in the index of the log (www.sqlite.org/walformat.html).

        It is the salts, which change when the log begins anew, and how many frames have been copied into the
        database, and are to be.
        """
        index = os.pread(self._index, 136, 0)
        return index[32:40], index[96:100], index[128:132]

    def copy_path(self) -> Path:
        """Where a copy of a deleted or replaced file belongs; the same for the same file."""
        return self.path.with_name(f"{self.path.name}.rescued-{os.fstat(self._descriptor).st_ino}")

    def close(self) -> None:
        """Call it when the connections are closed: a log that would be applied to another file is renamed."""
        os.close(self._index)
        (log, inode), _ = self._beside
        if self.fault is not None and self.fault.leaves_log and _is_at(log, inode):
            os.replace(log, f"{log}.left")


def _inode(found: os.stat_result) -> Inode:
    return found.st_dev, found.st_ino


def _is_at(path: str, inode: Inode) -> bool:
    try:
        return _inode(os.stat(path)) == inode
    except OSError:
        return False
