"""Sign-in with an OpenID Connect provider: the code flow with PKCE, for one provider.

What a sign-in under way needs to be safe is bound to the browser that began it: a secret in a cookie that
scripts cannot read, and the `state`, a signed step (identity/steps.py). Nonce and PKCE's verifier are derived
from both, so the address of the callback does not give them away, and a callback in another browser, or a
second time, is refused.

Requests go to the provider that config.toml names and to the addresses it announces, with time-outs and
bounds of size, never along a redirect, and without https only on this machine. A provider in the public
network leads to no address inside ours.
"""

import asyncio
import json
import secrets
import socket
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from hmac import compare_digest, digest
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    encode_basic_auth,
)

from kener_async.domain.passkeys import is_loopback
from kener_async.domain.people import Role, highest_role
from kener_async.identity.id_tokens import (
    LEEWAY_SECONDS,
    Claims,
    ExpectedToken,
    Jwk,
    TokenRefused,
    UnknownKey,
    allowed_algorithms,
    verified,
)
from kener_async.probes.sockets import guarded_socket
from kener_async.probes.targets import PublicTargets, carried, is_public
from kener_async.store.identities import ExternalIdentity

STEP_SECONDS = 600  # for a sign-in at the provider
FETCH_SECONDS = 10
LARGEST_ANSWER = 1 << 18  # bytes
KEPT_SECONDS = 3600  # for which what a provider announces is kept
PAUSE_SECONDS = 60  # between two fetches of keys, and after one that failed
LONGEST_CODE = 4096
CLIENT_REFUSED = ("invalid_client", "unauthorized_client")
SECRET_LENGTH = 43  # characters of 32 bytes in base64url


class OidcRefused(Exception):
    """This sign-in is not good; the text is for the log, and says nothing that a person may use to guess."""


class ProviderUnavailable(Exception):
    """The provider cannot be asked now, or is not set up as this needs it; the text says what to look at."""


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """`[manage.oidc]`; `redirect_uri` is the address of our callback, which the provider must know."""

    issuer: str
    client: str
    secret: str = field(repr=False)
    scopes: tuple[str, ...]
    groups_claim: str
    roles: tuple[tuple[str, Role], ...]
    link_by_email: bool
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class SignInStep:
    """A sign-in under way: `browser` is the secret of the cookie, `state` the token of the step.

    `is_fresh`: the provider shall ask for the password again, or whatever it asks.
    """

    browser: str = field(repr=False)
    state: str = field(repr=False)
    is_fresh: bool = False

    @property
    def nonce(self) -> str:
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        return self._derived("verifier")

    def _derived(self, use: str) -> str:
        return _base64(digest(self.browser.encode(), f"{use} {self.state}".encode(), "sha256"))


