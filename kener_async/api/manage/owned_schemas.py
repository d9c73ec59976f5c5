"""The schemas of what the database may own beside config.toml."""

from typing import Any

from marshmallow import Schema, fields

from kener_async.api.schemas import described

# The bodies have the keys of a table of config.toml. The schema of that table judges them, so that the one
# accepts what the other does; these describe them, and let every key through (`unknown=INCLUDE`).


def _raw(description: str, example: Any, shape: str = "string", **options: Any) -> fields.Raw:
    return fields.Raw(metadata={**described(description, example), "type": shape}, allow_none=True, **options)


class TemplateBody(Schema):
    title = _raw("The title; {monitors}, {status}, {since} and {for} are replaced", "{monitors} not working")
    text = _raw("The first update, Markdown", "We are looking for the cause.")
    state = _raw("investigating, identified, monitoring or resolved; empty: none", "investigating")
    impact = _raw("DOWN or DEGRADED; empty: none", "DOWN")
    monitors = _raw("Tags, also with * and ?, and category: with a name", ["earth"], "array")


class AnnouncementBody(Schema):
    title = _raw("The headline", "We move to another data centre")
    text = _raw("Markdown", "Nothing changes for you.")
    level = _raw("info, warning or critical", "info")
    start = _raw("From when on, ISO 8601; default: at once", "2026-12-01T08:00", data_key="from")
    end = _raw("Until when; default: for ever", "2026-12-24", data_key="until")


class OwnedSchema(Schema):
    name = fields.String(metadata=described("The name", "down"))
    owner = fields.String(metadata=described("file, which is read only here, or database", "database"))
    line = fields.Integer(allow_none=True, metadata=described("Where it stands in config.toml", None))
    revision = fields.Integer(allow_none=True, metadata=described("Of the database; for If-Match", 12))
    changed_at = fields.Integer(
        data_key="changedAt", allow_none=True, metadata=described("UTC seconds", 1767182400)
    )
    changed_by = fields.String(
        data_key="changedBy", allow_none=True, metadata=described("By which person or token", "person:ada")
    )
    is_shadowed = fields.Boolean(
        data_key="isShadowed",
        metadata=described("Whether it has no effect, because config.toml has one of its name", False),
    )
    fault = fields.String(allow_none=True, metadata=described("Why it cannot be used any more", None))


class OwnedTemplate(OwnedSchema):
    body = fields.Nested(TemplateBody(), metadata={"description": "The keys of its table in config.toml"})


class OwnedAnnouncement(OwnedSchema):
    body = fields.Nested(AnnouncementBody(), metadata={"description": "The keys of its table in config.toml"})
