"""Incidents, the monitors they name, and their comments."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kener_async.domain.errors import NotFound
from kener_async.domain.incidents import Comment, Incident
from kener_async.domain.samples import Status
from kener_async.store import dirty

COLUMNS = """
    number, title, body, start, "end", impact, is_maintenance, is_identified, is_resolved,
    created_at, resolved_at, closed_at, ended_by_resolving
"""


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for; None: anything. `created_*` are inclusive; `title` is a part of it, in any case."""

    closed: bool
    tags: Sequence[str] | None = None
    created_after: int | None = None
    created_before: int | None = None
    title: str | None = None
    limit: int = 10
    offset: int = 0


def add(connection: sqlite3.Connection, make: Callable[[int], Incident]) -> Incident:
    """Store a new incident, which is made from the number it gets."""
    (last,) = connection.execute(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'incidents'"
    ).fetchone()
    incident = make(last + 1)
    _save(connection, incident)
    _mark(connection, incident)
    return incident


def change(connection: sqlite3.Connection, number: int, edit: Callable[[Incident], Incident]) -> Incident:
    """Store what the edit makes of an incident; marks what it covered before and covers now."""
    before = get(connection, number)
    after = edit(before)
    _mark(connection, before)
    _save(connection, after)
    _mark(connection, after)
    return after


def get(connection: sqlite3.Connection, number: int) -> Incident:
    """The incident; raises NotFound."""
    rows = connection.execute(f"SELECT {COLUMNS} FROM incidents WHERE number = ?", (number,))  # noqa: S608
    for incident in _incidents(connection, rows.fetchall()):
        return incident
    raise NotFound("incident not found")


def search(connection: sqlite3.Connection, wanted: Search, now: int) -> list[Incident]:
    """Newest first. An incident whose end has passed is closed, also before the worker came by."""
    rows = connection.execute(
        f"""
        SELECT {COLUMNS}
          FROM incidents
         WHERE (closed_at IS NOT NULL OR ("end" IS NOT NULL AND "end" <= :now)) = :closed
           AND (:after IS NULL OR created_at >= :after)
           AND (:before IS NULL OR created_at <= :before)
           AND (:title IS NULL OR instr(casefold(title), :title))
           AND (:tags IS NULL OR number IN (SELECT number
                                              FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
                                             WHERE tag IN (SELECT value FROM json_each(:tags))))
         ORDER BY created_at DESC, number DESC
         LIMIT :limit OFFSET :offset
        """,  # noqa: S608
        {
            "now": now,
            "closed": wanted.closed,
            "after": wanted.created_after,
            "before": wanted.created_before,
            "title": None if wanted.title is None else wanted.title.casefold(),
            "tags": None if wanted.tags is None else json.dumps(list(wanted.tags)),
            "limit": wanted.limit,
            "offset": wanted.offset,
        },
    )
    return _incidents(connection, rows.fetchall())


Told = tuple[Incident, Sequence[Comment]]  # an incident with its time line, oldest first


def current(connection: sqlite3.Connection, closed_after: int) -> list[Told]:
    """What is open, and what closed after an instant, oldest first."""
    rows = connection.execute(
        f"""
        SELECT {COLUMNS} FROM incidents
         WHERE (closed_at IS NULL AND ("end" IS NULL OR "end" > :after)) OR closed_at > :after
         ORDER BY number
        """,  # noqa: S608
        {"after": closed_after},
    )
    return _told(connection, _incidents(connection, rows.fetchall()))


def overlapping(connection: sqlite3.Connection, start: int, end: int, tag: str | None = None) -> list[Told]:
    """What lies at least in part in `[start, end)`, of one monitor or of all, by its begin."""
    rows = connection.execute(
        f"""
        SELECT {COLUMNS} FROM incidents
         WHERE start < :end
           AND (start >= :start OR coalesce("end", closed_at) IS NULL
                OR min(coalesce("end", closed_at), coalesce(closed_at, "end")) > :start)
           AND (:tag IS NULL OR number IN (SELECT number
                                             FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
                                            WHERE tag = :tag))
         ORDER BY start, number
        """,  # noqa: S608
        {"start": start, "end": end, "tag": tag},
    )
    return _told(connection, _incidents(connection, rows.fetchall()))


def extent(connection: sqlite3.Connection, tags: Iterable[str]) -> tuple[int, int] | None:
    """The first and the last known instant of all that names one of the monitors; None: nothing does."""
    row = connection.execute(
        """
        SELECT min(start),
               max(CASE WHEN closed_at IS NULL THEN max(start, coalesce("end" - 1, start)) ELSE start END)
          FROM incidents
         WHERE number IN (SELECT number
                            FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
                           WHERE tag IN (SELECT value FROM json_each(?)))
        """,
        (json.dumps(list(tags)),),
    ).fetchone()
    return None if row[0] is None else (row[0], row[1])


