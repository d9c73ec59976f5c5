"""Each route of the signed-in side and of its API for each role, session and token, from the router's table.

A route that belongs to no act, or that is not in the table of this file, fails the first test.
"""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web

from kener_async import keys
from kener_async.api.http.policy import policy_of
from kener_async.app import create_app
from kener_async.config.model import Config
from kener_async.domain.access import SCOPES
from kener_async.domain.people import FRESH_SECONDS, Act, Person, Role
from kener_async.identity import forms
from kener_async.identity.sessions import LOOPBACK_COOKIE, Sessions
from kener_async.store import people
from kener_async.web.manage.form_views import KEY_FIELD, TOKEN_FIELD
from kener_async.web.manage.frame import SESSIONS
from tests.rigs.html_client import HtmlClient, Screen
from tests.rigs.objects import DRAFTS, FOREIGN, HIDDEN, INCIDENTS, OBJECTS, OWN, markers, objects_of
from tests.rigs.people import COMMAND, a_browser, a_person, a_session, facts
from tests.rigs.service import FakeClock, Service

# Roles from which on, the scope of tokens, and whether the person must have signed in within ten minutes.
TABLE: dict[Act, tuple[str, str | None, bool]] = {
    Act.SEE: ("viewer", "manage:read", False),
    Act.ACCOUNT: ("viewer", None, False),
    Act.CHANGE_FACTORS: ("viewer", None, True),
    Act.ANSWER_ALERT: ("responder", "alert:write", False),
    Act.WRITE_INCIDENT: ("responder", "incident:write", False),
    Act.DELETE_INCIDENT: ("editor", "incident:delete", False),
    Act.WRITE_TEXTS: ("editor", "incident:delete", False),
    Act.RUN_CHECK: ("editor", "monitor:write", False),
    Act.USE_CHANNEL: ("editor", "channel:write", False),
    Act.READ_AUDIT: ("editor", "report:read", False),
    Act.SEE_SETTINGS: ("admin", "admin", False),
    Act.MANAGE_TOKENS: ("admin", "admin", True),
    Act.MANAGE_PEOPLE: ("admin", None, True),
}
SCREENS: dict[Act, str] = {
    Act.SEE: """
        GET
        GET /alerts
        GET /announcements
        GET /channels
        GET /channels/{name}
        GET /deliveries
        GET /deliveries/{number}
        GET /devices
        GET /incidents
        GET /incidents/{number}
        GET /maintenance
        GET /maintenance/series/{name}
        GET /maintenance/{number}
        GET /monitors
        GET /monitors/{tag}
        GET /more
        GET /rules
        GET /rules/{name}
        GET /templates
    """,
    Act.ACCOUNT: """
        GET /account
        POST /account/display
        POST /account/password
        POST /account/sessions/end
        POST /account/sign-out-everywhere
        GET /sign-in/again
        POST /sign-in/again
        GET /sign-in/again/oidc
        POST /sign-in/again/passkey
        POST /sign-in/again/passkey/options
        GET /sign-out
        POST /sign-out
    """,
    Act.CHANGE_FACTORS: """
        GET /account/codes
        POST /account/codes
        GET /account/codes/remove
        POST /account/codes/remove
        GET /account/passkeys
        POST /account/passkeys
        POST /account/passkeys/options
        POST /account/passkeys/{passkey}
        GET /account/passkeys/{passkey}/delete
        POST /account/passkeys/{passkey}/delete
        POST /account/recovery-codes
    """,
    Act.ANSWER_ALERT: """
        POST /acknowledge
        POST /acknowledge-all
        POST /alerts/{number}
        POST /monitors/{tag}/alerts
        POST /snooze
    """,
    Act.WRITE_INCIDENT: """
        GET /incidents/new
        POST /incidents/new
        GET /incidents/{number}/edit
        POST /incidents/{number}/edit
        POST /incidents/{number}/measured
        GET /incidents/{number}/postmortem
        POST /incidents/{number}/postmortem
        POST /incidents/{number}/publish
        POST /incidents/{number}/unpublish
        POST /incidents/{number}/updates
        GET /incidents/{number}/updates/{update}
        POST /incidents/{number}/updates/{update}
        GET /maintenance/new
        POST /maintenance/new
        GET /maintenance/series/{name}/delete
        POST /maintenance/series/{name}/delete
        GET /maintenance/series/{name}/edit
        POST /maintenance/series/{name}/edit
        GET /maintenance/{number}/cancel
        POST /maintenance/{number}/cancel
        POST /maintenance/{number}/end
        POST /maintenance/{number}/lengthen
        POST /maintenance/{number}/move
    """,
    Act.DELETE_INCIDENT: """
        GET /incidents/{number}/delete
        GET /incidents/{number}/merge
        POST /incidents/{number}/merge
        POST /incidents/{number}/delete
        GET /incidents/{number}/updates/{update}/delete
        POST /incidents/{number}/updates/{update}/delete
    """,
    Act.WRITE_TEXTS: """
        GET /announcements/new
        POST /announcements/new
        GET /announcements/{name}/delete
        POST /announcements/{name}/delete
        GET /announcements/{name}/edit
        POST /announcements/{name}/edit
        GET /templates/new
        POST /templates/new
        GET /templates/{name}/delete
        POST /templates/{name}/delete
        GET /templates/{name}/edit
        POST /templates/{name}/edit
    """,
    Act.RUN_CHECK: """
        POST /monitors/{tag}/run
    """,
    Act.USE_CHANNEL: """
        POST /channels/{name}/resume
        POST /channels/{name}/test
        POST /deliveries/{number}/again
        POST /deliveries/{number}/drop
    """,
    Act.READ_AUDIT: """
        GET /audit
        GET /audit/export.jsonl
    """,
    Act.SEE_SETTINGS: """
        GET /settings
        GET /settings/config.toml
        POST /settings/reload
    """,
    Act.MANAGE_TOKENS: """
        GET /devices/{number}/forget
        POST /devices/{number}/forget
        GET /tokens
        GET /tokens/new
        POST /tokens/new
        GET /tokens/{token}/revoke
        POST /tokens/{token}/revoke
    """,
    Act.MANAGE_PEOPLE: """
        GET /people
        GET /people/new
        POST /people/new
        GET /people/{number}
        POST /people/{number}
        POST /people/{number}/activate
        GET /people/{number}/deactivate
        POST /people/{number}/deactivate
        POST /people/{number}/link
        GET /people/{number}/reset-factor
        POST /people/{number}/reset-factor
        POST /people/{number}/sign-out
    """,
}
# Pages by which a session begins: for everybody, also without one.
OPEN = """
    GET /invitation/{token}
    POST /invitation/{token}
    POST /invitation/{token}/passkey
    POST /invitation/{token}/passkey/options
    GET /second-step
    POST /second-step
    POST /second-step/passkey
    POST /second-step/passkey/options
    GET /sign-in
    POST /sign-in
    GET /sign-in/oidc
    GET /sign-in/oidc/callback
    POST /sign-in/passkey
    POST /sign-in/passkey/options
"""
API: dict[str, str] = {
    "incident:write": """
        POST /incidents
        PATCH /incidents/{incidentNumber}
        PUT /incidents/{incidentNumber}/monitors/{tag}
        PUT /incidents/{incidentNumber}/postmortem
        POST /incidents/{incidentNumber}/publish
        POST /incidents/{incidentNumber}/unpublish
        POST /incidents/{incidentNumber}/updates
        PATCH /incidents/{incidentNumber}/updates/{updateId}
        POST /maintenance
        PATCH /maintenance/{incidentNumber}
        POST /maintenance/{incidentNumber}/cancel
        POST /maintenance/{incidentNumber}/end
        PUT /series/{seriesName}
        DELETE /series/{seriesName}
    """,
    "manage:read": """
        GET /alerts
        GET /announcements
        GET /announcements/{announcementName}
        GET /channels
        GET /deliveries
        GET /incidents
        GET /incidents/{incidentNumber}
        GET /maintenance
        GET /maintenance/{incidentNumber}
        POST /rules/{ruleName}/back-test
        GET /series
        GET /series/{seriesName}
        GET /series/{seriesName}/occurrences
        POST /series/{seriesName}/preview
        GET /templates
        GET /templates/{templateName}
    """,
    "alert:write": """
        POST /alerts/{alertId}/acknowledge
        POST /alerts/{alertId}/snooze
    """,
    "incident:delete": """
        PUT /announcements/{announcementName}
        DELETE /announcements/{announcementName}
        DELETE /incidents/{incidentNumber}
        DELETE /incidents/{incidentNumber}/updates/{updateId}
        POST /incidents/{incidentNumber}/merge
        DELETE /maintenance/{incidentNumber}
        PUT /templates/{templateName}
        DELETE /templates/{templateName}
    """,
    "monitor:write": """
        POST /monitors/{tag}/run
    """,
    "channel:write": """
        POST /channels/{channelName}/resume
        POST /channels/{channelName}/test
        POST /deliveries/{deliveryId}/again
        POST /deliveries/{deliveryId}/drop
    """,
    "report:read": """
        GET /audit
    """,
    "admin": """
        GET /config
        GET /config.toml
        DELETE /devices/{deviceId}
        GET /people
        GET /tokens
        POST /tokens
        DELETE /tokens/{tokenId}
    """,
}
NOWHERE = "999"  # the number of nothing


