"""List, publish and delete incidents in the database, while a server may be running on it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.domain.incidents import Incident
from kener_async.ops.actor import command_actor
from kener_async.store import incident_lists, incidents
from kener_async.store.sqlite import transactions

HEADS = ("number", "stage", "begin", "end", "impact", "monitors", "title")


def newest(config: Config, limit: int) -> list[Incident]:
    """The newest incidents, newest first; raises FatalError."""
    return transactions.read(config.database.path, incident_lists.newest, limit)


def get(config: Config, number: int) -> Incident:
    """The incident of a number; raises NotFound, and FatalError."""
    return transactions.read(config.database.path, incidents.get, number)


def publish(config: Config, number: int) -> Incident:
    """Make a draft public, after which only persons resolve it; raises NotFound, and FatalError.

    A running server notices within seconds.
    """
    return transactions.write(
        config.database.path, incidents.publish, number, command_actor(), system_clock()
    )


def delete(config: Config, number: int) -> Incident:
    """Delete an incident with its updates; raises NotFound, and FatalError.

    What was measured counts again. A running server notices within seconds.
    """
    return transactions.write(config.database.path, incidents.delete, number, command_actor(), system_clock())


def table(found: Sequence[Incident], now: int) -> Iterator[tuple[str, ...]]:
    """The rows of the table, its heading first."""
    yield HEADS
    for incident in found:
        yield (
            str(incident.number),
            f"{incident.stage(now)} (draft)" if incident.is_draft else incident.stage(now).value,
            _time(incident.start),
            _time(_end(incident)),
            "-" if incident.worst_impact is None else incident.worst_impact.name,
            " ".join(incident.tags) or "-",
            incident.title,
        )


def as_json(incident: Incident, now: int) -> dict[str, Any]:
    """The JSON document of one; instants are UTC seconds."""
    return {
        "incidentNumber": incident.number,
        "stage": incident.stage(now).value,
        "title": incident.title,
        "tags": list(incident.tags),
        "isMaintenance": incident.is_maintenance,
        "isDraft": incident.is_draft,
        "impact": None if incident.worst_impact is None else incident.worst_impact.name,
        "startDatetime": incident.start,
        "endDatetime": _end(incident),
    }


def _end(incident: Incident) -> int | None:
    ends = [end for end in (incident.end, incident.closed_at) if end is not None]
    return min(ends, default=None)


def _time(instant: int | None) -> str:
    return "-" if instant is None else f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M}"
