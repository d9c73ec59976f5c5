"""Incidents and maintenance: create, search, update, comment."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from kener_async import keys
from kener_async.api import schemas
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.domain.access import require_tags
from kener_async.domain.errors import Invalid
from kener_async.domain.incident_updates import Update
from kener_async.domain.incidents import Incident, opened
from kener_async.domain.states import MonitorStates
from kener_async.store import incident_lists, incidents

routes = Routes()

NUMBER = {"incidentNumber": "incident id as an integer"}


@routes.post("/api/incident")
@endpoint(
    Spec(
        operation="createIncident",
        summary="Create a new incident",
        group="Incidents",
        scope="incident:write",
        body=schemas.IncidentSchema(),
        reply=schemas.IncidentResponse(),
        errors=(408, 413, 415, 503),
    )
)
async def create(call: Call) -> dict[str, Any]:
    """Open an incident or schedule a maintenance."""
    app = call.request.app
    require_tags(call.grant, call.body["tags"])
    require_known(call.request.app[keys.STATES], call.body["tags"])
    now = app[keys.CLOCK]()
    opened(0, call.body, now)  # raises here, because an invalid incident should not wait for the writer
    incident = await app[keys.DATABASE].write(incidents.open, call.body, call.actor, now)
    app[keys.STATES].note_incidents(incident)
    return rendered(incident, now)


@routes.get("/api/incident")
@endpoint(
    Spec(
        operation="searchIncidents",
        summary="Search for incidents",
        group="Incidents",
        scope="incident:read",
        query=schemas.IncidentSearch(),
        reply=schemas.IncidentResponse(),
        many=True,
    )
)
async def search(call: Call) -> list[dict[str, Any]]:
    """Incidents, newest first."""
    app = call.request.app
    query = call.query
    now = app[keys.CLOCK]()
    tags = query.get("tags")
    if call.grant.tags is not None:
        # Only what the token's monitors are named in.
        allowed = {state.tag for state in app[keys.STATES] if call.grant.allows_tag(state.tag)}
        tags = tuple(allowed if tags is None else allowed.intersection(tags))
    criteria = incident_lists.Search(
        closed=query["state"],
        tags=tags,
        created_after=query.get("created_after"),
        created_before=query.get("created_before"),
        title=query.get("title"),
        limit=query["per_page"],
        offset=(query["page"] - 1) * query["per_page"],
    )
    matching = await app[keys.DATABASE].read(incident_lists.search, criteria, now)
    return [rendered(incident, now) for incident in matching]


@routes.get("/api/incident/{incidentNumber}")
@endpoint(
    Spec(
        operation="getIncident",
        summary="Get an incident by number",
        group="Incidents",
        scope="incident:read",
        path=NUMBER,
        reply=schemas.IncidentResponse(),
        errors=(404,),
    )
)
async def get(call: Call) -> dict[str, Any]:
    """One incident."""
    app = call.request.app
    number = incident_number(call.request)
    incident = await app[keys.DATABASE].read(incidents.public, number)
    require_tags(call.grant, incident.tags, any)
    return rendered(incident, app[keys.CLOCK]())


@routes.patch("/api/incident/{incidentNumber}")
@endpoint(
    Spec(
        operation="updateIncident",
        summary="Update an incident",
        group="Incidents",
        scope="incident:write",
        path=NUMBER,
        body=schemas.IncidentChange(),
        reply=schemas.IncidentResponse(),
        errors=(404, 408, 413, 415, 503),
    )
)
async def update(call: Call) -> dict[str, Any]:
    """Change an incident. A missing field keeps its value, null clears it. Uptimes of past days follow.

    Tags that it has already may be sent back when their monitors are no longer configured.
    """
    require_tags(call.grant, call.body["tags"])
    states, database = call.request.app[keys.STATES], call.request.app[keys.DATABASE]
    incident = await database.read(incidents.public, incident_number(call.request))
    require_known(states, [tag for tag in call.body["tags"] if tag not in incident.tags])
    cleared = {"body": ""} if call.body.get("body", "") is None else {}
    return await _change(call, call.body | cleared)


@routes.post("/api/incident/{incidentNumber}/status")
@endpoint(
    Spec(
        operation="updateIncidentStatus",
        summary="Update the status of an incident",
        group="Incidents",
        scope="incident:write",
        path=NUMBER,
        body=schemas.IncidentStatus(),
        reply=schemas.IncidentResponse(),
        errors=(404, 408, 413, 415, 503),
    )
)
async def update_status(call: Call) -> dict[str, Any]:
    """Identify, resolve or reopen an incident, or set its end."""
    return await _change(call, call.body)


@routes.post("/api/incident/{incidentNumber}/comment")
@endpoint(
    Spec(
        operation="addIncidentComment",
        summary="Add a comment to an incident",
        group="Incidents",
        scope="incident:write",
        path=NUMBER,
        body=schemas.CommentSchema(),
        reply=schemas.CommentResponse(),
        errors=(404, 408, 413, 415, 503),
    )
)
async def add_comment(call: Call) -> dict[str, Any]:
    """Add a comment to the timeline; the incident's state does not change."""
    app = call.request.app
    number = incident_number(call.request)
    now = app[keys.CLOCK]()
    _, comment = await app[keys.DATABASE].write(
        incidents.post_update, number, call.body, call.actor, now, grant=call.grant, is_public=True
    )
    app[keys.STATES].note_incident_change()
    return _rendered_comment(comment)


