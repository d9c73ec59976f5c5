"""Integrity checks of a database: SQLite's own, and a recount of the rollups.

SQLite's pages have no checksums, so its check does not detect a flipped byte within a value. Where the value
affects an uptime, the recount does.
"""

import json
import re
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from math import isclose

from kener_async.domain.calendar import DAY, QUARTER
from kener_async.domain.checks import Phases
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.domain.timeline import count_quarters
from kener_async.domain.uptime import NOTHING, Counts
from kener_async.store import audit, day_sums, dirty, followers, layers, quarters
from kener_async.store.admin import sample_faults
from kener_async.store.audit import ChainEnd
from kener_async.store.dirty import Span
from kener_async.store.observer import has_begun, kept_from
from kener_async.store.sqlite.files import Progress, no_progress

END_OF_TIME = 2**62
QUARTERS_AT_ONCE = 30 * DAY // QUARTER
UUID_TEXT = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def tables(connection: sqlite3.Connection) -> list[str]:
    """The names of the tables, without those of SQLite."""
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")
    return [name for (name,) in names if not name.startswith("sqlite_")]


def rows(connection: sqlite3.Connection) -> dict[str, int]:
    """The number of rows of each table."""
    counted = {}
    for table in tables(connection):
        (counted[table],) = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608
    return counted


def faults(
    connection: sqlite3.Connection,
    *,
    quick: bool,
    noted: ChainEnd | None = None,
    progress: Progress = no_progress,
) -> Iterator[str]:
    """The faults of a database, a line each.

    `quick` compares no indexes with their tables and follows no chain of the audit log; `noted` is an end of
    that chain that it must hold.
    """
    names = tables(connection)
    pragma = "quick_check" if quick else "integrity_check"
    for position, table in enumerate(names):
        progress("checking", position, len(names))
        for (answer,) in connection.execute(f"PRAGMA {pragma}('{table}')"):
            if answer != "ok":
                yield f"{table}: {answer}"
    broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    for table, _, parent, _ in sorted(broken, key=lambda row: (row[0], row[2])):
        yield f"{table}: a row refers to a missing row of {parent}"
    yield from _orphans(connection, names)
    if "sealed" in names:
        yield from sample_faults.faults(connection, quick=quick)
    yield from _alert_faults(connection, quick=quick)
    yield from _unnoted_followers(connection)
    if not quick:
        yield from _unreadable_check_faults(connection)
        if "audit" in names:
            yield from audit.chain_faults(connection, noted)
            yield from _unreadable_things(connection)
    for (identity,) in connection.execute("SELECT CAST(identity AS BLOB) FROM service"):
        if not UUID_TEXT.fullmatch(identity):
            yield "service: the identity is not a UUID"


def _orphans(connection: sqlite3.Connection, names: Collection[str]) -> Iterator[str]:
    """Rows of a missing monitor, in the large tables, which for speed declare no foreign key.

    They are ordered by monitor; `samples` is since schema 8 by minute, and is left to sample_faults.py.
    """
    plain = "late_samples" if "late_samples" in names else "samples"
    for table in (plain, "sealed", "quarters", "days", "dirty"):
        monitor = -1
        while table in names:
            (monitor,) = connection.execute(
                f"SELECT min(monitor_id) FROM {table} WHERE monitor_id > ?",  # noqa: S608
                (monitor,),
            ).fetchone()
            if monitor is None:
                break
            if connection.execute("SELECT 1 FROM monitors WHERE id = ?", (monitor,)).fetchone() is None:
                yield f"{table}: rows of monitor {monitor}, which does not exist"


def _unnoted_followers(connection: sqlite3.Connection) -> Iterator[str]:
    """Groups and children whose quarters would not be marked with those of their members and parents."""
    if "followers" not in tables(connection):
        return  # of an older schema
    missing = """
        WITH named (follower, tag) AS (
            SELECT monitor_id, value FROM settings, json_each(body, '$.group.members')
             UNION
            SELECT monitor_id, value FROM settings, json_each(body, '$.excused_by'))
        SELECT follower, tag FROM named JOIN monitors USING (tag)
         WHERE NOT EXISTS (SELECT 1 FROM followers WHERE monitor_id = id AND follower_id = follower)
    """
    for follower, tag in connection.execute(missing):
        yield f"followers: it is not noted that monitor {follower} follows {tag}"


