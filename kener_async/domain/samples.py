"""Samples: what a device said, or a check saw, about one monitor in one minute."""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from kener_async.domain.calendar import DAY, minute_of
from kener_async.domain.errors import Invalid


class Status(IntEnum):
    """What a minute can be; the order is that of severity, the numbers are stored."""

    UP = 0
    DEGRADED = 1
    DOWN = 2
    MAINTENANCE = 3
    NO_DATA = 4


MEASURABLE = (Status.UP, Status.DEGRADED, Status.DOWN)


class SampleSource(IntEnum):
    """Who measured: the thing itself, by pushing, or a check of ours."""

    PUSH = 0
    CHECK = 1


class Sample(NamedTuple):
    """One measured minute. `latency` is in the unit the sender uses, as sent."""

    monitor: int
    minute: int
    status: Status
    latency: float
    source: SampleSource = SampleSource.PUSH


def minute_for(timestamp: int | None, now: int, *, clock_skew: int, max_age_days: int) -> int:
    """The minute a report speaks for; a clock that is a little fast is taken to mean now.

    Raises Invalid for a timestamp too far ahead or too old.
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
    batch: Iterable[Sample], pushed: frozenset[tuple[int, int]] | set[tuple[int, int]]
) -> Mapping[tuple[int, int], Sample]:
    """Which samples of a batch, in order of arrival, are to be stored, by (monitor, minute).

    The last write of a minute wins, except that a check never replaces a push. `pushed` names the minutes
    of the batch that hold a push in the store already.
    """
    taken: dict[tuple[int, int], Sample] = {}
    for sample in batch:
        key = (sample.monitor, sample.minute)
        if sample.source is SampleSource.CHECK:
            held = taken.get(key)
            if key in pushed or (held is not None and held.source is SampleSource.PUSH):
                continue
        taken[key] = sample
    return taken
