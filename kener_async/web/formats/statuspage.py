"""The documents of version 2 of Statuspage's public API, which many clients read.

Where our data do not fit that format:

- It has no status for "no data". A monitor without current data is left out of the components, and the
  description of the status says how many there are. The indicator is that of the page's banner, so it is the
  worst of the components.
- A change of state without a text is an update whose body names the state. Where updates have no states, as
  before they could have them, they have the one that the incident has now. A component's old status is the
  one it has now.
- Maintenance may have no end: `scheduled_until` is null then.
- It has no status for "cancelled". What was closed before it began is left out, because "completed" and
  "resolved" would report work or an outage that never happened.
- Only maintenance can be scheduled: an update written before an incident begins has the status
  "investigating".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from kener_async.domain.headline import HeadlineKind, kind_of
from kener_async.domain.incident_updates import IncidentState, Update, last_open_state, stated
from kener_async.domain.incidents import Incident, IncidentStage, stages, states_after
from kener_async.domain.samples import Status
from kener_async.locales.locale import ENGLISH
from kener_async.web.formats.feeds import address, updated_at
from kener_async.web.formats.ids import Ids
from kener_async.web.pages import labels
from kener_async.web.parts.markdown import excerpt

if TYPE_CHECKING:
    from kener_async.web.pages.snapshot import IncidentView, MonitorView, Snapshot

Document = dict[str, Any]

MAX_INCIDENTS = 50
DESCRIPTION = 500  # characters

_INDICATORS = {
    HeadlineKind.OPERATIONAL: "none",
    HeadlineKind.NOT_REPORTED: "none",
    HeadlineKind.MAINTENANCE: "maintenance",
    HeadlineKind.DEGRADED: "minor",
    HeadlineKind.PARTIAL_OUTAGE: "major",
    HeadlineKind.MAJOR_OUTAGE: "critical",
}
# As hosted pages write them, because clients compare them.
_DESCRIPTIONS = {
    HeadlineKind.OPERATIONAL: "All Systems Operational",
    HeadlineKind.MAINTENANCE: "Service Under Maintenance",
    HeadlineKind.DEGRADED: "Partially Degraded Service",
    HeadlineKind.PARTIAL_OUTAGE: "Partial System Outage",
    HeadlineKind.MAJOR_OUTAGE: "Major Service Outage",
}
_COMPONENT_STATUS = {
    HeadlineKind.OPERATIONAL: "operational",
    HeadlineKind.MAINTENANCE: "under_maintenance",
    HeadlineKind.DEGRADED: "degraded_performance",
    HeadlineKind.PARTIAL_OUTAGE: "partial_outage",
    HeadlineKind.MAJOR_OUTAGE: "major_outage",
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
    IncidentStage.MONITORING: "monitoring",
    IncidentStage.RESOLVED: "resolved",
}


def document(
    name: str, snapshot: "Snapshot", monitors: Sequence["MonitorView"], ids: Ids, base_url: str
) -> Document:
    """One of DOCUMENTS, ready for JSON.

    `monitors` are those of the snapshot, unless the document is one of WITHOUT_COMPONENTS; `base_url` is the
    address of the site, without a slash at the end.
    """
    page = _Page(snapshot, monitors, ids, base_url)
    return {"page": page.head(), **DOCUMENTS[name](page)}


class _Page:
    """A snapshot with a component for each monitor that has a status."""

    def __init__(
        self, snapshot: "Snapshot", monitors: Sequence["MonitorView"], ids: Ids, base_url: str
    ) -> None:
        self.snapshot = snapshot
        self.url = base_url
        self.id = _id("page", ids.site)
        self.groups = _by_category(snapshot, monitors)
        self.monitors = {
            view.monitor.tag: self._component(position, view)
            for members in self.groups.values()
            for position, view in enumerate(members, start=1)
        }

    def head(self) -> Document:
        site = self.snapshot.config.site
        page = {"id": self.id, "name": site.name, "url": self.url}
        return {**page, "time_zone": site.timezone.key, "updated_at": _iso(self.snapshot.now)}

    def status(self) -> Document:
        headline = self.snapshot.headline
        words = labels.silent(ENGLISH, headline)
        description = _DESCRIPTIONS.get(headline.kind, words)
        return {"indicator": _INDICATORS[headline.kind], "description": description}

    def components(self) -> Iterator[Document]:
        """Components without a category, then each category as a group, followed by its members."""
        position = len(self.groups.get("", ()))
        for name, members in self.groups.items():
            components = [self.monitors[view.monitor.tag] for view in members]
            if name:
                position += 1
                yield self._group(position, name, members, components)
            yield from components

    def incidents(self, views: Iterable["IncidentView"]) -> list[Document]:
        """Those that are no maintenance, newest first."""
        return [self._incident(view) for view in self._selected(views, is_maintenance=False)]

    def maintenance(self, views: Iterable["IncidentView"]) -> list[Document]:
        """Those that are maintenance, newest first."""
        return [
            {
                **self._incident(view),
                "scheduled_for": _iso(view.incident.start),
                "scheduled_until": _iso(view.incident.end),
            }
            for view in self._selected(views, is_maintenance=True)
        ]

    def _selected(self, views: Iterable["IncidentView"], is_maintenance: bool) -> list["IncidentView"]:
        """The newest MAX_INCIDENTS of one kind, without cancelled ones, newest first."""
        return _newest(
            view
            for view in views
            if view.incident.is_maintenance is is_maintenance
            and view.incident.stage(self.snapshot.now) is not IncidentStage.CANCELLED
        )

    def _component(self, position: int, view: "MonitorView") -> Document:
        monitor, category = view.monitor, view.monitor.category
        changed = _changed(view, self.snapshot.now)
        return {
            "id": _id("monitor", monitor.tag),
            "name": monitor.name,
            "status": _component_status([view.status]),
            "created_at": _iso(min(_first_heard(view), changed)),
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
            "status": _component_status([view.status for view in members]),
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

    def _incident(self, view: "IncidentView") -> Document:
        incident, now = view.incident, self.snapshot.now
        affected = [self.monitors[tag] for tag in view.tags if tag in self.monitors]
        return {
            "id": _id("incident", incident.number),
            "name": incident.title,
            "status": _status(incident, incident.stage(now)),
            "created_at": _iso(incident.created_at),
            "updated_at": _iso(updated_at(view, now)),
            "monitoring_at": _iso(_monitoring_since(view)),
            "resolved_at": _iso(incident.closed_as_of(now)),
            "impact": self._impact(view),
            "shortlink": address(incident, self.url),
            "started_at": _iso(incident.start),
            "page_id": self.id,
            "incident_updates": self._updates(view),
            "components": affected,
        }

    def _updates(self, view: "IncidentView") -> list[Document]:
        """The updates, newest first; the incident's own text comes last."""
        incident, updates = view.incident, view.updates
        first = IncidentState.INVESTIGATING if stated(updates) else last_open_state(incident.implied_states())
        told = [
            _update(
                incident,
                "body",
                incident.created_at,
                incident.body or incident.title,
                first,
                self._said(view, None),
            )
        ]
        for update, state in zip(updates, states_after(incident, updates), strict=True):
            body = update.body or state.name.capitalize()
            if update.body or update.state is not None:
                document = _update(incident, update.id, update.at, body, state, self._said(view, update))
                told.append(document | {"updated_at": _iso(max(update.at, update.edited_at or 0))})
        return told[::-1]

    def _said(self, view: "IncidentView", update: Update | None) -> list[Document]:
        """What an update says of the components: the status that it gives, and the one that each has now."""
        incident = view.incident
        said: list[Document] = []
        for tag in view.tags:
            if tag not in self.monitors:
                continue
            now = Status.MAINTENANCE if incident.is_maintenance else incident.impact_on(tag)
            new = now
            if update is not None and tag in update.impacts:
                impact = update.impacts[tag]
                new = incident.impact if impact is None else impact.status
            component = self.monitors[tag]
            statuses = [_component_status([status or Status.UP]) for status in (now, new)]
            named = {"code": component["id"], "name": component["name"]}
            said.append(named | {"old_status": statuses[0], "new_status": statuses[1]})
        return said

    def _impact(self, view: "IncidentView") -> str:
        """The indicator that the page would have with this incident alone."""
        effect = view.incident.effect or Status.UP
        tags = [view.monitor.tag for view in self.snapshot.monitors]
        return _INDICATORS[kind_of([effect if tag in view.tags else Status.UP for tag in tags])]


