"""/ and /category/{name}: the status of all monitors, or of those in one category."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

import orjson
from aiohttp import web
from markupsafe import Markup

from kener_async.config.model import Category
from kener_async.domain.calendar import DAY
from kener_async.domain.errors import NotFound
from kener_async.domain.headline import headline
from kener_async.domain.samples import Status
from kener_async.web.pages import labels
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.page import CacheKey, PageRequest, page
from kener_async.web.pages.snapshot import DayView, IncidentView, MonitorView
from kener_async.web.pages.templates import TemplateContext, Templates
from kener_async.web.parts.bars import bars


def _home_key(_: web.Request) -> CacheKey:
    return CacheKey("/")


@page(key=_home_key)
async def home(page: PageRequest) -> str:
    return await _overview(page, page.snapshot.monitors, None)


@page()
async def category(page: PageRequest) -> str:
    name = page.request.match_info["name"]
    category = next((category for category in page.config.categories if category.name == name), None)
    if category is None or category.hidden:
        raise NotFound("there is no such category")
    members = [view for view in page.snapshot.monitors if view.monitor.category == name]
    return await _overview(page, members, category)


async def _overview(page: PageRequest, monitors: Sequence[MonitorView], category: Category | None) -> str:
    snapshot = page.snapshot
    cache = page.app[ROW_CACHE]
    rows = await asyncio.to_thread(cache.rows, page.context, monitors, page.now)
    tags = {view.monitor.tag for view in monitors}
    overall = headline([view.member for view in monitors])
    return await page.render(
        "home.html",
        path="/" if category is None else f"/category/{quote(category.name, safe='')}",
        category=category,
        headline=overall,
        sentence=labels.headline_sentence(page.locale, overall, page.config.site.timezone),
        announcements=snapshot.announcements,
        ongoing=_affecting(tags, snapshot.ongoing),
        upcoming=_affecting(tags, snapshot.upcoming),
        recent=_affecting(tags, snapshot.recent),
        names={view.monitor.tag: view.monitor.name for view in snapshot.monitors},
        windows=list(labels.windows(page.locale).items()),
        count=len(monitors),
        groups=list(_groups(page, rows, category)),
        structured_data=_structured_data(page.context),
    )


def _affecting(tags: set[str], incidents: Sequence[IncidentView]) -> list[IncidentView]:
    return [view for view in incidents if tags.intersection(view.tags)]


def _groups(
    page: PageRequest, rows: Mapping[str, Markup], only: Category | None
) -> Iterator[tuple[str, str, str, list[Markup]]]:
    """Name, description, address and rows of each category, in the order of the configuration.

    Monitors without a category come first, below no name.
    """
    categories = page.config.categories if only is None else (only,)
    by_category: dict[str, list[Markup]] = {}
    for view in page.snapshot.monitors:
        if view.monitor.tag in rows:
            by_category.setdefault(view.monitor.category, []).append(rows[view.monitor.tag])
    if "" in by_category:
        yield "", "", "", by_category[""]
    for category in categories:
        if category.name in by_category:
            path = f"/category/{quote(category.name, safe='')}"
            address = page.context.link(path) if only is None else ""
            yield category.name, category.description, address, by_category[category.name]


class RowCache:
    """Rendered rows of monitors; a row is rendered again only when its view is another object."""

    def __init__(self, templates: Templates) -> None:
        self._template = templates.get("row.html")
        self._rows: WeakKeyDictionary[MonitorView, dict[str, Markup]] = WeakKeyDictionary()  # by language

    def rows(self, context: TemplateContext, monitors: Sequence[MonitorView], now: int) -> dict[str, Markup]:
        """The rows by tag; to be called in a thread."""
        language, values = context.locale.tag, context.values()
        rows: dict[str, Markup] = {}
        for view in monitors:
            by_language = self._rows.setdefault(view, {})
            if language not in by_language:
                text = self._template.render({**values, **_row(context, view, now)})
                by_language[language] = Markup(text)  # noqa: S704 - the template escapes
            rows[view.monitor.tag] = by_language[language]
        return rows


ROW_CACHE = web.AppKey("row cache", RowCache)


def _row(context: TemplateContext, view: MonitorView, now: int) -> dict[str, Any]:
    locale, monitor = context.locale, view.monitor
    address = context.link(f"/monitor/{monitor.tag}")
    return {
        "monitor_view": view,
        "monitor": monitor,
        "now": now,
        "address": address,
        "bars": bars(view.days, address, locale, context.site.bar_style == "partial"),
        "ago_90": _ago(locale, 90),
        "ago_30": _ago(locale, 29),
        "figures": [(name, labels.uptime(locale, counts)) for name, counts in view.windows.items()],
        "troubled": [labels.day(locale, day).split("\n") for day in view.days if _is_troubled(day)],
    }


def _ago(locale: Locale, days: int) -> str:
    return locale.gettext("%(duration)s ago") % {"duration": locale.duration(days * DAY)}


def _is_troubled(day: DayView) -> bool:
    return day.status is not Status.NO_DATA and day.counts.uptime != "100"


def _structured_data(context: TemplateContext) -> Markup:
    """JSON-LD for search engines."""
    data = {
        "@context": "https://schema.org",
        "@type": "WebSite",
        "name": context.site.name,
        "url": context.absolute("/"),
    }
    # Within a script element only "<" could end it.
    return Markup(orjson.dumps(data).decode().replace("<", "\\u003c"))  # noqa: S704
