"""The spool: samples that the server has not acknowledged, in one SQLite file that survives power cuts.

A sample is added before it is sent, and removed when the server has stored or rejected it. The file is
locked by one agent at a time. All methods block.
"""

import errno
import json
import secrets
import socket
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from kener_async.agent.clocks import ClockReading
from kener_async.domain.errors import Unavailable
from kener_async.domain.samples import Status

SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice, also not after a deletion
    tag        TEXT NOT NULL,
    status     INTEGER NOT NULL,
    latency    REAL NOT NULL,
    wall       REAL NOT NULL,
    monotonic  REAL NOT NULL,
    boot       TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS spool (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    host      TEXT NOT NULL,               -- the host name when the spool was created
    suffix    TEXT NOT NULL,               -- tells apart spools, because each counts from 1
    dropped   INTEGER NOT NULL DEFAULT 0,  -- samples removed to stay below the limit
    rejected  INTEGER NOT NULL DEFAULT 0   -- samples that the server rejected
) STRICT;
"""
FULL_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}  # the second, for example, over a quota
CORRUPT_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
LOCK_TIMEOUT = 5.0  # seconds to wait for an agent that is about to end
LOG_PAGES = 64  # pages of the write-ahead log before a checkpoint


class SpoolCorrupt(Exception):
    """The file is corrupt, or not a database."""


class SpoolFull(Unavailable):
    """The disk of the file is full, or fails."""


@dataclass(frozen=True, slots=True)
class MeasuredSample:
    """A sample as it was measured; `latency` is in the unit in which it is sent."""

    tag: str
    status: Status
    latency: float
    moment: ClockReading


@dataclass(frozen=True, slots=True)
class SpooledSample:
    """A sample and its sequence number, None while it is in memory only."""

    seq: int | None
    sample: MeasuredSample


@dataclass(frozen=True, slots=True)
class SpooledBatch:
    """The oldest samples of a spool, in order; `newest` is the last clock reading of each of their boots."""

    host: str
    suffix: str
    samples: Sequence[SpooledSample]
    newest: Mapping[str, ClockReading]

    def only(self, samples: Sequence[SpooledSample]) -> "SpooledBatch":
        """The batch with these of its samples."""
        return replace(self, samples=samples)

    def device(self, name: str) -> str:
        """The device name of the sequence numbers: `name`, or else the host, with the suffix of the spool."""
        return f"{(name or self.host)[:100]}-{self.suffix}"


class SpoolCounts(NamedTuple):
    """The pending samples, and those dropped and rejected since the spool was created."""

    pending: int
    dropped: int
    rejected: int


class Spool:
    """An open spool, of at most `limit` bytes."""

    def __init__(self, connection: sqlite3.Connection, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self.host, self.suffix = self._one("SELECT host, suffix FROM spool")
        self._page_bytes = self._one("PRAGMA page_size")[0]
        self._searched: tuple[frozenset[str], int] = frozenset(), 0

    def close(self) -> None:
        self._connection.close()

    def add(self, samples: Iterable[MeasuredSample]) -> int:
        """Store samples durably; returns how many of the oldest were dropped to stay below the limit.

        Raises SpoolCorrupt, and Unavailable when they cannot be written.
        """
        rows = [
            (each.tag, each.status, each.latency, each.moment.wall, each.moment.monotonic, each.moment.boot)
            for each in samples
        ]
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO samples (tag, status, latency, wall, monotonic, boot) VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            return self._make_room()

    def _make_room(self) -> int:
        """Drop the oldest while the file is too large; the server reports their numbers as lost."""
        dropped = 0
        while self._used_bytes() > self._limit:
            (count,) = self._one("SELECT count(*) FROM samples")
            if count <= 1:
                break
            dropped += self._connection.execute(
                "DELETE FROM samples WHERE seq IN (SELECT seq FROM samples ORDER BY seq LIMIT ?)",
                (max(1, count // 64),),
            ).rowcount
        if dropped:
            self._connection.execute("UPDATE spool SET dropped = dropped + ?", (dropped,))
        return dropped

    def _used_bytes(self) -> int:
        (pages,), (free,) = self._one("PRAGMA page_count"), self._one("PRAGMA freelist_count")
        return int(pages - free) * int(self._page_bytes)

    def oldest(
        self, limit: int, without_tags: Collection[str] = (), without: Collection[int] = ()
    ) -> SpooledBatch:
        """The oldest samples, `limit` at most, without those of some tags and without some numbers."""
        tags = frozenset(without_tags)
        # What comes before the first sample found last time is of the same tags, and need not be read again.
        first = self._searched[1] if self._searched[0] == tags else 0
        with translated_errors():
            samples = self._connection.execute(
                """
                SELECT seq, tag, status, latency, wall, monotonic, boot FROM samples
                 WHERE seq >= ? AND tag NOT IN (SELECT value FROM json_each(?))
                   AND seq NOT IN (SELECT value FROM json_each(?))
                 ORDER BY seq LIMIT ?
                """,
                (first, json.dumps(list(tags)), json.dumps(list(without)), limit),
            ).fetchall()
            boots = {boot for *_, boot in samples}
            newest = [self._newest(boot) for boot in boots]
        if samples:
            self._searched = tags, samples[0][0]
        return SpooledBatch(self.host, self.suffix, [_spooled(*row) for row in samples], dict(newest))

    def _newest(self, boot: str) -> tuple[str, ClockReading]:
        wall, monotonic = self._one(
            "SELECT wall, monotonic FROM samples WHERE boot = ? ORDER BY seq DESC LIMIT 1", boot
        )
        return boot, ClockReading(wall, monotonic, boot)

    def remove(self, batch: SpooledBatch, rejected: int) -> None:
        """Remove a batch and count its rejected samples. A batch of an earlier spool is ignored."""
        if batch.suffix != self.suffix:
            return
        with self._transaction():
            self._delete(batch.samples)
            if rejected:
                self._connection.execute("UPDATE spool SET rejected = rejected + ?", (rejected,))

    def remove_all(self, samples: Iterable[SpooledSample]) -> None:
        """Remove samples of this spool that could not be removed before."""
        with self._transaction():
            self._delete(samples)

    def _delete(self, samples: Iterable[SpooledSample]) -> None:
        self._connection.executemany("DELETE FROM samples WHERE seq = ?", [(each.seq,) for each in samples])

    def counts(self) -> SpoolCounts:
        return SpoolCounts(*self._one("SELECT (SELECT count(*) FROM samples), dropped, rejected FROM spool"))

    def _one(self, query: str, *values: object) -> tuple[Any, ...]:
        with translated_errors():
            row: tuple[Any, ...] = self._connection.execute(query, values).fetchone()
            return row

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with translated_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _spooled(seq: int, tag: str, status: int, latency: float, *moment: Any) -> SpooledSample:
    return SpooledSample(seq, MeasuredSample(tag, Status(status), latency, ClockReading(*moment)))


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn errors of SQLite into SpoolCorrupt or Unavailable."""
    try:
        yield
    except sqlite3.Error as error:
        code = error.sqlite_errorcode & 0xFF
        if code in CORRUPT_CODES:
            raise SpoolCorrupt(str(error)) from error
        raise (SpoolFull if code in FULL_CODES else Unavailable)(f"the spool: {error}") from error


