"""The snapshot: everything the pages say, as of one instant, shared by all until something changes."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from time import monotonic
from weakref import WeakKeyDictionary

from aiohttp import web

from kener_async import keys
from kener_async.config.model import Announcement, Config, MonitorConfig
from kener_async.domain.calendar import DAY, MINUTE, minute_of
from kener_async.domain.days import status_of_day
from kener_async.domain.errors import NotFound
from kener_async.domain.incidents import Comment, Incident, IncidentStage
from kener_async.domain.overview import Overview
from kener_async.domain.samples import Status
from kener_async.domain.states import MonitorState, StatusReport
from kener_async.domain.uptime import Counts
from kener_async.domain.windows import WINDOWS
from kener_async.store import incidents, streaks
from kener_async.web.pages.throttle import RenderThrottle

RECENT = 14 * DAY
TRIES = 3


@dataclass(frozen=True, slots=True)
class DayView:
    """A civil day in the site's zone, as one bar shows it; `end` is exclusive, and that of the whole day."""

    date: date
    start: int
    end: int
    counts: Counts
    status: Status


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class MonitorView:
    """A monitor with everything the page says of it.

    `windows` are the counts by "90d", "30d", "7d", "24h" and "today", the day in the site's zone; `days` the
    last 90 and today, oldest first. `since`: when the current status began, None while nothing is known.
    """

    monitor: MonitorConfig
    report: StatusReport
    windows: Mapping[str, Counts]
    days: Sequence[DayView]
    since: int | None

    @property
    def status(self) -> Status:
        return self.report.current.status


@dataclass(frozen=True, slots=True, eq=False)
class IncidentView:
    """An incident or maintenance with its time line, oldest first; `tags` are those of visible monitors."""

    incident: Incident
    comments: Sequence[Comment]
    tags: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Monitors in the order of the configuration, hidden ones left out; so are events that name no other.

    `ongoing` and `upcoming` are ordered by their begin, `recent` has what closed in the last 14 days, newest
    first. The snapshot holds while `revision` is that of the monitor states, and until `until`.
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
        return next((shown for shown in self.monitors if shown.monitor.tag == tag), None)

    def named(self, tag: str) -> MonitorView:
        """The visible monitor of this tag; raises NotFound."""
        shown = self.find(tag)
        if shown is None:
            raise NotFound("there is no such monitor")
        return shown

    @property
    def statuses(self) -> list[Status]:
        return [shown.status for shown in self.monitors]


class Snapshots:
    """The current snapshot, made anew when somebody asks and something has changed.

    Nobody is shown less than what was acknowledged before they asked. Those who ask while a snapshot is being
    made wait, and share it if it was begun after they asked.
    """

    def __init__(self, pace: RenderThrottle) -> None:
        self._pace = pace
        self._turn = asyncio.Lock()
        self._snapshot: Snapshot | None = None
        self._begun = 0.0
        self._serials = itertools.count(1)
        self._events = RecentIncidents()
        self._since = Since()

    async def current(self, app: web.Application) -> Snapshot:
        asked = monotonic()
        snapshot = self._snapshot
        if snapshot is not None and _holds(snapshot, app):
            return snapshot
        async with self._turn:
            if self._snapshot is None or (self._begun <= asked and not _holds(self._snapshot, app)):
                async with self._pace.turn():
                    begun = monotonic()
                    self._snapshot = await self._made(app)
                    self._begun = begun  # not before: one that failed was made for nobody
            return self._snapshot

    async def _made(self, app: web.Application) -> Snapshot:
        config, states = app[keys.RUNNING].config, app[keys.STATES]
        # During a reload some are configured and not published yet; the revision grows when they are.
        monitors = [one for one in config.monitors if not one.hidden and states.find(one.tag) is not None]
        revision, kept_from, now, shown = -1, 0, 0, list[MonitorView]()
        for _ in range(TRIES):  # looking at one monitor may bring another up to date, and a minute may end
            revision, kept_from, now = states.revision, states.kept_from, app[keys.CLOCK]()
            shown = await self._monitors(app, config, monitors, now)
            if revision == states.revision and minute_of(now) == minute_of(app[keys.CLOCK]()):
                break
        visible = list(_visible(await self._events.known(app), {monitor.tag for monitor in monitors}))
        edges = [one.report.current.fresh_until for one in shown]
        edges += [edge for event in visible for edge in (event.incident.start, event.incident.end) if edge]
        edges += [edge for one in config.announcements for edge in (one.start, one.end) if edge]
        by_begin = sorted(visible, key=lambda event: (event.incident.start, event.incident.number))
        stages = [(event, event.incident.stage(now)) for event in by_begin]
        return Snapshot(
            serial=next(self._serials),
            config=config,
            now=now,
            until=min([minute_of(now) + MINUTE, *(edge for edge in edges if edge > now)]),
            revision=revision,
            kept_from=kept_from,
            monitors=shown,
            ongoing=[event for event, stage in stages if stage.is_ongoing],
            upcoming=[event for event, stage in stages if stage is IncidentStage.SCHEDULED],
            recent=_recent(visible, now),
            announcements=[
                one
                for one in config.announcements
                if (one.start is None or one.start <= now) and (one.end is None or now < one.end)
            ],
        )

    async def _monitors(
        self, app: web.Application, config: Config, monitors: Sequence[MonitorConfig], now: int
    ) -> list[MonitorView]:
        """All monitors; those of which nothing has changed since the last snapshot are the same objects."""
        states = [await app[keys.LOADER].state(monitor.tag) for monitor in monitors]
        reports = [state.report(now) for state in states]
        before = self._snapshot
        known: dict[
            int, MonitorView
        ] = {}  # by the identity of their report: what is equal may be two monitors
        if before is not None and before.config is config and before.kept_from == app[keys.STATES].kept_from:
            known = {id(one.report): one for one in before.monitors}
        others = [place for place, report in enumerate(reports) if id(report) not in known]
        changed = [states[place] for place in others]
        overviews = await app[keys.OVERVIEWS].of(changed, config.site.timezone)
        since = await self._since.of(app, changed, [reports[place] for place in others], now)
        made = [
            _shown(monitors[place], reports[place], overview, begin)
            for place, overview, begin in zip(others, overviews, since, strict=True)
        ]
        known.update((id(one.report), one) for one in made)
        return [known[id(report)] for report in reports]


