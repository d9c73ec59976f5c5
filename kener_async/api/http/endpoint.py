"""An operation of the API: what it takes and answers, said once, for the request and for the description."""

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
from kener_async.api.http.body import read_object
from kener_async.api.http.compiled_loader import Load, loader
from kener_async.api.http.errors import ErrorResponse
from kener_async.api.http.middleware import add_standard_headers, new_request_id
from kener_async.api.http.policy import ErrorFormat, RoutePolicy, with_policy
from kener_async.api.http.responses import json_response
from kener_async.domain.access import Grant
from kener_async.domain.errors import Invalid

NO_QUERY: Mapping[str, Any] = MappingProxyType({})
REMEMBERED_QUERIES, REMEMBERED_LENGTH = 2048, 200
ANONYMOUS = Grant("", "", frozenset(), None, None)


@dataclass(frozen=True, slots=True)
class Spec:
    """What an operation is. `scope` None: it is public. `errors` are the answers beside 400, 401 and 403.

    `line` is the shape of one line where the body may also be JSON Lines; the operation then reads the body.
    """

    operation: str
    summary: str
    group: str
    scope: str | None
    reply: Schema | None = None
    body: Schema | None = None
    line: Schema | None = None
    query: Schema | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    many: bool = False
    errors: tuple[int, ...] = ()
    is_heartbeat: bool = False

    @property
    def policy(self) -> RoutePolicy:
        return RoutePolicy(ErrorFormat.ENVELOPE, is_public=self.scope is None, is_heartbeat=self.is_heartbeat)


@dataclass(slots=True)
class Call:
    """A request whose token allows the operation and whose body and query are of the right shape."""

    request: web.Request
    grant: Grant
    body: dict[str, Any]
    query: Mapping[str, Any]


Operation = Callable[[Call], Awaitable[Any]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routes(web.RouteTableDef):
    """Routes of handlers that are given their policy here, or have it from `endpoint`."""

    def route(self, method: str, path: str, *, policy: RoutePolicy | None = None, **options: Any) -> Any:
        add = super().route(method, path, expect_handler=meet_expectation, **options)
        return add if policy is None else lambda handler: add(with_policy(policy, handler))


async def meet_expectation(request: web.Request) -> web.StreamResponse | None:
    """Tell a client that asks first to go on; the answer to anything else it expects."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        response = ErrorResponse(417, "header Expect: only 100-continue can be met")
        add_standard_headers(response, new_request_id())
        return response
    if request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
    return None


def endpoint(spec: Spec) -> Callable[[Operation], Handler]:
    """Make a handler of an operation that answers with JSON, either as values or as finished bytes."""

    load_query = None if spec.query is None else _query_loader(spec.query)
    load_body = None if spec.body is None or spec.line is not None else loader(spec.body)

    def decorate(operation: Operation) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            app = request.app
            grant = ANONYMOUS
            if spec.scope is not None:
                gatekeeper = app[AUTHENTICATOR]
                grant = gatekeeper.remembered(request) or await gatekeeper.grant(request)
                require_scope(grant, spec.scope)
            query = NO_QUERY if load_query is None else load_query(request.rel_url.raw_query_string)
            body = {}
            if load_body is not None:
                seconds = app[keys.RUNNING].config.server.request_timeout_seconds
                body = loaded(load_body, await read_object(request, seconds))
            value = await operation(Call(request, grant, body, query))
            return value if isinstance(value, web.StreamResponse) else json_response(value)

        handler.spec = spec  # type: ignore[attr-defined]
        handler.__doc__ = operation.__doc__
        return with_policy(spec.policy, handler)

    return decorate


def _query_loader(schema: Schema) -> Callable[[str], Mapping[str, Any]]:
    """What loads a query string. Pollers ask the same again and again, so the latest are remembered."""
    load = loader(schema)

    def load_query(text: str) -> Mapping[str, Any]:
        return MappingProxyType(loaded(load, _query(text)))

    remembered = lru_cache(REMEMBERED_QUERIES)(load_query)
    return lambda text: remembered(text) if len(text) <= REMEMBERED_LENGTH else load_query(text)


def _query(text: str) -> dict[str, str]:
    query = {}
    for name, value in URL.build(query_string=text, encoded=True).query.items():
        if name in query:
            raise Invalid(f"{name} is given twice")
        query[name] = value
    return query


def loaded(load: Load, data: Mapping[str, Any]) -> dict[str, Any]:
    """The data in the shape's form; raises Invalid with all that is wrong."""
    try:
        return load(data)
    except ValidationError as error:
        raise Invalid("; ".join(_texts(error.messages))) from None


def _texts(messages: Any) -> list[str]:
    """The sentences of marshmallow's nested messages, in the order of the schema's fields."""
    if isinstance(messages, str):
        return [messages]
    parts = messages.values() if isinstance(messages, dict) else messages
    return [text for part in parts for text in _texts(part)]


async def require_loopback_or_admin(request: web.Request) -> None:
    """For what operators read: from this machine without a token, from elsewhere with `admin`."""
    if request.remote in ("127.0.0.1", "::1") and "X-Forwarded-For" not in request.headers:
        return
    require_scope(await request.app[AUTHENTICATOR].grant(request), "admin")
