"""Packed days: every value is read back exactly as it was stored, and damage is noticed."""

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.store.packing import (
    MINUTES,
    DamagedDay,
    Packable,
    after,
    before,
    mask,
    pack,
    places,
    presence,
    unpack,
)
from kener_async.store.sample_rows import packed_latency

SIGNED = st.integers(-(2**63), 2**63 - 1)
LATENCIES = {
    "milliseconds": st.integers(0, 10_000).map(lambda number: number * 1000),
    "one value": st.just(123_000),
    "any integers": SIGNED,
    "reals": st.floats(allow_nan=False),
    "both types": st.one_of(SIGNED, st.floats(allow_nan=False)),
    "as sent": st.floats(0, 1e12).map(packed_latency),
}


@st.composite
def days(draw: st.DrawFn) -> list[Packable]:
    """The rows of a day: few minutes, many, or all of them."""
    kind = draw(st.sampled_from(["few", "many", "all"]))
    if kind == "few":
        minutes = sorted(draw(st.sets(st.integers(0, MINUTES - 1), min_size=1, max_size=20)))
    else:
        left_out = (
            draw(st.sets(st.integers(0, MINUTES - 1), min_size=1, max_size=9)) if kind == "many" else ()
        )
        minutes = [minute for minute in range(MINUTES) if minute not in left_out]
    values = draw(st.lists(LATENCIES[draw(st.sampled_from(list(LATENCIES)))], min_size=1, max_size=30))
    chance = random.Random(draw(st.integers(0, 2**32)))
    return [
        (minute, chance.choice((0, 0, 1, 2)), chance.choice((0, 1)), chance.choice(values))
        for minute in minutes
    ]


def alike(one: list[Packable], other: list[Packable]) -> bool:
    """Whether rows are equal in value and type, and reals to the bit."""
    return [(*row[:3], _bits(row[3])) for row in one] == [(*row[:3], _bits(row[3])) for row in other]


def _bits(latency: float) -> object:
    return ("real", struct.pack("<d", latency)) if isinstance(latency, float) else latency


@given(days())
def test_a_day_is_read_back_to_the_bit(rows: list[Packable]):
    packed = pack(rows)
    assert alike(unpack(packed), rows)
    assert places(presence(packed)) == [minute for minute, *_ in rows]


@given(days(), st.integers(0, MINUTES), st.integers(0, MINUTES))
def test_a_part_of_a_day_is_read_as_that_part(rows: list[Packable], first: int, last: int):
    assert alike(unpack(pack(rows), first, last), [row for row in rows if first <= row[0] < last])


@given(days(), st.integers(-3, MINUTES + 3))
def test_the_neighbours_of_a_minute_are_found(rows: list[Packable], minute: int):
    present = presence(pack(rows))
    minutes = [place for place, *_ in rows]
    assert before(present, minute) == max((place for place in minutes if place < minute), default=None)
    assert after(present, minute) == min((place for place in minutes if place > minute), default=None)


@given(st.sets(st.integers(0, MINUTES - 1)))
def test_minutes_and_their_bits_are_the_same(minutes: set[int]):
    assert set(places(mask(minutes))) == minutes


@given(days(), st.data())
def test_a_flipped_bit_is_always_noticed(rows: list[Packable], data: st.DataObject):
    packed = bytearray(pack(rows))
    place = data.draw(st.integers(0, 8 * len(packed) - 1))
    packed[place // 8] ^= 1 << place % 8
    for read in (unpack, presence):
        with pytest.raises(DamagedDay):
            read(bytes(packed))


@given(days(), st.data())
def test_a_day_that_was_cut_off_is_noticed(rows: list[Packable], data: st.DataObject):
    packed = pack(rows)
    with pytest.raises(DamagedDay):
        unpack(packed[: data.draw(st.integers(0, len(packed) - 1))])


@given(st.binary(max_size=200))
def test_other_bytes_are_no_packed_day(data: bytes):
    with pytest.raises(DamagedDay):
        unpack(data)


@pytest.mark.parametrize(
    ("latency", "most"),
    [
        (lambda chance: round(chance.lognormvariate(-2, 0.6), 3), 1.25),
        (lambda chance: float(round(1000 * chance.lognormvariate(-2, 0.6))), 1.25),
        (lambda chance: round(chance.lognormvariate(-2, 0.6), 6), 2.6),
        (lambda chance: chance.lognormvariate(-2, 0.6), 7.0),
        (lambda chance: 0.0, 0.05),
    ],
    ids=["milliseconds in seconds", "whole milliseconds", "microseconds", "doubles", "none"],
)
def test_a_day_of_every_minute_takes_so_many_bytes_a_sample(latency, most: float):
    chance = random.Random(1)
    rows: list[Packable] = [
        (minute, 0 if chance.random() < 0.995 else 2, 0, packed_latency(latency(chance)))
        for minute in range(MINUTES)
    ]
    assert len(pack(rows)) / MINUTES <= most


@pytest.mark.parametrize("latency", ["1", None, b"1", 2**70])
def test_what_no_column_of_latencies_holds_is_not_packed(latency: object):
    with pytest.raises((ValueError, struct.error)):
        pack([(0, 0, 0, latency), (1, 0, 0, 1)])  # type: ignore[list-item]
