"""The samples of a database file, read without the package: what the recount and the soaks compare with."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

STATUSES = ("UP", "DEGRADED", "DOWN")
SOURCES = ("push", "check")


class StoredSample(NamedTuple):
    """A sample by the tag of its monitor; `latency` in seconds."""

    tag: str
    minute: int
    status: str
    latency: float
    source: str


def samples_in(database: Path) -> list[StoredSample]:
    """All samples of a file, by tag and minute; a server may be running on it."""
    with closing(
        sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    ) as connection:
        return samples_of(connection)


def samples_of(connection: sqlite3.Connection) -> list[StoredSample]:
    """The same over a connection; rows of monitors that do not exist are left out."""
    tags = dict(connection.execute("SELECT id, tag FROM monitors"))
    rows = connection.execute("SELECT monitor_id, minute, status, source, latency FROM samples").fetchall()
    return sorted(
        StoredSample(
            tags[monitor],
            minute,
            STATUSES[status],
            latency / 1_000_000 if isinstance(latency, int) else latency,
            SOURCES[source],
        )
        for monitor, minute, status, source, latency in rows
        if monitor in tags
    )
