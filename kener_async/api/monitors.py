"""Monitors: the status of each, its uptime in any window with an explanation, its history."""

import asyncio
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from kener_async import keys
from kener_async.api import schemas
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.tags import configured_monitor
from kener_async.config.model import MonitorConfig
from kener_async.domain.calendar import (
    DAY,
    MINUTE,
    QUARTER,
    day_of,
    day_start,
    days_between,
    minute_end,
    minute_from,
    minute_of,
    quarter_of,
)
from kener_async.domain.errors import Invalid
from kener_async.domain.heartbeats import GapKind
from kener_async.domain.overview import Overview
from kener_async.domain.states import MonitorState
from kener_async.domain.uptime import Counts
from kener_async.domain.windows import WINDOWS
from kener_async.store import explanations, histories, observer

routes = Routes()

Span = tuple[int, int]

LONGEST = {"day": 800 * DAY, "quarter": 100 * DAY, "minute": 8 * DAY}
UTC = ZoneInfo("UTC")
GAPS = {GapKind.NOT_RUNNING: "not running", GapKind.OFFLINE: "offline"}
TAG = {"tag": "tag of the monitor"}


@routes.get("/api/monitors")
@endpoint(
    Spec(
        operation="listMonitors",
        summary="List monitors",
        group="Monitors",
        scope="status:read",
        reply=schemas.MonitorSchema(),
        many=True,
    )
)
async def list_monitors(call: Call) -> list[dict[str, Any]]:
    """The status of each monitor and its uptime by window, in the order of the configuration."""
    app = call.request.app
    config = app[keys.RUNNING].config
    monitors = [monitor for monitor in config.monitors if call.grant.allows_tag(monitor.tag)]
    states = await app[keys.LOADER].current(app[keys.STATES].of(monitor.tag for monitor in monitors))
    zone = config.site.timezone  # the page's, so that days are kept for one zone only
    overviews = await app[keys.OVERVIEWS].of(states, zone)
    now = app[keys.CLOCK]()
    last_heard = app[keys.STATES].last_heard
    return [
        _listed(monitor, state, overview, now) | {"lastHeardAt": last_heard(state, now)}
        for monitor, state, overview in zip(monitors, states, overviews, strict=True)
    ]


def kind_of(monitor: MonitorConfig) -> str:
    """Where the minutes of a monitor come from."""
    if monitor.settings.group is not None:
        return "group"
    return "pushed" if monitor.check is None else "checked"


def _listed(monitor: MonitorConfig, state: MonitorState, overview: Overview, now: int) -> dict[str, Any]:
    report = state.report(now)
    newest, group = report.current.newest, monitor.settings.group
    return {
        "tag": monitor.tag,
        "name": monitor.name,
        "description": monitor.description,
        "category": monitor.category,
        "hidden": monitor.hidden,
        "kind": kind_of(monitor),
        "members": None if group is None else group.members,
        "status": report.current.status.name,
        "lastUpdatedAt": None if newest is None else newest.minute,
        "latency": None if newest is None else newest.latency,
        "latencyUnit": monitor.latency_unit,
        "uptime": {
            "today": report.today.uptime,
            **{name: counts.uptime for name, counts in overview.windows.items()},
        },
    }


@routes.get("/api/monitor")
@endpoint(
    Spec(
        operation="listKenerMonitors",
        summary="List monitors as Kener 3 does",
        group="Monitors",
        scope="status:read",
        query=schemas.KenerMonitorQuery(),
        reply=schemas.KenerMonitorSchema(),
        many=True,
    )
)
async def list_kener_monitors(call: Call) -> list[dict[str, Any]]:
    """The visible monitors, or the one of `tag`, for clients of Kener 3; none if there is no such monitor."""
    app, tag = call.request.app, call.query.get("tag")
    monitors = [
        monitor
        for monitor in app[keys.RUNNING].config.monitors
        if not monitor.hidden and tag in (None, monitor.tag) and call.grant.allows_tag(monitor.tag)
    ]
    states = app[keys.STATES].of(monitor.tag for monitor in monitors)
    return [_as_in_kener(monitor, state.id) for monitor, state in zip(monitors, states, strict=True)]


def _as_in_kener(monitor: MonitorConfig, number: int) -> dict[str, Any]:
    settings = monitor.settings
    return {
        "id": number,
        "tag": monitor.tag,
        "name": monitor.name,
        "description": monitor.description,
        "image": monitor.image,
        "category_name": monitor.category or "Home",
        "status": "ACTIVE",
        "monitor_type": "NONE",
        "default_status": "NONE" if settings.default_status is None else settings.default_status.name,
        "day_degraded_minimum_count": monitor.day_degraded_minimum_count,
        "day_down_minimum_count": monitor.day_down_minimum_count,
        "include_degraded_in_downtime": "YES" if settings.include_degraded_in_downtime else "NO",
    }


@routes.get("/api/monitors/{tag}/uptime")
@endpoint(
    Spec(
        operation="getMonitorUptime",
        summary="Get the uptime of a monitor, explained",
        group="Monitors",
        scope="status:read",
        path=TAG,
        query=schemas.WindowQuery(),
        reply=schemas.UptimeResponse(),
    )
)
async def uptime(call: Call) -> dict[str, Any]:
    """The uptime of a window, and the minutes it was computed from."""
    app = call.request.app
    monitor, state = await configured_monitor(call)
    now = app[keys.CLOCK]()
    window = await _window(call, now)
    await app[keys.ROLLUPS].settle([state.id], *window)

    (explained,) = await app[keys.DATABASE].read(explanations.explain, state.id, [window], now)
    counts = explained.counts
    return {
        "tag": monitor.tag,
        "from": window[0],
        "to": window[1],
        "uptime": counts.uptime,
        "formula": _formula(counts),
        "minutes": _minutes(counts, window),
        "excluded": [_excluded(exclusion) for exclusion in explained.excluded],
        "latency": {
            "count": counts.latency_count,
            "average": counts.latency_average,
            "min": counts.latency_min,
            "max": counts.latency_max,
            "unit": monitor.latency_unit,
        },
    }


