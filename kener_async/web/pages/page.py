"""The `page` decorator: makes a request handler of a function that renders a page.

    @page()
    async def incident(page: PageRequest) -> str:
        ...
        return await page.render("incident.html", path=..., incident=...)

The decorator says what kind of page it is: content type, cache key, language, headers. The function is called
only if the cache has no page for the current snapshot.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial, wraps
from typing import Any, NamedTuple

from aiohttp import web

from kener_async import keys
from kener_async.api.http.forwarded import client_origin
from kener_async.api.http.responses import Handler
from kener_async.config.model import Config
from kener_async.domain.calendar import DAY
from kener_async.domain.errors import TooSlow
from kener_async.domain.headline import Headline
from kener_async.domain.overview import Day
from kener_async.domain.uptime import Counts
from kener_async.keys import Running
from kener_async.locales.locale import ENGLISH, Locale, locale, negotiate
from kener_async.metrics import Metrics
from kener_async.web.pages.cache import (
    MAX_HEADER,
    MAX_PLAIN,
    MAX_VARIANTS,
    CachedPage,
    PageCache,
    RenderedPage,
)
from kener_async.web.pages.snapshot import MonitorNow, MonitorView, MonitorViews, Snapshot, Snapshots
from kener_async.web.pages.templates import TemplateContext, Templates
from kener_async.web.pages.throttle import FairQueue, RenderThrottle

HTML = "text/html; charset=utf-8"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
)
LANGUAGE_COOKIE = "lang"
COOKIE_SECONDS = 365 * DAY
MAX_IN_PLACE = 8192  # characters


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What a page is rendered from.

    The result is cached for all visitors, so it may depend on `request` only as far as its cache key does.
    """

    request: web.Request
    snapshot: Snapshot
    context: TemplateContext
    templates: Templates
    monitor_views: MonitorViews

    @property
    def app(self) -> web.Application:
        return self.request.app

    @property
    def locale(self) -> Locale:
        return self.context.locale

    @property
    def config(self) -> Config:
        return self.snapshot.config

    @property
    def now(self) -> int:
        return self.snapshot.now

    @property
    def base_url(self) -> str:
        """The address of the site, for pages that name it in full; without a slash at the end."""
        return origin(self.request) + self.config.server.base_path

    async def view(self, tag: str) -> MonitorView:
        """The visible monitor of this tag with its history; raises NotFound."""
        (view,) = await self.views([self.snapshot.named(tag)])
        return view

    async def views(self, monitors: Iterable[MonitorNow]) -> list[MonitorView]:
        """Monitors of the snapshot with their history."""
        return await self.monitor_views.of(self.snapshot, monitors)

    async def days(self, monitors: Sequence[MonitorNow]) -> Sequence[tuple[Sequence[Day], Sequence[Counts]]]:
        """For each monitor of the snapshot its last 90 days and today, oldest first, and their counts."""
        states = [one.state for one in monitors]
        return await self.app[keys.OVERVIEWS].days_of(states, self.config.site.timezone)

    async def since(self, monitors: Sequence[MonitorNow]) -> list[int | None]:
        """For each monitor when its current status began, None while there is no data."""
        return await self.monitor_views.since.of(monitors, self.now)

    async def headline(self, monitors: Collection[MonitorNow]) -> Headline:
        """The overall status of some of the snapshot's monitors."""
        return await self.monitor_views.since.headline(monitors, self.now)

    async def render(self, template: str, **values: Any) -> RenderedPage:
        """Render a template with the values that every template has and these."""
        return await asyncio.to_thread(self._rendered, template, values)

    def _rendered(self, template: str, values: Mapping[str, Any]) -> RenderedPage:
        return RenderedPage.of(self.templates.rendered(template, self.context, now=self.now, **values))


# Cache keys


class CacheKey(NamedTuple):
    """The identity of a page among all pages in the same language.

    Variants are pages of which clients can request any number by inventing options. They have a cache of
    their own, so that they never evict a plain page.
    """

    path: str
    is_variant: bool = False


def by_path(request: web.Request) -> CacheKey:
    return CacheKey(request.path)


def by_path_and_query(request: web.Request) -> CacheKey:
    return CacheKey(str(request.rel_url), is_variant=True)


def by_origin(request: web.Request) -> CacheKey:
    """For pages that contain their own address."""
    return CacheKey(origin(request) + request.path, is_variant=True)


# What a page takes from a request


def origin(request: web.Request) -> str:
    """Scheme and host, without a slash at the end: as configured, else as the client addressed the server."""
    server = request.app[keys.RUNNING].config.server
    return server.public_url or client_origin(request, server.trusted_proxies)


def visitor_locale(request: web.Request) -> Locale:
    """The language the visitor chose, else the best one that the browser accepts."""
    site = request.app[keys.RUNNING].config.site
    accepted = request.headers.get("Accept-Language", "")
    chosen = request.cookies.get(LANGUAGE_COOKIE) if "Cookie" in request.headers else None
    return locale(negotiate(chosen, accepted[:MAX_HEADER], site.locales, site.locale))


