"""Authentication: tokens and forgeries, scopes, tags, revocation, allowed addresses, and the signing key."""

import asyncio
import hmac
import json
import stat
import subprocess
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kener_async import keys
from kener_async.api.http.auth import AUTHENTICATOR, TOKEN_TYPE
from kener_async.api.http.endpoint import local_or_admin
from kener_async.api.http.forwarded import PROXY_HEADERS
from kener_async.api.http.policy import policy_of
from kener_async.app import create_app
from kener_async.config.load import load
from kener_async.config.model import AuthConfig, Config, Senders
from kener_async.domain.access import SCOPES
from kener_async.ops.signing_key import SigningKeyError, signing_keys, signing_secret
from kener_async.store import tokens
from tests.rigs.process import ROOT
from tests.rigs.service import NOON, SECRET, FakeClock, Service, a_config, a_monitor, running

REFUSED = (401, {"error": "invalid token"})
HEADER = {"typ": TOKEN_TYPE}
BEAT = {"tag": "earth", "status": "UP", "latency": 0.1}


async def answer_to(service: Service, *values: str, path: str = "/api/status?tag=earth") -> tuple[int, Any]:
    """The answer to a request with these Authorization headers."""
    headers = [("Authorization", value) for value in values]
    async with service.client.get(path, headers=headers) as reply:
        if reply.status == 401:
            assert reply.headers["WWW-Authenticate"] == "Bearer"
        return reply.status, await reply.json()


async def claims_of(service: Service, **fields: Any) -> dict[str, Any]:
    """The claims of a token that was just made."""
    token = await service.mint(**fields)
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def signed(claims: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=HEADER | header)


