"""Samples as they are stored: rows of small integers, and the statements that tables of them share."""

import json
from collections.abc import Sequence

from kener_async.domain.samples import MAX_LATENCY, Sample, SampleSource, Status
from kener_async.store.interface import Session

MILLION = 1_000_000
ROWS_PER_STATEMENT = 500

Key = tuple[int, int]  # monitor, minute
StoredLatency = int | float
Row = tuple[int, int, int, int, StoredLatency]  # monitor, minute, status, source, latency

_STATUSES = tuple(Status)
_SOURCES = tuple(SampleSource)


def row_of(sample: Sample) -> Row:
    """The row that stores a sample."""
    return sample.monitor, sample.minute, sample.status, sample.source, packed_latency(sample.latency)


def sample_of(row: Row) -> Sample:
    """The sample of a row."""
    monitor, minute, status, source, latency = row
    return Sample(monitor, minute, _STATUSES[status], plain_latency(latency), _SOURCES[source])


def packed_latency(latency: float) -> StoredLatency:
    """The latency as stored: an integer of millionths if that is exact, else a float."""
    millionths = round(latency * MILLION) if latency < MILLION * MILLION else -1
    return millionths if millionths / MILLION == latency else float(latency)


def plain_latency(stored: StoredLatency) -> float:
    """The latency of a stored value, at most MAX_LATENCY: earlier versions stored any number."""
    return stored / MILLION if isinstance(stored, int) else min(stored, float(MAX_LATENCY))


def insert(session: Session, table: str, rows: Sequence[Row]) -> None:
    """Store rows in a table of samples, many in one statement: executemany releases the GIL for each."""
    for first in range(0, len(rows), ROWS_PER_STATEMENT):
        some = rows[first : first + ROWS_PER_STATEMENT]
        session.execute(
            f"""
            INSERT INTO {table} (monitor_id, minute, status, source, latency)
            VALUES {", ".join(["(?, ?, ?, ?, ?)"] * len(some))}
                ON CONFLICT (monitor_id, minute) DO UPDATE
               SET status = excluded.status, source = excluded.source, latency = excluded.latency
            """,  # noqa: S608 - a name of ours, and placeholders
            [value for row in some for value in row],
        )


def look_up(session: Session, table: str, keys: Sequence[Key]) -> dict[Key, Sample]:
    """The samples that a table holds for these keys."""
    found: dict[Key, Sample] = {}
    for first in range(0, len(keys), ROWS_PER_STATEMENT):
        some = keys[first : first + ROWS_PER_STATEMENT]
        rows = session.execute(
            f"""
            WITH wanted (monitor, moment) AS (VALUES {", ".join(["(?, ?)"] * len(some))})
            SELECT monitor_id, minute, status, source, latency
              FROM wanted CROSS JOIN {table} ON monitor_id = monitor AND minute = moment
            """,  # noqa: S608 - a name of ours, and placeholders
            [value for key in some for value in key],
        )
        found.update({row[:2]: sample_of(row) for row in rows})
    return found


def delete_of(session: Session, table: str, monitor: int, minutes: Sequence[int]) -> None:
    """Delete the rows of a monitor in these minutes from a table of samples."""
    session.execute(
        f"DELETE FROM {table} WHERE monitor_id = ? AND minute IN (SELECT value FROM json_each(?))",  # noqa: S608
        (monitor, json.dumps(minutes)),
    )
