"""One civil day of a monitor, minute by minute, with the incidents of that day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kener_async.domain.samples import Sample
from kener_async.domain.timeline import Run, runs
from kener_async.domain.uptime import Counts
from kener_async.store import incident_lists, layers, rollups
from kener_async.store.dirty import Span
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class DayRecord:
    """The counts, the runs and the samples (by minute) of a day, and the incidents that overlap it."""

    counts: Counts
    runs: Sequence[Run]
    samples: Mapping[int, Sample]
    incidents: Sequence[incident_lists.IncidentThread]


def load(session: Session, monitor: int, tag: str, day: Span, counted: Span, now: int) -> DayRecord:
    """Load a day; `counted` is the part of it that has begun and is kept."""
    timeline, samples = list[Run](), dict[int, Sample]()
    for start, end, stored in layers.load_pieces(session, monitor, counted, now):
        timeline += runs(stored, start, end)
        samples |= stored.samples
    return DayRecord(
        rollups.count_window(session, monitor, counted, now),
        timeline,
        samples,
        incident_lists.overlapping(session, *day, tag),
    )
