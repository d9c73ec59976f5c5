"""The upgrade of a database: what lies ahead of it, a copy of the old file first, then the migration."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import structlog

from kener_async.store.sqlite import files, migrations
from kener_async.store.sqlite.files import Progress, quiet

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """What an upgrade would do: `steps` are numbers with what each does in words."""

    found: int
    target: int
    steps: Sequence[tuple[int, str]]


def plan(connection: sqlite3.Connection) -> UpgradePlan:
    """Raises ValueError for a file from a newer version, or of another program."""
    numbers = migrations.lacking(connection)
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return UpgradePlan(found, migrations.VERSION, [(number, migrations.title(number)) for number in numbers])


def upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file to this program's schema; an old one is copied first, to `<path>.v<schema>.bak`.

    A migration that fails leaves the file as it was. Raises as `migrations.migrate` and `files.copy` do.
    """
    ahead = plan(connection)
    if not ahead.steps:
        migrations.migrate(connection)
        return
    kept = path.with_name(f"{path.name}.v{ahead.found}.bak")
    with files.workspace(path.parent) as work:
        files.copy(connection, work / "copy.db")
        files.put(work / "copy.db", kept)
    log.info("upgrading the database", schema=ahead.found, to=ahead.target, kept=str(kept))
    try:
        migrations.migrate(connection)
    except sqlite3.Error as error:
        raise sqlite3.DatabaseError(
            f"the upgrade from schema {ahead.found} to {ahead.target} failed and was taken back: {error}"
        ) from error
    log.info("upgraded the database", schema=ahead.target)


def rehearse(connection: sqlite3.Connection, folder: Path, progress: Progress = quiet) -> int:
    """Run the migration on a copy that is thrown away; the number of rows it changed.

    The copy is made in the folder, and the file itself is only read. Raises as `upgrade` does.
    """
    with files.workspace(folder) as work:
        files.copy(connection, work / "copy.db", progress)
        with closing(sqlite3.connect(work / "copy.db", isolation_level=None)) as copied:
            migrations.migrate(copied)
            return copied.total_changes
