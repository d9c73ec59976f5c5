"""Errors as pages, for those who asked for a page."""

from aiohttp import web

from kener_async import keys
from kener_async.web.pages import HTML, POLICY, locale_of
from kener_async.web.views import render


async def error_page(request: web.Request, status: int) -> web.Response:
    """A page that says what is wrong in the visitor's language, and leads home."""
    locale = locale_of(request)
    _ = locale.gettext
    sentence = {
        404: _("This page does not exist."),
        405: _("This page can only be read."),
        503: _("The server is busy. Please try again in a moment."),
    }.get(status, _("Something went wrong here.") if status >= 500 else _("This request makes no sense."))
    text = await render(
        request.app,
        "error.html",
        request.app[keys.RUNNING].config,
        locale,
        path="/",
        status=status,
        sentence=sentence,
    )
    headers = {
        "Content-Type": HTML,
        "Content-Security-Policy": POLICY.format(ancestors="'none'"),
        "Cache-Control": "no-store",
        "Content-Language": locale.tag,
    }
    return web.Response(status=status, body=text.encode(), headers=headers)
