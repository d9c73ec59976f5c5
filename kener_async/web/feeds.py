"""Feeds and a calendar, of the page or of one monitor, and the summary that readers of status pages know."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import orjson
from aiohttp import web

from kener_async import keys
from kener_async.domain.calendar import DAY
from kener_async.domain.errors import NotFound
from kener_async.store import incidents
from kener_async.web.badges import JSON
from kener_async.web.formats import feeds, icalendar, statuspage
from kener_async.web.pages.cache import VARIANTS, page
from kener_async.web.pages.locales import ENGLISH, Locale
from kener_async.web.pages.origin import origin_of
from kener_async.web.pages.snapshot import IncidentView, Snapshot, visible

PAST = 90 * DAY
TO_COME = 400 * DAY
ANYONE = {"Access-Control-Allow-Origin": "*"}
FORMS: Mapping[str, tuple[str, Callable[[feeds.Feed], bytes]]] = {
    "atom": ("application/atom+xml; charset=utf-8", feeds.atom),
    "rss": ("application/rss+xml; charset=utf-8", feeds.rss),
    "json": ("application/feed+json; charset=utf-8", feeds.json_feed),
}

Build = Callable[[Snapshot, str], Awaitable[bytes]]


async def feed(request: web.Request) -> web.StreamResponse:
    """Incidents and maintenance of the last 90 days and to come, as Atom, RSS or JSON Feed."""
    tag, form = request.match_info.get("tag"), request.match_info["form"]
    content_type, written = FORMS[form]

    async def build(snapshot: Snapshot, base_url: str) -> bytes:
        name, home = _subject(snapshot, tag)
        events = await _events(request.app, snapshot, tag)
        names = {shown.monitor.tag: shown.monitor.name for shown in snapshot.monitors}

        def written_out() -> bytes:
            found = feeds.entries(events, names, base_url, snapshot.now)
            quiet = snapshot.now - snapshot.now % DAY
            return written(
                feeds.Feed(
                    title=name,
                    home_url=base_url + home,
                    feed_url=f"{base_url}{home.rstrip('/')}/feed.{form}",
                    subtitle=snapshot.config.site.description,
                    updated=max((entry.updated for entry in found), default=quiet),
                    entries=found,
                    icon=f"{base_url}/favicon.ico",
                )
            )

        return await asyncio.to_thread(written_out)

    return await _answered(request, build, content_type)


async def maintenance(request: web.Request) -> web.StreamResponse:
    """Maintenance as a calendar that can be subscribed to."""
    tag = request.match_info.get("tag")

    async def build(snapshot: Snapshot, base_url: str) -> bytes:
        name, _ = _subject(snapshot, tag)
        events = [
            event for event in await _events(request.app, snapshot, tag) if event.incident.is_maintenance
        ]
        return await asyncio.to_thread(icalendar.calendar, name, events, base_url, snapshot.now)

    return await _answered(request, build, "text/calendar; charset=utf-8")


async def summarized(request: web.Request) -> web.StreamResponse:
    """The documents that readers of hosted status pages consume, from /api/v2/summary.json on."""
    name = request.match_info["name"]

    async def build(snapshot: Snapshot, base_url: str) -> bytes:
        if name not in statuspage.DOCUMENTS:
            raise NotFound("there is no such document")
        return await asyncio.to_thread(lambda: orjson.dumps(statuspage.document(name, snapshot, base_url)))

    return await _answered(request, build, JSON)


def _subject(snapshot: Snapshot, tag: str | None) -> tuple[str, str]:
    """What a feed is about: its title, and the page it belongs to. Raises NotFound for an unknown monitor."""
    title = snapshot.config.site.title
    if tag is None:
        return title, "/"
    return f"{snapshot.named(tag).monitor.name} - {title}", f"/monitor/{tag}"


async def _events(app: web.Application, snapshot: Snapshot, tag: str | None) -> Sequence[IncidentView]:
    start, end = snapshot.now - PAST, snapshot.now + TO_COME
    found = await app[keys.DATABASE].read(incidents.overlapping, start=start, end=end, tag=tag)
    return visible(found, snapshot)


async def _answered(request: web.Request, build: Build, content_type: str) -> web.StreamResponse:
    origin = origin_of(request)

    async def make(snapshot: Snapshot, _: Locale) -> bytes:
        return await build(snapshot, origin + snapshot.config.server.base_path)

    return await page(
        request, make, origin + request.path, content_type, locale=ENGLISH, headers=ANYONE, kept=VARIANTS
    )
