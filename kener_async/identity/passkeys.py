"""Passkeys (WebAuthn): what a browser is asked, and whether its answer is good.

A challenge is the token of a signed step (identity/steps.py), in base64url, which the answer of the browser
holds, and which a good answer completes once. So an answer that was seen before, or that is for no question
of ours, is refused. Checked beyond that are the origin, the relying party, that the authenticator verified
the person (a PIN, a finger, a face), the signature, and in the store the counter.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    CollectedClientData,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from kener_async.domain.passkeys import LONGEST_ANSWER, RelyingParty
from kener_async.domain.people import Person
from kener_async.store.passkeys import Passkey

T = TypeVar("T")

CHALLENGE_SECONDS = 300  # for which a challenge may be answered
TIMEOUT_MILLISECONDS = CHALLENGE_SECONDS * 1000
LONGEST_ID = 1023  # bytes, by WebAuthn
ALGORITHMS = (-7, -8, -257)  # ES256, EdDSA, RS256: one of them is in every authenticator
REQUIRED = UserVerificationRequirement.REQUIRED


class PasskeyRefused(Exception):
    """The answer of a browser is not good; the text is for the log, and people see one sentence for all."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A good answer to a sign-in: the passkey that signed it, and its counter now."""

    passkey: bytes
    counter: int


def creation_options(
    party: RelyingParty, site: str, person: Person, known: Iterable[Passkey], challenge: str
) -> dict[str, Any]:
    """The JSON object for a browser that shall make a passkey of a person, other than those known."""
    user = PublicKeyCredentialUserEntity(id=handle_of(person.id), name=person.name, display_name=person.name)
    options, _ = _server(party, site).register_begin(
        user,
        [_descriptor(passkey) for passkey in known],
        resident_key_requirement=ResidentKeyRequirement.REQUIRED,
        user_verification=REQUIRED,
        challenge=websafe_decode(challenge),
    )
    return dict(options)


def created(party: RelyingParty, answer: str, person: int, name: str, now: int) -> Passkey:
    """The passkey that a browser made, whose challenge was checked before; raises PasskeyRefused."""

    def check() -> Passkey:
        response = RegistrationResponse.from_dict(_object(answer))
        _check_frame(response.response.client_data)
        made = _server(party).register_complete(_state(response.response.client_data), response)
        credential = made.credential_data
        if credential is None or credential.public_key.ALGORITHM not in ALGORITHMS:
            raise PasskeyRefused("the algorithm of its key was not asked for")
        if not 1 <= len(credential.credential_id) <= LONGEST_ID:
            raise PasskeyRefused("the length of its id is not allowed")
        return Passkey(credential.credential_id, person, bytes(credential), made.counter, name, now)

    return _checked(check)


def assertion_options(party: RelyingParty, known: Iterable[Passkey] | None, challenge: str) -> dict[str, Any]:
    """The JSON object for a browser that shall sign with a known passkey; None: with any it has for us."""
    allowed = None if known is None else [_descriptor(passkey) for passkey in known]
    options, _ = _server(party).authenticate_begin(allowed, REQUIRED, websafe_decode(challenge))
    return dict(options)


def asserted(party: RelyingParty, answer: str, passkey: Passkey) -> Assertion:
    """The good answer of a browser for this passkey, whose challenge was checked before.

    Raises PasskeyRefused. The counter is still to be compared, in the transaction that stores it.
    """

    def check() -> Assertion:
        response = AuthenticationResponse.from_dict(_object(answer))
        client_data = response.response.client_data
        _check_frame(client_data)
        credential = AttestedCredentialData(passkey.data)
        _server(party).authenticate_complete(_state(client_data), [credential], response)
        handle = response.response.user_handle
        if handle and handle != handle_of(passkey.person):
            raise PasskeyRefused("it is for another person")
        return Assertion(passkey.id, response.response.authenticator_data.counter)

    return _checked(check)


def passkey_id_of(answer: str) -> bytes:
    """The id of the passkey that an answer names, which is not checked yet; raises PasskeyRefused."""
    return _checked(lambda: websafe_decode(_object(answer)["rawId"]))


def challenge_of(answer: str) -> str:
    """The challenge in an answer, which is not checked yet; raises PasskeyRefused."""

    def read() -> str:
        data = CollectedClientData(websafe_decode(_object(answer)["response"]["clientDataJSON"]))
        return websafe_encode(data.challenge)

    return _checked(read)


def handle_of(person: int) -> bytes:
    """The id by which authenticators know a person: nothing personal, as WebAuthn asks."""
    return b"kener" + person.to_bytes(8, "big")


def _server(party: RelyingParty, site: str = "") -> Fido2Server:
    entity = PublicKeyCredentialRpEntity(id=party.id, name=site or party.id)
    server = Fido2Server(entity, verify_origin=party.origin.__eq__)
    server.timeout = TIMEOUT_MILLISECONDS  # type: ignore[assignment]  # it is None before
    server.allowed_algorithms = [
        PublicKeyCredentialParameters(type=PublicKeyCredentialType.PUBLIC_KEY, alg=each)
        for each in ALGORITHMS
    ]
    return server


def _state(client_data: CollectedClientData) -> dict[str, Any]:
    """What the library compares the answer with: its challenge is a step that we signed."""
    return {"challenge": websafe_encode(client_data.challenge), "user_verification": REQUIRED}


def _check_frame(client_data: CollectedClientData) -> None:
    if client_data.cross_origin:
        raise PasskeyRefused("it comes from a frame of another site")


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(type=PublicKeyCredentialType.PUBLIC_KEY, id=passkey.id)


def _object(answer: str) -> Mapping[str, Any]:
    if len(answer) > LONGEST_ANSWER:
        raise PasskeyRefused("it is too long")
    value = json.loads(answer)
    if not isinstance(value, dict):
        raise PasskeyRefused("it is no object")
    return value


def _checked(check: Callable[[], T]) -> T:
    try:
        return check()
    except PasskeyRefused:
        raise
    except (
        Exception
    ) as error:  # hostile bytes go through readers of JSON, CBOR and keys, which raise anything
        raise PasskeyRefused(str(error) or type(error).__name__) from None
