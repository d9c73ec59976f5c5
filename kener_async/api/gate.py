"""The outermost middleware: it refuses what is no proper request, answers what fails, and counts both."""

import itertools
import re
import secrets
from urllib.parse import urlsplit

import structlog
from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler

from kener_async import keys
from kener_async.api.errors import refusal, refusal_of
from kener_async.domain.errors import DomainError, Invalid
from kener_async.log import REQUEST_ID

log = structlog.get_logger("kener_async.requests")

HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
}

_process = secrets.token_hex(4)
_numbers = itertools.count(1)


@web.middleware
async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One error envelope for all of /api, the same headers for every answer, a number for every request."""
    request_id = new_request_id()
    REQUEST_ID.set(request_id)
    try:
        check_form(request)
        response = await handler(request)
    except DomainError as error:
        response = refusal_of(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = refusal(error.status, _reason(error))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
    except Exception:
        log.exception("a request failed", method=request.method, path=request.path)
        response = refusal(500, "internal error")
    _finish(request, response, request_id)
    return response


def _finish(request: web.Request, response: web.StreamResponse, request_id: str) -> None:
    dress(response, request_id)
    if request.path.startswith("/api"):
        response.headers.setdefault("Cache-Control", "no-store")
    request.app[keys.METRICS].answered(request.method, response.status)
    requests = request.app[keys.RUNNING].config.log.requests
    if response.status >= 400 or requests == "all":
        level = log.warning if response.status >= 500 else log.info
        level(
            "answered", method=request.method, path=request.path, status=response.status, peer=request.remote
        )


def dress(response: web.StreamResponse, request_id: str) -> None:
    """The headers of every answer, also of those that never reach a handler."""
    headers = response.headers
    headers["X-Request-Id"] = request_id
    headers["Server"] = "kener_async"
    headers["X-Content-Type-Options"] = "nosniff"
    for name, value in PAGE_HEADERS.items():
        headers.setdefault(name, value)


def new_request_id() -> str:
    return f"{_process}-{next(_numbers):x}"


def check_form(request: web.Request) -> None:
    """Refuse what HTTP/1.1 does not allow and the parser lets pass; raises Invalid."""
    if request.version not in (HttpVersion10, HttpVersion11):
        raise Invalid("HTTP/1.0 or HTTP/1.1 only")
    host = ""
    for name, value in request.raw_headers:
        if not value.isascii():
            raise Invalid(f"header {name.decode('ascii', 'replace')}: not ASCII")
        if name.lower() == b"host":
            host = value.decode("ascii")
    if host and not HOST.fullmatch(host):
        raise Invalid("header Host: malformed")
    target = request.raw_path
    if not target.startswith("/") and target != "*" and urlsplit(target).netloc != host:
        raise Invalid("the request is for another host")
    if "%00" in target:
        raise Invalid("the path holds NUL")


def _reason(error: web.HTTPException) -> str:
    match error.status:
        case 404:
            return "not found"
        case 405:
            return "method not allowed"
    return error.reason.lower()
