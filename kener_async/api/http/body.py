"""Read request bodies as strict JSON, whatever the Content-Type: shells on devices send a wrong one."""

import asyncio
import json
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import orjson
from aiohttp import web
from aiohttp.hdrs import CONTENT_ENCODING

from kener_async.api.http.json_pieces import Text
from kener_async.domain.errors import Invalid, TooLarge, TooSlow, Unavailable, Unsupported
from kener_async.keys import Running

INT64 = 2**63
NUMBERS, NESTING = (int, float), (list, dict)
BOM = b"\xef\xbb\xbf"
CUT_SHORT = "the body is cut short or malformed"
MAX_TIMEOUTS = 12  # the whole of an encoded body may take so many timeouts
MAX_MEMBERS = 10_000  # of a gzip body: a device may append one for each sample
CHUNK = 4096  # of compressed bytes; zlib copies what follows a member within it
MIN_TOTAL = 16 << 20


class BodyBudget:
    """Bound the bytes of all request bodies that are being received or wait to be parsed."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.held = 0

    @property
    def limit(self) -> int:
        """In bytes; room for two batches however large `max_batch_bytes` is."""
        return max(MIN_TOTAL, 2 * self._running.config.ingest.max_batch_bytes)

    @contextmanager
    def reservation(self) -> Iterator["Reservation"]:
        """Hold the bytes of a body, until left."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self.held -= reservation.held


class Reservation:
    """The bytes that one body holds of the budget."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self.held = 0

    def grow(self, count: int) -> None:
        """Hold more bytes; raises Unavailable when all bodies together hold too many."""
        if self._budget.held + count > self._budget.limit:
            raise Unavailable("too many large requests at once; nothing was stored")
        self._budget.held += count
        self.held += count


BODY_BUDGET = web.AppKey("body budget", BodyBudget)


def arrived_object(request: web.Request, hint: str = "") -> dict[str, Any] | None:
    """The JSON object of a body that came in with the head, as most do; None: call `read_object`."""
    content = request.content
    if not content.is_eof():
        return None
    _require_plain(request)
    try:
        raw = content.read_nowait()
    except (web.RequestPayloadError, ConnectionResetError):  # lost since the body came in
        raise Invalid(CUT_SHORT) from None
    if len(raw) > request.client_max_size:
        raise TooLarge("the body is too large")
    return _object(raw, hint)


async def read_object(request: web.Request, seconds: float, hint: str = "") -> dict[str, Any]:
    """The JSON object of the body, which must have arrived within `seconds`.

    `hint` is added to the error if the body is a list.
    """
    arrived = arrived_object(request, hint)
    if arrived is not None:
        return arrived
    _require_plain(request)
    with request.app[BODY_BUDGET].reservation() as reservation:
        with _errors_of_reading(f"the body did not arrive within {seconds:g} seconds"):
            received = await _received(request, reservation, request.client_max_size, seconds, seconds)
        return _object(received, hint)


def _require_plain(request: web.Request) -> None:
    encoding = request.headers.get(CONTENT_ENCODING)
    if encoding is not None and encoding.lower() != "identity":
        raise Unsupported("Content-Encoding: this route reads plain bodies only")


def _object(raw: Text, hint: str) -> dict[str, Any]:
    value = parse_flat(raw)
    if not isinstance(value, dict):
        raise Invalid("the body must be a JSON object" + (hint if isinstance(value, list) else ""))
    return value


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
        raise Invalid(CUT_SHORT) from None


async def read_encoded(
    request: web.Request, reservation: Reservation, limit: int, seconds: float
) -> tuple[bytearray, str]:
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
        return await _received(request, reservation, limit, seconds, MAX_TIMEOUTS * seconds), encoding


async def _received(
    request: web.Request, reservation: Reservation, limit: int, part_seconds: float, seconds: float
) -> bytearray:
    now, raw = asyncio.get_running_loop().time, bytearray()
    deadline = now() + seconds
    async with asyncio.timeout(part_seconds) as timeout:
        while part := await request.content.readany():
            if len(raw) + len(part) > limit:
                raise TooLarge("the body is too large")
            reservation.grow(len(part))
            raw += part
            del part  # its copy is enough while the next one is awaited
            timeout.reschedule(min(now() + part_seconds, deadline))
    return raw


def decompress(raw: bytearray, output: bytearray, limit: int) -> None:
    """Append the contents of gzip members, of at most `limit` bytes; raises Invalid and TooLarge."""
    members, at = 0, 0
    try:
        while at < len(raw):
            at = _decompress_member(raw, at, output, limit)
            members += 1
            if members > MAX_MEMBERS:
                raise Invalid(f"the body has more than {MAX_MEMBERS} gzip members")
    except zlib.error as error:
        raise Invalid(f"the body is not gzip: {error}") from None


def _decompress_member(raw: bytearray, at: int, output: bytearray, limit: int) -> int:
    """Append the member that begins at a position to the output; the position after it."""
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    while not member.eof:
        if at >= len(raw):
            raise Invalid("the body is gzip, but cut short")
        output += member.decompress(raw[at : at + CHUNK], limit + 1 - len(output))
        at = min(at + CHUNK, len(raw))
        if len(output) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes when it is decompressed")
    return at - len(member.unused_data)


def parse(raw: Text) -> Any:
    """Parse exactly one JSON value; raises Invalid.

    Stricter than the standard library: no NaN or Infinity, no number beyond a float or 64 bits, no duplicate
    key, no lone surrogate. A byte order mark at the start is skipped.
    """
    try:
        text = raw.removeprefix(BOM).decode("utf-8")
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


def parse_flat(raw: Text) -> Any:
    """The same as `parse`, in a fraction of the time for an object that has nothing nested in it."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return parse(raw)
    # In the text a colon follows each key. More colons than members mean a duplicate key, a string with a
    # colon, or nesting.
    if type(value) is not dict or raw.count(b":") != len(value):
        return parse(raw)
    for member in value.values():
        kind = type(member)
        if kind in NUMBERS:
            if not -INT64 < member < INT64:  # orjson takes longer integers, and makes floats of some
                return parse(raw)
        elif kind in NESTING:  # where orjson was as lenient with the numbers
            return parse(raw)
    return value


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


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_bounded, parse_constant=_no_constant
)