def part(value: Any) -> str:
    """A part of a token, made by hand."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(claims: dict[str, Any], algorithm: str, key: bytes) -> str:
    """Signed also with keys that the library refuses to sign with."""
    text = f"{part({'alg': algorithm, **HEADER})}.{part(claims)}"
    return f"{text}.{part(hmac.digest(key, text.encode(), f'sha{algorithm[2:]}'))}"


# The header


@pytest.mark.parametrize(
    "form",
    ["Bearer {}", "bearer {}", "BEARER {}", "bEaReR {}", "{}", "Bearer  {}", "  Bearer {}  "],
)
async def test_a_token_is_taken_with_the_scheme_in_any_case_or_without_it(service: Service, form: str):
    assert (await answer_to(service, form.format(service.token)))[0] == 200


@pytest.mark.parametrize(
    "form",
    ["", " ", "Bearer", "Bearer ", "Basic {}", "Token {}", "Bearer Bearer {}", "Bearer {} x", "Bearer,{}"],
)
async def test_anything_else_in_the_header_is_no_token(service: Service, form: str):
    assert await answer_to(service, form.format(service.token)) == REFUSED


async def test_without_the_header_every_request_is_refused(service: Service):
    assert await answer_to(service) == REFUSED


async def test_two_headers_are_one_too_many(service: Service):
    good = f"Bearer {service.token}"
    assert await answer_to(service, good, good) == REFUSED
    assert await answer_to(service, good, "Bearer x") == REFUSED


async def test_a_token_in_the_query_is_not_read(service: Service):
    path = f"/api/status?tag=earth&token={service.token}&access_token={service.token}"
    assert await answer_to(service, path=path) == REFUSED


async def test_a_header_that_is_not_ascii_is_malformed(service: Service):
    status, answer = await answer_to(service, f"Bearer {service.token}é")
    assert (status, answer) == (400, {"error": "header Authorization: not ASCII"})


async def test_a_token_is_checked_before_the_body_is_read(service: Service):
    for body in (b"", b"\xff{", b"[" * 60_000, b"x" * 100_000):
        async with service.client.post("/api/status", data=body) as reply:
            assert (reply.status, await reply.json()) == REFUSED


async def test_a_token_is_checked_before_the_query_and_the_number(service: Service):
    for path in ("/api/status", "/api/incident?page=0", "/api/incident/one", "/api/monitors/pluto/uptime"):
        assert await answer_to(service, path=path) == REFUSED


# The token

OTHER = "another-key-of-the-same-length--" + "k" * 32
Forge = Callable[[dict[str, Any]], str]
FORGERIES: dict[str, Forge] = {
    "signed with another key": lambda claims: signed(claims, OTHER),
    "algorithm none": lambda claims: f"{part({'alg': 'none', **HEADER})}.{part(claims)}.",
    "algorithm None": lambda claims: f"{part({'alg': 'None', **HEADER})}.{part(claims)}.",
    "algorithm none, with a signature": lambda claims: (
        f"{part({'alg': 'none', **HEADER})}.{part(claims)}.{signed(claims).rpartition('.')[2]}"
    ),
    "no algorithm": lambda claims: f"{part(HEADER)}.{part(claims)}.{signed(claims).rpartition('.')[2]}",
    "algorithm as a list": lambda claims: f"{part({'alg': ['HS256'], **HEADER})}.{part(claims)}.x",
    "HS384": lambda claims: by_hand(claims, "HS384", SECRET.encode()),
    "HS512": lambda claims: by_hand(claims, "HS512", SECRET.encode()),
    "no signature": lambda claims: signed(claims).rpartition(".")[0] + ".",
    "two parts": lambda claims: signed(claims).rpartition(".")[0],
    "four parts": lambda claims: signed(claims) + ".x",
    "a header that is no object": lambda claims: f"{part([])}.{part(claims)}.x",
    "a header that is no JSON": lambda claims: f"{part(b'{')}.{part(claims)}.x",
    "a header nested deep": lambda claims: f"{part(b'[' * 3000)}.{part(claims)}.x",
    "claims that are no object": lambda _: jwt.api_jws.encode(b"[]", SECRET, "HS256", HEADER),
    "claims that are no JSON": lambda _: jwt.api_jws.encode(b"{", SECRET, "HS256", HEADER),
    "claims nested deep": lambda _: jwt.api_jws.encode(b"[" * 3000, SECRET, "HS256", HEADER),
    "another type": lambda claims: signed(claims, typ="JWT"),
    "no type": lambda claims: f"{part({'alg': 'HS256'})}.{part(claims)}.x",
    "a key of its own": lambda claims: signed(claims, OTHER, jwk={"kty": "oct", "k": "a2V5"}),
    "a key id": lambda claims: signed(claims, OTHER, kid="/dev/null"),
    "a critical extension": lambda claims: signed(claims, crit=["x"], x=1),
    "not base64": lambda _: "a!.b!.c!",
}


@pytest.fixture
async def service_of_an_elsewhere(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Service]:
    """A service that also takes tokens of an RSA key, whose public half lies beside the database."""
    async with running(with_public_key(a_config(tmp_path), RSA, "RS256"), clock) as started:
        yield started


@pytest.mark.parametrize("how", FORGERIES)
async def test_a_forged_token_is_refused(service: Service, how: str):
    assert await answer_to(service, FORGERIES[how](await claims_of(service))) == REFUSED


async def test_a_forged_token_is_refused_also_where_other_keys_are_known(service_of_an_elsewhere: Service):
    claims = await claims_of(service_of_an_elsewhere)
    for how, forge in FORGERIES.items():
        assert await answer_to(service_of_an_elsewhere, forge(claims)) == REFUSED, how


async def test_a_public_key_is_no_secret_to_sign_with(service_of_an_elsewhere: Service):
    claims = await claims_of(service_of_an_elsewhere)
    assert (await answer_to(service_of_an_elsewhere, by_hand(claims, "HS256", SECRET.encode())))[0] == 200
    for key in (pem(RSA), pem(RSA).strip()):
        forged = by_hand(claims, "HS256", key)
        assert await answer_to(service_of_an_elsewhere, forged) == REFUSED


async def test_a_token_longer_than_any_is_refused(service: Service):
    assert await answer_to(service, "x" * 8000) == REFUSED
    async with service.client.get("/api/status", headers={"Authorization": "x" * 9000}) as reply:
        assert reply.status == 400


@pytest.mark.parametrize("where", [0, 1, 2])
async def test_a_token_with_one_changed_character_is_refused(service: Service, where: int):
    parts = service.token.split(".")
    middle = len(parts[where]) // 2
    letter = "A" if parts[where][middle] != "A" else "B"
    parts[where] = parts[where][:middle] + letter + parts[where][middle + 1 :]
    assert await answer_to(service, ".".join(parts)) == REFUSED


async def test_claims_cannot_be_exchanged_under_a_signature(service: Service):
    head, body, signature = (await service.mint(scopes=("status:read",))).split(".")
    claims = json.loads(urlsafe_b64decode(body + "==")) | {"scope": "admin"}
    assert await answer_to(service, f"{head}.{part(claims)}.{signature}") == REFUSED


@pytest.mark.parametrize(
    "changes",
    [
        {"jti": "unknown"},
        {"jti": None},
        {"jti": 7},
        {"jti": ["token-1"]},
        {"sub": None},
        {"sub": 7},
        {"iat": None},
        {"scope": 7},
        {"scope": ["status:read"]},
        {"scope": None},
        {"tags": "earth"},
        {"tags": [7]},
        {"tags": {"earth": True}},
        {"exp": None},
        {"exp": NOON + 601},
        {"exp": float(NOON + 600)},
        {"exp": str(NOON + 600)},
        {"exp": True},
        {"nbf": NOON + 1},
        {"nbf": str(NOON)},
        {"nbf": True},
        {"nbf": None},
        {"aud": "another service"},
    ],
    ids=str,
)
async def test_claims_that_are_not_as_they_were_made_are_refused(service: Service, changes: dict[str, Any]):
    """Even under a good signature: who could make one must still agree with the record."""
    claims = await claims_of(service, expires_at=NOON + 600)
    assert (await answer_to(service, signed(claims)))[0] == 200
    assert await answer_to(service, signed(claims | changes)) == REFUSED


@pytest.mark.parametrize("claim", ["jti", "sub", "iat", "exp"])
async def test_a_claim_that_is_left_out_is_missed(service: Service, claim: str):
    claims = await claims_of(service, expires_at=NOON + 600)
    del claims[claim]
    assert await answer_to(service, signed(claims)) == REFUSED


async def test_a_token_without_an_end_is_taken_only_when_it_was_made_so(service: Service):
    claims = await claims_of(service, expires_at=None)
    assert "exp" not in claims
    service.pass_time(50 * 365 * 86400)
    assert (await answer_to(service, signed(claims)))[0] == 200
    assert await answer_to(service, signed(claims | {"exp": NOON + 10**12})) == REFUSED


async def test_a_token_is_taken_until_the_second_it_expires(service: Service):
    token = await service.mint(expires_at=NOON + 600)
    service.pass_time(599)
    assert (await answer_to(service, token))[0] == 200
    service.pass_time(1)
    assert await answer_to(service, token) == REFUSED
    assert await answer_to(service, await service.mint(expires_at=NOON)) == REFUSED


async def test_refusals_are_indistinguishable(service: Service):
    forged = signed(await claims_of(service), OTHER)
    expired = await service.mint(expires_at=NOON - 1)
    unknown = signed(await claims_of(service) | {"jti": "unknown"})
    for value in (forged, expired, unknown, "x", "", "Basic x"):
        async with service.client.get("/api/status", headers={"Authorization": value}) as reply:
            assert await reply.read() == b'{"error":"invalid token"}'
            assert reply.headers["WWW-Authenticate"] == "Bearer"


# Scopes

# The routes that ask for a token, with its scope.
GUARDED = {
    ("POST", "/api/status"): "status:write",
    ("GET", "/api/status"): "status:read",
    ("POST", "/api/status/batch"): "status:write",
    ("GET", "/api/devices"): "status:read",
    ("POST", "/api/incident"): "incident:write",
    ("GET", "/api/incident"): "incident:read",
    ("GET", "/api/incident/{incidentNumber}"): "incident:read",
    ("PATCH", "/api/incident/{incidentNumber}"): "incident:write",
    ("POST", "/api/incident/{incidentNumber}/status"): "incident:write",
    ("POST", "/api/incident/{incidentNumber}/comment"): "incident:write",
    ("GET", "/api/incident/{incidentNumber}/comment"): "incident:read",
    ("GET", "/api/monitor"): "status:read",
    ("GET", "/api/monitors"): "status:read",
    ("GET", "/api/monitors/{tag}/uptime"): "status:read",
    ("GET", "/api/monitors/{tag}/history"): "status:read",
    ("GET", "/api/monitors/{tag}/checks"): "manage:read",
    ("POST", "/api/manage/monitors/{tag}/run"): "monitor:write",
    ("GET", "/api/manage/alerts"): "manage:read",
    ("POST", "/api/manage/alerts/{alertId}/acknowledge"): "alert:write",
    ("POST", "/api/manage/alerts/{alertId}/snooze"): "alert:write",
    ("POST", "/api/manage/rules/{ruleName}/back-test"): "manage:read",
    ("GET", "/api/manage/deliveries"): "manage:read",
    ("POST", "/api/manage/deliveries/{deliveryId}/again"): "channel:write",
    ("GET", "/api/manage/channels"): "manage:read",
    ("POST", "/api/manage/channels/{channelName}/test"): "channel:write",
    ("POST", "/api/manage/channels/{channelName}/resume"): "channel:write",
    ("POST", "/api/manage/deliveries/{deliveryId}/drop"): "channel:write",
    ("GET", "/api/manage/tokens"): "admin",
    ("POST", "/api/manage/tokens"): "admin",
    ("DELETE", "/api/manage/tokens/{tokenId}"): "admin",
    ("DELETE", "/api/manage/devices/{deviceId}"): "admin",
    ("GET", "/api/manage/incidents"): "manage:read",
    ("POST", "/api/manage/incidents/{incidentNumber}/publish"): "incident:write",
    ("GET", "/api/manage/announcements"): "manage:read",
    ("GET", "/api/manage/announcements/{announcementName}"): "manage:read",
    ("PUT", "/api/manage/announcements/{announcementName}"): "incident:delete",
    ("DELETE", "/api/manage/announcements/{announcementName}"): "incident:delete",
    ("GET", "/api/manage/audit"): "report:read",
    ("GET", "/api/manage/config"): "admin",
    ("GET", "/api/manage/config.toml"): "admin",
    ("GET", "/api/manage/people"): "admin",
    ("POST", "/api/manage/incidents"): "incident:write",
    ("GET", "/api/manage/incidents/{incidentNumber}"): "manage:read",
    ("PATCH", "/api/manage/incidents/{incidentNumber}"): "incident:write",
    ("DELETE", "/api/manage/incidents/{incidentNumber}"): "incident:delete",
    ("POST", "/api/manage/incidents/{incidentNumber}/merge"): "incident:delete",
    ("POST", "/api/manage/incidents/{incidentNumber}/updates"): "incident:write",
    ("PATCH", "/api/manage/incidents/{incidentNumber}/updates/{updateId}"): "incident:write",
    ("DELETE", "/api/manage/incidents/{incidentNumber}/updates/{updateId}"): "incident:delete",
    ("PUT", "/api/manage/incidents/{incidentNumber}/postmortem"): "incident:write",
    ("PUT", "/api/manage/incidents/{incidentNumber}/monitors/{tag}"): "incident:write",
    ("POST", "/api/manage/incidents/{incidentNumber}/unpublish"): "incident:write",
    ("GET", "/api/manage/maintenance"): "manage:read",
    ("POST", "/api/manage/maintenance"): "incident:write",
    ("GET", "/api/manage/maintenance/{incidentNumber}"): "manage:read",
    ("PATCH", "/api/manage/maintenance/{incidentNumber}"): "incident:write",
    ("DELETE", "/api/manage/maintenance/{incidentNumber}"): "incident:delete",
    ("POST", "/api/manage/maintenance/{incidentNumber}/end"): "incident:write",
    ("POST", "/api/manage/maintenance/{incidentNumber}/cancel"): "incident:write",
    ("GET", "/api/manage/series"): "manage:read",
    ("GET", "/api/manage/series/{seriesName}"): "manage:read",
    ("PUT", "/api/manage/series/{seriesName}"): "incident:write",
    ("DELETE", "/api/manage/series/{seriesName}"): "incident:write",
    ("GET", "/api/manage/series/{seriesName}/occurrences"): "manage:read",
    ("POST", "/api/manage/series/{seriesName}/preview"): "manage:read",
    ("GET", "/api/manage/templates"): "manage:read",
    ("GET", "/api/manage/templates/{templateName}"): "manage:read",
    ("PUT", "/api/manage/templates/{templateName}"): "incident:delete",
    ("DELETE", "/api/manage/templates/{templateName}"): "incident:delete",
}


def is_public(route: web.AbstractRoute) -> bool:
    policy = policy_of(route.handler)
    assert policy is not None
    return policy.is_public


METRICS = ("GET", "/metrics")  # asks for one unless the request is from this machine


def test_the_table_of_scopes_names_every_route_that_is_not_public_and_no_other(config: Config):
    served = {
        (route.method, route.resource.canonical)
        for route in create_app(config).router.routes()
        if route.resource is not None and route.method != "HEAD" and not is_public(route)
    }
    assert served == GUARDED.keys() | {METRICS}


class Values(dict[str, object]):
    """The values of the parts of paths; those of the signed-in side, which no token opens, are `none`."""

    def __missing__(self, name: str) -> str:
        return "none"


def of_earth(path: str) -> str:
    named = {"month": "2025-12", "day": "2025-12-31", "kind": "status", "form": "atom", "name": "page.css"}
    keys: dict[str, object] = {
        "key": "no-key",
        "address": "no-check",
        "token": "no-token",
        "channelName": "none",
        "ruleName": "none",
        "tokenId": "none",
        "deviceId": "1",
        "update": 1,
        "seriesName": "none",
        "templateName": "none",
        "announcementName": "none",
    }
    values = {
        "incidentNumber": 1,
        "number": 1,
        "alertId": 1,
        "deliveryId": 1,
        "updateId": 1,
        "path": "logo.svg",
    }
    return path.format_map(Values({"tag": "earth"} | values | named | keys))


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_token_of_one_scope_is_let_into_its_routes_and_no_other(service: Service, scope: str):
    token = await service.mint(scopes=(scope,))
    for (method, path), needed in GUARDED.items():
        status, answer = await service.ask(method, of_earth(path), token)
        if scope in (needed, "admin"):
            assert status in (200, 400, 404), path
        else:
            assert (status, answer) == (403, {"error": f"the token lacks the scope {needed}"}), path


async def test_a_token_without_a_scope_is_let_in_nowhere(service: Service):
    token = await service.mint(scopes=())
    unknown = await service.mint(scopes=("status:everything",))
    for method, path in GUARDED:
        assert (await service.ask(method, of_earth(path), token))[0] == 403
        assert (await service.ask(method, of_earth(path), unknown))[0] == 403


async def test_a_token_is_required_by_the_routes_that_are_not_public_and_by_no_other(service: Service):
    for route in service.app.router.routes():
        assert route.resource is not None
        path = of_earth(route.resource.canonical)
        method = "GET" if route.method == "*" else route.method
        headers = {"X-Forwarded-For": "203.0.113.7"}  # not from this machine
        async with service.client.request(method, path, headers=headers) as reply:
            assert (reply.status == 401) == (not is_public(route)), (method, path)


async def test_head_needs_the_token_that_get_needs(service: Service):
    for method, path in GUARDED:
        if method == "GET":
            async with service.client.head(of_earth(path)) as reply:
                assert reply.status == 401, path


async def test_metrics_are_for_this_machine_and_for_admins(service: Service):
    through_a_proxy = {"X-Forwarded-For": "203.0.113.7"}
    for token, expected in (("x", 401), (service.token, 403), (await service.mint(scopes=("admin",)), 200)):
        headers = through_a_proxy | {"Authorization": f"Bearer {token}"}
        async with service.client.get("/metrics", headers=headers) as reply:
            assert reply.status == expected
    async with service.client.get("/metrics") as reply:
        assert reply.status == 200


# Tags


@pytest.fixture
async def planets(service: Service) -> Service:
    """Monitors of two sites; incident 1 names both, 2 our own, 3 the other."""
    await service.configure(a_monitor("site-7-door"), a_monitor("site-7-lamp"), a_monitor("site-8-door"))
    for tags in (["site-7-door", "site-8-door"], ["site-7-door"], ["site-8-door"]):
        await service.post("/api/incident", {"title": "x", "tags": tags})
    return service


OWN, OTHERS, BOTH = ["site-7-door"], ["site-8-door"], ["site-7-door", "site-8-door"]


def naming(tags: list[str]) -> dict[str, Any]:
    return {"title": "y", "tags": tags}


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/api/status", BEAT | {"tag": "site-7-door"}, 200),
        ("POST", "/api/status", BEAT | {"tag": "site-8-door"}, 403),
        ("POST", "/api/status", BEAT | {"tag": "nowhere"}, 403),
        ("GET", "/api/status?tag=site-7-lamp", None, 200),
        ("GET", "/api/status?tag=site-8-door", None, 403),
        ("GET", "/api/status?tag=nowhere", None, 403),
        ("GET", "/api/monitors/site-7-door/uptime", None, 200),
        ("GET", "/api/monitors/site-8-door/uptime", None, 403),
        ("GET", "/api/monitors/site-7-door/history", None, 200),
        ("GET", "/api/monitors/site-8-door/history", None, 403),
        ("POST", "/api/incident", naming(OWN), 200),
        ("POST", "/api/incident", naming(OTHERS), 403),
        ("POST", "/api/incident", naming(BOTH), 403),
        ("GET", "/api/incident/1", None, 200),
        ("GET", "/api/incident/2", None, 200),
        ("GET", "/api/incident/3", None, 403),
        ("PATCH", "/api/incident/1", naming(OWN), 403),
        ("PATCH", "/api/incident/2", naming(OWN), 200),
        ("PATCH", "/api/incident/2", naming(BOTH), 403),
        ("PATCH", "/api/incident/3", naming(OWN), 403),
        ("POST", "/api/incident/1/status", {"isResolved": True}, 403),
        ("POST", "/api/incident/2/status", {"isResolved": True}, 200),
        ("POST", "/api/incident/3/status", {"isResolved": True}, 403),
        ("POST", "/api/incident/1/comment", {"body": "x"}, 403),
        ("POST", "/api/incident/2/comment", {"body": "x"}, 200),
        ("POST", "/api/incident/3/comment", {"body": "x"}, 403),
        ("GET", "/api/incident/1/comment", None, 200),
        ("GET", "/api/incident/3/comment", None, 403),
    ],
)
async def test_a_token_of_some_monitors_is_let_at_those_alone(
    planets: Service, method: str, path: str, body: Any, expected: int
):
    """Who changes an incident must be let at all of its monitors; who reads it, at one of them."""
    token = await planets.mint(tags=("site-7-*",))
    status, answer = await planets.ask(method, path, token, json=body)
    assert (status, answer if status == 403 else ...) == (
        expected,
        {"error": "the token is for other monitors"} if expected == 403 else ...,
    )


async def test_lists_show_a_token_what_is_its_own(planets: Service):
    token = await planets.mint(tags=("site-7-*",))
    _, listed = await planets.ask("GET", "/api/monitors", token)
    assert [one["tag"] for one in listed] == ["site-7-door", "site-7-lamp"]
    for query, numbers in (
        ("", [2, 1]),
        ("?tags=site-8-door", []),
        ("?tags=site-7-door,site-8-door", [2, 1]),
    ):
        _, found = await planets.ask("GET", f"/api/incident{query}", token)
        assert [one["incidentNumber"] for one in found] == numbers


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("*",), 200),
        (("site-7-door",), 200),
        (("site-?-door",), 200),
        (("site-8-*", "site-7-d*"), 200),
        (("site-7",), 403),
        (("SITE-7-*",), 403),
        (("",), 403),
        ((), 403),
    ],
    ids=str,
)
async def test_a_pattern_matches_the_whole_tag(planets: Service, patterns: tuple[str, ...], expected: int):
    token = await planets.mint(tags=patterns)
    assert (await planets.ask("GET", "/api/status?tag=site-7-door", token))[0] == expected


# Revocation, records, the command line


async def command(config: Config, *words: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of another process, beside the running service."""
    path = config.database.path.parent / "config.toml"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(ROOT / "run.py"), *words, "--config", str(path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


@pytest.fixture
def real_clock(clock: FakeClock) -> FakeClock:
    """The commands know no other."""
    clock.now = int(time.time())
    return clock


@pytest.mark.process
async def test_a_token_made_beside_the_service_is_taken_at_once_and_refused_when_revoke_has_ended(
    real_clock: FakeClock, config: Config, service: Service
):
    status, token, _ = await command(config, "token", "create", "--name", "door", "--tag", "earth")
    assert (status, token.count("\n")) == (0, 1)
    assert (await answer_to(service, token.strip()))[0] == 200
    claims = jwt.decode(token.strip(), options={"verify_signature": False})
    assert claims["exp"] == pytest.approx(real_clock.now + 365 * 86400, abs=60)
    assert (await command(config, "token", "revoke", claims["jti"]))[0] == 0
    assert await answer_to(service, token.strip()) == REFUSED
    assert (await answer_to(service, service.token))[0] == 200


def revoked_and_killed(config: Config, token_id: str) -> None:
    """Commit the revocation in a process that is killed before it can do anything else."""
    work = (
        "import os, sys; from pathlib import Path; from kener_async.store import tokens;"
        "from kener_async.store.sqlite import transactions;"
        "transactions.write(Path(sys.argv[1]), tokens.revoke, sys.argv[2], 1); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", work, config.database.path, token_id], check=False, cwd=ROOT, timeout=30
    )
    assert done.returncode == -9


