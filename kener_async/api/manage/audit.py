"""/api/manage/audit: who changed what."""

from typing import Any

from marshmallow import Schema, fields

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.http.fields import JsonString, QueryInteger
from kener_async.api.manage.owned import require_unlimited
from kener_async.api.manage.schemas import PageQuery
from kener_async.api.schemas import described
from kener_async.store import audit
from kener_async.store.audit import AuditSearch, document

routes = Routes()


class AuditQuery(PageQuery):
    actor = JsonString(
        message="Invalid actor: must be a text",
        metadata=described("Such as person:ada, or person for all people", "person:ada"),
    )
    act = JsonString(
        message="Invalid act: must be a text",
        metadata=described("Such as incident.open, or incident for all acts on incidents", "incident"),
    )
    thing = JsonString(
        message="Invalid thing: must be a text",
        metadata=described("Such as incident 7, or incident for all of them", "incident 7"),
    )
    start = QueryInteger(
        data_key="from",
        minimum=0,
        maximum=2**62,
        message="Invalid from: must be UTC seconds",
        metadata=described("Only from this instant on", 1767182400),
    )
    end = QueryInteger(
        data_key="until",
        minimum=0,
        maximum=2**62,
        message="Invalid until: must be UTC seconds",
        metadata=described("Only before this instant", 1767268800),
    )


class AuditRowSchema(Schema):
    id = fields.Integer(metadata=described("Its number; they follow one another", 412))
    at = fields.Integer(metadata=described("When, UTC seconds", 1767182400))
    actor = fields.String(metadata=described("person, token, command or link, with its name", "person:ada"))
    network = fields.String(metadata=described("The address it came from; empty: none", "203.0.113.7"))
    act = fields.String(metadata=described("What was done", "incident.open"))
    thing = fields.String(metadata=described("To what", "incident 7"))
    before = fields.Dict(allow_none=True, metadata=described("As it was; null: it was not there", None))
    after = fields.Dict(allow_none=True, metadata=described("As it is; null: it is not there any more", {}))
    link = fields.String(metadata=described("The hash of the row and of the link before it", "9f2c" * 16))


@routes.get("/api/manage/audit")
@endpoint(
    Spec(
        operation="listAudit",
        summary="List the audit log",
        group="Management",
        scope="report:read",
        query=AuditQuery(),
        reply=AuditRowSchema(),
        many=True,
    )
)
async def list_audit(call: Call) -> list[dict[str, Any]]:
    """Every change by a person, a token or a command, newest first.

    A token of some monitors only may not read it, because it is about all.
    """
    require_unlimited(call)
    query = call.query
    criteria = AuditSearch(
        query.get("actor"),
        query.get("act"),
        query.get("thing"),
        query.get("start"),
        query.get("end"),
        query.get("before"),
    )
    rows = await call.request.app[keys.DATABASE].read(audit.search, criteria, query["limit"])
    return [document(row) for row in rows]