@dataclass(frozen=True)
class Route:
    """A route as the router has it; `act` None: it is open, or of the API with a `scope`."""

    method: str
    path: str
    act: Act | None = None
    scope: str | None = None


def listed(text: str, beginning: str) -> Iterator[tuple[str, str]]:
    for line in text.strip().splitlines():
        method, _, path = line.strip().partition(" ")
        yield method, beginning + path


def in_table() -> set[Route]:
    screens = {Route(*each, act) for act, text in SCREENS.items() for each in listed(text, "/manage")}
    opened = {Route(*each) for each in listed(OPEN, "/manage")}
    api = {Route(*each, scope=scope) for scope, text in API.items() for each in listed(text, "/api/manage")}
    return screens | opened | api


def served(app: web.Application) -> set[Route]:
    """The routes below /manage and /api/manage."""
    found = set()
    for route in app.router.routes():
        if route.resource is None or route.method in ("HEAD", "OPTIONS"):
            continue
        path = re.sub(r"\{(\w+):[^/]*\}", r"{\1}", route.resource.canonical)
        if re.match("(/api)?/manage(/|$)", path):
            policy, spec = policy_of(route.handler), getattr(route.handler, "spec", None)
            act = policy.act if policy is not None and spec is None else None
            found.add(Route(route.method, path, act, None if spec is None else spec.scope))
    return found