def opened(path: Path, limit: int) -> Spool:
    """Open the spool in a file, or create it; raises SpoolCorrupt and Unavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kind = SpoolFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else Unavailable
        raise kind(f"the spool: {error.filename}: {error.strerror}") from error
    with translated_errors():
        connection = sqlite3.connect(
            path, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection)
            return Spool(connection, limit)
        except BaseException:
            connection.close()
            raise


def _prepare(connection: sqlite3.Connection) -> None:
    for pragma in (
        "locking_mode = EXCLUSIVE",
        "journal_mode = WAL",
        "synchronous = FULL",
        f"wal_autocheckpoint = {LOG_PAGES}",
        f"journal_size_limit = {LOG_PAGES * 4096}",
        "cache_size = -256",
    ):
        connection.execute(f"PRAGMA {pragma}")
    (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if result != "ok":
        raise SpoolCorrupt(result)
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";\n"):
        connection.execute(statement)
    connection.execute(
        "INSERT OR IGNORE INTO spool (id, host, suffix) VALUES (1, ?, ?)",
        (socket.gethostname(), secrets.token_hex(3)),
    )
    connection.execute("COMMIT")


def move_aside(path: Path) -> Path:
    """Rename a corrupt file, with its log, replacing an earlier one; returns the new path."""
    new_path = path.with_name(f"{path.name}.broken")
    for end in ("-wal", "-shm", ""):
        Path(f"{new_path}{end}").unlink(missing_ok=True)
        if (part := Path(f"{path}{end}")).exists():
            part.rename(f"{new_path}{end}")
    return new_path
