"""/ and /category/{name}: how everything stands, or everything in one category."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

import aiohttp_jinja2
import orjson
from aiohttp import web
from markupsafe import Markup

from kener_async.config.model import Category
from kener_async.domain.calendar import DAY
from kener_async.domain.errors import NotFound
from kener_async.domain.samples import Status
from kener_async.domain.summary import summary
from kener_async.web.pages import labels
from kener_async.web.pages.assets import ASSETS
from kener_async.web.pages.cache import page
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.snapshot import DayView, IncidentView, MonitorView, Snapshot
from kener_async.web.pages.templates import TemplateContext, render
from kener_async.web.parts.bars import bars

# A row is made anew only when its monitor is another: the same object says the same.
Rows = WeakKeyDictionary[MonitorView, dict[str, Markup]]  # by language
ROWS: web.AppKey[Rows] = web.AppKey("rows")


async def home(request: web.Request) -> web.StreamResponse:
    async def make(snapshot: Snapshot, locale: Locale) -> str:
        return await _made(request.app, snapshot, locale, snapshot.monitors, None)

    return await page(request, make, "/")


async def category(request: web.Request) -> web.StreamResponse:
    """A category of its own."""

    async def make(snapshot: Snapshot, locale: Locale) -> str:
        name = request.match_info["name"]
        found = next((one for one in snapshot.config.categories if one.name == name), None)
        if found is None or found.hidden:
            raise NotFound("there is no such category")
        listed = [shown for shown in snapshot.monitors if shown.monitor.category == name]
        return await _made(request.app, snapshot, locale, listed, found)

    return await page(request, make)


async def _made(
    app: web.Application,
    snapshot: Snapshot,
    locale: Locale,
    listed: Sequence[MonitorView],
    category: Category | None,
) -> str:
    view = TemplateContext(snapshot.config, locale, app[ASSETS])
    rows = await asyncio.to_thread(_rows, app, view, snapshot, listed)
    tags = {shown.monitor.tag for shown in listed}
    whole = summary(shown.status for shown in listed)
    return await render(
        app,
        "home.html",
        snapshot.config,
        locale,
        path="/" if category is None else f"/category/{quote(category.name, safe='')}",
        now=snapshot.now,
        category=category,
        summary=whole,
        sentence=labels.summary(locale, whole),
        announcements=snapshot.announcements,
        ongoing=_of(snapshot.ongoing, tags),
        upcoming=_of(snapshot.upcoming, tags),
        recent=_of(snapshot.recent, tags),
        names={shown.monitor.tag: shown.monitor.name for shown in snapshot.monitors},
        windows=list(labels.windows(locale).items()),
        count=len(listed),
        groups=list(_groups(view, snapshot, rows, category)),
        structured=_structured(view),
    )


def _of(events: Sequence[IncidentView], tags: set[str]) -> list[IncidentView]:
    return [event for event in events if tags.intersection(event.tags)]


def _groups(
    view: TemplateContext, snapshot: Snapshot, rows: dict[str, Markup], only: Category | None
) -> Iterator[tuple[str, str, str, list[Markup]]]:
    """Rows by category, in the order of the configuration; monitors without one come first."""
    categories = snapshot.config.categories if only is None else (only,)
    by_category: dict[str, list[Markup]] = {}
    for shown in snapshot.monitors:
        if shown.monitor.tag in rows:
            by_category.setdefault(shown.monitor.category, []).append(rows[shown.monitor.tag])
    if "" in by_category:
        yield "", "", "", by_category[""]
    for one in categories:
        if one.name in by_category:
            address = view.link(f"/category/{quote(one.name, safe='')}") if only is None else ""
            yield one.name, one.description, address, by_category[one.name]


def _rows(
    app: web.Application, view: TemplateContext, snapshot: Snapshot, listed: Sequence[MonitorView]
) -> dict[str, Markup]:
    """The finished rows by tag."""
    made, template = app[ROWS], aiohttp_jinja2.get_env(app).get_template("row.html")
    key = view.locale.tag
    common = view.context()
    for shown in listed:
        kept = made.setdefault(shown, {})
        if key not in kept:
            kept[key] = Markup(template.render({**common, **_row(view, shown, snapshot.now)}))  # noqa: S704
    return {shown.monitor.tag: made[shown][key] for shown in listed}


def _row(view: TemplateContext, shown: MonitorView, now: int) -> dict[str, Any]:
    locale, monitor = view.locale, shown.monitor
    address = view.link(f"/monitor/{monitor.tag}")
    return {
        "shown": shown,
        "monitor": monitor,
        "now": now,
        "address": address,
        "bars": bars(shown.days, address, locale, view.site.bar_style == "partial"),
        "ago_90": _ago(locale, shown.days, 90),
        "ago_30": _ago(locale, shown.days, 29),
        "figures": [(name, labels.uptime(locale, counts)) for name, counts in shown.windows.items()],
        "troubled": [labels.day(locale, day).split("\n") for day in shown.days if _is_troubled(day)],
    }


def _ago(locale: Locale, days: Sequence[DayView], count: int) -> str:
    return locale.gettext("%(duration)s ago") % {"duration": locale.duration(count * DAY)}


def _is_troubled(day: DayView) -> bool:
    return day.status is not Status.NO_DATA and day.counts.uptime != "100"


def _structured(view: TemplateContext) -> Markup:
    """JSON-LD. Within a script element only "<" would end it."""
    said = {
        "@context": "https://schema.org",
        "@type": "WebSite",
        "name": view.site.name,
        "url": view.absolute("/"),
    }
    return Markup(orjson.dumps(said).decode().replace("<", "\\u003c"))  # noqa: S704
