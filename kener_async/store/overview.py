"""The past counts of monitors, which overviews are made of."""

from collections.abc import Iterable, Mapping
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import QUARTER, quarter_of
from kener_async.domain.overview import CutQuarter, Frame, PastCounts, frame_at, past
from kener_async.domain.uptime import Counts
from kener_async.domain.windows import WINDOWS
from kener_async.store import layers, observer, rollups
from kener_async.store.dirty import Span
from kener_async.store.interface import Session


def load_many(
    session: Session, cached_days: Iterable[tuple[int, Mapping[Span, Counts]]], zone: ZoneInfo, now: int
) -> list[PastCounts]:
    """The past counts of monitors, given as pairs of a monitor and the counts of its days that are cached."""
    frame = frame_at(quarter_of(now), zone, observer.kept_from(session))
    return [load(session, monitor, frame, days, now) for monitor, days in cached_days]


def load(session: Session, monitor: int, frame: Frame, cached: Mapping[Span, Counts], now: int) -> PastCounts:
    """The past counts of a monitor. `cached` are counts of days that are still right, unless marked dirty."""
    counted = rollups.count_spans(session, monitor, frame.spans, cached, now)
    cuts = [_cut_quarter(session, monitor, frame, frame.base - length) for length in WINDOWS.values()]
    return past(frame, counted, cuts)


def _cut_quarter(session: Session, monitor: int, frame: Frame, start: int) -> CutQuarter:
    if start < frame.kept_from:
        return CutQuarter(start)
    return CutQuarter.of(layers.load(session, monitor, start, start + QUARTER), start)
