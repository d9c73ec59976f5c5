"""A made-up history, stored in a new database as if a server had been running all the time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.people import Actor, ActorKind
from kener_async.domain.samples import Sample
from kener_async.store import incidents, monitors, observer, samples, seal_state, sealing
from kener_async.store.interface import Session
from kener_async.store.sqlite import transactions

BATCH = 20_000
DAYS_AT_ONCE = 1000
NARRATOR = Actor(ActorKind.SERVER, "history")


@dataclass(frozen=True, slots=True)
class IncidentHistory:
    """An incident as created at `created`; comments are (instant, body), `resolved` is an instant."""

    fields: Mapping[str, Any]
    created: int
    comments: Sequence[tuple[int, str]]
    resolved: int | None


@dataclass(frozen=True, slots=True)
class History:
    """What happened from `begin` to `end`; `samples` is called with the ids of the monitors by tag."""

    begin: int
    end: int
    settings: Mapping[str, MonitorSettings]
    samples: Callable[[Mapping[str, int]], Iterable[Sample]]
    incidents: Sequence[IncidentHistory]


def store(database: Path, history: History, retention: int) -> None:
    """Store a history in a new database; raises DatabaseFileError. `retention` is in seconds."""
    transactions.fill(database, _store, history, retention)


def _store(session: Session, history: History, retention: int) -> None:
    observer.begin(session, history.begin, retention)
    sealed_until = seal_state.hot_days_from(history.end)
    seal_state.save(session, sealed_until, sealed_until)
    ids = monitors.register(session, history.settings, history.begin)
    reported = iter(history.samples(ids))
    while batch := list(islice(reported, BATCH)):
        samples.record(session, batch)
        while sealing.seal_turn(session, history.end, DAYS_AT_ONCE):
            pass
    for incident in history.incidents:
        _store_incident(session, incident)
    observer.save_seen(session, (), history.end)


def _store_incident(session: Session, history: IncidentHistory) -> None:
    number = incidents.add(session, history.fields, history.created).number
    for instant, body in history.comments:
        incidents.remark(session, number, body, instant)
    if history.resolved is not None:
        incidents.change(session, number, {"is_resolved": True}, NARRATOR, history.resolved)
