"""Operations of the API: one Spec validates requests and describes the operation in OpenAPI."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from aiohttp import HttpVersion11, web
from marshmallow import Schema, ValidationError
from yarl import URL

from kener_async import keys
from kener_async.api.http.auth import AUTHENTICATOR, require_scope
from kener_async.api.http.body import arrived_object, read_object
from kener_async.api.http.compiled_loader import Load, loader
from kener_async.api.http.errors import ErrorResponse
from kener_async.api.http.forwarded import client_address, is_local
from kener_async.api.http.middleware import new_request_id
from kener_async.api.http.policy import ErrorFormat, RoutePolicy, with_policy
from kener_async.api.http.rate_limit import RATE_LIMITER
from kener_async.api.http.request_log import REQUESTER, Requester
from kener_async.api.http.responses import json_response
from kener_async.domain.access import Grant
from kener_async.domain.errors import Invalid
from kener_async.domain.people import Actor, ActorKind

NO_QUERY: Mapping[str, Any] = MappingProxyType({})
CACHED_QUERIES, MAX_CACHED_LENGTH = 2048, 200
NO_BODY: dict[str, Any] = {}
ANONYMOUS = Grant("", "", frozenset(), None, None)
LOCAL = Grant("", "local", frozenset({"admin"}), None, None)


@dataclass(frozen=True, slots=True)
class Spec:
    """Describe an operation. Without a `scope` it is public; `errors` are statuses beside 400, 401 and 403.

    `is_body_optional`: a request without a body is one with an empty object.
    `line` is the schema of one line if the body may also be JSON Lines; the operation then reads the body.
    Without a `reply` it answers text, of the media type `text_type`. `list_hint` is added to the error when
    the body is a list. A heartbeat counts for its sender's rate before its body is read.
    """

    operation: str
    summary: str
    group: str
    scope: str | None
    reply: Schema | None = None
    body: Schema | None = None
    is_body_optional: bool = False
    line: Schema | None = None
    query: Schema | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    many: bool = False
    errors: tuple[int, ...] = ()
    is_heartbeat: bool = False
    list_hint: str = ""
    text_type: str = "text/plain"

    @property
    def policy(self) -> RoutePolicy:
        return RoutePolicy(ErrorFormat.ENVELOPE, is_public=self.scope is None, is_heartbeat=self.is_heartbeat)


@dataclass(slots=True)
class Call:
    """An authorized request with its validated body and query."""

    app: web.Application
    request: web.Request
    grant: Grant
    body: dict[str, Any]
    query: Mapping[str, Any]

    @property
    def actor(self) -> Actor:
        """The token, for the audit log, with the address that the request came from."""
        proxies = self.request.app[keys.RUNNING].config.server.trusted_proxies
        address = client_address(self.request, proxies)
        return Actor(ActorKind.TOKEN, self.grant.subject, "" if address is None else str(address))


Operation = Callable[[Call], Awaitable[Any]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routes(web.RouteTableDef):
    """Routes with policies: of `policy=`, else of the handler that `endpoint` made."""

    def route(self, method: str, path: str, *, policy: RoutePolicy | None = None, **options: Any) -> Any:
        add = super().route(method, path, expect_handler=meet_expectation, **options)
        return add if policy is None else lambda handler: add(with_policy(policy, handler))


async def meet_expectation(request: web.Request) -> web.StreamResponse | None:
    """Send 100 Continue; returns the error response to any other expectation."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        response = ErrorResponse(417, "header Expect: only 100-continue can be met")
        response.request_id = new_request_id()
        return response
    if request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
    return None


def endpoint(spec: Spec) -> Callable[[Operation], Handler]:
    """Turn an operation into a handler. It returns a response, JSON as bytes, or values to be rendered."""

    load_query = None if spec.query is None else _query_loader(spec.query)
    load_body = None if spec.body is None or spec.line is not None else loader(spec.body)

    def decorate(operation: Operation) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            app = request.app
            grant, query, body = ANONYMOUS, NO_QUERY, NO_BODY
            try:
                if spec.scope is not None:
                    authenticator = app[AUTHENTICATOR]
                    grant = authenticator.cached_grant(request) or await authenticator.grant(request)
                    require_scope(grant, spec.scope)
                if spec.is_heartbeat:
                    limiter = app[RATE_LIMITER]
                    if not limiter.admits(grant.id, 1):
                        await limiter.refuse(grant.id)
                if load_query is not None:
                    query = load_query(request.rel_url.raw_query_string)
                if load_body is not None and (request.body_exists or not spec.is_body_optional):
                    given = arrived_object(request, spec.list_hint)
                    if given is None:
                        seconds = app[keys.RUNNING].config.server.request_timeout_seconds
                        given = await read_object(request, seconds, spec.list_hint)
                    body = loaded(load_body, given)
                value = await operation(Call(app, request, grant, body, query))
            except Exception:
                if grant is not ANONYMOUS:
                    request[REQUESTER] = _requester(request, grant, query, body)
                raise
            # Bytes first, because to ask whether a value is one of an abstract class takes longer.
            if isinstance(value, bytes) or not isinstance(value, web.StreamResponse):
                return json_response(value)
            return value

        handler.spec = spec  # type: ignore[attr-defined]
        handler.__doc__ = operation.__doc__
        return with_policy(spec.policy, handler)

    return decorate


def _requester(
    request: web.Request, grant: Grant, query: Mapping[str, Any], body: Mapping[str, Any]
) -> Requester:
    """For whom a refused request was, as far as it was read."""
    named = body.get("tag") or query.get("tag") or request.match_info.get("tag") or body.get("tags") or ""
    return Requester(grant.subject, grant.id, named if isinstance(named, str) else ", ".join(named))


def _query_loader(schema: Schema) -> Callable[[str], Mapping[str, Any]]:
    """A function that loads query strings; it caches the latest, because pollers repeat them."""
    load = loader(schema)

    def load_query(text: str) -> Mapping[str, Any]:
        return MappingProxyType(loaded(load, _query(text)))

    cached = lru_cache(CACHED_QUERIES)(load_query)
    return lambda text: cached(text) if len(text) <= MAX_CACHED_LENGTH else load_query(text)


def _query(text: str) -> dict[str, str]:
    query = {}
    for name, value in URL.build(query_string=text, encoded=True).query.items():
        if name in query:
            raise Invalid(f"{name} is given twice")
        query[name] = value
    return query


def loaded(load: Load, data: Mapping[str, Any]) -> dict[str, Any]:
    """Load data by a schema; raises Invalid with all its messages."""
    try:
        return load(data)
    except ValidationError as error:
        raise Invalid("; ".join(_texts(error.messages))) from None


def _texts(messages: Any) -> list[str]:
    """Flatten marshmallow's nested messages, in the order of the schema's fields."""
    if isinstance(messages, str):
        return [messages]
    parts = messages.values() if isinstance(messages, dict) else messages
    return [text for part in parts for text in _texts(part)]


async def local_or_admin(request: web.Request) -> Grant:
    """The grant of a request from this machine, or of one with `admin`; else Forbidden or Unauthenticated."""
    if is_local(request):
        return LOCAL
    grant = await request.app[AUTHENTICATOR].grant(request)
    require_scope(grant, "admin")
    return grant