@pytest.mark.process
async def test_a_revocation_is_noticed_although_its_process_died_with_the_commit(
    config: Config, service: Service
):
    token = await service.mint()
    assert (await answer_to(service, token))[0] == 200
    await asyncio.to_thread(revoked_and_killed, config, "token-1")
    await asyncio.sleep(tokens.REVOKED_WITHIN)
    assert await answer_to(service, token) == REFUSED
    assert (await answer_to(service, service.token))[0] == 200


async def test_a_verified_token_costs_no_look_at_the_database_for_a_while_and_then_a_single_one(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    glances = []
    glance = service.app[keys.DATABASE].glance

    async def counted(*work: Any) -> Any:
        glances.append(work)
        return await glance(*work)

    monkeypatch.setattr(service.app[keys.DATABASE], "glance", counted)
    monkeypatch.setattr(tokens, "REVOKED_WITHIN", 1000)
    assert [(await answer_to(service, service.token))[0] for _ in range(5)] == [200] * 5
    assert len(glances) <= 1
    service.app[AUTHENTICATOR]._looked_at = 0
    answers = await asyncio.gather(*(answer_to(service, service.token) for _ in range(20)))
    assert [status for status, _ in answers] == [200] * 20
    assert len(glances) <= 2


@pytest.mark.process
async def test_the_list_names_every_token_and_shows_none(
    real_clock: FakeClock, config: Config, service: Service
):
    token = await service.mint(name="door", tags=("site-7-*",), expires_at=real_clock.now + 600)
    await answer_to(service, service.token)
    await service.app[AUTHENTICATOR].note_uses()
    _, text, _ = await command(config, "token", "list")
    _, listed, _ = await command(config, "token", "list", "--json")
    records = {one["id"]: one for one in json.loads(listed)}
    assert records["token-1"]["name"] == "door"
    assert records["token-0"]["last_used"] == real_clock.now
    assert "token-1" in text
    assert "site-7-*" in text
    for secret in (token, service.token, SECRET, *token.split(".")):
        assert secret not in text + listed


@pytest.mark.process
async def test_the_list_shows_state_expiry_and_last_use_below_a_heading(
    real_clock: FakeClock, config: Config, service: Service
):
    now = real_clock.now
    await service.mint(name="door", tags=("site-7-*",), expires_at=now + 86400)
    await service.mint(name="old", expires_at=now - 1)
    await answer_to(service, service.token)
    await service.app[AUTHENTICATOR].note_uses()
    _, text, _ = await command(config, "token", "list")
    heads, *rows = text.splitlines()
    assert heads.split("  ")[0].strip() == "id"
    columns = [
        heads.index(head) for head in ("id", "state", "expires", "last used", "name", "scopes", "tags")
    ]
    cells = {
        row[columns[0] : columns[1]].strip(): [
            row[begin:end].strip() for begin, end in pairwise(columns[1:6])
        ]
        for row in rows
    }
    tomorrow = f"{datetime.fromtimestamp(now + 86400, UTC):%Y-%m-%d}"
    assert cells["token-1"] == ["valid", tomorrow, "never", "door"]
    assert cells["token-2"][0] == "expired"
    assert cells["token-0"][2].endswith("s ago")
    _, listed, _ = await command(config, "token", "list", "--json")
    assert {one["id"]: one["state"] for one in json.loads(listed)}["token-2"] == "expired"


@pytest.mark.process
async def test_a_token_that_replaces_another_owns_its_devices_and_so_does_the_next_one(
    real_clock: FakeClock, config: Config, service: Service
):
    await service.mint(id="first")
    senders, newest = [], "first"
    for _ in range(2):
        ids = {one["id"] for one in json.loads((await command(config, "token", "list", "--json"))[1])}
        words = ("--name", "site-7", "--replaces", newest)
        status, _, error = await command(config, "token", "create", *words)
        assert status == 0, error
        listed = json.loads((await command(config, "token", "list", "--json"))[1])
        (made,) = [one for one in listed if one["id"] not in ids]
        newest = made["id"]
        senders.append(made["sender"])
    assert senders == ["first", "first"]
    status, _, error = await command(config, "token", "create", "--name", "x", "--replaces", "unknown")
    assert (status, "no token has the id unknown" in error) == (1, True)


async def refused_revocation(config: Config, *words: str) -> str:
    status, _, error = await command(config, "token", "revoke", *words)
    assert status == 1
    return error


@pytest.mark.process
async def test_a_name_revokes_the_one_valid_token_that_has_it(
    real_clock: FakeClock, config: Config, service: Service
):
    token = await service.mint(name="door")
    await service.mint(name="door", expires_at=real_clock.now - 1)
    status, _, said = await command(config, "token", "revoke", "door")
    assert (status, said) == (0, "revoked token-1 (door)\n")
    assert await answer_to(service, token) == REFUSED


@pytest.mark.process
async def test_what_names_no_token_or_several_is_not_revoked(
    real_clock: FakeClock, config: Config, service: Service
):
    tokens_of_one_name = [await service.mint(name="door") for _ in range(2)]
    error = await refused_revocation(config, "door")
    assert error == "2 tokens have this name, give the id of one: token-1, token-2\n"
    for wanted in ("dor", "token-9", "", "x" * 300):
        error = await refused_revocation(config, wanted)
        assert error == "no token has this id or name, see token list\n"
    for token in tokens_of_one_name:
        assert (await answer_to(service, token))[0] == 200
    assert set(await service.app[keys.DATABASE].read(tokens.all_tokens)) == {"token-0", "token-1", "token-2"}


@pytest.mark.process
async def test_a_token_made_elsewhere_is_revoked_only_when_that_is_asked_for(
    config: Config, service: Service
):
    await refused_revocation(config, "made-elsewhere")
    status, _, said = await command(config, "token", "revoke", "--foreign", "made-elsewhere")
    assert (status, said) == (0, "revoked made-elsewhere, made elsewhere\n")
    record = (await service.app[keys.DATABASE].read(tokens.all_tokens))["made-elsewhere"]
    assert record.revoked_at is not None


@pytest.mark.process
async def test_a_revocation_holds_after_a_restart(config: Config, clock: FakeClock):
    async with running(config, clock) as service:
        token = await service.mint()
        assert (await answer_to(service, token))[0] == 200
        assert (await command(config, "token", "revoke", "token-1"))[0] == 0
    async with running(config, clock) as service:
        assert await answer_to(service, token) == REFUSED


async def test_the_last_use_is_noted_and_never_set_back(service: Service):
    record = await service.mint(name="door")
    for moment in (NOON, NOON + 60):
        service.clock.now = moment
        await answer_to(service, record)
        await service.app[AUTHENTICATOR].note_uses()
    service.clock.now = NOON + 30
    await answer_to(service, record)
    await service.app[AUTHENTICATOR].note_uses()
    records = await service.app[keys.DATABASE].read(tokens.all_tokens)
    assert records["token-1"].last_used == NOON + 60


async def test_a_refused_token_is_not_noted_as_used(service: Service):
    await answer_to(service, await service.mint(expires_at=NOON - 1))
    await service.app[AUTHENTICATOR].note_uses()
    assert (await service.app[keys.DATABASE].read(tokens.all_tokens))["token-1"].last_used is None


# Tokens made elsewhere

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()
KINDS = pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA, "RS256"), (ED25519, "EdDSA")], ids=["RSA", "EdDSA"]
)


