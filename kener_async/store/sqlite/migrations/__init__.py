"""Migrations: numbered steps from any released schema to the current one; a new file gets `schema.sql`."""

import sqlite3
from importlib.resources import files

from kener_async.resources import shipped

APPLICATION_ID = 0x4B656E72  # "Kenr", to recognise files of this program
VERSION = 8


def lacking(connection: sqlite3.Connection) -> range:
    """The numbers of the steps that the file lacks; none for a new file.

    Raises ValueError for a file from a newer version, or of another program.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if is_new(connection):
        return range(0)
    if application != APPLICATION_ID:
        raise ValueError("is a database of another program: name another file as [database] path")
    if version > VERSION:
        raise ValueError(f"was written by a newer version (schema {version}; this program knows {VERSION})")
    return range(version + 1, VERSION + 1)


def is_new(connection: sqlite3.Connection) -> bool:
    """Whether the file is empty."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return not tables


def migrate(connection: sqlite3.Connection) -> None:
    """Migrate the file to VERSION in one transaction, so that a failure leaves it as it was.

    Raises ValueError as `lacking` does, and sqlite3.Error.
    """
    if is_new(connection):
        _run(connection, f"PRAGMA application_id = {APPLICATION_ID};\n{shipped('schema.sql')}", VERSION)
        return
    numbers = lacking(connection)
    if numbers:
        _run(connection, "\n".join(step(number) for number in numbers), VERSION)


def step(number: int) -> str:
    """The SQL from version `number - 1` to `number`; its first line is a comment with the title."""
    name = f"{number:04d}.sql"
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def title(number: int) -> str:
    """The title of a step."""
    first, _, _ = step(number).strip().partition("\n")
    return first.removeprefix("--").strip() if first.startswith("--") else ""


def _run(connection: sqlite3.Connection, script: str, version: int) -> None:
    # Off, because a step may replace a table that others refer to; they are checked before the commit.
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {version};")
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise sqlite3.IntegrityError(f"a row of {broken[0]} refers to a missing row of {broken[2]}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA foreign_keys = ON")