def told(connection: sqlite3.Connection, number: int) -> Told:
    """One incident with its time line; raises NotFound."""
    return get(connection, number), comments(connection, number)


def _told(connection: sqlite3.Connection, found: Sequence[Incident]) -> list[Told]:
    return [(incident, comments(connection, incident.number)) for incident in found]


def ended(connection: sqlite3.Connection, now: int) -> bool:
    """Whether an open incident's end has passed."""
    row = connection.execute(
        'SELECT 1 FROM incidents WHERE closed_at IS NULL AND "end" <= ? LIMIT 1', (now,)
    ).fetchone()
    return row is not None


def close_ended(connection: sqlite3.Connection, now: int) -> list[int]:
    """Close the open incidents whose end has passed, at that end; their numbers."""
    rows = connection.execute(
        """
        UPDATE incidents SET closed_at = "end"
         WHERE closed_at IS NULL AND "end" <= ?
        RETURNING number
        """,
        (now,),
    )
    return [number for (number,) in rows]


def comment(connection: sqlite3.Connection, number: int, body: str, now: int) -> Comment:
    """Add a comment; raises NotFound for an unknown incident."""
    get(connection, number)
    cursor = connection.execute(
        "INSERT INTO comments (number, body, created_at) VALUES (?, ?, ?)", (number, body, now)
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT has one
    return Comment(cursor.lastrowid, body, now)


def comments(connection: sqlite3.Connection, number: int) -> list[Comment]:
    """An incident's comments, oldest first; raises NotFound for an unknown incident."""
    get(connection, number)
    rows = connection.execute(
        "SELECT id, body, created_at FROM comments WHERE number = ? ORDER BY id", (number,)
    )
    return [Comment(*row) for row in rows]


def put_back(connection: sqlite3.Connection, incident: Incident, remarks: Iterable[Comment]) -> None:
    """Store an incident as it was exported, under its number; marks nothing."""
    _save(connection, incident)
    connection.executemany(
        "INSERT INTO comments (id, number, body, created_at) VALUES (?, ?, ?, ?)",
        [(remark.id, incident.number, remark.body, remark.created_at) for remark in remarks],
    )


def _save(connection: sqlite3.Connection, incident: Incident) -> None:
    connection.execute(
        f"""
        INSERT INTO incidents ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (number) DO UPDATE
           SET title = excluded.title, body = excluded.body, start = excluded.start, "end" = excluded."end",
               impact = excluded.impact, is_maintenance = excluded.is_maintenance,
               is_identified = excluded.is_identified, is_resolved = excluded.is_resolved,
               resolved_at = excluded.resolved_at, closed_at = excluded.closed_at,
               ended_by_resolving = excluded.ended_by_resolving
        """,  # noqa: S608
        (
            incident.number,
            incident.title,
            incident.body,
            incident.start,
            incident.end,
            incident.impact,
            incident.is_maintenance,
            incident.is_identified,
            incident.is_resolved,
            incident.created_at,
            incident.resolved_at,
            incident.closed_at,
            incident.ended_by_resolving,
        ),
    )
    connection.execute("DELETE FROM incident_monitors WHERE number = ?", (incident.number,))
    connection.executemany(
        """
        INSERT INTO incident_monitors (number, position, monitor_id)
        SELECT ?, ?, id FROM monitors WHERE tag = ?
        """,
        [(incident.number, position, tag) for position, tag in enumerate(incident.tags)],
    )


def _mark(connection: sqlite3.Connection, incident: Incident) -> None:
    """Mark the quarters the incident covers; one that says nothing of its monitors covers none."""
    if incident.effect is None:
        return
    overlay = incident.overlay
    monitors = connection.execute(
        "SELECT monitor_id FROM incident_monitors WHERE number = ?", (incident.number,)
    ).fetchall()
    dirty.mark_span(connection, [monitor for (monitor,) in monitors], overlay.start, overlay.end)


def _incidents(connection: sqlite3.Connection, rows: Iterable[tuple]) -> list[Incident]:  # type: ignore[type-arg]
    return [
        Incident(
            number=row[0],
            title=row[1],
            body=row[2],
            tags=_tags(connection, row[0]),
            start=row[3],
            end=row[4],
            impact=None if row[5] is None else Status(row[5]),
            is_maintenance=bool(row[6]),
            is_identified=bool(row[7]),
            is_resolved=bool(row[8]),
            created_at=row[9],
            resolved_at=row[10],
            closed_at=row[11],
            ended_by_resolving=bool(row[12]),
        )
        for row in rows
    ]


def _tags(connection: sqlite3.Connection, number: int) -> tuple[str, ...]:
    rows = connection.execute(
        """
        SELECT tag FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
         WHERE number = ? ORDER BY position
        """,
        (number,),
    )
    return tuple(tag for (tag,) in rows)
