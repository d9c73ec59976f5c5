"""The samples of a monitor in a UTC day, packed into a few bytes each and read back exactly.

A packed day is:

    version (1 byte), number of samples (2 bytes)
    presence    a bit for each minute of the day; empty if all are set
    marks       a byte for each sample: status + 4 * source, + 8 if its latency is REAL; one if all are alike
    integers    the INTEGER latencies as base (8 bytes), step (8 bytes), width (1 byte), and so many planes:
                a latency is base + step * n, and plane k has the byte k of each n; missing without any
    reals       the REAL latencies as 8 planes of their bytes; missing without any
    CRC-32 of all that (4 bytes)

Presence, marks and planes are each a byte that says whether they are deflated, their length (2 bytes), and
their bytes. All numbers are little-endian. In planes the bytes that hardly change are together, which makes
them small.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from math import gcd

from kener_async.domain.calendar import DAY, MINUTE
from kener_async.store.sample_rows import StoredLatency

VERSION = 1
MINUTES = DAY // MINUTE
ALL_MINUTES = (1 << MINUTES) - 1
LEVEL = 6

_HEAD = struct.Struct("<BH")
_PART = struct.Struct("<?H")
_INTEGERS = struct.Struct("<qQB")
_CHECKSUM = struct.Struct("<I")
_REAL = 8

Packable = tuple[int, int, int, StoredLatency]  # minute of the day (0 to 1439), status, source, latency


class DamagedDay(ValueError):
    """A packed day cannot be read."""


def pack(rows: Sequence[Packable]) -> bytes:
    """Pack the samples of a day, at least one, in order of their minutes.

    Raises ValueError for a latency that is no number, and struct.error for one of more than 64 bits.
    """
    count = len(rows)
    minutes, statuses, sources, latencies = zip(*rows, strict=True)
    integers = [latency for latency in latencies if isinstance(latency, int)]
    reals = [latency for latency in latencies if isinstance(latency, float)]
    if len(integers) + len(reals) < count:
        raise ValueError("a latency is not a number")
    is_full = count == MINUTES
    parts = [
        _HEAD.pack(VERSION, count),
        _part(b"" if is_full else mask(minutes).to_bytes(MINUTES // 8, "little")),
        _part(_marks(statuses, sources, latencies)),
    ]
    if integers:
        parts += _integer_parts(integers)
    if reals:
        data = struct.pack(f"<{len(reals)}d", *reals)
        parts += [_part(data[plane::8]) for plane in range(8)]
    packed = b"".join(parts)
    return packed + _CHECKSUM.pack(zlib.crc32(packed))


def _marks(statuses: Sequence[int], sources: Sequence[int], latencies: Sequence[StoredLatency]) -> bytes:
    marks = bytes(
        status | source << 2 | (_REAL if isinstance(latency, float) else 0)
        for status, source, latency in zip(statuses, sources, latencies, strict=True)
    )
    return marks[:1] if marks.count(marks[0]) == len(marks) else marks


def _integer_parts(integers: Sequence[int]) -> Iterator[bytes]:
    base = min(integers)
    above = [value - base for value in integers]
    step = gcd(*above) or 1
    numbers = [value // step for value in above]
    width = (max(numbers).bit_length() + 7) // 8
    yield _INTEGERS.pack(base, step, width)
    data = struct.pack(f"<{len(numbers)}Q", *numbers)
    for plane in range(width):
        yield _part(data[plane::8])


def _part(data: bytes) -> bytes:
    deflated = _deflated(data)
    if len(deflated) < len(data):
        return _PART.pack(True, len(deflated)) + deflated
    return _PART.pack(False, len(data)) + data


def _deflated(data: bytes) -> bytes:
    """The bytes deflated without the head and checksum of zlib's own format, which would be 6 bytes more."""
    deflater = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def presence(packed: bytes) -> int:
    """The minutes of the day that have a sample: bit n is set for minute n; raises DamagedDay."""
    return _Reader(packed).present