def pem(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def with_public_key(config: Config, key: PrivateKeyTypes, algorithm: str) -> Config:
    path = config.database.path.with_name("public.pem")
    path.write_bytes(pem(key))
    return replace(config, auth=replace(config.auth, algorithm=algorithm, public_key_file=path))  # type: ignore[arg-type]


def from_elsewhere(key: PrivateKeyTypes, algorithm: str, **changes: Any) -> str:
    claims = {"jti": "e-1", "sub": "site 7", "iat": NOON, "exp": NOON + 600, "scope": "status:read"}
    kept = {name: value for name, value in (claims | changes).items() if value is not ...}
    return jwt.encode(kept, key, algorithm=algorithm)  # type: ignore[arg-type]


@KINDS
async def test_a_token_made_elsewhere_is_taken_by_its_public_key(
    config: Config, clock: FakeClock, key: PrivateKeyTypes, algorithm: str
):
    async with running(with_public_key(config, key, algorithm), clock) as service:
        assert (await answer_to(service, from_elsewhere(key, algorithm)))[0] == 200
        assert (await answer_to(service, service.token))[0] == 200, "tokens made here still are"
        for changes in ({"exp": ...}, {"jti": ...}, {"tags": "earth"}):
            assert await answer_to(service, from_elsewhere(key, algorithm, **changes)) == REFUSED, changes
        limited = from_elsewhere(key, algorithm, tags=["mars"])
        assert (await answer_to(service, limited))[0] == 403


@KINDS
@pytest.mark.process
async def test_a_token_made_elsewhere_is_refused_once_its_id_is_revoked(
    config: Config, clock: FakeClock, key: PrivateKeyTypes, algorithm: str
):
    async with running(with_public_key(config, key, algorithm), clock) as service:
        assert (await answer_to(service, from_elsewhere(key, algorithm)))[0] == 200
        assert (await command(config, "token", "revoke", "--foreign", "e-1"))[0] == 0
        assert await answer_to(service, from_elsewhere(key, algorithm)) == REFUSED
        assert (await answer_to(service, from_elsewhere(key, algorithm, jti="e-2")))[0] == 200


@KINDS
async def test_a_token_made_elsewhere_is_refused_without_its_public_key(
    service: Service, key: PrivateKeyTypes, algorithm: str
):
    assert await answer_to(service, from_elsewhere(key, algorithm)) == REFUSED


async def test_a_token_of_another_key_or_another_algorithm_is_refused(service_of_an_elsewhere: Service):
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for forged in (
        from_elsewhere(stranger, "RS256"),
        from_elsewhere(RSA, "RS384"),
        from_elsewhere(RSA, "PS256"),
        from_elsewhere(ED25519, "EdDSA"),
    ):
        assert await answer_to(service_of_an_elsewhere, forged) == REFUSED


WITHIN_LEEWAY: list[dict[str, Any]] = [
    {"nbf": NOON + 60},
    {"iat": NOON + 60},
    {"exp": NOON - 59},
    {"exp": NOON + 0.5},
    {"exp": NOON + 599.25, "iat": NOON - 0.75, "nbf": NOON - 0.25},
    {"nbf": NOON + 5, "exp": 1e12},
]
BEYOND_LEEWAY: list[dict[str, Any]] = [
    {"nbf": NOON + 61},
    {"nbf": NOON + 60.5},
    {"iat": NOON + 61},
    {"exp": NOON - 60},
    {"exp": NOON - 60.5},
    {"exp": float("nan")},
    {"exp": float("inf")},
    {"exp": True},
    {"exp": str(NOON + 600)},
    {"nbf": None},
    {"iat": [NOON]},
    {"iat": "now"},
]


@pytest.mark.parametrize("changes", WITHIN_LEEWAY, ids=str)
async def test_an_issuers_clock_may_be_a_minute_off_and_its_dates_may_have_a_fraction(
    service_of_an_elsewhere: Service, changes: dict[str, Any]
):
    token = from_elsewhere(RSA, "RS256", **changes)
    assert (await answer_to(service_of_an_elsewhere, token))[0] == 200


@pytest.mark.parametrize("changes", BEYOND_LEEWAY, ids=str)
async def test_a_token_made_elsewhere_is_refused_beyond_the_leeway(
    service_of_an_elsewhere: Service, changes: dict[str, Any]
):
    token = from_elsewhere(RSA, "RS256", **changes)
    assert await answer_to(service_of_an_elsewhere, token) == REFUSED


@pytest.mark.parametrize(
    ("audience", "claim", "status"),
    [
        ("", ..., 200),
        ("", "kener", 401),
        ("", ["kener"], 401),
        ("kener", "kener", 200),
        ("kener", ["account", "kener"], 200),
        ("kener", ..., 401),
        ("kener", "Kener", 401),
        ("kener", ["account"], 401),
        ("kener", [], 401),
        ("kener", "", 401),
        ("kener", 7, 401),
        ("kener", {"kener": True}, 401),
    ],
)
async def test_a_token_made_elsewhere_must_be_for_this_audience(
    config: Config, clock: FakeClock, audience: str, claim: Any, status: int
):
    known = with_public_key(config, RSA, "RS256")
    async with running(replace(known, auth=replace(known.auth, audience=audience)), clock) as service:
        assert (await answer_to(service, from_elsewhere(RSA, "RS256", aud=claim)))[0] == status
        assert (await answer_to(service, service.token))[0] == 200, "tokens made here have none"


@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("end", ["=", "==", "===", "+", "/"])
async def test_a_token_with_padding_or_another_alphabet_is_refused(service: Service, where: int, end: str):
    parts = service.token.split(".")
    parts[where] += end
    assert await answer_to(service, ".".join(parts)) == REFUSED


async def test_another_text_of_the_same_signature_is_refused(service: Service):
    """The last letter of a signature of 32 bytes has two bits that a lenient decoder ignores."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    head, last = service.token[:-1], letters.index(service.token[-1])
    accepted = [
        letter for letter in letters[last & ~3 : last | 3] + letters[last | 3]
        if (await answer_to(service, head + letter))[0] == 200
    ]  # fmt: skip
    assert accepted == [service.token[-1]]


# Addresses


BELIEVED: list[tuple[tuple[str, ...], list[str], str]] = [
    ((), [], "127.0.0.1"),
    ((), ["203.0.113.7"], "unknown"),  # a proxy on this machine that is not configured
    (("10.0.0.0/8",), ["203.0.113.7"], "unknown"),
    (("127.0.0.1",), [], "127.0.0.1"),
    (("127.0.0.1",), ["203.0.113.7"], "203.0.113.7"),
    (("127.0.0.1",), ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
    (("127.0.0.1",), ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
    (("127.0.0.1", "10.0.0.0/8"), ["198.51.100.1, 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
    (("127.0.0.1", "10.0.0.0/8"), ["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
    (("127.0.0.1",), ["unknown"], "unknown"),
    (("127.0.0.1",), [""], "unknown"),
    (("127.0.0.1",), ["203.0.113.7, "], "203.0.113.7"),
    (("127.0.0.1", "10.0.0.0/8"), ["203.0.113.7, _hidden, 10.1.2.3"], "unknown"),
    (("127.0.0.1",), ["203.0.113.7:443"], "203.0.113.7"),
    (("127.0.0.1", "10.0.0.0/8"), ["203.0.113.7:443, 10.1.2.3:80"], "203.0.113.7"),
    (("127.0.0.1",), ['"203.0.113.7"'], "203.0.113.7"),
    (("127.0.0.1",), ['"203.0.113.7:443"'], "203.0.113.7"),
    (("127.0.0.1",), ["[2001:db8::7]"], "2001:db8::7"),
    (("127.0.0.1",), ["[2001:db8::7]:443"], "2001:db8::7"),
    (("127.0.0.1",), ['"[2001:db8::7]:443"'], "2001:db8::7"),
    (("127.0.0.1",), ["::ffff:203.0.113.7"], "203.0.113.7"),
    (("127.0.0.1",), ["[::ffff:203.0.113.7]:443"], "203.0.113.7"),
    (("127.0.0.1",), ["203.0.113.7:"], "unknown"),
    (("127.0.0.1",), ["203.0.113.7:123456"], "unknown"),
    (("127.0.0.1",), ['"203.0.113.7'], "unknown"),
    (("127.0.0.1",), ["203.0.113"], "unknown"),
    (("127.0.0.1",), ["[203.0.113.7"], "unknown"),
    (("127.0.0.1",), ["for=203.0.113.7"], "unknown"),
    (("127.0.0.1",), ["localhost"], "unknown"),
    (("127.0.0.1",), ["2001:db8::7"], "2001:db8::7"),
    (("127.0.0.0/8",), ["203.0.113.7", *["127.0.0.2"] * 12], "unknown"),
    (("127.0.0.0/8",), ["203.0.113.7", *["127.0.0.2"] * 9], "203.0.113.7"),
]


async def address_believed(service: Service, *forwarded: str) -> str:
    """Whom the service takes the sender for; it is told, for nobody is allowed."""
    headers = [("Authorization", service.token), *(("X-Forwarded-For", value) for value in forwarded)]
    async with service.client.get("/api/status?tag=earth", headers=headers) as reply:
        assert reply.status == 401
        error: str = (await reply.json())["error"]
    return error.removeprefix("invalid ip: ")


async def test_the_client_is_the_last_forwarded_address_that_is_not_a_trusted_proxy(service: Service):
    service.change("auth", allowed_ips=(ip_network("192.0.2.255/32"),))
    for proxies, forwarded, believed in BELIEVED:
        service.change("server", trusted_proxies=tuple(ip_network(one) for one in proxies))
        assert await address_believed(service, *forwarded) == believed, forwarded


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ((), 200),
        (("127.0.0.1/32",), 200),
        (("10.0.0.0/8", "127.0.0.0/8"), 200),
        (("10.0.0.0/8",), 401),
        (("::/0",), 401),
    ],
    ids=str,
)
async def test_only_allowed_addresses_may_use_a_token(
    tmp_path: Path, clock: FakeClock, allowed: tuple[str, ...], expected: int
):
    config = a_config(tmp_path)
    networks = tuple(ip_network(one) for one in allowed)
    async with running(replace(config, auth=replace(config.auth, allowed_ips=networks)), clock) as service:
        assert (await answer_to(service, service.token))[0] == expected


FACES = {
    "a push key": ("GET", "/beat/{key}"),
    "a status": ("POST", "/api/status"),
    "a batch": ("POST", "/api/status/batch"),
    "Healthchecks": ("GET", "/ping/0fe4e4ee-4ee4-4ee4-8ee4-0fe4e4ee4ee4"),
    "Uptime Kuma": ("GET", "/api/push/a-token-of-uptime-kuma-0123456789"),
    "Gatus": ("POST", "/api/v1/endpoints/core_earth/external?success=true"),
    "metrics": ("GET", "/metrics"),
}
UNNAMED_CLIENTS = [
    {"X-Forwarded-For": "unknown"},
    {"X-Forwarded-For": "_secret"},
    {"Forwarded": "for=127.0.0.1"},
    {"X-Real-IP": "127.0.0.1"},
    {"Via": "1.1 proxy"},
    {"X-Forwarded-Proto": "https"},
    {"CF-Connecting-IP": "127.0.0.1"},
]


@pytest.mark.parametrize("headers", UNNAMED_CLIENTS, ids=str)
@pytest.mark.parametrize("proxies", [(), ("127.0.0.1/32",)], ids=["not configured", "trusted"])
async def test_a_client_that_a_proxy_does_not_name_is_never_taken_for_the_proxy(
    service: Service, headers: dict[str, str], proxies: tuple[str, ...]
):
    """The allow list holds the proxy's own address, so every client would be let in."""
    senders = Senders(
        checks=("0fe4e4ee-4ee4-4ee4-8ee4-0fe4e4ee4ee4",),
        push_token="a-token-of-uptime-kuma-0123456789",
        gatus_key="core_earth",
        gatus_token="a-token-of-gatus-0123456789-0123",
    )
    await service.configure(a_monitor("earth", senders=senders))
    key = "k" * 43
    await service.mint(name="key", digest=tokens.digest_of(key), tags=("earth",), scopes=("status:write",))
    service.change("auth", allowed_ips=(ip_network("127.0.0.0/8"),))
    service.change("server", trusted_proxies=tuple(ip_network(one) for one in proxies))
    for name, (method, path) in FACES.items():
        token = senders.gatus_token if name == "Gatus" else service.token
        sent = {"Authorization": f"Bearer {token}", **headers}
        url = path.format(key=key)
        async with service.client.request(method, url, headers=sent) as reply:
            assert (reply.status, "invalid ip: unknown" in await reply.text()) == (401, True), name


@pytest.mark.parametrize("header", ["X-Forwarded-For", *PROXY_HEADERS, "X-Forwarded-Host", "x-forwarded-new"])
async def test_metrics_behind_a_proxy_need_a_token_whatever_header_it_sends(service: Service, header: str):
    async with service.client.get("/metrics", headers={header: "127.0.0.1"}) as reply:
        assert reply.status == 401


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_every_address_of_the_machine_itself_may_read_metrics(peer: str):
    request = make_mocked_request("GET", "/metrics").clone(remote=peer)
    assert (await local_or_admin(request)).allows("admin")


async def test_an_admin_of_some_monitors_sees_no_others_in_the_metrics(service: Service):
    token = await service.mint(scopes=("admin",), tags=("ear*",))
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "203.0.113.7"}
    async with service.client.get("/metrics", headers=headers) as reply:
        text = await reply.text()
    assert 'kener_monitor_status{tag="earth"}' in text
    assert "mars" not in text
    assert "kener_category_monitors{" not in text
    assert "kener_http_requests_total" in text


