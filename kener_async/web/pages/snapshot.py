"""The snapshot: the data of all pages as of one instant, shared by all requests until something changes."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from time import monotonic
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from kener_async.clock import Clock
from kener_async.config.model import Announcement, Config, MonitorConfig
from kener_async.domain.calendar import DAY, is_showable, minute_end, minute_of
from kener_async.domain.days import status_of_day
from kener_async.domain.errors import NotFound
from kener_async.domain.headline import Headline, Member, headline
from kener_async.domain.incidents import Comment, Incident, IncidentStage
from kener_async.domain.overview import Overview
from kener_async.domain.samples import Status
from kener_async.domain.states import MonitorState, MonitorStates, StatusReport
from kener_async.domain.timeline import Reason
from kener_async.domain.uptime import Counts
from kener_async.domain.windows import WINDOWS
from kener_async.keys import Running
from kener_async.store import incidents, streaks
from kener_async.store.incidents import IncidentThread
from kener_async.store.interface import Database
from kener_async.web.pages.throttle import RenderThrottle

RECENT = 14 * DAY
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class DayView:
    """A civil day in the site's zone. `end` is exclusive, and that of the whole day even for today."""

    date: date
    start: int
    end: int
    counts: Counts
    status: Status


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class MonitorView:
    """A monitor as pages show it.

    `windows` are the counts by "90d", "30d", "7d", "24h" and "today", the day in the site's zone; `days` the
    last 90 and today, oldest first. `since`: when the current status began, None while there is no data.
    """

    monitor: MonitorConfig
    report: StatusReport
    windows: Mapping[str, Counts]
    days: Sequence[DayView]
    since: int | None

    @property
    def status(self) -> Status:
        return self.report.current.status

    @property
    def member(self) -> Member:
        """The monitor as part of a headline."""
        current, since = self.report.current, self.since
        if current.status is Status.NO_DATA:
            since = None if current.newest is None else current.newest.minute
        return Member(self.monitor.name, current.status, since, current.reason is Reason.DEADLINE)


