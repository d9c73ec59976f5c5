"""Templates: texts to begin an incident or an update with. They are text, never code."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from kener_async.domain.durations import format_duration
from kener_async.domain.incident_updates import IncidentState
from kener_async.domain.samples import Status

PLACEHOLDERS = ("monitor", "status", "monitors", "since", "for")
NAMED = 25  # monitors that a text names; the others are counted

_PLACEHOLDER = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A template. `state`, `impact` and `monitors` are suggested where they are not None or empty.

    `monitors` are tags in the order of the configuration.
    """

    name: str
    title: str
    text: str = ""
    state: IncidentState | None = None
    impact: Status | None = None
    monitors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the placeholders stand for.

    `names` are those of the monitors, `status` the words for how they are; `since` and `now` are UTC seconds,
    written in `zone`.
    """

    names: Sequence[str]
    status: str
    since: int
    now: int
    zone: ZoneInfo


def filled(text: str, circumstances: Circumstances) -> str:
    """The text with {monitor}, {status}, {monitors}, {since} and {for} replaced.

    Everything else, also other braces, and braces in what is put in, stays as it is.
    """
    values = _values(circumstances)
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence; beyond NAMED they are counted."""
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} others"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def _values(circumstances: Circumstances) -> Mapping[str, str]:
    since = datetime.fromtimestamp(circumstances.since, circumstances.zone)
    return {
        "monitor": next(iter(circumstances.names), ""),
        "status": circumstances.status,
        "monitors": listed(circumstances.names),
        "since": since.strftime("%Y-%m-%d %H:%M %Z"),
        "for": format_duration(max(circumstances.now - circumstances.since, 0)),
    }
