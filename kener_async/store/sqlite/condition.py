"""The condition of a database file, read without changing it, also while a server runs on it."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from kener_async.store import tokens
from kener_async.store.sqlite import migrations
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.errors import database_errors
from kener_async.store.tokens import Token


@dataclass(frozen=True, slots=True)
class Condition:
    """`steps` is the number of migrations it lacks, `last_seen` when a server was last running on it.

    With missing migrations only the journal mode is read.
    """

    journal_mode: str
    steps: int
    last_seen: int
    tokens: Sequence[Token]


def read(database: Path) -> Condition:
    """Read the condition of an existing database; raises DatabaseFileError."""
    with database_errors(database), closing(connect(database, read_only=True)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        steps = len(migrations.lacking(connection))
        if steps or migrations.is_new(connection):
            return Condition(mode, steps, 0, ())
        records = tuple(tokens.all_tokens(connection).values())
        return Condition(mode, 0, _last_seen(connection), records)


def _last_seen(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT last_seen FROM service").fetchone()
    return 0 if row is None else int(row[0])  # no row: no server has run on it yet


def server_of(database: Path) -> int | None:
    """The process that holds the lock of the database, as a server does; None if none is found."""
    try:
        inode = str(os.stat(f"{database}.lock").st_ino)
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if "->" not in words and words[1:2] == ["FLOCK"] and words[5].rpartition(":")[2] == inode:
            with suppress(ValueError):
                return int(words[4])
    return None