@dataclass(frozen=True, slots=True, eq=False)
class IncidentView:
    """An incident or maintenance with its comments, oldest first; `tags` are those of visible monitors."""

    incident: Incident
    comments: Sequence[Comment]
    tags: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Visible monitors in the order of the configuration, and incidents that name at least one of them.

    `ongoing` and `upcoming` are ordered by start; `recent` was closed in the last 14 days, newest first. The
    snapshot is current as long as `revision` is that of the monitor states, but not after `until`.
    """

    serial: int
    config: Config
    now: int
    until: int
    revision: int
    kept_from: int
    monitors: Sequence[MonitorView]
    ongoing: Sequence[IncidentView]
    upcoming: Sequence[IncidentView]
    recent: Sequence[IncidentView]
    announcements: Sequence[Announcement]

    def find(self, tag: str) -> MonitorView | None:
        return next((view for view in self.monitors if view.monitor.tag == tag), None)

    def named(self, tag: str) -> MonitorView:
        """The visible monitor of this tag; raises NotFound."""
        view = self.find(tag)
        if view is None:
            raise NotFound("there is no such monitor")
        return view

    @property
    def headline(self) -> Headline:
        """The overall status of all visible monitors."""
        return headline([view.member for view in self.monitors])


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
        monitor_views: "MonitorViews",
        recent_incidents: "RecentIncidents",
        throttle: RenderThrottle,
    ) -> None:
        self._running = running
        self._states = states
        self._clock = clock
        self._needs_observing = needs_observing
        self._monitor_views = monitor_views
        self._recent_incidents = recent_incidents
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
        revision, kept_from, now, views = -1, 0, 0, list[MonitorView]()
        # Repeated if the minute ended meanwhile, or if loading one monitor changed the state of another.
        for _ in range(ATTEMPTS):
            revision, kept_from, now = states.revision, states.kept_from, self._clock()
            views = await self._monitor_views.of(config, monitors, visible_states, now, kept_from)
            if revision == states.revision and minute_of(now) == minute_of(self._clock()):
                break
        tags = {monitor.tag for monitor in monitors}
        visible_ones = list(_visible(await self._recent_incidents.current(), tags))
        visible_ones.sort(key=lambda view: (view.incident.start, view.incident.number))
        stages = [(view, view.incident.stage(now)) for view in visible_ones]
        return Snapshot(
            serial=next(self._serials),
            config=config,
            now=now,
            until=_next_change(config, views, visible_ones, now),
            revision=revision,
            kept_from=kept_from,
            monitors=views,
            ongoing=[view for view, stage in stages if stage.is_ongoing],
            upcoming=[view for view, stage in stages if stage is IncidentStage.SCHEDULED],
            recent=_recent(visible_ones, now),
            announcements=[item for item in config.announcements if _is_active(item, now)],
        )


def _next_change(
    config: Config, monitors: Iterable[MonitorView], visible_ones: Iterable[IncidentView], now: int
) -> int:
    """The next instant at which time alone changes what pages show; the end of the minute at the latest."""
    instants = [minute_end(now)]
    instants += [view.report.current.fresh_until for view in monitors]
    for view in visible_ones:
        instants += [view.incident.start, view.incident.end or 0]
    for announcement in config.announcements:
        instants += [announcement.start or 0, announcement.end or 0]
    return min(instant for instant in instants if instant > now)


def _is_active(announcement: Announcement, now: int) -> bool:
    has_begun = announcement.start is None or announcement.start <= now
    return has_begun and (announcement.end is None or now < announcement.end)


def _visible(threads: Iterable[IncidentThread], tags: set[str]) -> Iterator[IncidentView]:
    for incident, comments in threads:
        visible_tags = [tag for tag in incident.tags if tag in tags]
        if visible_tags and incident.is_showable:
            shown = [comment for comment in comments if is_showable(comment.created_at)]
            yield IncidentView(incident, shown, visible_tags)


def visible(threads: Iterable[IncidentThread], snapshot: Snapshot) -> list[IncidentView]:
    """The incidents that name a visible monitor, without those that not every time zone can show."""
    return list(_visible(threads, {view.monitor.tag for view in snapshot.monitors}))


def _recent(views: Iterable[IncidentView], now: int) -> list[IncidentView]:
    closed = [(view.incident.closed_as_of(now) or 0, view) for view in views]
    newest_first = sorted(closed, key=lambda pair: (-pair[0], -pair[1].incident.number))
    return [view for closed_at, view in newest_first if closed_at > now - RECENT]


LoadStates = Callable[[Sequence[MonitorState]], Awaitable[Sequence[MonitorState]]]
LoadOverviews = Callable[[Sequence[MonitorState], ZoneInfo], Awaitable[Sequence[Overview]]]


class MonitorViews:
    """Views of monitors; one that has not changed since the last snapshot is the same object.

    So what is rendered of it, such as its row on the home page, can be reused.
    """

    def __init__(self, load_states: LoadStates, load_overviews: LoadOverviews, since: "StatusSince") -> None:
        self._load_states = load_states
        self._load_overviews = load_overviews
        self._since = since
        self._config: Config | None = None
        self._kept_from = 0
        # By the identity of their report: two monitors may have equal reports.
        self._views: Mapping[int, MonitorView] = {}

    async def of(
        self,
        config: Config,
        monitors: Sequence[MonitorConfig],
        states: Sequence[MonitorState],
        now: int,
        kept_from: int,
    ) -> list[MonitorView]:
        states = await self._load_states(states)
        reports = [state.report(now) for state in states]
        if config is not self._config or kept_from != self._kept_from:
            self._views = {}
        views = dict(self._views)
        changed = [place for place, report in enumerate(reports) if id(report) not in views]
        changed_states = [states[place] for place in changed]
        overviews = await self._load_overviews(changed_states, config.site.timezone)
        since = await self._since.of(changed_states, [reports[place] for place in changed], now)
        for place, overview, begin in zip(changed, overviews, since, strict=True):
            views[id(reports[place])] = _monitor_view(monitors[place], reports[place], overview, begin)
        # A view holds its report, so that no other report gets the same identity while it is kept here.
        self._config, self._kept_from = config, kept_from
        self._views = {id(report): views[id(report)] for report in reports}
        return [views[id(report)] for report in reports]


def _monitor_view(
    monitor: MonitorConfig, report: StatusReport, overview: Overview, since: int | None
) -> MonitorView:
    days = [
        DayView(
            day,
            start,
            end,
            counts,
            status_of_day(counts, monitor.day_degraded_minimum_count, monitor.day_down_minimum_count),
        )
        for day, start, end, counts in overview.days
    ]
    windows = {name: overview.windows[name] for name in reversed(WINDOWS)}  # longest first, as shown
    return MonitorView(monitor, report, {**windows, "today": days[-1].counts}, days, since)


class StatusSince:
    """Since when monitors have had their current status.

    What lies before the quarter in which a state was loaded is read from the store once for each status.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._before: WeakKeyDictionary[MonitorState, dict[Status, int | None]] = WeakKeyDictionary()

    async def of(
        self, states: Sequence[MonitorState], reports: Sequence[StatusReport], now: int
    ) -> list[int | None]:
        """For each monitor the start of the streak of its current status; None while there is no data."""
        statuses = [report.current.status for report in reports]
        streaks_now = [state.streak(now) for state in states]
        unread = [
            (state, status)
            for state, status, (_, is_complete) in zip(states, statuses, streaks_now, strict=True)
            if not is_complete and status not in self._before.setdefault(state, {Status.NO_DATA: None})
        ]
        await self._read(unread)
        since = []
        for state, status, (start, is_complete) in zip(states, statuses, streaks_now, strict=True):
            earlier = None if is_complete else self._before[state][status]
            since.append(start if earlier is None else earlier)
        return since

    async def _read(self, unread: Sequence[tuple[MonitorState, Status]]) -> None:
        by_base = defaultdict[int, dict[int, Status]](dict)
        for state, status in unread:
            by_base[state.base][state.id] = status
        starts: dict[int, int | None] = {}
        for base, statuses in by_base.items():
            starts |= await self._database.read(streaks.since, statuses, base)
        for state, status in unread:
            self._before[state][status] = starts[state.id]


class RecentIncidents:
    """Incidents that are open or closed lately, with comments; read again when any incident was written."""

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
            self._incidents = await self._database.read(incidents.current, now - RECENT)
            self._revision, self._read_at = revision, now
        return self._incidents
