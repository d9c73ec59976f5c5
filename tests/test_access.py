"""Each route for each role and each object: the status, and nothing of other monitors in the answer.

A route that is in none of the tables fails the test of the tables; test_manage_access.py has another one, of
the signed-in side.
"""

import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web

from kener_async import keys
from kener_async.app import create_app
from kener_async.config.model import Config
from kener_async.domain.access import SCOPES
from kener_async.domain.incidents import IncidentSource, opened
from kener_async.domain.samples import Status
from kener_async.store import incidents
from tests.rigs.objects import (
    CHECKS,
    DRAFTS,
    FOREIGN,
    HIDDEN,
    INCIDENTS,
    KEYS,
    OBJECTS,
    OWN,
    incident,
    markers,
    objects_of,
    report,
)
from tests.rigs.service import NOON, FakeClock, Service

PROXIED = {"X-Forwarded-For": "203.0.113.7"}  # not from this machine


@dataclass(frozen=True)
class Private:
    """A route that asks for a scope. `about` is what its address or body names: else it is a list."""

    scope: str
    about: bool = True
    body: Any = None
    query: str = ""
    answers_foreign: int = 403  # for a token of other monitors


PRIVATE: dict[tuple[str, str], Private] = {
    ("POST", "/api/status"): Private("status:write", body=report),
    ("GET", "/api/status"): Private("status:read", query="tag={tag}"),
    # Each sample has a verdict of its own.
    ("POST", "/api/status/batch"): Private(
        "status:write", body=lambda name: {"samples": [report(name)]}, answers_foreign=200
    ),
    ("GET", "/api/devices"): Private("status:read", about=False),
    ("POST", "/api/incident"): Private("incident:write", body=incident),
    ("GET", "/api/incident"): Private("incident:read", about=False),
    ("GET", "/api/incident/{incidentNumber}"): Private("incident:read"),
    ("PATCH", "/api/incident/{incidentNumber}"): Private("incident:write", body=incident),
    ("POST", "/api/incident/{incidentNumber}/status"): Private(
        "incident:write", body=lambda _: {"isIdentified": True}
    ),
    ("POST", "/api/incident/{incidentNumber}/comment"): Private(
        "incident:write", body=lambda name: {"comment": "x", "body": f"Comment on {name}"}
    ),
    ("GET", "/api/incident/{incidentNumber}/comment"): Private("incident:read"),
    ("GET", "/api/monitors"): Private("status:read", about=False),
    ("GET", "/api/monitor"): Private("status:read", about=False),
    ("GET", "/api/monitors/{tag}/uptime"): Private("status:read", query="window=24h"),
    ("GET", "/api/monitors/{tag}/history"): Private("status:read"),
    ("GET", "/api/monitors/{tag}/checks"): Private("manage:read"),
    ("POST", "/api/manage/monitors/{tag}/run"): Private("monitor:write"),
    ("GET", "/api/manage/alerts"): Private("manage:read", query="monitor={tag}", answers_foreign=400),
    ("POST", "/api/manage/alerts/{alertId}/acknowledge"): Private("alert:write", answers_foreign=404),
    ("POST", "/api/manage/alerts/{alertId}/snooze"): Private(
        "alert:write", body=lambda _: {"for": "1h"}, answers_foreign=404
    ),
    ("POST", "/api/manage/rules/{ruleName}/back-test"): Private("manage:read", about=False),
    ("GET", "/api/manage/deliveries"): Private("manage:read", about=False),
    ("POST", "/api/manage/deliveries/{deliveryId}/again"): Private("channel:write", answers_foreign=404),
    ("GET", "/api/manage/channels"): Private("manage:read", about=False),
    ("POST", "/api/manage/channels/{channelName}/test"): Private("channel:write", about=False),
    ("GET", "/api/manage/incidents"): Private("manage:read", about=False),
    ("POST", "/api/manage/incidents/{incidentNumber}/publish"): Private(
        "incident:write", answers_foreign=404
    ),
    ("GET", "/metrics"): Private("admin", about=False),
}
# Routes that ask for no token: the status for an object that is public, and for one that is hidden.
ABOUT_MONITOR, ABOUT_NOTHING, SECRET, MOVED = (200, 404), (200, 200), (200, 200), (301, 301)
PUBLIC: dict[tuple[str, str], tuple[int, int]] = {
    ("GET", "/beat/{key}"): SECRET,
    ("POST", "/beat/{key}"): SECRET,
    ("GET", "/ping/{address}"): SECRET,
    ("POST", "/ping/{address}"): SECRET,
    ("*", "/api/push/{token}"): SECRET,
    ("POST", "/api/v1/endpoints/{key}/external"): (401, 401),  # Gatus' own token is another one
    **{("GET", path): ABOUT_NOTHING for path in (
        "/", "/healthz", "/readyz", "/incidents", "/incidents/{month}", "/feed.atom", "/feed.rss",
        "/feed.json", "/maintenance.ics", "/api/v2/{name}", "/sitemap.xml", "/robots.txt",
        "/preview.png", "/static/{name}",
        "/favicon.ico", "/api/openapi.json", "/api/docs", "/static/swagger-ui/{name}", "/category/{name}",
    )},
    ("GET", "/assets/{path}"): (404, 404),
    **{("GET", path): ABOUT_MONITOR for path in (
        "/incident/{number}", "/badge/{tag}/{kind}", "/badge/{tag}/{kind}.json", "/monitor/{tag}",
        "/monitor/{tag}/{day}", "/embed/{tag}.js", "/embed/{tag}", "/embed-{tag}/js",
        "/monitor/{tag}/feed.atom", "/monitor/{tag}/feed.rss", "/monitor/{tag}/feed.json",
        "/monitor/{tag}/maintenance.ics",
    )},
    **{("GET", path): MOVED for path in ("/monitor-{name}", "/category-{name}", "/embed-{name}")},
}  # fmt: skip
OPTIONAL = {("GET", "/api/monitor")}  # of the table, where it may be absent
OF_MANAGEMENT = ("/manage", "/api/manage")  # of which test_manage_access.py has the table


