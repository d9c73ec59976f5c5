"""The layers of a monitor: samples, incidents, settings and gaps, from which its timeline is computed."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from kener_async.clock import Cron
from kener_async.domain.calendar import DAY, HOUR, MINUTE, quarter_of
from kener_async.domain.groups import GroupSettings
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
    settings_within,
)
from kener_async.domain.incidents import Overlay
from kener_async.domain.samples import Status
from kener_async.domain.timeline import Layers
from kener_async.store import followers, samples
from kener_async.store.interface import Session

DEFAULT_CLOCK_SKEW = 60  # of settings stored by versions that did not note `early`


def load(session: Session, monitor: int, start: int, end: int) -> Layers:
    """Load the layers that the statuses of the minutes of `[start, end)` depend on.

    Those of related monitors come in the same statements, however many there are.
    """
    return load_many(session, [monitor], start, end)[monitor]


def load_many(session: Session, monitors: Sequence[int], start: int, end: int) -> dict[int, Layers]:
    """The layers of several monitors, as `load` has them, in as many statements as those of one."""
    if not monitors:
        return {}
    families = _Families(session, monitors, start, end)
    ids = list(families.versions)
    earlier = samples.newest_before(session, ids, start)
    # Also the maintenance since the newest sample before: it may have put its deadline off.
    since = {one: earlier[one].minute if one in earlier else start for one in ids}
    measured = samples.spans(session, ids, start, end)
    covering, begun = overlays(session, since, end), starts(session, since, end)
    unobserved = _gaps(session, min(since.values()))
    paused = _GapsSince(merged(unobserved))
    offline = _GapsSince(merged(gap for gap in unobserved if gap.kind is GapKind.OFFLINE))
    plain = {
        one: Layers(
            samples=measured.get(one, {}),
            earlier=earlier.get(one),
            overlays=covering.get(one, ()),
            versions=families.versions[one],
            gaps=paused.of(since[one]),
            starts=begun.get(one, ()),
            monitor=one,
            offline=offline.of(since[one]),
        )
        for one in ids
    }
    return {monitor: families.related(plain, monitor, start, end) for monitor in monitors}


def load_pieces(
    session: Session, monitor: int, span: tuple[int, int], now: int
) -> Iterator[tuple[int, int, Layers]]:
    """Divide a span of minutes, and load the layers of each piece that has begun, oldest first.

    Of a monitor that follows from many others a piece is shorter, so that no more samples are held at once.
    """
    followed = followers.count_followed(session, monitor)
    length = max(HOUR, quarter_of(DAY // (1 + followed))) if followed else span[1] - span[0]
    for start in range(span[0], span[1], max(length, MINUTE)):
        end = min(start + length, span[1])
        yield start, end, load(session, monitor, start, min(end, now + 1))


DEEPEST = 32  # levels of related monitors; more, as in a damaged file, are not known


class _GapsSince:
    """Merged gaps, of which each monitor needs those that end after its newest sample.

    With the gaps of a monitor that is silent for a year, the minutes of all others would take as long as its.
    """

    def __init__(self, gaps: Sequence[Gap]) -> None:
        self._gaps = gaps
        self._ends = [gap.end for gap in gaps]
        self._found: dict[int, Sequence[Gap]] = {}  # by the place of the first, so that monitors share them

    def of(self, since: int) -> Sequence[Gap]:
        """The gaps that end after an instant or in the minute before it."""
        place = bisect_right(self._ends, since - MINUTE)
        if place not in self._found:
            self._found[place] = self._gaps[place:]
        return self._found[place]


class _Families:
    """Monitors and those that their minutes in a span follow from, with the versions of their settings."""

    def __init__(self, session: Session, monitors: Sequence[int], start: int, end: int) -> None:
        self.versions = _versions(session, monitors)
        self._ids: dict[str, int] = {}
        wanted = {tag for history in self.versions.values() for tag in _named(history, start, end)}
        while wanted:
            found = _versions_of(session, wanted)
            self._ids |= {tag: one for tag, (one, _) in found.items()}
            unknown = [(one, history) for one, history in found.values() if one not in self.versions]
            self.versions |= dict(unknown)
            wanted = {tag for _, history in unknown for tag in _named(history, start, end)}
            wanted -= self._ids.keys()

    def related(
        self, plain: Mapping[int, Layers], monitor: int, start: int, end: int, depth: int = 0
    ) -> Layers:
        """The layers of one with those it follows from, each for the minutes in which it is named.

        Therefore it ends, also where two monitors have been in one another, one after the other.
        """
        spans = _named(self.versions[monitor], start, end) if depth < DEEPEST else {}
        if not spans:
            return plain[monitor]
        related = {
            tag: self.related(plain, self._ids[tag], *span, depth + 1)
            for tag, span in spans.items()
            if tag in self._ids
        }
        return replace(plain[monitor], related=related)


def _named(history: Sequence[Version], start: int, end: int) -> dict[str, tuple[int, int]]:
    """The tags of the monitors that settings in force within `[start, end)` name, each with its minutes."""
    spans: dict[str, tuple[int, int]] = {}
    for first, last, settings in settings_within(history, start, end):
        for tag in settings.related:
            spans[tag] = (spans[tag][0] if tag in spans else first, last)
    return spans


def overlays(session: Session, since: Mapping[int, int], end: int) -> dict[int, list[Overlay]]:
    """The incidents that may decide minutes of monitors and overlap `[since, end)`, by monitor."""
    rows = session.execute(
        """
        WITH wanted (monitor, since) AS (SELECT value ->> 0, value ->> 1 FROM json_each(?))
        SELECT monitor, incidents.number, start,
               max(start, min(coalesce("end", closed_at), coalesce(closed_at, "end"))) AS until,
               coalesce(nullif(incident_monitors.impact, 0),
                        CASE WHEN incident_monitors.impact IS NULL THEN incidents.impact END),
               is_maintenance
          FROM wanted
         CROSS JOIN incident_monitors ON monitor_id = monitor
          JOIN incidents ON incidents.number = incident_monitors.number
         WHERE covers = 1 AND is_draft = 0 AND start < ? AND (until IS NULL OR until > since)
         ORDER BY incidents.number
        """,
        (json.dumps(list(since.items())), end),
    )
    found: dict[int, list[Overlay]] = {}
    for monitor, number, begin, until, impact, maintenance in rows:
        status = None if impact is None else Status(impact)
        found.setdefault(monitor, []).append(Overlay(number, begin, until, status, bool(maintenance)))
    return found


def starts(session: Session, since: Mapping[int, int], end: int) -> dict[int, list[int]]:
    """When the jobs of monitors said that they began, within `[since, end)`, oldest first, by monitor."""
    rows = session.execute(
        """
        WITH wanted (monitor, since) AS (SELECT value ->> 0, value ->> 1 FROM json_each(?))
        SELECT monitor, started_at
          FROM wanted CROSS JOIN starts ON monitor_id = monitor
         WHERE started_at >= since AND started_at < ? ORDER BY started_at
        """,
        (json.dumps(list(since.items())), end),
    )
    found: dict[int, list[int]] = {}
    for monitor, instant in rows:
        found.setdefault(monitor, []).append(instant)
    return found


def gaps(session: Session, since: int) -> tuple[Gap, ...]:
    """The gaps of the observer that end after an instant or in the minute before it, merged."""
    return merged(_gaps(session, since))


def _gaps(session: Session, since: int) -> list[Gap]:
    rows = session.execute('SELECT start, "end", kind FROM gaps WHERE "end" > ?', (since - MINUTE,))
    return [Gap(start, end, GapKind(kind)) for start, end, kind in rows]


def versions(session: Session, monitor: int) -> list[Version]:
    """The settings history of a monitor, oldest first."""
    return _versions(session, [monitor])[monitor]


def _versions(session: Session, monitors: Sequence[int]) -> dict[int, list[Version]]:
    rows = session.execute(
        """
        SELECT monitor_id, since, body FROM settings
         WHERE monitor_id IN (SELECT value FROM json_each(?)) ORDER BY monitor_id, since
        """,
        (json.dumps(monitors),),
    )
    found: dict[int, list[Version]] = {monitor: [] for monitor in monitors}
    for monitor, since, body in rows:
        found[monitor].append(_version(since, body))
    return found


@lru_cache(1024)
def _version(since: int, body: str) -> Version:
    """The version of a stored row; one object for all monitors with the same, which are nearly all."""
    return Version(since, settings_from(body))


def _versions_of(session: Session, tags: Iterable[str]) -> dict[str, tuple[int, list[Version]]]:
    """The ids and the settings histories of monitors by tag, oldest first; unknown tags are left out."""
    rows = session.execute(
        """
        SELECT tag, id, since, body FROM monitors JOIN settings ON monitor_id = id
         WHERE tag IN (SELECT value FROM json_each(?)) ORDER BY since
        """,
        (json.dumps(list(tags)),),
    )
    found: dict[str, tuple[int, list[Version]]] = {}
    for tag, monitor, since, body in rows:
        found.setdefault(tag, (monitor, []))[1].append(_version(since, body))
    return found


def settings_text(settings: MonitorSettings) -> str:
    """The canonical JSON of the settings, as stored."""
    body: dict[str, Any] = {
        "default_status": None if settings.default_status is None else settings.default_status.name,
        "include_degraded_in_downtime": settings.include_degraded_in_downtime,
        "stale_after": settings.stale_after,
        "expectation": _expectation_body(settings.expectation),
    }
    # Left out where they are not set, so that texts written by earlier versions stay the same.
    if settings.group is not None:
        body["group"] = asdict(settings.group)
    if settings.excused_by:
        body["excused_by"] = settings.excused_by
    return json.dumps(body, sort_keys=True)


def _expectation_body(expectation: Expectation | None) -> dict[str, Any] | None:
    match expectation:
        case EveryInterval(interval, grace, down_after):
            return {"interval": interval, "grace": grace, "down_after": down_after}
        case AtSchedule(Cron(expression, zone), grace, down_after, early):
            times = {"cron": expression, "timezone": zone, "early": early}
            return times | {"grace": grace, "down_after": down_after}
        case OnChange(stale_after, is_check):
            return {"stale_after": stale_after} | ({"is_check": True} if is_check else {})
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
        group=_group_from(fields.get("group")),
        excused_by=tuple(fields.get("excused_by", ())),
    )


def _group_from(body: dict[str, Any] | None) -> GroupSettings | None:
    return None if body is None else GroupSettings(**(body | {"members": tuple(body["members"])}))


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
            return OnChange(stale_after, body.get("is_check", False))
    return None
