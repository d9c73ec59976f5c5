"""Due times of checks: spread by the tag, without drift, and unmoved by a clock that is set."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.clock import Cron
from kener_async.domain.check_times import CronTimes, IntervalTimes, check_times, phase_of

NOON = 1_767_182_400


@pytest.mark.parametrize(
    "tags",
    [
        [f"monitor-{number}" for number in range(1000)],
        [f"{number}" for number in range(1000)],
        [f"shop.{number % 10}.host-{number // 10:04}.example.org" for number in range(1000)],
        ["x" * length for length in range(1, 1001)],
    ],
)
def test_a_thousand_monitors_of_a_minute_are_spread_over_it(tags: list[str]) -> None:
    begins = Counter(int(check_times(tag, 60, None, 0).next_after(NOON)) % 60 for tag in tags)
    assert max(begins.values()) <= 40
    assert len(begins) == 60


@given(st.text(min_size=1), st.floats(1, 10**6))
def test_a_phase_lies_in_its_interval(tag: str, every: float) -> None:
    assert 0 <= phase_of(tag, every) < every


def test_the_phase_follows_from_the_tag_alone() -> None:
    assert phase_of("earth", 60) == phase_of("earth", 60) != phase_of("mars", 60)
    assert phase_of("earth", 120) == 2 * phase_of("earth", 60)


@given(st.integers(1, 10**6), st.floats(0, 10**6), st.floats(-2e9, 2e9), st.text(min_size=1))
def test_the_first_run_is_due_within_the_interval(every: int, start: float, ahead: float, tag: str) -> None:
    due = check_times(tag, every, None, ahead).next_after(start)
    assert start < due <= start + every + 0.002


@given(st.integers(1, 10**5), st.integers(1, 10**5))
def test_due_times_do_not_drift(every: int, runs: int) -> None:
    times = IntervalTimes(every, 0.25)
    # However late a run begins, and however long it takes, the next is due an interval after it was due.
    assert times.next_after(0.25 + every * runs + every * 0.9) == pytest.approx(0.25 + every * (runs + 1))
    assert times.next_after(0.25 + every * runs) == pytest.approx(0.25 + every * (runs + 1))


def test_a_restart_moves_no_due_time() -> None:
    before = check_times("earth", 300, None, NOON - 1000.5)
    after = check_times("earth", 300, None, NOON + 90 - 7.25)  # another clock, 90 s later
    assert before.next_after(1000.5 + 400) + NOON - 1000.5 == pytest.approx(
        after.next_after(7.25 + 310) + NOON + 90 - 7.25
    )


def test_those_that_were_missed_are_left_out() -> None:
    assert IntervalTimes(60, 10).next_after(10 + 600.5) == 10 + 660
    hourly = CronTimes(Cron("0 * * * *"), NOON)
    assert hourly.next_after(5 * 3600 + 1) == 6 * 3600


@pytest.mark.parametrize("noise", [-0.0009, -1e-7, 0, 1e-7, 0.4])
def test_a_due_time_does_not_come_twice(noise: float) -> None:
    assert IntervalTimes(60, 10).next_after(70 + noise) == 130
    assert CronTimes(Cron("* * * * *"), NOON).next_after(60 + noise) == 120


@pytest.mark.parametrize(
    ("expression", "zone", "after", "due"),
    [
        ("0 8 * * 1-5", "Europe/Berlin", "2026-01-02 12:00", "2026-01-05 07:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", "2026-03-29 01:00"),  # a time that is skipped
        ("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", "2026-10-25 00:30"),  # a time that comes twice
        ("*/5 8-18 * * *", "Asia/Kathmandu", "2026-01-01 13:10", "2026-01-02 02:15"),
        ("*/5 8-18 * * *", "UTC", "2026-01-01 18:55", "2026-01-02 08:00"),
    ],
)
def test_times_of_a_cron_expression_are_those_of_its_zone(
    expression: str, zone: str, after: str, due: str
) -> None:
    def seconds(text: str) -> float:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    times = CronTimes(Cron(expression, zone), ahead=NOON)
    assert times.next_after(seconds(after) - NOON) + NOON == seconds(due)
