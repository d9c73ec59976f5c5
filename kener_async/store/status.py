"""Status readings: the current status and the uptimes of monitors, from the database file alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import DAY, minute_end
from kener_async.domain.samples import Status
from kener_async.domain.states import MonitorState, StatusReport
from kener_async.domain.uptime import Counts
from kener_async.store import check_conditions, observer, overview, states, streaks
from kener_async.store.check_conditions import CheckConditions
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class Reading:
    """A monitor as stored. `since` is when its current status began, None for NO_DATA."""

    report: StatusReport
    since: int | None
    windows: Mapping[str, Counts]


def read(
    session: Session, tags: Sequence[str], zone: ZoneInfo, now: int | None
) -> tuple[int, dict[str, Reading], CheckConditions]:
    """The instant of the readings, the readings of the stored monitors by tag, the condition of checks.

    With `now` None the instant is when a server was last running. Raises ValueError for a database on which
    none has run yet.
    """
    if not observer.has_begun(session):
        raise ValueError("no server has run on it yet: start the service")
    instant = observer.last_seen(session) if now is None else now
    ids: dict[str, int] = dict(session.execute("SELECT tag, id FROM monitors"))
    readings = {tag: _reading(session, ids[tag], tag, zone, instant) for tag in tags if tag in ids}
    return instant, readings, check_conditions.read(session, instant - DAY)


def _reading(session: Session, monitor: int, tag: str, zone: ZoneInfo, now: int) -> Reading:
    state = states.load(session, monitor, tag, now)
    report = state.report(now)
    (past,) = overview.load_many(session, [monitor], zone, now)
    windows = past.overview(state.running(now), minute_end(now)).windows
    return Reading(report, _since(session, state, now), windows)


def _since(session: Session, state: MonitorState, now: int) -> int | None:
    status = state.report(now).current.status
    if status is Status.NO_DATA:
        return None
    begin, is_decided = state.streak(now, status)
    if is_decided:
        return begin
    earlier = streaks.since(session, {state.id: status}, state.base)[state.id]
    return begin if earlier is None else earlier
