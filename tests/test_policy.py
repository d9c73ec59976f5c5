"""Every route has a policy, and what no route matches is treated like its neighbours."""

from typing import Any

import pytest
from aiohttp import web

from kener_async.api.http.policy import ErrorFormat, RoutePolicies, RoutePolicy, policy_of, with_policy
from kener_async.app import create_app
from kener_async.config.model import Config
from tests.rigs.service import Service


async def unchecked(request: web.Request) -> web.Response:
    return web.Response()


def without_policy(app: web.Application) -> list[str]:
    return [
        f"{route.method} {'?' if route.resource is None else route.resource.canonical}"
        for route in app.router.routes()
        if policy_of(route.handler) is None
    ]


def test_every_route_has_a_policy(config: Config):
    app = create_app(config)
    assert without_policy(app) == []
    app.router.add_get("/new", unchecked)
    assert without_policy(app) == ["HEAD /new", "GET /new"]


def test_a_handler_has_one_policy():
    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    envelope, page = RoutePolicy(ErrorFormat.ENVELOPE), RoutePolicy(ErrorFormat.PAGE)
    assert with_policy(envelope, with_policy(envelope, handler)) is handler
    with pytest.raises(ValueError, match="another policy"):
        with_policy(page, handler)


@pytest.mark.parametrize(
    ("path", "error_format"),
    [
        ("/", ErrorFormat.PAGE),
        ("", ErrorFormat.PAGE),
        ("*", ErrorFormat.PAGE),
        ("/unknown", ErrorFormat.PAGE),
        ("/unknown/api/status", ErrorFormat.PAGE),
        ("//api/status", ErrorFormat.PAGE),
        ("/monitor/earth/x/y", ErrorFormat.PAGE),
        ("/api", ErrorFormat.ENVELOPE),
        ("/api/unknown", ErrorFormat.ENVELOPE),
        ("/api/status/x", ErrorFormat.ENVELOPE),
        ("/api/v2/unknown", ErrorFormat.ENVELOPE),
        ("/api/v1/unknown", ErrorFormat.ENVELOPE),
        ("/beat/", ErrorFormat.PLAIN_TEXT),
        ("/beat/key/more", ErrorFormat.PLAIN_TEXT),
        ("/ping/", ErrorFormat.PLAIN_TEXT),
        ("/api/v1/endpoints/key/more", ErrorFormat.PLAIN_TEXT),
        ("/api/push/token/more", ErrorFormat.UPTIME_KUMA),
        ("/" * 8000, ErrorFormat.PAGE),
    ],
)
def test_what_matches_no_route_has_the_error_format_of_the_closest(
    config: Config, path: str, error_format: ErrorFormat
):
    policy = RoutePolicies(create_app(config).router).closest(path)
    assert policy.error_format is error_format
    assert not policy.is_heartbeat


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/beat/key/more", "not found"),
        ("DELETE", "/ping/uuid", "method not allowed"),
        ("GET", "/api/push/token/more", '{"ok":false,"msg":"not found"}'),
        ("GET", "/api/v1/endpoints/core/external", "method not allowed"),
        ("PUT", "/api/status", '{"error":"method not allowed"}'),
        ("GET", "/api/unknown", '{"error":"not found"}'),
        ("POST", "/metrics", '{"error":"method not allowed"}'),
        ("GET", "/unknown", "<!doctype html>"),
        ("POST", "/", "<!doctype html>"),
    ],
)
async def test_errors_before_a_handler_are_written_as_the_route_would(
    service: Service, method: str, path: str, body: Any
):
    async with service.client.request(method, path, headers={"Accept": "text/html"}) as reply:
        text = await reply.text()
        assert text.lower().startswith(body)
        assert reply.headers["Cache-Control"] == "no-store"


async def test_a_heartbeat_is_counted_with_a_query_too(service: Service):
    body = {"tag": "earth", "status": "UP", "latency": 1}
    assert (await service.ask("POST", "/api/status?from=a+device", json=body))[0] == 200
    async with service.client.get("/metrics") as reply:
        assert 'kener_heartbeats_total{outcome="stored"} 1.0' in await reply.text()
