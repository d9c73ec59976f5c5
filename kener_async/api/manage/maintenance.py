"""/api/manage/maintenance: single maintenances, and the occurrences of series that are stored."""

from collections.abc import Callable
from typing import Any

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import incidents as managed_incidents
from kener_async.api.manage import maintenance_schemas as schemas
from kener_async.api.manage.revisions import revision_of
from kener_async.api.manage.visibility import path_id, visible_monitors
from kener_async.domain.access import require_tags
from kener_async.domain.errors import Invalid
from kener_async.domain.incidents import Incident
from kener_async.domain.series import maintenance_state
from kener_async.store import maintenance

routes = Routes()

PATH = {"incidentNumber": "number of the maintenance, an integer"}
CHANGE_ERRORS = (404, 408, 409, 413, 415, 503)


@routes.get("/api/manage/maintenance")
@endpoint(
    Spec(
        operation="listMaintenance",
        summary="List maintenance",
        group="Management",
        scope="manage:read",
        query=schemas.MaintenanceQuery(),
        reply=schemas.MaintenanceSchema(),
        many=True,
    )
)
async def list_maintenance(call: Call) -> list[dict[str, Any]]:
    """Maintenance of the monitors of the token, drafts too, highest number first."""
    app = call.request.app
    now, is_over = app[keys.CLOCK](), call.query.get("is_over")
    criteria = maintenance.MaintenanceSearch(
        tags=None if call.grant.tags is None else tuple((await visible_monitors(call)).values()),
        series=call.query.get("series"),
        is_over=is_over,
        before=call.query.get("before"),
        limit=call.query["limit"],
    )
    found = await app[keys.DATABASE].read(maintenance.search, criteria, now)
    return [rendered(incident, now) for incident in found]


@routes.post("/api/manage/maintenance")
@endpoint(
    Spec(
        operation="planMaintenance",
        summary="Plan a maintenance",
        group="Management",
        scope="incident:write",
        body=schemas.MaintenanceRequest(),
        reply=schemas.MaintenanceSchema(),
        errors=(408, 413, 415, 503),
    )
)
async def create(call: Call) -> dict[str, Any]:
    """Plan a maintenance, once. One that repeats is a series."""
    app = call.request.app
    _require_known(call, call.body["tags"], ())
    now = app[keys.CLOCK]()
    made = await app[keys.DATABASE].write(maintenance.plan, call.body, call.actor, now, call.grant)
    app[keys.STATES].note_incidents(made)
    return rendered(made, now)


@routes.get("/api/manage/maintenance/{incidentNumber}")
@endpoint(
    Spec(
        operation="getMaintenance",
        summary="Get a maintenance",
        group="Management",
        scope="manage:read",
        path=PATH,
        reply=schemas.MaintenanceSchema(),
        errors=(404,),
    )
)
async def get(call: Call) -> dict[str, Any]:
    """One maintenance, also a draft."""
    app = call.request.app
    number = path_id(call, "incidentNumber")
    found = await app[keys.DATABASE].read(maintenance.get, number, call.grant)
    return rendered(found, app[keys.CLOCK]())


@routes.patch("/api/manage/maintenance/{incidentNumber}")
@endpoint(
    Spec(
        operation="changeMaintenance",
        summary="Change a maintenance",
        group="Management",
        scope="incident:write",
        path=PATH,
        body=schemas.MaintenanceChange(),
        reply=schemas.MaintenanceSchema(),
        errors=CHANGE_ERRORS,
    )
)
async def change(call: Call) -> dict[str, Any]:
    """Change a maintenance; fields that are left out keep their value, uptimes of past days follow.

    `startDatetime` alone moves one that has not begun, with its end. With the header `If-Match: revision`
    nothing is changed if another revision is stored. One of a series does not follow it any more.
    """
    app, fields = call.request.app, call.body
    number = path_id(call, "incidentNumber")
    if tags := fields.get("tags"):
        require_tags(call.grant, tags)
        _require_known(call, tags, (await app[keys.DATABASE].read(maintenance.get, number, call.grant)).tags)
    if "start" in fields and "end" not in fields:
        return await _act(call, maintenance.move_and_change, fields)
    return await _act(call, maintenance.change, fields)


@routes.delete("/api/manage/maintenance/{incidentNumber}")
@endpoint(
    Spec(
        operation="deleteMaintenance",
        summary="Delete a maintenance",
        group="Management",
        scope="incident:delete",
        path=PATH,
        reply=schemas.MaintenanceSchema(),
        errors=(404, 409, 503),
    )
)
async def delete(call: Call) -> dict[str, Any]:
    """Take a maintenance from every page and figure. One of a series that is to come is cancelled instead."""
    app, now = call.request.app, call.request.app[keys.CLOCK]()
    number = path_id(call, "incidentNumber")
    gone = await app[keys.DATABASE].write(
        maintenance.delete, number, call.actor, now, grant=call.grant, revision=revision_of(call)
    )
    app[keys.STATES].note_incidents(gone)
    return rendered(gone, now)


@routes.post("/api/manage/maintenance/{incidentNumber}/end")
@endpoint(
    Spec(
        operation="endMaintenance",
        summary="End a maintenance now",
        group="Management",
        scope="incident:write",
        path=PATH,
        reply=schemas.MaintenanceSchema(),
        errors=(404, 409, 503),
    )
)
async def end(call: Call) -> dict[str, Any]:
    """End a maintenance that is in progress now: from here on minutes are what was measured."""
    return await _act(call, maintenance.end)


@routes.post("/api/manage/maintenance/{incidentNumber}/cancel")
@endpoint(
    Spec(
        operation="cancelMaintenance",
        summary="Cancel a maintenance",
        group="Management",
        scope="incident:write",
        path=PATH,
        reply=schemas.MaintenanceSchema(),
        errors=(404, 409, 503),
    )
)
async def cancel(call: Call) -> dict[str, Any]:
    """Cancel a maintenance that has not begun. It stays on record, and visitors see that it was cancelled."""
    return await _act(call, maintenance.cancel)


async def _act(call: Call, act: Callable[..., maintenance.Changed], *values: Any) -> dict[str, Any]:
    """Run an act of store/maintenance on the maintenance of the path."""
    app, now = call.request.app, call.request.app[keys.CLOCK]()
    number = path_id(call, "incidentNumber")
    before, after = await app[keys.DATABASE].write(
        act, number, *values, call.actor, now, grant=call.grant, revision=revision_of(call)
    )
    app[keys.STATES].note_incidents(before, after)
    return rendered(after, now)


def _require_known(call: Call, tags: tuple[str, ...], stored: tuple[str, ...]) -> None:
    states = call.request.app[keys.STATES]
    unknown = [tag for tag in tags if tag not in stored and states.find(tag) is None]
    if unknown:
        raise Invalid(f"Invalid tags: unknown tags: {', '.join(unknown)}")


def rendered(incident: Incident, now: int) -> dict[str, Any]:
    """A maintenance as an incident of the management API, with its state and its series."""
    state = maintenance_state(incident.start, incident.closed_as_of(now), incident.announce, now)
    return managed_incidents.rendered(incident, now) | {
        "state": state.value,
        "series": incident.series,
        "occurrence": incident.occurrence,
        "isChanged": incident.is_changed,
        "announce": list(incident.announce),
        "revision": incident.revision,
    }