async def _new(_: web.Request) -> web.StreamResponse:
    raise NotImplementedError


def test_every_route_belongs_to_the_act_that_the_table_says(config: Config):
    app = create_app(config)
    assert sorted(map(str, served(app) ^ in_table())) == []
    app.router.add_get("/manage/new", _new)
    assert served(app) - in_table() == {Route("GET", "/manage/new")}


def test_acts_take_the_role_and_the_scope_that_the_table_says():
    acts = {
        act: (act.permission.role.name.lower(), act.permission.scope, act.permission.is_fresh) for act in Act
    }
    assert acts == TABLE


# Requests


def address(path: str, name: str | None = None) -> str:
    """The path with what is about an object in it, or about nothing that there is."""
    values: dict[str, Any] = dict.fromkeys(re.findall(r"\{(\w+)\}", path), NOWHERE)
    if name is not None:
        numbers = DRAFTS if path.endswith("/publish") else INCIDENTS
        about = {"tag": f"{name}-tag", "number": numbers[name], "incidentNumber": numbers[name]}
        about |= {"alertId": INCIDENTS[name], "deliveryId": INCIDENTS[name], "id": INCIDENTS[name]}
        about |= {"deviceId": INCIDENTS[name], "device": INCIDENTS[name]}
        values |= {key: value for key, value in about.items() if key in values}
    return path.format(**values)


