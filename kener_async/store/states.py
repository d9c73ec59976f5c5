"""The published state of a monitor, loaded from its layers and counts."""

from collections.abc import Mapping

from kener_async.domain.calendar import day_so_far, minute_of, quarter_of, utc_day_of
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.states import MonitorState, StatusReport
from kener_async.domain.timeline import current_status
from kener_async.store import dirty, layers, monitors, observer, rollups, settling
from kener_async.store.interface import Session
from kener_async.store.rollups import QUARTERS_AT_ONCE, CountedSpan

ALL_TIME = 2**62  # loads planned incidents too, because their start changes the status


def register(
    session: Session, settings: Mapping[str, MonitorSettings], now: int
) -> tuple[dict[str, int], int]:
    """Register the configured monitors; their ids by tag, and the instant from which samples are kept."""
    return monitors.register(session, settings, now), observer.kept_from(session)


def load_many(
    session: Session, ids: Mapping[str, int], now: int
) -> tuple[list[MonitorState], list[CountedSpan]]:
    """Count the dirty quarters of today and load the monitors; their states, and the spans counted."""
    dirty.mark_closed(session, now)
    today = utc_day_of(now), now
    counted, left = settling.settle_together(session, list(ids.values()), today, now)
    for monitor in left:
        spans, _ = rollups.settle(session, monitor, today, now, QUARTERS_AT_ONCE)
        counted += [(monitor, *span) for span in spans]
    return _loaded(session, ids, now), counted


def load(session: Session, monitor: int, tag: str, now: int) -> MonitorState:
    """The state of a monitor as of now."""
    (state,) = _loaded(session, {tag: monitor}, now)
    return state


def _loaded(session: Session, ids: Mapping[str, int], now: int) -> list[MonitorState]:
    base = quarter_of(now)
    monitors = list(ids.values())
    closed = rollups.count_windows(session, monitors, (utc_day_of(now), base), now)
    stored = layers.load_many(session, monitors, base, ALL_TIME)
    return [
        MonitorState(monitor, tag, base, closed[monitor], stored[monitor]) for tag, monitor in ids.items()
    ]


def report_at(session: Session, monitor: int, instant: int) -> StatusReport:
    """The status report of an earlier instant, by what is stored about it now."""
    stored = layers.load(session, monitor, minute_of(instant), instant + 1)
    counts = rollups.count_window(session, monitor, day_so_far(instant), instant)
    return StatusReport(current_status(stored, instant), counts, instant)
