"""The samples of a database file, read without the package: what the recount and the soaks compare with.

Samples lie in three tables (schema.sql). Of a minute `late_samples` is asked first; then `samples`, if it is
not before `hot_from`, else `sealed`. The packed days of that are read here as kener_async/store/packing.py
documents them; files of schema 7 and before have `samples` alone.
"""

import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

STATUSES = ("UP", "DEGRADED", "DOWN")
SOURCES = ("push", "check")
MINUTES = 1440

Stored = tuple[int, int, int | float]  # status, source and latency, as numbers


class StoredSample(NamedTuple):
    """A sample by the tag of its monitor; `latency` in seconds."""

    tag: str
    minute: int
    status: str
    latency: float
    source: str


def samples_in(database: Path) -> list[StoredSample]:
    """All samples of a file, by tag and minute; a server may be running on it."""
    uri = f"{database.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
        connection.execute("BEGIN")
        return samples_of(connection)


def samples_of(connection: sqlite3.Connection) -> list[StoredSample]:
    """The same over a connection; rows of monitors that do not exist are left out."""
    tags = dict(connection.execute("SELECT id, tag FROM monitors"))
    return sorted(
        StoredSample(
            tags[monitor],
            minute,
            STATUSES[status],
            latency / 1_000_000 if isinstance(latency, int) else latency,
            SOURCES[source],
        )
        for (monitor, minute), (status, source, latency) in _rows(connection).items()
        if monitor in tags
    )


def _rows(connection: sqlite3.Connection) -> dict[tuple[int, int], Stored]:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    if "sealed" not in tables:
        return _plain_rows(connection, "samples", 0)
    begin = connection.execute("SELECT hot_from FROM service").fetchone()
    hot_from = 0 if begin is None else begin[0]
    found: dict[tuple[int, int], Stored] = {}
    for monitor, day, packed in connection.execute("SELECT monitor_id, day, packed FROM sealed"):
        if day < hot_from:
            found |= {(monitor, day + 60 * place): sample for place, sample in _unpacked(packed)}
    return found | _plain_rows(connection, "samples", hot_from) | _plain_rows(connection, "late_samples", 0)


def _plain_rows(connection: sqlite3.Connection, table: str, begin: int) -> dict[tuple[int, int], Stored]:
    rows = connection.execute(
        f"SELECT monitor_id, minute, status, source, latency FROM {table} WHERE minute >= ?", (begin,)
    )
    return {(monitor, minute): (status, source, latency) for monitor, minute, status, source, latency in rows}


def _unpacked(packed: bytes) -> Iterator[tuple[int, Stored]]:
    """The minutes of a packed day and what they hold."""
    body, (checksum,) = packed[:-4], struct.unpack("<I", packed[-4:])
    assert zlib.crc32(body) == checksum
    version, count = struct.unpack("<BH", body[:3])
    assert version == 1
    rest = body[3:]

    def part() -> bytes:
        nonlocal rest
        is_deflated, length = struct.unpack("<BH", rest[:3])
        found, rest = rest[3 : 3 + length], rest[3 + length :]
        return zlib.decompress(found, wbits=-15) if is_deflated else found

    bits = part() or b"\xff" * (MINUTES // 8)
    places = [place for place in range(MINUTES) if bits[place // 8] >> place % 8 & 1]
    marks = part()
    if len(marks) == 1:
        marks *= count
    integers: list[int] = []
    if any(mark < 8 for mark in marks):
        base, step, width = struct.unpack("<qQB", rest[:17])
        rest = rest[17:]
        planes = [part() for _ in range(width)]
        for number in range(sum(mark < 8 for mark in marks)):
            above = int.from_bytes(bytes(plane[number] for plane in planes), "little")
            integers.append(base + step * above)
    reals: list[float] = []
    if any(mark >= 8 for mark in marks):
        planes = [part() for _ in range(8)]
        for number in range(sum(mark >= 8 for mark in marks)):
            reals += struct.unpack("<d", bytes(plane[number] for plane in planes))
    assert rest == b""
    assert len(places) == len(marks) == count
    waiting_integers, waiting_reals = iter(integers), iter(reals)
    for place, mark in zip(places, marks, strict=True):
        latency = next(waiting_reals) if mark >= 8 else next(waiting_integers)
        yield place, (mark & 3, mark >> 2 & 1, latency)
