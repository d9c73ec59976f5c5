"""Incidents and maintenance: how they open, change, close and reopen, and what they cover."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kener_async.domain.calendar import MINUTE
from kener_async.domain.errors import Invalid
from kener_async.domain.samples import Status


@dataclass(frozen=True, slots=True)
class Overlay:
    """What an incident says of the monitors it names, over `[start, end)`; `end` None: for good."""

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
        return self.start <= instant and (self.end is None or instant < self.end)


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident or a maintenance. Instants are UTC seconds; `tags` keep the order they were sent in.

    `ended_by_resolving` remembers that `end` was set by resolving and not by the author, so that reopening
    takes it back.
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

    def closed_as_of(self, now: int) -> int | None:
        """When it closed, as every reader must see it, whether or not the worker came by since."""
        if self.closed_at is not None:
            return self.closed_at
        return self.end if self.end is not None and self.end <= now else None

    @property
    def overlay(self) -> Overlay:
        ends = [instant for instant in (self.end, self.closed_at) if instant is not None]
        return Overlay(self.number, self.start, min(ends, default=None), self.impact, self.is_maintenance)


@dataclass(frozen=True, slots=True)
class Comment:
    """A remark in an incident's time line."""

    id: int
    body: str
    created_at: int


def opened(number: int, fields: Mapping[str, Any], now: int) -> Incident:
    """A new incident from the fields its author gave; Invalid when its end is not after its start."""
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
    )
    return edited(blank, fields, now)


def edited(incident: Incident, fields: Mapping[str, Any], now: int) -> Incident:
    """The incident with the given fields changed, the others as they were, and closed or open accordingly.

    It is closed from the moment it is resolved or its end has passed, whichever is first. Resolving without
    an end sets the end; taking that back, with no end in the past, reopens it.
    """
    after = replace(incident, **fields)
    if after.end != incident.end:
        after = replace(after, ended_by_resolving=False)
    if after.is_resolved and not incident.is_resolved:
        after = _resolved(after, now)
    elif incident.is_resolved and not after.is_resolved:
        after = _reopened(after)
    if (after.start, after.end) != (incident.start, incident.end):
        _check_order(after)
    closings = [after.resolved_at, after.end if after.end is not None and after.end <= now else None]
    return replace(after, closed_at=min((at for at in closings if at is not None), default=None))


def _check_order(incident: Incident) -> None:
    """An author's end lies after the start; resolving what has not begun ends it where it would begin."""
    earliest = incident.start + (0 if incident.ended_by_resolving else 1)
    if incident.end is not None and incident.end < earliest:
        raise Invalid("Invalid endDatetime: must be later than startDatetime")


def _resolved(incident: Incident, now: int) -> Incident:
    if incident.end is None:
        incident = replace(incident, end=max(now, incident.start), ended_by_resolving=True)
    return replace(incident, resolved_at=now)


def _reopened(incident: Incident) -> Incident:
    if incident.ended_by_resolving:
        incident = replace(incident, end=None, ended_by_resolving=False)
    return replace(incident, resolved_at=None)
