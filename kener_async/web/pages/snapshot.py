"""The snapshot: the data of all pages as of one instant, shared by all requests until something changes."""

import asyncio
import itertools
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from aiohttp import web

from kener_async.clock import Clock
from kener_async.config.announcements import announcements_in_force
from kener_async.config.model import Announcement, Config, MonitorConfig
from kener_async.domain.calendar import DAY, is_showable, minute_end, minute_of
from kener_async.domain.days import status_of_day
from kener_async.domain.errors import NotFound
from kener_async.domain.headline import Headline, HeadlineKind, Member, headline, kind_of
from kener_async.domain.incident_updates import Update
from kener_async.domain.incidents import Incident, IncidentStage, shown_to
from kener_async.domain.overview import Overview
from kener_async.domain.samples import Status
from kener_async.domain.states import MonitorState, MonitorStates
from kener_async.domain.timeline import CurrentStatus, Reason
from kener_async.domain.uptime import Counts
from kener_async.domain.windows import WINDOWS
from kener_async.keys import Running
from kener_async.store import incident_lists, managed, streaks
from kener_async.store.incident_lists import IncidentThread
from kener_async.store.interface import Database
from kener_async.web.pages.throttle import RenderThrottle

RECENT = 14 * DAY
ATTEMPTS = 3
MAX_VIEWS = 1024  # about 3 KB each
CACHED_DAYS = 4096  # most monitors have had the same day as others: all of it UP
VIEWS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class DayView:
    """A civil day in the site's zone. `end` is exclusive, and that of the whole day even for today."""

    date: date
    start: int
    end: int
    counts: Counts
    status: Status


@dataclass(frozen=True, slots=True, eq=False)
class MonitorNow:
    """A monitor and its current status: what a snapshot has of every monitor, because it costs little."""

    monitor: MonitorConfig
    state: MonitorState
    current: CurrentStatus

    @property
    def status(self) -> Status:
        return self.current.status

    def member(self, since: int | None) -> Member:
        """The monitor as part of a headline; `since`: when its status began."""
        current = self.current
        if current.status is Status.NO_DATA:
            since = None if current.newest is None else current.newest.minute
        return Member(self.monitor.name, current.status, since, current.reason is Reason.DEADLINE)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class MonitorView:
    """A monitor as pages show it, with its history: made for the monitors of a page only.

    `windows` are the counts by "90d", "30d", "7d", "24h" and "today", the day in the site's zone; `days` the
    last 90 and today, oldest first. `since`: when the current status began, None while there is no data.
    """

    monitor: MonitorConfig
    current: CurrentStatus
    windows: Mapping[str, Counts]
    days: Sequence[DayView]
    since: int | None

    @property
    def status(self) -> Status:
        return self.current.status