def _holds(snapshot: Snapshot, app: web.Application) -> bool:
    now = app[keys.CLOCK]()
    return (
        snapshot.revision == app[keys.STATES].revision
        and snapshot.config is app[keys.RUNNING].config
        and snapshot.now <= now < snapshot.until
        and not app[keys.OBSERVER].is_needed(now)
    )


def _shown(
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
    windows = {
        name: overview.windows[name] for name in reversed(WINDOWS)
    }  # longest first, as pages show them
    return MonitorView(monitor, report, {**windows, "today": days[-1].counts}, days, since)


def _visible(events: Iterable[tuple[Incident, Sequence[Comment]]], tags: set[str]) -> Iterator[IncidentView]:
    for incident, comments in events:
        named = [tag for tag in incident.tags if tag in tags]
        if named:
            yield IncidentView(incident, comments, named)


def visible(found: Iterable[tuple[Incident, Sequence[Comment]]], snapshot: Snapshot) -> list[IncidentView]:
    """The incidents that name a monitor of the page."""
    return list(_visible(found, {shown.monitor.tag for shown in snapshot.monitors}))


def _recent(events: Iterable[IncidentView], now: int) -> list[IncidentView]:
    closed = [(event.incident.closed_as_of(now) or 0, event) for event in events]
    newest_first = sorted(closed, key=lambda pair: (-pair[0], -pair[1].incident.number))
    return [event for at, event in newest_first if at > now - RECENT]


class Since:
    """Since when monitors have the status they have.

    What lies before the quarter a monitor was loaded in is asked of the store once for each status it takes.
    """

    def __init__(self) -> None:
        self._before: WeakKeyDictionary[MonitorState, dict[Status, int | None]] = WeakKeyDictionary()

    async def of(
        self, app: web.Application, states: Sequence[MonitorState], reports: Sequence[StatusReport], now: int
    ) -> list[int | None]:
        """For each monitor the begin of the streak of its current status; None while there is none."""
        streaks_now = [state.streak(now) for state in states]
        asked = defaultdict[int, dict[int, Status]](dict)
        for state, report, (_, is_decided) in zip(states, reports, streaks_now, strict=True):
            status = report.current.status
            known = self._before.setdefault(state, {Status.NO_DATA: None})
            if not is_decided and status not in known:
                asked[state.base][state.id] = status
        found: dict[int, int | None] = {}
        for base, statuses in asked.items():
            found |= await app[keys.DATABASE].read(streaks.since, statuses=statuses, base=base)
        since = []
        for state, report, (begin, is_decided) in zip(states, reports, streaks_now, strict=True):
            before = self._before[state]
            if state.id in found:
                before[report.current.status] = found[state.id]
            earlier = None if is_decided else before[report.current.status]
            since.append(begin if earlier is None else earlier)
        return since


class RecentIncidents:
    """What is open or closed lately, with comments, as read when one of them was last written."""

    def __init__(self) -> None:
        self._read_at = 0
        self._revision = -1
        self._known: Sequence[tuple[Incident, Sequence[Comment]]] = ()

    async def known(self, app: web.Application) -> Sequence[tuple[Incident, Sequence[Comment]]]:
        revision, now = app[keys.STATES].incidents_revision, app[keys.CLOCK]()
        if revision != self._revision or not self._read_at <= now < self._read_at + DAY:
            work = partial(incidents.current, closed_after=now - RECENT)
            self._known = await app[keys.DATABASE].read(work)
            self._revision, self._read_at = revision, now
        return self._known


SNAPSHOTS = web.AppKey("snapshots", Snapshots)
