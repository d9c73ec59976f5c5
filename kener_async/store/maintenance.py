"""What people, tokens and commands do with single maintenances: plan, move, lengthen, end, cancel.

Arguments and errors are those of `store/incidents.py`. What is no maintenance is not found.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kener_async.domain.access import Grant
from kener_async.domain.calendar import MINUTE
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.incidents import Incident
from kener_async.domain.people import Actor
from kener_async.domain.series import LONGEST
from kener_async.store import incident_rows, incidents
from kener_async.store.interface import Session

Changed = tuple[Incident, Incident]  # before and after


@dataclass(frozen=True, slots=True)
class MaintenanceSearch:
    """Search criteria; None matches all. `tags` are monitors of which it names one.

    `before` is a number, only lower ones are found. `is_over`: those that have ended or were cancelled.
    """

    tags: Sequence[str] | None = None
    series: str | None = None
    is_over: bool | None = None
    before: int | None = None
    limit: int = 50


def plan(
    session: Session, fields: Mapping[str, Any], actor: Actor, now: int, grant: Grant | None = None
) -> Incident:
    """Store a new maintenance of these fields; raises Invalid without an end, or with one that has passed."""
    if fields.get("end") is None:
        raise Invalid("Invalid endDatetime: a maintenance needs an end")
    if fields["end"] <= now:
        raise Invalid("Invalid endDatetime: must be in the future")
    _check_length(fields.get("start", now), fields["end"])
    return incidents.open(session, {**fields, "is_maintenance": True}, actor, now, grant)


def change(
    session: Session,
    number: int,
    fields: Mapping[str, Any],
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Changed:
    """Change fields of a maintenance; the maintenance before and after."""
    before = get(session, number, grant)
    if {"start", "end"} & fields.keys() and before.closed_as_of(now) is not None and before.start > now:
        raise Invalid("it was cancelled: plan another one")
    if fields.get("end", before.end) is not None:
        _check_length(fields.get("start", before.start), fields.get("end", before.end))
    return incidents.change(session, number, fields, actor, now, grant=grant, revision=revision)


def move(
    session: Session,
    number: int,
    start: int,
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Changed:
    """Let one that has not begun begin at another time, and take as long; before and after."""
    return move_and_change(session, number, {"start": start}, actor, now, grant=grant, revision=revision)


def move_and_change(
    session: Session,
    number: int,
    fields: Mapping[str, Any],
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Changed:
    """Move one to the start among the fields, with its end, and change the other fields; before and after."""
    before = get(session, number, grant)
    _require_to_come(before, now)
    moved = {"end": None if before.end is None else fields["start"] + before.end - before.start}
    return change(session, number, {**fields, **moved}, actor, now, grant=grant, revision=revision)


def lengthen(
    session: Session,
    number: int,
    seconds: int,
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Changed:
    """Let one that is not over end so much later; before and after."""
    before = get(session, number, grant)
    if before.end is None or before.closed_as_of(now) is not None:
        raise Invalid("it is over")
    fields = {"end": before.end + seconds}
    return change(session, number, fields, actor, now, grant=grant, revision=revision)


def end(
    session: Session,
    number: int,
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Changed:
    """End one that is in progress now; what was measured from here on counts. Before and after."""
    before = get(session, number, grant)
    if before.closed_as_of(now) is not None:
        raise Invalid("it is over")
    if before.start >= now:
        raise Invalid("it has not begun: cancel it")
    return change(session, number, {"end": now}, actor, now, grant=grant, revision=revision)


def cancel(
    session: Session,
    number: int,
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Changed:
    """Cancel one that has not begun. It stays on record, and one of a series is not made again."""
    _require_to_come(get(session, number, grant), now)
    return incidents.change(
        session, number, {"is_resolved": True}, actor, now, grant=grant, revision=revision
    )


def delete(
    session: Session,
    number: int,
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> Incident:
    """Delete one, which the audit log keeps; raises Invalid for one of a series that is to come."""
    get(session, number, grant)
    return incidents.delete(session, number, actor, now, grant=grant, revision=revision)


def _require_to_come(incident: Incident, now: int) -> None:
    if incident.closed_as_of(now) is not None:
        raise Invalid("it is over" if incident.start <= now else "it was cancelled before")
    if incident.start < now:
        raise Invalid("it has begun: end it")


def _check_length(start: int, end: int | None) -> None:
    if end is not None and not MINUTE <= end - start <= LONGEST:
        raise Invalid("Invalid endDatetime: must be 1 minute to 31 days after startDatetime")


def get(session: Session, number: int, grant: Grant | None = None) -> Incident:
    """The maintenance of a number; raises NotFound, also for one of monitors outside the grant alone."""
    for incident in incidents.of_numbers(session, [number]):
        limits = None if grant is None else grant.tags
        is_visible = grant is None or limits is None or any(map(grant.allows_tag, incident.tags))
        if incident.is_maintenance and is_visible:
            return incident
    raise NotFound("maintenance not found")


def search(session: Session, criteria: MaintenanceSearch, now: int) -> list[Incident]:
    """Find maintenances, drafts too, the highest number first."""
    rows = session.execute(
        f"""
        SELECT {incident_rows.COLUMNS} FROM incidents
         WHERE is_maintenance = 1
           AND (:series IS NULL OR series = :series)
           AND (:is_over IS NULL OR (closed_at IS NOT NULL OR coalesce("end" <= :now, 0)) = :is_over)
           AND (:before IS NULL OR number < :before)
           AND (:tags IS NULL OR EXISTS (SELECT 1
                                           FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
                                          WHERE incident_monitors.number = incidents.number
                                            AND tag IN (SELECT value FROM json_each(:tags))))
         ORDER BY number DESC LIMIT :limit
        """,  # noqa: S608
        {
            "series": criteria.series,
            "is_over": criteria.is_over,
            "now": now,
            "before": criteria.before,
            "tags": None if criteria.tags is None else json.dumps(list(criteria.tags)),
            "limit": criteria.limit,
        },
    )
    return incident_rows.incidents(session, rows.fetchall())
