"""/embed/{tag}, a monitor for other sites' pages, and /embed/{tag}.js, the script that puts it there."""

import re

from aiohttp import web

from kener_async import keys
from kener_async.web.pages import locales
from kener_async.web.pages.assets import ASSETS, STATIC, TYPES
from kener_async.web.pages.cache import VARIANTS, locale_of, page
from kener_async.web.pages.locales import ENGLISH, Locale
from kener_async.web.pages.snapshot import Snapshot
from kener_async.web.pages.templates import TemplateContext, render
from kener_async.web.parts.bars import bars

ANYWHERE = "*"
THEMES = ("light", "dark")
COLOR = re.compile(r"[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6}", re.ASCII)


async def embed(request: web.Request) -> web.StreamResponse:
    """Options that make no sense count as not given."""
    tag, theme, ground = request.match_info["tag"], _theme(request), _ground(request)
    locale = _locale(request)

    async def make(snapshot: Snapshot, locale: Locale) -> str:
        return await _made(request.app, snapshot, locale, tag, theme, ground)

    return await page(
        request,
        make,
        f"{request.path}?theme={theme}&bgc={ground}",
        locale=locale,
        frame_ancestors=ANYWHERE,
        headers={"Content-Language": locale.tag, "Vary": "Accept-Encoding, Accept-Language, Cookie"},
        kept=VARIANTS,
    )


def _theme(request: web.Request) -> str:
    """The one asked for, else the site's."""
    asked = request.query.get("theme", "")
    return asked if asked in THEMES else request.app[keys.RUNNING].config.site.theme


def _ground(request: web.Request) -> str:
    """The colour behind it in hex digits, or empty: what is behind the frame."""
    asked = request.query.get("bgc", "")
    return asked.lower() if COLOR.fullmatch(asked) else ""


def _locale(request: web.Request) -> Locale:
    asked = request.query.get("locale")
    offered = request.app[keys.RUNNING].config.site.locales
    return locales.locale(asked) if asked in offered else locale_of(request)


async def _made(
    app: web.Application, snapshot: Snapshot, locale: Locale, tag: str, theme: str, ground: str
) -> str:
    shown = snapshot.named(tag)
    view = TemplateContext(snapshot.config, locale, app[ASSETS])
    path = f"/monitor/{tag}"
    return await render(
        app,
        "embed.html",
        snapshot.config,
        locale,
        path=path,
        now=snapshot.now,
        theme=theme,
        ground=ground,
        shown=shown,
        monitor=shown.monitor,
        bars=bars(shown.days, view.link(path), locale, view.site.bar_style == "partial"),
    )


async def script(request: web.Request) -> web.StreamResponse:
    """The same for every monitor there is: it finds out from its own address which one is meant."""

    async def make(snapshot: Snapshot, _: Locale) -> bytes:
        snapshot.named(request.match_info["tag"])  # there must be such a monitor
        return (STATIC / "embed.js").read_bytes()

    return await page(request, make, content_type=TYPES[".js"], locale=ENGLISH)
