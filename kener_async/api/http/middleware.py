"""The outermost middleware: it refuses what is no proper request, answers what fails, and counts both."""

import itertools
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import structlog
from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.hdrs import HOST as HOST_HEADER
from aiohttp.hdrs import METH_HEAD
from aiohttp.typedefs import Middleware

from kener_async.api.http.error_formats import SENDER_PATHS, UNCACHED, masked, translated
from kener_async.api.http.errors import refusal, refusal_of
from kener_async.api.http.forwarded import HOST, client_address
from kener_async.api.http.responses import (
    DEFAULT_HEADERS,
    NO_STORE,
    REQUEST_ID_HEADER,
    STANDARD_HEADERS,
    PrebuiltResponse,
)
from kener_async.domain.errors import DomainError, Invalid
from kener_async.keys import Running
from kener_async.log import REQUEST_ID
from kener_async.metrics import Metrics

log = structlog.get_logger("kener_async.requests")

HEARTBEATS = "/api/status"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PublicError = Callable[[web.Request, web.Response], Awaitable[web.Response]]

# Numbers for requests, told apart from those of other processes.
new_request_id: Callable[[], str] = map(f"{secrets.token_hex(4)}-%x".__mod__, itertools.count(1)).__next__
_sound_hosts: set[str] = set()
SOUND_HOSTS = 1024  # a server has a few names; whoever makes more up only has them checked each time


def request_middleware(metrics: Metrics, running: Running, public_error: PublicError) -> Middleware:
    """One error envelope for all of /api, the same headers for every answer, a number for every request.

    Senders made for other services are refused in their words (`dialects`). Of a refusal of anything else
    `public_error` makes what is right for visitors.
    """

    async def refused(request: web.Request, refusal: web.Response) -> web.Response:
        if (told := translated(refusal, request.path)) is not None:
            return told
        return refusal if request.path.startswith("/api") else await public_error(request, refusal)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = new_request_id()
        REQUEST_ID.set(request_id)
        try:
            check_form(request)
            response = await handler(request)
        except DomainError as error:
            response = await refused(request, refusal_of(error))
        except web.HTTPException as error:
            if error.status < 400:
                raise
            answered = refusal(error.status, _reason(error))
            if "Allow" in error.headers:
                answered.headers["Allow"] = error.headers["Allow"]
            response = await refused(request, answered)
        except Exception:
            log.exception("a request failed", method=request.method, path=masked(request.path))
            response = await refused(request, refusal(500, "internal error"))
        if isinstance(response, PrebuiltResponse):
            response.request_id = request_id
        else:
            add_standard_headers(response, request_id)
            if request.path.startswith(UNCACHED):
                response.headers.setdefault("Cache-Control", NO_STORE)
        if running.stopping:
            response.force_close()
        _note(request, response.status)
        return response

    def _note(request: web.Request, status: int) -> None:
        metrics.answered(request.method, status)
        if _is_heartbeat(request):
            metrics.heartbeat(status)
        if status >= 400 or running.config.log.requests == "all":
            level = log.warning if status >= 500 else log.info
            peer = client_address(request, running.config.server.trusted_proxies)
            level("answered", method=request.method, path=masked(request.path), status=status, peer=peer)

    return middleware


def _is_heartbeat(request: web.Request) -> bool:
    if request.method == "POST" and request.raw_path == HEARTBEATS:
        return True
    return request.method != METH_HEAD and request.raw_path.startswith(SENDER_PATHS)


def add_standard_headers(response: web.StreamResponse, request_id: str) -> None:
    """The headers of every answer, also of those that never reach a handler."""
    headers = response.headers
    headers[REQUEST_ID_HEADER] = request_id
    headers.update(STANDARD_HEADERS)
    for name, value in DEFAULT_HEADERS.items():
        headers.setdefault(name, value)


def check_form(request: web.Request) -> None:
    """Refuse what HTTP/1.1 does not allow and the parser lets pass; raises Invalid."""
    if request.version not in (HttpVersion11, HttpVersion10):
        raise Invalid("HTTP/1.0 or HTTP/1.1 only")
    for name, value in request.raw_headers:
        if not value.isascii():
            raise Invalid(f"header {name.decode('ascii', 'replace')}: not ASCII")
    hosts = request.headers.getall(HOST_HEADER, ("",))
    host = hosts[-1]
    if host and host not in _sound_hosts:
        _check_host(host)
    target = request.raw_path
    if not target.startswith("/") and target != "*" and urlsplit(target).netloc != host:
        raise Invalid("the request is for another host")
    if "%00" in target:
        raise Invalid("the path holds NUL")


def _check_host(host: str) -> None:
    if not HOST.fullmatch(host):
        raise Invalid("header Host: malformed")
    if len(_sound_hosts) < SOUND_HOSTS:
        _sound_hosts.add(host)


def _reason(error: web.HTTPException) -> str:
    match error.status:
        case 404:
            return "not found"
        case 405:
            return "method not allowed"
    return error.reason.lower()
