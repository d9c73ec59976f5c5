"""Verdicts of checks: which minutes a run decides, for every outcome of its attempts."""

from itertools import product

import pytest

from kener_async.domain.checks import Attempt, CheckedMinute, Obstacle, is_over, verdict
from kener_async.domain.samples import Status

NOON = 1_767_182_400
UP, DEGRADED, DOWN = Status.UP, Status.DEGRADED, Status.DOWN
NOT_MEASURED = None
PACE = 70  # seconds from one attempt to the next


def an_attempt(number: int, status: Status | None, pace: float = PACE) -> Attempt:
    obstacle = Obstacle.NAMES if status is None else None
    return Attempt(NOON + 0.5 + number * pace, status, seconds=number / 10, obstacle=obstacle)


def run_of(outcomes: tuple[Status | None, ...], retries: int, pace: float = PACE) -> list[Attempt]:
    """The attempts that a run makes, if the target would answer with these outcomes one after the other."""
    attempts: list[Attempt] = []
    for number, status in enumerate(outcomes):
        if is_over(attempts, retries):
            break
        attempts.append(an_attempt(number, status, pace))
    return attempts


def expected(outcomes: tuple[Status | None, ...], retries: int) -> dict[int, Status]:
    """The statuses by the number of the attempt, read off the rules one by one."""
    if outcomes[0] is NOT_MEASURED:
        return {}  # nothing is said, and the next due time repeats it
    possible = outcomes[: retries + 1]
    if UP in possible:
        return {possible.index(UP): UP}
    return {number: status for number, status in enumerate(possible) if status is not None}


@pytest.mark.parametrize("retries", range(5))
@pytest.mark.parametrize("bad", [DOWN, DEGRADED])
def test_every_outcome_of_five_attempts(bad: Status, retries: int) -> None:
    for outcomes in product((UP, bad, NOT_MEASURED), repeat=5):
        attempts = run_of(outcomes, retries)
        assert is_over(attempts, retries) or len(attempts) == len(outcomes)
        minutes = {
            (NOON + number * PACE) // 60 * 60: (status, number / 10)
            for number, status in expected(outcomes, retries).items()
        }
        said = {minute: (status, seconds) for minute, status, seconds in verdict(attempts)}
        assert said == minutes, (outcomes, retries)


@pytest.mark.parametrize("retries", range(5))
def test_bad_attempts_keep_what_each_saw(retries: int) -> None:
    for outcomes in product((DOWN, DEGRADED), repeat=5):
        said = [checked.status for checked in verdict(run_of(outcomes, retries))]
        assert said == list(outcomes[: retries + 1])


@pytest.mark.parametrize(
    ("statuses", "status", "seconds"),
    [
        ((DOWN, DEGRADED), DOWN, 0.0),  # the worst of a minute stands
        ((DEGRADED, DOWN), DOWN, 0.1),
        ((DOWN, DOWN), DOWN, 0.1),  # of equal ones the last
        ((DEGRADED, DOWN, DOWN), DOWN, 0.2),
        ((DOWN, UP), UP, 0.1),  # a good one takes back what was not confirmed
    ],
)
def test_attempts_of_one_minute_are_one_sample(
    statuses: tuple[Status, ...], status: Status, seconds: float
) -> None:
    attempts = [an_attempt(number, one, pace=10) for number, one in enumerate(statuses)]
    assert verdict(attempts) == (CheckedMinute(NOON, status, seconds),)


def test_no_attempt_decides_nothing() -> None:
    assert verdict([]) == ()
    assert not is_over([], 0)


def test_an_attempt_speaks_of_the_minute_in_which_it_began() -> None:
    at = NOON + 59.999
    assert verdict([Attempt(at, DOWN, seconds=10.0)]) == (CheckedMinute(NOON, DOWN, 10.0),)
