"""/badge/{tag}/status, uptime and dot: as SVG, and with .json at the end for shields.io's endpoint badges."""

from base64 import b64encode
from functools import partial
from hashlib import sha256

import orjson
from aiohttp import web

from kener_async import keys
from kener_async.domain.calendar import MINUTE, minute_of
from kener_async.domain.errors import NotFound
from kener_async.domain.samples import Status
from kener_async.domain.uptime import Counts
from kener_async.domain.windows import WINDOWS
from kener_async.store import rollups
from kener_async.web.formats.badge_svg import (
    DOT_CSS,
    NO_DATA_COLOR,
    WORDS,
    Badge,
    Options,
    dot,
    endpoint,
    options,
    status_badge,
    svg,
    uptime_badge,
)
from kener_async.web.pages.cache import VARIANTS, page
from kener_async.web.pages.locales import ENGLISH, Locale
from kener_async.web.pages.snapshot import MonitorView, Snapshot
from kener_async.web.parts import palette

SVG = "image/svg+xml; charset=utf-8"
JSON = "application/json; charset=utf-8"
_DOT_HASH = b64encode(sha256(DOT_CSS.encode()).digest()).decode()
HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DOT_HASH}'",
}


async def badge(request: web.Request) -> web.StreamResponse:
    """A badge with its options in the address; a monitor of which nothing is known has a grey one."""
    tag, kind, form = (request.match_info[name] for name in ("tag", "kind", "form"))
    is_json = form == ".json"
    if is_json and kind == "dot":
        raise NotFound("a dot has no text")

    async def make(snapshot: Snapshot, _: Locale) -> str | bytes:
        shown = snapshot.named(tag)
        asked = options(request.query, shown.monitor.name)
        if kind == "dot":
            return _dot(snapshot, shown, asked)
        drawn = await _drawn(request.app, snapshot, shown, kind, asked)
        return orjson.dumps(endpoint(drawn)) if is_json else svg(drawn)

    content_type = JSON if is_json else SVG
    return await page(
        request, make, str(request.rel_url), content_type, locale=ENGLISH, headers=HEADERS, kept=VARIANTS
    )


def _dot(snapshot: Snapshot, shown: MonitorView, asked: Options) -> str:
    known = palette.colors(snapshot.config.site)
    color = NO_DATA_COLOR if shown.status is Status.NO_DATA else known[shown.status]
    return dot(asked.color or color, asked.is_pinging, f"{asked.label}: {WORDS[shown.status]}")


async def _drawn(
    app: web.Application, snapshot: Snapshot, shown: MonitorView, kind: str, asked: Options
) -> Badge:
    if kind == "status":
        colors = {**palette.colors(snapshot.config.site), Status.NO_DATA: NO_DATA_COLOR}
        return status_badge(asked, shown.status, colors)
    return uptime_badge(asked, (await _counts(app, snapshot, shown, asked.since_last)).uptime)


async def _counts(app: web.Application, snapshot: Snapshot, shown: MonitorView, seconds: int) -> Counts:
    """The minutes of a window that ends with the snapshot's minute."""
    known = next((name for name, length in WINDOWS.items() if length == seconds), None)
    if known is not None:
        return shown.windows[known]
    state = await app[keys.LOADER].state(shown.monitor.tag)
    end = minute_of(snapshot.now) + MINUTE
    window = (end - seconds // MINUTE * MINUTE, end)
    await app[keys.ROLLUPS].settle([state.id], *window)
    count = partial(rollups.count_window, monitor=state.id, window=window, now=snapshot.now)
    return await app[keys.DATABASE].read(count)