async def ask(
    service: Service, browser: HtmlClient, route: Route, name: str | None = None, query: str = ""
) -> Screen:
    """The answer to a request of a browser; to a form that is otherwise empty, but of its own session."""
    url = address(route.path, name) + query
    if route.path.startswith("/api"):
        options = {"Content-Type": "application/json"} if route.method != "GET" else {}
        body = b"{}" if route.method != "GET" else None
        return await browser.request(route.method, url, options, body, is_followed=False)
    if route.method == "GET":
        return await browser.request("GET", url, is_followed=False)
    return await browser.request(
        "POST",
        url,
        {
            "Origin": browser.origin,
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
        },
        urlencode(await form_fields(service, browser)).encode(),
        is_followed=False,
    )


async def form_fields(service: Service, browser: HtmlClient) -> dict[str, str]:
    """The token and the one-time key of a form that was made for the session of a browser."""
    sessions: Sessions = service.app[SESSIONS]
    found = await sessions.find(browser.cookies.get(LOOPBACK_COOKIE, ""))
    token = "x" * 64 if found is None else forms.token(found.form_key)
    return {TOKEN_FIELD: token, KEY_FIELD: forms.one_time_key()}


def verdict(screen: Screen) -> str:
    """What became of a request: "in" when it was let in, whatever it found there."""
    assert screen.status < 500, f"{screen.method} {screen.path}: {screen.status} {screen.said}"
    location = screen.headers.get("Location", "")
    leads_to_sign_in = screen.status == 303 and re.match("/manage/sign-in(/again)?([?]|$)", location)
    if leads_to_sign_in and "done=" not in location:
        return "sign in again" if re.match("/manage/sign-in(/again|[?]again=)", location) else "sign in"
    if screen.status == 401 and ("You are signed out" in screen.said or screen.path.startswith("/api")):
        return "sign in"
    if screen.status == 403:
        return "sign in again" if "sign in again" in screen.said.lower() else "refused"
    return "in"


# Sessions


@dataclass(frozen=True)
class Credential:
    """How a request comes: with the session of a person, perhaps one that is not good any more."""

    role: Role | None = None
    fresh_ago: int = 0
    spoilt: str = ""

    def __str__(self) -> str:
        role = "nobody" if self.role is None else self.role.name.lower()
        return " ".join(filter(None, (role, self.spoilt, "not fresh" if self.fresh_ago else "")))

    def expected(self, act: Act) -> str:
        if self.role is None or self.spoilt:
            return "sign in"
        role, _, is_fresh = TABLE[act]
        if self.role < Role[role.upper()]:
            return "refused"
        return "sign in again" if is_fresh and self.fresh_ago else "in"


SPOILT = ("expired", "idle", "deactivated", "signed out", "of another cookie")
CREDENTIALS = (
    Credential(),
    *map(Credential, Role),
    Credential(Role.ADMIN, fresh_ago=FRESH_SECONDS),
    *(Credential(Role.ADMIN, spoilt=how) for how in SPOILT),
)


