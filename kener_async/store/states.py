"""Loading what is published of a monitor."""

import sqlite3

from kener_async.domain.calendar import quarter_of, utc_day_of
from kener_async.domain.states import MonitorState
from kener_async.store import layers, rollups

ALL_TIME = 2**62  # overlays of the future count too: their begin is when a status changes


def load(connection: sqlite3.Connection, monitor: int, tag: str, now: int) -> MonitorState:
    """The monitor as of now."""
    base = quarter_of(now)
    closed = rollups.count_window(connection, monitor, (utc_day_of(now), base), now)
    return MonitorState(monitor, tag, base, closed, layers.load(connection, monitor, base, ALL_TIME))
