"""Incidents and maintenance: opening, editing, closing and reopening, stage, effect, and what they cover."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any

from kener_async.domain.calendar import MINUTE, is_showable
from kener_async.domain.errors import Invalid
from kener_async.domain.samples import Status


@dataclass(frozen=True, slots=True)
class Overlay:
    """The effect of an incident on the monitors it names, over `[start, end)`; `end` None: still open."""

    number: int
    start: int
    end: int | None
    impact: Status | None
    maintenance: bool

    def covers(self, minute: int) -> bool:
        """Whether the interval overlaps the minute; an empty interval overlaps nothing."""
        if self.end is not None and (self.end <= minute or self.end <= self.start):
            return False
        return self.start < minute + MINUTE

    def active_at(self, instant: int) -> bool:
        """Whether the interval contains the instant."""
        return self.start <= instant and (self.end is None or instant < self.end)

    @property
    def effect(self) -> Status | None:
        """The status it gives its monitors; None: it leaves them what was measured."""
        return Status.MAINTENANCE if self.maintenance else self.impact


class IncidentSource(IntEnum):
    """Where an incident comes from; the numbers are stored."""

    API = 0
    RULE = 1


class IncidentStage(StrEnum):
    """The stage of an incident or a maintenance; every format has a table from these to its own words."""

    SCHEDULED = "scheduled"
    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"
    IN_PROGRESS = "in progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"

    @property
    def is_ongoing(self) -> bool:
        """Whether it has begun and is not closed."""
        return self in _ONGOING


_ONGOING = frozenset(
    {
        IncidentStage.INVESTIGATING,
        IncidentStage.IDENTIFIED,
        IncidentStage.MONITORING,
        IncidentStage.IN_PROGRESS,
    }
)


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident or a maintenance. Instants are UTC seconds; `tags` keep the order they were sent in.

    `ended_by_resolving` tells an `end` that was set by resolving from one that the author gave, because
    reopening clears the former only. `updated_at` is when anything that is shown of it, also a comment, was
    last edited, and `revision` how often it was; neither ever goes back.

    One of an alert rule `covers` no minute: its minutes are what was measured. A draft (`is_draft`) is not
    public, and covers nothing either. `is_monitoring`: its monitors have recovered, and it waits for a person
    to resolve it. `touched_at` is when a person first changed one of a rule.
    """

    number: int
    title: str
    body: str
    tags: tuple[str, ...]
    start: int
    end: int | None
    impact: Status | None
    is_maintenance: bool
    is_identified: bool
    is_resolved: bool
    created_at: int
    resolved_at: int | None
    closed_at: int | None
    ended_by_resolving: bool
    updated_at: int
    revision: int
    source: IncidentSource = IncidentSource.API
    covers: bool = True
    is_draft: bool = False
    is_monitoring: bool = False
    touched_at: int | None = None

    @property
    def is_showable(self) -> bool:
        """Whether every time zone can show its instants; a damaged file may hold others."""
        shown = (self.start, self.end, self.created_at, self.closed_at, self.updated_at)
        return all(is_showable(instant) for instant in shown if instant is not None)

    def closed_as_of(self, now: int) -> int | None:
        """When it closed; None while it is open.

        An end that has passed closes it, also before the housekeeping job has stored `closed_at`.
        """
        if self.closed_at is not None:
            return self.closed_at
        return self.end if self.end is not None and self.end <= now else None

    def stage(self, now: int) -> IncidentStage:
        """The stage at `now`; one that was closed before it began is cancelled."""
        return self._stage(self.closed_as_of(now), now)

    def stage_of_update(self, instant: int) -> IncidentStage:
        """The stage at an earlier instant, for updates written then; when it was identified is not stored."""
        closed = self.closed_as_of(instant)
        return self._stage(None if closed is None or closed > instant else closed, instant)

    def _stage(self, closed: int | None, instant: int) -> IncidentStage:
        if closed is not None:
            if closed < self.start:
                return IncidentStage.CANCELLED
            return IncidentStage.COMPLETED if self.is_maintenance else IncidentStage.RESOLVED
        if self.start > instant:
            return IncidentStage.SCHEDULED
        if self.is_maintenance:
            return IncidentStage.IN_PROGRESS
        if self.is_monitoring:
            return IncidentStage.MONITORING
        return IncidentStage.IDENTIFIED if self.is_identified else IncidentStage.INVESTIGATING

    @property
    def effect(self) -> Status | None:
        """The status it gives its monitors while it lasts; None: a notice, it gives them none."""
        return self.overlay.effect

    @property
    def decides_minutes(self) -> bool:
        """Whether minutes of its monitors have their status from it."""
        return self.covers and not self.is_draft and self.effect is not None

    @property
    def overlay(self) -> Overlay:
        """The interval it covers, up to its end or its closing, whichever is first.

        One that was closed before its start ends at its start, and covers nothing.
        """
        ends = [max(instant, self.start) for instant in (self.end, self.closed_at) if instant is not None]
        return Overlay(self.number, self.start, min(ends, default=None), self.impact, self.is_maintenance)

    @property
    def planned_end(self) -> int | None:
        """The end that its author gave; None without one."""
        return None if self.ended_by_resolving else self.end


