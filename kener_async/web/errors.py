"""Error pages, for browsers; other clients get the error as JSON."""

from aiohttp import web

from kener_async.config.model import Config
from kener_async.keys import Running
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.page import CONTENT_SECURITY_POLICY, HTML, visitor_locale
from kener_async.web.pages.templates import Templates
from kener_async.web.pages.throttle import FairQueue

KEPT_HEADERS = {"Allow", "Retry-After"}


class ErrorPages:
    """Error pages by status and language, rendered once for a configuration."""

    def __init__(self, running: Running, templates: Templates, queue: FairQueue) -> None:
        self._running = running
        self._templates = templates
        self._queue = queue
        self._config: Config | None = None
        self._pages: dict[tuple[int, str], bytes] = {}

    async def respond(self, request: web.Request, refusal: web.Response) -> web.Response:
        """A page in the visitor's language if the client accepts HTML, else the refusal itself."""
        await self._queue.wait_turn()
        if "text/html" not in request.headers.get("Accept", ""):
            return refusal
        locale = visitor_locale(request)
        headers = {
            "Content-Type": HTML,
            "Content-Security-Policy": CONTENT_SECURITY_POLICY.format(ancestors="'none'"),
            "Cache-Control": "no-store",
            "Content-Language": locale.tag,
            **{name: refusal.headers[name] for name in KEPT_HEADERS.intersection(refusal.headers)},
        }
        body = await self._page(refusal.status, locale)
        return web.Response(status=refusal.status, body=body, headers=headers)

    async def _page(self, status: int, locale: Locale) -> bytes:
        config = self._running.config
        if config is not self._config:
            self._config, self._pages = config, {}
        pages, key = self._pages, (status, locale.tag)
        if key not in pages:
            context = self._templates.context(config, locale)
            page = await self._templates.render(
                "error.html", context, path="/", status=status, sentence=_sentence(locale, status)
            )
            pages[key] = page.encode()
        return pages[key]


ERROR_PAGES = web.AppKey("error pages", ErrorPages)


async def public_error(request: web.Request, refusal: web.Response) -> web.Response:
    return await request.app[ERROR_PAGES].respond(request, refusal)


def _sentence(locale: Locale, status: int) -> str:
    _ = locale.gettext
    return {
        404: _("This page does not exist."),
        405: _("This page is read-only."),
        503: _("The server is busy. Please try again in a moment."),
    }.get(status, _("Something went wrong on the server.") if status >= 500 else _("Bad request."))
