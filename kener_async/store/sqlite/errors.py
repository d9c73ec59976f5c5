"""Errors of a database file, each in one line for the operator."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kener_async.errors import FREE_SPACE, OWNER, FatalError, reason_of


class DatabaseFileError(FatalError):
    """The database cannot be used, and why, in one line."""


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the file system into a DatabaseFileError that names the file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise DatabaseFileError(f"{path}: {_reason_of(error)}") from error
    except ValueError as error:
        raise DatabaseFileError(f"{path}: {error}") from error
    except OSError as error:
        raise DatabaseFileError(f"{error.filename or path}: {reason_of(error)}") from error


def _reason_of(error: sqlite3.DatabaseError) -> str:
    """What SQLite says, and what to do about it. The driver's own errors have no code."""
    remedy = _REMEDIES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return str(error) if remedy is None else f"{error}: {remedy}"


_REMEDIES = {
    sqlite3.SQLITE_CANTOPEN: OWNER,
    sqlite3.SQLITE_PERM: OWNER,
    sqlite3.SQLITE_READONLY: OWNER,
    sqlite3.SQLITE_FULL: FREE_SPACE,
    sqlite3.SQLITE_NOTADB: "name another file as [database] path, or restore a backup",
    sqlite3.SQLITE_CORRUPT: "run kener-async verify, then restore the newest backup",
    sqlite3.SQLITE_BUSY: "another program holds it, run this again",
}
