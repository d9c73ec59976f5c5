"""Errors of a database file, each in one line for the operator."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kener_async.errors import FatalError


class DatabaseFileError(FatalError):
    """The database cannot be used, and why, in one line."""


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the file system into a DatabaseFileError that names the file."""
    try:
        yield
    except (sqlite3.DatabaseError, ValueError) as error:
        raise DatabaseFileError(f"{path}: {error}") from error
    except OSError as error:
        raise DatabaseFileError(f"{error.filename or path}: {error.strerror}") from error
