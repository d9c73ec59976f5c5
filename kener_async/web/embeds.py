"""/embed/{tag}, a monitor in a frame for other sites, and /embed/{tag}.js, the script that inserts it."""

import re

from aiohttp import web

from kener_async import keys
from kener_async.api.http.responses import ANY_ORIGIN
from kener_async.locales.locale import Locale, locale
from kener_async.web.pages.assets import CONTENT_TYPES, STATIC
from kener_async.web.pages.cache import RenderedPage
from kener_async.web.pages.page import CacheKey, PageRequest, page, visitor_locale
from kener_async.web.parts.bars import bars

ANY_SITE = "*"
THEMES = ("light", "dark")
COLOR = re.compile(r"[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6}", re.ASCII)

# Options that are invalid count as not given.


def _theme(request: web.Request) -> str:
    """The theme requested, else the site's."""
    theme = request.query.get("theme", "")
    return theme if theme in THEMES else request.app[keys.RUNNING].config.site.theme


def _background(request: web.Request) -> str:
    """The background colour in hex digits; empty: transparent."""
    color = request.query.get("bgc", "")
    return color.lower() if COLOR.fullmatch(color) else ""


def _locale(request: web.Request) -> Locale:
    """The language requested if the site has it, else the visitor's."""
    tag, offered = request.query.get("locale"), request.app[keys.RUNNING].config.site.locales
    return locale(tag) if tag in offered else visitor_locale(request)


def _key(request: web.Request) -> CacheKey:
    return CacheKey(f"{request.path}?theme={_theme(request)}&bgc={_background(request)}", is_variant=True)


@page(key=_key, language=_locale, frame_ancestors=ANY_SITE, headers=ANY_ORIGIN)
async def embed(page: PageRequest) -> RenderedPage:
    view = await page.view(page.request.match_info["tag"])
    path = f"/monitor/{view.monitor.tag}"
    is_partial = page.config.site.bar_style == "partial"
    return await page.render(
        "embed.html",
        path=path,
        theme=_theme(page.request),
        background=_background(page.request),
        monitor_view=view,
        monitor=view.monitor,
        bars=bars(view.days, page.context.link(path), page.locale, is_partial),
    )


@page(CONTENT_TYPES[".js"], language=None, headers=ANY_ORIGIN)
async def script(page: PageRequest) -> bytes:
    """The same script for every monitor: it takes the tag from its own address."""
    page.snapshot.named(page.request.match_info["tag"])  # 404 for an unknown monitor
    return (STATIC / "embed.js").read_bytes()
