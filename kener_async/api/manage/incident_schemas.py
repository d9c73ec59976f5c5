"""The schemas of /api/manage/incidents."""

from typing import Any

from marshmallow import Schema, ValidationError, fields

from kener_async.api.http.fields import (
    Instant,
    JsonBoolean,
    JsonChoice,
    JsonInteger,
    JsonString,
    QueryInteger,
    SingleMessageField,
    TagList,
)
from kener_async.api.manage.schemas import BOOLEANS, PageQuery
from kener_async.api.schemas import (
    IMPACTS,
    TITLE_LENGTH,
    IncidentResponse,
    RequestSchema,
    described,
)
from kener_async.domain.incident_updates import Impact, IncidentState

INCIDENT_STATES = {state.name.lower(): state for state in IncidentState}
MONITOR_IMPACTS = {impact.name: impact for impact in Impact}
STATE_NAMES = ", ".join(list(INCIDENT_STATES)[:-1]) + " or resolved"
MAX_TEXT = 100_000  # characters


class ImpactsByTag(SingleMessageField, fields.Dict):
    """An object with an Impact or null for each of some tags."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Impact | None]:
        if not isinstance(value, dict):
            raise self.refuse()
        return {tag: self._impact(tag, name) for tag, name in value.items()}

    def _impact(self, tag: str, name: Any) -> Impact | None:
        if name is None:
            return None
        if not isinstance(name, str) or name not in MONITOR_IMPACTS:
            raise ValidationError(f"{self.error_messages['invalid']}; {tag[:100]} has another")
        return MONITOR_IMPACTS[name]


def _state(**options: Any) -> JsonChoice:
    return JsonChoice(
        choices=INCIDENT_STATES,
        message=f"Invalid state: must be {STATE_NAMES}",
        metadata=described("How far you have come", "identified"),
        **options,
    )


def _impacts() -> ImpactsByTag:
    return ImpactsByTag(
        message="Invalid impacts: must be an object of tags with DOWN, DEGRADED, NONE or null",
        metadata=described(
            "The impact on single monitors, by tag; NONE: what was measured, null: that of the incident",
            {"earth": "DEGRADED"},
        ),
    )


def _text(field: str, description: str, example: str, **options: Any) -> JsonString:
    return JsonString(
        maximum=MAX_TEXT,
        message=f"Invalid {field}: must be text of at most {MAX_TEXT} characters",
        metadata=described(description, example),
        **options,
    )


class ManagedIncidentQuery(PageQuery):
    before = QueryInteger(
        minimum=1,
        maximum=2**63 - 1,
        message="Invalid before: must be an incidentNumber",
        metadata=described("Only those with a lower number: the last of the page before", 12),
    )
    is_draft = JsonChoice(
        data_key="draft",
        choices=BOOLEANS,
        message="Invalid draft: must be true or false",
        metadata=described("Only drafts, or only what is published; default: both", "true"),
    )


class ManagedIncidentChange(RequestSchema):
    """Fields that are left out keep their value; null clears those that may be unset."""

    title = JsonString(
        minimum=1,
        maximum=TITLE_LENGTH,
        message=f"Invalid title: must be text of 1 to {TITLE_LENGTH} characters",
        metadata=described("Title of the incident", "Payments are not working"),
    )
    body = _text("body", "What happened, in Markdown", "We know of it and are looking.")
    tags = TagList(
        message="Invalid tags: must be a list of monitor tags, not empty",
        metadata=described("Tags of the affected monitors", ["earth", "mars"]),
    )
    start = Instant(
        data_key="startDatetime",
        message="Invalid startDatetime: must be UTC seconds, an integer",
        metadata=described("UTC timestamp in seconds", 1731901920),
    )
    end = Instant(
        data_key="endDatetime",
        allow_none=True,
        message="Invalid endDatetime: must be UTC seconds, an integer, or null",
        metadata=described("UTC timestamp in seconds, later than startDatetime; null: none", 1731905520),
    )
    impact = JsonChoice(
        choices=IMPACTS,
        allow_none=True,
        message="Invalid impact: must be DOWN, DEGRADED or null",
        metadata=described("The status of the monitors without an impact of their own; null: none", "DOWN"),
    )
    impacts = _impacts()
    state = _state()
    is_maintenance = JsonBoolean(
        data_key="isMaintenance",
        message="Invalid isMaintenance: must be true or false",
        metadata=described("Planned work, whose minutes do not count for the uptime", False),
    )


class ManagedIncidentRequest(ManagedIncidentChange):
    title = JsonString(
        minimum=1,
        maximum=TITLE_LENGTH,
        required=True,
        message=f"Invalid title: must be text of 1 to {TITLE_LENGTH} characters",
        metadata=described("Title of the incident", "Payments are not working"),
    )
    tags = TagList(
        required=True,
        message="Invalid tags: must be a list of monitor tags, not empty",
        metadata=described("Tags of the affected monitors", ["earth", "mars"]),
    )
    is_draft = JsonBoolean(
        data_key="isDraft",
        message="Invalid isDraft: must be true or false",
        metadata=described("Whether visitors do not see it before it is published; default: false", False),
    )


class UpdateRequest(RequestSchema):
    body = _text("body", "What is said, in Markdown", "A fix is on its way.")
    state = _state(allow_none=True)
    impacts = _impacts()
    at = Instant(
        message="Invalid at: must be UTC seconds, an integer",
        metadata=described(
            "The time it stands at, not after now and not more than a day before the incident's start; "
            "default: now",
            1731902000,
        ),
    )


class PostmortemRequest(RequestSchema):
    body = _text("body", "The postmortem, in Markdown; empty: none", "A disk was full.", required=True)
    is_published = JsonBoolean(
        data_key="isPublished",
        message="Invalid isPublished: must be true or false",
        metadata=described("Whether visitors see it; default: true", True),
    )


class MergeRequest(RequestSchema):
    target = JsonInteger(
        minimum=1,
        maximum=2**63 - 1,
        required=True,
        message="Invalid target: must be an incidentNumber",
        metadata=described("The incident that takes over its monitors and updates", 12),
    )
    target_revision = JsonInteger(
        data_key="targetRevision",
        minimum=0,
        maximum=2**63 - 1,
        message="Invalid targetRevision: must be a revision, an integer",
        metadata=described("The revision that the target must be at; default: any", 4),
    )


class MonitorImpactRequest(RequestSchema):
    impact = JsonChoice(
        choices=MONITOR_IMPACTS,
        required=True,
        allow_none=True,
        message="Invalid impact: must be DOWN, DEGRADED, NONE or null",
        metadata=described(
            "The impact on this monitor; NONE: what was measured counts, null: that of the incident",
            "DEGRADED",
        ),
    )


class ManagedUpdateSchema(Schema):
    id = fields.Integer(metadata=described("Of the update", 3))
    body = fields.String(metadata=described("What is said; empty: nothing", "A fix is on its way."))
    at = fields.Integer(metadata=described("The time it stands at, UTC seconds", 1731902000))
    state = fields.String(
        allow_none=True, metadata=described("The state from then on; null: it stayed", "identified")
    )
    impacts = fields.Dict(metadata=described("The impacts it set, by tag", {"earth": "DEGRADED"}))
    author = fields.String(metadata=described("Who wrote it; empty: the server", "person:ada"))
    created_at = fields.Integer(data_key="createdAt", metadata=described("When it was written", 1731902000))
    edited_at = fields.Integer(
        data_key="editedAt", allow_none=True, metadata=described("When it was last edited", None)
    )


class PostedUpdateSchema(ManagedUpdateSchema):
    revision = fields.Integer(metadata=described("The revision of the incident after it", 5))


class ManagedIncidentSchema(IncidentResponse):
    stage = fields.String(metadata=described("What the page calls its state", "investigating"))
    state = fields.String(metadata=described(f"Its state: {STATE_NAMES}", "investigating"))
    impacts = fields.Dict(
        metadata=described("The impacts on single monitors, which others have from it", {"earth": "DEGRADED"})
    )
    own_impact = fields.String(
        data_key="ownImpact",
        allow_none=True,
        metadata=described("The impact on the other monitors; `impact` is the worst of all", "DOWN"),
    )
    source = fields.String(metadata=described("api, or rule: an alert rule opened it", "rule"))
    series = fields.String(
        allow_none=True, metadata=described("The series that a maintenance belongs to", None)
    )
    is_draft = fields.Boolean(data_key="isDraft", metadata=described("Whether visitors do not see it", True))
    is_monitoring = fields.Boolean(
        data_key="isMonitoring",
        metadata=described("Whether its monitors have recovered, and it waits to be resolved", False),
    )
    covers = fields.Boolean(metadata=described("Whether minutes have their status from it", False))
    touched_at = fields.Integer(
        data_key="touchedAt",
        allow_none=True,
        metadata=described("When a person last changed one of a rule; only persons resolve it then", None),
    )
    updated_at = fields.Integer(data_key="updatedAt", metadata=described("When it last changed", 1731902000))
    revision = fields.Integer(metadata=described("Grows with every change; for If-Match", 4))
    postmortem = fields.String(metadata=described("In Markdown; empty: there is none", ""))
    postmortem_at = fields.Integer(
        data_key="postmortemAt", allow_none=True, metadata=described("When it was published", None)
    )


class IncidentThreadSchema(ManagedIncidentSchema):
    updates = fields.List(
        fields.Nested(ManagedUpdateSchema()), metadata=described("Its updates, oldest first", [])
    )
