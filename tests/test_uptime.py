"""Uptime: the figure's text form, and counts that can be added in any grouping."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kener_async.domain.uptime import NOTHING, Counts, uptime_text
from tests.rigs import recount


@pytest.mark.parametrize(
    ("good", "counted", "text"),
    [
        pytest.param(0, 0, "-", id="without a counted minute there is no figure"),
        pytest.param(0, 5, "0", id="none good is 0"),
        pytest.param(1, 1, "100", id="all good is 100"),
        pytest.param(90 * 1440, 90 * 1440, "100", id="all good over 90 days is 100"),
        pytest.param(1, 2, "50", id="a multiple of ten has no decimals"),
        pytest.param(1, 10, "10", id="ten has no decimals"),
        pytest.param(9, 10, "90", id="ninety has no decimals"),
        pytest.param(1, 4, "25.0000", id="a whole number that is no multiple of ten has four decimals"),
        pytest.param(1, 20, "5.0000", id="a single digit has four decimals"),
        pytest.param(2, 3, "66.6667", id="two thirds are rounded up"),
        pytest.param(1, 3, "33.3333", id="a third is rounded down"),
        pytest.param(3, 32, "9.3750", id="a trailing nought is written"),
        pytest.param(1, 800_000, "0.0001", id="just over half is rounded up"),
        pytest.param(3, 2_000_000, "0.0002", id="a half is rounded up"),
        pytest.param(14, 10_000_000, "0.0001", id="less than a half is rounded down"),
        pytest.param(9_999_999, 10_000_000, "99.9999", id="never 100 when a minute was not good"),
        pytest.param(1, 10_000_000, "0.0001", id="never 0 when a minute was good"),
        pytest.param(999_999, 1_000_000, "99.9999", id="the last step below 100 is exact"),
        pytest.param(1_000_001, 2_000_000, "50.0001", id="just over fifty is rounded up"),
        pytest.param(10_000_001, 20_000_000, "50.0000", id="fifty that is not exact has four decimals"),
    ],
)
def test_text_form(good: int, counted: int, text: str) -> None:
    assert uptime_text(good, counted) == text
    assert recount.uptime_text(good, counted) == text


minutes = st.integers(0, 10**8)


@given(minutes, minutes)
@example(199_999_999, 1)
@example(1, 199_999_999)
def test_text_form_equals_its_recount(good: int, bad: int) -> None:
    assert uptime_text(good, good + bad) == recount.uptime_text(good, good + bad)


@given(st.integers(0, 10_000), st.integers(1, 10_000))
def test_text_form_of_small_shares_equals_its_recount(good: int, counted: int) -> None:
    assert uptime_text(min(good, counted), counted) == recount.uptime_text(min(good, counted), counted)


def test_degraded_minutes_are_good_unless_counted_as_downtime() -> None:
    assert Counts(up=1, degraded=1, down=1).uptime == "66.6667"
    assert Counts(up=1, degraded=1, degraded_as_downtime=1, down=1).uptime == "33.3333"


def test_maintenance_is_on_neither_side() -> None:
    assert Counts(up=1, down=1, maintenance=98).uptime == "50"
    assert Counts(maintenance=98).uptime == "-"


def test_no_data_is_what_is_left_of_the_span() -> None:
    counts = Counts(up=1, degraded=2, degraded_as_downtime=1, down=3, maintenance=4)
    assert counts.no_data(0, 20 * 60) == 10


def test_average_latency_is_none_without_samples() -> None:
    assert NOTHING.latency_average is None
    assert Counts(latency_count=2, latency_sum=3.0).latency_average == 1.5


# Whole numbers, since only their sum as floats does not depend on the grouping.
latencies = st.integers(0, 10**9).map(float)
counts_of_a_span = st.builds(
    Counts,
    *[minutes] * 6,
    latencies,
    st.none() | latencies,
    st.none() | latencies,
)


@given(counts_of_a_span, counts_of_a_span, counts_of_a_span)
def test_counts_can_be_added_in_any_grouping_and_order(a: Counts, b: Counts, c: Counts) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a


@given(counts_of_a_span)
def test_nothing_added_changes_nothing(a: Counts) -> None:
    assert a + NOTHING == a == NOTHING + a


def test_a_span_without_samples_does_not_hide_the_least_latency_of_another() -> None:
    both = NOTHING + Counts(latency_count=2, latency_sum=3.0, latency_min=1.0, latency_max=2.0)
    assert (both.latency_min, both.latency_max) == (1.0, 2.0)
