"""/monitor/{tag}/{day}: a civil day of the site's zone, minute by minute."""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta

from aiohttp import web

from kener_async import keys
from kener_async.domain.calendar import DAY, MINUTE, day_of, day_start, minute_of
from kener_async.domain.days import status_of_day
from kener_async.domain.errors import NotFound
from kener_async.store import days, observer
from kener_async.web.pages.assets import ASSETS
from kener_async.web.pages.cache import page
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.reasons import reason_in_words
from kener_async.web.pages.snapshot import MonitorView, Snapshot, visible
from kener_async.web.pages.templates import TemplateContext, render
from kener_async.web.parts import latency
from kener_async.web.parts.hours import clock, hours, joined, shape


@dataclass(frozen=True, slots=True)
class DayPage:
    """A civil day: `[start, end)` as a whole, and how much of it has begun and is kept, `[first, last)`."""

    date: date
    start: int
    end: int
    first: int
    last: int


async def day(request: web.Request) -> web.StreamResponse:
    async def make(snapshot: Snapshot, locale: Locale) -> str:
        shown = snapshot.named(request.match_info["tag"])
        kept = await request.app[keys.DATABASE].read(observer.kept_from)
        asked = _day(snapshot, _date(request.match_info["day"]), kept)
        return await _made(request.app, snapshot, locale, shown, asked, kept)

    return await page(request, make)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NotFound("there is no such day") from None


def _day(snapshot: Snapshot, asked: date, kept: int) -> DayPage:
    """The day in the site's zone; raises NotFound for one that has not begun, is not kept or never was."""
    zone, now = snapshot.config.site.timezone, snapshot.now
    if not day_of(kept, zone) <= asked <= day_of(now, zone):
        raise NotFound("nothing is kept of this day")
    start, end = day_start(asked, zone), day_start(asked + timedelta(days=1), zone)
    first, last = max(start, kept), min(end, minute_of(now) + MINUTE)
    if first >= last:
        raise NotFound("nothing is kept of this day")
    return DayPage(asked, start, end, first, last)


async def _made(
    app: web.Application, snapshot: Snapshot, locale: Locale, shown: MonitorView, day: DayPage, kept: int
) -> str:
    monitor, now, zone = shown.monitor, snapshot.now, snapshot.config.site.timezone
    state = await app[keys.LOADER].state(monitor.tag)
    await app[keys.ROLLUPS].settle([state.id], day.first, day.last)
    record = await app[keys.DATABASE].read(
        days.load, state.id, monitor.tag, (day.start, day.end), (day.first, day.last), now
    )
    counts, timeline = record.counts, joined(record.runs)
    is_odd = day.end - day.start != DAY
    view = TemplateContext(snapshot.config, locale, app[ASSETS])
    return await render(
        app,
        "day.html",
        snapshot.config,
        locale,
        path=f"/monitor/{monitor.tag}/{day.date}",
        now=now,
        monitor=monitor,
        day=day,
        is_today=day.last < day.end,
        is_odd=is_odd,
        before=_neighbour(snapshot, day.date, -1, kept),
        after=_neighbour(snapshot, day.date, 1, kept),
        counts=counts,
        no_data=counts.no_data(day.first, day.last),
        status=status_of_day(counts, monitor.day_degraded_minimum_count, monitor.day_down_minimum_count),
        timeline=timeline,
        clock=lambda instant: clock(instant, zone, locale, is_odd),
        hours=await asyncio.to_thread(lambda: list(hours(timeline, day.start, day.end, zone, locale))),
        latency=latency.of_day(view, monitor, record.samples, day.start, day.end),
        events=visible(record.incidents, snapshot),
        shape=shape,
        reason_in_words=reason_in_words,
    )


def _neighbour(snapshot: Snapshot, day: date, step: int, kept: int) -> date | None:
    try:
        return _day(snapshot, day + timedelta(days=step), kept).date
    except NotFound:
        return None
