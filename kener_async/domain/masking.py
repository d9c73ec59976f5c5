"""Secrets in texts: masked in every form in which a program may have written them, also where one is cut."""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST_WITHIN_BASE64 = 8  # bytes; too little of a shorter one is left when other text is encoded with it
CUT = "..."  # ends a text that is shown in part
SHORTEST_ANYWHERE = (
    4  # characters; shorter ones are masked as words of their own only, or nothing could be read
)


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with *** for each of the secrets: plain, URL-encoded, escaped as in JSON or HTML, in base64.

    Also for the beginning of one, where the text was cut off with "..." (`shortened`).
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= SHORTEST_ANYWHERE:
            for form in _forms(secret):
                text = _without_beginnings(text.replace(form, MASK), form)
        elif secret and secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    return text


def shortened(text: str, most: int) -> str:
    """The text, of which what is beyond `most` characters is left out."""
    return text if len(text) <= most else f"{text[:most]}{CUT}"


def _without_beginnings(text: str, form: str) -> str:
    """The text without beginnings of a secret that stand where it was cut off."""
    parts = text.split(CUT)
    for at, part in enumerate(parts[:-1]):
        for length in range(min(len(form), len(part)), SHORTEST_ANYWHERE - 1, -1):
            if part.endswith(form[:length]):
                parts[at] = part[:-length] + MASK
                break
    return CUT.join(parts)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    encoded = secret.encode(errors="replace")
    for form in (quote(encoded, safe=""), quote(encoded), quote_plus(encoded)):
        yield form
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form)
    yield "".join(each if each.isprintable() else " " for each in secret)
    yield html.escape(secret)
    yield html.escape(secret, quote=False)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield secret.replace("/", "\\/")  # as PHP writes it in JSON
    yield b64encode(encoded).decode()
    yield b64encode(encoded).decode().rstrip("=")
    yield urlsafe_b64encode(encoded).decode().rstrip("=")
    if len(encoded) >= SHORTEST_WITHIN_BASE64:
        for before in range(3):  # bytes of other text, which move it against the groups of base64
            end = (before + len(encoded)) * 8 // 6
            yield b64encode(bytes(before) + encoded).decode()[-(-before * 8 // 6) : end]
