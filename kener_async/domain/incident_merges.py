"""Merging an incident into another one about the same: what the other one takes over from it."""

from dataclasses import replace

from kener_async.domain.errors import Invalid
from kener_async.domain.incident_updates import Impact, Update
from kener_async.domain.incidents import Incident, edited


def require_mergeable(duplicate: Incident, target: Incident) -> None:
    """Raise Invalid unless the duplicate may be merged into the target."""
    reason = _refusal(duplicate, target)
    if reason:
        raise Invalid(f"Invalid target: {reason}")


def is_mergeable(duplicate: Incident, target: Incident) -> bool:
    """Whether the duplicate may be merged into the target."""
    return not _refusal(duplicate, target)


def _refusal(duplicate: Incident, target: Incident) -> str:
    """Why it may not; empty: it may."""
    if duplicate.number == target.number:
        return "an incident is not merged into itself"
    for incident in (duplicate, target):
        if incident.is_maintenance:
            return f"incident {incident.number} is a maintenance"
    if target.is_draft and not duplicate.is_draft:
        return f"incident {target.number} is a draft: publish it first"
    return ""


def merged(duplicate: Incident, target: Incident, now: int) -> Incident:
    """The target with the monitors that only the duplicate names, each with the impact that it has there.

    The target keeps everything else, its times and state too.
    """
    added = [tag for tag in duplicate.tags if tag not in target.tags]
    impacts = {tag: Impact(duplicate.impact_on(tag) or Impact.NONE) for tag in added}
    own = {tag: impact for tag, impact in impacts.items() if impact.status is not target.impact}
    tags = (*target.tags, *added)
    return edited(target, {"tags": tags, "impacts": {**target.impacts, **own}}, now)


def moved(update: Update) -> Update | None:
    """An update of the duplicate as it stands in the target, whose state it does not change.

    None: it says nothing but a state.
    """
    return replace(update, state=None) if update.body or update.impacts else None
