"""From any released schema to this program's, by numbered steps; a new file runs `schema.sql` at once."""

import sqlite3
from importlib.resources import files

from kener_async.resources import shipped

APPLICATION_ID = 0x4B656E72  # "Kenr": tells our files from other people's
VERSION = 1


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to VERSION; each step and its record stand or fall together.

    Raises ValueError for a file from a newer version, or of another program.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and owner != APPLICATION_ID:
        raise ValueError("is a database of another program")
    if found > VERSION:
        raise ValueError(f"was written by a newer version (schema {found}; this program knows {VERSION})")
    if not tables:
        _run(connection, f"PRAGMA application_id = {APPLICATION_ID};\n{shipped('schema.sql')}", VERSION)
        return
    for number in range(found + 1, VERSION + 1):
        _run(connection, step(number), number)


def step(number: int) -> str:
    """The SQL that leads from version `number - 1` to `number`."""
    name = f"{number:04d}.sql"
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _run(connection: sqlite3.Connection, script: str, version: int) -> None:
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {version};\nCOMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
