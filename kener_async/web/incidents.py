"""/incident/{number}, an incident's own page, and /incidents, the archive by months with its calendar."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from urllib.parse import quote

from aiohttp import web

from kener_async import keys
from kener_async.domain.errors import NotFound
from kener_async.domain.incidents import Comment, Incident, IncidentStage
from kener_async.domain.months import Month, neighbours
from kener_async.store import incidents as store
from kener_async.web.pages import labels
from kener_async.web.pages.cache import PAGE_CACHE, VARIANTS, page
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.snapshot import IncidentView, MonitorView, Snapshot, visible
from kener_async.web.pages.templates import render
from kener_async.web.parts import calendar, markdown

DESCRIPTION = 160  # characters, what search engines show
EXCERPT = 280
LONGEST_NUMBER = 18  # digits, of those that SQLite can store


# One incident


class TimelineEvent(StrEnum):
    """What an entry of an incident's timeline records; also the entry's CSS class."""

    ANNOUNCED = "announced"
    BEGAN = "began"
    COMMENT = "comment"
    ENDED = "ended"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """A step at an instant; `comment` where it is one. It is still to come where `at` is."""

    at: int
    step: TimelineEvent
    comment: Comment | None = None


def story(incident: Incident, comments: Sequence[Comment], now: int) -> list[TimelineEntry]:
    """The life of an incident, oldest first, also what is planned of it."""
    told = [
        *_steps(incident, now),
        *(TimelineEntry(one.created_at, TimelineEvent.COMMENT, one) for one in comments),
    ]
    return sorted(told, key=lambda moment: moment.at)


def _steps(incident: Incident, now: int) -> Iterator[TimelineEntry]:
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


def step(locale: Locale, incident: Incident, moment: TimelineEntry, now: int) -> str:
    """What happened, in a word or two; of a comment nothing, it speaks for itself."""
    _ = locale.gettext
    is_planned = moment.at > now
    return {
        TimelineEvent.ANNOUNCED: _("Announced"),
        TimelineEvent.BEGAN: _("Planned start") if is_planned else _("Started"),
        TimelineEvent.COMMENT: "",
        TimelineEvent.ENDED: _("Planned end") if is_planned else labels.stage(locale, incident, now),
        TimelineEvent.CANCELLED: _("Cancelled"),
    }[moment.step]


async def incident(request: web.Request) -> web.StreamResponse:
    """The page of one incident; hidden monitors' incidents do not exist."""

    async def make(snapshot: Snapshot, locale: Locale) -> str:
        number = _number(request.match_info["number"])
        found = await request.app[keys.DATABASE].read(store.thread, number)
        events = visible([found], snapshot)
        if not events:
            raise NotFound("incident not found")
        return await _incident_page(request.app, snapshot, locale, events[0])

    return await page(request, make)


def _number(text: str) -> int:
    """An incident's number as its address writes it; raises NotFound."""
    if not (text.isascii() and text.isdecimal()) or text.startswith("0") or len(text) > LONGEST_NUMBER:
        raise NotFound("incident not found")
    return int(text)


async def _incident_page(
    app: web.Application, snapshot: Snapshot, locale: Locale, event: IncidentView
) -> str:
    incident, now = event.incident, snapshot.now
    affected = [shown for shown in snapshot.monitors if shown.monitor.tag in event.tags]
    return await render(
        app,
        "incident.html",
        snapshot.config,
        locale,
        path=f"/incident/{incident.number}",
        now=now,
        incident=incident,
        affected=affected,
        names={shown.monitor.tag: shown.monitor.name for shown in affected},
        description=_description(locale, incident, affected, now),
        duration=duration(locale, incident, now),
        month=Month.of(incident.start, snapshot.config.site.timezone),
        story=story(incident, event.comments, now),
        step=partial(step, locale, incident, now=now),
    )


def _description(locale: Locale, incident: Incident, affected: Sequence[MonitorView], now: int) -> str:
    """The beginning of the body, else what can be said without it."""
    said = markdown.excerpt(incident.body, DESCRIPTION)
    names = ", ".join(shown.monitor.name for shown in affected)
    return said or f"{labels.impact(locale, incident)}, {labels.stage(locale, incident, now)}: {names}"


def duration(locale: Locale, incident: Incident, now: int) -> str:
    """How long it lasted, lasts so far or shall last; "" where nobody can say."""
    if incident.stage(now) is IncidentStage.CANCELLED:
        return ""
    closed = incident.closed_as_of(now)
    if closed is None and incident.start <= now:
        return locale.gettext("for %(duration)s") % {"duration": locale.duration(now - incident.start)}
    end = incident.end if closed is None else closed
    return "" if end is None else locale.duration(end - incident.start)


# The archive


async def archive(request: web.Request) -> web.StreamResponse:
    """The incidents of a month, of all monitors or of `?tag=`; the current month if none is named."""
    text, tag = request.match_info.get("month"), request.query.get("tag")

    async def make(snapshot: Snapshot, locale: Locale) -> str:
        current = Month.of(snapshot.now, snapshot.config.site.timezone)
        month = current if text is None else Month.parsed(text)
        chosen = None if tag is None else snapshot.find(tag)
        if month is None or (tag is not None and chosen is None):
            raise NotFound("there is no such month or monitor")
        return await _month_page(request.app, snapshot, locale, month, current, chosen)

    is_plain = text is None and tag is None
    path = request.path if tag is None else f"{request.path}?tag={tag}"
    return await page(request, make, path, kept=PAGE_CACHE if is_plain else VARIANTS)


async def _month_page(
    app: web.Application,
    snapshot: Snapshot,
    locale: Locale,
    month: Month,
    current: Month,
    chosen: MonitorView | None,
) -> str:
    zone, now = snapshot.config.site.timezone, snapshot.now
    monitors = snapshot.monitors if chosen is None else [chosen]
    tags = [shown.monitor.tag for shown in monitors]
    found, extent = await app[keys.DATABASE].read(store.archive, *month.bounds(zone), tags)
    events = calendar.within(visible(found, snapshot), month, zone, now)
    reach = [current, *(Month.of(instant, zone) for instant in extent or ())]
    back, forth = neighbours(month, min(reach), max(reach))
    bars, first_weekday = calendar.measured(monitors), locale.cldr.first_week_day
    return await render(
        app,
        "incidents.html",
        snapshot.config,
        locale,
        path=address(month, current),
        now=now,
        month=month,
        current=current,
        back=back,
        forth=forth,
        monitors=[shown.monitor for shown in snapshot.monitors],
        chosen=None if chosen is None else chosen.monitor,
        names={shown.monitor.tag: shown.monitor.name for shown in snapshot.monitors},
        weeks=calendar.weeks(month, first_weekday, zone, bars, events, now),
        sentence=partial(calendar.sentence, locale),
        address=partial(address, current=current),
        events=events,
        duration=partial(duration, locale, now=now),
        excerpt=partial(markdown.excerpt, length=EXCERPT),
    )


def address(month: Month, current: Month, tag: str | None = None) -> str:
    """The path of a month's page, of all monitors or of one."""
    path = "/incidents" if month == current else f"/incidents/{month}"
    return path if tag is None else f"{path}?tag={quote(tag)}"
