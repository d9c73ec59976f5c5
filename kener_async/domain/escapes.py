"""Bytes written as text: UTF-8, in which a backslash begins a byte that cannot be written plainly."""

import re

_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([\s\S])|)")
_PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


class EscapeFault(ValueError):
    """A backslash begins no escape; the text does not show what follows it."""


def unescaped(text: str) -> bytes:
    r"""The bytes of a text with the escapes \n \r \t \0 \\ and \x00 to \xff; raises EscapeFault."""
    return _ESCAPE.sub(_byte, text.encode())


def _byte(escape: "re.Match[bytes]") -> bytes:
    if escape[1] is not None:
        return bytes.fromhex(escape[1].decode())
    if escape[2] in _PLAIN:
        return _PLAIN[escape[2]]
    raise EscapeFault(r"has a \ that begins no escape: \n \r \t \0 \x00 to \xff, and \\ for itself")
