"""Authentication: bearer tokens (JWT, RFC 8725), push keys, allowed addresses.

Every token made here is a row in the database, and the database itself is looked at for changes: a token made
by another process is accepted at once, a revoked one is rejected within `tokens.REVOKED_WITHIN` seconds.
Verified tokens are cached by digest, rejected ones never.
"""

import asyncio
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from time import monotonic
from typing import Any

import jwt
import structlog
from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION

from kener_async.api.http.forwarded import client_address, is_within
from kener_async.clock import Clock
from kener_async.domain.access import SCOPES, Grant, is_expired
from kener_async.domain.errors import Forbidden, NotFound, Unauthenticated
from kener_async.keys import Running
from kener_async.store import tokens
from kener_async.store.interface import Database, StoreError
from kener_async.store.tokens import Token

log = structlog.get_logger(__name__)

TOKEN_TYPE = "kener+jwt"  # noqa: S105 - the explicit type (RFC 8725 3.11) of tokens made here
MAX_TOKEN_LENGTH = 8192
MAX_VERIFIED = 4096
REQUIRED = ["iat", "jti", "sub"]
LEEWAY_SECONDS = 60  # by which the clock of an issuer elsewhere may differ
COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that verify tokens: `secret` for those made here, `public` for those made elsewhere.

    `algorithm` is that of the public key. Each key is used with its own algorithm only. `audience` is what
    `aud` of those made elsewhere must name; empty: they must have no `aud`.
    """

    secret: bytes
    algorithm: str
    public: Any | None = None
    audience: str = ""


def mint(secret: bytes, token: Token) -> str:
    """Sign the token of a record; it has no `exp` if the record never expires."""
    claims: dict[str, Any] = {
        "iat": token.created_at,
        "jti": token.id,
        "sub": token.name,
        "scope": " ".join(token.scopes),
    }
    if token.expires_at is not None:
        claims["exp"] = token.expires_at
    if token.tags is not None:
        claims["tags"] = list(token.tags)
    return jwt.encode(claims, secret, algorithm="HS256", headers={"typ": TOKEN_TYPE})


class Authenticator:
    """Turn the token of a request into a grant, or reject it."""

    def __init__(self, keys: Keys, database: Database, clock: Clock, running: Running) -> None:
        self._keys = keys
        self._database = database
        self._clock = clock
        self._running = running
        self._records: dict[str, Token] = {}
        self._push_keys: dict[bytes, Token] = {}
        self._version = tokens.NO_VERSION
        self._looking = asyncio.Lock()
        self._looked_at = -math.inf  # when the last look at the database began, by the monotonic clock
        self._next_look: asyncio.Task[None] | None = None  # under way, while the last one still holds
        self._verified: dict[bytes, Grant] = {}
        self._verifier = jwt.PyJWT({"enforce_minimum_key_length": True})
        self._uses: dict[str, int] = {}

    def cached_grant(self, request: web.Request) -> Grant | None:
        """The grant of a token that was verified before and is still valid, or None: then call `grant`."""
        if self._running.config.auth.allowed_ips:
            self.check_address(request)
        values = request.headers.getall(AUTHORIZATION, ())
        age = monotonic() - self._looked_at
        if len(values) != 1 or age > tokens.REVOKED_WITHIN:
            return None
        if age > tokens.REVOKED_WITHIN / 2 and self._next_look is None:
            self._look_ahead()
        grant = self._verified.get(_digest(values[0]))
        if grant is None:
            return None
        now = self._clock()
        if grant.is_expired(now):
            return None
        self._uses[grant.id] = now
        return grant

    async def grant(self, request: web.Request) -> Grant:
        """Verify the token of a request; raises Unauthenticated."""
        self.check_address(request)
        token = bearer(request)
        await self._look(monotonic() - tokens.REVOKED_WITHIN)
        grant = self._verified.get(_digest(request.headers[AUTHORIZATION]))
        if grant is None:
            grant = await self._verify(token)
        now = self._clock()
        if grant.is_expired(now):
            raise Unauthenticated("invalid token")
        if len(self._verified) >= MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]
        self._verified[_digest(request.headers[AUTHORIZATION])] = grant
        self._uses[grant.id] = now
        return grant

    def mint(self, token: Token) -> str:
        """Sign the token of a record that is or will be stored."""
        return mint(self._keys.secret, token)

    async def reload(self) -> None:
        """Load the records again, so that what was made or revoked just now holds at once."""
        await self._look(monotonic())

    async def push_key(self, request: web.Request, key: str) -> Token:
        """The record of a push key; raises NotFound if there is none, or if it has expired or was revoked."""
        self.check_address(request)
        await self._look(monotonic() - tokens.REVOKED_WITHIN)
        digest = tokens.digest_of(key)
        if digest not in self._push_keys:
            await self._look(monotonic())  # it may have been made a moment ago
        record = self._push_keys.get(digest)
        now = self._clock()
        if record is None or is_expired(record.expires_at, now):
            raise NotFound("not found")
        self._uses[record.id] = now
        return record

    def check_address(self, request: web.Request) -> None:
        """Raises Unauthenticated unless the client's address is known and in `[auth] allowed_ips`."""
        config = self._running.config
        if not config.auth.allowed_ips:
            return
        address = client_address(request, config.server.trusted_proxies)
        if address is None or not is_within(address, config.auth.allowed_ips):
            raise Unauthenticated(f"invalid ip: {address or 'unknown'}")

    def _look_ahead(self) -> None:
        """Look before the last look is too old, so that no request of a busy server waits for one.

        Those that wait go on all at once, and then in step with their clients: a GET took an eighth more CPU.
        """

        def end(_: asyncio.Task[None]) -> None:
            self._next_look = None

        self._next_look = asyncio.create_task(self._look(monotonic()))
        self._next_look.add_done_callback(end)

    async def _look(self, since: float) -> None:
        """Return when the records are those of the database at an instant not before `since`.

        One look at a time, for all requests that wait. While the database cannot be read, which also keeps
        anything from being revoked or stored, the records loaded before stay good.
        """
        async with self._looking:
            if self._looked_at >= since:
                return
            began = monotonic()
            try:
                changed = await self._database.glance(tokens.changed_since, self._version)
            except StoreError as error:
                if self._version == tokens.NO_VERSION:
                    raise
                log.debug("the tokens could not be read", error=str(error))
                changed = None
            if changed is not None:
                self._load(*changed)
            self._looked_at = began

    def _load(self, version: tokens.Version, records: dict[str, Token]) -> None:
        self._version, self._records = version, records
        self._push_keys = {
            record.digest: record
            for record in records.values()
            if record.digest is not None and record.revoked_at is None
        }
        self._verified.clear()

    async def note_uses(self) -> None:
        """The scheduled job: store when each token was last used."""
        uses, self._uses = self._uses, {}
        if uses:
            await self._database.write(tokens.save_uses, uses)

    async def _verify(self, token: str) -> Grant:
        try:
            header = jwt.get_unverified_header(token)
            own = header.get("alg") == "HS256"
            key, algorithm = (
                (self._keys.secret, "HS256") if own else (self._keys.public, self._keys.algorithm)
            )
            if key is None or (own and header.get("typ") != TOKEN_TYPE):
                raise Unauthenticated("invalid token")
            # Times are checked below, against the clock of the app.
            claims = self._verifier.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=None if own else self._keys.audience or None,
                options={"require": REQUIRED, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthenticated("invalid token") from error
        if own and isinstance(claims.get("exp"), float):  # those made here have none with a fraction
            raise Unauthenticated("invalid token")
        grant = _granted(claims, 0 if own else LEEWAY_SECONDS)
        if own and grant.id not in self._records:
            await self._look(monotonic())  # it may have been made a moment ago
        self._check_record(grant, own)
        _check_begun(claims, self._clock(), own)
        return replace(grant, sender=self._records[grant.id].sender or grant.id) if own else grant

    def _check_record(self, grant: Grant, own: bool) -> None:
        """A token made here must match its record, and none may be revoked; raises Unauthenticated."""
        record = self._records.get(grant.id)
        if record is not None and record.revoked_at is not None:
            raise Unauthenticated("invalid token")
        if own and (record is None or record.expires_at != grant.expires or record.digest is not None):
            raise Unauthenticated("invalid token")
        if not own and grant.expires is None:
            raise Unauthenticated("invalid token")


def _digest(authorization: str) -> bytes:
    return blake2b(authorization.encode("utf-8", "surrogateescape"), digest_size=32).digest()


def bearer(request: web.Request) -> str:
    """The token of the Authorization header; the scheme Bearer, in any case, may be missing."""
    values = request.headers.getall(AUTHORIZATION, ())
    if len(values) != 1:
        raise Unauthenticated("invalid token")
    scheme, _, token = values[0].strip().rpartition(" ")
    if scheme.strip().lower() not in ("bearer", "") or not _is_compact(token):
        raise Unauthenticated("invalid token")
    return token


def _is_compact(token: str) -> bool:
    """Whether the token is a JWS in the one form that RFC 7515 allows, without padding or stray bits."""
    # The lenient decoder of the library accepts several texts for one token.
    return (
        len(token) <= MAX_TOKEN_LENGTH
        and COMPACT.fullmatch(token) is not None
        and all(_is_canonical(part) for part in token.split("."))
    )


def _is_canonical(part: str) -> bool:
    length = len(part) % 4
    if length == 1:
        return False
    decoded = urlsafe_b64decode(part + "=" * (-length % 4))
    return urlsafe_b64encode(decoded).rstrip(b"=").decode() == part


def _check_begun(claims: Mapping[str, Any], now: int, own: bool) -> None:
    """Raises Unauthenticated for a token of later; of tokens made here only `nbf` counts.

    Their `iat` is this machine's own clock, which may have been set back since.
    """
    begins = [_numeric_date(claims, name) for name in (("nbf",) if own else ("nbf", "iat"))]
    leeway = 0 if own else LEEWAY_SECONDS
    if any(begin is not None and begin > now + leeway for begin in begins):
        raise Unauthenticated("invalid token")


def _numeric_date(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, 2), which may have a fraction; None: the claim is absent."""
    if name not in claims:
        return None
    value: float = claims[name]
    if type(value) not in (int, float) or not math.isfinite(value):
        raise Unauthenticated("invalid token")
    return value


def _granted(claims: Mapping[str, Any], leeway: int) -> Grant:
    """The grant of verified claims; raises Unauthenticated if a claim has the wrong type."""
    scope, tags, expires = claims.get("scope", ""), claims.get("tags"), _numeric_date(claims, "exp")
    texts: Iterable[Any] = (claims["jti"], claims["sub"], scope, *(tags if isinstance(tags, list) else ()))
    is_valid = all(isinstance(text, str) for text in texts) and (tags is None or isinstance(tags, list))
    if not is_valid:
        raise Unauthenticated("invalid token")
    return Grant(
        id=claims["jti"],
        subject=claims["sub"],
        scopes=frozenset(scope.split()) & frozenset(SCOPES),
        tags=None if tags is None else tuple(tags),
        expires=None if expires is None else math.ceil(expires) + leeway,
        sender=claims["sub"],
    )


def require_scope(grant: Grant, scope: str) -> None:
    if not grant.allows(scope):
        raise Forbidden(f"the token lacks the scope {scope}")


AUTHENTICATOR = web.AppKey("authenticator", Authenticator)
