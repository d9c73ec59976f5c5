"""An operation of the API: what it takes and answers, said once, for the request and for the description."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import HttpVersion11, web
from marshmallow import Schema, ValidationError

from kener_async import keys
from kener_async.api.auth import GATEKEEPER, require_scope
from kener_async.api.body import read_object
from kener_async.api.errors import refusal
from kener_async.api.gate import dress, new_request_id
from kener_async.domain.access import Grant
from kener_async.domain.errors import Invalid

JSON = "application/json"
ANONYMOUS = Grant("", "", frozenset(), None, None)


@dataclass(frozen=True, slots=True)
class Spec:
    """What an operation is. `scope` None: it is public. `errors` are the answers beside 400, 401 and 403."""

    operation: str
    summary: str
    group: str
    scope: str | None
    reply: Schema | None = None
    body: Schema | None = None
    query: Schema | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    many: bool = False
    errors: tuple[int, ...] = ()
    media_type: str = JSON


@dataclass(slots=True)
class Call:
    """A request whose token allows the operation and whose body and query are of the right shape."""

    request: web.Request
    grant: Grant
    body: dict[str, Any]
    query: dict[str, Any]


Operation = Callable[[Call], Awaitable[Any]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routes(web.RouteTableDef):
    """Routes whose answer to an `Expect` nobody can meet is in the envelope, too."""

    def route(self, method: str, path: str, **options: Any) -> Any:
        return super().route(method, path, expect_handler=meet_expectation, **options)


async def meet_expectation(request: web.Request) -> web.StreamResponse | None:
    """Tell a client that asks first to go on; the answer to anything else it expects."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        response = refusal(417, "header Expect: only 100-continue can be met")
        dress(response, new_request_id())
        return response
    if request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
    return None


def endpoint(spec: Spec) -> Callable[[Operation], Handler]:
    """Make a handler of an operation that answers with JSON, either as values or as finished bytes."""

    def decorate(operation: Operation) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            grant = ANONYMOUS
            if spec.scope is not None:
                grant = await request.app[GATEKEEPER].grant(request)
                require_scope(grant, spec.scope)
            query = {} if spec.query is None else _loaded(spec.query, _query(request))
            body = {}
            if spec.body is not None:
                seconds = request.app[keys.RUNNING].config.server.request_timeout_seconds
                body = _loaded(spec.body, await read_object(request, seconds))
            return answer(await operation(Call(request, grant, body, query)))

        handler.spec = spec  # type: ignore[attr-defined]
        handler.__doc__ = operation.__doc__
        return handler

    return decorate


def answer(value: Any) -> web.StreamResponse:
    """200 with JSON; a finished response stays as it is."""
    if isinstance(value, web.StreamResponse):
        return value
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    return web.Response(body=raw, content_type=JSON, charset="utf-8")


def _query(request: web.Request) -> dict[str, str]:
    query = {}
    for name, value in request.query.items():
        if name in query:
            raise Invalid(f"{name} is given twice")
        query[name] = value
    return query


def _loaded(schema: Schema, data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(data)
    except ValidationError as error:
        raise Invalid("; ".join(_texts(error.messages))) from None
    return loaded


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
    require_scope(await request.app[GATEKEEPER].grant(request), "admin")
