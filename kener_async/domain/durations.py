"""Durations as text, ours and those of other services' senders; latencies in a monitor's unit."""

import math
import re
from functools import lru_cache

from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.domain.errors import Invalid
from kener_async.domain.samples import MAX_LATENCY

UNITS = {"y": 365 * DAY, "w": 7 * DAY, "d": DAY, "h": HOUR, "m": MINUTE, "s": 1}  # seconds, the largest first
LONGEST = 36_500 * DAY  # a century: the longest that a setting or an option may be
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

_DURATION = re.compile("(?=.)" + "".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in UNITS))
_GO_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_LEADING_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?Infinity)")


@lru_cache(256)  # thousands of monitors say the same
def parse_duration(text: str) -> int | None:
    """The seconds of a text such as "90s", "1h30m" or "2d", with units from y to s; None for other text."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    return sum(int(count) * unit for count, unit in zip(match.groups("0"), UNITS.values(), strict=True))


def split_duration(seconds: int, units: str = "dhms") -> list[tuple[int, str]]:
    """A duration in its units to the minute, below an hour to the second: 90061 is 1 d, 1 h, 1 m.

    `units` are those that may be used, the largest first. Parts that are 0 are left out, except a single one.
    """
    rest, parts = max(seconds, 0), []
    for unit in units:
        count, rest = divmod(rest, UNITS[unit])
        if count and not (unit == "s" and seconds >= HOUR):
            parts.append((count, unit))
    return parts or [(0, units[-1])]


def format_duration(seconds: int) -> str:
    """For terminals, such as "3d 4h 12m" or "5m 30s"; below 0 it is "0s"."""
    return " ".join(f"{count}{unit}" for count, unit in split_duration(seconds))


def format_window(seconds: int) -> str:
    """Minutes in the largest unit that leaves no rest: 90d, 24h, 15m. A single day is 24h."""
    units = "dhm" if seconds > DAY else "hm"
    unit = next((unit for unit in units if seconds % UNITS[unit] == 0), "m")
    return f"{seconds // UNITS[unit]}{unit}"


def latency(milliseconds: float, unit: str) -> float:
    """In a monitor's own unit, s or ms; from 0 to MAX_LATENCY."""
    known = min(max(milliseconds, 0.0), MAX_LATENCY)
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
