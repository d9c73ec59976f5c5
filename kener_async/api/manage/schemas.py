"""The schemas of /api/manage."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

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
from kener_async.api.schemas import RequestSchema, described
from kener_async.domain.access import SCOPES
from kener_async.domain.back_test_results import DEFAULT_DAYS, MAX_DAYS
from kener_async.domain.durations import LONGEST, UNITS, parse_duration
from kener_async.domain.notices import DeliveryState

LONGEST_SNOOZE = UNITS["y"]
BOOLEANS = {"true": True, "false": False}
STATES = {state.name.lower(): state for state in DeliveryState}


class JsonDuration(SingleMessageField, fields.String):
    """A duration such as "90s", "1h30m" or "2d", in seconds."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:  # type: ignore[override]
        seconds = parse_duration(value) if isinstance(value, str) else None
        if seconds is None or not 0 < seconds <= LONGEST_SNOOZE:
            raise self.refuse()
        return seconds


class PageQuery(RequestSchema):
    """A page of a list that is ordered by id, newest first."""

    before = QueryInteger(
        minimum=1,
        maximum=2**63 - 1,
        message="Invalid before: must be an id",
        metadata=described("Only those with a lower id: the last id of the page before", 120),
    )
    limit = QueryInteger(
        minimum=1,
        maximum=200,
        load_default=50,
        message="Invalid limit: must be an integer from 1 to 200",
        metadata=described("How many at most", 50),
    )


class AlertQuery(PageQuery):
    is_open = JsonChoice(
        data_key="open",
        choices=BOOLEANS,
        message="Invalid open: must be true or false",
        metadata=described("Only open ones, or only closed ones; default: both", "true"),
    )
    monitor = JsonString(
        message="Invalid monitor: must be the tag of a monitor",
        metadata=described("Only those of the monitor of this tag", "earth"),
    )


class AlertSchema(Schema):
    id = fields.Integer(metadata=described("Of this alert; higher is newer", 17))
    monitor = fields.String(metadata=described("Tag of the monitor", "earth"))
    rule = fields.String(metadata=described("Name of the rule, in [[alerts]]", "outage"))
    severity = fields.String(metadata=described("info, warning or critical", "critical"))
    state = fields.String(
        metadata=described("open, quiet, acknowledged, snoozed, or how it closed: as closing", "open")
    )
    since = fields.Integer(metadata=described("Where the bad streak began, UTC seconds", 1731251760))
    opened_at = fields.Integer(
        data_key="openedAt", metadata=described("When it was noticed, UTC seconds", 1731251765)
    )
    told_at = fields.Integer(
        data_key="toldAt",
        allow_none=True,
        metadata=described("When channels were told; null: it opened quietly", 1731251765),
    )
    reminders = fields.Integer(metadata=described("How often it was told again", 0))
    reminded_at = fields.Integer(data_key="remindedAt", allow_none=True)
    because = fields.String(
        allow_none=True, metadata=described("Tag of the monitor it depends on that was bad", "mars")
    )
    is_flapping = fields.Boolean(
        data_key="isFlapping", metadata=described("Whether it opened while opening again and again", False)
    )
    settled_at = fields.Integer(
        data_key="settledAt", allow_none=True, metadata=described("When that had ended", None)
    )
    acknowledged_at = fields.Integer(data_key="acknowledgedAt", allow_none=True)
    acknowledged_by = fields.String(
        data_key="acknowledgedBy",
        allow_none=True,
        metadata=described("The person or token that acknowledged or snoozed it", "Ada"),
    )
    acknowledged_from = fields.String(
        data_key="acknowledgedFrom", allow_none=True, metadata=described("From where", "203.0.113.7")
    )
    snoozed_until = fields.Integer(
        data_key="snoozedUntil", allow_none=True, metadata=described("No reminders before, UTC seconds", None)
    )
    incident = fields.Integer(
        data_key="incidentNumber",
        allow_none=True,
        metadata=described("The incident that was opened with it", None),
    )
    until = fields.Integer(
        allow_none=True, metadata=described("Where the good streak began, UTC seconds", 1731252360)
    )
    closed_at = fields.Integer(data_key="closedAt", allow_none=True)
    closing = fields.String(
        allow_none=True,
        metadata=described("resolved, retracted (it never was) or removed (rule or monitor)", "resolved"),
    )


class SnoozeSchema(RequestSchema):
    duration = JsonDuration(
        data_key="for",
        message="Invalid for: must be a duration such as 30m or 8h, at most 1y",
        metadata=described("How long, such as 30m or 8h; this or until", "1h"),
    )
    until = Instant(
        message="Invalid until: must be UTC seconds, an integer",
        metadata=described("Until when, UTC seconds; this or for", 1731255360),
    )

    @validates_schema
    def require_one(self, data: dict[str, Any], **_: Any) -> None:
        if len(data) != 1:
            raise ValidationError("Invalid for: must be there, or until, but not both")


