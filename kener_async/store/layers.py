"""The layers of a monitor: samples, incidents, settings and gaps, from which its timeline is computed."""

import json
from typing import Any

from kener_async.clock import Cron
from kener_async.domain.calendar import MINUTE
from kener_async.domain.heartbeats import (
    AtSchedule,
    EveryInterval,
    Expectation,
    Gap,
    GapKind,
    MonitorSettings,
    OnChange,
    Version,
    early_seconds,
    merged,
)
from kener_async.domain.incidents import Overlay
from kener_async.domain.samples import Status
from kener_async.domain.timeline import Layers
from kener_async.store import samples
from kener_async.store.interface import Session

DEFAULT_CLOCK_SKEW = 60  # of settings stored by versions that did not note `early`


def load(session: Session, monitor: int, start: int, end: int) -> Layers:
    """Load the layers that the statuses of the minutes of `[start, end)` depend on."""
    earlier = samples.newest_before(session, monitor, start)
    return Layers(
        samples=samples.span(session, monitor, start, end),
        earlier=earlier,
        # Also the maintenance since the newest sample before: it may have put its deadline off.
        overlays=overlays(session, monitor, start if earlier is None else earlier.minute, end),
        versions=versions(session, monitor),
        gaps=gaps(session, start if earlier is None else earlier.minute),
        starts=starts(session, monitor, start if earlier is None else earlier.minute, end),
    )


def overlays(session: Session, monitor: int, start: int, end: int) -> list[Overlay]:
    """The incidents of a monitor that may decide its minutes and overlap `[start, end)`."""
    rows = session.execute(
        """
        SELECT incidents.number, start,
               max(start, min(coalesce("end", closed_at), coalesce(closed_at, "end"))) AS until,
               impact, is_maintenance
          FROM incident_monitors
          JOIN incidents ON incidents.number = incident_monitors.number
         WHERE monitor_id = ? AND covers = 1 AND is_draft = 0
           AND start < ? AND (until IS NULL OR until > ?)
         ORDER BY incidents.number
        """,
        (monitor, end, start),
    )
    return [
        Overlay(number, begin, until, None if impact is None else Status(impact), bool(maintenance))
        for number, begin, until, impact, maintenance in rows
    ]


def starts(session: Session, monitor: int, start: int, end: int) -> list[int]:
    """When the job of a monitor said that it began, within `[start, end)`, oldest first."""
    rows = session.execute(
        """
        SELECT started_at FROM starts
         WHERE monitor_id = ? AND started_at >= ? AND started_at < ? ORDER BY started_at
        """,
        (monitor, start, end),
    )
    return [instant for (instant,) in rows]


def gaps(session: Session, since: int) -> tuple[Gap, ...]:
    """The gaps of the observer that end after an instant or in the minute before it."""
    rows = session.execute('SELECT start, "end", kind FROM gaps WHERE "end" > ?', (since - MINUTE,))
    return merged(Gap(start, end, GapKind(kind)) for start, end, kind in rows)


def versions(session: Session, monitor: int) -> list[Version]:
    """The settings history of a monitor, oldest first."""
    rows = session.execute("SELECT since, body FROM settings WHERE monitor_id = ? ORDER BY since", (monitor,))
    return [Version(since, settings_from(body)) for since, body in rows]


def settings_text(settings: MonitorSettings) -> str:
    """The canonical JSON of the settings, as stored."""
    body = {
        "default_status": None if settings.default_status is None else settings.default_status.name,
        "include_degraded_in_downtime": settings.include_degraded_in_downtime,
        "stale_after": settings.stale_after,
        "expectation": _expectation_body(settings.expectation),
    }
    return json.dumps(body, sort_keys=True)


def _expectation_body(expectation: Expectation | None) -> dict[str, Any] | None:
    match expectation:
        case EveryInterval(interval, grace, down_after):
            return {"interval": interval, "grace": grace, "down_after": down_after}
        case AtSchedule(Cron(expression, zone), grace, down_after, early):
            times = {"cron": expression, "timezone": zone, "early": early}
            return times | {"grace": grace, "down_after": down_after}
        case OnChange(stale_after):
            return {"stale_after": stale_after}
    return None


def settings_from(body: str) -> MonitorSettings:
    """The settings of a stored JSON text; raises KeyError and TypeError for any other."""
    fields = json.loads(body)
    default = fields["default_status"]
    return MonitorSettings(
        default_status=None if default is None else Status[default],
        include_degraded_in_downtime=fields["include_degraded_in_downtime"],
        stale_after=fields["stale_after"],
        expectation=_expectation_from(fields["expectation"]),
    )


def _expectation_from(body: dict[str, Any] | None) -> Expectation | None:
    match body:
        case None:
            return None
        case {"interval": interval, "grace": grace, "down_after": down_after}:
            return EveryInterval(interval, grace, down_after)
        case {"cron": expression, "timezone": zone, "grace": grace, "down_after": down_after}:
            early = body.get("early", early_seconds(grace, DEFAULT_CLOCK_SKEW))
            return AtSchedule(Cron(expression, zone), grace, down_after, early)
        case {"stale_after": stale_after}:
            return OnChange(stale_after)
    return None
