"""Tokens that prove a form was made for a session, and one-time keys of forms."""

import binascii
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hmac import compare_digest, digest

_SALT = 16
_TOKEN_LENGTH = 64  # characters of 16 + 32 bytes in base64url


def token(form_key: bytes) -> str:
    """A token for the forms of a session; each is different, so that compression leaks nothing of it."""
    salt = secrets.token_bytes(_SALT)
    return urlsafe_b64encode(salt + digest(form_key, salt, "sha256")).decode()


def check(form_key: bytes, given: str) -> bool:
    """Whether a token was made with the key of this session."""
    if len(given) != _TOKEN_LENGTH:
        return False
    try:
        decoded = urlsafe_b64decode(given.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        return False
    salt, proof = decoded[:_SALT], decoded[_SALT:]
    return compare_digest(proof, digest(form_key, salt, "sha256"))


def one_time_key() -> str:
    """A new one-time key for a form: a second submission with it acts no second time."""
    return secrets.token_urlsafe(16)