def _monitoring_since(view: "IncidentView") -> int | None:
    """Since when it has recovered and is watched, or was before it was resolved."""
    known = [one.at for one in stages(view.incident, view.updates) if one.state is IncidentState.MONITORING]
    return known[-1] if known else None


def _update(
    incident: Incident,
    name: int | str,
    at: int,
    body: str,
    state: IncidentState,
    components: Sequence[Document],
) -> Document:
    return {
        "id": _id("update", incident.number, name),
        "status": _status(incident, incident.stage_of_update(at, state)),
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
    views = [*snapshot.ongoing, *snapshot.upcoming, *snapshot.recent]
    return {"scheduled_maintenances": page.maintenance(views)}


# By the path below /api/v2/; "page" is added to each. An incident that has not begun is in none of them,
# because only maintenance can be announced in this format.
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

# Those for which no monitor's history is read.
WITHOUT_COMPONENTS = frozenset({"status.json"})


def _by_category(snapshot: "Snapshot", monitors: Sequence["MonitorView"]) -> dict[str, list["MonitorView"]]:
    """Monitors with current data, in the order of the page; those without a category come first."""
    names = ["", *(category.name for category in snapshot.config.categories)]
    with_data = [view for view in monitors if view.status is not Status.NO_DATA]
    groups = {name: [view for view in with_data if view.monitor.category == name] for name in names}
    return {name: members for name, members in groups.items() if members}


def _changed(view: "MonitorView", now: int) -> int:
    """When the status began."""
    return view.since or now


def _first_heard(view: "MonitorView") -> int:
    """The first day with data among those that the page shows."""
    with_data = (day.start for day in view.days if day.counts.counted or day.counts.maintenance)
    return next(with_data, view.days[-1].start)


def _component_status(statuses: Sequence[Status]) -> str:
    return _COMPONENT_STATUS[kind_of(statuses)]


def _newest(views: Iterable["IncidentView"]) -> list["IncidentView"]:
    by_age = sorted(views, key=lambda view: (view.incident.created_at, view.incident.number))
    return by_age[: -MAX_INCIDENTS - 1 : -1]


def _id(*names: int | str) -> str:
    """Twelve characters, the same for the same names."""
    return sha256("/".join(map(str, names)).encode()).hexdigest()[:12]


def _iso(instant: int | None) -> str | None:
    return None if instant is None else f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%dT%H:%M:%S.000Z}"
