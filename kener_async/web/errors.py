"""Error pages, for browsers; other clients get the error as JSON."""

from aiohttp import web

from kener_async.api.http.errors import ErrorResponse
from kener_async.api.http.responses import NO_STORE, PrebuiltResponse, prebuilt_head
from kener_async.config.model import Config
from kener_async.keys import Running
from kener_async.locales.locale import Locale
from kener_async.web.pages.page import CONTENT_SECURITY_POLICY, HTML, visitor_locale
from kener_async.web.pages.templates import Templates

PAGE_POLICY = CONTENT_SECURITY_POLICY.format(ancestors="'none'")


class ErrorPages:
    """Error pages by status and language, rendered once for a configuration."""

    def __init__(self, running: Running, templates: Templates) -> None:
        self._running = running
        self._templates = templates
        self._config: Config | None = None
        self._pages: dict[tuple[int, str], bytes] = {}

    async def respond(self, request: web.Request, refusal: ErrorResponse) -> web.Response:
        """A page in the visitor's language if the client accepts HTML, else the refusal itself."""
        if "text/html" not in request.headers.get("Accept", ""):
            return refusal
        locale = visitor_locale(request)
        head = prebuilt_head(
            refusal.head.status,
            (
                ("Content-Type", HTML),
                ("Content-Security-Policy", PAGE_POLICY),
                ("Cache-Control", NO_STORE),
                ("Content-Language", locale.tag),
                *refusal.extra.items(),
            ),
        )
        response = PrebuiltResponse(head, await self._page(refusal.head.status, locale))
        if refusal.keep_alive is False:
            response.force_close()
        return response

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


async def public_error(request: web.Request, refusal: ErrorResponse) -> web.Response:
    return await request.app[ERROR_PAGES].respond(request, refusal)


def _sentence(locale: Locale, status: int) -> str:
    _ = locale.gettext
    return {
        404: _("This page does not exist."),
        405: _("This page is read-only."),
        503: _("The server is busy. Please try again in a moment."),
    }.get(status, _("Something went wrong on the server.") if status >= 500 else _("Bad request."))
