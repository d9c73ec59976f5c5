"""/api/manage/people: who may sign in, read only; people are made by people."""

from typing import Any

from marshmallow import Schema, fields

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage.owned import require_unlimited
from kener_async.api.schemas import described
from kener_async.store import people
from kener_async.store.people import PersonRecord

routes = Routes()


class PersonSchema(Schema):
    id = fields.Integer(metadata=described("Of this person", 1))
    name = fields.String(metadata=described("What they sign in with", "ada"))
    email = fields.String(metadata=described("Their address; empty: none", "ada@example.org"))
    role = fields.String(metadata=described("viewer, responder, editor or admin", "admin"))
    categories = fields.List(
        fields.String(), allow_none=True, metadata=described("Those they are limited to; null: none", None)
    )
    is_active = fields.Boolean(data_key="isActive", metadata=described("Whether they may sign in", True))
    has_password = fields.Boolean(data_key="hasPassword", metadata=described("Whether one is set", True))
    has_codes = fields.Boolean(
        data_key="hasCodes", metadata=described("Whether codes are their second factor", True)
    )
    passkeys = fields.Integer(metadata=described("How many they have", 1))
    sessions = fields.Integer(metadata=described("How many they have open", 2))
    made_at = fields.Integer(data_key="madeAt", metadata=described("UTC seconds", 1767182400))
    last_seen = fields.Integer(
        data_key="lastSeen", allow_none=True, metadata=described("UTC seconds; null: never", 1767182460)
    )


@routes.get("/api/manage/people")
@endpoint(
    Spec(
        operation="listPeople",
        summary="List people",
        group="Management",
        scope="admin",
        reply=PersonSchema(),
        many=True,
    )
)
async def list_people(call: Call) -> list[dict[str, Any]]:
    """The people who sign in, also inactive ones, by name. No token makes or changes them."""
    require_unlimited(call)
    app = call.request.app
    records = await app[keys.DATABASE].read(people.records, app[keys.CLOCK]())
    return [_rendered(record) for record in records]


def _rendered(record: PersonRecord) -> dict[str, Any]:
    person = record.person
    return {
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "role": person.role.name.lower(),
        "categories": None if person.categories is None else list(person.categories),
        "isActive": person.is_active,
        "hasPassword": person.password is not None,
        "hasCodes": person.code_key is not None,
        "passkeys": record.factors.passkeys,
        "sessions": record.factors.sessions,
        "madeAt": person.made_at,
        "lastSeen": person.last_seen,
    }
