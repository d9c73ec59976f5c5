"""/ and /category/{name}: the status of all monitors, or of those in one category.

With more than ROWS_PER_PAGE monitors the categories are folded: each is one line that leads to its own page,
and live.js loads its monitors into place. What is not up is listed first. So the page has a bound, whatever
the number of monitors. `/?q=` lists the monitors that match a text, `/?page=` all of them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from aiohttp import web
from markupsafe import Markup

from kener_async.config.model import Category
from kener_async.domain.errors import NotFound
from kener_async.domain.headline import kind_of
from kener_async.domain.samples import Status
from kener_async.web.pages import labels
from kener_async.web.pages.cache import RenderedPage
from kener_async.web.pages.page import CacheKey, PageRequest, page
from kener_async.web.pages.snapshot import IncidentView, MonitorNow
from kener_async.web.pages.templates import TemplateContext
from kener_async.web.parts.rows import ROW_CACHE

ROWS_PER_PAGE = 25  # about 13 KB each
MAX_ROWS_BYTES = 360_000  # rows beyond are shown without bars
MAX_CATEGORIES = 150
MAX_ATTENTION = 20
MIN_FOR_ATTENTION = 10  # with so few monitors all are seen at once
MAX_INCIDENTS = 10  # of each section
MAX_QUERY = 100  # characters
MAX_PAGE_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Group:
    """Monitors below one heading. Folded ones have no rows; `more` leads to those that are not shown.

    `counts` are the numbers of monitors that are not up, by status, the worst first.
    """

    name: str
    description: str
    address: str
    status: Status
    size: int
    counts: Sequence[tuple[Status, int]]
    rows: Sequence[Markup]
    is_folded: bool = False
    more: str = ""


@dataclass(frozen=True, slots=True)
class Pager:
    """The position in a list of several pages, and the addresses of its neighbours; empty: none."""

    number: int
    last: int
    previous: str
    following: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The part of a page that shows monitors, and what is said above them."""

    monitors: Collection[MonitorNow]
    groups: Sequence[Group]
    pager: Pager | None = None
    query: str | None = None
    more_categories: int = 0


def _query(request: web.Request) -> str | None:
    """The text to filter by, in one form for all ways to write it; None: no list was asked for."""
    options = request.query
    if "q" not in options and "page" not in options:
        return None
    return " ".join(options.get("q", "")[:MAX_QUERY].casefold().split())


def _number(request: web.Request) -> int:
    """The number of the page asked for; raises NotFound for what no page has."""
    text = request.query.get("page", "1")
    if not (text.isascii() and text.isdecimal()) or len(text) > MAX_PAGE_DIGITS or int(text) < 1:
        raise NotFound("there is no such page")
    return int(text)


def _home_key(request: web.Request) -> CacheKey:
    if not request.rel_url.raw_query_string or (query := _query(request)) is None:
        return CacheKey("/")
    return CacheKey(f"/?{urlencode({'q': query, 'page': _number(request)})}", is_variant=True)


def _category_key(request: web.Request) -> CacheKey:
    if "page" not in request.rel_url.raw_query_string:
        return CacheKey(request.path)
    return CacheKey(f"{request.path}?page={_number(request)}", is_variant=True)


@page(key=_home_key)
async def home(page: PageRequest) -> RenderedPage:
    monitors, query = page.snapshot.monitors, _query(page.request)
    if query is not None:
        matching = [one for one in monitors if _matches(one, query)] if query else list(monitors)
        listing = await _list(page, matching, lambda number: _list_address(page, query, number))
        return await _render(page, Listing(monitors, *listing, query=query))
    if len(monitors) > ROWS_PER_PAGE:
        return await _render(page, await _folded(page))
    return await _render(page, await _open(page))


@page(key=_category_key)
async def category(page: PageRequest) -> RenderedPage:
    """A category's monitors; in another case the name leads to the address as it is configured."""
    category = _category(page)
    members = [one for one in page.snapshot.monitors if one.monitor.category == category.name]
    address = page.context.link(_path(category))

    def numbered(number: int) -> str:
        return address if number == 1 else f"{address}?page={number}"

    return await _render(page, Listing(members, *(await _list(page, members, numbered))), category)


def _category(page: PageRequest) -> Category:
    name = page.request.match_info["name"]
    visible = [category for category in page.config.categories if not category.hidden]
    for category in visible:
        if category.name == name:
            return category
    for category in visible:
        if category.name.casefold() == name.casefold():
            raise web.HTTPPermanentRedirect(page.context.link(_path(category)))
    raise NotFound("there is no such category")


def _path(category: Category) -> str:
    return f"/category/{quote(category.name, safe='')}"


def _list_address(page: PageRequest, query: str, number: int) -> str:
    options = ({"q": query} if query else {}) | {"page": number}
    return f"{page.context.link('/')}?{urlencode(options)}"


def _matches(one: MonitorNow, query: str) -> bool:
    monitor = one.monitor
    text = f"{monitor.name}\n{monitor.tag}\n{monitor.category}".casefold()
    return all(word in text for word in query.split())


# Groups


async def _open(page: PageRequest) -> Listing:
    """All monitors with their rows, by category."""
    by_category = _by_category(page)
    rows = iter(await _rows(page, [one for members in by_category.values() for one in members]))
    groups = [
        _group(page, name, members, [next(rows) for _ in members]) for name, members in by_category.items()
    ]
    return Listing(page.snapshot.monitors, groups)


