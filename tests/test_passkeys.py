"""Passkeys: where browsers offer them, and that no text instead of an answer fails."""

import json
from contextlib import suppress
from typing import Any

import pytest
from fido2.utils import websafe_encode
from hypothesis import given
from hypothesis import strategies as st

from kener_async.domain.errors import Invalid
from kener_async.domain.passkeys import RelyingParty, relying_party_of
from kener_async.domain.people import Person, Role
from kener_async.identity import passkeys
from kener_async.identity.passkeys import PasskeyRefused
from kener_async.store.passkeys import Passkey

PARTY = RelyingParty("status.example.org", "https://status.example.org")
ADA = Person(1, "ada", Role.ADMIN, 0)
KNOWN = Passkey(b"id", 1, b"data", 0, "Laptop", 0)
CHALLENGE = "c" * 43
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("public_url", "party"),
    [
        ("https://status.example.org", PARTY),
        ("https://Status.Example.org:443", PARTY),
        ("https://status.example.org:8443", RelyingParty(PARTY.id, f"{PARTY.origin}:8443")),
        ("http://localhost:3000", RelyingParty("localhost", "http://localhost:3000")),
        ("http://status.localhost", RelyingParty("status.localhost", "http://status.localhost")),
        ("https://bücher.example", RelyingParty("xn--bcher-kva.example", "https://xn--bcher-kva.example")),
    ],
    ids=str,
)
def test_the_relying_party_is_the_host_of_the_public_address(public_url: str, party: RelyingParty):
    assert relying_party_of(public_url) == party


@pytest.mark.parametrize(
    "public_url",
    ["", "http://status.example.org", "http://127.0.0.1:3000", "https://192.0.2.7", "https://[2001:db8::7]"],
)
def test_at_some_addresses_browsers_offer_none(public_url: str):
    with pytest.raises(Invalid, match="public_url"):
        relying_party_of(public_url)


def test_the_questions_are_json_that_wants_a_verified_person_and_a_discoverable_key():
    creation = json.loads(json.dumps(passkeys.creation_options(PARTY, "Site", ADA, [KNOWN], CHALLENGE)))
    selection = creation["publicKey"]["authenticatorSelection"]
    assert selection["userVerification"] == selection["residentKey"] == "required"
    assert creation["publicKey"]["excludeCredentials"] == [{"type": "public-key", "id": "aWQ"}]
    assert "ada" not in creation["publicKey"]["user"]["id"]
    alone = json.loads(json.dumps(passkeys.assertion_options(PARTY, None, CHALLENGE)))["publicKey"]
    assert "allowCredentials" not in alone
    assert (alone["rpId"], alone["userVerification"], alone["challenge"]) == (PARTY.id, "required", CHALLENGE)


@given(st.text(max_size=200) | JSON.map(json.dumps) | st.just("[" * 10_000))
def test_any_text_instead_of_an_answer_is_refused(text: str):
    _refused(text)


@given(
    st.dictionaries(
        st.sampled_from(
            ["clientDataJSON", "authenticatorData", "attestationObject", "signature", "userHandle"]
        ),
        st.text("ABCDwxyz019_-", max_size=60) | JSON,
    ),
    st.binary(max_size=120),
)
def test_any_bytes_instead_of_what_an_authenticator_says_are_refused(response: dict[str, Any], raw: bytes):
    client_data = websafe_encode(
        json.dumps({"type": "webauthn.get", "challenge": CHALLENGE, "origin": PARTY.origin}).encode()
    )
    filled = {
        "clientDataJSON": client_data,
        "attestationObject": websafe_encode(raw),
        **response,
    }
    _refused(json.dumps({"id": "aWQ", "rawId": "aWQ", "type": "public-key", "response": filled}))


def _refused(answer: str) -> None:
    with pytest.raises(PasskeyRefused):
        passkeys.asserted(PARTY, answer, KNOWN)
    with pytest.raises(PasskeyRefused):
        passkeys.created(PARTY, answer, 1, "Laptop", 0)
    for read in (passkeys.challenge_of, passkeys.passkey_id_of):
        with suppress(PasskeyRefused):
            read(answer)