class BackTestRequest(RequestSchema):
    spelled = "monitors"

    days = JsonInteger(
        minimum=1,
        maximum=MAX_DAYS,
        message=f"Invalid days: must be an integer from 1 to {MAX_DAYS}",
        metadata=described(f"How many days, up to now; default: {DEFAULT_DAYS}", 30),
    )
    monitors = TagList(
        message="Invalid monitors: must be a list of tags",
        metadata=described("Only these of the monitors that the rule holds for; default: all", ["earth"]),
    )


class BackTestMessage(Schema):
    at = fields.Integer(metadata=described("When, UTC seconds", 1731251765))
    kind = fields.String(metadata=described("What would be told", "opened"))


class ReplayedAlertSchema(Schema):
    monitor = fields.String(metadata=described("Tag of the monitor", "earth"))
    since = fields.Integer(metadata=described("Where the bad streak began, UTC seconds", 1731251760))
    opened_at = fields.Integer(data_key="openedAt", metadata=described("When it would open", 1731251820))
    until = fields.Integer(allow_none=True, metadata=described("Where the good streak began", 1731252360))
    seconds = fields.Integer(metadata=described("From since to until, or to now", 600))
    closed_at = fields.Integer(data_key="closedAt", allow_none=True)
    closing = fields.String(allow_none=True, metadata=described("resolved or retracted", "resolved"))
    told_at = fields.Integer(
        data_key="toldAt", allow_none=True, metadata=described("When channels would be told", 1731251820)
    )
    quiet = fields.String(
        allow_none=True, metadata=described("Why nobody would be told of it: parent or flapping", None)
    )
    because = fields.String(
        allow_none=True, metadata=described("Tag of the monitor it depends on that was bad", None)
    )
    is_flapping = fields.Boolean(data_key="isFlapping", metadata=described("Whether the pair flaps", False))
    messages = fields.List(fields.Nested(BackTestMessage()))
    alert_id = fields.Integer(
        data_key="alertId", allow_none=True, metadata=described("The stored alert of the same time", 17)
    )


class BackTestSchema(Schema):
    rule = fields.String(metadata=described("Name of the rule", "outage"))
    start = fields.Integer(data_key="from", metadata=described("Begin of the days, UTC seconds", 1728659765))
    end = fields.Integer(data_key="to", metadata=described("Their end: now", 1731251765))
    monitors = fields.Integer(metadata=described("How many monitors were looked at", 3))
    untested = fields.List(
        fields.String(), metadata=described("Tags of those for which it would have taken too long", [])
    )
    messages = fields.Integer(metadata=described("How many messages, before any are gathered", 2))
    would_count = fields.Integer(data_key="wouldCount", metadata=described("Alerts it would have had", 1))
    did_count = fields.Integer(data_key="didCount", metadata=described("Alerts that it had", 1))
    only_would = fields.Integer(
        data_key="onlyWould", metadata=described("Those it would have had and did not have", 0)
    )
    only_did = fields.Integer(
        data_key="onlyDid", metadata=described("Those that it had and would not have", 0)
    )
    would = fields.List(
        fields.Nested(ReplayedAlertSchema()),
        metadata={"description": "Them, the newest 1,000, newest first"},
    )
    did = fields.List(
        fields.Nested(AlertSchema()), metadata={"description": "The newest 1,000 stored, newest first"}
    )


class DeliveryQuery(PageQuery):
    state = JsonChoice(
        choices=STATES,
        message=f"Invalid state: must be one of {', '.join(STATES)}",
        metadata=described("Only those in this state", "failed"),
    )
    channel = JsonString(
        message="Invalid channel: must be the name of a channel",
        metadata=described("Only those of this channel", "ops"),
    )


class DeliverySchema(Schema):
    id = fields.Integer(metadata=described("Of this delivery; higher is newer", 40))
    channel = fields.String(metadata=described("Name of the channel, in [[channels]]", "ops"))
    state = fields.String(metadata=described(", ".join(STATES), "sent"))
    kind = fields.String(metadata=described("What is told", "opened"))
    at = fields.Integer(metadata=described("When that happened, UTC seconds", 1731251765))
    alert = fields.Integer(allow_none=True, metadata=described("Id of the alert", 17))
    incident = fields.Integer(data_key="incidentNumber", allow_none=True)
    monitor = fields.String(allow_none=True, metadata=described("Tag of the monitor", "earth"))
    attempts = fields.Integer(metadata=described("How often it was tried", 1))
    due_at = fields.Float(
        data_key="dueAt", metadata=described("When it is tried next, UTC seconds", 1731251775.0)
    )
    done_at = fields.Integer(data_key="doneAt", allow_none=True)
    merged_into = fields.Integer(
        data_key="mergedInto", allow_none=True, metadata=described("The delivery that told it, too", None)
    )
    facts = fields.Dict(metadata=described("What is told; with channel:write only", {"monitor": "earth"}))
    answer = fields.String(metadata=described("The receiver's answer; with channel:write only", "200 ok"))