@routes.get("/api/incident/{incidentNumber}/comment")
@endpoint(
    Spec(
        operation="getIncidentComments",
        summary="Get comments for an incident",
        group="Incidents",
        scope="incident:read",
        path=NUMBER,
        reply=schemas.CommentResponse(),
        many=True,
        errors=(404,),
    )
)
async def comments(call: Call) -> list[dict[str, Any]]:
    """The comments, oldest first."""
    number = incident_number(call.request)
    incident, thread = await call.request.app[keys.DATABASE].read(incidents.thread, number)
    require_tags(call.grant, incident.tags, any)
    return [_rendered_comment(update) for update in thread if update.body]


async def _change(call: Call, fields: Mapping[str, Any]) -> dict[str, Any]:
    app = call.request.app
    number = incident_number(call.request)
    now = app[keys.CLOCK]()
    before, after = await app[keys.DATABASE].write(
        incidents.change, number, fields, call.actor, now, grant=call.grant, is_public=True
    )
    app[keys.STATES].note_incidents(before, after)
    return rendered(after, now)


def incident_number(request: web.Request) -> int:
    """The number in the path; raises Invalid."""
    text = request.match_info["incidentNumber"]
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise Invalid("Invalid incidentNumber: must be an integer")
    return int(text)


def require_known(states: MonitorStates, tags: Iterable[str]) -> None:
    """Raise Invalid unless all the tags are those of configured monitors."""
    unknown = [tag for tag in tags if states.find(tag) is None]
    if unknown:
        raise Invalid(f"unknown tags: {', '.join(unknown)}")


def rendered(incident: Incident, now: int) -> dict[str, Any]:
    """The incident as the contract has it: without an end or an impact that is not set."""
    fields: dict[str, Any] = {
        "createdAt": incident.created_at,
        "closedAt": incident.closed_as_of(now),
        "incidentNumber": incident.number,
        "startDatetime": incident.start,
        "title": incident.title,
        "body": incident.body,
        "tags": incident.tags,
        "isMaintenance": incident.is_maintenance,
        "isIdentified": incident.is_identified,
        "isResolved": incident.is_resolved,
    }
    if incident.end is not None:
        fields["endDatetime"] = incident.end
    if incident.worst_impact is not None:
        fields["impact"] = incident.worst_impact.name
    return fields


def _rendered_comment(update: Update) -> dict[str, Any]:
    return {"commentID": update.id, "body": update.body, "createdAt": update.at}
