"""Request bodies: JSON read strictly, whatever the Content-Type says (shells on devices send a wrong one)."""

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
SLOW_LINE = 12  # times as long as a plain body may take in all


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
    with _reading(f"the body did not arrive within {seconds:g} seconds"):
        if request.content.is_eof():
            raw = request.content.read_nowait()
            if len(raw) > request.client_max_size:
                raise TooLarge("the body is too large")
            return raw
        async with asyncio.timeout(seconds):
            return await request.read()


@contextmanager
def _reading(too_slow: str) -> Iterator[None]:
    """What can happen while a body comes in, in our words."""
    try:
        yield
    except TimeoutError:
        raise TooSlow(too_slow) from None
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge("the body is too large") from None
    except (web.RequestPayloadError, ConnectionResetError):
        raise Invalid("the body is cut short or malformed") from None


async def read_packed(request: web.Request, limit: int, seconds: float) -> tuple[bytes, str]:
    """The body as it was sent, of at most `limit` bytes, and its Content-Encoding: identity or gzip.

    Something of it must arrive within every `seconds`, and all of it within twelve times that: a batch may
    come over a slow line.
    """
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise Unsupported("Content-Encoding: must be gzip or identity")
    if (request.content_length or 0) > limit:
        raise TooLarge("the body is too large")
    with _reading("the body did not arrive in time"):
        return await _arrived(request, limit, seconds), encoding


async def _arrived(request: web.Request, limit: int, seconds: float) -> bytes:
    now, raw = asyncio.get_running_loop().time, bytearray()
    last = now() + SLOW_LINE * seconds
    async with asyncio.timeout(seconds) as patience:
        while part := await request.content.readany():
            raw += part
            if len(raw) > limit:
                raise TooLarge("the body is too large")
            patience.reschedule(min(now() + seconds, last))
    return bytes(raw)


def unpacked(raw: bytes, encoding: str, limit: int) -> bytes:
    """What was packed, of at most `limit` bytes; raises Invalid and TooLarge."""
    if encoding == "identity":
        return raw
    parts, length = [], 0
    try:
        while raw:  # a gzip file may have several members
            unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            parts.append(unpacker.decompress(raw, limit - length + 1))
            length += len(parts[-1])
            if length > limit:
                raise TooLarge(f"the body is larger than {limit} bytes when it is unpacked")
            if not unpacker.eof:
                raise Invalid("the body is gzip, but cut short")
            raw = unpacker.unused_data
    except zlib.error as error:
        raise Invalid(f"the body is not gzip: {error}") from None
    return b"".join(parts)


def parse(raw: bytes) -> Any:
    """The JSON value; Invalid for anything that is not exactly one.

    Stricter than the standard library: no NaN or Infinity, no number beyond a float or 64 bits, no key twice
    in an object, no half of a surrogate pair.
    """
    try:
        text = raw.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise Invalid("the body is nested too deep") from None
    except UnicodeEncodeError:
        raise Invalid("the body holds half of a surrogate pair") from None
    except UnicodeDecodeError:
        raise Invalid("the body is not UTF-8") from None
    except ValueError as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    return value


def parse_large(raw: bytes) -> Any:
    """The same as `parse`, in a fraction of the time where a large body is plain and sound."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return parse(raw)
    return value if raw.count(b'":') == _members(value) and not _LOOSE_COLON.search(raw) else parse(raw)


def _members(value: Any) -> int:
    """How many members an object, and those in its lists, have; each key stands before one colon in the text.

    Where there are more colons a key stands twice, or a text holds one, or something is nested deeper.
    """
    if not isinstance(value, dict):
        return -1
    lists = (each for each in value.values() if isinstance(each, list))
    return len(value) + sum(len(item) for items in lists for item in items if isinstance(item, dict))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _bounded(text: str) -> int:
    # Longer texts are refused before int(), which takes quadratic time.
    if len(text) > 20 or not -INT64 <= (number := int(text)) < INT64:
        raise ValueError("a number is too large")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


_LOOSE_COLON = re.compile(rb'"\s+:')
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_bounded, parse_constant=_no_constant
)