@dataclass(frozen=True, slots=True, eq=False)
class IncidentView:
    """An incident or maintenance with its updates, oldest first; `tags` are those of visible monitors."""

    incident: Incident
    updates: Sequence[Update]
    tags: Sequence[str]

    @property
    def comments(self) -> list[Update]:
        """The updates that say something, oldest first."""
        return [update for update in self.updates if update.body]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Visible monitors by tag in the configured order, and incidents that name at least one of them.

    `ongoing` is ordered by severity, then start, `upcoming` by start; `recent` was closed in the last 14
    days, newest first. The snapshot is current as long as `revision` is that of the monitor states, but not
    after `until`.
    """

    serial: int
    config: Config
    now: int
    until: int
    revision: int
    kept_from: int
    by_tag: Mapping[str, MonitorNow]
    headline: Headline
    ongoing: Sequence[IncidentView]
    upcoming: Sequence[IncidentView]
    recent: Sequence[IncidentView]
    announcements: Sequence[Announcement]

    @property
    def monitors(self) -> Collection[MonitorNow]:
        return self.by_tag.values()

    def named(self, tag: str) -> MonitorNow:
        """The visible monitor of this tag; raises NotFound."""
        monitor = self.by_tag.get(tag)
        if monitor is None:
            raise NotFound("there is no such monitor")
        return monitor


class Snapshots:
    """The current snapshot; built when a page is requested and something has changed since the last one.

    A request never sees less than what was acknowledged before it came. Requests that come while a snapshot
    is being built wait for it, and share it if its building began after they came.
    """

    def __init__(
        self,
        running: Running,
        states: MonitorStates,
        clock: Clock,
        needs_observing: Callable[[int], bool],
        load_states: "LoadStates",
        since: "StatusSince",
        recent_incidents: "RecentIncidents",
        stored_announcements: "StoredAnnouncements",
        throttle: RenderThrottle,
    ) -> None:
        self._running = running
        self._states = states
        self._clock = clock
        self._needs_observing = needs_observing
        self._load_states = load_states
        self._since = since
        self._recent_incidents = recent_incidents
        self._stored_announcements = stored_announcements
        self._throttle = throttle
        self._lock = asyncio.Lock()
        self._snapshot: Snapshot | None = None
        self._begun_at = 0.0
        self._serials = itertools.count(1)

    async def current(self) -> Snapshot:
        requested_at = monotonic()
        snapshot = self._snapshot
        if snapshot is not None and self._is_current(snapshot):
            return snapshot
        async with self._lock:
            snapshot = self._snapshot
            # One whose building began after the request is new enough, even if it is outdated again: under
            # steady heartbeats a request would otherwise wait for ever.
            if snapshot is None or (self._begun_at <= requested_at and not self._is_current(snapshot)):
                async with self._throttle.slot():
                    begun_at = monotonic()
                    snapshot = await self._build()
                # Set last, because after a failure waiting requests must not take the old one for a new one.
                self._snapshot, self._begun_at = snapshot, begun_at
            return snapshot

    def _is_current(self, snapshot: Snapshot) -> bool:
        now = self._clock()
        return (
            snapshot.revision == self._states.revision
            and snapshot.config is self._running.config
            and snapshot.now <= now < snapshot.until
            and not self._needs_observing(now)
        )

    async def _build(self) -> Snapshot:
        config, states = self._running.config, self._states
        monitors = [monitor for monitor in config.monitors if not monitor.hidden]
        # Looked up before the first await, because a reload may remove some of them meanwhile.
        visible_states = states.of(monitor.tag for monitor in monitors)
        revision, kept_from, now, by_tag = -1, 0, 0, dict[str, MonitorNow]()
        # Repeated if the minute ended meanwhile, or if loading one monitor changed the state of another.
        for _ in range(ATTEMPTS):
            revision, kept_from, now = states.revision, states.kept_from, self._clock()
            loaded = zip(monitors, await self._load_states(visible_states), strict=True)
            by_tag = {
                monitor.tag: MonitorNow(monitor, state, state.current(now)) for monitor, state in loaded
            }
            if revision == states.revision and minute_of(now) == minute_of(self._clock()):
                break
        visible_ones = list(_visible(await self._recent_incidents.current(), by_tag))
        visible_ones.sort(key=lambda view: (view.incident.start, view.incident.number))
        announcements = list(announcements_in_force(config, await self._stored_announcements.current()))
        stages = [(view, view.incident.stage(now)) for view in visible_ones]
        return Snapshot(
            serial=next(self._serials),
            config=config,
            now=now,
            until=_next_change(announcements, by_tag.values(), visible_ones, now),
            revision=revision,
            kept_from=kept_from,
            by_tag=by_tag,
            headline=await self._since.headline(by_tag.values(), now),
            ongoing=sorted((view for view, stage in stages if stage.is_ongoing), key=_severity),
            upcoming=[view for view, stage in stages if stage is IncidentStage.SCHEDULED],
            recent=_recent(visible_ones, now),
            announcements=[item for item in announcements if _is_active(item, now)],
        )


def _next_change(
    announcements: Iterable[Announcement],
    monitors: Iterable[MonitorNow],
    visible_ones: Iterable[IncidentView],
    now: int,
) -> int:
    """The next instant at which time alone changes what pages show; the end of the minute at the latest."""
    instants = [minute_end(now)]
    instants += [monitor.current.fresh_until for monitor in monitors]
    for view in visible_ones:
        instants += [view.incident.start, view.incident.end or 0]
    for announcement in announcements:
        instants += [announcement.start or 0, announcement.end or 0]
    return min(instant for instant in instants if instant > now)


def _severity(view: IncidentView) -> int:
    """The place among the ongoing ones: outages, degradations, notices, maintenance."""
    order = (Status.DOWN, Status.DEGRADED, None, Status.MAINTENANCE)
    return order.index(view.incident.effect)


def _is_active(announcement: Announcement, now: int) -> bool:
    has_begun = announcement.start is None or announcement.start <= now
    return has_begun and (announcement.end is None or now < announcement.end)


def _visible(threads: Iterable[IncidentThread], tags: Container[str]) -> Iterator[IncidentView]:
    for incident, updates in threads:
        visible_tags = [tag for tag in incident.tags if tag in tags]
        if visible_tags and incident.is_showable:
            shown = [update for update in updates if is_showable(update.at)]
            yield IncidentView(shown_to(incident, visible_tags), shown, visible_tags)


def visible(threads: Iterable[IncidentThread], snapshot: Snapshot) -> list[IncidentView]:
    """The incidents that name a visible monitor, without those that not every time zone can show."""
    return list(_visible(threads, snapshot.by_tag))


def _recent(views: Iterable[IncidentView], now: int) -> list[IncidentView]:
    closed = [(view.incident.closed_as_of(now) or 0, view) for view in views]
    newest_first = sorted(closed, key=lambda pair: (-pair[0], -pair[1].incident.number))
    return [view for closed_at, view in newest_first if closed_at > now - RECENT]


LoadStates = Callable[[Sequence[MonitorState]], Awaitable[Sequence[MonitorState]]]
LoadOverviews = Callable[[Sequence[MonitorState], ZoneInfo], Awaitable[Sequence[Overview]]]


class MonitorViews:
    """Views of the monitors that pages show; one that has not changed since it was made is the same object.

    So what is rendered of it, such as its row on the home page, can be reused. Those used last are kept.
    """

    def __init__(self, load_overviews: LoadOverviews, since: "StatusSince") -> None:
        self._load_overviews = load_overviews
        self.since = since
        self._config: Config | None = None
        self._kept_from = 0
        self._views: OrderedDict[str, MonitorView] = OrderedDict()  # by tag, the most recently used last

    async def of(self, snapshot: Snapshot, monitors: Iterable[MonitorNow]) -> list[MonitorView]:
        """Views of these monitors, with their status as of the snapshot."""
        if snapshot.config is not self._config or snapshot.kept_from != self._kept_from:
            self._views.clear()
            self._config, self._kept_from = snapshot.config, snapshot.kept_from
        wanted = list(monitors)
        views: list[MonitorView] = []
        for first in range(0, len(wanted), VIEWS_AT_ONCE):
            views += await self._of_some(snapshot, wanted[first : first + VIEWS_AT_ONCE])
        return views

    async def _of_some(self, snapshot: Snapshot, monitors: Sequence[MonitorNow]) -> list[MonitorView]:
        kept = {monitor.monitor.tag: self._kept(monitor) for monitor in monitors}
        changed = [monitor for monitor in monitors if kept[monitor.monitor.tag] is None]
        states = [monitor.state for monitor in changed]
        overviews = await self._load_overviews(states, snapshot.config.site.timezone)
        since = await self.since.of(changed, snapshot.now)
        made = {
            monitor.monitor.tag: _monitor_view(monitor, overview, begin, self._views.get(monitor.monitor.tag))
            for monitor, overview, begin in zip(changed, overviews, since, strict=True)
        }
        views = [kept[monitor.monitor.tag] or made[monitor.monitor.tag] for monitor in monitors]
        self._keep(views)
        return views

    def _kept(self, monitor: MonitorNow) -> MonitorView | None:
        view = self._views.get(monitor.monitor.tag)
        # The view holds its status, so that no other one gets the same identity while it is kept here.
        return view if view is not None and view.current is monitor.current else None

    def _keep(self, views: Iterable[MonitorView]) -> None:
        for view in views:
            self._views[view.monitor.tag] = view
            self._views.move_to_end(view.monitor.tag)
        while len(self._views) > MAX_VIEWS:
            self._views.popitem(last=False)


def _monitor_view(
    now: MonitorNow, overview: Overview, since: int | None, previous: MonitorView | None
) -> MonitorView:
    """The view of a monitor; days that have not changed are those of the previous view."""
    monitor = now.monitor
    minimums = monitor.day_degraded_minimum_count, monitor.day_down_minimum_count
    known = {} if previous is None else {day.start: day for day in previous.days}
    days = [
        old
        if (old := known.get(start)) is not None and old.counts is counts and old.end == end
        else _day_view(day, start, end, counts, minimums)
        for day, start, end, counts in overview.days
    ]
    windows = {name: overview.windows[name] for name in reversed(WINDOWS)}  # longest first, as shown
    return MonitorView(monitor, now.current, {**windows, "today": days[-1].counts}, days, since)


@lru_cache(CACHED_DAYS)
def _day_view(day: date, start: int, end: int, counts: Counts, minimums: tuple[int, int]) -> DayView:
    """A day as views have it: the same object for all monitors of which it is the same."""
    return DayView(day, start, end, counts, status_of_day(counts, *minimums))


class StatusSince:
    """Since when monitors have had their current status.

    What lies before the quarter in which a state was loaded is read from the store once for each status.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._before: WeakKeyDictionary[MonitorState, dict[Status, int | None]] = WeakKeyDictionary()
        self._known: WeakKeyDictionary[MonitorState, tuple[CurrentStatus, int | None]] = WeakKeyDictionary()

    async def of(self, monitors: Sequence[MonitorNow], now: int) -> list[int | None]:
        """For each monitor the start of the streak of its status; None while there is no data."""
        unknown = [one for one in monitors if self._find(one) is None]
        for one, since in zip(unknown, await self._computed(unknown, now), strict=True):
            self._known[one.state] = one.current, since
        return [found[1] if (found := self._find(one)) is not None else None for one in monitors]

    def _find(self, one: MonitorNow) -> tuple[CurrentStatus, int | None] | None:
        """What is known of a monitor, if neither it nor its status has changed since."""
        known = self._known.get(one.state)
        return known if known is not None and known[0] is one.current else None

    async def _computed(self, monitors: Sequence[MonitorNow], now: int) -> list[int | None]:
        streaks_now = [one.state.streak(now, one.status) for one in monitors]
        unread = [
            (one.state, one.status)
            for one, (_, is_complete) in zip(monitors, streaks_now, strict=True)
            if not is_complete
            and one.status not in self._before.setdefault(one.state, {Status.NO_DATA: None})
        ]
        await self._read(unread)
        since = []
        for one, (start, is_complete) in zip(monitors, streaks_now, strict=True):
            earlier = None if is_complete else self._before[one.state][one.status]
            since.append(start if earlier is None else earlier)
        return since

    async def headline(self, monitors: Collection[MonitorNow], now: int) -> Headline:
        """The overall status of these monitors."""
        kind = kind_of({one.status for one in monitors})
        affected = [one for one in monitors if one.status is kind.status]
        if kind in (HeadlineKind.OPERATIONAL, HeadlineKind.NOT_REPORTED):
            affected = []  # of monitors without data the last report counts
        since = await self.of(affected, now)
        begun = {one.monitor.tag: begin for one, begin in zip(affected, since, strict=True)}
        return headline([one.member(begun.get(one.monitor.tag)) for one in monitors])

    async def _read(self, unread: Sequence[tuple[MonitorState, Status]]) -> None:
        by_base = defaultdict[int, dict[int, Status]](dict)
        for state, status in unread:
            by_base[state.base][state.id] = status
        starts: dict[int, int | None] = {}
        for base, statuses in by_base.items():
            starts |= await self._database.read(streaks.since, statuses, base)
        for state, status in unread:
            self._before[state][status] = starts[state.id]


