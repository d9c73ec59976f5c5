"""The schemas of the API: they validate requests and describe requests and responses in `/api/openapi.json`.

Error messages begin with Kener's phrase, if it has one, and name the field.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from kener_async.api.http.fields import (
    CommaSeparated,
    Instant,
    Items,
    JsonBoolean,
    JsonChoice,
    JsonInstant,
    JsonInteger,
    JsonNumber,
    JsonString,
    QueryInstant,
    QueryInteger,
    QueryNumber,
    TagList,
)
from kener_async.domain.batches import Verdict
from kener_async.domain.samples import MAX_LATENCY, MEASURABLE, Status
from kener_async.domain.spelling import is_nearly
from kener_async.domain.windows import WINDOWS

MEASURED = {status.name: status for status in MEASURABLE}
IMPACTS = {"DOWN": Status.DOWN, "DEGRADED": Status.DEGRADED}
WINDOW_NAMES = ("today", *WINDOWS)
TITLE_LENGTH = 500


class RequestSchema(Schema):
    """The base of request schemas: unknown fields are ignored, except misspellings of `spelled`.

    `spelled` is an optional field that is wanted where one is found that is nearly named so.
    """

    spelled: ClassVar[str] = ""

    class Meta:
        unknown = EXCLUDE

    def misspelled(self, data: Mapping[str, Any]) -> str | None:
        """The error in the name of a field, if there is one."""
        if not self.spelled or self.spelled in data:
            return None
        name = next((name for name in data if is_nearly(name, self.spelled)), None)
        return None if name is None else f"{name[:40]} is unknown, did you mean {self.spelled}?"

    def load(self, data: Any, **options: Any) -> Any:
        """Load, or raise ValidationError, for a misspelled name too."""
        misspelled = self.misspelled(data)
        if misspelled is None:
            return super().load(data, **options)
        try:
            super().load(data, **options)
        except ValidationError as error:
            raise ValidationError([misspelled, *error.messages_dict.values()]) from None
        raise ValidationError([misspelled])


def described(description: str, example: Any) -> dict[str, Any]:
    return {"description": description, "example": example}


class MonitorStatus(RequestSchema):
    spelled = "timestampInSeconds"

    status = JsonChoice(
        choices=MEASURED,
        required=True,
        message="status missing: must be UP, DOWN or DEGRADED",
        metadata=described("What was measured", "UP"),
    )
    latency = JsonNumber(
        minimum=0,
        maximum=MAX_LATENCY,
        required=True,
        message="latency missing or not a number: must be a number, at least 0",
        metadata=described("In seconds, or in the monitor's latency_unit", 0.123),
    )
    timestamp = Instant(
        data_key="timestampInSeconds",
        message="Invalid timestampInSeconds: must be UTC seconds, an integer",
        metadata=described("UTC timestamp in seconds; now if missing", 1731251760),
    )
    tag = JsonString(
        required=True,
        message="tag missing: must be the tag of a monitor",
        metadata=described("Tag of a monitor", "earth"),
    )


class BeatQuery(RequestSchema):
    status = JsonChoice(
        choices=MEASURED | {name.lower(): status for name, status in MEASURED.items()},
        load_default=Status.UP,
        message="status: must be UP, DOWN or DEGRADED",
    )
    latency = QueryNumber(
        minimum=0, maximum=MAX_LATENCY, load_default=0.0, message="latency: must be a number, at least 0"
    )


class Accepted(Schema):
    status = fields.Integer(metadata=described("Always 200", 200))
    message = fields.String(metadata=described("Contains the stored minute", "success at 1731251760"))


MAX_SAMPLES = 10_000
MAX_SEQUENCE = 2**53


def _named(field: str, description: str, example: str, **options: Any) -> JsonString:
    """A name chosen by a device, of itself or of a boot."""
    message = f"Invalid {field}: must be text of 1 to 128 characters"
    return JsonString(
        minimum=1, maximum=128, message=message, metadata=described(description, example), **options
    )


def _number(**options: Any) -> JsonInteger:
    """The sequence number of a sample."""
    return JsonInteger(
        minimum=0,
        maximum=MAX_SEQUENCE,
        message="Invalid seq: must be an integer from 0 on",
        metadata=described("The sequence number of this sample; a device counts from 1", 17),
        **options,
    )


def _monotonic(description: str, example: float) -> JsonNumber:
    message = "Invalid monotonic: must be a number of seconds"
    return JsonNumber(minimum=0, maximum=10**12, message=message, metadata=described(description, example))


class Numbered(RequestSchema):
    device = _named("device", "The device that measured, and numbered the samples", "gate-7", required=True)
    seq = _number(required=True)


class BatchSample(MonitorStatus):
    device = _named("device", "The device that measured, if not the device of the batch", "gate-7")
    seq = _number()
    monotonic = _monotonic("Seconds since the boot at the time of the measurement", 5060.1)
    boot = _named("boot", "The name of that boot, if not that of the batch", "8c1f2d4e")


class BatchHead(RequestSchema):
    device = _named("device", "The device that sends", "gate-7")
    sent_at = JsonInstant(
        data_key="sentAt",
        message="Invalid sentAt: must be UTC seconds",
        metadata=described("The time of its wall clock when it sends, in UTC seconds", 1731251790.5),
    )
    monotonic = _monotonic("Seconds since its boot", 5123.4)
    boot = _named("boot", "The name of that boot", "8c1f2d4e")


class BatchSchema(BatchHead):
    samples = Items(
        BatchSample(),
        required=True,
        message="samples missing: must be a list of samples",
        metadata={"description": "In any order", "maxItems": MAX_SAMPLES},
    )


class BatchResult(Schema):
    verdict = fields.String(
        metadata={
            "enum": [verdict.value for verdict in Verdict],
            **described("The outcome for the sample", "accepted"),
        }
    )
    minute = fields.Integer(metadata=described("The minute of the sample", 1731251760))
    error = fields.String(metadata=described("Why it was rejected or refused", "invalid tag"))


class BatchClock(Schema):
    offset = fields.Integer(
        allow_none=True,
        metadata=described("Seconds by which the sender's clock is behind; null without `sentAt`", 2),
    )
    corrected = fields.Boolean(metadata=described("Whether timestamps were corrected by this offset", False))


class BatchResponse(Schema):
    status = fields.Integer(metadata=described("Always 200", 200))
    accepted = fields.Integer(metadata=described("Samples that were new", 1))
    duplicate = fields.Integer(metadata=described("Samples that were stored already", 0))
    superseded = fields.Integer(metadata=described("Samples whose minute has another sample", 0))
    rejected = fields.Integer(metadata=described("Samples that are invalid, and never will be stored", 0))
    refused = fields.Integer(
        metadata=described("Samples to keep and send again later: their monitor is unknown or of others", 0)
    )
    clock = fields.Nested(BatchClock, metadata={"description": "The sender's clock compared to the server's"})
    results = fields.List(fields.Nested(BatchResult), metadata={"description": "In the order of the samples"})


class StatusResponse(Schema):
    status = fields.String(metadata={"enum": list(MEASURED), **described("Left out without data", "UP")})
    uptime = fields.String(
        metadata=described('Of the UTC day so far, in per cent; "-" when no minute counts', "99.9306")
    )
    last_updated_at = fields.Integer(
        data_key="lastUpdatedAt",
        metadata=described("The newest sample's minute; left out without one", 1731251760),
    )


class StatusQuery(RequestSchema):
    tag = JsonString(
        required=True,
        minimum=1,
        message="tag missing",
        metadata=described("Tag of a monitor", "earth"),
    )
    timestamp = QueryInstant(
        message="Invalid timestamp: must be UTC seconds",
        metadata=described("The status at that time instead of now", 1731251760),
    )


class IncidentSchema(RequestSchema):
    start = Instant(
        data_key="startDatetime",
        message="Invalid startDatetime: must be UTC seconds, an integer",
        metadata=described("UTC timestamp in seconds; now if missing", 1731901920),
    )
    end = Instant(
        data_key="endDatetime",
        message="Invalid endDatetime: must be UTC seconds, an integer",
        metadata=described("UTC timestamp in seconds, later than startDatetime", 1731905520),
    )
    title = JsonString(
        minimum=1,
        maximum=TITLE_LENGTH,
        required=True,
        message=f"Invalid title: must be text of 1 to {TITLE_LENGTH} characters",
        metadata=described("Title of the incident", "Outage in Mumbai"),
    )
    body = JsonString(
        message="Invalid body: must be text",
        metadata=described("What happened, in markdown", "We are looking into it."),
    )
    tags = TagList(
        required=True,
        message="Invalid tags: must be a list of monitor tags, not empty",
        metadata=described("Tags of the affected monitors", ["earth", "mars"]),
    )
    impact = JsonChoice(
        choices=IMPACTS,
        message="Invalid impact: must be DOWN or DEGRADED",
        metadata=described("The status of the affected monitors meanwhile", "DOWN"),
    )
    is_maintenance = JsonBoolean(
        data_key="isMaintenance",
        message="Invalid isMaintenance: must be true or false",
        metadata=described("Planned work, whose minutes do not count for the uptime", False),
    )
    is_identified = JsonBoolean(
        data_key="isIdentified",
        message="Invalid isIdentified: must be true or false",
        metadata=described("Whether the cause is known", True),
    )
    is_resolved = JsonBoolean(
        data_key="isResolved",
        message="Invalid isResolved: must be true or false",
        metadata=described("Whether it is over", False),
    )


class IncidentChange(IncidentSchema):
    """Fields that are left out keep their value; null clears those that may be unset."""

    end = Instant(
        data_key="endDatetime",
        allow_none=True,
        message="Invalid endDatetime: must be UTC seconds, an integer, or null",
        metadata=described("UTC timestamp in seconds; null removes the end", 1731905520),
    )
    body = JsonString(
        allow_none=True,
        message="Invalid body: must be text or null",
        metadata=described("What happened, in markdown; null clears it", "We are looking into it."),
    )
    impact = JsonChoice(
        choices=IMPACTS,
        allow_none=True,
        message="Invalid impact: must be DOWN, DEGRADED or null",
        metadata=described("The status of the affected monitors meanwhile; null: none", "DOWN"),
    )


class IncidentStatus(RequestSchema):
    is_identified = JsonBoolean(
        data_key="isIdentified",
        message="Invalid isIdentified: must be true or false",
        metadata=described("Whether the cause is known", True),
    )
    is_resolved = JsonBoolean(
        data_key="isResolved",
        message="Invalid isResolved: must be true or false",
        metadata=described("Whether it is over; true without an end ends it now", True),
    )
    end = Instant(
        data_key="endDatetime",
        message="Invalid endDatetime: must be UTC seconds, an integer",
        metadata=described("UTC timestamp in seconds", 1731905520),
    )


class IncidentResponse(IncidentSchema):
    created_at = fields.Integer(
        data_key="createdAt", metadata=described("UTC timestamp in seconds", 1731901920)
    )
    closed_at = fields.Integer(
        data_key="closedAt",
        allow_none=True,
        metadata=described("When it was resolved or its end passed; null while open", None),
    )
    number = fields.Integer(data_key="incidentNumber", metadata=described("Id of the incident", 4))


class IncidentSearch(RequestSchema):
    state = JsonChoice(
        choices={"open": False, "closed": True},
        load_default=False,
        message="state must be open or closed",
        metadata={"default": "open", **described("State of the incident", "open")},
    )
    tags = CommaSeparated(
        message="Invalid tags",
        metadata=described("Comma separated monitor tags; any of them", "earth,mars"),
    )
    page = QueryInteger(
        minimum=1,
        maximum=10**9,
        load_default=1,
        message="Invalid page: must be an integer, at least 1",
        metadata=described("Page number", 1),
    )
    per_page = QueryInteger(
        minimum=1,
        maximum=100,
        load_default=10,
        message="Invalid per_page: must be an integer from 1 to 100",
        metadata=described("How many per page", 10),
    )
    created_after = QueryInstant(
        data_key="created_after_utc",
        message="Invalid created_after_utc: must be UTC seconds",
        metadata=described("Created then or later", 1731866475),
    )
    created_before = QueryInstant(
        data_key="created_before_utc",
        message="Invalid created_before_utc: must be UTC seconds",
        metadata=described("Created then or earlier", 1731966475),
    )
    title = JsonString(
        data_key="title_like",
        message="Invalid title_like",
        metadata=described("Part of the title, in any case", "outage"),
    )


class CommentSchema(RequestSchema):
    body = JsonString(
        minimum=1,
        required=True,
        message="Invalid body: must be text, not empty",
        metadata=described("The comment, in markdown", "A fix is on its way."),
    )


class CommentResponse(Schema):
    id = fields.Integer(data_key="commentID", metadata=described("Id of the comment", 1873376745))
    body = fields.String(metadata=described("The comment, in markdown", "A fix is on its way."))
    created_at = fields.Integer(
        data_key="createdAt", metadata=described("UTC timestamp in seconds", 1704123938)
    )


class Error(Schema):
    error = fields.String(metadata=described("What is wrong, with the name of the field", "unknown tags"))


class MonitorUptime(Schema):
    """Uptime of one window, in the text form of `uptime`."""

    today = fields.String(metadata=described("The UTC day so far", "99.9306"))
    last_24h = fields.String(data_key="24h", metadata=described("The last 1,440 minutes", "99.9306"))
    last_7d = fields.String(data_key="7d", metadata=described("The last 7 x 1,440 minutes", "99.9306"))
    last_30d = fields.String(data_key="30d", metadata=described("The last 30 x 1,440 minutes", "99.9306"))
    last_90d = fields.String(data_key="90d", metadata=described("The last 90 x 1,440 minutes", "99.9306"))


class MonitorSchema(Schema):
    tag = fields.String(metadata=described("Tag of the monitor", "earth"))
    name = fields.String(metadata=described("Name of the monitor", "Earth"))
    description = fields.String(metadata=described("What it is", "Our home"))
    category = fields.String(metadata=described("Its category on the page", "Planets"))
    hidden = fields.Boolean(metadata=described("Whether it is missing from public pages", False))
    kind = fields.String(
        metadata={
            "enum": ["pushed", "checked", "group"],
            **described("Whether it is reported, looked at by the server, or made of others", "pushed"),
        }
    )
    members = fields.List(
        fields.String(),
        allow_none=True,
        metadata=described("The tags of the members of a group; null for other monitors", None),
    )
    status = fields.String(
        metadata={
            "enum": [status.name for status in Status],
            **described("The current status", "UP"),
        }
    )
    last_updated_at = fields.Integer(
        data_key="lastUpdatedAt",
        allow_none=True,
        metadata=described("The newest sample's minute; null without one", 1731251760),
    )
    last_heard = fields.Integer(
        data_key="lastHeardAt",
        allow_none=True,
        metadata=described("When a sample was last received, of any minute; null: never", 1731251790),
    )
    latency = fields.Float(
        allow_none=True, metadata=described("Of the newest sample, as sent; null without one", 0.123)
    )
    latency_unit = fields.String(
        data_key="latencyUnit", metadata={"enum": ["s", "ms"], **described("The unit of latency", "s")}
    )
    uptime = fields.Nested(MonitorUptime, metadata={"description": "By window"})


class KenerMonitorQuery(RequestSchema):
    tag = JsonString(
        minimum=1,
        message="Invalid tag: must not be empty",
        metadata=described("Only the monitor of this tag", "earth"),
    )


class KenerMonitorSchema(Schema):
    """A monitor as Kener 3 lists it."""

    id = fields.Integer(metadata=described("The number of the monitor in this database", 1))
    tag = fields.String(metadata=described("Tag of the monitor", "earth"))
    name = fields.String(metadata=described("Name of the monitor", "Earth"))
    description = fields.String(metadata=described("What it is", "Our home"))
    image = fields.String(metadata=described("Its picture, as configured; empty: none", ""))
    category_name = fields.String(
        metadata=described("Its category; Home, as in Kener, if it has none", "Planets")
    )
    status = fields.String(metadata={"enum": ["ACTIVE"], **described("Whether it is configured", "ACTIVE")})
    monitor_type = fields.String(
        metadata={"enum": ["NONE"], **described("NONE: nothing is checked, it is reported", "NONE")}
    )
    default_status = fields.String(
        metadata={"enum": ["NONE", *MEASURED], **described("The status without a report", "NONE")}
    )
    day_degraded_minimum_count = fields.Integer(
        metadata=described("Degraded minutes that make a day degraded", 1)
    )
    day_down_minimum_count = fields.Integer(metadata=described("Minutes down that make a day down", 1))
    include_degraded_in_downtime = fields.String(
        metadata={"enum": ["YES", "NO"], **described("Whether degraded minutes are downtime", "NO")}
    )


class WindowQuery(RequestSchema):
    window = JsonChoice(
        choices={name: name for name in WINDOW_NAMES},
        message=f"Invalid window: must be one of {', '.join(WINDOW_NAMES)}",
        metadata={"default": "24h", **described("Minutes up to and with the current one", "24h")},
    )
    start = QueryInstant(
        data_key="from",
        message="Invalid from: must be UTC seconds",
        metadata=described("Instead of a window: the first minute", 1731196800),
    )
    end = QueryInstant(
        data_key="to",
        message="Invalid to: must be UTC seconds",
        metadata=described("The end of the minutes; now if missing", 1731283200),
    )
    timezone = JsonString(
        minimum=1,
        maximum=64,
        message="Invalid timezone: must be a name of the tz database",
        metadata=described("The time zone of today; UTC if missing", "Europe/Berlin"),
    )


class Minutes(Schema):
    up = fields.Integer(metadata=described("Minutes UP", 1430))
    degraded = fields.Integer(metadata=described("Minutes DEGRADED", 5))
    degraded_as_downtime = fields.Integer(
        data_key="degradedAsDowntime",
        metadata=described("Of the degraded minutes, those counted as downtime by the settings then", 0),
    )
    down = fields.Integer(metadata=described("Minutes DOWN", 3))
    maintenance = fields.Integer(metadata=described("Minutes in MAINTENANCE", 0))
    no_data = fields.Integer(data_key="noData", metadata=described("Minutes without data", 2))


class Latency(Schema):
    count = fields.Integer(metadata=described("Samples", 1438))
    average = fields.Float(allow_none=True, metadata=described("Null without a sample", 0.123))
    minimum = fields.Float(data_key="min", allow_none=True, metadata=described("Smallest", 0.1))
    maximum = fields.Float(data_key="max", allow_none=True, metadata=described("Largest", 0.9))
    unit = fields.String(metadata={"enum": ["s", "ms"], **described("As configured", "s")})


class ExclusionSchema(Schema):
    status = fields.String(metadata={"enum": ["MAINTENANCE", "NO_DATA"], **described("Status", "NO_DATA")})
    reason = fields.String(metadata=described("Why these minutes do not count", "no sample"))
    incident = fields.Integer(
        data_key="incidentNumber", metadata=described("The maintenance, if that is the reason", 4)
    )
    gap = fields.String(
        metadata={
            "enum": ["not running", "offline"],
            **described("Where nothing was observed: why this server could not", "offline"),
        }
    )
    minutes = fields.Integer(metadata=described("How many", 2))
    start = fields.Integer(data_key="from", metadata=described("The first of them", 1731196800))
    end = fields.Integer(data_key="to", metadata=described("The end of the last of them", 1731196920))


class UptimeResponse(Schema):
    tag = fields.String(metadata=described("Tag of the monitor", "earth"))
    start = fields.Integer(data_key="from", metadata=described("The first minute", 1731196800))
    end = fields.Integer(data_key="to", metadata=described("The end of the minutes", 1731283200))
    uptime = fields.String(metadata=described('In per cent; "-" when no minute counts', "99.7914"))
    formula = fields.String(
        metadata=described("How the uptime follows from the minutes", "(1430 + 5 - 0) / (1430 + 5 + 3)")
    )
    minutes = fields.Nested(Minutes, metadata={"description": "Every minute of the window, by status"})
    excluded = fields.List(
        fields.Nested(ExclusionSchema), metadata={"description": "The minutes that do not count, and why"}
    )
    latency = fields.Nested(Latency, metadata={"description": "Of the samples in the window"})


class HistoryQuery(WindowQuery):
    resolution = JsonChoice(
        choices={"day": "day", "quarter": "quarter", "minute": "minute"},
        load_default="day",
        message="Invalid resolution: must be day, quarter or minute",
        metadata={"default": "day", **described("Length of an item", "day")},
    )
    timezone = JsonString(
        minimum=1,
        maximum=64,
        message="Invalid timezone: must be a name of the tz database",
        metadata=described(
            "The time zone of days and of today; if missing, days are in the site's zone, and today in UTC",
            "Europe/Berlin",
        ),
    )


class HistoryItem(Schema):
    start = fields.Integer(data_key="from", metadata=described("The start of the item", 1731196800))
    end = fields.Integer(data_key="to", metadata=described("The end of the item", 1731283200))
    date = fields.String(metadata=described("Days only: the civil date", "2024-11-10"))
    status = fields.String(metadata=described("Minutes only: the minute's status", "UP"))
    reason = fields.String(metadata=described("Minutes only: why it has that status", "sample"))
    uptime = fields.String(metadata=described("Days and quarters", "100"))
    minutes = fields.Nested(Minutes, metadata={"description": "Days and quarters"})
    latency = fields.Float(
        allow_none=True, metadata=described("Minutes: of the sample; else the average", 0.123)
    )


class HistoryResponse(Schema):
    tag = fields.String(metadata=described("Tag of the monitor", "earth"))
    resolution = fields.String(metadata=described("As asked for", "day"))
    timezone = fields.String(metadata=described("The time zone of the days", "Europe/Berlin"))
    items = fields.List(fields.Nested(HistoryItem), metadata={"description": "Oldest first"})


class DeviceSchema(Schema):
    id = fields.Integer(metadata=described("Of this device", 3))
    sender = fields.String(metadata=described("The name of its token", "site-7"))
    device = fields.String(metadata=described("Its own name", "gate-7"))
    tags = fields.List(fields.String(), metadata=described("The monitors it has reported", ["earth"]))
    last_heard = fields.Integer(
        data_key="lastHeardAt", metadata=described("When its last batch was received", 1731251790)
    )
    newest = fields.Integer(
        allow_none=True,
        data_key="newestMinute",
        metadata=described("The newest minute among its numbered samples", 1731251760),
    )
    offset = fields.Integer(
        allow_none=True,
        data_key="clockOffset",
        metadata=described("Seconds by which its clock is behind; null without `sentAt`", 2),
    )
    missing = fields.Integer(
        metadata=described("Sequence numbers between its first and its last that were not received", 0)
    )
    restarts = fields.Integer(metadata=described("How often its sequence numbers began at 1 again", 0))


class Health(Schema):
    status = fields.String(metadata=described("ok, or what is wrong", "ok"))
    checks = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata=described("The state of each part", {"writer": "ok", "scheduler": "ok", "disk": "ok"}),
    )
