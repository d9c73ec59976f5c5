"""A database as schema 7 had it, with days of samples: an upgrade migrates it, and the service seals them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from uuid import UUID

from kener_async.store.sqlite.migrations import APPLICATION_ID
from tests.rigs.process import MINUTE, STATUSES, Key

SCHEMA = Path(__file__).parents[1] / "data" / "schema_v7.sql"
DAY = 86400

# Code that runs before the program does: sealing goes on all the time.
HASTY = """
from kener_async.worker import schedule, sealing
every = schedule.Scheduler.every
def hasty(self, seconds, name, job, **options):
    every(self, 0.2 if name == "sealing" else seconds, name, job, **options)
schedule.Scheduler.every = hasty
assert sealing.PAUSE_SECONDS
sealing.PAUSE_SECONDS = 0.01
"""


def make(path: Path, tags: Sequence[str], days: int, now: int) -> dict[Key, str]:
    """Make the file, with a sample each five minutes of the days before now; their statuses by key.

    No quarter-hour is counted yet.
    """
    begin, end = now // DAY * DAY - days * DAY, now // MINUTE * MINUTE
    stored: dict[Key, str] = {}
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; {SCHEMA.read_text()}")
        connection.execute("PRAGMA user_version = 7")
        connection.execute(
            "INSERT INTO service (id, last_seen, rolled_until, kept_from, identity) VALUES (1, ?, ?, ?, ?)",
            (now - MINUTE, begin, begin, str(UUID(int=7))),
        )
        for monitor, tag in enumerate(tags, start=1):
            connection.execute("INSERT INTO monitors (id, tag) VALUES (?, ?)", (monitor, tag))
            minutes = range(begin + monitor % 5 * MINUTE, end, 5 * MINUTE)
            connection.executemany(
                "INSERT INTO samples (monitor_id, minute, status, source, latency) VALUES (?, ?, ?, 0, ?)",
                [(monitor, minute, minute // MINUTE % 7 % 3, minute % 997 * 1000) for minute in minutes],
            )
            stored |= {(tag, minute): STATUSES[minute // MINUTE % 7 % 3] for minute in minutes}
    return stored
