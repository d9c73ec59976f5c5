"""Samples: the status and latency of one monitor in one minute, as reported."""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from kener_async.domain.calendar import DAY, minute_of
from kener_async.domain.errors import Invalid


class Status(IntEnum):
    """The status of a minute. UP, DEGRADED and DOWN are ordered by severity; the numbers are stored."""

    UP = 0
    DEGRADED = 1
    DOWN = 2
    MAINTENANCE = 3
    NO_DATA = 4


MAX_LATENCY = 10**12  # in either unit: larger ones cannot be added up exactly
MEASURABLE = (Status.UP, Status.DEGRADED, Status.DOWN)


class SampleSource(IntEnum):
    """The origin of a sample: pushed by a device, or measured by a check of this server."""

    PUSH = 0
    CHECK = 1


class Sample(NamedTuple):
    """One measured minute. `latency` is as sent, in the sender's unit."""

    monitor: int
    minute: int
    status: Status
    latency: float
    source: SampleSource = SampleSource.PUSH


def minute_for(timestamp: int | None, now: int, *, clock_skew: int, max_age_days: int) -> int:
    """The minute of a report; None means now, and so does a timestamp up to `clock_skew` seconds ahead.

    Raises Invalid for a timestamp further ahead, or older than `max_age_days`.
    """
    if timestamp is None:
        return minute_of(now)
    if timestamp > now + clock_skew:
        raise Invalid("timestampInSeconds is in future")
    minute = minute_of(min(timestamp, now))
    if minute < minute_of(now) - max_age_days * DAY:
        raise Invalid(f"timestampInSeconds is older than {max_age_days}days")
    return minute


def winners(
    batch: Iterable[Sample], stored: Mapping[tuple[int, int], Sample]
) -> Mapping[tuple[int, int], Sample]:
    """Select the samples of a batch, in order of arrival, that are to be stored, by (monitor, minute).

    The last push of a minute wins, also against a check. A check never replaces a push, and of several checks
    the worst stands, of equal ones the last. `stored` are the samples stored already under the keys of the
    checks in the batch.
    """
    selected: dict[tuple[int, int], Sample] = {}
    for sample in batch:
        key = (sample.monitor, sample.minute)
        if sample.source is SampleSource.CHECK:
            previous = selected.get(key) or stored.get(key)
            if previous is not None and _stands(previous, sample):
                continue
        selected[key] = sample
    return selected


def _stands(previous: Sample, check: Sample) -> bool:
    """Whether a sample of a minute stays when a check of it comes in."""
    return previous.source is SampleSource.PUSH or previous.status > check.status
