"""Incidents and their updates as JSON for the audit log, with every text in full."""

from collections.abc import Mapping, Sequence
from typing import Any

from kener_async.domain.incident_updates import Impact, Update
from kener_async.domain.incidents import Incident


def facts(incident: Incident) -> dict[str, Any]:
    """What people may change of an incident, and its revision."""
    return {
        "title": incident.title,
        "body": incident.body,
        "tags": list(incident.tags),
        "start": incident.start,
        "end": incident.end,
        "impact": None if incident.impact is None else incident.impact.name,
        "impacts": _names(incident.impacts),
        "is_maintenance": incident.is_maintenance,
        "announce": list(incident.announce),
        "is_draft": incident.is_draft,
        "state": incident.state.name.lower(),
        "postmortem": incident.postmortem,
        "postmortem_at": incident.postmortem_at,
        "revision": incident.revision,
    }


def update_facts(update: Update) -> dict[str, Any]:
    """What an update says, and its author."""
    return {
        "body": update.body,
        "at": update.at,
        "state": None if update.state is None else update.state.name.lower(),
        "impacts": _names(update.impacts),
        "author": update.author,
    }


def thread_facts(incident: Incident, updates: Sequence[Update]) -> dict[str, Any]:
    """An incident with its updates, as it was before it was deleted."""
    return facts(incident) | {"updates": [update_facts(update) for update in updates]}


def _names(impacts: Mapping[str, Impact | None]) -> dict[str, str | None]:
    return {tag: None if impact is None else impact.name for tag, impact in impacts.items()}
