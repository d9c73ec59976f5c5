"""Second steps: time-based codes (RFC 6238) with their QR image, and recovery codes.

The libraries are imported at their first use: a service that nobody signs in to does without them.
"""

import secrets
from base64 import b32encode
from hashlib import sha256
from hmac import compare_digest
from io import BytesIO
from unicodedata import normalize

KEY_BYTES = 20  # as RFC 4226 recommends for SHA-1
STEP_SECONDS = 30
DRIFT_STEPS = 1  # either way, for clocks that are not exact and for slow fingers
DIGITS = 6
RECOVERY_CODES = 10
RECOVERY_LENGTH = 16  # characters of the alphabet below: 80 bits
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # without i, l, o and u, which are taken for others
_MISREAD = str.maketrans({"i": "1", "l": "1", "o": "0"})


def new_key() -> bytes:
    """A new secret of codes."""
    return secrets.token_bytes(KEY_BYTES)


def key_text(key: bytes) -> str:
    """The secret as it is typed into an authenticator: base32 in groups of four."""
    text = _base32(key)
    return " ".join(text[place : place + 4] for place in range(0, len(text), 4))


def step_of(key: bytes, code: str, now: int) -> int | None:
    """The step of time of which this is the code, of those that are good now; None: it is wrong.

    Which steps were used before the store knows: each is good once.
    """
    import pyotp

    digits = normalize("NFKC", code).replace(" ", "")
    if len(digits) != DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    totp, current = pyotp.TOTP(_base32(key), interval=STEP_SECONDS), now // STEP_SECONDS
    found = None
    for step in range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1):
        if step >= 0 and compare_digest(totp.generate_otp(step), digits):
            found = step
    return found


def address(key: bytes, name: str, issuer: str) -> str:
    """The otpauth: address that authenticators read from the QR image."""
    import pyotp

    return pyotp.TOTP(_base32(key), interval=STEP_SECONDS).provisioning_uri(name=name, issuer_name=issuer)


def qr_image(text: str) -> str:
    """A QR image as an SVG element: black on white also on dark pages, without styles."""
    import segno

    image = BytesIO()
    segno.make_qr(text, error="m").save(
        image, kind="svg", xmldecl=False, svgns=False, omitsize=True, dark="#000", light="#fff", border=4
    )
    return image.getvalue().decode()


def new_recovery_codes() -> list[str]:
    """New recovery codes as they are shown, in groups of four characters."""
    return [_recovery_code() for _ in range(RECOVERY_CODES)]


def recovery_digest(person: int, code: str) -> bytes | None:
    """The digest of a person's recovery code, however it is typed; None: it cannot be one."""
    text = normalize("NFKC", code).lower().replace("-", "").replace(" ", "").translate(_MISREAD)
    if len(text) != RECOVERY_LENGTH or not set(text) <= set(ALPHABET):
        return None
    return sha256(f"{person}:{text}".encode()).digest()


def _recovery_code() -> str:
    text = "".join(secrets.choice(ALPHABET) for _ in range(RECOVERY_LENGTH))
    return "-".join(text[place : place + 4] for place in range(0, RECOVERY_LENGTH, 4))


def _base32(key: bytes) -> str:
    return b32encode(key).decode().rstrip("=")
