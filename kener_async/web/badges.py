"""/badge/{tag}/status, uptime and dot: as SVG, and with .json at the end for shields.io's endpoint badges."""

from base64 import b64encode
from hashlib import sha256

import orjson

from kener_async import keys
from kener_async.domain.calendar import MINUTE, minute_end
from kener_async.domain.errors import NotFound
from kener_async.domain.samples import Status
from kener_async.domain.uptime import Counts
from kener_async.domain.windows import WINDOWS
from kener_async.store import rollups
from kener_async.web.formats import badge_svg
from kener_async.web.formats.badge_svg import (
    DOT_CSS,
    NO_DATA_COLOR,
    WORDS,
    Badge,
    Options,
    options,
    status_badge,
    uptime_badge,
)
from kener_async.web.pages.page import PageRequest, by_path_and_query, page
from kener_async.web.pages.snapshot import MonitorView
from kener_async.web.parts import palette

SVG = "image/svg+xml; charset=utf-8"
JSON = "application/json; charset=utf-8"
_DOT_HASH = b64encode(sha256(DOT_CSS.encode()).digest()).decode()
HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DOT_HASH}'",
}


@page(SVG, key=by_path_and_query, language=None, headers=HEADERS)
async def image(page: PageRequest) -> str:
    view, chosen = await _requested(page)
    if page.request.match_info["kind"] == "dot":
        return _dot(page, view, chosen)
    return badge_svg.svg(await _badge(page, view, chosen))


@page(JSON, key=by_path_and_query, language=None, headers=HEADERS)
async def endpoint(page: PageRequest) -> bytes:
    if page.request.match_info["kind"] == "dot":
        raise NotFound("a dot has no text")
    return orjson.dumps(badge_svg.endpoint(await _badge(page, *(await _requested(page)))))


async def _requested(page: PageRequest) -> tuple[MonitorView, Options]:
    view = await page.view(page.request.match_info["tag"])
    return view, options(page.request.query, view.monitor.name)


def _dot(page: PageRequest, view: MonitorView, chosen: Options) -> str:
    colors = palette.colors(page.config.site)
    color = NO_DATA_COLOR if view.status is Status.NO_DATA else colors[view.status]
    return badge_svg.dot(chosen.color or color, chosen.is_pinging, f"{chosen.label}: {WORDS[view.status]}")


async def _badge(page: PageRequest, view: MonitorView, chosen: Options) -> Badge:
    if page.request.match_info["kind"] == "status":
        colors = {**palette.colors(page.config.site), Status.NO_DATA: NO_DATA_COLOR}
        return status_badge(chosen, view.status, colors)
    return uptime_badge(chosen, (await _counts(page, view, chosen.since_last)).uptime)


async def _counts(page: PageRequest, view: MonitorView, seconds: int) -> Counts:
    """The counts of a window that ends with the snapshot's minute."""
    name = next((name for name, length in WINDOWS.items() if length == seconds), None)
    if name is not None:
        return view.windows[name]
    state = await page.app[keys.LOADER].state(view.monitor.tag)
    end = minute_end(page.now)
    window = (end - seconds // MINUTE * MINUTE, end)
    await page.app[keys.ROLLUPS].settle([state.id], *window)
    return await page.app[keys.DATABASE].read(rollups.count_window, state.id, window, page.now)
