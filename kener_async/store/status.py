"""Readings: how each monitor stands and what its uptime is, read from the file alone."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import MINUTE, minute_of, quarter_of
from kener_async.domain.overview import frame_at
from kener_async.domain.samples import Status
from kener_async.domain.states import MonitorState, StatusReport
from kener_async.domain.streaks import streak
from kener_async.domain.timeline import runs
from kener_async.domain.uptime import Counts
from kener_async.store import observer, overview, states, streaks
from kener_async.store.sqlite import migrations


@dataclass(frozen=True, slots=True)
class Reading:
    """`since`: when the current status began, None while nothing is known; `windows`: counts by name."""

    report: StatusReport
    since: int | None
    windows: Mapping[str, Counts]


def read(
    connection: sqlite3.Connection, tags: Sequence[str], zone: ZoneInfo, now: int | None
) -> tuple[int, dict[str, Reading]]:
    """The readings of the monitors that are stored, by tag, and the instant they are of.

    `now` None: the instant at which a server was last there. Raises ValueError for another schema.
    """
    if migrations.lacking(connection):
        raise ValueError("has an older schema: start the service, or run `kener-async migrate`, first")
    connection.execute("BEGIN")
    instant = observer.last_seen(connection) if now is None else now
    known: dict[str, int] = dict(connection.execute("SELECT tag, id FROM monitors"))
    return instant, {
        tag: _reading(connection, known[tag], tag, zone, instant) for tag in tags if tag in known
    }


def _reading(connection: sqlite3.Connection, monitor: int, tag: str, zone: ZoneInfo, now: int) -> Reading:
    state = states.load(connection, monitor, tag, now)
    report = state.report(now)
    frame = frame_at(quarter_of(now), zone, observer.kept_from(connection))
    past = overview.load(connection, monitor, frame, {}, now)
    windows = past.overview(state.running(now), minute_of(now) + MINUTE).windows
    return Reading(report, _since(connection, state, report.current.status, now), windows)


def _since(connection: sqlite3.Connection, state: MonitorState, status: Status, now: int) -> int | None:
    if status is Status.NO_DATA:
        return None
    begun = [overlay for overlay in state.layers.overlays if overlay.start <= now]
    timeline = list(runs(replace(state.layers, overlays=begun), state.base, minute_of(now) + MINUTE))
    begin, is_decided = streak(timeline, status)
    if is_decided:
        return begin
    earlier = streaks.since(connection, {state.id: status}, state.base)[state.id]
    return begin if earlier is None else earlier
