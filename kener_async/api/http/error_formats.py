"""Errors as clients of other services expect them; errors.py has the envelope, web/errors.py the pages."""

import orjson
from aiohttp import web

from kener_async.api.http.errors import ErrorResponse


def plain_text(error: ErrorResponse) -> web.Response:
    """The message alone."""
    error.content_type = "text/plain"
    error.text = error.message
    return error


def uptime_kuma(error: ErrorResponse) -> web.Response:
    """`{"ok": false, "msg": "..."}`."""
    error.body = orjson.dumps({"ok": False, "msg": error.message})
    return error
