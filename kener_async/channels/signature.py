"""Signatures of webhooks: HMAC-SHA256 of the time and the body, by a secret that both sides know."""

import hmac
from hashlib import sha256

HEADER = "X-Kener-Signature"


def signature(secret: str, at: int, body: bytes) -> str:
    """The value of the header: `t=<UTC seconds>,v1=<hex of HMAC-SHA256 of "t.body">`.

    The receiver computes the same from the body as received, compares, and refuses a `t` that is old.
    """
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, sha256).hexdigest()
    return f"t={at},v1={digest}"
