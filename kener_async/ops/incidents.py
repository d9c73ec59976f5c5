"""Open, update, list, publish and delete incidents in the database, while a server may be running on it.

A running server notices within seconds. All of these raise FatalError, and the errors of `store.incidents`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.domain.errors import Invalid
from kener_async.domain.incident_updates import Impact, Update
from kener_async.domain.incidents import Incident
from kener_async.domain.people import Actor
from kener_async.ops.actor import command_actor
from kener_async.store import incident_lists, incidents, monitors
from kener_async.store.interface import Session
from kener_async.store.sqlite import transactions

HEADS = ("number", "stage", "begin", "end", "impact", "monitors", "title")

Fields = Mapping[str, Any]


def newest(config: Config, limit: int) -> list[Incident]:
    """The newest incidents, newest first."""
    return transactions.read(config.database.path, incident_lists.newest, limit)


def get(config: Config, number: int) -> Incident:
    """The incident of a number, which may be a draft."""
    return transactions.read(config.database.path, incidents.get, number)


def thread(config: Config, number: int) -> tuple[Incident, Sequence[Update]]:
    """The incident of a number, which may be a draft, with its updates, oldest first."""
    return transactions.read(config.database.path, incidents.thread, number, is_public=False)


def open_incident(config: Config, fields: Fields) -> Incident:
    """Open an incident of these fields, as `store.incidents.open` takes them."""
    _require_configured(config, fields["tags"])
    return transactions.write(config.database.path, _open, fields, command_actor(), system_clock())


def comment(config: Config, number: int, fields: Fields) -> tuple[Incident, Update]:
    """Post an update of these fields, as `store.incidents.post_update` takes them."""
    path, now = config.database.path, system_clock()
    return transactions.write(path, incidents.post_update, number, fields, command_actor(), now)


def publish(config: Config, number: int) -> Incident:
    """Make a draft public, after which only persons resolve it."""
    return transactions.write(
        config.database.path, incidents.publish, number, command_actor(), system_clock()
    )


def unpublish(config: Config, number: int) -> Incident:
    """Make a draft of an incident."""
    return transactions.write(
        config.database.path, incidents.unpublish, number, command_actor(), system_clock()
    )


def merge(config: Config, duplicate: Incident, target: Incident) -> Incident:
    """Merge an incident into another one, both as they were read; the other one after it."""
    path, now = config.database.path, system_clock()
    _, after = transactions.write(
        path,
        incidents.merge,
        duplicate.number,
        target.number,
        target.revision,
        command_actor(),
        now,
        revision=duplicate.revision,
    )
    return after


def delete(config: Config, number: int) -> Incident:
    """Delete an incident with its updates. What was measured counts again."""
    return transactions.write(config.database.path, incidents.delete, number, command_actor(), system_clock())


def _require_configured(config: Config, tags: Sequence[str]) -> None:
    unknown = [tag for tag in tags if tag not in config.by_tag]
    if unknown:
        raise Invalid(f"unknown tags: {', '.join(unknown)}")


def _open(session: Session, fields: Fields, actor: Actor, now: int) -> Incident:
    """Open it, unless a monitor is so new in the configuration that no server has run with it."""
    missing = set(fields["tags"]) - set(monitors.tags(session).values())
    if missing:
        raise Invalid(
            f"no server has been started with these monitors yet: {', '.join(sorted(missing))}: "
            "start the service once"
        )
    return incidents.open(session, fields, actor, now)


def table(found: Sequence[Incident], now: int) -> Iterator[tuple[str, ...]]:
    """The rows of the table, its heading first."""
    yield HEADS
    for incident in found:
        yield (
            str(incident.number),
            f"{incident.stage(now)} (draft)" if incident.is_draft else incident.stage(now).value,
            _time(incident.start),
            _time(_end(incident)),
            _impact_words(incident),
            " ".join(incident.tags) or "-",
            incident.title,
        )


def story(incident: Incident, updates: Sequence[Update]) -> Iterator[str]:
    """The text and the updates of an incident, oldest first, each with its time, state and author."""
    if incident.body:
        yield from (_time(incident.created_at), *_indented(incident.body))
    for update in updates:
        said = [
            _time(update.at),
            "" if update.state is None else update.state.name.lower(),
            *(f"{tag}={'incident' if one is None else one.name}" for tag, one in update.impacts.items()),
            f"by {update.author}" if update.author else "",
            "(edited)" if update.edited_at else "",
            f"[{update.id}]",
        ]
        yield "  ".join(part for part in said if part)
        yield from _indented(update.body)
    if incident.postmortem_at is not None:
        yield from (f"{_time(incident.postmortem_at)}  postmortem", *_indented(incident.postmortem))


def _indented(text: str) -> Iterator[str]:
    return (f"    {line}" for line in text.splitlines())


def as_json(incident: Incident, now: int) -> dict[str, Any]:
    """The JSON document of one; instants are UTC seconds."""
    return {
        "incidentNumber": incident.number,
        "stage": incident.stage(now).value,
        "state": incident.state.name.lower(),
        "title": incident.title,
        "tags": list(incident.tags),
        "isMaintenance": incident.is_maintenance,
        "isDraft": incident.is_draft,
        "impact": None if incident.worst_impact is None else incident.worst_impact.name,
        "impacts": {tag: impact.name for tag, impact in incident.impacts.items()},
        "startDatetime": incident.start,
        "endDatetime": _end(incident),
        "revision": incident.revision,
    }


def thread_as_json(incident: Incident, updates: Sequence[Update], now: int) -> dict[str, Any]:
    """The JSON document of one with its updates, oldest first."""
    said = [
        {
            "id": update.id,
            "at": update.at,
            "state": None if update.state is None else update.state.name.lower(),
            "body": update.body,
            "impacts": {tag: None if one is None else one.name for tag, one in update.impacts.items()},
            "author": update.author,
            "editedAt": update.edited_at,
        }
        for update in updates
    ]
    texts = {"body": incident.body, "postmortem": incident.postmortem}
    return as_json(incident, now) | texts | {"updates": said}


def _impact_words(incident: Incident) -> str:
    """The worst impact, with a mark where single monitors have others."""
    worst = incident.worst_impact
    words = "-" if worst is None else worst.name
    return f"{words} *" if any(_differs(incident, one) for one in incident.impacts.values()) else words


def _differs(incident: Incident, impact: Impact) -> bool:
    return impact.status is not incident.worst_impact


def _end(incident: Incident) -> int | None:
    ends = [end for end in (incident.end, incident.closed_at) if end is not None]
    return min(ends, default=None)


def _time(instant: int | None) -> str:
    return "-" if instant is None else f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M}"
