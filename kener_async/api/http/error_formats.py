"""Errors as clients of other services expect them; errors.py has the envelope, web/errors.py the pages."""

import orjson
from aiohttp import web

from kener_async.api.http.errors import ErrorResponse
from kener_async.api.http.responses import JSON


def plain_text(error: ErrorResponse) -> web.Response:
    """The message alone."""
    error.rewrite("text/plain; charset=utf-8", error.message.encode())
    return error


def uptime_kuma(error: ErrorResponse) -> web.Response:
    """`{"ok": false, "msg": "..."}`."""
    error.rewrite(JSON, orjson.dumps({"ok": False, "msg": error.message}))
    return error
