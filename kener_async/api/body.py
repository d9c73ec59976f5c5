"""Request bodies: JSON read strictly, whatever the Content-Type says (shells on devices send a wrong one)."""

import asyncio
import json
import math
from typing import Any, NoReturn

from aiohttp import web

from kener_async.domain.errors import Invalid, TooLarge, TooSlow, Unsupported

INT64 = 2**63


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
    try:
        if request.content.is_eof():
            raw = request.content.read_nowait()
            if len(raw) > request.client_max_size:
                raise TooLarge("the body is too large")
            return raw
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        raise TooSlow(f"the body did not arrive within {seconds:g} seconds") from None
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge("the body is too large") from None
    except (web.RequestPayloadError, ConnectionResetError):
        raise Invalid("the body is cut short or malformed") from None


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


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_bounded, parse_constant=_no_constant
)
