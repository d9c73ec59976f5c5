"""/api/manage/series: maintenance that repeats, its occurrences, and a preview."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import maintenance_schemas as schemas
from kener_async.api.manage.revisions import revision_of, revision_to_save
from kener_async.config.beside_file import InForce
from kener_async.config.maintenance import MaintenanceTable
from kener_async.config.model import Config
from kener_async.config.series import (
    body_of,
    checked_table,
    series_in_force,
    series_of,
    table_of,
)
from kener_async.domain.access import Grant, is_tag, require_tags
from kener_async.domain.errors import Conflict, Forbidden, Invalid, NotFound
from kener_async.domain.incidents import Incident
from kener_async.domain.series import (
    MaintenanceSeries,
    Occurrence,
    maintenance_state,
    next_occurrences,
    to_come,
)
from kener_async.store import managed
from kener_async.store import series as store
from kener_async.store.interface import Session
from kener_async.store.managed import Managed
from kener_async.store.series import Permit

routes = Routes()

PATH = {"seriesName": "name of the series"}
MOST_OCCURRENCES = 1000


@routes.get("/api/manage/series")
@endpoint(
    Spec(
        operation="listSeries",
        summary="List series of maintenance",
        group="Management",
        scope="manage:read",
        reply=schemas.SeriesSchema(),
        many=True,
    )
)
async def list_series(call: Call) -> list[dict[str, Any]]:
    """The series of config.toml and those made here, also those without effect."""
    app = call.request.app
    config, now = app[keys.RUNNING].config, app[keys.CLOCK]()
    stored = await app[keys.DATABASE].read(managed.list_of, "series")
    shown = [rendered(config, each, now) for each in series_views(config, stored)]
    return [each for each in shown if may_see(call.grant, each["tags"])]


@routes.get("/api/manage/series/{seriesName}")
@endpoint(
    Spec(
        operation="getSeries",
        summary="Get a series of maintenance",
        group="Management",
        scope="manage:read",
        path=PATH,
        reply=schemas.SeriesSchema(),
        errors=(404,),
    )
)
async def get(call: Call) -> dict[str, Any]:
    """One series, with its next ten occurrences."""
    return await _shown(call, call.request.match_info["seriesName"])


@routes.put("/api/manage/series/{seriesName}")
@endpoint(
    Spec(
        operation="saveSeries",
        summary="Make or change a series of maintenance",
        group="Management",
        scope="incident:write",
        path=PATH,
        body=schemas.SeriesRequest(),
        reply=schemas.SeriesSchema(),
        errors=(404, 408, 409, 413, 415, 503),
    )
)
async def save(call: Call) -> dict[str, Any]:
    """Make a series, or replace it. The body has the keys of [[maintenance]], dates and times as text.

    What has begun and what was changed by hand stays as it is; all else that is to come follows. Without
    `If-Match` where there is one, or with another revision than is stored, it is refused with 409; `*` is
    whatever is stored.
    """
    app, name = call.request.app, call.request.match_info["seriesName"]
    config = app[keys.RUNNING].config
    require_ours(config, name)
    table_for = partial(table_to_save, config, call.grant, name, call.body)
    stored = await app[keys.DATABASE].read(managed.find, "series", name)
    body, revision = body_of(table_for(stored)), revision_to_save(call)
    await app[keys.SERIES].save(name, body, revision, call.actor, permit_after(stored, table_for))
    return await _shown(call, name)


@routes.delete("/api/manage/series/{seriesName}")
@endpoint(
    Spec(
        operation="deleteSeries",
        summary="Delete a series of maintenance",
        group="Management",
        scope="incident:write",
        path=PATH,
        reply=schemas.SeriesSchema(),
        errors=(404, 409, 503),
    )
)
async def delete(call: Call) -> dict[str, Any]:
    """Delete a series and its occurrences to come; what has begun, and what was cancelled, stays."""
    app, name = call.request.app, call.request.match_info["seriesName"]
    config, now = app[keys.RUNNING].config, app[keys.CLOCK]()
    stored = await app[keys.DATABASE].read(managed.find, "series", name)
    if stored is None:
        require_ours(config, name)
        raise NotFound("series not found")
    view = next(each for each in series_views(config, [stored]) if each[1] is stored)
    may_delete = partial(require_delete, config, call.grant)
    may_delete(stored)
    await app[keys.SERIES].delete(name, revision_of(call), call.actor, permit_after(stored, may_delete))
    return rendered(config, view, now)


@routes.get("/api/manage/series/{seriesName}/occurrences")
@endpoint(
    Spec(
        operation="listOccurrences",
        summary="List occurrences of a series",
        group="Management",
        scope="manage:read",
        path=PATH,
        reply=schemas.OccurrenceSchema(),
        many=True,
        errors=(404,),
    )
)
async def list_occurrences(call: Call) -> list[dict[str, Any]]:
    """The stored occurrences, past and to come, and those to come within 400 days, which are computed."""
    app, name = call.request.app, call.request.match_info["seriesName"]
    config, now = app[keys.RUNNING].config, app[keys.CLOCK]()
    await _shown(call, name)  # raises NotFound

    def read(session: Session) -> tuple[list[Managed], list[Incident], set[str]]:
        days = store.stored_days(session, now).get(name, set())
        return managed.list_of(session, "series"), store.of_series(session, name, MOST_OCCURRENCES), days

    stored, incidents, days = await app[keys.DATABASE].read(read)
    found = in_force(config, stored).things.get(name)
    computed = [] if found is None else to_come(found, days, now)
    rows = [
        *(rendered_incident(incident, now) for incident in incidents),
        *(rendered_occurrence(each) for each in computed),
    ]
    return sorted(rows, key=lambda row: int(row["startDatetime"]))


@routes.post("/api/manage/series/{seriesName}/preview")
@endpoint(
    Spec(
        operation="previewSeries",
        summary="Preview a series of maintenance",
        group="Management",
        scope="manage:read",
        path=PATH,
        body=schemas.SeriesRequest(),
        reply=schemas.OccurrenceSchema(),
        many=True,
        errors=(408, 413, 415),
    )
)
async def preview(call: Call) -> list[dict[str, Any]]:
    """The next ten occurrences of a series that is not stored; nothing is changed."""
    app = call.request.app
    config, now = app[keys.RUNNING].config, app[keys.CLOCK]()
    table = checked_table(config, call.request.match_info["seriesName"], call.body, ())
    return [rendered_occurrence(each) for each in next_occurrences(series_of(config, table), now)]


async def _shown(call: Call, name: str) -> dict[str, Any]:
    """The series of a name; raises NotFound, also for one of monitors outside the grant."""
    app = call.request.app
    config, now = app[keys.RUNNING].config, app[keys.CLOCK]()
    stored = await app[keys.DATABASE].read(managed.list_of, "series")
    for view in series_views(config, stored):
        if view[0] == name:
            shown = rendered(config, view, now)
            if may_see(call.grant, shown["tags"]):
                return shown
    raise NotFound("series not found")


# Shared with the screens

SeriesView = tuple[str, Managed | None]  # the name; and what is stored, if anything


def in_force(config: Config, stored: Iterable[Managed]) -> InForce[MaintenanceSeries]:
    """The series in force, given those that are stored."""
    return series_in_force(config, ((each.name, each.body) for each in stored))


def series_views(config: Config, stored: Sequence[Managed]) -> list[SeriesView]:
    """All series: those of the file, then those that are stored."""
    by_name = {each.name: each for each in stored}
    from_file = [(table.name, by_name.pop(table.name, None)) for table in config.maintenance]
    return [*from_file, *by_name.items()]


def patterns_of(stored: Managed) -> Sequence[str]:
    """The monitors that a stored series names, which it may go on to name when they are gone."""
    named = stored.body.get("monitors", ())
    return [each for each in named if isinstance(each, str)]


def known_tags(config: Config, stored: Managed) -> tuple[str, ...]:
    """The monitors that a stored series means now; none of one that cannot be read."""
    found = series_in_force(replace(config, maintenance=()), [(stored.name, stored.body)])
    return found.things[stored.name].tags if stored.name in found.things else ()


def may_see(grant: Grant, tags: Iterable[str]) -> bool:
    """Whether a grant covers one of the monitors."""
    return grant.tags is None or any(map(grant.allows_tag, tags))


def table_to_save(
    config: Config, grant: Grant, name: str, body: Mapping[str, Any], stored: Managed | None
) -> MaintenanceTable:
    """The table that a grant may put in the place of what is stored; raises Invalid and Forbidden.

    A grant of some monitors covers no pattern, which may mean others tomorrow, and no stored series that it
    could not have made, also one that cannot be read.
    """
    table = checked_table(config, name, body, () if stored is None else patterns_of(stored))
    require_tags(grant, series_of(config, table).tags)
    require_named(grant, table.monitors)
    if stored is not None:
        require_tags(grant, known_tags(config, stored))
        require_named(grant, patterns_of(stored))
    return table


def require_named(grant: Grant, patterns: Sequence[str]) -> None:
    """Raise Forbidden unless a grant covers these patterns of monitors, whatever monitors there will be."""
    if grant.tags is None:
        return
    if not patterns or not all(is_named(grant, pattern) for pattern in patterns):
        raise Forbidden("the token is for some monitors only: name each by its tag")


def is_named(grant: Grant, pattern: str) -> bool:
    """Whether a pattern is a tag that a grant of some monitors covers, or one of its own patterns."""
    return pattern in (grant.tags or ()) or (is_tag(pattern) and grant.allows_tag(pattern))


def require_delete(config: Config, grant: Grant, stored: Managed | None) -> None:
    """Raise NotFound unless a grant covers one of the monitors of what is stored, Forbidden unless all."""
    tags = () if stored is None else known_tags(config, stored)
    if not may_see(grant, tags):
        raise NotFound("series not found")
    require_tags(grant, tags)


def permit_after(seen: Managed | None, check: Callable[[Managed | None], object]) -> Permit:
    """Check again, in the transaction of an act, what is stored if it is not what was seen before."""

    def permit(stored: Managed | None) -> None:
        if stored != seen:
            check(stored)

    return permit


def require_ours(config: Config, name: str) -> None:
    """Raise unless a series may be made here: Conflict for one of the file, Forbidden by [manage]."""
    if config.manage.own == "none":
        raise Forbidden('[manage] own = "none": series stand in config.toml only')
    if any(table.name == name for table in config.maintenance):
        raise Conflict(f"the series {name!r} is set in config.toml")


def rendered(config: Config, view: SeriesView, now: int) -> dict[str, Any]:
    """A series with its keys, its owner and its next ten occurrences."""
    name, stored = view
    table = next((each for each in config.maintenance if each.name == name), None)
    fault = ""
    found: MaintenanceSeries | None = None
    try:
        if table is None and stored is not None:
            table = table_of(config, name, stored.body)
        found = None if table is None else series_of(config, table)
    except Invalid as error:
        fault = error.message
    return {
        "name": name,
        "owner": "file" if any(each.name == name for each in config.maintenance) else "database",
        "isShadowed": stored is not None and any(each.name == name for each in config.maintenance),
        "fault": fault,
        "revision": None if stored is None else stored.revision,
        "changedAt": None if stored is None else stored.changed_at,
        "changedBy": None if stored is None else stored.changed_by,
        "tags": [] if found is None else list(found.tags),
        "keys": dict(stored.body) if table is None and stored is not None else body_of_table(table),
        "next": [] if found is None else [rendered_occurrence(each) for each in next_occurrences(found, now)],
    }


def body_of_table(table: MaintenanceTable | None) -> dict[str, Any]:
    return {} if table is None else body_of(table)


def rendered_occurrence(occurrence: Occurrence) -> dict[str, Any]:
    """One that is not stored."""
    return {
        "incidentNumber": None,
        "occurrence": occurrence.key,
        "startDatetime": occurrence.start,
        "endDatetime": occurrence.end,
        "state": "planned",
        "isChanged": False,
        "clockChange": occurrence.clock_change.value,
        "shift": occurrence.shift,
    }


def rendered_incident(incident: Incident, now: int) -> dict[str, Any]:
    """One that is stored."""
    state = maintenance_state(incident.start, incident.closed_as_of(now), incident.announce, now)
    return {
        "incidentNumber": incident.number,
        "occurrence": incident.occurrence,
        "startDatetime": incident.start,
        "endDatetime": incident.end,
        "state": state.value,
        "isChanged": incident.is_changed,
        "clockChange": "",
        "shift": 0,
    }