def unpack(packed: bytes, first: int = 0, last: int = MINUTES) -> list[Packable]:
    """The samples of the minutes from `first` up to before `last`, in order; raises DamagedDay."""
    return _Reader(packed).rows(first, last)


def places(present: int) -> list[int]:
    """The minutes of the day that are set in what `presence` returns, in order."""
    return [place for place, bit in enumerate(f"{present:b}"[::-1]) if bit == "1"]


def mask(minutes: Iterable[int]) -> int:
    """The bits of these minutes of the day."""
    return sum(1 << minute for minute in set(minutes))


def before(present: int, place: int) -> int | None:
    """The last minute that is set before one; None: there is none."""
    earlier = present & (1 << max(place, 0)) - 1
    return earlier.bit_length() - 1 if earlier else None


def after(present: int, place: int) -> int | None:
    """The first minute that is set after one; None: there is none."""
    later = present >> max(place + 1, 0)
    return max(place + 1, 0) + (later & -later).bit_length() - 1 if later else None


class _Reader:
    """A packed day that is read from its begin."""

    def __init__(self, packed: bytes) -> None:
        if len(packed) < _HEAD.size + _CHECKSUM.size or packed[0] != VERSION:
            raise DamagedDay("it is not a packed day of a known version")
        body = packed[: -_CHECKSUM.size]
        if _CHECKSUM.unpack_from(packed, len(body)) != (zlib.crc32(body),):
            raise DamagedDay("its checksum differs")
        self._body = body
        self._at = _HEAD.size
        _, self.count = _HEAD.unpack_from(body)
        bits = self._part(None)
        self.present = int.from_bytes(bits, "little") if bits else ALL_MINUTES
        if self.present.bit_count() != self.count or self.present > ALL_MINUTES:
            raise DamagedDay("it has another number of samples than it says")

    def rows(self, first: int, last: int) -> list[Packable]:
        minutes = range(MINUTES) if self.count == MINUTES else places(self.present)
        marks = self._part(None)
        marks = marks * self.count if len(marks) == 1 else marks
        if len(marks) != self.count:
            raise DamagedDay("it has another number of marks than of samples")
        latencies = self._latencies(marks)
        return [
            (minute, mark & 3, mark >> 2 & 1, latency)
            for minute, mark, latency in zip(minutes, marks, latencies, strict=True)
            if first <= minute < last
        ]

    def _latencies(self, marks: bytes) -> Sequence[StoredLatency]:
        real_count = sum(mark >= _REAL for mark in marks)
        integers = self._integers(self.count - real_count) if real_count < self.count else ()
        reals = self._reals(real_count) if real_count else ()
        if not integers or not reals:
            return integers or reals
        by_type = iter(integers), iter(reals)
        return [next(by_type[mark >= _REAL]) for mark in marks]

    def _integers(self, count: int) -> Sequence[int]:
        base, step, width = _INTEGERS.unpack(self._bytes(_INTEGERS.size))
        if width > 8:
            raise DamagedDay("its latencies are too wide")
        numbers = struct.unpack(f"<{count}Q", self._planes(count, width))
        return [base + step * number for number in numbers]

    def _reals(self, count: int) -> Sequence[float]:
        return struct.unpack(f"<{count}d", self._planes(count, 8))

    def _planes(self, count: int, width: int) -> bytearray:
        """The bytes of so many numbers of 8 bytes, of which the lowest `width` are stored."""
        data = bytearray(8 * count)
        for plane in range(width):
            data[plane::8] = self._part(count)
        return data

    def _part(self, length: int | None) -> bytes:
        is_deflated, size = _PART.unpack(self._bytes(_PART.size))
        data = self._bytes(size)
        if is_deflated:
            try:
                data = zlib.decompress(data, -zlib.MAX_WBITS, MINUTES)
            except zlib.error as error:
                raise DamagedDay(f"it cannot be inflated: {error}") from error
        if length is not None and len(data) != length:
            raise DamagedDay("a part of it has another length than it should")
        return data

    def _bytes(self, size: int) -> bytes:
        found = self._body[self._at : self._at + size]
        if len(found) != size:
            raise DamagedDay("it ends too early")
        self._at += size
        return found