@dataclass(frozen=True, slots=True)
class Comment:
    """An update in an incident's timeline."""

    id: int
    body: str
    created_at: int


def opened(number: int, fields: Mapping[str, Any], now: int) -> Incident:
    """Create an incident from its author's fields; raises Invalid unless its end is after its start."""
    blank = Incident(
        number=number,
        title=fields["title"],
        body="",
        tags=(),
        start=now,
        end=None,
        impact=None,
        is_maintenance=False,
        is_identified=False,
        is_resolved=False,
        created_at=now,
        resolved_at=None,
        closed_at=None,
        ended_by_resolving=False,
        updated_at=now,
        revision=0,
    )
    return replace(edited(blank, fields, now), revision=0)


def edited(incident: Incident, fields: Mapping[str, Any], now: int) -> Incident:
    """Change the given fields of an incident, keep the others, and close or reopen it accordingly.

    It is closed at the earlier of its resolution and its end. A resolved one always has an end: without one
    of its author it is the moment of resolving, or the start if that is later. Unresolving reopens it, unless
    its end has passed. A change of either flag ends its being monitored. Raises Invalid unless its end is
    after its start.
    """
    after = replace(incident, **fields)
    if after.end != incident.end:
        after = replace(after, ended_by_resolving=False)
    if (after.is_identified, after.is_resolved) != (incident.is_identified, incident.is_resolved):
        after = replace(after, is_monitoring=False)
    if after.is_resolved:
        after = _resolved(after, now if incident.resolved_at is None else incident.resolved_at)
    elif incident.is_resolved:
        after = _reopened(after)
    if (after.start, after.end) != (incident.start, incident.end):
        _check_order(after)
    if after != incident:
        after = replace(after, updated_at=max(now, incident.updated_at), revision=incident.revision + 1)
    closings = [after.resolved_at, after.end if after.end is not None and after.end <= now else None]
    return replace(after, closed_at=min((at for at in closings if at is not None), default=None))


def _check_order(incident: Incident) -> None:
    """Require an end after the start; resolving sets it at the start of one that has not begun."""
    earliest = incident.start + (0 if incident.ended_by_resolving else 1)
    if incident.end is not None and incident.end < earliest:
        raise Invalid("Invalid endDatetime: must be later than startDatetime")


def _resolved(incident: Incident, resolved_at: int) -> Incident:
    if incident.planned_end is None:
        incident = replace(incident, end=max(resolved_at, incident.start), ended_by_resolving=True)
    return replace(incident, resolved_at=resolved_at)


def _reopened(incident: Incident) -> Incident:
    if incident.ended_by_resolving:
        incident = replace(incident, end=None, ended_by_resolving=False)
    return replace(incident, resolved_at=None)


def touched(before: Incident, after: Incident, now: int) -> Incident:
    """One of a rule, changed by a person: from then on only persons resolve it."""
    if before.source is not IncidentSource.RULE or before.touched_at is not None or after == before:
        return after
    return replace(after, touched_at=now)