async def _folded(page: PageRequest) -> Listing:
    """A line for each category, and the worst of the monitors without one."""
    by_category = _by_category(page)
    loose = _worst_first(by_category.pop("", []))
    groups = []
    if loose:
        more = _list_address(page, "", 1) if len(loose) > ROWS_PER_PAGE else ""
        rows = await _rows(page, loose[:ROWS_PER_PAGE])
        groups.append(_group(page, "", loose, rows, more=more))
    names = list(by_category)[:MAX_CATEGORIES]
    groups += [_group(page, name, by_category[name], (), is_folded=True) for name in names]
    return Listing(page.snapshot.monitors, groups, more_categories=len(by_category) - len(names))


async def _list(
    page: PageRequest, monitors: list[MonitorNow], address: Callable[[int], str]
) -> tuple[Sequence[Group], Pager | None]:
    """The page asked for of these monitors; those that are not up come first if there are several pages."""
    number, last = _number(page.request), max(1, -(-len(monitors) // ROWS_PER_PAGE))
    if number > last:
        raise NotFound("there is no such page")
    if not monitors:
        return (), None
    if last == 1:
        return [_group(page, "", monitors, await _rows(page, monitors))], None
    first = (number - 1) * ROWS_PER_PAGE
    rows = await _rows(page, _worst_first(monitors)[first : first + ROWS_PER_PAGE])
    previous = address(number - 1) if number > 1 else ""
    following = address(number + 1) if number < last else ""
    return [_group(page, "", monitors, rows)], Pager(number, last, previous, following)


def _by_category(page: PageRequest) -> dict[str, list[MonitorNow]]:
    """The monitors by category, in the order of the configuration; those without one come first."""
    names = ["", *(category.name for category in page.config.categories)]
    by_category: dict[str, list[MonitorNow]] = {name: [] for name in names}
    for one in page.snapshot.monitors:
        by_category.setdefault(one.monitor.category, []).append(one)
    return {name: members for name, members in by_category.items() if members}


def _group(
    page: PageRequest,
    name: str,
    members: Sequence[MonitorNow],
    rows: Sequence[Markup],
    *,
    is_folded: bool = False,
    more: str = "",
) -> Group:
    category = next((category for category in page.config.categories if category.name == name), None)
    counted = Counter(one.status for one in members)
    return Group(
        name,
        "" if category is None else category.description,
        "" if category is None else page.context.link(_path(category)),
        kind_of(counted).status,
        len(members),
        [(status, counted[status]) for status in labels.WORST_FIRST if counted[status]],
        rows,
        is_folded,
        more,
    )


def _worst_first(monitors: Iterable[MonitorNow]) -> list[MonitorNow]:
    """What is not up first; otherwise in the order of the configuration."""
    return sorted(monitors, key=lambda one: labels.SEVERITY[one.status])


async def _rows(page: PageRequest, monitors: Sequence[MonitorNow]) -> list[Markup]:
    """The rows of at most ROWS_PER_PAGE monitors; without bars where they would be too large."""
    views, cache = await page.views(monitors), page.app[ROW_CACHE]
    return await asyncio.to_thread(cache.rows, page.context, views, page.now, MAX_ROWS_BYTES)


# Rendering


async def _render(page: PageRequest, listing: Listing, category: Category | None = None) -> RenderedPage:
    snapshot = page.snapshot
    tags = None if category is None else {one.monitor.tag for one in listing.monitors}
    ongoing, upcoming, recent = (
        _affecting(tags, views)[:MAX_INCIDENTS]
        for views in (snapshot.ongoing, snapshot.upcoming, snapshot.recent)
    )
    overall = snapshot.headline if category is None else await page.headline(listing.monitors)
    return await page.render(
        "home.html",
        path="/" if category is None else _path(category),
        category=category,
        headline=overall,
        sentence=labels.headline_sentence(page.locale, overall, page.config.site.timezone),
        announcements=snapshot.announcements,
        ongoing=ongoing,
        upcoming=upcoming,
        recent=recent,
        names=_names(page, (*ongoing, *upcoming, *recent)),
        windows=list(labels.windows(page.locale).items()),
        count=len(listing.monitors),
        is_many=len(snapshot.monitors) > ROWS_PER_PAGE,
        listing=listing,
        attention=await _attention(page, listing),
        structured_data=_structured_data(page.context),
    )


def _affecting(tags: set[str] | None, incidents: Sequence[IncidentView]) -> Sequence[IncidentView]:
    return incidents if tags is None else [view for view in incidents if tags.intersection(view.tags)]


def _names(page: PageRequest, incidents: Iterable[IncidentView]) -> dict[str, str]:
    """The names of the monitors that incidents affect, by tag."""
    by_tag = page.snapshot.by_tag
    return {tag: by_tag[tag].monitor.name for view in incidents for tag in view.tags}


async def _attention(page: PageRequest, listing: Listing) -> dict[str, Any] | None:
    """The monitors that are not up, the worst first; None where the rows themselves begin with them."""
    affected = [one for one in _worst_first(listing.monitors) if one.status is not Status.UP]
    is_first = listing.pager is not None or listing.query is not None
    if not affected or is_first or len(listing.monitors) < MIN_FOR_ATTENTION:
        return None
    if all(one.status is Status.NO_DATA for one in listing.monitors):  # as before the first report
        return None
    listed = affected[:MAX_ATTENTION]
    since = await page.since(listed)
    return {
        "monitors": [
            (one, labels.status_for(page.locale, one.current, begin, page.now))
            for one, begin in zip(listed, since, strict=True)
        ],
        "count": len(affected),
        "more": len(affected) - len(listed),
        "address": _list_address(page, "", 1) if page.request.path == "/" else "",
    }


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