@dataclass(frozen=True, slots=True)
class OidcSignIn:
    """Who signed in at the provider, and when they last proved it there (UTC seconds), if it says so."""

    identity: ExternalIdentity
    authenticated_at: int | None


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """What a provider announces, as far as it is used here."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    algorithms: tuple[str, ...]
    methods: tuple[str, ...]  # of client authentication
    names_itself: bool  # RFC 9207: `iss` in the answer of its page


def new_browser_secret() -> str:
    """A secret for the cookie of a browser that begins a sign-in."""
    return secrets.token_urlsafe(32)


def browser_digest(browser: str) -> str:
    """By which the step knows the browser."""
    return sha256(browser.encode("utf-8", "surrogateescape")).hexdigest()


def is_same_browser(browser: str, stored: object) -> bool:
    """Whether a cookie is that of the browser that began the sign-in."""
    return isinstance(stored, str) and compare_digest(browser_digest(browser), stored)


class OidcClient:
    """This program as a client of the configured provider. `monotonic` is in seconds."""

    def __init__(self, clock: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._clock, self._monotonic = clock, monotonic
        self.settings: OidcSettings | None = None
        self._fetcher = Fetcher()
        self._metadata: ProviderMetadata | None = None
        self._metadata_until = 0.0
        self._failed: tuple[float, str] = (0.0, "")  # until when nothing is asked, and why
        self._keys: tuple[Jwk, ...] = ()
        self._keys_at: float | None = None
        self._fetching = asyncio.Lock()
        self._method = ""  # by which the client was accepted last

    async def configure(self, settings: OidcSettings | None) -> None:
        """Put settings in force; what another provider announced is forgotten."""
        if settings == self.settings:
            return
        await self._fetcher.close()
        self.settings, self._fetcher = settings, Fetcher()
        self._metadata, self._keys, self._keys_at, self._failed = None, (), None, (0.0, "")

    async def close(self) -> None:
        """Close the connections."""
        await self._fetcher.close()

    async def address(self, step: SignInStep) -> str:
        """The address of the provider's page for a sign-in; raises ProviderUnavailable."""
        settings, metadata = self._settings(), await self._announced()
        query = {
            "response_type": "code",
            "client_id": settings.client,
            "redirect_uri": settings.redirect_uri,
            "scope": " ".join(settings.scopes),
            "state": step.state,
            "nonce": step.nonce,
            "code_challenge": _base64(sha256(step.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        if step.is_fresh:
            query |= {
                "prompt": "login",
                "max_age": str(LEEWAY_SECONDS),
            }  # some refuse 0, and all tell auth_time
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return f"{metadata.authorization_endpoint}{joint}{urlencode(query)}"

    async def sign_in(self, step: SignInStep, answer: Mapping[str, str]) -> OidcSignIn:
        """Who signed in, by the query of the callback, whose step was checked before.

        Raises OidcRefused and ProviderUnavailable.
        """
        settings, metadata = self._settings(), await self._announced()
        issuer = answer.get("iss")
        if issuer != settings.issuer and (issuer is not None or metadata.names_itself):
            raise OidcRefused("iss in the callback is not the issuer")
        if error := answer.get("error"):
            raise OidcRefused(f"the provider answered {_shown(error)}")
        code = answer.get("code", "")
        if not 0 < len(code) <= LONGEST_CODE or not (code.isascii() and code.isprintable()):
            raise OidcRefused("the callback has no code")
        granted = await self._redeem(metadata, code, step.verifier)
        token = granted.get("id_token")
        if not isinstance(token, str):
            raise OidcRefused("the provider gave no ID token")
        claims = await self._verified(token, step)
        details = await self._details(metadata, claims, granted.get("access_token"))
        return _signed_in(settings, claims, details)

    async def _redeem(self, metadata: ProviderMetadata, code: str, verifier: str) -> Mapping[str, Any]:
        """What the provider gives for a code, which it takes once."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._settings().redirect_uri,
            "code_verifier": verifier,
        }
        status, error = 0, ""
        for method in self._methods(metadata):
            headers, more = _client_authentication(self._settings(), method)
            status, answer = await self._fetcher.json(metadata.token_endpoint, headers, {**form, **more})
            if status == 200:
                self._method = method
                return answer
            error = _shown(answer.get("error"))
            # Servers that do not decode the header, or expect the other way, refuse the client, not the code.
            if error not in CLIENT_REFUSED:
                break
        if status in (400, 401, 403) and error and error not in CLIENT_REFUSED:
            raise OidcRefused(f"the provider does not take the code: {error}")
        raise ProviderUnavailable(f"the token endpoint answered {status} {error}".strip())

    def _methods(self, metadata: ProviderMetadata) -> list[str]:
        """The ways to prove that we are the client, the one that worked last first."""
        if not self._settings().secret:
            return ["none"]
        methods = [each for each in ("client_secret_basic", "client_secret_post") if each in metadata.methods]
        if not methods:
            raise ProviderUnavailable("the provider takes no client secret at its token endpoint")
        return sorted(methods, key=self._method.__ne__)

    async def _verified(self, token: str, step: SignInStep) -> Claims:
        """The claims of the ID token, with keys that are fetched again when one is unknown."""
        settings, metadata = self._settings(), await self._announced()
        expected = ExpectedToken(settings.issuer, settings.client, step.nonce, metadata.algorithms)
        now = self._clock()
        try:
            try:
                return verified(token, await self._known_keys(metadata, KEPT_SECONDS), expected, now)
            except UnknownKey:
                return verified(token, await self._known_keys(metadata, PAUSE_SECONDS), expected, now)
        except TokenRefused as error:
            raise OidcRefused(f"ID token: {error}") from None

    async def _details(self, metadata: ProviderMetadata, claims: Claims, access_token: object) -> Claims:
        """What the provider says about the person beside the token, where the token lacks something."""
        wanted = {self._settings().groups_claim, "email", "preferred_username"}
        if wanted <= claims.keys() or not metadata.userinfo_endpoint or not isinstance(access_token, str):
            return {}
        if not access_token.isascii() or not access_token.isprintable():
            raise OidcRefused("the access token is not ASCII")
        headers = {"Authorization": f"Bearer {access_token}"}
        status, answer = await self._fetcher.json(metadata.userinfo_endpoint, headers)
        if status != 200:
            raise ProviderUnavailable(f"the userinfo endpoint answered {status}")
        if answer.get("sub") != claims["sub"]:
            raise OidcRefused("userinfo is about another subject")
        return answer

    async def _announced(self) -> ProviderMetadata:
        """What the provider announces, fetched at most once an hour; raises ProviderUnavailable."""
        async with self._fetching:
            now = self._monotonic()
            if self._metadata is not None and now < self._metadata_until:
                return self._metadata
            until, reason = self._failed
            if now < until:
                raise ProviderUnavailable(reason)
            issuer = self._settings().issuer
            try:
                self._metadata = await self._discover(issuer)
            except ProviderUnavailable as error:
                self._failed = (self._monotonic() + FETCH_SECONDS, str(error))
                raise
            self._metadata_until = self._monotonic() + KEPT_SECONDS
            return self._metadata

    async def _discover(self, issuer: str) -> ProviderMetadata:
        self._fetcher.issuer = issuer
        address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        status, document = await self._fetcher.json(address)
        if status != 200:
            raise ProviderUnavailable(f"{address} answered {status}")
        if document.get("issuer") != issuer:
            raise ProviderUnavailable(
                f"{address} names another issuer, {_shown(document.get('issuer'))!r}: set it in [manage.oidc]"
            )
        metadata = _metadata_of(document)
        for endpoint in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
            self._fetcher.check(endpoint)
        return metadata

    async def _known_keys(self, metadata: ProviderMetadata, max_age: float) -> tuple[Jwk, ...]:
        """The keys of the provider, not older than `max_age` seconds."""
        async with self._fetching:
            if self._keys_at is not None and self._monotonic() < self._keys_at + max_age:
                return self._keys
            status, document = await self._fetcher.json(metadata.jwks_uri)
            keys = document.get("keys")
            if status != 200 or not isinstance(keys, list):
                raise ProviderUnavailable(f"{metadata.jwks_uri} answered {status} and no keys")
            self._keys = tuple(key for key in keys if isinstance(key, dict))
            self._keys_at = self._monotonic()
            return self._keys

    def _settings(self) -> OidcSettings:
        if self.settings is None:
            raise ProviderUnavailable("sign-in with OpenID Connect is not configured")
        return self.settings


def _client_authentication(settings: OidcSettings, method: str) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and the fields by which the client proves itself at the token endpoint."""
    match method:
        case "client_secret_basic":  # both parts are encoded as in a form first, RFC 6749, 2.3.1
            client, secret = quote(settings.client, safe=""), quote(settings.secret, safe="")
            return {"Authorization": encode_basic_auth(client, secret, "utf-8")}, {}
        case "client_secret_post":
            return {}, {"client_id": settings.client, "client_secret": settings.secret}
    return {}, {"client_id": settings.client}


def _metadata_of(document: Mapping[str, Any]) -> ProviderMetadata:
    """What is used of a discovery document; raises ProviderUnavailable where something needed is missing."""

    def endpoint(name: str, *, is_needed: bool = True) -> str:
        value = document.get(name)
        if isinstance(value, str) and value:
            return value
        if is_needed:
            raise ProviderUnavailable(f"the provider announces no {name}")
        return ""

    algorithms = allowed_algorithms(_list(document, "id_token_signing_alg_values_supported", ["RS256"]))
    if not algorithms:
        raise ProviderUnavailable("the provider announces no algorithm with a public key for ID tokens")
    return ProviderMetadata(
        authorization_endpoint=endpoint("authorization_endpoint"),
        token_endpoint=endpoint("token_endpoint"),
        jwks_uri=endpoint("jwks_uri"),
        userinfo_endpoint=endpoint("userinfo_endpoint", is_needed=False),
        algorithms=algorithms,
        methods=tuple(
            map(str, _list(document, "token_endpoint_auth_methods_supported", ["client_secret_basic"]))
        ),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _list(document: Mapping[str, Any], name: str, default: list[str]) -> list[Any]:
    value = document.get(name)
    return value if isinstance(value, list) else default


def _signed_in(settings: OidcSettings, claims: Claims, details: Claims) -> OidcSignIn:
    """The identity of verified claims, and of details where the token says nothing."""
    said = {**details, **claims}
    with_address = claims if "email" in claims else details
    is_verified = with_address.get("email_verified") is True
    identity = ExternalIdentity(
        issuer=settings.issuer,
        subject=claims["sub"],
        name=next((text for name in _NAMES if (text := _text(said.get(name)))), claims["sub"]),
        email=_text(with_address.get("email")) if is_verified else "",
        role=highest_role(_groups(said.get(settings.groups_claim)), settings.roles),
    )
    proved_at = claims.get("auth_time")
    is_time = isinstance(proved_at, int) and not isinstance(proved_at, bool)
    return OidcSignIn(identity, proved_at if is_time else None)


_NAMES = ("preferred_username", "email", "name")


def _text(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() and len(value) <= 254 else ""


def _groups(value: object) -> frozenset[str]:
    """The groups of a claim, which is a list, or one name."""
    values = value if isinstance(value, list) else [value]
    return frozenset(each for each in values if isinstance(each, str))


class Fetcher:
    """Requests to a provider: one attempt each, bounded in time and size."""

    def __init__(self) -> None:
        self.issuer = ""
        self._is_inside = False  # whether the issuer itself is at an address that is not public
        self._sessions: dict[bool, ClientSession] = {}

    async def json(
        self, address: str, headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON object of an answer; a POST if there is a form. Raises ProviderUnavailable."""
        self.check(address)
        session = self._session(is_issuer=_parts(address) == _parts(self.issuer))
        body = None if form is None else urlencode(form).encode()
        more = {} if form is None else {"Content-Type": "application/x-www-form-urlencoded"}
        where = urlsplit(address).netloc
        try:
            async with session.request(
                "GET" if form is None else "POST",
                address,
                data=body,
                headers={"Accept": "application/json", **more, **(headers or {})},
                allow_redirects=False,
                timeout=ClientTimeout(total=FETCH_SECONDS),
            ) as response:
                text = await response.content.read(LARGEST_ANSWER + 1)
                while len(text) <= LARGEST_ANSWER and (part := await response.content.read(LARGEST_ANSWER)):
                    text += part
                status = response.status
        except TimeoutError:
            raise ProviderUnavailable(f"no answer from {where} within {FETCH_SECONDS} s") from None
        except (ClientError, OSError, ValueError) as error:
            raise ProviderUnavailable(f"no connection to {where}: {_reason(error)}") from None
        if 300 <= status <= 399:
            raise ProviderUnavailable(f"{where} answered {status}, a redirect, which is not followed")
        if len(text) > LARGEST_ANSWER:
            raise ProviderUnavailable(f"the answer of {where} is larger than {LARGEST_ANSWER} bytes")
        return status, _json_object(text)

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def check(self, address: str) -> None:
        """Raise ProviderUnavailable unless it is https, or all of it is on this machine."""
        parts, issuer = _parts(address), _parts(self.issuer)
        is_https = parts is not None and parts[0] == "https"
        is_here = all(each is not None and is_loopback(each[1]) for each in (parts, issuer))
        if parts is None or not (is_https or (is_here and parts[0] == "http")):
            raise ProviderUnavailable(f"{_shown(address)} is not an https address")

    def _session(self, *, is_issuer: bool) -> ClientSession:
        """The session for the issuer's own host, or for the others that it names."""
        if is_issuer not in self._sessions:
            factory = self._socket_of_issuer if is_issuer else self._socket_of_others
            self._sessions[is_issuer] = ClientSession(
                connector=TCPConnector(socket_factory=factory, limit=8),
                headers={"User-Agent": "kener-async", "Accept-Encoding": "identity"},
                cookie_jar=DummyCookieJar(),
            )
        return self._sessions[is_issuer]

    def _socket_of_issuer(self, where: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = where
        literal = ip_address(str(address[0]).partition("%")[0])
        self._is_inside = not all(map(is_public, carried(literal)))
        return socket.socket(family, kind, protocol)

    def _socket_of_others(self, where: tuple[Any, ...]) -> socket.socket:
        if self._is_inside:
            return socket.socket(*where[:3])
        return _public_socket(where)


_public_socket = partial(guarded_socket, PublicTargets())


def _parts(address: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None if it is no address."""
    try:
        parts = urlsplit(address)
        return (parts.scheme, parts.hostname, parts.port) if parts.hostname else None
    except ValueError:
        return None


def _json_object(text: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _reason(error: Exception) -> str:
    """In words; errors of connecting hold the system's."""
    if isinstance(error, ClientConnectorError):
        return error.os_error.strerror or "refused"
    return type(error).__name__


def _shown(value: object) -> str:
    """A text of the provider, as far as it may stand in a log."""
    return "".join(each for each in str(value or "")[:100] if each.isprintable())


def _base64(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
