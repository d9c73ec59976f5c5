"""ID tokens of OpenID Connect: which keys may verify one, and what it must say.

The rules are OpenID Connect Core 3.1.3.7 and RFC 8725: the algorithm is one that the provider announces and
that has a public key, the key is of the kind of that algorithm, and issuer, audience, times and nonce are
compared here, with the clock passed in.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

import jwt

# With public keys alone: never `none`, and never HS256 and the like, whose key the provider would share.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
LEEWAY_SECONDS = 60
LONGEST_TOKEN = 1 << 16  # characters
LONGEST_SUBJECT = 255

Jwk = Mapping[str, Any]
Claims = Mapping[str, Any]


class TokenRefused(Exception):
    """The ID token is not good; the text is for the log and holds nothing of the token but names."""


class UnknownKey(TokenRefused):
    """No key that is known here may verify the token: the provider may have a new one."""


@dataclass(frozen=True, slots=True)
class ExpectedToken:
    """What a token must be for: the issuer, this client, and the nonce of the sign-in.

    `algorithms` are those that the provider announces.
    """

    issuer: str
    client: str
    nonce: str
    algorithms: tuple[str, ...]


def allowed_algorithms(announced: Iterable[object]) -> tuple[str, ...]:
    """The algorithms that tokens may have, of those that a provider announces."""
    names = list(announced)
    return tuple(algorithm for algorithm in ALGORITHMS if algorithm in names)


def verified(token: str, keys: Sequence[Jwk], expected: ExpectedToken, now: int) -> Claims:
    """The claims of a good token; raises TokenRefused, and UnknownKey where another key may verify it."""
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise TokenRefused("the token is too long, or not ASCII")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise TokenRefused(f"the token cannot be read: {type(error).__name__}") from None
    algorithm = header.get("alg")
    if algorithm not in expected.algorithms:
        raise TokenRefused("the algorithm is not one that the provider announces, with a public key")
    candidates = [key for key in keys if _may_verify(key, algorithm, header.get("kid"))]
    if not candidates:
        raise UnknownKey("no key of the provider is for this token")
    claims = _decoded(token, candidates, algorithm)
    _check_parties(claims, expected)
    _check_times(claims, now)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not compare_digest(_bytes(nonce), _bytes(expected.nonce)):
        raise TokenRefused("nonce is not that of this sign-in")
    return claims


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _may_verify(key: Jwk, algorithm: str, key_id: object) -> bool:
    return (
        key.get("kty") == KEY_TYPES[algorithm[:2]]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (key_id is None or key.get("kid") == key_id)
    )


def _decoded(token: str, keys: Sequence[Jwk], algorithm: str) -> Claims:
    """The claims of a token that one of the keys verifies; without a `kid` there may be several."""
    reason = ""
    for key in keys:
        try:
            public = jwt.PyJWK(dict(key), algorithm)
            return _jwt.decode(token, public, algorithms=[algorithm])
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            reason = type(error).__name__
    raise TokenRefused(f"the signature or the form is not good: {reason}")


# Parties and times are compared by the functions below, by the clock of the app.
_OPTIONS: Any = {
    "enforce_minimum_key_length": True,
    "require": ["iss", "sub", "aud", "exp", "iat"],
    **{f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss")},
}
_jwt = jwt.PyJWT(_OPTIONS)


def _check_parties(claims: Claims, expected: ExpectedToken) -> None:
    if claims["iss"] != expected.issuer:
        raise TokenRefused("iss is not the issuer")
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        raise TokenRefused(f"sub is not text of 1 to {LONGEST_SUBJECT} characters")
    audience = claims["aud"]
    audiences = audience if isinstance(audience, list) else [audience]
    if expected.client not in audiences:
        raise TokenRefused("aud does not name this client")
    party = claims.get("azp", expected.client if len(audiences) == 1 else None)
    if party != expected.client:
        raise TokenRefused("azp is not this client")


def _check_times(claims: Claims, now: int) -> None:
    expires, issued, begins = (_instant(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None or expires <= now - LEEWAY_SECONDS:
        raise TokenRefused("the token has expired")
    if issued is None or issued > now + LEEWAY_SECONDS:
        raise TokenRefused("the token is from the future")
    if begins is not None and begins > now + LEEWAY_SECONDS:
        raise TokenRefused("the token is not valid yet")


def _instant(claims: Claims, name: str) -> float | None:
    """A time in UTC seconds; None if there is none."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenRefused(f"{name} is not a time")
    return value
