"""The published state of a monitor, loaded from its layers and counts."""

from kener_async.domain.calendar import day_so_far, minute_of, quarter_of, utc_day_of
from kener_async.domain.states import MonitorState, StatusReport
from kener_async.domain.timeline import current_status
from kener_async.store import layers, rollups
from kener_async.store.interface import Session

ALL_TIME = 2**62  # overlays of the future count too: their begin is when a status changes


def load(session: Session, monitor: int, tag: str, now: int) -> MonitorState:
    """The state of a monitor as of now."""
    base = quarter_of(now)
    closed = rollups.count_window(session, monitor, (utc_day_of(now), base), now)
    return MonitorState(monitor, tag, base, closed, layers.load(session, monitor, base, ALL_TIME))


def report_at(session: Session, monitor: int, instant: int) -> StatusReport:
    """The status report of an earlier instant, by what is stored about it now."""
    stored = layers.load(session, monitor, minute_of(instant), instant + 1)
    counts = rollups.count_window(session, monitor, day_so_far(instant), instant)
    return StatusReport(current_status(stored, instant), counts, instant)
