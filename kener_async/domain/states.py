"""Monitor states in memory: the current status and the UTC day so far of each monitor, without a query."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace

from kener_async.domain.calendar import day_so_far, minute_end, quarter_of
from kener_async.domain.changes import ChangedMonitors
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.incidents import Incident
from kener_async.domain.samples import Sample, Status
from kener_async.domain.streaks import streak
from kener_async.domain.timeline import (
    UNKNOWN,
    CurrentStatus,
    Layers,
    RelatedMinutes,
    Run,
    count,
    current_status,
    related_minutes,
    runs,
)
from kener_async.domain.uptime import NOTHING, Counts


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A monitor at an instant: its current status, and the counts of the UTC day so far."""

    current: CurrentStatus
    today: Counts
    as_of: int

    def is_valid_at(self, now: int) -> bool:
        """Whether the report still holds at `now`."""
        return self.as_of <= now < self.current.fresh_until


class MonitorState:
    """One monitor: its counts up to `base`, a quarter of the current day, and its layers from there on.

    Samples are added as they are stored; any other change marks the state stale, and it is loaded again. A
    monitor that follows from others has copies of theirs, to which their samples are added, too; each keeps
    its minutes, so that a sample of one has only that one computed again.
    """

    __slots__ = (
        *("__weakref__", "_chains", "_current", "_current_as_of", "_followed", "_measured", "_report"),
        *("_running", "base", "closed", "id", "layers", "related", "samples", "tag"),
    )

    def __init__(self, monitor: int, tag: str, base: int, closed: Counts, layers: Layers) -> None:
        self.id = monitor
        self.tag = tag
        self.base = base
        self.closed = closed
        self.samples: dict[int, Sample] = dict(layers.samples)
        self.related: dict[str, MonitorState] = {
            name: MonitorState(one.monitor, name, base, NOTHING, one) for name, one in layers.related.items()
        }
        live = {name: state.layers for name, state in self.related.items()}
        self.layers: Layers = replace(layers, samples=self.samples, related=live)
        self._chains = self._related_chains()
        self._current_as_of = 0
        self._running = NOTHING
        self._forget()

    def _related_chains(self) -> dict[int, list[tuple["MonitorState", ...]]]:
        """The copies of each monitor, each with those that it is within."""
        chains: dict[int, list[tuple[MonitorState, ...]]] = {}
        for state in self.related.values():
            chains.setdefault(state.id, []).append((state,))
            for monitor, inner in state._chains.items():
                chains.setdefault(monitor, []).extend((state, *chain) for chain in inner)
        return chains

    @classmethod
    def empty(cls, monitor: int, tag: str, now: int) -> "MonitorState":
        """A monitor before anything was loaded."""
        return cls(monitor, tag, quarter_of(now), NOTHING, UNKNOWN)

    def has_settings(self, settings: MonitorSettings, now: int) -> bool:
        """Whether these were loaded as the newest settings, noted not after `now`."""
        newest = self.layers.versions[-1] if self.layers.versions else None
        return newest is not None and newest.settings == settings and newest.since <= now

    @property
    def followed(self) -> Collection[int]:
        """The ids of the monitors that it follows from, also through others."""
        return self._chains.keys()

    def follows(self, tags: Set[str]) -> bool:
        """Whether it follows from one of these monitors, also through others."""
        return any(name in tags or state.follows(tags) for name, state in self.related.items())

    def add_sample(self, sample: Sample) -> None:
        """Add a stored sample of a minute from `base` on."""
        self.samples[sample.minute] = sample
        self._forget()

    def add_followed_sample(self, sample: Sample) -> None:
        """Add a stored sample of a monitor that it follows from, of a minute from `base` on."""
        self._forget()
        for chain in self._chains.get(sample.monitor, ()):
            chain[-1].samples[sample.minute] = sample
            for state in chain:
                state._forget()

    def _forget(self) -> None:
        """Drop what was computed."""
        self._current: CurrentStatus | None = None
        self._report: StatusReport | None = None
        self._followed: RelatedMinutes | None = None
        self._measured: RelatedMinutes | None = None

    def current(self, now: int) -> CurrentStatus:
        """The current status at `now`; the same object until the monitor or its status changes."""
        current = self._current
        if current is None or not self._current_as_of <= now < current.fresh_until:
            self._forget()
            related = {name: state.current(now) for name, state in self.related.items()}
            self._current = current = current_status(self.layers, now, related)
            self._current_as_of = now
        return current

    def report(self, now: int) -> StatusReport:
        """The status report at `now`; the same object until the monitor or its status changes."""
        if self._report is None or not self._report.is_valid_at(now):
            self._report = StatusReport(self.current(now), self._count_today(now), now)
        return self._report

    def running(self, now: int) -> Counts:
        """The counts from `base`, when that is the current quarter, to the end of the current minute."""
        self.report(now)
        return self._running

    def streak(self, now: int, status: Status) -> tuple[int | None, bool]:
        """The start of the streak of a status, and whether it is known to begin after `base`."""
        return streak(list(self._runs(now, self.base)), status)

    def measured(self, now: int) -> list[Run]:
        """The minutes from `base` up to and including the current one, without what people say of incidents.

        A parent that is DOWN excuses nothing, because alerts have rules of their own for parents.
        """
        return list(self._measured_runs(now, excuses=False))

    def _runs(self, now: int, start: int) -> Iterator[Run]:
        overlays = [overlay for overlay in self.layers.overlays if overlay.start <= now]
        related = {name: state._followed_minutes(now) for name, state in self.related.items()}
        return runs(replace(self.layers, overlays=overlays), start, minute_end(now), related)

    def _measured_runs(self, now: int, *, excuses: bool) -> Iterator[Run]:
        overlays = [one for one in self.layers.overlays if one.start <= now and one.maintenance]
        related = {name: state._measured_minutes(now) for name, state in self.related.items()}
        layers = replace(self.layers, overlays=overlays, excuses=excuses)
        return runs(layers, self.base, minute_end(now), related)

    def _followed_minutes(self, now: int) -> RelatedMinutes:
        """Its minutes from `base` on, for those that follow from it; kept as long as the current status."""
        self.current(now)
        if self._followed is None:
            self._followed = related_minutes(self._runs(now, self.base))
        return self._followed

    def _measured_minutes(self, now: int) -> RelatedMinutes:
        self.current(now)
        if self._measured is None:
            self._measured = related_minutes(self._measured_runs(now, excuses=True))
        return self._measured

    def _count_today(self, now: int) -> Counts:
        day, end = day_so_far(now)
        counted = self.closed if self.base > day else NOTHING
        start = max(self.base, day)
        samples = [self.samples[minute] for minute in sorted(self.samples) if start <= minute < end]
        self._running = count(self._runs(now, start), samples)
        return counted + self._running


