"""What happens in a scene: the past that all share, and what is going on now."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kener_async.domain.calendar import DAY, HOUR, MINUTE, minute_of, utc_day_of
from kener_async.domain.samples import Status

HISTORY = Path(__file__).parent / "history"
FOR_GOOD = 90 * DAY


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong with a device in `[start, end)`; `status` None: it is not heard."""

    tag: str
    start: int
    end: int
    status: Status | None
    slower: float = 1

    def covers(self, minute: int) -> bool:
        return self.start <= minute < self.end


@dataclass(frozen=True, slots=True)
class ReportedIncident:
    """An incident as its author gave it at `created`, and what was said and done about it later."""

    fields: Mapping[str, Any]
    created: int
    comments: Sequence[tuple[int, str]]
    resolved: int | None


@dataclass(frozen=True, slots=True)
class Scene:
    """`flaky` devices are at times late or slow for no reason."""

    has_devices: bool
    flaky: Sequence[str]
    troubles: Sequence[Trouble]
    reports: Sequence[ReportedIncident]


def scene(name: str, now: int) -> Scene:
    """One of SCENES, as of now."""
    own = _read(name)
    has_devices = own.get("has_devices", True)
    told = [_read("past"), own] if has_devices else [own]
    return Scene(
        has_devices=has_devices,
        flaky=own.get("flaky", ()),
        troubles=[_trouble(table, now) for each in told for table in each.get("troubles", ())],
        reports=[_report(table, now) for each in told for table in each.get("incidents", ())],
    )


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((HISTORY / f"{name}.toml").read_text(encoding="utf-8"))


def _trouble(table: Mapping[str, Any], now: int) -> Trouble:
    start = _start(table, now)
    end = start + table["minutes"] * MINUTE if "minutes" in table else now + FOR_GOOD
    status = Status[table["status"]] if "status" in table else None
    return Trouble(table["tag"], start, end, status, table.get("slower", 1))


def _report(table: Mapping[str, Any], now: int) -> ReportedIncident:
    start = _start(table, now)
    fields = {key: table[key] for key in ("title", "body", "is_maintenance", "is_identified") if key in table}
    fields |= {"tags": tuple(table["tags"]), "start": start}
    if "minutes" in table:
        fields["end"] = start + table["minutes"] * MINUTE
    if "impact" in table:
        fields["impact"] = Status[table["impact"]]
    return ReportedIncident(
        fields=fields,
        created=min(start, now) - table.get("announced_days", 0) * DAY,
        comments=[(start + one["after"] * MINUTE, one["text"]) for one in table.get("comments", ())],
        resolved=start + table["resolved_after"] * MINUTE if "resolved_after" in table else None,
    )


def _start(table: Mapping[str, Any], now: int) -> int:
    """So many minutes ago, or at a clock time, UTC, so many days ago; negative days are to come."""
    if "minutes_ago" in table:
        return minute_of(now) - int(table["minutes_ago"]) * MINUTE
    hours, minutes = map(int, table["at"].split(":"))
    return utc_day_of(now) - int(table["days_ago"]) * DAY + hours * HOUR + minutes * MINUTE
