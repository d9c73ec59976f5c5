"""Plan, list, move, end and cancel maintenance in the database, while a server may be running on it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.config.series import body_of, checked_table, series_in_force, series_of
from kener_async.domain.errors import Conflict, Invalid, NotFound
from kener_async.domain.incidents import Incident
from kener_async.domain.recurrence import ClockChange, instant_of_local
from kener_async.domain.series import (
    MaintenanceSeries,
    Occurrence,
    maintenance_state,
    next_occurrences,
)
from kener_async.ops.actor import command_actor
from kener_async.store import maintenance, managed, monitors, series
from kener_async.store.maintenance import Changed, MaintenanceSearch
from kener_async.store.managed import Managed
from kener_async.store.series import OccurrencesMade, SeriesPlan
from kener_async.store.sqlite import transactions

HEADS = ("number", "state", "begin", "end", "series", "monitors", "title")
PREVIEW_HEADS = ("local", "utc", "end utc", "")


def plan_of(config: Config, stored: Sequence[Managed]) -> SeriesPlan:
    """The series in force by a configuration."""
    found = series_in_force(config, ((each.name, each.body) for each in stored))
    return SeriesPlan(found.things, found.faulty)


def find(config: Config, number: int) -> Incident:
    """The maintenance of a number; raises NotFound, and FatalError."""
    return transactions.read(config.database.path, maintenance.get, number)


def search(config: Config, limit: int, *, is_over: bool | None) -> list[Incident]:
    """Maintenances by their begin; raises FatalError."""
    criteria = MaintenanceSearch(is_over=is_over, limit=limit)
    found = transactions.read(config.database.path, maintenance.search, criteria, system_clock())
    return sorted(found, key=lambda incident: (incident.start, incident.number))


def plan(config: Config, fields: Mapping[str, Any]) -> Incident:
    """Plan a maintenance, once; raises Invalid, and FatalError. A running server notices within seconds."""
    _require_known(config, fields["tags"])
    return transactions.write(config.database.path, maintenance.plan, fields, command_actor(), system_clock())


def save_series(config: Config, name: str, body: Mapping[str, Any]) -> OccurrencesMade:
    """Make a series, or replace it, with its occurrences; raises Invalid, Conflict, and FatalError."""
    require_ours(config, name)
    table = checked_table(config, name, body, ())
    _require_known(config, series_of(config, table).tags)
    save = partial(series.save, name=name, body=body_of(table), revision=None, actor=command_actor())
    _, done = transactions.write(config.database.path, save, partial(plan_of, config), system_clock())
    return done


def delete_series(config: Config, name: str) -> OccurrencesMade:
    """Delete a series with its occurrences to come; raises NotFound, Conflict, and FatalError."""
    delete = partial(series.delete, name=name, revision=None, actor=command_actor())
    try:
        _, done = transactions.write(config.database.path, delete, partial(plan_of, config), system_clock())
    except NotFound:
        require_ours(config, name)
        raise
    return done


def require_ours(config: Config, name: str) -> None:
    """Raise Conflict for a series that stands in config.toml."""
    if any(table.name == name for table in config.maintenance):
        raise Conflict(f"the series {name!r} is set in {config.file.name}: change it there")


def all_series(config: Config) -> list[MaintenanceSeries]:
    """The series in force, by name; raises FatalError."""
    stored = transactions.read(config.database.path, managed.list_of, "series")
    return [found for _, found in sorted(plan_of(config, stored).in_force.items())]


def series_named(config: Config, name: str) -> MaintenanceSeries:
    """The series of a name; raises NotFound, and FatalError."""
    for found in all_series(config):
        if found.name == name:
            return found
    raise NotFound(f"there is no series {name!r}")


def act(config: Config, work: Callable[..., Changed], number: int, *values: Any) -> Changed:
    """Run an act of store/maintenance; raises NotFound, Invalid, and FatalError."""
    return transactions.write(config.database.path, work, number, *values, command_actor(), system_clock())


def _require_known(config: Config, tags: Sequence[str]) -> None:
    known = set(transactions.read(config.database.path, monitors.tags).values())
    for tag in tags:
        if tag not in config.by_tag:
            raise Invalid(f"{tag!r} is not the tag of a monitor")
        if tag not in known:
            raise Invalid(f"{tag!r} is not stored yet: start the service once")


def instant(local: datetime, zone: ZoneInfo) -> int:
    """The instant of a local time; of one that does not exist the first after it."""
    return instant_of_local(local, zone)


def table(found: Sequence[Incident], now: int) -> Iterator[tuple[str, ...]]:
    """The rows of the table, its heading first."""
    yield HEADS
    for incident in found:
        yield (
            str(incident.number),
            state_of(incident, now) + (" (draft)" if incident.is_draft else ""),
            _time(incident.start),
            _time(_end(incident)),
            (incident.series or "-") + (" (changed)" if incident.is_changed else ""),
            " ".join(incident.tags) or "-",
            incident.title,
        )


def preview_table(following: Sequence[Occurrence], zone: ZoneInfo) -> Iterator[tuple[str, ...]]:
    """The rows of a preview, its heading first."""
    yield (f"local ({zone.key})", *PREVIEW_HEADS[1:])
    for each in following:
        yield (f"{each.local:%a %Y-%m-%d %H:%M}", _time(each.start), _time(each.end), remark(each, zone))


def remark(occurrence: Occurrence, zone: ZoneInfo) -> str:
    """What a change of the clocks does to an occurrence; empty: nothing."""
    if occurrence.clock_change is ClockChange.SKIPPED:
        begin = datetime.fromtimestamp(occurrence.start, zone)
        return f"this time does not exist: begins at {begin:%H:%M}"
    if occurrence.clock_change is ClockChange.REPEATED:
        return "this time exists twice: begins at the first"
    if occurrence.shift:
        return f"the clocks are set {'forward' if occurrence.shift > 0 else 'back'} during it"
    return ""


def next_of(found: MaintenanceSeries) -> list[Occurrence]:
    """The next ten occurrences from now on."""
    return next_occurrences(found, system_clock())


def preview(config: Config, body: Mapping[str, Any]) -> MaintenanceSeries:
    """A series that is not stored; raises Invalid."""
    return series_of(config, checked_table(config, "preview", body, ()))


def state_of(incident: Incident, now: int) -> str:
    """The state of a maintenance, in a word or two."""
    return maintenance_state(incident.start, incident.closed_as_of(now), incident.announce, now).value


def as_json(incident: Incident, now: int) -> dict[str, Any]:
    """The JSON document of one; instants are UTC seconds."""
    return {
        "incidentNumber": incident.number,
        "state": state_of(incident, now),
        "title": incident.title,
        "tags": list(incident.tags),
        "startDatetime": incident.start,
        "endDatetime": _end(incident),
        "series": incident.series,
        "occurrence": incident.occurrence,
        "isChanged": incident.is_changed,
        "isDraft": incident.is_draft,
        "announce": list(incident.announce),
    }


def _end(incident: Incident) -> int | None:
    if incident.closed_at is not None and incident.closed_at < incident.start:
        return incident.planned_end
    return min((each for each in (incident.end, incident.closed_at) if each is not None), default=None)


def _time(at: int | None) -> str:
    return "-" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
