"""Verify a database or a backup."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from kener_async.domain.uptime import Counts
from kener_async.store.admin import integrity
from kener_async.store.admin.archive import DATABASE
from kener_async.store.admin.integrity import DayDifference, Difference
from kener_async.store.admin.restore import fetch, is_database
from kener_async.store.audit import ChainEnd
from kener_async.store.sqlite import files, migrations
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.errors import database_errors
from kener_async.store.sqlite.files import Progress, no_progress


def verify(
    source: Path,
    scratch: Path,
    *,
    quick: bool = False,
    days: int | None = None,
    noted: ChainEnd | None = None,
    progress: Progress = no_progress,
) -> Iterator[str]:
    """The faults of a database or a backup, a line each; none if it is OK.

    A server may be running on the database. A backup is unpacked into the scratch folder, and an older schema
    is upgraded there for the recount. `quick` skips the recount, the indexes and the audit log; `days` limits
    the recount to the newest ones; `noted` is an end of the audit log that must be in it. Raises FatalError
    for a file that cannot be read at all.
    """
    with database_errors(source):
        if is_database(source) and not _is_old(source):
            yield from _faults(source, quick=quick, days=days, noted=noted, progress=progress)
            return
        with files.workspace(scratch) as work:
            fetch(source, work, progress)
            with closing(connect(work / DATABASE)) as connection:
                migrations.migrate(connection)
            yield from _faults(work / DATABASE, quick=quick, days=days, noted=noted, progress=progress)


def _is_old(database: Path) -> bool:
    with closing(connect(database, read_only=True)) as connection:
        return bool(migrations.lacking(connection))


def _faults(
    database: Path, *, quick: bool, days: int | None, noted: ChainEnd | None, progress: Progress
) -> Iterator[str]:
    with closing(connect(database, read_only=True)) as connection:
        is_ok = True
        try:
            for fault in integrity.faults(connection, quick=quick, noted=noted, progress=progress):
                is_ok = False
                yield fault
            if is_ok and not quick:
                for difference in integrity.recount(connection, days=days, progress=progress):
                    yield _line(difference)
                for day in integrity.sum_days(connection, days=days):
                    yield _line_of_day(day)
        except (sqlite3.DatabaseError, ValueError, KeyError, TypeError, OverflowError) as error:
            yield f"cannot be read: {error!r}"


def _line(difference: Difference) -> str:
    stored, counted = _words(difference.stored), _words(difference.counted)
    return f"{difference.tag} {_time(difference.quarter)}: stored {stored}; recounted {counted}"


def _line_of_day(day: DayDifference) -> str:
    stored, summed = _words(day.stored), _words(day.summed)
    return (
        f"{day.tag} {_time(day.start)} to {_time(day.end)}: stored {stored}; its quarters add up to {summed}"
    )


def _time(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _words(counts: Counts) -> str:
    words = (
        f"up {counts.up}, degraded {counts.degraded}, down {counts.down}, maintenance {counts.maintenance}"
    )
    if counts.latency_count:
        words += f", latency {counts.latency_sum:g} in {counts.latency_count} samples"
    return words
