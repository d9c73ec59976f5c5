"""The past counts of monitors, which overviews are made of."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import QUARTER, quarter_of
from kener_async.domain.overview import CutQuarter, Frame, PastCounts, alike, frame_at, past
from kener_async.domain.windows import WINDOWS
from kener_async.store import layers, observer, rollups
from kener_async.store.dirty import Span
from kener_async.store.interface import Session


def load_many(session: Session, monitors: Sequence[int], zone: ZoneInfo, now: int) -> list[PastCounts]:
    """The past counts of monitors, for the days of a zone."""
    frame = frame_at(quarter_of(now), zone, observer.kept_from(session))
    cuts = [frame.base - length for length in WINDOWS.values()]
    start = min(*cuts, *(start for start, _ in frame.spans))
    marked = rollups.not_clean(session, monitors, start, frame.base)
    return [
        past(
            frame,
            rollups.count_spans(session, monitor, frame.spans, marked[monitor], now),
            _cut_quarters(session, monitor, frame, cuts, marked[monitor]),
        )
        for monitor in monitors
    ]


def _cut_quarters(
    session: Session, monitor: int, frame: Frame, starts: Sequence[int], marked: Sequence[Span]
) -> list[CutQuarter]:
    """The quarters in which the windows begin; samples are read of those only whose minutes differ."""
    counted = rollups.count_clean(session, monitor, starts, marked)
    cuts = []
    for start in starts:
        rests = alike(counted[start]) if start in counted else None
        if start < frame.kept_from:
            cuts.append(CutQuarter(start))
        elif rests is not None:
            cuts.append(CutQuarter(start, rests))
        else:
            cuts.append(CutQuarter.of(layers.load(session, monitor, start, start + QUARTER), start))
    return cuts
