"""The events of a scene: the history that all scenes share, and the current ones."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kener_async.domain.calendar import DAY, HOUR, MINUTE, minute_of, utc_day_of
from kener_async.domain.samples import Status
from kener_async.store.admin.history import IncidentHistory

HISTORY = Path(__file__).parent / "history"
OPEN_ENDED = 90 * DAY


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem of a device in `[start, end)`; `status` None: it sends nothing."""

    tag: str
    start: int
    end: int
    status: Status | None
    slower: float = 1

    def covers(self, minute: int) -> bool:
        return self.start <= minute < self.end


@dataclass(frozen=True, slots=True)
class Scene:
    """A scene of the demo; `flaky` devices are late or slow at random."""

    has_devices: bool
    flaky: Sequence[str]
    troubles: Sequence[Trouble]
    reports: Sequence[IncidentHistory]


def scene(name: str, now: int) -> Scene:
    """One of SCENES, as of now."""
    own = _read(name)
    has_devices = own.get("has_devices", True)
    histories = [_read("past"), own] if has_devices else [own]
    return Scene(
        has_devices=has_devices,
        flaky=own.get("flaky", ()),
        troubles=[_trouble(table, now) for each in histories for table in each.get("troubles", ())],
        reports=[_report(table, now) for each in histories for table in each.get("incidents", ())],
    )


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((HISTORY / f"{name}.toml").read_text(encoding="utf-8"))


def _trouble(table: Mapping[str, Any], now: int) -> Trouble:
    start = _start(table, now)
    end = start + table["minutes"] * MINUTE if "minutes" in table else now + OPEN_ENDED
    status = Status[table["status"]] if "status" in table else None
    return Trouble(table["tag"], start, end, status, table.get("slower", 1))


def _report(table: Mapping[str, Any], now: int) -> IncidentHistory:
    start = _start(table, now)
    fields = {key: table[key] for key in ("title", "body", "is_maintenance", "is_identified") if key in table}
    fields |= {"tags": tuple(table["tags"]), "start": start}
    if "minutes" in table:
        fields["end"] = start + table["minutes"] * MINUTE
    if "impact" in table:
        fields["impact"] = Status[table["impact"]]
    return IncidentHistory(
        fields=fields,
        created=min(start, now) - table.get("announced_days", 0) * DAY,
        comments=[(start + one["after"] * MINUTE, one["text"]) for one in table.get("comments", ())],
        resolved=start + table["resolved_after"] * MINUTE if "resolved_after" in table else None,
    )


def _start(table: Mapping[str, Any], now: int) -> int:
    """`minutes_ago`, or the time `at` in UTC `days_ago`, which is negative for future days."""
    if "minutes_ago" in table:
        return minute_of(now) - int(table["minutes_ago"]) * MINUTE
    hours, minutes = map(int, table["at"].split(":"))
    return utc_day_of(now) - int(table["days_ago"]) * DAY + hours * HOUR + minutes * MINUTE
