"""ID tokens: which are good, and why each of the others is refused."""

import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.identity.id_tokens import (
    ExpectedToken,
    TokenRefused,
    UnknownKey,
    allowed_algorithms,
    verified,
)
from tests.rigs.oidc_provider import EC_KEY, RSA_KEYS, forged, jwk_of, public_pem, signed
from tests.rigs.service import NOON

EXPECTED = ExpectedToken("https://login.example.org", "status", "n-1", ("RS256", "ES256"))
KEYS = [jwk_of(RSA_KEYS["first"], "first")]
GOOD: dict[str, Any] = {
    "iss": "https://login.example.org",
    "sub": "ada-1",
    "aud": "status",
    "exp": NOON + 300,
    "iat": NOON,
    "nonce": "n-1",
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["status"]},
        {"aud": ["status", "other"], "azp": "status"},
        {"exp": NOON - 59},
        {"exp": NOON + 0.5},
        {"iat": NOON + 60},
        {"nbf": NOON + 60},
        {"sub": "s" * 255},
    ],
    ids=str,
)
def test_a_good_token_is_accepted(changes: dict[str, Any]):
    assert verified(signed(GOOD | changes), KEYS, EXPECTED, NOON)["sub"] == (GOOD | changes)["sub"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://login.example.org/"}, "iss is not the issuer"),
        ({"iss": ["https://login.example.org"]}, "form is not good|iss is not the issuer"),
        ({"aud": "other"}, "aud does not name this client"),
        ({"aud": []}, "aud does not name this client"),
        ({"aud": ["status", "other"]}, "azp is not this client"),
        ({"azp": "other"}, "azp is not this client"),
        ({"exp": NOON - 60}, "expired"),
        ({"exp": str(NOON + 300)}, "exp is not a time"),
        ({"exp": True}, "exp is not a time"),
        ({"iat": NOON + 61}, "from the future"),
        ({"nbf": NOON + 61}, "not valid yet"),
        ({"nonce": "n-2"}, "nonce"),
        ({"nonce": 1}, "nonce"),
        ({"sub": ""}, "sub is not text"),
        ({"sub": "s" * 256}, "sub is not text"),
        ({"sub": "\ud800"}, "sub is not text"),
        ({"nonce": "\ud800"}, "nonce"),
        ({"sub": 7}, "form is not good"),
        *[({name: None}, "form is not good|nonce") for name in ("iss", "sub", "aud", "exp", "iat", "nonce")],
    ],
    ids=str,
)
def test_a_claim_that_is_wrong_or_missing_is_refused(changes: dict[str, Any], reason: str):
    claims = {name: value for name, value in (GOOD | changes).items() if value is not None}
    # PyJWT itself refuses to sign some of these.
    token = forged(claims, {"alg": "RS256", "kid": "first"}, _by_rsa)
    with pytest.raises(TokenRefused, match=reason):
        verified(token, KEYS, EXPECTED, NOON)


def _by_rsa(head: bytes) -> bytes:
    return jwt.get_algorithm_by_name("RS256").sign(head, RSA_KEYS["first"])


def _by_public_key(head: bytes) -> bytes:
    return hmac.digest(public_pem(RSA_KEYS["first"]), head, "sha256")


def _by_key_as_published(head: bytes) -> bytes:
    return hmac.digest(json.dumps(KEYS[0]).encode(), head, "sha256")


@pytest.mark.parametrize(
    ("header", "sign"),
    [
        ({"alg": "none"}, lambda head: b""),
        ({"alg": "None"}, lambda head: b""),
        ({"alg": "HS256", "kid": "first"}, _by_public_key),
        ({"alg": "HS256", "kid": "first"}, _by_key_as_published),
        ({"alg": "RS256", "kid": "first"}, lambda head: b""),
        ({"alg": "RS256", "kid": "first"}, _by_public_key),
        ({"alg": "PS256", "kid": "first"}, _by_rsa),
        ({"alg": "ES256", "kid": "first"}, _by_rsa),
        ({"kid": "first"}, _by_rsa),
        ({"alg": ["RS256"], "kid": "first"}, _by_rsa),
        ({"alg": "RS256", "kid": "first", "crit": ["exp"]}, _by_rsa),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_signature_or_an_algorithm_that_is_wrong_is_refused(header: dict[str, Any], sign: Any):
    with pytest.raises(TokenRefused):
        verified(forged(GOOD, header, sign), KEYS, EXPECTED, NOON)


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ([], UnknownKey),
        ([jwk_of(RSA_KEYS["first"], "other")], UnknownKey),
        ([jwk_of(RSA_KEYS["first"], "first", use="enc")], UnknownKey),
        ([jwk_of(RSA_KEYS["first"], "first", alg="PS256")], UnknownKey),
        ([jwk_of(EC_KEY, "first")], UnknownKey),
        ([{"kty": "oct", "kid": "first", "k": "AAAA"}], UnknownKey),
        ([{"kty": "RSA", "kid": "first"}], TokenRefused),
        ([jwk_of(RSA_KEYS["second"], "first")], TokenRefused),
    ],
    ids=[
        "none",
        "another id",
        "for encryption",
        "another algorithm",
        "another kind",
        "a shared one",
        "broken",
        "of another",
    ],
)
def test_a_key_that_does_not_fit_verifies_nothing(keys: list[dict[str, Any]], error: type[Exception]):
    with pytest.raises(error):
        verified(signed(GOOD), keys, EXPECTED, NOON)


def test_without_an_id_each_key_of_the_kind_is_tried():
    token = jwt.encode(GOOD, RSA_KEYS["second"], "RS256")
    keys = [jwk_of(EC_KEY, "a"), jwk_of(RSA_KEYS["first"], "b"), jwk_of(RSA_KEYS["second"], "c")]
    assert verified(token, keys, EXPECTED, NOON)["sub"] == "ada-1"


def test_a_curve_verifies_with_its_own_algorithm():
    token = jwt.encode(GOOD, EC_KEY, "ES256", {"kid": "e"})
    assert verified(token, [jwk_of(EC_KEY, "e")], EXPECTED, NOON)["sub"] == "ada-1"


def test_algorithms_without_a_public_key_are_never_allowed():
    announced = ["none", "HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA", None, 7]
    assert allowed_algorithms(announced) == ("RS256", "ES256", "EdDSA")


@given(st.text(max_size=200) | st.binary(max_size=150).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_refused_and_never_fails(text: str):
    with pytest.raises(TokenRefused):
        verified(text, KEYS, EXPECTED, NOON)


@given(st.integers(0, 10_000), st.characters())
def test_a_token_with_one_other_character_is_refused(place: int, character: str):
    token = signed(GOOD)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    if changed.rstrip("=") != token and _bits(changed) != _bits(token):
        with pytest.raises(TokenRefused):
            verified(changed, KEYS, EXPECTED, NOON)


def _bits(token: str) -> object:
    """What a token says: the last character of a part has bits that mean nothing."""
    try:
        return jwt.api_jws.PyJWS()._load(token)[0:4]
    except Exception:
        return token
