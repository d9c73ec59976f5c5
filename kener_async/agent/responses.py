"""What a server answered, and what that means for the samples it was sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import StreamReader

from kener_async.agent.spool import Spooled


@dataclass(frozen=True, slots=True)
class Taken:
    """The server has judged every sample; those it does not want are here, with its reasons."""

    rejected: Sequence[tuple[Spooled, str]]


@dataclass(frozen=True, slots=True)
class BatchTooLarge:
    """Fewer samples at once might pass."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The server has nothing of it. It wants to be left alone for `at_least` seconds.

    `is_hopeless`: it will not be otherwise until somebody has mended something.
    """

    reason: str
    at_least: float = 0.0
    is_hopeless: bool = False


Reply = Taken | BatchTooLarge | Failed

PASSING = {408, 425, 429}  # of the statuses below 500
LONGEST_REQUEST = 3600.0  # seconds for which a server is left alone because it asked for that


def reply(status: int, headers: Mapping[str, str], body: bytes, samples: Sequence[Spooled]) -> Reply:
    if status == 200:
        return _taken(body, samples)
    if status == 413 and len(samples) > 1:
        return BatchTooLarge()
    passes = status in PASSING or status >= 500
    return Failed(_reason(status, headers, body), _pause(headers), is_hopeless=not passes)


def _taken(body: bytes, samples: Sequence[Spooled]) -> Reply:
    """A hotel's login page says 200 to everything, too."""
    stranger = Failed("answered 200, but not as a server of ours does")
    try:
        results = json.loads(body)["results"]
        verdicts = [(str(result["verdict"]), str(result.get("error", ""))) for result in results]
    except (ValueError, KeyError, TypeError, AttributeError):
        return stranger
    if len(verdicts) != len(samples):
        return stranger
    judged = zip(samples, verdicts, strict=True)
    return Taken([(sample, error) for sample, (verdict, error) in judged if verdict == "rejected"])


def _reason(status: int, headers: Mapping[str, str], body: bytes) -> str:
    if 300 <= status < 400:
        return f"answered {status}: it is at {headers.get('Location', 'another address')}"
    try:
        return f"answered {status}: {json.loads(body)['error']}"
    except (ValueError, KeyError, TypeError):
        return f"answered {status}"


def _pause(headers: Mapping[str, str]) -> float:
    """What Retry-After asks for in seconds. Its other form, a date, is of no use to a clock that is wrong."""
    asked = headers.get("Retry-After", "").strip()
    return min(float(asked), LONGEST_REQUEST) if asked.isascii() and asked.isdigit() else 0.0


async def read_up_to(content: StreamReader, most: int) -> bytes:
    """The body, or about so many bytes of it."""
    body = b""
    while len(body) < most and (piece := await content.readany()):
        body += piece
    return body
