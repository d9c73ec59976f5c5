"""Lists of incidents, by what pages, feeds and searches show of them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kener_async.domain.calendar import FIRST_INSTANT, LAST_INSTANT
from kener_async.domain.incident_updates import Update
from kener_async.domain.incidents import Incident
from kener_async.store import incident_rows, incident_updates
from kener_async.store.incident_rows import COLUMNS
from kener_async.store.interface import Session

EXPORTED_AT_ONCE = 500

IncidentThread = tuple[Incident, Sequence[Update]]  # the updates oldest first


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


def newest(session: Session, limit: int) -> list[Incident]:
    """The newest incidents, open or closed, also drafts, newest first."""
    rows = session.execute(
        f"SELECT {COLUMNS} FROM incidents ORDER BY created_at DESC, number DESC LIMIT ?",  # noqa: S608
        (limit,),
    )
    return incident_rows.incidents(session, rows.fetchall())


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
    return incident_rows.incidents(session, rows.fetchall())


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
    return incident_rows.incidents(session, rows.fetchall())


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
    return threads(session, incident_rows.incidents(session, rows.fetchall()))


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
    return threads(session, incident_rows.incidents(session, rows.fetchall()))


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


def changed_at(session: Session, tags: Iterable[str], since: int) -> int:
    """The latest change to the public incidents that name one of the monitors, or to one that did; 0: none.

    It never goes back: deletions, and what was taken from a monitor or from the public, are in the audit log,
    of which the rows from `since` on are read.
    """
    (changed,) = session.execute(
        """
        WITH wanted AS MATERIALIZED (SELECT value AS tag FROM json_each(:tags))
        SELECT max(coalesce((SELECT max(updated_at)
                               FROM incidents
                              WHERE is_draft = 0 AND updated_at <= :last
                                AND number IN (SELECT number
                                                 FROM incident_monitors
                                                 JOIN monitors ON monitors.id = monitor_id
                                                WHERE tag IN (SELECT tag FROM wanted))), 0),
                   coalesce((SELECT max(at)
                               FROM audit
                              WHERE at BETWEEN :since AND :last
                                AND object >= 'incident ' AND object < 'incident!'
                                AND before ->> '$.is_draft' = 0
                                AND EXISTS (SELECT 1 FROM json_each(before, '$.tags')
                                             WHERE value IN (SELECT tag FROM wanted))), 0))
        """,
        {"tags": json.dumps(list(tags)), "since": since, "last": LAST_INSTANT},
    ).fetchone()
    return int(changed)


def archive(
    session: Session, start: int, end: int, tags: Sequence[str]
) -> tuple[list[IncidentThread], tuple[int, int] | None]:
    """The incidents that overlap `[start, end)`, and the extent of those that name one of the monitors.

    With a single tag only the incidents that name this monitor are listed.
    """
    only = tags[0] if len(tags) == 1 else None
    return overlapping(session, start, end, only), extent(session, tags)


def not_showable(session: Session) -> list[int]:
    """The numbers of the incidents with an instant, also of an update, that not every time zone can show."""
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


def all_threads(session: Session) -> Iterator[IncidentThread]:
    """All incidents with their updates, by number, some at a time."""
    last = 0
    while True:
        rows = session.execute(
            f"SELECT {COLUMNS} FROM incidents WHERE number > ? ORDER BY number LIMIT ?",  # noqa: S608
            (last, EXPORTED_AT_ONCE),
        ).fetchall()
        if not rows:
            return
        yield from threads(session, incident_rows.incidents(session, rows))
        last = rows[-1][0]


def threads(session: Session, incidents: Sequence[Incident]) -> list[IncidentThread]:
    """The incidents with their updates, which are read in one query."""
    updates = incident_updates.of(session, (incident.number for incident in incidents))
    return [(incident, updates[incident.number]) for incident in incidents]
