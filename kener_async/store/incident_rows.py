"""The rows of incidents and of the monitors they name, and the quarters whose minutes they may decide."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from kener_async.domain.calendar import MINUTE, minute_of
from kener_async.domain.incident_updates import Impact
from kener_async.domain.incidents import Incident, IncidentSource
from kener_async.domain.samples import Status
from kener_async.store import dirty, samples
from kener_async.store.interface import Session

COLUMNS = """
    number, title, body, start, "end", impact, is_maintenance, is_identified, is_resolved,
    created_at, resolved_at, closed_at, ended_by_resolving, updated_at, revision,
    source, covers, is_draft, is_monitoring, touched_at,
    postmortem, postmortem_at, series, occurrence, is_changed, announce
"""
_MARKS = ", ".join("?" * len(COLUMNS.split(",")))

IncidentRow = tuple[Any, ...]  # of COLUMNS


def made(session: Session) -> int:
    """The highest number ever given; those of deleted incidents are never given again."""
    (number,) = session.execute(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'incidents'"
    ).fetchone()
    return int(number)


def incidents(session: Session, rows: Sequence[IncidentRow]) -> list[Incident]:
    """The incidents of these rows, with their monitors, which are read in one query."""
    tags: dict[int, list[str]] = {row[0]: [] for row in rows}
    impacts: dict[int, dict[str, Impact]] = {row[0]: {} for row in rows}
    for number, tag, impact in _monitors(session, list(tags)):
        tags[number].append(tag)
        if impact is not None:
            impacts[number][tag] = Impact(impact)
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
            impacts=impacts[row[0]],
            postmortem=row[20],
            postmortem_at=row[21],
            series=row[22],
            occurrence=row[23],
            is_changed=bool(row[24]),
            announce=() if row[25] is None else tuple(json.loads(row[25])),
        )
        for row in rows
    ]


def _monitors(session: Session, numbers: Sequence[int]) -> Iterator[tuple[int, str, int | None]]:
    """The monitors of each incident, in the order in which they were sent, each with its own impact."""
    rows = session.execute(
        """
        SELECT number, tag, incident_monitors.impact
          FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
         WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number, position
        """,
        (json.dumps(numbers),),
    )
    return iter(rows)


def save(session: Session, incident: Incident) -> None:
    """Store an incident, new or changed, with the monitors it names."""
    save_fields(session, incident)
    session.execute("DELETE FROM incident_monitors WHERE number = ?", (incident.number,))
    add_monitors(session, incident, 0)


def save_fields(session: Session, incident: Incident) -> None:
    """Store an incident without its monitors."""
    session.execute(
        f"""
        INSERT INTO incidents ({COLUMNS}) VALUES ({_MARKS})
            ON CONFLICT (number) DO UPDATE
           SET title = excluded.title, body = excluded.body, start = excluded.start, "end" = excluded."end",
               impact = excluded.impact, is_maintenance = excluded.is_maintenance,
               is_identified = excluded.is_identified, is_resolved = excluded.is_resolved,
               resolved_at = excluded.resolved_at, closed_at = excluded.closed_at,
               ended_by_resolving = excluded.ended_by_resolving,
               updated_at = excluded.updated_at, revision = excluded.revision,
               is_draft = excluded.is_draft, is_monitoring = excluded.is_monitoring,
               touched_at = excluded.touched_at, postmortem = excluded.postmortem,
               postmortem_at = excluded.postmortem_at, series = excluded.series,
               occurrence = excluded.occurrence, is_changed = excluded.is_changed,
               announce = excluded.announce
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
            incident.postmortem,
            incident.postmortem_at,
            incident.series,
            incident.occurrence,
            incident.is_changed,
            json.dumps(incident.announce) if incident.announce else None,
        ),
    )


def add_monitors(session: Session, incident: Incident, first: int) -> None:
    """Store the monitors of an incident from the position `first` on."""
    session.executemany(
        """
        INSERT INTO incident_monitors (number, position, monitor_id, impact)
        SELECT ?, ?, id, ? FROM monitors WHERE tag = ?
        """,
        [
            (incident.number, position, incident.impacts.get(tag), tag)
            for position, tag in enumerate(incident.tags)
            if position >= first
        ],
    )


def mark(session: Session, incident: Incident) -> None:
    """Mark the quarters whose minutes the stored incident may decide, if it decides any.

    A maintenance also puts off deadlines, so it reaches until the first sample after it.
    """
    if not incident.decides_minutes:
        return
    start, end = incident.overlay.start, incident.overlay.end
    rows = session.execute("SELECT monitor_id FROM incident_monitors WHERE number = ?", (incident.number,))
    monitors = [monitor for (monitor,) in rows]
    if incident.is_maintenance and end is not None:
        keys = [(monitor, minute_of(end) - MINUTE) for monitor in monitors]
        following = samples.following(session, keys)
        dirty.mark_spans(session, [(key[0], start, following.get(key)) for key in keys])
    else:
        dirty.mark_spans(session, [(monitor, start, end) for monitor in monitors])
