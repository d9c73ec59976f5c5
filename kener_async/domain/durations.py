"""Durations as other services' senders write them, and as a latency of ours."""

import math
import re

from kener_async.domain.errors import Invalid

LONGEST_PING = 100_000_000_000  # milliseconds
NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # the micro sign
    "μs": 1_000,  # the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}

_GO_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_LEADING_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?Infinity)")


def latency(milliseconds: float, unit: str) -> float:
    """In a monitor's own unit, s or ms; never below 0."""
    known = max(milliseconds, 0.0)
    return known if unit == "ms" else known / 1000


def go_milliseconds(text: str) -> float:
    """A duration as Go writes it, such as "1h2m" or "1.5s"; raises Invalid in Go's words."""
    size = text[1:] if text[:1] in ("-", "+") else text
    if size == "0":
        return 0.0
    if not size or len(text) > 100:
        raise Invalid(f"time: invalid duration {_quoted(text[:100])}")
    total, position = 0, 0
    while position < len(size):
        nanoseconds, position = _go_part(text, size, position)
        total += nanoseconds
    if total >= 2**63:
        raise Invalid(f"time: invalid duration {_quoted(text)}")
    return (-total if text.startswith("-") else total) / 1_000_000


def _go_part(text: str, size: str, position: int) -> tuple[int, int]:
    """The nanoseconds of the part that begins at the position, and where it ends."""
    part = _GO_PART.match(size, position)
    whole, fraction, unit = part.groups("") if part else ("", "", "")
    if part is None or not (whole or fraction):
        raise Invalid(f"time: invalid duration {_quoted(text)}")
    if not unit:
        raise Invalid(f"time: missing unit in duration {_quoted(text)}")
    if unit not in NANOSECONDS:
        raise Invalid(f"time: unknown unit {_quoted(unit)} in duration {_quoted(text)}")
    scale = NANOSECONDS[unit]
    below = int(fraction or 0) * scale // 10 ** len(fraction)
    return int(whole or 0) * scale + below, part.end()


def _quoted(text: str) -> str:
    plain = (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in text.encode("utf-8", "replace"))
    return '"' + "".join(f"\\{one}" if one in '"\\' else one for one in plain) + '"'


def pushed_milliseconds(text: str) -> float:
    """The number a text begins with, as JavaScript reads it, and 0 where there is none; raises Invalid."""
    found = _LEADING_NUMBER.match(text)
    number = float(found[1]) if found else 0.0
    if not 0 <= number <= LONGEST_PING or not math.isfinite(number):
        raise Invalid(f"Invalid ping value. Must be between 0 and {LONGEST_PING} ms.")
    return number
