"""Read request bodies as strict JSON, whatever the Content-Type: shells on devices send a wrong one."""

import asyncio
import json
import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import orjson
from aiohttp import web

from kener_async.domain.errors import Invalid, TooLarge, TooSlow, Unsupported

INT64 = 2**63
MAX_TIMEOUTS = 12  # the whole of an encoded body may take so many timeouts


async def read_object(request: web.Request, seconds: float) -> dict[str, Any]:
    """The JSON object of the body, which must have arrived within `seconds`."""
    raw = await _read(request, seconds)
    value = parse(raw)
    if not isinstance(value, dict):
        raise Invalid("the body must be a JSON object")
    return value


async def _read(request: web.Request, seconds: float) -> bytes:
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unsupported("Content-Encoding: this route reads plain bodies only")
    with _errors_of_reading(f"the body did not arrive within {seconds:g} seconds"):
        if request.content.is_eof():
            raw = request.content.read_nowait()
            if len(raw) > request.client_max_size:
                raise TooLarge("the body is too large")
            return raw
        async with asyncio.timeout(seconds):
            return await request.read()


@contextmanager
def _errors_of_reading(too_slow: str) -> Iterator[None]:
    """Turn the errors of reading a body into domain errors; `too_slow` is the message of a timeout."""
    try:
        yield
    except TimeoutError:
        raise TooSlow(too_slow) from None
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge("the body is too large") from None
    except (web.RequestPayloadError, ConnectionResetError):
        raise Invalid("the body is cut short or malformed") from None


async def read_encoded(request: web.Request, limit: int, seconds: float) -> tuple[bytes, str]:
    """The body as sent, of at most `limit` bytes, and its Content-Encoding: identity or gzip.

    Each part of it must arrive within `seconds`, and all of it within twelve times that, because a batch may
    come over a slow connection.
    """
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise Unsupported("Content-Encoding: must be gzip or identity")
    if (request.content_length or 0) > limit:
        raise TooLarge("the body is too large")
    with _errors_of_reading("the body did not arrive in time"):
        return await _received(request, limit, seconds), encoding


async def _received(request: web.Request, limit: int, seconds: float) -> bytes:
    now, raw = asyncio.get_running_loop().time, bytearray()
    deadline = now() + MAX_TIMEOUTS * seconds
    async with asyncio.timeout(seconds) as timeout:
        while part := await request.content.readany():
            raw += part
            if len(raw) > limit:
                raise TooLarge("the body is too large")
            timeout.reschedule(min(now() + seconds, deadline))
    return bytes(raw)


def decompressed(raw: bytes, encoding: str, limit: int) -> bytes:
    """The decompressed body, of at most `limit` bytes; raises Invalid and TooLarge."""
    if encoding == "identity":
        return raw
    parts, length = [], 0
    try:
        while raw:  # a gzip file may have several members
            member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            parts.append(member.decompress(raw, limit - length + 1))
            length += len(parts[-1])
            if length > limit:
                raise TooLarge(f"the body is larger than {limit} bytes when it is decompressed")
            if not member.eof:
                raise Invalid("the body is gzip, but cut short")
            raw = member.unused_data
    except zlib.error as error:
        raise Invalid(f"the body is not gzip: {error}") from None
    return b"".join(parts)


def parse(raw: bytes) -> Any:
    """Parse exactly one JSON value; raises Invalid.

    Stricter than the standard library: no NaN or Infinity, no number beyond a float or 64 bits, no duplicate
    key, no lone surrogate.
    """
    try:
        text = raw.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise Invalid("the body is nested too deeply") from None
    except UnicodeEncodeError:
        raise Invalid("the body contains a lone surrogate") from None
    except UnicodeDecodeError:
        raise Invalid("the body is not UTF-8") from None
    except ValueError as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    return value


def parse_large(raw: bytes) -> Any:
    """The same as `parse`, in a fraction of the time for large bodies that are valid."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return parse(raw)
    return value if raw.count(b'":') == _members(value) and not _LOOSE_COLON.search(raw) else parse(raw)


def _members(value: Any) -> int:
    """The number of members of an object and of those in its lists; in the text a colon follows each key.

    More colons than members mean a duplicate key, a string with a colon, or deeper nesting.
    """
    if not isinstance(value, dict):
        return -1
    lists = (each for each in value.values() if isinstance(each, list))
    return len(value) + sum(len(item) for items in lists for item in items if isinstance(item, dict))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key in an object")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


def _bounded(text: str) -> int:
    # Longer texts are refused before int(), which takes quadratic time.
    if len(text) > 20 or not -INT64 <= (number := int(text)) < INT64:
        raise ValueError("number out of range")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not allowed")


_LOOSE_COLON = re.compile(rb'"\s+:')
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_bounded, parse_constant=_no_constant
)
