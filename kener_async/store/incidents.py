"""Incidents, the monitors they name, and their comments."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kener_async.domain.access import Grant, require_tags
from kener_async.domain.calendar import FIRST_INSTANT, LAST_INSTANT, minute_of
from kener_async.domain.errors import NotFound
from kener_async.domain.incidents import Comment, Incident, IncidentSource, edited, opened, touched
from kener_async.domain.samples import Status
from kener_async.store import dirty
from kener_async.store.interface import Session

COLUMNS = """
    number, title, body, start, "end", impact, is_maintenance, is_identified, is_resolved,
    created_at, resolved_at, closed_at, ended_by_resolving, updated_at, revision,
    source, covers, is_draft, is_monitoring, touched_at
"""
EXPORTED_AT_ONCE = 500

IncidentRow = tuple[Any, ...]  # of COLUMNS


@dataclass(frozen=True, slots=True)
class Search:
    """Search criteria; None matches all. `created_*` are inclusive, `title` is a part of it in any case."""

    closed: bool
    tags: Sequence[str] | None = None
    created_after: int | None = None
    created_before: int | None = None
    title: str | None = None
    limit: int = 10
    offset: int = 0


def add(session: Session, fields: Mapping[str, Any], now: int) -> Incident:
    """Store a new incident of these fields under the next number; raises Invalid as `opened` does."""
    incident = opened(next_number(session), fields, now)
    _save(session, incident)
    _mark(session, incident)
    return incident


def next_number(session: Session) -> int:
    """The number of the next incident; those of deleted ones are never given again."""
    return _made(session) + 1


def save_automatic(session: Session, incident: Incident) -> None:
    """Store an incident of an alert rule as its alerts left it, new or changed.

    It covers no minute, so no quarter is marked, and no person has touched it by this. Monitors have only
    been added to those that are stored; in a storm they are hundreds, so only the new ones are written.
    """
    _save_fields(session, incident)
    (stored,) = session.execute(
        "SELECT count(*) FROM incident_monitors WHERE number = ?", (incident.number,)
    ).fetchone()
    _add_monitors(session, incident, stored)


def open_automatic(session: Session, created_from: int) -> list[Incident]:
    """The open incidents of alert rules, also drafts, that were created at an instant or later."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM incidents INDEXED BY incidents_open
         WHERE closed_at IS NULL AND created_at >= ? AND source = 1 ORDER BY number
        """,  # noqa: S608
        (created_from,),
    )
    return _incidents(session, rows.fetchall())


def change(
    session: Session, number: int, fields: Mapping[str, Any], now: int, grant: Grant | None = None
) -> tuple[Incident, Incident]:
    """Change fields of an incident and mark the quarters it covered or covers; the incident before and after.

    Raises NotFound, also for a draft, Invalid as `edited` does, and Forbidden when the grant does not cover
    its monitors.
    """
    before = public(session, number)
    if grant is not None:
        require_tags(grant, before.tags)
    after = touched(before, edited(before, fields, now), now)
    _mark(session, before)
    _save(session, after)
    _mark(session, after)
    return before, after


def publish(session: Session, number: int, now: int, grant: Grant | None = None) -> Incident:
    """Make a draft public, which a person does; the incident, also if it was public before.

    Raises NotFound, and Forbidden when the grant does not cover its monitors.
    """
    before = get(session, number)
    if grant is not None:
        require_tags(grant, before.tags)
    after = touched(before, edited(before, {"is_draft": False}, now), now)
    _save(session, after)
    _mark(session, after)
    return after


def delete(session: Session, number: int) -> Incident:
    """Delete an incident with its comments, and mark the quarters it covered; raises NotFound."""
    incident = get(session, number)
    _mark(session, incident)
    session.execute("DELETE FROM updates WHERE number = ?", (number,))
    session.execute("DELETE FROM incident_monitors WHERE number = ?", (number,))
    session.execute("DELETE FROM incidents WHERE number = ?", (number,))
    return incident


@dataclass(frozen=True, slots=True)
class IncidentCounts:
    """The highest number ever `made`, how many incidents are `left`, and how many of them are `drafts`."""

    made: int
    left: int
    drafts: int

    @property
    def deleted(self) -> int:
        return self.made - self.left


def counts(session: Session) -> IncidentCounts:
    """Count the incidents."""
    (left,) = session.execute("SELECT count(*) FROM incidents").fetchone()
    (drafts,) = session.execute("SELECT count(*) FROM incidents WHERE is_draft = 1").fetchone()
    return IncidentCounts(_made(session), left, drafts)


def _made(session: Session) -> int:
    """The highest number ever given."""
    (made,) = session.execute(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'incidents'"
    ).fetchone()
    return int(made)


def numbers(session: Session) -> set[int]:
    """The numbers of all incidents."""
    return {number for (number,) in session.execute("SELECT number FROM incidents")}


def newest(session: Session, limit: int) -> list[Incident]:
    """The newest incidents, open or closed, also drafts, newest first."""
    rows = session.execute(
        f"SELECT {COLUMNS} FROM incidents ORDER BY created_at DESC, number DESC LIMIT ?",  # noqa: S608
        (limit,),
    )
    return _incidents(session, rows.fetchall())


def public(session: Session, number: int) -> Incident:
    """The incident, if it is no draft; raises NotFound."""
    incident = get(session, number)
    if incident.is_draft:
        raise NotFound("incident not found")
    return incident


def managed(
    session: Session, *, is_draft: bool | None, tags: Sequence[str] | None, before: int | None, limit: int
) -> list[Incident]:
    """Incidents with a number below `before`, highest first, drafts among them; None matches all.

    With `tags` only those that name one of these monitors.
    """
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM incidents
         WHERE (:is_draft IS NULL OR is_draft = :is_draft)
           AND (:before IS NULL OR number < :before)
           AND (:tags IS NULL OR EXISTS (SELECT 1
                                           FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
                                          WHERE incident_monitors.number = incidents.number
                                            AND tag IN (SELECT value FROM json_each(:tags))))
         ORDER BY number DESC LIMIT :limit
        """,  # noqa: S608
        {
            "is_draft": is_draft,
            "before": before,
            "tags": None if tags is None else json.dumps(list(tags)),
            "limit": limit,
        },
    )
    return _incidents(session, rows.fetchall())


