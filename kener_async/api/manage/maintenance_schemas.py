"""Schemas of maintenance and of series in the management API."""

from typing import Any

from marshmallow import INCLUDE, Schema, fields

from kener_async.api.http.fields import (
    Instant,
    JsonBoolean,
    JsonChoice,
    JsonString,
    SingleMessageField,
    TagList,
)
from kener_async.api.manage.incident_schemas import ManagedIncidentSchema
from kener_async.api.manage.schemas import BOOLEANS, PageQuery
from kener_async.api.schemas import TITLE_LENGTH, RequestSchema, described
from kener_async.config.maintenance import MOST_ANNOUNCED
from kener_async.domain.calendar import MINUTE
from kener_async.domain.durations import parse_duration
from kener_async.domain.series import ANNOUNCE_BEFORE


class AnnounceList(SingleMessageField, fields.List[Any]):
    """Durations such as "24h", loaded as seconds."""

    def __init__(self, *, message: str, **options: Any) -> None:
        super().__init__(message=message, cls_or_instance=fields.String(), **options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[int, ...]:  # type: ignore[override]
        if not isinstance(value, list) or len(value) > MOST_ANNOUNCED:
            raise self.refuse()
        seconds = [parse_duration(each) if isinstance(each, str) else each for each in value]
        if not all(type(each) is int and MINUTE <= each <= ANNOUNCE_BEFORE for each in seconds):
            raise self.refuse()
        return tuple(dict.fromkeys(each for each in seconds if each is not None))


class MaintenanceRequest(RequestSchema):
    title = JsonString(
        minimum=1,
        maximum=TITLE_LENGTH,
        required=True,
        message=f"Invalid title: must be text of 1 to {TITLE_LENGTH} characters",
        metadata=described("Its title", "Updates"),
    )
    body = JsonString(
        message="Invalid body: must be text",
        metadata=described("What visitors read of it, Markdown", "The shop may be gone for some minutes."),
    )
    tags = TagList(
        required=True,
        message="Invalid tags: must be a list of monitor tags, not empty",
        metadata=described("Tags of its monitors", ["earth", "mars"]),
    )
    start = Instant(
        data_key="startDatetime",
        message="Invalid startDatetime: must be UTC seconds, an integer",
        metadata=described("When it begins, UTC seconds; now if missing", 1731901920),
    )
    end = Instant(
        data_key="endDatetime",
        required=True,
        message="Invalid endDatetime: must be UTC seconds, an integer",
        metadata=described("When it ends, UTC seconds", 4102444800),
    )
    announce = AnnounceList(
        message='Invalid announce: must be a list of up to 5 durations from 1m to 30d, such as ["24h", "1h"]',
        metadata=described("How long before its begin it is announced to channels", ["24h", "1h"]),
    )
    is_draft = JsonBoolean(
        data_key="isDraft",
        message="Invalid isDraft: must be true or false",
        metadata=described("Whether visitors do not see it, and it covers nothing", False),
    )


class MaintenanceChange(MaintenanceRequest):
    """Fields that are left out keep their value."""

    def __init__(self, **options: Any) -> None:
        super().__init__(partial=True, **options)


class MaintenanceQuery(PageQuery):
    series = JsonString(
        message="Invalid series: must be the name of a series",
        metadata=described("Only occurrences of this series", "weekly"),
    )
    is_over = JsonChoice(
        data_key="over",
        choices=BOOLEANS,
        message="Invalid over: must be true or false",
        metadata=described("Only those that are over, or only the others; default: both", "false"),
    )


class MaintenanceSchema(ManagedIncidentSchema):
    state = fields.String(
        metadata=described("planned, announced, in progress, ended or cancelled", "planned")
    )
    series = fields.String(allow_none=True, metadata=described("The series that it belongs to", "weekly"))
    occurrence = fields.String(
        allow_none=True,
        metadata=described("When it begins by its series, in local time", "2026-12-06T02:30:00"),
    )
    is_changed = fields.Boolean(
        data_key="isChanged", metadata=described("Whether it is not as its series says", False)
    )
    announce = fields.List(fields.Integer(), metadata=described("Seconds before its begin", [86400, 3600]))
    revision = fields.Integer(metadata=described("How often it was changed", 0))


SERIES_KEYS = {
    "name": ("Its name; that of the address", "weekly"),
    "title": ("The title of each maintenance", "Updates"),
    "text": ("What visitors read of it, Markdown", "The shop may be gone for some minutes."),
    "monitors": ("Tags, patterns, or category: and a name", ["earth"]),
    "members": ("Whether the members of groups are in it, too", True),
    "begin": ("A local date and time", "2026-12-06T02:30:00"),
    "timezone": ("The zone whose clocks it follows", "Europe/Berlin"),
    "length": ("How long each one takes", "2h"),
    "rrule": ("When it repeats", "FREQ=WEEKLY;BYDAY=SU"),
    "except": ("Dates on which it does not begin", ["2026-12-27"]),
    "announce": ("How long before each one it is announced", ["24h", "1h"]),
}
REQUIRED_KEYS = ("title", "monitors", "begin", "length")


class SeriesKey(fields.Field[Any]):
    """A key of [[maintenance]], which is validated by the schema of the configuration."""


_SeriesKeys: Any = RequestSchema.from_dict(
    {
        name: SeriesKey(required=name in REQUIRED_KEYS, metadata=described(text, example))
        for name, (text, example) in SERIES_KEYS.items()
    },
    name="SeriesKeys",
)


class SeriesRequest(_SeriesKeys):  # type: ignore[misc]
    """The keys of [[maintenance]], which are checked later, as those of the file are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"unknown": INCLUDE, **options})

    def load(self, data: Any, **_: Any) -> dict[str, Any]:
        """The body as it is."""
        return dict(data)


class OccurrenceSchema(Schema):
    incident_number = fields.Integer(
        data_key="incidentNumber",
        allow_none=True,
        metadata=described("Its number; null: it is too far away to be stored", 7),
    )
    occurrence = fields.String(metadata=described("Its begin in local time", "2026-12-06T02:30:00"))
    start = fields.Integer(data_key="startDatetime", metadata=described("UTC seconds", 1796520600))
    end = fields.Integer(
        data_key="endDatetime", allow_none=True, metadata=described("UTC seconds", 1796527800)
    )
    state = fields.String(metadata=described("As that of a maintenance", "planned"))
    is_changed = fields.Boolean(data_key="isChanged", metadata=described("Whether it was changed", False))
    clock_change = fields.String(
        data_key="clockChange",
        metadata=described(
            "skipped: this local time does not exist; repeated: twice, the first is meant", ""
        ),
    )
    shift = fields.Integer(metadata=described("Seconds by which clocks are set during it", 0))


class SeriesSchema(Schema):
    name = fields.String(metadata=described("Its name", "weekly"))
    owner = fields.String(metadata=described("file or database", "database"))
    is_shadowed = fields.Boolean(
        data_key="isShadowed", metadata=described("Whether the file has one of this name, which wins", False)
    )
    fault = fields.String(metadata=described("Why it has no effect; empty: it has", ""))
    revision = fields.Integer(allow_none=True, metadata=described("Of the stored one", 3))
    changed_at = fields.Integer(data_key="changedAt", allow_none=True)
    changed_by = fields.String(data_key="changedBy", allow_none=True)
    tags = fields.List(fields.String(), metadata=described("The monitors that it means", ["earth"]))
    keys = fields.Dict(metadata=described("Its keys", {"title": "Updates"}))
    following = fields.List(
        fields.Nested(OccurrenceSchema()), data_key="next", metadata={"description": "The next ten"}
    )
