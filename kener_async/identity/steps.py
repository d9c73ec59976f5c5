"""Steps of a sign-in that anybody may begin: signed, so that nothing is stored before one is completed.

Steps that are begun without end fill no table and keep no other person out. A step that was completed is a
row until its end, so that it is completed once.
"""

import binascii
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest, digest
from math import ceil
from typing import Any

from kener_async.domain.errors import TooMany
from kener_async.domain.guesses import network_of
from kener_async.store import challenges
from kener_async.store.interface import Session

MOST_NETWORKS = 10_000  # remembered at once
BURST = 30  # answers of one network, which
REFILL_SECONDS = 10.0  # brings back one of
COMPLETED = "completed step"  # the kind of rows of steps that were completed
NONCE, PROOF, INSTANT = 16, 32, 8  # bytes of a token, before its JSON
LONGEST_TOKEN = 4096


class StepLimiter:
    """Limit how many answers a network may give, as each costs a signature or a question to a provider."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._full_at: dict[str, float] = {}  # when the burst of a network is complete again

    def take(self, address: str) -> None:
        """Count an answer of the network of an address; raises TooMany."""
        network, now = network_of(address), self._monotonic()
        full_at = max(self._full_at.get(network, now), now) + REFILL_SECONDS
        wait = full_at - now - BURST * REFILL_SECONDS
        if wait > 0:
            seconds = ceil(wait)
            raise TooMany(f"Too many tries: wait {seconds} s and try again.", seconds)
        if len(self._full_at) >= MOST_NETWORKS:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        self._full_at[network] = full_at


@dataclass(frozen=True, slots=True)
class SignInToken:
    """A step under way: its token as text in base64url, its JSON object, and when it ends (UTC seconds)."""

    text: str
    body: Mapping[str, Any]
    ends_at: int


class SignedSteps:
    """Sign steps and know them again, also after a restart. `secret` is the one that signs tokens."""

    def __init__(self, secret: bytes, clock: Callable[[], int]) -> None:
        self._key = digest(secret, b"steps of sign-ins", "sha256")
        self._clock = clock

    def begin(self, kind: str, body: Mapping[str, Any], seconds: int) -> str:
        """A token of a step that may be completed within some seconds; each is another one."""
        signed = (self._clock() + seconds).to_bytes(INSTANT) + json.dumps(body).encode()
        nonce = secrets.token_bytes(NONCE)
        return _text_of(nonce + self._proof(kind, nonce, signed) + signed)

    def read(self, kind: str, text: str) -> SignInToken | None:
        """The step of a token; None if it is none of this kind of ours, or has ended."""
        token = _bytes_of(text)
        nonce, proof, signed = token[:NONCE], token[NONCE : NONCE + PROOF], token[NONCE + PROOF :]
        if not compare_digest(proof, self._proof(kind, nonce, signed)):
            return None
        ends_at = int.from_bytes(signed[:INSTANT])
        if ends_at <= self._clock():
            return None
        return SignInToken(text, json.loads(signed[INSTANT:]), ends_at)

    def _proof(self, kind: str, nonce: bytes, signed: bytes) -> bytes:
        return digest(self._key, nonce + kind.encode() + b"\0" + signed, "sha256")


def is_completed(session: Session, step: SignInToken, now: int) -> bool:
    """Whether a step was completed before."""
    return challenges.find(session, COMPLETED, step.text, now) is not None


def complete(session: Session, step: SignInToken) -> bool:
    """Note that a step is completed, in the transaction that does what it was for; False: it was before."""
    return challenges.claim(session, COMPLETED, step.text, step.ends_at)


def _text_of(token: bytes) -> str:
    return urlsafe_b64encode(token).rstrip(b"=").decode()


def _bytes_of(text: str) -> bytes:
    """The bytes of a token, of which each has one text; none of what cannot be one."""
    try:
        token = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (UnicodeEncodeError, binascii.Error):
        return b""
    return token if len(text) <= LONGEST_TOKEN and _text_of(token) == text else b""
