"""The SQLite library that Python was linked with, and the oldest one whose SQL is enough."""

import sqlite3

from kener_async.errors import FatalError

VERSION = sqlite3.sqlite_version
MINIMUM = (3, 38, 0)  # RETURNING came with 3.35, STRICT with 3.37, ->> with 3.38


class UnsupportedSQLite(FatalError):
    """The SQLite library is too old."""


def require() -> None:
    """Raise UnsupportedSQLite, with a message of one line, unless the library is new enough."""
    if sqlite3.sqlite_version_info < MINIMUM:
        needed = ".".join(map(str, MINIMUM[:2]))
        raise UnsupportedSQLite(f"SQLite {needed} or newer is needed, this is {sqlite3.sqlite_version}")
