"""Responses to an upload: what they mean for its samples."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import StreamReader

from kener_async.agent.spool import SpooledSample


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server gave a verdict on every sample.

    `rejected` are those that it will never store, `refused` those that it may store later, with errors. A
    verdict that is not known counts as refused.
    """

    rejected: Sequence[tuple[SpooledSample, str]]
    refused: Sequence[tuple[SpooledSample, str]]


@dataclass(frozen=True, slots=True)
class BatchTooLarge:
    """The batch is too large; a smaller one may be accepted."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing was stored; retry after `retry_after` seconds or later.

    `is_permanent`: retries fail until the configuration, the token or the server is changed.
    """

    reason: str
    retry_after: float = 0.0
    is_permanent: bool = False


Reply = Delivered | BatchTooLarge | Failed

NOT_JSON = (ValueError, RecursionError)  # the second where it is nested too deeply
TEMPORARY = {408, 425, 429}  # the statuses below 500 after which a retry may succeed
STORED = {"accepted", "duplicate", "superseded"}
LONGEST_RETRY_AFTER = 3600.0  # seconds of a Retry-After that are respected


def reply(status: int, headers: Mapping[str, str], body: bytes, samples: Sequence[SpooledSample]) -> Reply:
    """Classify a response to an upload of these samples."""
    if status == 200:
        return _verdicts(body, samples)
    if status == 413 and len(samples) > 1:
        return BatchTooLarge()
    is_temporary = status in TEMPORARY or status >= 500
    return Failed(_reason(status, headers, body), _retry_after(headers), is_permanent=not is_temporary)


def _verdicts(body: bytes, samples: Sequence[SpooledSample]) -> Reply:
    """The verdicts; captive portals answer 200, too, so anything but a verdict for each sample has failed."""
    not_ours = Failed("answered 200, but not with verdicts: is this a captive portal?")
    try:
        results = json.loads(body)["results"]
        verdicts = [(str(result["verdict"]), str(result.get("error", ""))) for result in results]
    except (*NOT_JSON, KeyError, TypeError, AttributeError):
        return not_ours
    if len(verdicts) != len(samples):
        return not_ours
    rejected, refused = [], []
    for sample, (verdict, error) in zip(samples, verdicts, strict=True):
        if verdict == "rejected":
            rejected.append((sample, error))
        elif verdict not in STORED:
            refused.append((sample, error or f"the verdict is {verdict[:40]}"))
    return Delivered(rejected, refused)


def _reason(status: int, headers: Mapping[str, str], body: bytes) -> str:
    if 300 <= status < 400:
        return f"answered {status}: moved to {headers.get('Location', 'another address')}"
    try:
        return f"answered {status}: {json.loads(body)['error']}"
    except (*NOT_JSON, KeyError, TypeError):
        return f"answered {status}"


def _retry_after(headers: Mapping[str, str]) -> float:
    """Retry-After in seconds. Its other form, a date, is ignored, because this clock may be wrong."""
    seconds = headers.get("Retry-After", "").strip()
    return min(float(seconds), LONGEST_RETRY_AFTER) if seconds.isascii() and seconds.isdigit() else 0.0


async def read_up_to(content: StreamReader, most: int) -> bytes:
    """Read a body, or about its first `most` bytes."""
    body = b""
    while len(body) < most and (piece := await content.readany()):
        body += piece
    return body