async def test_a_device_without_monitors_is_listed_only_for_a_token_of_all_monitors(service: Service):
    report = {"device": "door", "samples": [BEAT | {"tag": "nowhere", "seq": 1}]}
    await service.post("/api/status/batch", report)
    _, listed = await service.ask("GET", "/api/devices")
    assert [(device["device"], device["tags"]) for device in listed] == [("door", [])]
    limited = await service.mint(tags=("earth",))
    assert await service.ask("GET", "/api/devices", limited) == (200, [])


# The key


def auth_of(folder: Path, text: str = "") -> AuthConfig:
    path = folder / "config.toml"
    path.write_text(text)
    return load(path, {}).auth


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(tmp_path: Path):
    auth = auth_of(tmp_path)
    secret = signing_secret(auth)
    assert len(secret) >= 32
    assert auth.secret_key_file.read_bytes().strip() == secret
    assert stat.S_IMODE(auth.secret_key_file.stat().st_mode) == 0o600
    assert signing_secret(auth) == secret, "and the next start finds it"
    assert list(auth.secret_key_file.parent.iterdir()) == [auth.secret_key_file]


def test_no_two_servers_make_the_same_key(tmp_path: Path):
    folders = (tmp_path / "one", tmp_path / "two")
    for folder in folders:
        folder.mkdir()
    first, second = (signing_secret(auth_of(folder)) for folder in folders)
    assert first != second