def served(app: web.Application) -> Iterator[tuple[str, str]]:
    for route in app.router.routes():
        if route.resource is not None and route.method not in ("HEAD", "OPTIONS"):
            yield route.method, re.sub(r"\{(\w+):[^/]*\}", r"{\1}", route.resource.canonical)


def address(path: str, name: str, query: str = "") -> str:
    values = {
        "tag": f"{name}-tag", "number": INCIDENTS[name],
        "incidentNumber": (DRAFTS if path.endswith("/publish") else INCIDENTS)[name],
        "channelName": "ops", "ruleName": "outage", "alertId": INCIDENTS[name], "deliveryId": INCIDENTS[name],
        "key": KEYS[name], "address": CHECKS[name], "token": f"{name}-push-token-0123456789",
        "kind": "status", "month": "2025-12",
        "day": "2025-12-30", "path": "none",
    }  # fmt: skip
    names = {
        "/api/v2/{name}": "summary.json", "/static/{name}": "page.css", "/category/{name}": "Planets",
        "/static/swagger-ui/{name}": "swagger-ui.css",
    }  # fmt: skip
    if path.endswith("/external"):
        query = "success=true"
    text = path.format(name=names.get(path, f"{name}-tag"), **values)
    return f"{text}?{query.format(**values)}" if query else text


@dataclass(frozen=True)
class Role:
    """A token, or what stands for one. `scopes` None: it is refused everywhere."""

    token: str
    scopes: tuple[str, ...] | None = None
    is_limited: bool = False

    def status(self, route: Private, name: str) -> int:
        if self.scopes is None:
            return 401
        if not {route.scope, "admin"} & set(self.scopes):
            return 403
        return route.answers_foreign if route.about and self.is_limited and name != OWN else 200


REFUSED = ("none", "garbage", "revoked", "expired")
ROLES = (*REFUSED, *SCOPES, *(f"{scope} of own" for scope in SCOPES))


async def role_named(service: Service, name: str) -> Role:
    match name:
        case "none":
            return Role("")
        case "garbage":
            return Role("x")
        case "revoked":
            return Role(await service.mint(revoked_at=NOON))
        case "expired":
            return Role(await service.mint(expires_at=NOON - 1))
    scope, is_limited = name.removesuffix(" of own"), name.endswith(" of own")
    tags = ("own-*",) if is_limited else None
    return Role(await service.mint(scopes=(scope,), tags=tags), (scope,), is_limited)


def draft(connection: sqlite3.Connection) -> int:
    """An incident of a rule about every object, which nobody has published."""
    fields = {"title": "Title of draft", "body": "Body of draft", "tags": [f"{name}-tag" for name in OBJECTS]}
    number = incidents.next_number(connection)
    made = replace(opened(number, fields | {"impact": Status.DOWN}, NOON), source=IncidentSource.RULE)
    incidents.save_automatic(connection, replace(made, covers=False, is_draft=True))
    incidents.remark(connection, number, "Comment on draft", NOON)
    return number


