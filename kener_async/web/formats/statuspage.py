"""The page's state in a form that many programs read: version 2 of the public API of hosted Statuspage pages.

What that form cannot say:

- It has no word for "no data". A component without recent data has the newest status known of it, as on the
  Kener route, and its `updated_at` tells how old that is. One never heard of is left out: any word would be
  made up. The indicator is that of the page's banner, in which monitors without data have no say.
- When a cause was found is not recorded, nor whether a cure is watched: an update says "identified" if the
  incident does now, and `monitoring_at` is null. Updates change no status: the old one is the new one.
- Maintenance may have no end: `scheduled_until` is null then.
- It has no word for "cancelled". What was closed before it began is left out, because "completed" and
  "resolved" would tell of work or of an outage that never was.
- An incident has no stage before it begins, as maintenance has: an update written then says "investigating".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from kener_async.domain.incidents import Incident, IncidentStage
from kener_async.domain.samples import Status
from kener_async.domain.summary import Summary
from kener_async.domain.summary import summary as overall
from kener_async.web.formats.feeds import address, updated_at
from kener_async.web.parts.markdown import excerpt

if TYPE_CHECKING:
    from kener_async.web.pages.snapshot import IncidentView, MonitorView, Snapshot

Document = dict[str, Any]

MOST_EVENTS = 50
DESCRIPTION = 500  # characters

_INDICATORS = {
    Summary.NO_DATA: ("none", "No Data"),
    Summary.OPERATIONAL: ("none", "All Systems Operational"),
    Summary.MAINTENANCE: ("maintenance", "Service Under Maintenance"),
    Summary.DEGRADED: ("minor", "Partially Degraded Service"),
    Summary.PARTIAL_OUTAGE: ("major", "Partial System Outage"),
    Summary.MAJOR_OUTAGE: ("critical", "Major Service Outage"),
}
_COMPONENT = {
    Summary.OPERATIONAL: "operational",
    Summary.MAINTENANCE: "under_maintenance",
    Summary.DEGRADED: "degraded_performance",
    Summary.PARTIAL_OUTAGE: "partial_outage",
    Summary.MAJOR_OUTAGE: "major_outage",
}
_MAINTENANCE_STATUS = {
    IncidentStage.SCHEDULED: "scheduled",
    IncidentStage.IN_PROGRESS: "in_progress",
    IncidentStage.COMPLETED: "completed",
}
_INCIDENT_STATUS = {
    IncidentStage.SCHEDULED: "investigating",
    IncidentStage.INVESTIGATING: "investigating",
    IncidentStage.IDENTIFIED: "identified",
    IncidentStage.RESOLVED: "resolved",
}


def document(name: str, snapshot: "Snapshot", base_url: str) -> Document:
    """One of DOCUMENTS, ready for JSON. `base_url` is where the page is, without a slash at its end."""
    page = _Page(snapshot, base_url)
    return {"page": page.head(), **DOCUMENTS[name](page)}


class _Page:
    """A snapshot, and a component for each of its monitors that has a status."""

    def __init__(self, snapshot: "Snapshot", base_url: str) -> None:
        self.snapshot = snapshot
        self.url = base_url
        self.id = _id("page", base_url)
        self.groups = _by_category(snapshot)
        self.monitors = {
            shown.monitor.tag: self._component(position, shown)
            for members in self.groups.values()
            for position, shown in enumerate(members, start=1)
        }

    def head(self) -> Document:
        site = self.snapshot.config.site
        page = {"id": self.id, "name": site.name, "url": self.url}
        return {**page, "time_zone": site.timezone.key, "updated_at": _iso(self.snapshot.now)}

    def status(self) -> Document:
        indicator, description = _INDICATORS[overall(self.snapshot.statuses)]
        return {"indicator": indicator, "description": description}

    def components(self) -> Iterator[Document]:
        """Those without a category, then each category as a group, followed by its members."""
        position = len(self.groups.get("", ()))
        for name, members in self.groups.items():
            components = [self.monitors[shown.monitor.tag] for shown in members]
            if name:
                position += 1
                yield self._group(position, name, members, components)
            yield from components

    def incidents(self, events: Iterable["IncidentView"]) -> list[Document]:
        """The incidents among the events, newest first."""
        return [self._event(event) for event in self._listed(events, is_maintenance=False)]

    def maintenance(self, events: Iterable["IncidentView"]) -> list[Document]:
        """The maintenance among the events, newest first."""
        return [
            {
                **self._event(event),
                "scheduled_for": _iso(event.incident.start),
                "scheduled_until": _iso(event.incident.end),
            }
            for event in self._listed(events, is_maintenance=True)
        ]

    def _listed(self, events: Iterable["IncidentView"], is_maintenance: bool) -> list["IncidentView"]:
        """Those of one kind that were not cancelled, the newest MOST_EVENTS, newest first."""
        return _newest(
            event
            for event in events
            if event.incident.is_maintenance is is_maintenance
            and event.incident.stage(self.snapshot.now) is not IncidentStage.CANCELLED
        )

    def _component(self, position: int, shown: "MonitorView") -> Document:
        monitor, category = shown.monitor, shown.monitor.category
        changed = _changed(shown, self.snapshot.now)
        return {
            "id": _id("monitor", monitor.tag),
            "name": monitor.name,
            "status": _word([_known_status(shown)]),
            "created_at": _iso(min(_first_heard(shown), changed)),
            "updated_at": _iso(changed),
            "position": position,
            "description": excerpt(monitor.description, DESCRIPTION) or None,
            "showcase": False,
            "start_date": None,
            "group_id": _id("category", category) if category else None,
            "page_id": self.id,
            "group": False,
            "only_show_if_degraded": False,
        }

    def _group(
        self, position: int, name: str, members: Sequence["MonitorView"], components: Sequence[Document]
    ) -> Document:
        descriptions = {category.name: category.description for category in self.snapshot.config.categories}
        return {
            "id": _id("category", name),
            "name": name,
            "status": _word(_known_status(shown) for shown in members),
            "created_at": min(component["created_at"] for component in components),
            "updated_at": max(component["updated_at"] for component in components),
            "position": position,
            "description": excerpt(descriptions[name], DESCRIPTION) or None,
            "showcase": False,
            "start_date": None,
            "group_id": None,
            "page_id": self.id,
            "group": True,
            "only_show_if_degraded": False,
            "components": [component["id"] for component in components],
        }

    def _event(self, event: "IncidentView") -> Document:
        incident, now = event.incident, self.snapshot.now
        affected = [self.monitors[tag] for tag in event.tags if tag in self.monitors]
        return {
            "id": _id("incident", incident.number),
            "name": incident.title,
            "status": _status(incident, incident.stage(now)),
            "created_at": _iso(incident.created_at),
            "updated_at": _iso(updated_at(event, now)),
            "monitoring_at": None,
            "resolved_at": _iso(incident.closed_as_of(now)),
            "impact": self._impact(event),
            "shortlink": address(incident, self.url),
            "started_at": _iso(incident.start),
            "page_id": self.id,
            "incident_updates": _updates(event, affected),
            "components": affected,
        }

    def _impact(self, event: "IncidentView") -> str:
        """The indicator if nothing else had happened."""
        effect = event.incident.effect or Status.UP
        tags = [shown.monitor.tag for shown in self.snapshot.monitors]
        indicator, _ = _INDICATORS[overall(effect if tag in event.tags else Status.UP for tag in tags)]
        return indicator


def _updates(event: "IncidentView", affected: Sequence[Document]) -> list[Document]:
    """The comments, newest first, and last what was said at first."""
    incident = event.incident
    status = _word([incident.effect or Status.UP])
    components = [
        {"code": one["id"], "name": one["name"], "old_status": status, "new_status": status}
        for one in affected
    ]
    first = _update(incident, "body", incident.created_at, incident.body or incident.title, components)
    comments = [_update(incident, one.id, one.created_at, one.body, components) for one in event.comments]
    return [*reversed(comments), first]


def _update(
    incident: Incident, name: int | str, at: int, body: str, components: Sequence[Document]
) -> Document:
    return {
        "id": _id("update", incident.number, name),
        "status": _status(incident, incident.stage_of_update(at)),
        "body": body,
        "incident_id": _id("incident", incident.number),
        "created_at": _iso(at),
        "updated_at": _iso(at),
        "display_at": _iso(at),
        "affected_components": components,
        "deliver_notifications": False,
        "custom_tweet": None,
        "tweet_id": None,
    }


def _status(incident: Incident, stage: IncidentStage) -> str:
    return (_MAINTENANCE_STATUS if incident.is_maintenance else _INCIDENT_STATUS)[stage]


def _summary(page: _Page) -> Document:
    snapshot = page.snapshot
    return {
        "components": list(page.components()),
        "incidents": page.incidents(snapshot.ongoing),
        "scheduled_maintenances": page.maintenance([*snapshot.ongoing, *snapshot.upcoming]),
        "status": page.status(),
    }


def _incidents(page: _Page) -> Document:
    return {"incidents": page.incidents([*page.snapshot.ongoing, *page.snapshot.recent])}


def _maintenance(page: _Page) -> Document:
    snapshot = page.snapshot
    every = [*snapshot.ongoing, *snapshot.upcoming, *snapshot.recent]
    return {"scheduled_maintenances": page.maintenance(every)}


# By the path below /api/v2/; "page" is added to each. An incident that lies ahead is in none of them: only
# maintenance is announced in this form.
DOCUMENTS: Mapping[str, Callable[[_Page], Document]] = {
    "summary.json": _summary,
    "status.json": lambda page: {"status": page.status()},
    "components.json": lambda page: {"components": list(page.components())},
    "incidents.json": _incidents,
    "incidents/unresolved.json": lambda page: {"incidents": page.incidents(page.snapshot.ongoing)},
    "scheduled-maintenances.json": _maintenance,
    "scheduled-maintenances/upcoming.json": lambda page: {
        "scheduled_maintenances": page.maintenance(page.snapshot.upcoming)
    },
    "scheduled-maintenances/active.json": lambda page: {
        "scheduled_maintenances": page.maintenance(page.snapshot.ongoing)
    },
}


def _by_category(snapshot: "Snapshot") -> dict[str, list["MonitorView"]]:
    """The monitors that have a status, in the order of the page; those without a category come first."""
    names = ["", *(category.name for category in snapshot.config.categories)]
    known = [shown for shown in snapshot.monitors if _known_status(shown) is not None]
    groups = {name: [shown for shown in known if shown.monitor.category == name] for name in names}
    return {name: members for name, members in groups.items() if members}


def _known_status(shown: "MonitorView") -> Status | None:
    current = shown.report.current
    return current.kener_status if current.status is Status.NO_DATA else current.status


def _changed(shown: "MonitorView", now: int) -> int:
    """When its status began, or without recent data when it was last heard of."""
    newest = shown.report.current.newest
    return shown.since or (newest.minute if newest is not None else now)


def _first_heard(shown: "MonitorView") -> int:
    """The first day with data of those that the page shows."""
    with_data = (day.start for day in shown.days if day.counts.counted or day.counts.maintenance)
    return next(with_data, shown.days[-1].start)


def _word(statuses: Iterable[Status | None]) -> str:
    return _COMPONENT[overall(status for status in statuses if status is not None)]


def _newest(events: Iterable["IncidentView"]) -> list["IncidentView"]:
    by_age = sorted(events, key=lambda event: (event.incident.created_at, event.incident.number))
    return by_age[: -MOST_EVENTS - 1 : -1]


def _id(*names: int | str) -> str:
    """Twelve characters that stay the same as long as what they name does."""
    return sha256("/".join(map(str, names)).encode()).hexdigest()[:12]


def _iso(instant: int | None) -> str | None:
    return None if instant is None else f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%dT%H:%M:%S.000Z}"