@pytest.mark.parametrize(
    ("content", "mode", "fault"),
    [
        (None, 0o600, "the key cannot be read"),
        (b"", 0o600, "the key is shorter than 32 bytes"),
        (b"k" * 31 + b"\n", 0o600, "the key is shorter than 32 bytes"),
        (b"k" * 32, 0o604, "the key is readable by everyone"),
        (b"k" * 32, 0o666, "the key is readable by everyone"),
        (b"change-me-change-me-change-me-change-me", 0o600, "placeholder"),
        (b"REPLACE_ME_WITH_SOMETHING_LONG_ENOUGH_1", 0o600, "placeholder"),
    ],
)
def test_a_key_file_that_protects_nothing_is_refused(
    tmp_path: Path, content: bytes | None, mode: int, fault: str
):
    path = tmp_path / "my.key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(SigningKeyError) as refused:
        signing_secret(auth_of(tmp_path, '[auth]\nsecret_key_file = "my.key"'))
    assert fault in str(refused.value)
    assert str(path) in str(refused.value)
    assert content is None or not content.strip() or content.decode().strip() not in str(refused.value)
    assert path.exists() == (content is not None), "a named file is never made"


PEM_OF_NOTHING = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"


@pytest.mark.parametrize("content", [None, b"", b"no PEM", PEM_OF_NOTHING])
def test_a_public_key_that_is_none_is_refused(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "public.pem").write_bytes(content)
    text = f'[auth]\nsecret_key = "{SECRET}"\nalgorithm = "RS256"\npublic_key_file = "public.pem"'
    with pytest.raises(SigningKeyError, match=r"public\.pem"):
        signing_keys(auth_of(tmp_path, text))


def test_a_public_key_of_another_kind_than_the_algorithm_is_refused(tmp_path: Path):
    (tmp_path / "public.pem").write_bytes(pem(ED25519))
    text = f'[auth]\nsecret_key = "{SECRET}"\nalgorithm = "RS256"\npublic_key_file = "public.pem"'
    with pytest.raises(SigningKeyError, match=r"public\.pem"):
        signing_keys(auth_of(tmp_path, text))