@pytest.fixture
async def objects(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with objects_of(config, clock) as service:
        await a_person(service, "root")
        yield service


@asynccontextmanager
async def browser_of(
    service: Service, person: Person | None, credential: Credential
) -> AsyncIterator[HtmlClient]:
    async with a_browser(service) as browser:
        if person is not None:
            cookie = await a_session(service, person, fresh_ago=credential.fresh_ago)
            browser.cookies[LOOPBACK_COOKIE] = await spoil(service, person, cookie, credential.spoilt)
        yield browser


async def spoil(service: Service, person: Person, cookie: str, how: str) -> str:
    """Let a session end in one of the ways in which sessions end."""
    database, now = service.app[keys.DATABASE], service.clock()
    manage = service.app[keys.RUNNING].config.manage
    changes = {
        "expired": ("UPDATE sessions SET made_at = ?, ends_at = ?", (now - manage.session_length, now)),
        "idle": ("UPDATE sessions SET seen_at = ?", (now - manage.session_idle,)),
        "signed out": ("DELETE FROM sessions", ()),
    }
    if how in changes:
        await database.write(lambda session: session.execute(*changes[how]))
    elif how == "deactivated":
        await database.write(people.deactivate, person.id, COMMAND, now)
    elif how == "of another cookie":
        return cookie[:-1] + ("A" if cookie[-1] != "A" else "B")
    return cookie


@pytest.mark.parametrize("credential", CREDENTIALS, ids=str)
async def test_a_person_may_do_what_their_role_may_and_nothing_else(objects: Service, credential: Credential):
    screens = sorted((route for route in in_table() if route.act is not None), key=str)
    person = (
        None if credential.role is None else await a_person(objects, "ada", credential.role, password=None)
    )
    for is_in in (False, True):
        async with browser_of(objects, person, credential):
            before = facts(objects)
        for route in screens:
            assert route.act is not None
            expected = credential.expected(route.act)
            if (expected == "in") is not is_in:
                continue
            async with browser_of(objects, person, credential) as browser:
                screen = await ask(objects, browser, route)
            assert verdict(screen) == expected, (route, screen.status, screen.said)
            assert screen.headers["Cache-Control"] == "no-store", route
            if "html" in screen.headers.get("Content-Type", ""):
                assert "frame-ancestors 'none'" in screen.headers["Content-Security-Policy"], route
            if not is_in:
                assert leaks(screen) == set(), (route, screen.said)
        if not is_in:
            assert facts(objects) == before


async def test_pages_to_sign_in_are_open(objects: Service):
    for route in sorted((each for each in in_table() if each.act is None and each.scope is None), key=str):
        async with a_browser(objects) as browser:
            screen = await ask(objects, browser, route)
        assert screen.status in (200, 303, 404) or route.method == "POST", route
        assert leaks(screen) == set(), route


def leaks(screen: Screen, names: Iterable[str] = OBJECTS) -> set[str]:
    """What a page says of these objects beyond its own address."""
    text = screen.body
    return {each for name in names for each in markers(name) if each in text and each not in screen.path}


# Tokens


@pytest.mark.parametrize("scope", [None, *SCOPES])
async def test_a_token_may_do_what_its_scope_may_and_nothing_else(objects: Service, scope: str | None):
    api = sorted((route for route in in_table() if route.scope is not None), key=str)
    token = "" if scope is None else await objects.mint(scopes=(scope,))
    for route in api:
        async with a_browser(objects, {"Authorization": f"Bearer {token}"} if token else {}) as browser:
            screen = await ask(objects, browser, route)
        expected = "sign in" if scope is None else "in" if scope in (route.scope, "admin") else "refused"
        assert verdict(screen) == expected, (route, screen.status, screen.said)


async def test_a_token_is_no_session_and_a_session_is_no_token(objects: Service):
    token = await objects.mint(scopes=("admin",))
    person = await a_person(objects, password=None)
    for route in in_table():
        if route.act is not None:
            for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"{LOOPBACK_COOKIE}={token}"}):
                async with a_browser(objects, headers) as browser:
                    assert verdict(await ask(objects, browser, route)) == "sign in", route
        elif route.scope is not None:
            async with a_browser(objects) as browser:
                browser.cookies[LOOPBACK_COOKIE] = await a_session(objects, person)
                assert verdict(await ask(objects, browser, route)) == "sign in", route


def test_no_act_of_people_alone_has_a_route_of_the_api():
    for act in (Act.ACCOUNT, Act.CHANGE_FACTORS, Act.MANAGE_PEOPLE):
        assert act.permission.scope is None


# Limits


