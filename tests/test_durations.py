"""Durations as text, parsed and written."""

import pytest

from kener_async.domain.calendar import DAY, HOUR
from kener_async.domain.durations import format_duration, format_window, parse_duration, split_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 2 * DAY),
        ("1w", 7 * DAY),
        ("1y", 365 * DAY),
        ("1y1w1d1h1m1s", 373 * DAY + 3661),
    ],
)
def test_a_duration_is_counts_with_units_the_largest_first(text: str, seconds: int):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "60", "s", "30m1h", "1h 30m", "-1h", "1.5h", "1H", "1m1m", "²s", "1234567890s", "1s\n"]
)
def test_other_text_is_no_duration(text: str):
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m 1s"),
        (3 * HOUR + 5, "3h"),
        (DAY + 30 * 60, "1d 30m"),
        (90061, "1d 1h 1m"),
        (90 * DAY + HOUR + 59, "90d 1h"),
        (-5, "0s"),
    ],
)
def test_a_duration_is_written_to_the_minute_and_below_an_hour_to_the_second(seconds: int, text: str):
    assert format_duration(seconds) == text


def test_units_that_are_not_wanted_are_left_out():
    assert split_duration(DAY + 3661, "hm") == [(25, "h"), (1, "m")]
    assert split_duration(59, "dhm") == [(0, "m")]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (90 * DAY, "90d"),
        (2 * DAY, "2d"),
        (DAY, "24h"),
        (36 * HOUR, "36h"),
        (HOUR, "1h"),
        (5400, "90m"),
        (900, "15m"),
        (119, "1m"),
    ],
)
def test_a_window_is_written_in_its_largest_unit_without_rest(seconds: int, text: str):
    assert format_window(seconds) == text
