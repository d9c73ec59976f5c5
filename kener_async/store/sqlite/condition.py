"""The condition of a database file, read without changing it, also while a server runs on it."""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kener_async.domain.notices import ChannelState, Delivery
from kener_async.store import channel_states, check_conditions, deliveries, people, seal_backlog, tokens
from kener_async.store.check_conditions import NO_CHECKS, CheckConditions
from kener_async.store.people import PersonRecord
from kener_async.store.sqlite import migrations
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.errors import database_errors
from kener_async.store.tokens import Token


@dataclass(frozen=True, slots=True)
class Condition:
    """`steps` is the number of migrations it lacks, `last_seen` when a server was last running on it.

    `channels` are their states by name, `failed` the deliveries that failed for good lately,
    `unsealed_days` the days of monitors that are due to be packed. With missing migrations only the journal
    mode is read.
    """

    journal_mode: str
    steps: int
    last_seen: int
    tokens: Sequence[Token]
    channels: Mapping[str, ChannelState] = field(default_factory=dict)
    failed: Sequence[Delivery] = ()
    checks: CheckConditions = NO_CHECKS
    people: Sequence[PersonRecord] = ()
    unsealed_days: int = 0


def read(database: Path, failed_since: int, now: int) -> Condition:
    """Read the condition of an existing database; raises DatabaseFileError.

    Deliveries are those that failed at `failed_since` or later, and so are checks that measure nothing.
    """
    with database_errors(database), closing(connect(database, read_only=True)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        steps = len(migrations.lacking(connection))
        if steps or migrations.is_new(connection):
            return Condition(mode, steps, 0, ())
        records = tuple(tokens.all_tokens(connection).values())
        return Condition(
            mode,
            0,
            _last_seen(connection),
            records,
            channel_states.all_states(connection),
            deliveries.failed_since(connection, failed_since),
            check_conditions.read(connection, failed_since),
            people.records(connection, now),
            seal_backlog.days_waiting(connection, now),
        )


def _last_seen(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT last_seen FROM service").fetchone()
    return 0 if row is None else int(row[0])  # no row: no server has run on it yet


def server_of(database: Path) -> int | None:
    """The process that holds the lock of the database, as a server does; None if none is found."""
    holders = (_holder(path) for path in (database, Path(f"{database}.lock")))
    return next((holder for holder in holders if holder is not None), None)


def _holder(path: Path) -> int | None:
    """The process that holds the lock of a file."""
    try:
        inode = str(os.stat(path).st_ino)
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if "->" not in words and words[1:2] == ["FLOCK"] and words[5].rpartition(":")[2] == inode:
            with suppress(ValueError):
                return int(words[4])
    return None


def file_fault(database: Path) -> str | None:
    """What happened to the file under the server that runs on it, as far as it is seen from outside.

    The server itself knows it too, and says so at /readyz.
    """
    server = server_of(database)
    if server is None:
        return None
    if not database.exists():
        return f"{database}: was deleted or moved away under the server that runs on it (process {server})"
    if _has_open(server, database) is False:
        return f"{database}: is not the file that the server runs on (process {server}): it was replaced"
    for suffix in ("-wal", "-shm"):
        if not os.path.exists(f"{database}{suffix}"):
            return f"{database}{suffix} was deleted under the server that runs on it (process {server})"
    return None


def _has_open(process: int, path: Path) -> bool | None:
    """Whether the process has the file open; None if that cannot be seen."""
    inode = path.stat().st_ino
    try:
        opened = list(Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return None
    for descriptor in opened:
        with suppress(OSError):
            if descriptor.stat().st_ino == inode:
                return True
    return False