STATUS_SINCE = web.AppKey("status since", StatusSince)


class RecentIncidents:
    """Incidents that are open or closed lately, with updates; read again when any incident was written."""

    def __init__(self, database: Database, states: MonitorStates, clock: Clock) -> None:
        self._database = database
        self._states = states
        self._clock = clock
        self._read_at = 0
        self._revision = -1
        self._incidents: Sequence[IncidentThread] = ()

    async def current(self) -> Sequence[IncidentThread]:
        revision, now = self._states.incidents_revision, self._clock()
        # Read at least once a day, so that those closed long ago go.
        if revision != self._revision or not self._read_at <= now < self._read_at + DAY:
            self._incidents = await self._database.read(incident_lists.current, now - RECENT)
            self._revision, self._read_at = revision, now
        return self._incidents


class StoredAnnouncements:
    """The announcements of the database; read again when one, or an incident, was written."""

    def __init__(self, database: Database, states: MonitorStates) -> None:
        self._database = database
        self._states = states
        self._revision = -1
        self._bodies: Sequence[Mapping[str, Any]] = ()

    async def current(self) -> Sequence[Mapping[str, Any]]:
        """Each with the keys of its table in config.toml, by name."""
        revision = self._states.incidents_revision
        if revision != self._revision:
            stored = await self._database.read(managed.list_of, "announcement")
            self._bodies, self._revision = [each.body for each in stored], revision
        return self._bodies
