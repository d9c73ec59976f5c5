"""Occurrences of maintenance that repeats, and announcements of maintenance, made once whatever happens."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kener_async.domain.alerts import Severity
from kener_async.domain.calendar import DAY
from kener_async.domain.incidents import Incident, edited
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.domain.people import Actor
from kener_async.domain.series import (
    MaintenanceSeries,
    Occurrence,
    StoredOccurrence,
    announcement_key,
    due_announcements,
    plan_occurrences,
)
from kener_async.store import incident_rows, incidents, managed, notices, series_marks
from kener_async.store.interface import Session

LOOK_BACK = 3 * DAY  # local times are compared as texts, and no zone is further from another


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """The series in force, by name; `left_alone` are names whose occurrences are kept as they are."""

    in_force: Mapping[str, MaintenanceSeries]
    left_alone: Collection[str] = ()


# The series in force, given those that were made in the browser or by the API.
PlanOf = Callable[[list[managed.Managed]], SeriesPlan]
Permit = Callable[[managed.Managed | None], None]


@dataclass(frozen=True, slots=True)
class OccurrencesMade:
    """The numbers of the maintenances that were made, changed and dropped, and the tags of their monitors."""

    made: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    tags: frozenset[str] = frozenset()

    def numbers(self) -> dict[str, tuple[int, ...]]:
        """The numbers by what was done, without what was not."""
        named = {"made": self.made, "changed": self.changed, "dropped": self.dropped}
        return {name: numbers for name, numbers in named.items() if numbers}

    def __bool__(self) -> bool:
        return bool(self.made or self.changed or self.dropped)


def make_occurrences(
    session: Session, plan_of: PlanOf, now: int, only: Collection[str] | None = None
) -> OccurrencesMade:
    """Store the occurrences that are due of all series, or only of some, as the series say now.

    All of it is one transaction together with the mark up to which they were made, so that each is made once,
    also where this is interrupted, the clock is set, or another process does the same.
    """
    plan = plan_of(managed.list_of(session, "series"))
    names = set(plan.in_force) | _names_to_come(session, now)
    chosen = sorted((names if only is None else names & set(only)) - set(plan.left_alone))
    done = [_follow(session, name, plan.in_force.get(name), now) for name in chosen]
    return OccurrencesMade(
        tuple(number for each in done for number in each.made),
        tuple(number for each in done for number in each.changed),
        tuple(number for each in done for number in each.dropped),
        frozenset(tag for each in done for tag in each.tags),
    )


def permit_all(_stored: managed.Managed | None) -> None:
    """Permit it, as to commands on the machine itself."""


def save(
    session: Session,
    plan_of: PlanOf,
    now: int,
    *,
    name: str,
    body: managed.Body,
    revision: int | None,
    actor: Actor,
    permit: Permit = permit_all,
) -> tuple[managed.Managed, OccurrencesMade]:
    """Store a series, new or changed, and its occurrences; raises Conflict as `managed.save` does.

    `permit` is called with what is stored, None for a new one, and raises where that may not be replaced.
    """
    permit(managed.find(session, "series", name))
    saved = managed.save(session, "series", name, body, revision, actor, now)
    return saved, make_occurrences(session, plan_of, now, {name})


def delete(
    session: Session,
    plan_of: PlanOf,
    now: int,
    *,
    name: str,
    revision: int | None,
    actor: Actor,
    permit: Permit = permit_all,
) -> tuple[managed.Managed, OccurrencesMade]:
    """Delete a series and its occurrences to come; raises NotFound, and Conflict as `managed.save` does.

    `permit` is as that of `save`.
    """
    permit(managed.find(session, "series", name))
    gone = managed.delete(session, "series", name, revision, actor, now)
    return gone, make_occurrences(session, plan_of, now, {name})


def is_due(session: Session, plan_of: PlanOf, now: int) -> bool:
    """Whether `make_occurrences` would do anything but move the marks. It only reads."""
    plan = plan_of(managed.list_of(session, "series"))
    names = (set(plan.in_force) | _names_to_come(session, now)) - set(plan.left_alone)
    return any(_would_change(session, name, plan.in_force.get(name), now) for name in names)


def _names_to_come(session: Session, now: int) -> set[str]:
    """The names of the series of which something to come is stored, or is marked."""
    rows = session.execute(
        """
        SELECT DISTINCT series FROM incidents
         WHERE series IS NOT NULL AND start > ? AND closed_at IS NULL
        """,
        (now,),
    )
    return {name for (name,) in rows} | series_marks.names(session)


def _made_to(series: MaintenanceSeries, mark: tuple[str, int] | None, now: int) -> int:
    """Up to when they were made; of a series that is new or changed none of the past are made up for."""
    return mark[1] if mark is not None and mark[0] == series.schedule else now


def _would_change(session: Session, name: str, series: MaintenanceSeries | None, now: int) -> bool:
    mark = series_marks.get(session, name)
    if series is None:
        return mark is not None or bool(_stored(session, name, now, now))
    made_to = _made_to(series, mark, now)
    stored = _stored(session, name, min(made_to, now), now)
    plan = plan_occurrences(series, stored, made_to, now)
    if plan.make or plan.drop or mark is None or mark[0] != series.schedule:
        return True
    rows = {
        each.number: each for each in incidents.of_numbers(session, [number for number, _ in plan.change])
    }
    return any(_differs(rows[number], series, occurrence) for number, occurrence in plan.change)


def _follow(session: Session, name: str, series: MaintenanceSeries | None, now: int) -> OccurrencesMade:
    """Make what is stored of one series as it says; None: it is gone."""
    mark = series_marks.get(session, name)
    made_to = now if series is None else _made_to(series, mark, now)
    plan = plan_occurrences(series, _stored(session, name, min(made_to, now), now), made_to, now)
    dropped = [_drop(session, number) for number in plan.drop]
    if series is None:
        series_marks.delete(session, name)
        return _done((), (), dropped)
    before = {each.number: each for each in incidents.of_numbers(session, dict(plan.change))}
    changed = [
        each
        for number, occurrence in plan.change
        for each in _change(session, before[number], series, occurrence, now)
    ]
    made = [_make(session, series, occurrence, now) for occurrence in plan.make]
    series_marks.save(session, name, series.schedule, now)
    return _done(made, changed, dropped)


def _done(
    made: Collection[Incident], changed: Collection[Incident], dropped: Collection[Incident]
) -> OccurrencesMade:
    return OccurrencesMade(
        tuple(each.number for each in made),
        tuple(each.number for each in changed),
        tuple(each.number for each in dropped),
        frozenset(tag for each in (*made, *changed, *dropped) for tag in each.tags),
    )


def _stored(session: Session, name: str, since: int, now: int) -> list[StoredOccurrence]:
    """The occurrences of a series that were to begin after `since`, or that begin after `now`."""
    rows = session.execute(
        """
        SELECT number, substr(occurrence, 1, 10), start, closed_at IS NOT NULL,
               is_changed OR EXISTS (SELECT 1 FROM updates WHERE updates.number = incidents.number)
          FROM incidents
         WHERE series = :series
           AND (occurrence >= strftime('%Y-%m-%dT%H:%M:%S', :since, 'unixepoch') OR start > :now)
        """,
        {"series": name, "since": since - LOOK_BACK, "now": now},
    )
    return [
        StoredOccurrence(number, day, start, is_changed=bool(is_changed), is_closed=bool(is_closed))
        for number, day, start, is_closed, is_changed in rows
    ]


def _fields(series: MaintenanceSeries, occurrence: Occurrence) -> dict[str, Any]:
    return {
        "title": series.title,
        "body": series.text,
        "tags": series.tags,
        "start": occurrence.start,
        "end": occurrence.end,
        "announce": series.announce,
        "occurrence": occurrence.key,
    }


def _differs(incident: Incident, series: MaintenanceSeries, occurrence: Occurrence) -> bool:
    fields = _fields(series, occurrence)
    return any(getattr(incident, name) != value for name, value in fields.items())


def _make(session: Session, series: MaintenanceSeries, occurrence: Occurrence, now: int) -> Incident:
    of_series = {"is_maintenance": True, "series": series.name}
    return incidents.add(session, {**_fields(series, occurrence), **of_series}, now)


def _change(
    session: Session, before: Incident, series: MaintenanceSeries, occurrence: Occurrence, now: int
) -> list[Incident]:
    """Make a stored occurrence as its series says; nothing where it is so."""
    if not _differs(before, series, occurrence):
        return []
    after = edited(before, _fields(series, occurrence), now)
    incident_rows.mark(session, before)
    incident_rows.save(session, after)
    incident_rows.mark(session, after)
    return [replace(after, tags=tuple({*before.tags, *after.tags}))]


def _drop(session: Session, number: int) -> Incident:
    incident = incidents.get(session, number)
    incident_rows.mark(session, incident)
    session.execute("DELETE FROM updates WHERE number = ?", (number,))
    session.execute("DELETE FROM incident_monitors WHERE number = ?", (number,))
    session.execute("DELETE FROM incidents WHERE number = ?", (number,))
    return incident


# What is shown without being stored


def stored_days(session: Session, now: int) -> dict[str, set[str]]:
    """The local days of the stored occurrences that are or were to begin about now or later, by series."""
    rows = session.execute(
        """
        SELECT series, substr(occurrence, 1, 10) FROM incidents
         WHERE series IS NOT NULL AND occurrence >= strftime('%Y-%m-%dT%H:%M:%S', ?, 'unixepoch')
        """,
        (now - LOOK_BACK,),
    )
    days: dict[str, set[str]] = {}
    for series, day in rows:
        days.setdefault(series, set()).add(day)
    return days


def of_series(session: Session, name: str, limit: int) -> list[Incident]:
    """The stored occurrences of a series, the latest first."""
    rows = session.execute(
        f"""
        SELECT {incident_rows.COLUMNS} FROM incidents WHERE series = ? ORDER BY start DESC LIMIT ?
        """,  # noqa: S608
        (name, limit),
    )
    return incident_rows.incidents(session, rows.fetchall())


# Announcements


def announce(session: Session, channels: Collection[str], now: int) -> int:
    """Store the announcements of maintenance that are due, with a delivery to each channel; how many.

    Each is stored once. Of several that are due at once, because the server was away or the maintenance was
    planned late, only the latest is delivered. Drafts and what was cancelled are not announced.
    """
    announced = 0
    for incident in _to_announce(session, now):
        keys = {
            seconds: announcement_key(incident.number, incident.start, seconds)
            for seconds in due_announcements(incident.start, incident.announce, now)
        }
        known = notices.with_keys(session, keys.values())
        due = [(seconds, key) for seconds, key in keys.items() if key not in known]
        for seconds, key in due:
            is_latest = seconds == due[-1][0]
            notices.add(
                *(session, NoticeKind.MAINTENANCE_ANNOUNCED, now, None, incident.number, _facts(incident)),
                channels=channels if is_latest else (),
                due_at=now,
                unique_key=key,
            )
        announced += bool(due)
    return announced


def announcements_due(session: Session, now: int) -> bool:
    """Whether `announce` would store anything. It only reads."""
    for incident in _to_announce(session, now):
        due = due_announcements(incident.start, incident.announce, now)
        keys = {announcement_key(incident.number, incident.start, seconds) for seconds in due}
        if keys - notices.with_keys(session, keys):
            return True
    return False


def _to_announce(session: Session, now: int) -> list[Incident]:
    rows = session.execute(
        f"""
        SELECT {incident_rows.COLUMNS} FROM incidents INDEXED BY incidents_announced
         WHERE announce IS NOT NULL AND start > ? AND is_maintenance = 1 AND is_draft = 0
           AND closed_at IS NULL
         ORDER BY start
        """,  # noqa: S608
        (now,),
    )
    return incident_rows.incidents(session, rows.fetchall())


def _facts(incident: Incident) -> Facts:
    return Facts(
        title=incident.title,
        tags=incident.tags,
        since=incident.start,
        until=incident.end,
        severity=Severity.INFO,
        incident=incident.number,
    )
