"""The only middleware: reject malformed requests, turn exceptions into responses, log and count.

It gives every response its standard headers and every request a number. What differs between routes is in
their policies.
"""

import itertools
import re
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.hdrs import HOST as HOST_HEADER
from aiohttp.typedefs import Middleware

from kener_async.api.http import error_formats
from kener_async.api.http.errors import NO_HEADERS, ErrorResponse, error_response
from kener_async.api.http.forwarded import is_host
from kener_async.api.http.policy import ErrorFormat, RoutePolicies, RoutePolicy, policy_of
from kener_async.api.http.request_log import RequestLog
from kener_async.api.http.responses import (
    ANY_ORIGIN,
    NO_STORE,
    Handler,
    PrebuiltHead,
    PrebuiltResponse,
    complete_headers,
)
from kener_async.domain.errors import DomainError, Invalid
from kener_async.keys import Running
from kener_async.log import REQUEST_ID
from kener_async.metrics import Metrics

ErrorPage = Callable[[web.Request, ErrorResponse], Awaitable[web.Response]]

# The prefix tells the requests of this process from those of others.
new_request_id: Callable[[], str] = map(f"{secrets.token_hex(4)}-%x".__mod__, itertools.count(1)).__next__
# Headers whose value is read here; others may have any byte that RFC 9110, 5.5, allows, such as UTF-8.
READ_HEADERS = re.compile(rb"host|authorization|content-.+|x-forwarded-.+|accept(-.+)?|if-.+", re.IGNORECASE)
VALID_HOSTS = 1024  # a server has a few names; beyond these a made-up one is checked at each request
_valid_hosts: set[str] = set()


def request_middleware(
    metrics: Metrics,
    running: Running,
    policies: RoutePolicies,
    request_log: RequestLog,
    error_page: ErrorPage,
    wait_turn: Callable[[], Awaitable[None]],
) -> Middleware:
    """The middleware. `error_page` turns an error into a page, for browsers.

    Errors and redirects await `wait_turn`: one in each turn of the loop, as pages, so that a flood of them
    does not hold up heartbeats.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = new_request_id()
        REQUEST_ID.set(request_id)
        policy = policy_of(handler) or policies.closest(request.path)
        message: str | None = None
        refusal: PrebuiltResponse | None = None
        try:
            check_request(request)
            response = await handler(request)
        except web.HTTPRedirection as redirection:
            response = refusal = redirected(redirection, policy)
        except Exception as error:
            if not isinstance(error, DomainError | web.HTTPException):
                request_log.failed(request)
            response = refusal = error_response(error, ANY_ORIGIN if policy.is_cross_origin else NO_HEADERS)
        if refusal is not None:
            # Not within the except clauses: an error holds the frames that it came through, and with them the
            # body of the request, which many refused requests would keep while they wait for their turns.
            await wait_turn()
            if isinstance(refusal, ErrorResponse):
                message = refusal.message
                response = await formatted(request, policy, refusal)
        if isinstance(response, PrebuiltResponse):
            response.request_id = request_id
        elif not policy.is_cacheable:
            response.headers.setdefault("Cache-Control", NO_STORE)
        if running.stopping:
            response.force_close()
        status = response.status
        metrics.answered(request.method, status)
        if policy.is_heartbeat and status >= 400:
            metrics.heartbeat_refused(status)
        request_log.answered(request, status, message)
        return response

    async def formatted(request: web.Request, policy: RoutePolicy, error: ErrorResponse) -> web.Response:
        match policy.error_format:
            case ErrorFormat.PAGE:
                return await error_page(request, error)
            case ErrorFormat.PLAIN_TEXT:
                return error_formats.plain_text(error)
            case ErrorFormat.UPTIME_KUMA:
                return error_formats.uptime_kuma(error)
        return error

    return middleware


def redirected(redirection: web.HTTPRedirection, policy: RoutePolicy) -> PrebuiltResponse:
    headers = {"Location": redirection.headers["Location"]}
    if not policy.is_cacheable:
        headers["Cache-Control"] = NO_STORE
    return PrebuiltResponse(PrebuiltHead(redirection.status, headers), b"")


async def complete_response(request: web.Request, response: web.StreamResponse) -> None:
    """Give a response its standard headers just before it is sent, also one that aiohttp made itself."""
    if not isinstance(response, PrebuiltResponse):
        complete_headers(response, REQUEST_ID.get() or new_request_id())


def check_request(request: web.Request) -> None:
    """Reject what HTTP/1.1 forbids and aiohttp's parser accepts; raises Invalid."""
    if request.version not in (HttpVersion11, HttpVersion10):
        raise Invalid("HTTP/1.0 or HTTP/1.1 only")
    for name, value in request.raw_headers:
        if not value.isascii() and READ_HEADERS.fullmatch(name):
            raise Invalid(f"header {name.decode()}: not ASCII")
    host = request.headers.getall(HOST_HEADER, ("",))[-1]
    if host and host not in _valid_hosts:
        _check_host(host)
    target = request.raw_path
    if not target.startswith("/") and target != "*" and urlsplit(target).netloc != host:
        raise Invalid("the request is for another host")
    if "%00" in target:
        raise Invalid("the path contains NUL")


def _check_host(host: str) -> None:
    if not is_host(host):
        raise Invalid("header Host: malformed")
    if len(_valid_hosts) < VALID_HOSTS:
        _valid_hosts.add(host)