def _names_language(request: web.Request) -> bool:
    # The raw query is searched first because parsing it costs more than all else that a cached page needs.
    return "lang" in request.rel_url.raw_query_string and "lang" in request.query


# The decorator


@dataclass(frozen=True, slots=True)
class PageType:
    """The arguments of `page`."""

    content_type: str
    key: Callable[[web.Request], CacheKey]
    language: Callable[[web.Request], Locale] | None
    frame_ancestors: str
    headers: Mapping[str, str] = field(repr=False)

    def headers_in(self, locale: Locale) -> dict[str, str]:
        headers = {"Content-Security-Policy": _policy(self.frame_ancestors), **self.headers}
        if self.language is not None:
            headers["Vary"] = "Accept-Encoding, Accept-Language, Cookie"
            headers["Content-Language"] = locale.tag
        return headers


@cache
def _policy(ancestors: str) -> str:
    return CONTENT_SECURITY_POLICY.format(ancestors=ancestors)


Render = Callable[[PageRequest], Awaitable[str | bytes | RenderedPage]]


def page(
    content_type: str = HTML,
    *,
    key: Callable[[web.Request], CacheKey] = by_path,
    language: Callable[[web.Request], Locale] | None = visitor_locale,
    frame_ancestors: str = "'none'",
    headers: Mapping[str, str] | None = None,
) -> Callable[[Render], Handler]:
    """Make a request handler of a function that renders a page.

    `key` names the page in the cache. `language` chooses the language for a request; None: the page is the
    same in all. `frame_ancestors`: sites that may embed it. `headers` replace those of the same name.
    """
    page_type = PageType(content_type, key, language, frame_ancestors, headers or {})

    def decorate(render: Render) -> Handler:
        @wraps(render)
        async def handler(request: web.Request) -> web.StreamResponse:
            return await request.app[PAGES].respond(request, page_type, render)

        return handler

    return decorate


class Pages:
    """Answers requests for pages from the cache; renders those that it lacks, one at a time."""

    def __init__(
        self,
        running: Running,
        snapshots: Snapshots,
        monitor_views: MonitorViews,
        templates: Templates,
        queue: FairQueue,
        throttle: RenderThrottle,
        metrics: Metrics,
    ) -> None:
        self._running = running
        self._snapshots = snapshots
        self._monitor_views = monitor_views
        self._templates = templates
        self._queue = queue
        self._throttle = throttle
        self._metrics = metrics
        self._plain = PageCache(MAX_PLAIN)
        self._variants = PageCache(MAX_VARIANTS)

    async def respond(self, request: web.Request, page_type: PageType, render: Render) -> web.StreamResponse:
        """Respond with the page as of the current snapshot. Raises TooSlow, and what `render` raises."""
        await self._queue.wait_turn()
        if page_type.content_type == HTML and _names_language(request):
            return self._choose_language(request)
        locale = ENGLISH if page_type.language is None else page_type.language(request)
        key = page_type.key(request)
        snapshot = await self._snapshots.current()
        cache = self._variants if key.is_variant else self._plain
        place = key.path, locale.tag
        cached = await cache.get(
            place,
            snapshot.serial,
            partial(self._render, request, page_type, render, snapshot, locale),
        )
        response = await cached.response_to(request)
        cache.note_size(place, cached)
        self._metrics.page_served(response.status)
        return response

    async def _render(
        self, request: web.Request, page_type: PageType, render: Render, snapshot: Snapshot, locale: Locale
    ) -> CachedPage:
        context = self._templates.context(snapshot.config, locale)
        async with self._throttle.slot():
            if request.transport is None:  # disconnected while waiting
                raise TooSlow("the client has disconnected")
            content = await render(
                PageRequest(request, snapshot, context, self._templates, self._monitor_views)
            )
            if not isinstance(content, RenderedPage):
                content = await _finished(content)
        self._metrics.page_made()
        return CachedPage(content, page_type.content_type, page_type.headers_in(locale), self._throttle)

    def _choose_language(self, request: web.Request) -> web.Response:
        """Keep the language of `?lang=` in a cookie and redirect to the page itself."""
        config = self._running.config
        query = {name: value for name, value in request.query.items() if name != "lang"}
        location = f"{config.server.base_path}{request.rel_url.with_query(query)}"
        response = web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
        chosen = request.query["lang"]
        if chosen in config.site.locales:
            path = config.server.base_path or "/"
            response.set_cookie(
                LANGUAGE_COOKIE, chosen, max_age=COOKIE_SECONDS, httponly=True, samesite="Lax", path=path
            )
        return response


async def _finished(content: str | bytes) -> RenderedPage:
    """A page that was rendered without a template; a small one takes less time than a thread to begin."""
    if len(content) <= MAX_IN_PLACE:
        return RenderedPage.of(content)
    return await asyncio.to_thread(RenderedPage.of, content)


PAGES = web.AppKey("pages", Pages)
