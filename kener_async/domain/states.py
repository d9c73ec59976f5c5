"""What is published: how each monitor stands now and what its UTC day so far adds up to, without a query."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from kener_async.domain.calendar import day_so_far, quarter_of
from kener_async.domain.samples import Sample
from kener_async.domain.timeline import CurrentStatus, Layers, count_span, current_status
from kener_async.domain.uptime import NOTHING, Counts


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A monitor at an instant: its current status, and the counts of the UTC day so far."""

    current: CurrentStatus
    today: Counts
    as_of: int

    def speaks_for(self, now: int) -> bool:
        return self.as_of <= now < self.current.fresh_until


class MonitorState:
    """One monitor: its sums up to `base`, a quarter of the current day, and its layers from there on.

    Samples are added as they are stored; anything else that changes makes it stale, and it is loaded anew.
    """

    __slots__ = ("__weakref__", "_report", "_running", "base", "closed", "id", "layers", "samples", "tag")

    def __init__(self, monitor: int, tag: str, base: int, closed: Counts, layers: Layers) -> None:
        self.id = monitor
        self.tag = tag
        self.base = base
        self.closed = closed
        self.samples: dict[int, Sample] = dict(layers.samples)
        self.layers = replace(layers, samples=self.samples)
        self._report: StatusReport | None = None
        self._running = NOTHING

    def take(self, sample: Sample) -> None:
        """Add a stored sample of a minute from `base` on."""
        self.samples[sample.minute] = sample
        self._report = None

    def report(self, now: int) -> StatusReport:
        """The same object until something changes or time makes it different."""
        if self._report is None or not self._report.speaks_for(now):
            self._report = StatusReport(current_status(self.layers, now), self._count_today(now), now)
        return self._report

    def running(self, now: int) -> Counts:
        """The counts from `base`, when that is the current quarter, to the end of the current minute."""
        self.report(now)
        return self._running

    def _count_today(self, now: int) -> Counts:
        day, end = day_so_far(now)
        counted = self.closed if self.base > day else NOTHING
        # An incident that begins later in this minute says nothing yet.
        begun = [overlay for overlay in self.layers.overlays if overlay.start <= now]
        self._running = count_span(replace(self.layers, overlays=begun), max(self.base, day), end)
        return counted + self._running


class MonitorStates:
    """All monitors of the configuration, by tag.

    `revision` grows with everything that can change what is shown, `incidents_revision` when an incident or a
    comment is written. `kept_from` is the instant before which samples have been dropped.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.incidents_revision = 0
        self.kept_from = 0
        self._heard: dict[int, int] = {}
        self._by_tag: dict[str, MonitorState] = {}
        self._by_id: dict[int, MonitorState] = {}
        self._stale: set[int] = set()

    def __len__(self) -> int:
        return len(self._by_tag)

    def __iter__(self) -> Iterator[MonitorState]:
        return iter(self._by_tag.values())

    def find(self, tag: str) -> MonitorState | None:
        return self._by_tag.get(tag)

    def publish(self, lives: Iterable[MonitorState]) -> None:
        """Put freshly loaded monitors in the place of what was known of them."""
        self.note()
        for live in lives:
            self._by_tag[live.tag] = self._by_id[live.id] = live
            self._stale.discard(live.id)

    def keep_only(self, tags: Iterable[str]) -> None:
        """Take down the monitors that are not configured any more."""
        self.note()
        for tag in self._by_tag.keys() - set(tags):
            live = self._by_tag.pop(tag)
            del self._by_id[live.id]
            self._stale.discard(live.id)

    def take(self, stored: Mapping[tuple[int, int], Sample]) -> None:
        """Take in samples that have just been stored."""
        self.note()
        for sample in stored.values():
            live = self._by_id.get(sample.monitor)
            if live is None:
                continue
            if sample.minute >= live.base:
                live.take(sample)
            else:
                self._stale.add(live.id)

    def hear(self, heard: Iterable[int], now: int) -> None:
        """Note that reports of these monitors came in, about whatever minutes."""
        for monitor in heard:
            self._heard[monitor] = now

    def remember(self, heard: Mapping[int, int]) -> None:
        """Take in when monitors were heard before the start."""
        self._heard = {**heard, **self._heard}

    def last_heard(self, live: MonitorState, now: int) -> int | None:
        """When a report of the monitor last came in; None: never. The minute of one was not before it."""
        newest = live.report(now).current.newest
        known = [self._heard[live.id]] if live.id in self._heard else []
        return max([*known, newest.minute] if newest is not None else known, default=None)

    def outdate(self, tags: Iterable[str] | None = None) -> None:
        """Note that other layers of these monitors, or of all, have changed."""
        self.note()
        if tags is None:
            self._stale.update(self._by_id)
        else:
            self._stale.update(live.id for tag in tags if (live := self._by_tag.get(tag)) is not None)

    def keep_from(self, instant: int) -> None:
        """Note the instant before which samples have been dropped."""
        if instant != self.kept_from:
            self.kept_from = instant
            self.note()

    def note(self) -> None:
        """Note that something that is shown may be another."""
        self.revision += 1

    def note_incident(self) -> None:
        """Note that an incident or a comment was written."""
        self.incidents_revision += 1
        self.note()

    @property
    def stale(self) -> int:
        """How many monitors must be loaded anew."""
        return len(self._stale)

    def is_stale(self, live: MonitorState, now: int) -> bool:
        """Whether it must be loaded anew; also when the clock was set back before its base."""
        return live.id in self._stale or live.base > quarter_of(now)
