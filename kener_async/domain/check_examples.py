"""Worked examples of checks: which minutes a target that fails is DOWN, and when that is believed."""

from collections.abc import Iterator
from typing import NamedTuple

from kener_async.domain.calendar import minute_of
from kener_async.domain.checks import CheckTiming


class FailedRun(NamedTuple):
    """A run whose attempts, begun at these instants, all failed at once. It is believed at `known_at`.

    All are UTC seconds; `minutes` are those that it decides.
    """

    attempts: tuple[float, ...]
    minutes: tuple[int, ...]

    @property
    def known_at(self) -> float:
        return self.attempts[-1]


def failed_runs(timing: CheckTiming, first: float, *, is_retried: bool = True) -> Iterator[FailedRun]:
    """The runs from the one that begins at an instant on, of a target that refuses at once.

    Not `is_retried`: what is wrong needs no retry to be believed, such as a latency.
    """
    begin, retries = first, timing.retries if is_retried else 0
    while True:
        attempts = tuple(begin + number * timing.retry_every for number in range(retries + 1))
        yield FailedRun(attempts, tuple(dict.fromkeys(minute_of(int(each)) for each in attempts)))
        while begin <= attempts[-1]:  # what is due meanwhile is left out
            begin = begin + timing.every if timing.cron is None else timing.cron.next_after(int(begin))


def shortest_failure(timing: CheckTiming) -> float:
    """The seconds from the first attempt until an outage is believed, of a target that refuses at once."""
    return timing.retries * timing.retry_every


def longest_failure(timing: CheckTiming) -> float:
    """The same of a target that does not answer."""
    return shortest_failure(timing) + (timing.retries + 1) * timing.timeout
