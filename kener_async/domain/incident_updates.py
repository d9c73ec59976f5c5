"""Updates of an incident: what is said, and from when on it has which state and which impacts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from kener_async.domain.calendar import DAY
from kener_async.domain.errors import Invalid
from kener_async.domain.samples import Status

EARLIEST = DAY  # before the incident's start


class IncidentState(IntEnum):
    """How far people have come with an incident; the numbers are stored."""

    INVESTIGATING = 0
    IDENTIFIED = 1
    MONITORING = 2
    RESOLVED = 3


class Impact(IntEnum):
    """What an incident means for one of its monitors; the numbers are stored."""

    NONE = 0
    DEGRADED = 1
    DOWN = 2

    @property
    def status(self) -> Status | None:
        """The status that it gives the monitor; None: it leaves it what was measured."""
        return None if self is Impact.NONE else Status(self)


Impacts = Mapping[str, Impact | None]  # by tag; None: that of the incident


@dataclass(frozen=True, slots=True)
class Update:
    """An update of an incident, which stands at the instant `at`. Instants are UTC seconds.

    `body` is Markdown; empty: only the state or the impacts changed. `state` None: it stayed as it was.
    `author` is such as "person:ada", empty for the server itself.
    """

    id: int
    body: str
    created_at: int
    at: int
    state: IncidentState | None = None
    impacts: Impacts = field(default_factory=dict)
    author: str = ""
    edited_at: int | None = None

    @property
    def order(self) -> tuple[int, int]:
        """Sort by this: updates stand where their times say, those of one second as they were made."""
        return self.at, self.id


class Stated(NamedTuple):
    """A state that an incident has from an instant on."""

    at: int
    state: IncidentState


def stated(updates: Iterable[Update]) -> list[Stated]:
    """The states that updates give, oldest first; the last one is that of the incident."""
    ordered = sorted((update for update in updates if update.state is not None), key=lambda one: one.order)
    return [Stated(update.at, update.state) for update in ordered if update.state is not None]


def last_open_state(states: Sequence[Stated]) -> IncidentState:
    """The last state that is not resolved, to which an incident returns when it is reopened."""
    unresolved = [one.state for one in states if one.state is not IncidentState.RESOLVED]
    return unresolved[-1] if unresolved else IncidentState.INVESTIGATING


def resolved_since(states: Sequence[Stated]) -> int | None:
    """Since when it has been resolved; None: it is not."""
    since = None
    for one in reversed(states):
        if one.state is not IncidentState.RESOLVED:
            break
        since = one.at
    return since


def states_of_flags(states: Sequence[Stated], is_identified: bool, is_resolved: bool) -> list[IncidentState]:
    """The states to add, so that the flags of the contract follow from all of them; empty: they do already.

    Identified are `identified` and `monitoring`, and what is resolved if it was one of them before.
    """
    was_resolved, before = resolved_since(states) is not None, last_open_state(states)
    state = before
    if is_identified is (before is IncidentState.INVESTIGATING):
        state = IncidentState.IDENTIFIED if is_identified else IncidentState.INVESTIGATING
    added = [state] if state is not before or (was_resolved and not is_resolved) else []
    if is_resolved and (added or not was_resolved):
        added.append(IncidentState.RESOLVED)
    return added


def check_time(at: int, start: int, now: int) -> None:
    """Raise Invalid unless an update of an incident that begins at `start` may stand at an instant."""
    if at > now:
        raise Invalid("Invalid at: is in the future")
    if at < start - EARLIEST:
        raise Invalid("Invalid at: is more than a day before the incident's start")
