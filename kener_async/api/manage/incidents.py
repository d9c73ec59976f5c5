"""/api/manage/incidents: incidents with what only those see who run the page; publish a draft."""

from typing import Any

from kener_async import keys
from kener_async.api import incidents as contract
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import schemas
from kener_async.api.manage.visibility import visible_monitors
from kener_async.domain.incidents import Incident
from kener_async.store import incident_lists, incidents

routes = Routes()


@routes.get("/api/manage/incidents")
@endpoint(
    Spec(
        operation="listManagedIncidents",
        summary="List incidents, drafts too",
        group="Management",
        scope="manage:read",
        query=schemas.ManagedIncidentQuery(),
        reply=schemas.ManagedIncidentSchema(),
        many=True,
    )
)
async def list_incidents(call: Call) -> list[dict[str, Any]]:
    """Incidents and maintenance of the monitors of the token, open and closed, highest number first."""
    app = call.request.app
    found = await app[keys.DATABASE].read(
        incident_lists.managed,
        is_draft=call.query.get("is_draft"),
        tags=None if call.grant.tags is None else tuple((await visible_monitors(call)).values()),
        before=call.query.get("before"),
        limit=call.query["limit"],
    )
    now = app[keys.CLOCK]()
    return [rendered(incident, now) for incident in found]


@routes.post("/api/manage/incidents/{incidentNumber}/publish")
@endpoint(
    Spec(
        operation="publishIncident",
        summary="Publish a draft",
        group="Management",
        scope="incident:write",
        path=contract.NUMBER,
        reply=schemas.ManagedIncidentSchema(),
        errors=(404, 503),
    )
)
async def publish(call: Call) -> dict[str, Any]:
    """Show a draft to visitors. From then on persons resolve it, not the rule that opened it."""
    app = call.request.app
    number = contract.incident_number(call.request)
    now = app[keys.CLOCK]()
    published = await app[keys.DATABASE].write(incidents.publish, number, call.actor, now, grant=call.grant)
    app[keys.STATES].note_incidents(published)
    return rendered(published, now)


def rendered(incident: Incident, now: int) -> dict[str, Any]:
    """The incident as the contract has it, and what only those see who run the page."""
    return contract.rendered(incident, now) | {
        "stage": incident.stage(now).value,
        "source": incident.source.name.lower(),
        "isDraft": incident.is_draft,
        "isMonitoring": incident.is_monitoring,
        "covers": incident.covers,
        "touchedAt": incident.touched_at,
    }
