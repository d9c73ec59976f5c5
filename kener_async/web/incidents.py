"""/incident/{number}, the page of one incident, and /incidents, the archive by months with its calendar."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from urllib.parse import quote

from aiohttp import web

from kener_async import keys
from kener_async.domain.errors import NotFound
from kener_async.domain.incident_updates import IncidentState, Update
from kener_async.domain.incidents import Incident, IncidentStage, stages
from kener_async.domain.months import Month, neighbours
from kener_async.locales.locale import Locale
from kener_async.store import incident_lists
from kener_async.store import incidents as store
from kener_async.web.pages import labels
from kener_async.web.pages.cache import RenderedPage
from kener_async.web.pages.page import CacheKey, PageRequest, page
from kener_async.web.pages.snapshot import MonitorNow, visible
from kener_async.web.parts import calendar, markdown, series

DESCRIPTION = 160  # characters; search engines show no more
EXCERPT = 280
MAX_AFFECTED = 100  # monitors listed with their status
MAX_NAMES = 20
MAX_NUMBER_DIGITS = 18  # SQLite's integers have at most 19


# One incident


class TimelineEvent(StrEnum):
    """What an entry of an incident's timeline records; also the entry's CSS class."""

    ANNOUNCED = "announced"
    BEGAN = "began"
    UPDATED = "update"
    ENDED = "ended"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """An event at an instant, which may be in the future; `update` is that of UPDATED."""

    at: int
    event: TimelineEvent
    update: Update | None = None


def timeline(incident: Incident, updates: Sequence[Update], now: int) -> list[TimelineEntry]:
    """The events and updates of an incident, planned ones included, newest first.

    Its end is left out where the update that resolved it says the same.
    """
    resolved = {update.at for update in updates if update.state is IncidentState.RESOLVED}
    events = [
        event
        for event in _events(incident, now)
        if event.event is not TimelineEvent.ENDED or event.at not in resolved
    ]
    entries = [
        *events,
        *(TimelineEntry(update.at, TimelineEvent.UPDATED, update) for update in updates if _is_shown(update)),
    ]
    return sorted(entries, key=lambda entry: entry.at)[::-1]


def _is_shown(update: Update) -> bool:
    return bool(update.body or update.impacts) or update.state is not None


def _events(incident: Incident, now: int) -> Iterator[TimelineEntry]:
    if incident.is_maintenance and incident.created_at < incident.start:
        yield TimelineEntry(incident.created_at, TimelineEvent.ANNOUNCED)
    closed = incident.closed_as_of(now)
    if incident.stage(now) is IncidentStage.CANCELLED:
        assert closed is not None  # noqa: S101 - a cancelled one is closed
        yield TimelineEntry(closed, TimelineEvent.CANCELLED)
        return
    yield TimelineEntry(incident.start, TimelineEvent.BEGAN)
    end = incident.end if closed is None else closed
    if end is not None:
        yield TimelineEntry(end, TimelineEvent.ENDED)


def event_label(locale: Locale, incident: Incident, entry: TimelineEntry, now: int) -> str:
    """The text of an entry; of an update the state that it gives, if any."""
    _ = locale.gettext
    if entry.update is not None:
        return "" if entry.update.state is None else labels.state(locale, entry.update.state)
    is_planned = entry.at > now
    return {
        TimelineEvent.ANNOUNCED: _("Announced"),
        TimelineEvent.BEGAN: _("Planned start") if is_planned else _("Started"),
        TimelineEvent.ENDED: _("Planned end") if is_planned else labels.stage(locale, incident, now),
        TimelineEvent.CANCELLED: _("Cancelled"),
    }[entry.event]


@page()
async def incident(page: PageRequest) -> RenderedPage:
    """The page of one incident; 404 if it affects hidden monitors only."""
    number = _number(page.request.match_info["number"])
    thread = await page.app[keys.DATABASE].read(store.thread, number)
    views = visible([thread], page.snapshot)
    if not views:
        raise NotFound("incident not found")
    incident, locale, now = views[0].incident, page.locale, page.now
    tags = set(views[0].tags)
    affected = [one for one in page.snapshot.monitors if one.monitor.tag in tags]
    return await page.render(
        "incident.html",
        path=f"/incident/{incident.number}",
        incident=incident,
        affected=await page.views(affected[:MAX_AFFECTED]),
        more=max(0, len(affected) - MAX_AFFECTED),
        names={view.monitor.tag: view.monitor.name for view in affected},
        description=_description(locale, incident, affected, now),
        duration=duration(locale, incident, now),
        month=Month.of(incident.start, page.config.site.timezone),
        stages=[] if incident.is_maintenance else stages(incident, views[0].updates),
        timeline=timeline(incident, views[0].updates, now),
        event_label=partial(event_label, locale, incident, now=now),
    )


def _number(text: str) -> int:
    """The number of an incident in a path; raises NotFound unless it is written as links write it."""
    if not (text.isascii() and text.isdecimal()) or text.startswith("0") or len(text) > MAX_NUMBER_DIGITS:
        raise NotFound("incident not found")
    return int(text)


def _description(locale: Locale, incident: Incident, affected: Sequence[MonitorNow], now: int) -> str:
    """The beginning of the body; without a body impact, stage and affected monitors."""
    beginning = markdown.excerpt(incident.body, DESCRIPTION)
    names = ", ".join(one.monitor.name for one in affected[:MAX_NAMES])
    return beginning or f"{labels.impact(locale, incident)}, {labels.stage(locale, incident, now)}: {names}"


def duration(locale: Locale, incident: Incident, now: int) -> str:
    """How long it lasted, has lasted so far or is planned to last; empty if unknown or cancelled."""
    if incident.stage(now) is IncidentStage.CANCELLED:
        return ""
    closed = incident.closed_as_of(now)
    if closed is None and incident.start <= now:
        return locale.gettext("for %(duration)s") % {"duration": locale.duration(now - incident.start)}
    end = incident.end if closed is None else closed
    return "" if end is None else locale.duration(end - incident.start)


# The archive


def _archive_key(request: web.Request) -> CacheKey:
    tag = request.query.get("tag")
    is_variant = "month" in request.match_info or tag is not None
    return CacheKey(request.path if tag is None else f"{request.path}?tag={tag}", is_variant)


@page(key=_archive_key)
async def archive(page: PageRequest) -> RenderedPage:
    """The incidents of a month, the current one by default; of all monitors or of `?tag=`."""
    snapshot, locale, now, zone = page.snapshot, page.locale, page.now, page.config.site.timezone
    current = Month.of(now, zone)
    month, chosen = _month(page, current), _chosen(page)
    monitors = snapshot.monitors if chosen is None else [chosen]
    tags = [view.monitor.tag for view in monitors]
    threads, extent = await page.app[keys.DATABASE].read(incident_lists.archive, *month.bounds(zone), tags)
    computed = await series.computed_views(page, None if chosen is None else chosen.monitor.tag)
    incidents = calendar.within([*visible(threads, snapshot), *computed], month, zone, now)
    extremes = [*(extent or ()), *(view.incident.start for view in computed[-1:])]
    months = [current, *(Month.of(instant, zone) for instant in extremes)]
    previous, following = neighbours(month, min(months), max(months))
    bars, first_weekday = await calendar.measured(page, monitors, month), locale.cldr.first_week_day
    return await page.render(
        "incidents.html",
        path=address(month, current),
        month=month,
        current=current,
        previous=previous,
        following=following,
        monitors=[view.monitor for view in snapshot.monitors],
        chosen=None if chosen is None else chosen.monitor,
        names={view.monitor.tag: view.monitor.name for view in snapshot.monitors},
        weeks=calendar.weeks(month, first_weekday, zone, bars, incidents, now),
        sentence=partial(calendar.sentence, locale),
        address=partial(address, current=current),
        incidents=incidents,
        duration=partial(duration, locale, now=now),
        beginning=partial(markdown.beginning, length=EXCERPT, base=page.context.base),
    )


def _month(page: PageRequest, current: Month) -> Month:
    """The month of the path, else the current one; raises NotFound for a malformed one."""
    text = page.request.match_info.get("month")
    month = current if text is None else Month.parsed(text)
    if month is None:
        raise NotFound("there is no such month")
    return month


def _chosen(page: PageRequest) -> MonitorNow | None:
    """The monitor of `?tag=`, None without it; raises NotFound for an unknown one."""
    tag = page.request.query.get("tag")
    return None if tag is None else page.snapshot.named(tag)


def address(month: Month, current: Month, tag: str | None = None) -> str:
    """The path of a month's page, for all monitors or one."""
    path = "/incidents" if month == current else f"/incidents/{month}"
    return path if tag is None else f"{path}?tag={quote(tag)}"