class ChannelSchema(Schema):
    name = fields.String(metadata=described("Its name, in [[channels]]", "ops"))
    kind = fields.String(metadata=described("Its kind", "slack"))
    tell = fields.List(fields.String(), metadata=described("The events that it is told of", ["opened"]))
    rules = fields.List(fields.String(), metadata=described("The rules that name it", ["outage"]))
    failures = fields.Integer(metadata=described("Deliveries in a row that failed for good", 0))
    paused_at = fields.Integer(
        data_key="pausedAt", allow_none=True, metadata=described("Since when it gets nothing", None)
    )
    last_sent_at = fields.Integer(data_key="lastSentAt", allow_none=True)
    last_fault = fields.String(
        data_key="lastFault",
        allow_none=True,
        metadata=described("Why the last one failed; with channel:write only", None),
    )


class ChannelTrialSchema(Schema):
    delivered = fields.Boolean(metadata=described("Whether the receiver took it", True))
    requests = fields.List(
        fields.String(),
        metadata=described("What was sent, without secrets", ["POST https://hooks.example.org/***\n\n{}"]),
    )
    answer = fields.String(metadata=described("What the receiver answered, or what failed", "200 ok"))


class Lifetime(SingleMessageField, fields.String):
    """A duration such as "90d" in seconds, or "never": None."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int | None:  # type: ignore[override]
        if value == "never":
            return None
        seconds = parse_duration(value) if isinstance(value, str) else None
        if seconds is None or not 0 < seconds <= LONGEST:
            raise self.refuse()
        return seconds


class ScopeList(SingleMessageField, fields.List[Any]):
    """A list of scopes, without duplicates when loaded."""

    def __init__(self, *, message: str, **options: Any) -> None:
        super().__init__(message=message, cls_or_instance=fields.String(), **options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:  # type: ignore[override]
        if not isinstance(value, list) or not all(scope in SCOPES for scope in value):
            raise self.refuse()
        return tuple(dict.fromkeys(value))


class TokenRequest(RequestSchema):
    spelled = "tags"

    name = JsonString(
        required=True,
        minimum=1,
        maximum=200,
        message="Invalid name: must be a text of 1 to 200 characters",
        metadata=described("The device or person it is for", "site-7"),
    )
    scopes = ScopeList(
        message=f"Invalid scopes: must be a list of {', '.join(SCOPES)}",
        metadata=described("What it may do; default: status and incident", ["status:write"]),
    )
    tags = TagList(
        message="Invalid tags: must be a list of tags or patterns",
        metadata=described("Tags of monitors, or patterns such as site-7-*; default: all", ["earth"]),
    )
    lifetime = Lifetime(
        data_key="expires",
        message="Invalid expires: must be a duration such as 90d, 12h or 1y, or never",
        metadata=described("After how long; default: 365d, and never for a push key", "90d"),
    )
    is_push_key = JsonBoolean(
        data_key="pushKey",
        message="Invalid pushKey: must be true or false",
        metadata=described("Whether it is a key for /beat/KEY, which reports the one monitor of tags", False),
    )


class TokenSchema(Schema):
    id = fields.String(metadata=described("Of this token", "2f9c1a7be0d34c55"))
    name = fields.String(metadata=described("The device or person it is for", "site-7"))
    state = fields.String(metadata=described("valid, expired or revoked", "valid"))
    scopes = fields.List(fields.String(), metadata=described("What it may do", ["status:write"]))
    tags = fields.List(
        fields.String(), allow_none=True, metadata=described("Of its monitors; null: all", ["earth"])
    )
    is_push_key = fields.Boolean(data_key="pushKey", metadata=described("Whether it is a push key", False))
    created_at = fields.Integer(data_key="createdAt", metadata=described("UTC seconds", 1731251760))
    last_used = fields.Integer(data_key="lastUsedAt", allow_none=True)
    expires_at = fields.Integer(
        data_key="expiresAt", allow_none=True, metadata=described("UTC seconds; null: never", None)
    )
    revoked_at = fields.Integer(data_key="revokedAt", allow_none=True)


class NewTokenSchema(TokenSchema):
    token = fields.String(metadata=described("What its holder keeps; it is not stored", "eyJhbGciOi..."))
