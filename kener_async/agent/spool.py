"""What was measured and is not yet with the server: one SQLite file, which survives a power cut at any point.

A sample is in it before it is sent, and leaves it when the server has told what became of it. The file is
held by one agent at a time. All methods block.
"""

import secrets
import socket
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kener_async.agent.clocks import ClockReading
from kener_async.domain.errors import Unavailable
from kener_async.domain.samples import Status

SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,   -- never given twice, also not after a deletion
    tag        TEXT NOT NULL,
    status     INTEGER NOT NULL,
    latency    REAL NOT NULL,
    wall       REAL NOT NULL,
    monotonic  REAL NOT NULL,
    boot       TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS spool (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    host      TEXT NOT NULL,               -- as it was named when the spool was made
    suffix    TEXT NOT NULL,               -- tells this spool from the next one, which counts from 1 again
    dropped   INTEGER NOT NULL DEFAULT 0,  -- samples for which there was no room
    rejected  INTEGER NOT NULL DEFAULT 0   -- samples that the server did not want
) STRICT;
"""
BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
PATIENCE = 5.0  # seconds in which an agent that ends may let go of the file
LOG_PAGES = 64  # after so many the write-ahead log begins anew


class SpoolBroken(Exception):
    """The file is no sound database; says why."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A sample as it was measured; `latency` is in the unit it is sent in."""

    tag: str
    status: Status
    latency: float
    moment: ClockReading


@dataclass(frozen=True, slots=True)
class Spooled:
    seq: int
    sample: Measured


@dataclass(frozen=True, slots=True)
class SpooledBatch:
    """The oldest samples of a spool, in order; `newest` is what the clocks showed last in each boot in it."""

    host: str
    suffix: str
    samples: Sequence[Spooled]
    newest: Mapping[str, ClockReading]

    def device(self, name: str) -> str:
        """Who numbered them: the name, or where that is empty the host's, with the suffix of the spool."""
        return f"{(name or self.host)[:100]}-{self.suffix}"


class SpoolCounts(NamedTuple):
    """How many samples wait, and how many were dropped and rejected since the spool was made."""

    waiting: int
    dropped: int
    rejected: int


class Spool:
    """An open spool, of at most `limit` bytes."""

    def __init__(self, connection: sqlite3.Connection, limit: int) -> None:
        self._connection = connection
        self._limit = limit
        self.host, self.suffix = self._one("SELECT host, suffix FROM spool")
        self._page_bytes = self._one("PRAGMA page_size")[0]

    def close(self) -> None:
        self._connection.close()

    def add(self, samples: Iterable[Measured]) -> int:
        """Keep them, on disk; how many older ones had to go for that.

        Raises SpoolBroken, and Unavailable when they cannot be written.
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
        """Drop the oldest while the file is too large; they are missed, as their numbers are gone."""
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

    def parcel(self, limit: int) -> SpooledBatch:
        """The oldest samples, so many at most."""
        with named_faults():
            samples = self._connection.execute(
                "SELECT seq, tag, status, latency, wall, monotonic, boot FROM samples ORDER BY seq LIMIT ?",
                (limit,),
            ).fetchall()
            boots = {boot for *_, boot in samples}
            newest = [self._newest(boot) for boot in boots]
        return SpooledBatch(self.host, self.suffix, [_spooled(*row) for row in samples], dict(newest))

    def _newest(self, boot: str) -> tuple[str, ClockReading]:
        wall, monotonic = self._one(
            "SELECT wall, monotonic FROM samples WHERE boot = ? ORDER BY seq DESC LIMIT 1", boot
        )
        return boot, ClockReading(wall, monotonic, boot)

    def forget(self, parcel: SpooledBatch, rejected: int) -> None:
        """The server has judged them, and `rejected` some. What came from another spool is not here."""
        if parcel.suffix != self.suffix:
            return
        with self._transaction():
            numbers = [(each.seq,) for each in parcel.samples]
            self._connection.executemany("DELETE FROM samples WHERE seq = ?", numbers)
            if rejected:
                self._connection.execute("UPDATE spool SET rejected = rejected + ?", (rejected,))

    def counts(self) -> SpoolCounts:
        return SpoolCounts(*self._one("SELECT (SELECT count(*) FROM samples), dropped, rejected FROM spool"))

    def _one(self, query: str, *values: object) -> tuple[Any, ...]:
        with named_faults():
            row: tuple[Any, ...] = self._connection.execute(query, values).fetchone()
            return row

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with named_faults():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _spooled(seq: int, tag: str, status: int, latency: float, *moment: Any) -> Spooled:
    return Spooled(seq, Measured(tag, Status(status), latency, ClockReading(*moment)))


@contextmanager
def named_faults() -> Iterator[None]:
    """What SQLite complains of, as SpoolBroken or Unavailable."""
    try:
        yield
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in BROKEN:
            raise SpoolBroken(str(error)) from error
        raise Unavailable(f"the spool: {error}") from error


def opened(path: Path, limit: int) -> Spool:
    """The spool in the file, made where there is none. Raises SpoolBroken and Unavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"the spool: {error.filename}: {error.strerror}") from error
    with named_faults():
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
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
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise SpoolBroken(verdict)
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";\n"):
        connection.execute(statement)
    connection.execute(
        "INSERT OR IGNORE INTO spool (id, host, suffix) VALUES (1, ?, ?)",
        (socket.gethostname(), secrets.token_hex(3)),
    )
    connection.execute("COMMIT")


def put_aside(path: Path) -> Path:
    """Give a broken file, with its log, another name, which it takes from an earlier one; the new path."""
    aside = path.with_name(f"{path.name}.broken")
    for end in ("-wal", "-shm", ""):
        Path(f"{aside}{end}").unlink(missing_ok=True)
        if (part := Path(f"{path}{end}")).exists():
            part.rename(f"{aside}{end}")
    return aside
