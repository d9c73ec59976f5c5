"""Feeds, the maintenance calendar, and the documents of Statuspage's API; of all monitors or of one."""

import asyncio
from collections.abc import Callable, Sequence

import orjson

from kener_async import keys
from kener_async.api.http.responses import ANY_ORIGIN
from kener_async.domain.calendar import DAY
from kener_async.domain.errors import NotFound
from kener_async.locales.locale import ENGLISH
from kener_async.store import incident_lists
from kener_async.web.badges import JSON
from kener_async.web.formats import feeds, icalendar, statuspage
from kener_async.web.formats.ids import Ids
from kener_async.web.pages import labels
from kener_async.web.pages.page import PageRequest, by_origin, page
from kener_async.web.pages.snapshot import IncidentView, visible
from kener_async.web.parts import series

PAST = 90 * DAY
FUTURE = 400 * DAY


@page("application/atom+xml; charset=utf-8", key=by_origin, language=None, headers=ANY_ORIGIN)
async def atom(page: PageRequest) -> bytes:
    return await _feed(page, "feed.atom", feeds.atom)


@page("application/rss+xml; charset=utf-8", key=by_origin, language=None, headers=ANY_ORIGIN)
async def rss(page: PageRequest) -> bytes:
    return await _feed(page, "feed.rss", feeds.rss)


@page("application/feed+json; charset=utf-8", key=by_origin, language=None, headers=ANY_ORIGIN)
async def json_feed(page: PageRequest) -> bytes:
    return await _feed(page, "feed.json", feeds.json_feed)


@page("text/calendar; charset=utf-8", key=by_origin, language=None, headers=ANY_ORIGIN)
async def maintenance(page: PageRequest) -> bytes:
    title, _ = _subject(page)
    planned = [view for view in await _all(page) if view.incident.is_maintenance]
    return await asyncio.to_thread(icalendar.calendar, title, planned, _ids(page), page.base_url, page.now)


@page(JSON, key=by_origin, language=None, headers=ANY_ORIGIN)
async def statuspage_document(page: PageRequest) -> bytes:
    """The documents that clients of hosted status pages read, from /api/v2/summary.json on."""
    name = page.request.match_info["name"]
    if name not in statuspage.DOCUMENTS:
        raise NotFound("there is no such document")
    has_components = name not in statuspage.WITHOUT_COMPONENTS
    monitors = await page.views(page.snapshot.monitors if has_components else ())
    ids, base_url = _ids(page), page.base_url
    return await asyncio.to_thread(
        lambda: orjson.dumps(statuspage.document(name, page.snapshot, monitors, ids, base_url))
    )


async def _feed(page: PageRequest, file: str, write: Callable[[feeds.Feed], bytes]) -> bytes:
    """Incidents and maintenance of the last 90 days and of the future, newest first."""
    title, home = _subject(page)
    views = await _all(page)
    names = {view.monitor.tag: view.monitor.name for view in page.snapshot.monitors}
    tag = page.request.match_info.get("tag")
    tags = list(names) if tag is None else [tag]
    changed_at = await page.app[keys.DATABASE].read(incident_lists.changed_at, tags, page.now - PAST)
    ids, base_url = _ids(page), page.base_url
    path = f"{home.rstrip('/')}/{file}"
    headline = labels.headline_words(ENGLISH, page.snapshot.headline) if home == "/" else ""

    def written() -> bytes:
        entries = feeds.entries(views, names, ids, base_url, page.now)
        today = page.now - page.now % DAY
        return write(
            feeds.Feed(
                id=ids.feed(path),
                title=title,
                headline=headline,
                home_url=base_url + home,
                feed_url=base_url + path,
                subtitle=page.config.site.description,
                updated=max([changed_at or today, *(entry.updated for entry in entries)]),
                entries=entries,
                icon=f"{base_url}/favicon.ico",
            )
        )

    return await asyncio.to_thread(written)


def _ids(page: PageRequest) -> Ids:
    return Ids.of(page.config.server, page.app[keys.IDENTITY])


def _subject(page: PageRequest) -> tuple[str, str]:
    """The title of a feed and the path of its page; raises NotFound for an unknown monitor."""
    tag, title = page.request.match_info.get("tag"), page.config.site.title
    if tag is None:
        return title, "/"
    return f"{page.snapshot.named(tag).monitor.name} - {title}", f"/monitor/{tag}"


async def _all(page: PageRequest) -> Sequence[IncidentView]:
    """The incidents, and the maintenance to come that is computed."""
    computed = await series.computed_views(page, page.request.match_info.get("tag"))
    return [*await _incidents(page), *computed]


async def _incidents(page: PageRequest) -> Sequence[IncidentView]:
    tag, start, end = page.request.match_info.get("tag"), page.now - PAST, page.now + FUTURE
    threads = await page.app[keys.DATABASE].read(incident_lists.overlapping, start, end, tag)
    return visible(threads, page.snapshot)