@routes.get("/api/monitors/{tag}/history")
@endpoint(
    Spec(
        operation="getMonitorHistory",
        summary="Get the history of a monitor",
        group="Monitors",
        scope="status:read",
        path=TAG,
        query=schemas.HistoryQuery(),
        reply=schemas.HistoryResponse(),
    )
)
async def history(call: Call) -> dict[str, Any]:
    """Days of any time zone, quarter-hours, or minutes with the reason for the status of each."""
    app = call.request.app
    monitor, state = await configured_monitor(call)
    resolution = call.query["resolution"]
    zone = _zone(call, app[keys.RUNNING].config.site.timezone)
    now = app[keys.CLOCK]()
    window = await _window(call, now)
    if window[1] - window[0] > LONGEST[resolution]:
        raise Invalid(f"Invalid from: at most {LONGEST[resolution] // DAY} days of this resolution at once")
    await app[keys.ROLLUPS].settle([state.id], *window)
    items: Iterator[dict[str, Any]]
    if resolution == "minute":
        items = map(_minute_item, await app[keys.DATABASE].read(histories.minutes, state.id, window, now))
    else:
        spans = list(_day_spans(window, zone) if resolution == "day" else _quarter_spans(window))
        counts = await app[keys.DATABASE].read(histories.sums, state.id, [span for span, _ in spans], now)
        items = map(_summed_item, spans, counts)
    return {
        "tag": monitor.tag,
        "resolution": resolution,
        "timezone": str(zone),
        # There may be ten thousand of them: rendered in a thread, they do not hold up heartbeats.
        "items": await asyncio.to_thread(list, items),
    }


async def _window(call: Call, now: int) -> Span:
    """The requested minutes, without those in the future or before the retention."""
    query = call.query
    end = minute_end(now)
    if "start" in query or "end" in query:
        if "window" in query:
            raise Invalid("Invalid window: not together with from and to")
        if "start" not in query:
            raise Invalid("Invalid from: missing")
        start = minute_of(query["start"])
        end = min(end, minute_from(query.get("end", end)))
    elif query.get("window") == "today":
        zone = _zone(call, UTC)
        start = day_start(day_of(now, zone), zone)
    else:
        start = end - WINDOWS[query.get("window", "24h")]
    kept = await call.request.app[keys.DATABASE].read(observer.kept_from)
    start = max(start, kept)
    if start >= end:
        raise Invalid("Invalid from: must be before to, not in the future, and within the retention")
    return start, end


def _zone(call: Call, default: ZoneInfo) -> ZoneInfo:
    name = call.query.get("timezone")
    if name is None:
        return default
    if name not in available_timezones():
        raise Invalid("Invalid timezone: must be a name of the tz database")
    return ZoneInfo(name)


def _day_spans(window: Span, zone: ZoneInfo) -> Iterator[tuple[Span, dict[str, Any]]]:
    for day, start, end in days_between(*window, zone):
        if start < end:
            yield (max(start, window[0]), min(end, window[1])), {"date": day.isoformat()}


def _quarter_spans(window: Span) -> Iterator[tuple[Span, dict[str, Any]]]:
    for quarter in range(quarter_of(window[0]), window[1], QUARTER):
        yield (max(quarter, window[0]), min(quarter + QUARTER, window[1])), {}


def _summed_item(span: tuple[Span, dict[str, Any]], counts: Counts) -> dict[str, Any]:
    (start, end), more = span
    return {
        "from": start,
        "to": end,
        **more,
        "uptime": counts.uptime,
        "minutes": _minutes(counts, (start, end)),
        "latency": counts.latency_average,
    }


def _minute_item(minute: histories.MinuteStatus) -> dict[str, Any]:
    return {
        "from": minute.start,
        "to": minute.start + MINUTE,
        "status": minute.status.name,
        "reason": minute.reason.value,
        "latency": minute.latency,
    }


def _formula(counts: Counts) -> str:
    if not counts.counted:
        return "no minute counts"
    good = f"{counts.up} UP + {counts.degraded} DEGRADED - {counts.degraded_as_downtime} counted as downtime"
    return f"({good}) / ({counts.up} UP + {counts.degraded} DEGRADED + {counts.down} DOWN)"


def _minutes(counts: Counts, window: Span) -> dict[str, int]:
    return {
        "up": counts.up,
        "degraded": counts.degraded,
        "degradedAsDowntime": counts.degraded_as_downtime,
        "down": counts.down,
        "maintenance": counts.maintenance,
        "noData": counts.no_data(*window),
    }


def _excluded(exclusion: explanations.Exclusion) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "status": exclusion.status.name,
        "reason": exclusion.reason.value,
        "minutes": exclusion.minutes,
        "from": exclusion.start,
        "to": exclusion.end,
    }
    if exclusion.incident is not None:
        fields["incidentNumber"] = exclusion.incident
    if exclusion.gap is not None:
        fields["gap"] = GAPS[exclusion.gap]
    return fields
