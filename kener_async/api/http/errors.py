"""Errors as HTTP: one table of statuses, and the envelope `{"error": "..."}`."""

import orjson
from aiohttp import web

from kener_async.api.http.responses import JSON
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


class ErrorResponse(web.Response):
    """An error in the envelope, with the headers that its status calls for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status=status, body=orjson.dumps({"error": message}), headers={"Content-Type": JSON})
        self.message = message
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"
        elif status == 503:
            self.headers.update(RETRY_AFTER)
        elif status in (408, 413):
            # The rest of the body is not worth reading.
            self.force_close()


def error_response(error: Exception) -> ErrorResponse:
    """The response to whatever a handler raised; an unexpected error is not described."""
    if isinstance(error, errors.DomainError):
        response = ErrorResponse(STATUS[type(error)], error.message)
        if isinstance(error, errors.TooMany):
            response.headers["Retry-After"] = str(error.seconds)
        return response
    if isinstance(error, web.HTTPException):
        response = ErrorResponse(error.status, _message(error))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    return ErrorResponse(500, "internal error")


def _message(error: web.HTTPException) -> str:
    match error.status:
        case 404:
            return "not found"
        case 405:
            return "method not allowed"
    return error.reason.lower()
