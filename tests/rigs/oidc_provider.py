"""An OpenID Connect provider that tests make lie: each answer can be replaced."""

import json
import secrets
from base64 import b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CLIENT, SECRET = "status", "a secret: of + the client"
Claims = dict[str, Any]

# Made once, as they take a while.
RSA_KEYS = {name: rsa.generate_private_key(65537, 2048) for name in ("first", "second")}
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def jwk_of(key: Any, key_id: str, **more: Any) -> dict[str, Any]:
    """The public key as a provider publishes it."""
    algorithm: Any = jwt.get_algorithm_by_name("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": key_id, "use": "sig", **more}


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def signed(claims: Claims, key: str = "first", algorithm: str = "RS256", **header: Any) -> str:
    """A token as an honest provider signs it."""
    return jwt.encode(claims, RSA_KEYS[key], algorithm, {"kid": key, **header})


@dataclass
class Grant:
    """A code that was given: what it was asked with, and what it stands for."""

    query: Mapping[str, str]
    claims: Claims


@dataclass
class LyingProvider:
    """`clock` is that of its tokens. `sign` makes the ID token of claims; the rest are its answers."""

    clock: Callable[[], int]
    issuer: str = ""
    announced: Claims = field(default_factory=dict)  # lies in the discovery document
    keys: list[dict[str, Any]] = field(default_factory=lambda: [jwk_of(RSA_KEYS["first"], "first")])
    sign: Callable[[Claims], str] = field(default=signed)
    lies: Claims = field(default_factory=dict)  # claims of tokens; None takes one away
    userinfo: Claims = field(default_factory=dict)  # lies of userinfo
    answers: dict[str, Callable[[], web.StreamResponse]] = field(default_factory=dict)  # by name of endpoint
    grants: dict[str, Grant] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    callback: Claims = field(default_factory=dict)  # lies of its page's answer; None takes one away
    details: Claims = field(default_factory=dict)

    def approve(self, address: str, **claims: Any) -> dict[str, str]:
        """Sign somebody in on its page; the query of the callback."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{self.issuer}/authorize?"), address
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(8)
        self.grants[code] = Grant(query, {"sub": "ada-1", "groups": ["ops"], **claims})
        answer = {"code": code, "state": query["state"], "iss": self.issuer, **self.callback}
        return {name: value for name, value in answer.items() if value is not None}

    # Endpoints

    async def discovery(self, request: web.Request) -> web.StreamResponse:
        return self._answer(
            "discovery",
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "id_token_signing_alg_values_supported": ["RS256"],
                "authorization_response_iss_parameter_supported": True,
                **self.announced,
            },
        )

    async def jwks(self, request: web.Request) -> web.StreamResponse:
        return self._answer("jwks", {"keys": self.keys})

    async def token(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        user, _, password = b64decode(request.headers["Authorization"].split()[1]).decode().partition(":")
        assert (unquote(user), unquote(password)) == (CLIENT, SECRET)
        grant = self.grants.pop(str(form["code"]), None)
        if grant is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        challenge = urlsafe_b64encode(sha256(str(form["code_verifier"]).encode()).digest()).rstrip(b"=")
        assert challenge.decode() == grant.query["code_challenge"]
        assert form["redirect_uri"] == grant.query["redirect_uri"]
        now = self.clock()
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": grant.query["nonce"],
            **grant.claims,
            **self.lies,
        }
        token = self.sign({name: value for name, value in claims.items() if value is not None})
        self.details = {"sub": grant.claims["sub"], **self.userinfo}
        return self._answer("token", {"access_token": "opaque", "token_type": "Bearer", "id_token": token})

    async def about(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer opaque"
        return self._answer("userinfo", self.details)

    def _answer(self, name: str, body: Claims) -> web.StreamResponse:
        self.asked.append(name)
        return self.answers[name]() if name in self.answers else web.json_response(body)


def forged(claims: Claims, header: Claims, sign: Callable[[bytes], bytes]) -> str:
    """A token that no library would make."""
    parts = [json.dumps(part).encode() for part in (header, claims)]
    head = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (head + b"." + urlsafe_b64encode(sign(head)).rstrip(b"=")).decode()


@asynccontextmanager
async def a_provider(clock: Callable[[], int]) -> AsyncIterator[LyingProvider]:
    """A provider on this machine."""
    provider = LyingProvider(clock)
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.discovery)
    app.router.add_get("/jwks", provider.jwks)
    app.router.add_post("/token", provider.token)
    app.router.add_get("/userinfo", provider.about)
    server = TestServer(app)
    await server.start_server()
    try:
        provider.issuer = str(server.make_url("")).rstrip("/")
        yield provider
    finally:
        await server.close()
