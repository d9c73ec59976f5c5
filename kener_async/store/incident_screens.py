"""What the screens of incidents show: a list, what visitors are told already, what was measured."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kener_async.domain.access import Grant
from kener_async.domain.alert_streaks import measured_runs
from kener_async.domain.calendar import minute_of
from kener_async.domain.errors import Conflict
from kener_async.domain.incidents import Incident
from kener_async.domain.people import Actor
from kener_async.domain.samples import Status
from kener_async.store import incident_rows, incidents, layers
from kener_async.store.incident_rows import COLUMNS
from kener_async.store.interface import Session

PAGE = 50
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
    session: Session, fields: Mapping[str, object], actor: Actor, now: int, grant: Grant | None = None
) -> Incident:
    """Open an incident unless visitors are told of one of its monitors already; raises ToldAlready."""
    told = [] if fields.get("is_draft") else open_about(session, fields["tags"])  # type: ignore[arg-type]
    if told:
        raise ToldAlready(told)
    return incidents.open(session, fields, actor, now, grant)


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
