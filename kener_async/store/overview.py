"""The past counts of monitors, which overviews are made of."""

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import QUARTER, quarter_of
from kener_async.domain.overview import CutQuarter, Frame, PastCounts, alike, frame_at, past
from kener_async.domain.windows import WINDOWS
from kener_async.store import layers, observer, rollups
from kener_async.store.interface import Session


def load_many(session: Session, monitors: Iterable[int], zone: ZoneInfo, now: int) -> list[PastCounts]:
    """The past counts of monitors, for the days of a zone."""
    frame = frame_at(quarter_of(now), zone, observer.kept_from(session))
    return [load(session, monitor, frame, now) for monitor in monitors]


def load(session: Session, monitor: int, frame: Frame, now: int) -> PastCounts:
    """The past counts of a monitor."""
    return past(
        frame,
        rollups.count_spans(session, monitor, frame.spans, now),
        _cut_quarters(session, monitor, frame),
    )


def _cut_quarters(session: Session, monitor: int, frame: Frame) -> list[CutQuarter]:
    """The quarters in which the windows begin; samples are read of those only whose minutes differ."""
    starts = [frame.base - length for length in WINDOWS.values()]
    counted = rollups.count_clean(session, monitor, starts)
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
