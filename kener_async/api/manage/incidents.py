"""/api/manage/incidents: incidents with their states, updates, impacts, drafts and postmortems."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from kener_async import keys
from kener_async.api import incidents as contract
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import incident_schemas as schemas
from kener_async.api.manage.revisions import revision_of, with_revision
from kener_async.api.manage.visibility import path_id, visible_monitors
from kener_async.domain.errors import Forbidden, NotFound
from kener_async.domain.incident_updates import Impact, Update
from kener_async.domain.incidents import Incident
from kener_async.store import incident_lists, incidents

routes = Routes()

PATH = "/api/manage/incidents"
ONE = PATH + "/{incidentNumber}"
UPDATE_PATH = contract.NUMBER | {"updateId": "id of the update, an integer"}
MONITOR_PATH = contract.NUMBER | {"tag": "tag of a monitor"}
WRITING = (404, 408, 409, 413, 415, 503)


@routes.get(PATH)
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


@routes.post(PATH)
@endpoint(
    Spec(
        operation="openManagedIncident",
        summary="Open an incident, or write a draft",
        group="Management",
        scope="incident:write",
        body=schemas.ManagedIncidentRequest(),
        reply=schemas.IncidentThreadSchema(),
        errors=(408, 413, 415, 503),
    )
)
async def create(call: Call) -> web.Response:
    """Open an incident with a state and with impacts on single monitors, or write a draft.

    A draft is seen with `manage:read` only, and covers no minute, until it is published.
    """
    contract.require_known(call.request.app[keys.STATES], call.body["tags"])
    fields = call.body | {"impacts": _given(call.body.get("impacts", {}))}
    now = call.request.app[keys.CLOCK]()
    incident = await call.request.app[keys.DATABASE].write(
        incidents.open, fields, call.actor, now, call.grant
    )
    return await _answer(call, incident, incident)


@routes.get(ONE)
@endpoint(
    Spec(
        operation="getManagedIncident",
        summary="Get an incident with its updates",
        group="Management",
        scope="manage:read",
        path=contract.NUMBER,
        reply=schemas.IncidentThreadSchema(),
        errors=(404,),
    )
)
async def get(call: Call) -> web.Response:
    """One incident, also a draft, with its updates; its revision is the ETag."""
    number = contract.incident_number(call.request)
    thread = await call.request.app[keys.DATABASE].read(incidents.thread, number, is_public=False)
    return _thread(call, *thread)


@routes.patch(ONE)
@endpoint(
    Spec(
        operation="changeManagedIncident",
        summary="Change an incident",
        group="Management",
        scope="incident:write",
        path=contract.NUMBER,
        body=schemas.ManagedIncidentChange(),
        reply=schemas.IncidentThreadSchema(),
        errors=WRITING,
    )
)
async def change(call: Call) -> web.Response:
    """Change fields. One that is missing keeps its value. Uptimes of past days follow.

    With `If-Match` of an older revision than is stored it is refused with 409. A new state is an update
    without text. `impact` clears those of single monitors, `impacts` changes those it names.
    """
    app = call.request.app
    number = contract.incident_number(call.request)
    if "tags" in call.body:
        known = (await _seen(call, number)).tags
        contract.require_known(app[keys.STATES], [tag for tag in call.body["tags"] if tag not in known])
    before, after = await app[keys.DATABASE].write(
        incidents.change,
        number,
        call.body,
        call.actor,
        app[keys.CLOCK](),
        grant=call.grant,
        revision=revision_of(call),
    )
    return await _answer(call, before, after)


@routes.delete(ONE)
@endpoint(
    Spec(
        operation="deleteManagedIncident",
        summary="Delete an incident",
        group="Management",
        scope="incident:delete",
        path=contract.NUMBER,
        reply=schemas.ManagedIncidentSchema(),
        errors=(404, 409, 503),
    )
)
async def delete(call: Call) -> dict[str, Any]:
    """Take an incident from every page, feed and figure: its minutes are what was measured.

    The audit log keeps it. To end an incident, resolve it instead. Answered is what was deleted.
    """
    gone = await _act(call, incidents.delete)
    return rendered(gone, call.request.app[keys.CLOCK]())


@routes.post(ONE + "/merge")
@endpoint(
    Spec(
        operation="mergeIncident",
        summary="Merge an incident into another one",
        group="Management",
        scope="incident:delete",
        path=contract.NUMBER,
        body=schemas.MergeRequest(),
        reply=schemas.IncidentThreadSchema(),
        errors=WRITING,
    )
)
async def merge(call: Call) -> web.Response:
    """Let the monitors and the updates of an incident join another one, the target, and delete it.

    The target keeps its texts, times and state; the updates keep their times and authors. `If-Match` is the
    revision of the incident in the path. A maintenance is not merged, nor what is public into a draft.
    Answered is the target.
    """
    app, body = call.request.app, call.body
    merged = await app[keys.DATABASE].write(
        incidents.merge,
        contract.incident_number(call.request),
        body["target"],
        body.get("target_revision"),
        call.actor,
        app[keys.CLOCK](),
        grant=call.grant,
        revision=revision_of(call),
    )
    return await _answer(call, *merged)


@routes.post(ONE + "/updates")
@endpoint(
    Spec(
        operation="postIncidentUpdate",
        summary="Post an update",
        group="Management",
        scope="incident:write",
        path=contract.NUMBER,
        body=schemas.UpdateRequest(),
        reply=schemas.PostedUpdateSchema(),
        errors=WRITING,
    )
)
async def post_update(call: Call) -> dict[str, Any]:
    """Say something, give the incident a state, or set impacts; at least one of them.

    The newest update that has a state, by its time, is that of the incident.
    """
    return await _update(call, incidents.post_update)


@routes.patch(ONE + "/updates/{updateId}")
@endpoint(
    Spec(
        operation="editIncidentUpdate",
        summary="Edit an update",
        group="Management",
        scope="incident:write",
        path=UPDATE_PATH,
        body=schemas.UpdateRequest(),
        reply=schemas.PostedUpdateSchema(),
        errors=WRITING,
    )
)
async def edit_update(call: Call) -> dict[str, Any]:
    """Change fields of an update, which then says "edited"; the audit log keeps what stood there before."""
    return await _update(call, incidents.edit_update, path_id(call, "updateId"))


@routes.delete(ONE + "/updates/{updateId}")
@endpoint(
    Spec(
        operation="deleteIncidentUpdate",
        summary="Delete an update",
        group="Management",
        scope="incident:delete",
        path=UPDATE_PATH,
        reply=schemas.IncidentThreadSchema(),
        errors=(404, 409, 503),
    )
)
async def delete_update(call: Call) -> web.Response:
    """Delete an update: the incident has the state of its newest other one. The audit log keeps it."""
    incident = await _act(call, incidents.delete_update, path_id(call, "updateId"))
    return await _answer(call, incident, incident)


@routes.put(ONE + "/postmortem")
@endpoint(
    Spec(
        operation="putIncidentPostmortem",
        summary="Write the postmortem",
        group="Management",
        scope="incident:write",
        path=contract.NUMBER,
        body=schemas.PostmortemRequest(),
        reply=schemas.IncidentThreadSchema(),
        errors=WRITING,
    )
)
async def put_postmortem(call: Call) -> web.Response:
    """Write or change what was learned. It stands below the updates, with the time of its publication."""
    is_published = call.body.get("is_published", True)
    incident = await _act(call, incidents.postmortem, call.body["body"], is_published=is_published)
    return await _answer(call, incident, incident)


@routes.put(ONE + "/monitors/{tag}")
@endpoint(
    Spec(
        operation="putIncidentMonitor",
        summary="Set the impact on one monitor",
        group="Management",
        scope="incident:write",
        path=MONITOR_PATH,
        body=schemas.MonitorImpactRequest(),
        reply=schemas.IncidentThreadSchema(),
        errors=WRITING,
    )
)
async def put_monitor(call: Call) -> web.Response:
    """Set the impact on one monitor, which is added to the incident if it does not name it."""
    app, tag = call.request.app, call.request.match_info["tag"]
    incident = await _seen(call, contract.incident_number(call.request))
    if tag not in incident.tags:
        contract.require_known(app[keys.STATES], (tag,))
    incident = await _act(call, incidents.set_impacts, {tag: call.body["impact"]}, is_adding=True)
    return await _answer(call, incident, incident)


@routes.post(ONE + "/publish")
@endpoint(
    Spec(
        operation="publishIncident",
        summary="Publish a draft",
        group="Management",
        scope="incident:write",
        path=contract.NUMBER,
        reply=schemas.ManagedIncidentSchema(),
        errors=(404, 409, 503),
    )
)
async def publish(call: Call) -> dict[str, Any]:
    """Show a draft to visitors. From then on persons resolve it, not the rule that opened it."""
    published = await _act(call, incidents.publish)
    return rendered(published, call.request.app[keys.CLOCK]())


@routes.post(ONE + "/unpublish")
@endpoint(
    Spec(
        operation="unpublishIncident",
        summary="Make a draft of an incident",
        group="Management",
        scope="incident:write",
        path=contract.NUMBER,
        reply=schemas.ManagedIncidentSchema(),
        errors=(404, 409, 503),
    )
)
async def unpublish(call: Call) -> dict[str, Any]:
    """Take an incident from every page and feed until it is published again. A draft covers no minute."""
    draft = await _act(call, incidents.unpublish)
    return rendered(draft, call.request.app[keys.CLOCK]())


async def _act(call: Call, work: Callable[..., Incident], *args: Any, **options: Any) -> Incident:
    """Run one of the acts of the store, for the token; the incident that it returns."""
    app = call.request.app
    number = contract.incident_number(call.request)
    options |= {"grant": call.grant, "revision": revision_of(call)}
    incident = await app[keys.DATABASE].write(work, number, *args, call.actor, app[keys.CLOCK](), **options)
    app[keys.STATES].note_incidents(incident)
    return incident


async def _update(call: Call, work: Callable[..., tuple[Incident, Update]], *args: Any) -> dict[str, Any]:
    app = call.request.app
    number = contract.incident_number(call.request)
    options: dict[str, Any] = {"grant": call.grant, "revision": revision_of(call)}
    incident, update = await app[keys.DATABASE].write(
        work, number, *args, call.body, call.actor, app[keys.CLOCK](), **options
    )
    app[keys.STATES].note_incidents(incident)
    return rendered_update(update) | {"revision": incident.revision}


async def _answer(call: Call, *changed: Incident) -> web.Response:
    """The incident as it is stored now, after a change that monitors and pages follow."""
    app = call.request.app
    app[keys.STATES].note_incidents(*changed)
    thread = await app[keys.DATABASE].read(incidents.thread, changed[-1].number, is_public=False)
    return _thread(call, *thread)


def _thread(call: Call, incident: Incident, updates: Sequence[Update]) -> web.Response:
    _require_seen(call, incident)
    document = rendered(incident, call.request.app[keys.CLOCK]())
    said = [rendered_update(update) for update in updates]
    return with_revision(document | {"updates": said}, incident.revision)


async def _seen(call: Call, number: int) -> Incident:
    """An incident that the token may see; raises NotFound and Forbidden."""
    incident = await call.request.app[keys.DATABASE].read(incidents.get, number)
    _require_seen(call, incident)
    return incident


def _require_seen(call: Call, incident: Incident) -> None:
    """Raise unless the token is for a monitor of the incident: NotFound for a draft, else Forbidden."""
    if call.grant.tags is None or any(map(call.grant.allows_tag, incident.tags)):
        return
    if incident.is_draft:
        raise NotFound("incident not found")
    raise Forbidden("the token is for other monitors")


def _given(impacts: Mapping[str, Impact | None]) -> dict[str, Impact]:
    return {tag: impact for tag, impact in impacts.items() if impact is not None}


def rendered(incident: Incident, now: int) -> dict[str, Any]:
    """The incident as the contract has it, and what only those see who run the page."""
    return contract.rendered(incident, now) | {
        "stage": incident.stage(now).value,
        "state": incident.state.name.lower(),
        "impacts": _names(incident.impacts.items()),
        "ownImpact": None if incident.impact is None else incident.impact.name,
        "source": incident.source.name.lower(),
        "series": incident.series,
        "isDraft": incident.is_draft,
        "isMonitoring": incident.is_monitoring,
        "covers": incident.covers,
        "touchedAt": incident.touched_at,
        "updatedAt": incident.updated_at,
        "revision": incident.revision,
        "postmortem": incident.postmortem,
        "postmortemAt": incident.postmortem_at,
    }


def rendered_update(update: Update) -> dict[str, Any]:
    """An update with its author."""
    return {
        "id": update.id,
        "body": update.body,
        "at": update.at,
        "state": None if update.state is None else update.state.name.lower(),
        "impacts": _names(update.impacts.items()),
        "author": update.author,
        "createdAt": update.created_at,
        "editedAt": update.edited_at,
    }


def _names(impacts: Iterable[tuple[str, Impact | None]]) -> dict[str, str | None]:
    return {tag: None if impact is None else impact.name for tag, impact in impacts}
