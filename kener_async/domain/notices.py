"""Notices: what is to be told, as facts that are stored when they happen, before any channel renders them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from kener_async.domain.access import Grant
from kener_async.domain.alerts import Severity
from kener_async.domain.samples import Status


class NoticeKind(IntEnum):
    """What happened; the numbers are stored."""

    OPENED = 0
    REMINDED = 1
    RESOLVED = 2
    RETRACTED = 3  # it was up all along, its reports came late
    REMOVED = 4  # told to channels that keep state only
    FLAPPING = 5
    SETTLED = 6  # one side was kept after flapping
    ACKNOWLEDGED = 7
    CHANNEL_PAUSED = 8  # another channel failed for good
    TEST = 9
    MAINTENANCE_ANNOUNCED = 10


# What a channel can be told of, by the names in its `tell`; the other kinds it always is.
EVENTS: Mapping[str, frozenset[NoticeKind]] = MappingProxyType(
    {
        "opened": frozenset({NoticeKind.OPENED}),
        "reminded": frozenset({NoticeKind.REMINDED}),
        "resolved": frozenset({NoticeKind.RESOLVED, NoticeKind.RETRACTED}),
        "flapping": frozenset({NoticeKind.FLAPPING, NoticeKind.SETTLED}),
        "acknowledged": frozenset({NoticeKind.ACKNOWLEDGED}),
        "maintenance": frozenset({NoticeKind.MAINTENANCE_ANNOUNCED}),
    }
)
_EVENT_OF = {kind: event for event, kinds in EVENTS.items() for kind in kinds}


def event_of(kind: NoticeKind) -> str | None:
    """The name of the event that a notice tells of; None: it is no event, such as a test."""
    return _EVENT_OF.get(kind)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a notice, as they were when it was written. Instants are UTC seconds.

    `since` is where the bad streak began, `until` where it ended. `bad_now` of `monitors` were bad then.
    `changes` counts the openings and closings while flapping. `because` is the tag of a parent that is bad.
    `channel` is the one that was paused. `certificate_ends` is when the certificate of the rule ends. Of a
    maintenance there are the `title`, its `tags`, and its begin and end as `since` and `until`. Empty texts
    and None: not known, or of no meaning for the kind.
    """

    monitor: str = ""
    rule: str = ""
    severity: Severity = Severity.CRITICAL
    before: Status | None = None
    status: Status | None = None
    since: int | None = None
    until: int | None = None
    reason: str = ""
    latency: float | None = None
    bad_now: int = 0
    monitors: int = 0
    changes: int = 0
    because: str = ""
    acknowledged_by: str = ""
    incident: int | None = None
    channel: str = ""
    certificate_ends: int | None = None
    title: str = ""
    tags: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """As stored: a JSON object without what is left at its default."""
        named = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return {
            name: value.name if isinstance(value, IntEnum) else value
            for name, value, default in named
            if value != default
        }

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Facts":
        """From the stored object; raises KeyError and TypeError for another one."""
        named = dict(body)
        for name in ("before", "status"):
            if name in named:
                named[name] = Status[named[name]]
        if "severity" in named:
            named["severity"] = Severity[named["severity"]]
        named["tags"] = tuple(named.get("tags", ()))
        return cls(**named)


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice as stored; `alert` and `incident` are what it is about, if anything."""

    id: int
    kind: NoticeKind
    at: int
    alert: int | None
    incident: int | None
    facts: Facts


@dataclass(frozen=True, slots=True)
class Recipients:
    """The channels that hear of a notice, and from when on: UTC seconds."""

    channels: tuple[str, ...]
    due_at: int


class DeliveryState(IntEnum):
    """The state of a delivery; the numbers are stored."""

    DUE = 0
    SENDING = 1
    SENT = 2
    FAILED = 3  # for good
    MERGED = 4  # told with another one
    DROPPED = 5  # overtaken, or about what was never told


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice on its way to one channel. `due_at` is in UTC seconds with a fraction."""

    id: int
    notice: Notice
    channel: str
    state: DeliveryState
    attempts: int
    due_at: float
    merged_into: int | None = None
    answer: str = ""
    reference: str = ""
    done_at: int | None = None


def is_visible(delivery: Delivery, grant: Grant) -> bool:
    """Whether a delivery is about a monitor of the grant; what is about none is there for a grant of all."""
    tag = delivery.notice.facts.monitor
    return grant.tags is None or (bool(tag) and grant.allows_tag(tag))


@dataclass(frozen=True, slots=True)
class ChannelState:
    """The state of a channel: `failures` deliveries in a row failed for good; None: not paused, not used."""

    channel: str
    failures: int = 0
    paused_at: int | None = None
    last_sent: int | None = None
    last_fault: str = ""
