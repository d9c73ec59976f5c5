"""Errors as HTTP: one table, one envelope `{"error": "..."}`."""

import orjson
from aiohttp import web

from kener_async.domain import errors

STATUS: dict[type[errors.DomainError], int] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.TooSlow: 408,
    errors.TooLarge: 413,
    errors.Unsupported: 415,
    errors.TooMany: 429,
    errors.Unavailable: 503,
}

RETRY_AFTER = {"Retry-After": "5"}


def refusal(status: int, message: str) -> web.Response:
    """The envelope."""
    response = web.Response(
        status=status, body=orjson.dumps({"error": message}), content_type="application/json", charset="utf-8"
    )
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    elif status == 503:
        response.headers.update(RETRY_AFTER)
    elif status in (408, 413):
        # What is left of the body is not worth reading.
        response.force_close()
    return response


def refusal_of(error: errors.DomainError) -> web.Response:
    response = refusal(STATUS[type(error)], error.message)
    if isinstance(error, errors.TooMany):
        response.headers["Retry-After"] = str(error.seconds)
    return response