@pytest.mark.parametrize("role", Role, ids=lambda role: role.name.lower())
async def test_what_is_outside_of_a_persons_categories_is_as_if_it_were_not_there(
    objects: Service, role: Role
):
    person = await a_person(objects, "ada", role, categories=("Moons",), password=None)
    unlimited = await a_person(objects, "grace", role, password=None)
    seen: set[str] = set()
    before = facts(objects)
    for route in sorted((route for route in in_table() if route.act is not None), key=str):
        assert route.act is not None
        if role < Role[TABLE[route.act][0].upper()]:
            continue
        if route.act.permission.is_unlimited:
            continue  # refused, whatever it is about
        about = address(route.path, OWN) != address(route.path)
        if route.method == "POST" and not about:
            continue
        for name in (FOREIGN, HIDDEN) if about else (None,):
            async with browser_of(objects, person, Credential(role)) as browser:
                screen = await ask(objects, browser, route, name)
            assert leaks(screen, (FOREIGN, HIDDEN)) == set(), (route, screen.said)
            if about:
                assert screen.status == 404, (route, name, screen.status, screen.said)
                async with browser_of(objects, person, Credential(role)) as browser:
                    nothing = await ask(objects, browser, route)
                assert without_name(nothing) == without_name(screen), route
            if route.method == "GET":
                async with browser_of(objects, unlimited, Credential(role)) as browser:
                    seen |= leaks(await ask(objects, browser, route, name), (FOREIGN, HIDDEN))
    assert facts(objects) == before
    assert seen  # others see it


def without_name(screen: Screen) -> tuple[int, str]:
    """What a page says, without what its address names."""
    parts = "|".join(re.escape(part) for part in screen.path.split("/") if re.search("[0-9-]", part))
    return screen.status, re.sub(parts, "", screen.said) if parts else screen.said


@pytest.mark.parametrize(
    "scope", ["manage:read", "alert:write", "incident:write", "incident:delete", "admin"]
)
async def test_what_is_outside_of_a_tokens_tags_is_as_if_it_were_not_there(objects: Service, scope: str):
    token = await objects.mint(scopes=(scope,), tags=("own-*",))
    before = facts(objects)
    for route in sorted((route for route in in_table() if route.scope is not None), key=str):
        if scope not in (route.scope, "admin"):
            continue
        about = address(route.path, OWN) != address(route.path)
        for name in (FOREIGN, HIDDEN) if about else (None,):
            async with a_browser(objects, {"Authorization": f"Bearer {token}"}) as browser:
                screen = await ask(objects, browser, route, name)
            assert leaks(screen, (FOREIGN, HIDDEN)) == set(), (route, screen.said)
            if about and screen.status not in (403, 404):
                async with a_browser(objects, {"Authorization": f"Bearer {token}"}) as browser:
                    nothing = await ask(objects, browser, route)
                assert without_name(nothing) == without_name(screen), (route, name)
    changed = {name for name, rows in facts(objects).items() if rows != before[name]}
    assert changed <= {"tokens", "audit"}, changed


# Where the pages are


async def test_without_any_person_there_is_nothing_but_a_sentence(service: Service):
    for route in in_table():
        if not route.path.startswith("/api"):
            async with a_browser(service) as browser:
                screen = await ask(service, browser, route)
            assert (screen.status, screen.body) == (
                404,
                "no person yet: kener-async person add --role admin NAME",
            ), route


async def test_addresses_that_are_not_allowed_find_nothing(objects: Service):
    person = await a_person(objects, password=None)
    objects.change("manage", allowed_ips=(ip_network("198.51.100.0/24"),))
    for route in in_table():
        if route.path.startswith("/api"):
            continue
        for address_, is_allowed in (("203.0.113.7", False), ("198.51.100.7", True)):
            async with a_browser(objects, {"X-Forwarded-For": address_}) as browser:
                browser.cookies[LOOPBACK_COOKIE] = await a_session(objects, person)
                screen = await ask(objects, browser, route)
            assert is_allowed or screen.status == 404, (route, screen.status)
            assert is_allowed or leaks(screen) == set(), route


async def test_without_a_path_there_are_no_pages(config: Config):
    app = create_app(replace(config, server=replace(config.server, manage_path="")))
    assert {route for route in served(app) if not route.path.startswith("/api")} == set()
