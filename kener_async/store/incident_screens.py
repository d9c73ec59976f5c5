"""What the screens of incidents show: a list, what visitors are told already, what was measured."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kener_async.domain.access import Grant
from kener_async.domain.alert_streaks import measured_runs
from kener_async.domain.calendar import MINUTE, minute_of
from kener_async.domain.errors import Conflict
from kener_async.domain.incident_updates import Update
from kener_async.domain.incidents import Incident
from kener_async.domain.people import Actor
from kener_async.domain.samples import Status
from kener_async.store import audit, incident_lists, incident_rows, incident_updates, incidents, layers
from kener_async.store.audit import AuditSearch
from kener_async.store.incident_rows import COLUMNS
from kener_async.store.interface import Session

PAGE = 50
SAME_WITHIN = 10 * MINUTE  # what is sent again within this time is the same
LOOKED_AT = 10  # of the newest incidents
BAD = (Status.DOWN, Status.DEGRADED)

ListedState = Literal["", "open", "closed", "draft"]
ListedKind = Literal["", "incident", "maintenance"]


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """What a list shows; an empty text or None matches all.

    `start` and `end` are the month, in which one must last; `tags` the monitors, of which it must name one.
    `text` is a part of the title in any case.
    """

    state: ListedState = ""
    kind: ListedKind = ""
    start: int | None = None
    end: int | None = None
    tags: Sequence[str] | None = None
    text: str = ""


def listed(session: Session, wanted: IncidentFilter, number: int, now: int) -> tuple[list[Incident], int]:
    """The incidents on a page of the list, drafts first, then by their start, newest first; and all pages."""
    where, values = _conditions(wanted, now)
    (count,) = session.execute(f"SELECT count(*) FROM incidents WHERE {where}", values).fetchone()  # noqa: S608
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM incidents WHERE {where}
         ORDER BY is_draft DESC, start DESC, number DESC LIMIT :limit OFFSET :offset
        """,  # noqa: S608
        {**values, "limit": PAGE, "offset": (number - 1) * PAGE},
    )
    return incident_rows.incidents(session, rows.fetchall()), max(1, -(-count // PAGE))


def _conditions(wanted: IncidentFilter, now: int) -> tuple[str, dict[str, object]]:
    is_closed = '(closed_at IS NOT NULL OR ("end" IS NOT NULL AND "end" <= :now))'
    states = {
        "": "TRUE",
        "open": f"is_draft = 0 AND NOT {is_closed}",
        "closed": f"is_draft = 0 AND {is_closed}",
        "draft": "is_draft = 1",
    }
    kinds = {"": "TRUE", "incident": "is_maintenance = 0", "maintenance": "is_maintenance = 1"}
    named = [states[wanted.state], kinds[wanted.kind]]
    if wanted.end is not None:
        named.append("start < :end")
    if wanted.start is not None:
        named.append('(start >= :start OR coalesce(closed_at, "end", :now) > :start)')
    if wanted.text:
        named.append("instr(casefold(title), :text)")
    if wanted.tags is not None:
        named.append(
            """
            number IN (SELECT number FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
                        WHERE tag IN (SELECT value FROM json_each(:tags)))
            """
        )
    values: dict[str, object] = {
        "now": now,
        "start": wanted.start,
        "end": wanted.end,
        "text": wanted.text.casefold(),
        "tags": json.dumps(list(wanted.tags or ())),
    }
    return " AND ".join(named), values


# What visitors are told already


class ToldAlready(Conflict):
    """Visitors are told already of monitors of which another incident was to tell; nothing was stored."""

    def __init__(self, incidents: Sequence[Incident]) -> None:
        super().__init__("visitors are told already")
        self.incidents = incidents


def open_about(session: Session, tags: Iterable[str]) -> list[Incident]:
    """The open public incidents, no maintenance, that name one of these monitors, newest first."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM incidents
         WHERE closed_at IS NULL AND is_draft = 0 AND is_maintenance = 0
           AND number IN (SELECT number FROM incident_monitors JOIN monitors ON monitors.id = monitor_id
                           WHERE tag IN (SELECT value FROM json_each(?)))
         ORDER BY number DESC
        """,  # noqa: S608
        (json.dumps(list(tags)),),
    )
    return incident_rows.incidents(session, rows.fetchall())


def open_first(
    session: Session, fields: Mapping[str, Any], actor: Actor, now: int, grant: Grant | None = None
) -> Incident:
    """Open an incident unless visitors are told of one of its monitors already; raises ToldAlready.

    The same that this person has just opened is not opened again, as by going back and pressing once more.
    """
    for one in incident_lists.newest(session, LOOKED_AT):
        if _is_same(one, fields, now) and _opened_by(session, one.number) == str(actor):
            return one
    told = [] if fields["is_draft"] else open_about(session, fields["tags"])
    if told:
        raise ToldAlready(told)
    return incidents.open(session, fields, actor, now, grant)


def _is_same(incident: Incident, fields: Mapping[str, Any], now: int) -> bool:
    is_new = 0 <= now - incident.created_at <= SAME_WITHIN
    said = ("title", "body", "tags", "is_draft")
    return is_new and all(getattr(incident, name) == fields[name] for name in said)


def _opened_by(session: Session, number: int) -> str:
    rows = audit.search(session, AuditSearch(act="incident.open", thing=f"incident {number}"), 1)
    return rows[0].actor if rows else ""


def post_first(
    session: Session,
    number: int,
    fields: Mapping[str, Any],
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> tuple[Incident, Update]:
    """Post an update, unless it is the newest one already and by the same person."""
    incident = incidents.get(session, number)
    newest = incident_updates.of(session, [number])[number][-1:]
    for one in newest:
        is_same = (one.body, one.state, one.author) == (fields["body"], fields["state"], str(actor))
        if is_same and 0 <= now - one.created_at <= SAME_WITHIN and "at" not in fields:
            return incident, one
    return incidents.post_update(session, number, fields, actor, now, grant=grant, revision=revision)


def join(
    session: Session,
    number: int,
    body: str,
    tags: Sequence[str],
    actor: Actor,
    now: int,
    *,
    grant: Grant | None = None,
    revision: int | None = None,
) -> tuple[Incident, Update]:
    """Say in an update what another incident was to tell, and name its monitors too."""
    before = incidents.get(session, number)
    named = tuple(dict.fromkeys((*before.tags, *tags)))
    if named != before.tags:
        incidents.change(session, number, {"tags": named}, actor, now, grant=grant, revision=revision)
    fields = {"body": body, "state": None}
    return post_first(session, number, fields, actor, now, grant=grant)


# What was measured


Span = tuple[int, int]


def outages(
    session: Session, numbers: Mapping[str, int], start: int, end: int
) -> dict[str, list[tuple[Span, Status]]]:
    """When monitors, given as their numbers by tag, were measured DOWN or DEGRADED in `[start, end)`.

    Whatever incidents say. Spans that follow each other are one, with the worst status; the last one ends at
    `end` if it goes on.
    """
    return {tag: _outages(session, number, minute_of(start), end) for tag, number in numbers.items()}


def _outages(session: Session, monitor: int, start: int, end: int) -> list[tuple[Span, Status]]:
    found: list[tuple[Span, Status]] = []
    for run in measured_runs(layers.load(session, monitor, start, end), start, end - 1):
        if run.status not in BAD:
            continue
        if found and found[-1][0][1] == run.start:
            (begun, _), worst = found[-1]
            found[-1] = (begun, run.end), max(worst, run.status)
        else:
            found.append(((run.start, run.end), run.status))
    return found
