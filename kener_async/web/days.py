"""/monitor/{tag}/{day}: a civil day of the site's zone, minute by minute."""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta

from kener_async import keys
from kener_async.domain.calendar import DAY, day_of, day_start, minute_end
from kener_async.domain.days import status_of_day
from kener_async.domain.errors import NotFound
from kener_async.store import days, observer
from kener_async.web.pages.cache import RenderedPage
from kener_async.web.pages.page import PageRequest, page
from kener_async.web.pages.snapshot import Snapshot, visible
from kener_async.web.parts import latency
from kener_async.web.parts.hours import clock, hours, joined, shape


@dataclass(frozen=True, slots=True)
class DayPage:
    """A civil day, `[start, end)`, and the part of it that has begun and is kept, `[first, last)`."""

    date: date
    start: int
    end: int
    first: int
    last: int


@page()
async def day(page: PageRequest) -> RenderedPage:
    app, zone = page.app, page.config.site.timezone
    view = page.snapshot.named(page.request.match_info["tag"])
    monitor = view.monitor
    kept_from = await app[keys.DATABASE].read(observer.kept_from)
    day = _day(page.snapshot, _date(page.request.match_info["day"]), kept_from)
    state = await app[keys.LOADER].state(monitor.tag)
    await app[keys.ROLLUPS].settle([state.id], day.first, day.last)
    record = await app[keys.DATABASE].read(
        days.load, state.id, monitor.tag, (day.start, day.end), (day.first, day.last), page.now
    )
    counts, timeline = record.counts, joined(record.runs)
    is_odd = day.end - day.start != DAY
    return await page.render(
        "day.html",
        path=f"/monitor/{monitor.tag}/{day.date}",
        monitor=monitor,
        day=day,
        is_today=day.last < day.end,
        is_odd=is_odd,
        previous=_neighbour(page.snapshot, day.date, -1, kept_from),
        following=_neighbour(page.snapshot, day.date, 1, kept_from),
        counts=counts,
        no_data=counts.no_data(day.first, day.last),
        status=status_of_day(counts, monitor.day_degraded_minimum_count, monitor.day_down_minimum_count),
        timeline=timeline,
        clock=lambda instant: clock(instant, zone, page.locale, is_odd),
        hours=await asyncio.to_thread(lambda: list(hours(timeline, day.start, day.end, zone, page.locale))),
        latency=latency.of_day(page.context, monitor, record.samples, day.start, day.end),
        incidents=visible(record.incidents, page.snapshot),
        shape=shape,
    )


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NotFound("there is no such day") from None


def _day(snapshot: Snapshot, day: date, kept_from: int) -> DayPage:
    """The day in the site's zone; raises NotFound for one that is in the future or not kept."""
    zone, now = snapshot.config.site.timezone, snapshot.now
    if not day_of(kept_from, zone) <= day <= day_of(now, zone):
        raise NotFound("nothing is kept of this day")
    start, end = day_start(day, zone), day_start(day + timedelta(days=1), zone)
    first, last = max(start, kept_from), min(end, minute_end(now))
    if first >= last:
        raise NotFound("nothing is kept of this day")
    return DayPage(day, start, end, first, last)


def _neighbour(snapshot: Snapshot, day: date, step: int, kept_from: int) -> date | None:
    try:
        return _day(snapshot, day + timedelta(days=step), kept_from).date
    except NotFound:
        return None
