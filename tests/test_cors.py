"""Preflight requests: what any site may read answers them, nothing else does."""

from http import HTTPStatus

import pytest

from kener_async.api.http.policy import policy_of
from tests.rigs.service import Service

PREFLIGHT = {
    "Origin": "https://example.org",
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "x-requested-with",
}
READABLE = {
    "/api/v2/status.json", "/api/v2/summary.json", "/feed.atom", "/feed.rss", "/feed.json",
    "/monitor/earth/feed.json", "/maintenance.ics", "/badge/earth/status", "/badge/earth/uptime.json",
    "/embed/earth", "/embed/earth.js", "/ping/0fe4e4ee-4ee4-4ee4-8ee4-0fe4e4ee4ee4",
}  # fmt: skip
PRIVATE = {
    "/", "/monitor/earth", "/incidents", "/api/status", "/api/status/batch", "/api/incident", "/api/monitors",
    "/api/devices", "/beat/key", "/metrics", "/healthz", "/api/docs", "/api/openapi.json", "/static/page.css",
}  # fmt: skip


@pytest.mark.parametrize("path", sorted(READABLE))
async def test_what_any_site_may_read_answers_a_preflight(service: Service, path: str):
    async with service.client.options(path, headers=PREFLIGHT) as reply:
        assert reply.status == HTTPStatus.NO_CONTENT
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert "GET" in reply.headers["Access-Control-Allow-Methods"]
        assert reply.headers["Access-Control-Allow-Headers"] == "*"
        assert await reply.read() == b""
    async with service.client.get(path) as reply:
        assert reply.headers["Access-Control-Allow-Origin"] == "*", "scripts may read errors, too"


@pytest.mark.parametrize("path", sorted(PRIVATE))
async def test_nothing_else_answers_a_preflight(service: Service, path: str):
    async with service.client.options(path, headers=PREFLIGHT) as reply:
        assert reply.status == HTTPStatus.METHOD_NOT_ALLOWED
        assert not [name for name in reply.headers if name.startswith("Access-Control-")]
    async with service.client.get(path) as reply:
        assert "Access-Control-Allow-Origin" not in reply.headers


async def test_a_ping_may_be_posted_from_any_site(service: Service):
    async with service.client.options("/ping/x", headers=PREFLIGHT) as reply:
        assert "POST" in reply.headers["Access-Control-Allow-Methods"]


def test_a_policy_decides_which_routes_answer_preflights(service: Service):
    for resource in service.app.router.resources():
        policies = [policy_of(route.handler) for route in resource if route.method != "OPTIONS"]
        answers = any(route.method == "OPTIONS" for route in resource)
        assert answers == any(policy is not None and policy.is_cross_origin for policy in policies), resource
