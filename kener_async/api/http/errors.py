"""Errors as HTTP: one table of statuses, and the envelope `{"error": "..."}`."""

from collections.abc import Mapping
from types import MappingProxyType

import orjson
from aiohttp import web

from kener_async.api.http.responses import JSON, NO_STORE, PrebuiltHead, PrebuiltResponse, prebuilt_head
from kener_async.domain import errors

STATUS: dict[type[errors.DomainError], int] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.TooSlow: 408,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.Unsupported: 415,
    errors.TooMany: 429,
    errors.Unavailable: 503,
}
HEADERS: Mapping[int, Mapping[str, str]] = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class ErrorResponse(PrebuiltResponse):
    """An error in the envelope, with the headers that its status calls for and those of `extra`."""

    def __init__(self, status: int, message: str, extra: Mapping[str, str] = NO_HEADERS) -> None:
        self.message = message
        self.extra = {**HEADERS.get(status, NO_HEADERS), **extra}
        super().__init__(self._head(status, JSON), orjson.dumps({"error": message}))
        if status in (408, 413):
            # The rest of the body is not worth reading.
            self.force_close()

    def rewrite(self, content_type: str, content: bytes) -> None:
        """Replace the envelope."""
        self.head, self.content = self._head(self.head.status, content_type), content

    def _head(self, status: int, content_type: str) -> PrebuiltHead:
        headers = {"Content-Type": content_type, "Cache-Control": NO_STORE, **self.extra}
        return prebuilt_head(status, tuple(headers.items()))


def error_response(error: Exception, extra: Mapping[str, str] = NO_HEADERS) -> ErrorResponse:
    """The response to whatever a handler raised; an unexpected error is not described."""
    if isinstance(error, errors.DomainError):
        if isinstance(error, errors.TooMany):
            extra = {**extra, "Retry-After": str(error.seconds)}
        return ErrorResponse(status_of(error), error.message, extra)
    if isinstance(error, web.HTTPException):
        if "Allow" in error.headers:
            extra = {**extra, "Allow": error.headers["Allow"]}
        return ErrorResponse(error.status, _message(error), extra)
    return ErrorResponse(500, "internal error", extra)


def status_of(error: errors.DomainError) -> int:
    """The status of an error: that of its class, or of the one that it is a case of."""
    return next(STATUS[each] for each in type(error).__mro__ if each in STATUS)


def _message(error: web.HTTPException) -> str:
    match error.status:
        case 404:
            return "not found"
        case 405:
            return "method not allowed"
    return error.reason.lower()