@pytest.fixture
async def objects(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with objects_of(config, clock) as service:
        yield service


async def ask(service: Service, method: str, path: str, role: Role, body: Any) -> tuple[int, str]:
    headers = PROXIED | ({"Authorization": f"Bearer {role.token}"} if role.token else {})
    verb = "GET" if method == "*" else method
    options = {} if body is None else {"json": body}
    async with service.client.request(verb, path, headers=headers, allow_redirects=False, **options) as reply:
        return reply.status, (await reply.read()).decode("utf-8", "replace")


def leaks(text: str, request: str, names: tuple[str, ...]) -> set[str]:
    """What the answer says of these objects beyond what the request itself named."""
    return {marker for name in names for marker in markers(name) if marker in text and marker not in request}


async def _new(_: web.Request) -> web.StreamResponse:
    raise NotImplementedError


def test_every_route_is_in_a_table(config: Config):
    app = create_app(config)
    there = {each for each in served(app) if not each[1].startswith(OF_MANAGEMENT)}
    assert there - PRIVATE.keys() - PUBLIC.keys() == set()
    assert (PRIVATE.keys() | PUBLIC.keys()) - set(served(app)) <= OPTIONAL
    app.router.add_get("/new", _new)
    assert ("GET", "/new") in set(served(app)) - PRIVATE.keys() - PUBLIC.keys()


@pytest.mark.parametrize("role_name", ROLES)
async def test_a_token_reads_and_writes_its_own_and_learns_nothing_of_others(
    objects: Service, role_name: str
):
    role = await role_named(objects, role_name)
    there = set(served(objects.app))
    for (method, path), route in PRIVATE.items():
        for name in OBJECTS if (method, path) in there else ():
            body = None if route.body is None else route.body(name)
            url = address(path, name, route.query)
            status, text = await ask(objects, method, url, role, body)
            expected = role.status(route, name)
            assert status == expected, (method, url, text)
            unseen = (
                (FOREIGN, HIDDEN) if role.is_limited and status == 200 else OBJECTS if status != 200 else ()
            )
            assert leaks(text, f"{url} {body}", unseen) == set(), (method, url, text)


@pytest.mark.parametrize("role_name", ["none", "garbage", "admin", "status:read of own"])
async def test_public_routes_show_the_same_to_everybody_and_nothing_hidden(objects: Service, role_name: str):
    role = await role_named(objects, role_name)
    for (method, path), (status_of_public, status_of_hidden) in PUBLIC.items():
        for name in OBJECTS:
            url = address(path, name)
            status, text = await ask(objects, method, url, role, None)
            assert status == (status_of_hidden if name == HIDDEN else status_of_public), (
                method,
                url,
                text[:300],
            )
            assert leaks(text, url, (HIDDEN,)) == set(), (method, url)
            assert not {f"{each}-device" for each in OBJECTS if f"{each}-device" in text}, (method, url)


@pytest.mark.parametrize("role_name", ["none", "admin"])
async def test_a_draft_is_in_no_answer(objects: Service, role_name: str):
    """Except of the routes to manage incidents; what is named like an incident is not found."""
    role, number = await role_named(objects, role_name), await objects.app[keys.DATABASE].write(draft)
    objects.app[keys.STATES].note_incident_change()
    routes = [(key, route) for key, route in PRIVATE.items() if not key[1].startswith("/api/manage")]
    for (method, path), route in [*routes, *((key, None) for key in PUBLIC)]:
        query = "" if route is None else route.query
        body = None if route is None or route.body is None else route.body(OWN)
        url = address(path, OWN, query).replace(f"/incident/{INCIDENTS[OWN]}", f"/incident/{number}")
        status, text = await ask(objects, method, url, role, body)
        assert not re.findall("(?:Title|Body|Comment) (?:of|on) draft", text), (method, url)
        if "/incident/" in url:
            is_refused = role_name == "none" and route is not None
            assert status == (401 if is_refused else 404), (method, url, text)
        else:
            assert status < 400 or role_name == "none" or path.startswith(("/assets", "/api/v1")), (url, text)
    assert (await objects.app[keys.DATABASE].read(incidents.get, number)).touched_at is None


@pytest.mark.parametrize("name", [FOREIGN, HIDDEN])
async def test_a_token_of_other_monitors_does_not_learn_whether_a_tag_exists(objects: Service, name: str):
    role = await role_named(objects, "status:read of own")
    for (method, path), route in PRIVATE.items():
        if "{tag}" in path or "{tag}" in route.query:
            url = address(path, name, route.query)
            there = await ask(objects, method, url, role, None)
            assert there == await ask(objects, method, url.replace(f"{name}-tag", "nowhere"), role, None)