def _alert_faults(connection: sqlite3.Connection, *, quick: bool) -> Iterator[str]:
    """Notices of missing alerts, which declare no foreign key, and those that cannot be read."""
    if "alerts" not in tables(connection):
        return  # of an older schema
    missing = """
        SELECT notices.id, alert FROM notices
         WHERE alert IS NOT NULL AND NOT EXISTS (SELECT 1 FROM alerts WHERE alerts.id = alert)
    """
    for notice, alert in connection.execute(missing):
        yield f"notices: notice {notice} is about alert {alert}, which does not exist"
    if quick:
        return
    for notice, kind, body in connection.execute("SELECT id, kind, body FROM notices"):
        try:
            NoticeKind(kind)
            Facts.of(json.loads(body))
        except (ValueError, KeyError, TypeError) as error:
            yield f"notices: notice {notice} cannot be read: {error!r}"


def _unreadable_check_faults(connection: sqlite3.Connection) -> Iterator[str]:
    if "check_faults" not in tables(connection):
        return  # of an older schema
    for monitor, at, phases in connection.execute("SELECT monitor_id, at, phases FROM check_faults"):
        try:
            Phases(**json.loads(phases))
        except (ValueError, TypeError) as error:
            yield f"check_faults: the attempt of monitor {monitor} at {at} cannot be read: {error!r}"


def _unreadable_things(connection: sqlite3.Connection) -> Iterator[str]:
    """What was made beside config.toml and is no table of it; categories of people that are no names."""
    for kind, name, body in connection.execute("SELECT kind, name, body FROM managed"):
        if not isinstance(json.loads(body), dict):
            yield f"managed: the {kind} {name} is not a table"
    for name, categories in connection.execute("SELECT name, categories FROM people"):
        found = [] if categories is None else json.loads(categories)
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            yield f"people: the categories of {name} are not names"


@dataclass(frozen=True, slots=True)
class Difference:
    """A quarter-hour whose stored counts differ from those of its layers."""

    tag: str
    quarter: int
    stored: Counts
    counted: Counts


@dataclass(frozen=True, slots=True)
class DayDifference:
    """A day `[start, end)` whose stored sum is not that of its stored quarters."""

    tag: str
    start: int
    end: int
    stored: Counts
    summed: Counts


def recount(
    connection: sqlite3.Connection, *, days: int | None = None, progress: Progress = no_progress
) -> Iterator[Difference]:
    """Count all quarters of all monitors again, or those of the newest days; yields the differences.

    Dirty quarters may differ and are skipped. Each monitor is read from a snapshot of its own, because a long
    one would keep a running server from checkpointing.
    """
    monitors = connection.execute("SELECT tag, id FROM monitors ORDER BY id").fetchall()
    for position, (tag, monitor) in enumerate(monitors):
        progress("recounting", position, len(monitors))
        connection.execute("BEGIN")
        try:
            yield from _differences(connection, tag, monitor, _span(connection, days))
        finally:
            connection.execute("ROLLBACK")


def sum_days(connection: sqlite3.Connection, *, days: int | None = None) -> Iterator[DayDifference]:
    """Add up the stored quarters of each day again, or of the newest days; yields the differences."""
    if "days" not in tables(connection):
        return  # of an older schema
    monitors = connection.execute("SELECT tag, id FROM monitors ORDER BY id").fetchall()
    for tag, monitor in monitors:
        connection.execute("BEGIN")
        try:
            since, _ = _span(connection, days)
            for (start, end), stored in day_sums.load(connection, monitor, since, END_OF_TIME).items():
                summed = quarters.total(connection, monitor, start, end)
                if not _are_equal(stored, summed):
                    yield DayDifference(tag, start, end, stored, summed)
        finally:
            connection.execute("ROLLBACK")


def _are_equal(stored: Counts, summed: Counts) -> bool:
    """Whether two sums are equal; SQLite's versions differ in the last digits of a sum of latencies."""
    is_close = isclose(stored.latency_sum, summed.latency_sum, rel_tol=1e-9)
    return is_close and replace(stored, latency_sum=summed.latency_sum) == summed


def _span(connection: sqlite3.Connection, days: int | None) -> Span:
    if not has_begun(connection):
        return 0, 0
    until = dirty.rolled_until(connection)
    return max(kept_from(connection), 0 if days is None else until - days * DAY), until


def _differences(connection: sqlite3.Connection, tag: str, monitor: int, span: Span) -> Iterator[Difference]:
    marked = dirty.spans(connection, monitor, *span)
    is_older = "followers" not in tables(connection)
    followed = 0 if is_older else followers.count_followed(connection, monitor)
    length = max(1, QUARTERS_AT_ONCE // (1 + followed)) * QUARTER
    for start in range(*span, length):
        end = min(start + length, span[1])
        stored = quarters.by_start(connection, monitor, start, end)
        counted = count_quarters(layers.load(connection, monitor, start, end), start, end)
        for quarter in sorted(stored.keys() | counted.keys()):
            before, after = stored.get(quarter, NOTHING), counted.get(quarter, NOTHING)
            if before != after and not any(first <= quarter < last for first, last in marked):
                yield Difference(tag, quarter, before, after)