def get(session: Session, number: int) -> Incident:
    """The incident, which may be a draft; raises NotFound."""
    for incident in of_numbers(session, [number]):
        return incident
    raise NotFound("incident not found")


def of_numbers(session: Session, numbers: Iterable[int]) -> list[Incident]:
    """The incidents of these numbers, without those that do not exist."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM incidents
         WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number
        """,  # noqa: S608
        (json.dumps(list(numbers)),),
    )
    return _incidents(session, rows.fetchall())


def search(session: Session, criteria: Search, now: int) -> list[Incident]:
    """Find incidents that are no drafts, newest first.

    One whose end has passed is closed, even if the job has yet to run.
    """
    rows = session.execute(
        f"""
        SELECT {COLUMNS}
          FROM incidents
         WHERE is_draft = 0
           AND (closed_at IS NOT NULL OR ("end" IS NOT NULL AND "end" <= :now)) = :closed
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
            "closed": criteria.closed,
            "after": criteria.created_after,
            "before": criteria.created_before,
            "title": None if criteria.title is None else criteria.title.casefold(),
            "tags": None if criteria.tags is None else json.dumps(list(criteria.tags)),
            "limit": criteria.limit,
            "offset": criteria.offset,
        },
    )
    return _incidents(session, rows.fetchall())


IncidentThread = tuple[Incident, Sequence[Comment]]  # the comments oldest first


def current(session: Session, closed_after: int) -> list[IncidentThread]:
    """The public incidents that are open or were closed after an instant, oldest first."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM incidents
         WHERE is_draft = 0
           AND ((closed_at IS NULL AND ("end" IS NULL OR "end" > :after)) OR closed_at > :after)
         ORDER BY number
        """,  # noqa: S608
        {"after": closed_after},
    )
    return _threads(session, _incidents(session, rows.fetchall()))


def overlapping(session: Session, start: int, end: int, tag: str | None = None) -> list[IncidentThread]:
    """The public incidents of one monitor, or of all, that overlap `[start, end)`, by their start."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM incidents
         WHERE is_draft = 0
           AND start < :end
           AND (start >= :start OR coalesce("end", closed_at) IS NULL
                OR min(coalesce("end", closed_at), coalesce(closed_at, "end")) > :start)
           AND (:tag IS NULL OR number IN (SELECT number
                                             FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
                                            WHERE tag = :tag))
         ORDER BY start, number
        """,  # noqa: S608
        {"start": start, "end": end, "tag": tag},
    )
    return _threads(session, _incidents(session, rows.fetchall()))


def extent(session: Session, tags: Iterable[str]) -> tuple[int, int] | None:
    """The first and the last instant of the public incidents that name one of the monitors; None: none."""
    row = session.execute(
        """
        SELECT min(start),
               max(CASE WHEN closed_at IS NULL THEN max(start, coalesce("end" - 1, start)) ELSE start END)
          FROM incidents
         WHERE is_draft = 0
           AND number IN (SELECT number
                            FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
                           WHERE tag IN (SELECT value FROM json_each(?)))
        """,
        (json.dumps(list(tags)),),
    ).fetchone()
    return None if row[0] is None else (row[0], row[1])


def archive(
    session: Session, start: int, end: int, tags: Sequence[str]
) -> tuple[list[IncidentThread], tuple[int, int] | None]:
    """The incidents that overlap `[start, end)`, and the extent of those that name one of the monitors.

    With a single tag only the incidents that name this monitor are listed.
    """
    only = tags[0] if len(tags) == 1 else None
    return overlapping(session, start, end, only), extent(session, tags)


def not_showable(session: Session) -> list[int]:
    """The numbers of the incidents with an instant, also of a comment, that not every time zone can show."""
    rows = session.execute(
        """
        SELECT number FROM incidents
         WHERE min(start, coalesce("end", start), created_at, coalesce(closed_at, start), updated_at) < :first
            OR max(start, coalesce("end", start), created_at, coalesce(closed_at, start), updated_at) > :last
        UNION
        SELECT number FROM updates WHERE min(created_at, at) < :first OR max(created_at, at) > :last
        """,
        {"first": FIRST_INSTANT, "last": LAST_INSTANT},
    )
    return [number for (number,) in rows]


def thread(session: Session, number: int) -> IncidentThread:
    """One incident with its comments; raises NotFound, also for a draft."""
    (incident_thread,) = _threads(session, [public(session, number)])
    return incident_thread


def all_threads(session: Session) -> Iterator[IncidentThread]:
    """All incidents with their comments, by number, some at a time."""
    last = 0
    while True:
        rows = session.execute(
            f"SELECT {COLUMNS} FROM incidents WHERE number > ? ORDER BY number LIMIT ?",  # noqa: S608
            (last, EXPORTED_AT_ONCE),
        ).fetchall()
        if not rows:
            return
        yield from _threads(session, _incidents(session, rows))
        last = rows[-1][0]


def _threads(session: Session, incidents: Sequence[Incident]) -> list[IncidentThread]:
    """The incidents with their comments, which are read in one query."""
    comments: dict[int, list[Comment]] = {incident.number: [] for incident in incidents}
    rows = session.execute(
        """
        SELECT number, id, body, created_at FROM updates
         WHERE body <> '' AND number IN (SELECT value FROM json_each(?)) ORDER BY number, id
        """,
        (json.dumps(list(comments)),),
    )
    for number, *comment in rows:
        comments[number].append(Comment(*comment))
    return [(incident, comments[incident.number]) for incident in incidents]


def ended(session: Session, now: int) -> bool:
    """Whether an open incident's end has passed."""
    row = session.execute(
        'SELECT 1 FROM incidents WHERE closed_at IS NULL AND "end" <= ? LIMIT 1', (now,)
    ).fetchone()
    return row is not None


def close_ended(session: Session, now: int) -> list[int]:
    """Close the open incidents whose end has passed, as of that end; returns their numbers."""
    rows = session.execute(
        """
        UPDATE incidents SET closed_at = "end"
         WHERE closed_at IS NULL AND "end" <= ?
        RETURNING number
        """,
        (now,),
    )
    return [number for (number,) in rows]


def comment(session: Session, number: int, body: str, now: int, grant: Grant | None = None) -> Comment:
    """Add a comment of a person.

    Raises NotFound for an unknown incident and for a draft, and Forbidden when the grant does not cover its
    monitors.
    """
    incident = public(session, number)
    if grant is not None:
        require_tags(grant, incident.tags)
    session.execute(
        """
        UPDATE incidents SET touched_at = :now
         WHERE number = :number AND source = :rule AND touched_at IS NULL
        """,
        {"now": now, "number": number, "rule": IncidentSource.RULE},
    )
    return remark(session, number, body, now)


def remark(session: Session, number: int, body: str, now: int) -> Comment:
    """Add a comment that no person wrote to an incident that exists."""
    (comment_id,) = session.execute(
        "INSERT INTO updates (number, body, created_at, at) VALUES (?, ?, ?, ?) RETURNING id",
        (number, body, now, now),
    ).fetchone()
    session.execute(
        "UPDATE incidents SET updated_at = max(updated_at, ?), revision = revision + 1 WHERE number = ?",
        (now, number),
    )
    return Comment(comment_id, body, now)


def insert(session: Session, incident: Incident, comments: Iterable[Comment]) -> None:
    """Store an exported incident under its number, without marking the quarters it covers."""
    _save(session, incident)
    session.executemany(
        "INSERT INTO updates (id, number, body, created_at, at) VALUES (?, ?, ?, ?, ?)",
        [
            (comment.id, incident.number, comment.body, comment.created_at, comment.created_at)
            for comment in comments
        ],
    )


def _save(session: Session, incident: Incident) -> None:
    _save_fields(session, incident)
    session.execute("DELETE FROM incident_monitors WHERE number = ?", (incident.number,))
    _add_monitors(session, incident, 0)


def _save_fields(session: Session, incident: Incident) -> None:
    session.execute(
        f"""
        INSERT INTO incidents ({COLUMNS}) VALUES ({", ".join("?" * 20)})
            ON CONFLICT (number) DO UPDATE
           SET title = excluded.title, body = excluded.body, start = excluded.start, "end" = excluded."end",
               impact = excluded.impact, is_maintenance = excluded.is_maintenance,
               is_identified = excluded.is_identified, is_resolved = excluded.is_resolved,
               resolved_at = excluded.resolved_at, closed_at = excluded.closed_at,
               ended_by_resolving = excluded.ended_by_resolving,
               updated_at = excluded.updated_at, revision = excluded.revision,
               is_draft = excluded.is_draft, is_monitoring = excluded.is_monitoring,
               touched_at = excluded.touched_at
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
            incident.updated_at,
            incident.revision,
            incident.source,
            incident.covers,
            incident.is_draft,
            incident.is_monitoring,
            incident.touched_at,
        ),
    )


def _add_monitors(session: Session, incident: Incident, first: int) -> None:
    """Store the monitors of an incident from the position `first` on."""
    session.executemany(
        """
        INSERT INTO incident_monitors (number, position, monitor_id)
        SELECT ?, ?, id FROM monitors WHERE tag = ?
        """,
        [(incident.number, position, tag) for position, tag in enumerate(incident.tags) if position >= first],
    )


def _mark(session: Session, incident: Incident) -> None:
    """Mark the quarters whose minutes the incident may decide, if it decides any.

    A maintenance also puts off deadlines, so it reaches until the first sample after it.
    """
    if not incident.decides_minutes:
        return
    start, end = incident.overlay.start, incident.overlay.end
    if incident.is_maintenance and end is not None:
        affected = session.execute(
            """
            SELECT monitor_id, ?, (SELECT min(minute) FROM samples
                                    WHERE samples.monitor_id = incident_monitors.monitor_id AND minute >= ?)
              FROM incident_monitors WHERE number = ?
            """,
            (start, minute_of(end), incident.number),
        )
    else:
        affected = session.execute(
            "SELECT monitor_id, ?, ? FROM incident_monitors WHERE number = ?", (start, end, incident.number)
        )
    dirty.mark_spans(session, affected.fetchall())


def _incidents(session: Session, rows: Sequence[IncidentRow]) -> list[Incident]:
    """The incidents of these rows, with their tags, which are read in one query."""
    tags = _tags(session, [row[0] for row in rows])
    return [
        Incident(
            number=row[0],
            title=row[1],
            body=row[2],
            tags=tuple(tags[row[0]]),
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
            updated_at=row[13],
            revision=row[14],
            source=IncidentSource(row[15]),
            covers=bool(row[16]),
            is_draft=bool(row[17]),
            is_monitoring=bool(row[18]),
            touched_at=row[19],
        )
        for row in rows
    ]


def _tags(session: Session, numbers: Sequence[int]) -> dict[int, list[str]]:
    """The tags of each incident, in the order in which they were sent."""
    tags: dict[int, list[str]] = {number: [] for number in numbers}
    rows = session.execute(
        """
        SELECT number, tag FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
         WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number, position
        """,
        (json.dumps(list(tags)),),
    )
    for number, tag in rows:
        tags[number].append(tag)
    return tags
