"""Incidents and maintenance: opening, editing, closing and reopening, stage, effect, and what they cover."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import Any

from kener_async.domain.calendar import MINUTE, is_showable
from kener_async.domain.errors import Invalid
from kener_async.domain.incident_updates import (
    Impact,
    IncidentState,
    Stated,
    Update,
    last_open_state,
    resolved_since,
    stated,
)
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


_STAGES = {
    IncidentState.INVESTIGATING: IncidentStage.INVESTIGATING,
    IncidentState.IDENTIFIED: IncidentStage.IDENTIFIED,
    IncidentState.MONITORING: IncidentStage.MONITORING,
    IncidentState.RESOLVED: IncidentStage.RESOLVED,
}


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident or a maintenance. Instants are UTC seconds; `tags` keep the order they were sent in.

    `ended_by_resolving` tells an `end` that was set by resolving from one that the author gave, because
    reopening clears the former only. `updated_at` is when anything that is shown of it, also a comment, was
    last edited, and `revision` how often it was; neither ever goes back.

    One of an alert rule `covers` no minute: its minutes are what was measured. A draft (`is_draft`) is not
    public, and covers nothing either. The flags are those of its state: `is_monitoring` stands beside
    `is_identified`, and `is_identified` stays when it is resolved. `touched_at` is when a person first
    changed one of a rule. `impacts` are those of single monitors, which otherwise have the incident's.
    `series` is the name of the one that a maintenance belongs to, `occurrence` its begin by the series in
    local time; `is_changed`: it is not as its series says. `announce` are the seconds before its start at
    which a maintenance is announced to channels.
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
    impacts: Mapping[str, Impact] = field(default_factory=dict)
    postmortem: str = ""
    postmortem_at: int | None = None
    series: str | None = None
    occurrence: str | None = None
    is_changed: bool = False
    announce: tuple[int, ...] = ()

    @property
    def state(self) -> IncidentState:
        """The state, which is that of its newest update that has one."""
        if self.is_resolved:
            return IncidentState.RESOLVED
        if self.is_monitoring:
            return IncidentState.MONITORING
        return IncidentState.IDENTIFIED if self.is_identified else IncidentState.INVESTIGATING

    def implied_states(self) -> list[Stated]:
        """The states that follow from the flags alone, for an incident of which no update has one."""
        states = []
        if self.is_identified or self.is_monitoring:
            identified = IncidentState.MONITORING if self.is_monitoring else IncidentState.IDENTIFIED
            states.append(Stated(self.created_at, identified))
        if self.is_resolved:
            at = self.created_at if self.resolved_at is None else self.resolved_at
            states.append(Stated(at, IncidentState.RESOLVED))
        return states

    def impact_on(self, tag: str) -> Status | None:
        """The impact on one of its monitors: that of this monitor alone, else that of the incident."""
        impact = self.impacts.get(tag)
        return self.impact if impact is None else impact.status

    @property
    def worst_impact(self) -> Status | None:
        """The worst impact on any of its monitors, which is the impact that the contract knows."""
        if not self.impacts:
            return self.impact
        found = (self.impact_on(tag) for tag in self.tags)
        return max((impact for impact in found if impact is not None), default=None)

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
        return self._stage(self.closed_as_of(now), now, self.state)

    def stage_of_update(self, instant: int, state: IncidentState) -> IncidentStage:
        """The stage at an earlier instant, at which an update stands that left it in a state."""
        closed = self.closed_as_of(instant)
        is_closed = closed is not None and closed <= instant
        if state is IncidentState.RESOLVED and not is_closed:
            closed, is_closed = instant, True
        return self._stage(closed if is_closed else None, instant, state)

    def _stage(self, closed: int | None, instant: int, state: IncidentState) -> IncidentStage:
        if closed is not None:
            if closed < self.start:
                return IncidentStage.CANCELLED
            return IncidentStage.COMPLETED if self.is_maintenance else IncidentStage.RESOLVED
        if self.start > instant:
            return IncidentStage.SCHEDULED
        if self.is_maintenance:
            return IncidentStage.IN_PROGRESS
        return _STAGES[state]

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
        end = min(ends, default=None)
        return Overlay(self.number, self.start, end, self.worst_impact, self.is_maintenance)

    @property
    def planned_end(self) -> int | None:
        """The end that its author gave; None without one."""
        return None if self.ended_by_resolving else self.end


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


def edited(
    incident: Incident, fields: Mapping[str, Any], now: int, resolved_at: int | None = None
) -> Incident:
    """Change the given fields of an incident, keep the others, and close or reopen it accordingly.

    It is closed at the earlier of its resolution and its end. A resolved one always has an end: without one
    of its author it is the moment of resolving, or the start if that is later. Unresolving reopens it, unless
    its end has passed. What is written of a flag of the contract ends its being monitored, if it changes.
    `resolved_at` moves the moment of resolving. An impact clears those of single monitors, and those of
    monitors that it no longer names are dropped. Raises Invalid unless its end is after its start.
    """
    after = replace(incident, **fields)
    if after.end != incident.end:
        after = replace(after, ended_by_resolving=False)
    if (after.is_identified, after.is_resolved) != (incident.is_identified, incident.is_resolved):
        after = replace(after, is_monitoring=fields.get("is_monitoring", False))
    after = replace(after, impacts=_impacts(after, fields))
    if after.is_resolved:
        known = incident.resolved_at if resolved_at is None else resolved_at
        after = _resolved(after, now if known is None else known)
    elif incident.is_resolved:
        after = _reopened(after)
    if (after.start, after.end) != (incident.start, incident.end):
        _check_order(after)
    if after != incident:
        after = replace(after, updated_at=max(now, incident.updated_at), revision=incident.revision + 1)
    closings = [after.resolved_at, after.end if after.end is not None and after.end <= now else None]
    return replace(after, closed_at=min((at for at in closings if at is not None), default=None))


def with_states(incident: Incident, states: Sequence[Stated], now: int) -> Incident:
    """The incident with the states that its updates give, oldest first; raises Invalid as `edited` does."""
    last_open, resolved_at = last_open_state(states), resolved_since(states)
    fields = {
        "is_identified": last_open is not IncidentState.INVESTIGATING,
        "is_monitoring": last_open is IncidentState.MONITORING and resolved_at is None,
        "is_resolved": resolved_at is not None,
    }
    return edited(incident, fields, now, resolved_at)


def states_after(incident: Incident, updates: Sequence[Update]) -> list[IncidentState]:
    """The state of an incident after each of its updates, which are given oldest first.

    Where no update has a state, it is the one that the incident has or had before it was resolved.
    """
    state = IncidentState.INVESTIGATING
    if not stated(updates):
        state = last_open_state(incident.implied_states())
    states = []
    for update in updates:
        state = state if update.state is None else update.state
        states.append(state)
    return states


def stages(incident: Incident, updates: Sequence[Update]) -> list[Stated]:
    """The states that an incident has gone through, oldest first, each from when on; it begins with one."""
    said = stated(updates) or incident.implied_states()
    begin = min([incident.start, *(one.at for one in said)])
    found = [Stated(begin, IncidentState.INVESTIGATING)]
    for one in said:
        if one.at == begin and len(found) == 1:
            found = [one]
        elif one.state is not found[-1].state:
            found.append(one)
    return found


def shown_to(incident: Incident, tags: Collection[str]) -> Incident:
    """The incident without its other monitors, whose impacts must not show."""
    if len(tags) == len(incident.tags) or not incident.impacts:
        return incident
    kept = tuple(tag for tag in incident.tags if tag in tags)
    impacts = {tag: impact for tag, impact in incident.impacts.items() if tag in tags}
    return replace(incident, tags=kept, impacts=impacts)


def _impacts(incident: Incident, fields: Mapping[str, Any]) -> Mapping[str, Impact]:
    if "impact" in fields and "impacts" not in fields:
        return {}
    if incident.impacts.keys() <= set(incident.tags):
        return incident.impacts
    return {tag: impact for tag, impact in incident.impacts.items() if tag in incident.tags}


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