class MonitorStates:
    """The states of all configured monitors, by tag.

    `groups` are the tags of those that follow from members and have no reports of their own. `revision` grows
    with every change that pages may show, `incidents_revision` when an incident or a comment is written.
    `kept_from` is the instant before which samples have been dropped. `changes` collects what alert rules
    have to look at again.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.incidents_revision = 0
        self.kept_from = 0
        self.groups: frozenset[str] = frozenset()
        self.changes = ChangedMonitors()
        self._heard: dict[int, int] = {}
        self._by_tag: dict[str, MonitorState] = {}
        self._by_id: dict[int, MonitorState] = {}
        self._stale: set[int] = set()
        self._followers: dict[int, dict[int, MonitorState]] = {}  # by the monitor they follow from, by id

    def __len__(self) -> int:
        return len(self._by_tag)

    def __iter__(self) -> Iterator[MonitorState]:
        return iter(self._by_tag.values())

    def find(self, tag: str) -> MonitorState | None:
        return self._by_tag.get(tag)

    def of(self, tags: Iterable[str]) -> list[MonitorState]:
        """The monitors of these tags; raises KeyError for one that is not configured."""
        return [self._by_tag[tag] for tag in tags]

    def count_bad(self, tags: Iterable[str], now: int) -> int:
        """How many of these monitors are DOWN or DEGRADED now."""
        return sum(state.current(now).status in (Status.DEGRADED, Status.DOWN) for state in self.of(tags))

    def publish(self, states: Iterable[MonitorState]) -> None:
        """Replace the states of these monitors by freshly loaded ones."""
        self.note_change()
        for state in states:
            self._note_followed(self._by_id.get(state.id), state)
            self._by_tag[state.tag] = self._by_id[state.id] = state
            self._stale.discard(state.id)

    def _note_followed(self, before: MonitorState | None, state: MonitorState) -> None:
        for monitor in before.followed if before is not None else ():
            self._followers.get(monitor, {}).pop(state.id, None)
        for monitor in state.followed:
            self._followers.setdefault(monitor, {})[state.id] = state

    def configure(self, ids: Mapping[str, int], settings: Mapping[str, MonitorSettings], now: int) -> None:
        """Replace all monitors by these, in this order; those that are new or have new settings are stale."""
        self.note_change()
        self.groups = frozenset(tag for tag, given in settings.items() if given.group is not None)
        before = self._by_tag
        self._by_tag = {tag: before.get(tag) or MonitorState.empty(ids[tag], tag, now) for tag in ids}
        self._by_id = {state.id: state for state in self._by_tag.values()}
        self._stale &= self._by_id.keys()
        self._followers = {}
        for state in self._by_tag.values():
            self._note_followed(None, state)
        changed = self._with_followers(
            {tag for tag, state in self._by_tag.items() if not state.has_settings(settings[tag], now)}
            | (before.keys() - self._by_tag.keys())
        )
        self._stale.update(changed)
        self.changes.add(changed)

    def _with_followers(self, tags: Set[str]) -> list[int]:
        """The ids of these monitors, and of those that follow from them."""
        return [state.id for state in self if state.tag in tags or (state.related and state.follows(tags))]

    def add_samples(self, stored: Mapping[tuple[int, int], Sample]) -> None:
        """Add samples that have just been stored, by monitor and minute.

        One that lies before its monitor's `base` marks the monitor stale, because its counts have changed.
        """
        self.note_change()
        watched = self.changes.watched
        followers = self._followers
        for sample in stored.values():
            if sample.monitor in followers:
                self._add_to_followers(sample)
            if watched and sample.monitor in watched:
                self.changes.add_sample(sample.monitor, sample)
            state = self._by_id.get(sample.monitor)
            if state is None:
                continue
            if sample.minute >= state.base:
                state.add_sample(sample)
            else:
                self._stale.add(state.id)

    def _add_to_followers(self, sample: Sample) -> None:
        for state in self._followers[sample.monitor].values():
            if state.id in self.changes.watched:
                self.changes.add_sample(state.id, sample)
            if sample.minute >= state.base:
                state.add_followed_sample(sample)
            else:
                self._stale.add(state.id)

    def note_heard(self, monitors: Iterable[int], now: int) -> None:
        """Record that reports of these monitors came in, about whatever minutes."""
        for monitor in monitors:
            self._heard[monitor] = now

    def restore_heard(self, heard: Mapping[int, int]) -> None:
        """Add when monitors were last heard before the start, by monitor, in UTC seconds."""
        self._heard = {**heard, **self._heard}

    def last_heard(self, state: MonitorState, now: int) -> int | None:
        """When a report of the monitor last came in; None: never. The minute of one was not before it."""
        newest = state.current(now).newest
        instants = (self._heard.get(state.id), None if newest is None else newest.minute)
        return max((instant for instant in instants if instant is not None), default=None)

    def mark_stale(self, tags: Iterable[str] | None = None) -> None:
        """Mark these monitors, or all, to be loaded again: layers other than their samples have changed."""
        self.note_change()
        changed = list(self._by_id) if tags is None else self._with_followers(set(tags))
        self._stale.update(changed)
        self.changes.add(changed)

    def note_set_back(self) -> None:
        """Record that the clock was set back and nothing that is stored changed: alert rules go by it."""
        self.note_change()
        self.changes.add(list(self._by_id))

    def note_kept_from(self, instant: int) -> None:
        """Record the instant before which samples have been dropped."""
        if instant != self.kept_from:
            self.kept_from = instant
            self.note_change()

    def note_change(self) -> None:
        """Record that something pages show may have changed."""
        self.revision += 1

    def note_incidents(self, *changed: Incident) -> None:
        """Record that these incidents were written: given as they were before, and as they are."""
        self.mark_stale({tag for incident in changed for tag in incident.tags})
        self.note_incident_change()

    def note_incident_change(self) -> None:
        """Record that an incident or a comment was written."""
        self.incidents_revision += 1
        self.note_change()

    @property
    def stale(self) -> int:
        """The number of monitors that must be loaded again."""
        return len(self._stale)

    def is_stale(self, state: MonitorState, now: int) -> bool:
        """Whether it must be loaded again, also because the clock was set back before its base."""
        return state.id in self._stale or state.base > quarter_of(now)
