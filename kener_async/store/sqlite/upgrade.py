"""The upgrade of a database file: the steps it needs, a copy of the old file, then the migration."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import structlog

from kener_async.store import seal_backlog
from kener_async.store.sqlite import files, migrations, version
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.errors import database_errors
from kener_async.store.sqlite.files import Progress, no_progress
from kener_async.store.sqlite.quick_check import SMALL_TABLES, check_table

OLDER_SCHEMA = "has an older schema: start the service, or run `kener-async migrate`, first"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """What an upgrade would do: from one schema to another, by numbered steps with their titles."""

    current: int
    target: int
    steps: Sequence[tuple[int, str]]


def prepare(path: Path, *, may_upgrade: bool = True) -> None:
    """Migrate the file to the current schema and check its small tables; raises DatabaseFileError.

    Only with the lock of the file held may an old file be upgraded: a server of the old version may be
    running on it.
    """
    version.require()
    with database_errors(path):
        if _is_new(path):
            # One process at a time: while another sets the file up it has bytes, and no tables yet.
            with files.folder_locked(path.absolute().parent):
                files.make_file(path)
                _prepare(path, may_upgrade)
        else:
            _require_ours(path)
            _prepare(path, may_upgrade)


def _is_new(path: Path) -> bool:
    """Whether no process has finished setting up the file."""
    if files.is_empty(path):
        return True
    with closing(connect(path, read_only=True)) as connection:
        return migrations.is_new(connection)


def _require_ours(path: Path) -> None:
    """Raise ValueError for another program's file, before a connection that writes sets its journal mode."""
    with closing(connect(path, read_only=True)) as connection:
        migrations.lacking(connection)


def _prepare(path: Path, may_upgrade: bool) -> None:
    with closing(connect(path)) as connection:
        if not may_upgrade and migrations.lacking(connection):
            raise ValueError(OLDER_SCHEMA)
        _upgrade(connection, path)
        for table in SMALL_TABLES:
            check_table(connection, table)


def plan(path: Path) -> UpgradePlan:
    """The upgrade that the file needs; raises DatabaseFileError."""
    with database_errors(path), closing(connect(path, read_only=True)) as connection:
        return _plan(connection)


def _plan(connection: sqlite3.Connection) -> UpgradePlan:
    steps = [(number, migrations.title(number)) for number in migrations.lacking(connection)]
    (current,) = connection.execute("PRAGMA user_version").fetchone()
    return UpgradePlan(current, migrations.VERSION, steps)


def run(path: Path) -> None:
    """Upgrade the file while no server runs on it; raises DatabaseFileError."""
    with files.locked(path):
        prepare(path)


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Migrate the file to the current schema; an old one is copied first, to `<path>.v<schema>.bak`.

    A migration that fails leaves the file as it was. Raises as `migrations.migrate` and `files.copy` do.
    """
    needed = _plan(connection)
    if not needed.steps:
        migrations.migrate(connection)
        return
    backup = path.with_name(f"{path.name}.v{needed.current}.bak")
    with files.workspace(path.parent) as work:
        files.copy(connection, work / "copy.db")
        files.replace(work / "copy.db", backup)
    log.info("upgrading the database", schema=needed.current, to=needed.target, kept=str(backup))
    try:
        migrations.migrate(connection)
    except sqlite3.Error as error:
        raise sqlite3.DatabaseError(
            f"the upgrade from schema {needed.current} to {needed.target} failed and was rolled back: {error}"
        ) from error
    log.info("upgraded the database", schema=needed.target)


class Rehearsal(NamedTuple):
    """How many rows a migration changed, and the days of monitors that the service packs after it."""

    rows: int
    unsealed_days: int


def rehearse(path: Path, now: int, progress: Progress = no_progress) -> Rehearsal:
    """Run the migration on a temporary copy.

    The file itself is only read. Raises DatabaseFileError and NotEnoughSpace.
    """
    with (
        database_errors(path),
        closing(connect(path, read_only=True)) as connection,
        files.workspace(path.parent) as work,
    ):
        files.copy(connection, work / "copy.db", progress)
        with closing(sqlite3.connect(work / "copy.db", isolation_level=None)) as copied:
            migrations.migrate(copied)
            return Rehearsal(copied.total_changes, seal_backlog.late_days_waiting(copied, now))
