"""Errors as pages, for those who asked for a page."""

from aiohttp import web

from kener_async import keys
from kener_async.config.model import Config
from kener_async.web.pages.cache import FAIR_QUEUE, HTML, POLICY, locale_of
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.templates import render

KEPT_HEADERS = {"Allow", "Retry-After"}


class ErrorPages:
    """The finished error pages of the configuration in force, by status and language."""

    def __init__(self) -> None:
        self._config: Config | None = None
        self._pages: dict[tuple[int, str], bytes] = {}

    async def page(self, app: web.Application, status: int, locale: Locale) -> bytes:
        config = app[keys.RUNNING].config
        if config is not self._config:
            self._config, self._pages = config, {}
        key = (status, locale.tag)
        if key not in self._pages:
            self._pages[key] = await _made(app, config, status, locale)
        return self._pages[key]


ERRORS = web.AppKey("errors", ErrorPages)


async def public_error(request: web.Request, refusal: web.Response) -> web.Response:
    """A page that says what is wrong in the visitor's language, and leads home; the refusal for programs."""
    await request.app[FAIR_QUEUE].passed()
    if "text/html" not in request.headers.get("Accept", ""):
        return refusal
    locale = locale_of(request)
    headers = {
        "Content-Type": HTML,
        "Content-Security-Policy": POLICY.format(ancestors="'none'"),
        "Cache-Control": "no-store",
        "Content-Language": locale.tag,
        **{name: refusal.headers[name] for name in KEPT_HEADERS.intersection(refusal.headers)},
    }
    body = await request.app[ERRORS].page(request.app, refusal.status, locale)
    return web.Response(status=refusal.status, body=body, headers=headers)


async def _made(app: web.Application, config: Config, status: int, locale: Locale) -> bytes:
    _ = locale.gettext
    sentence = {
        404: _("This page does not exist."),
        405: _("This page can only be read."),
        503: _("The server is busy. Please try again in a moment."),
    }.get(status, _("Something went wrong here.") if status >= 500 else _("This request makes no sense."))
    page = await render(app, "error.html", config, locale, path="/", status=status, sentence=sentence)
    return page.encode()
