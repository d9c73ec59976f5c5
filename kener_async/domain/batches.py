"""Batches of samples: a verdict for each sample, whatever the order and repetition of batches.

Where a device numbers its samples, the highest number of a minute wins, and each number is judged once;
without numbers the last write wins. So shuffled, split and repeated batches end in the same history.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from kener_async.domain import sequences
from kener_async.domain.calendar import MINUTE
from kener_async.domain.clocks import Stamp
from kener_async.domain.samples import Sample, Status

Key = tuple[int, int]  # a monitor and a minute
UNSTAMPED = Stamp()


class Verdict(StrEnum):
    """The outcome of a sample of a batch."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"


@dataclass(slots=True)
class Item:
    """A sample as it was sent. `fault` is the error in it, if any; then only device and number may be set.

    `number` is the sequence number, None if the device does not number its samples.
    """

    device: str | None
    number: int | None
    monitor: int = 0
    status: Status = Status.UP
    latency: float = 0.0
    stamp: Stamp = UNSTAMPED
    fault: str | None = None


@dataclass(frozen=True)
class Batch:
    """A batch received at `received`. `sender` is the subject of its token, `device` the one that sent it."""

    sender: str
    device: str | None
    sent: Stamp
    received: int
    items: Sequence[Item]

    @cached_property
    def devices(self) -> list[str]:
        """The names of all its devices, sorted."""
        named = {self.device, *(item.device for item in self.items)}
        return sorted(name for name in named if name is not None)


class Result(NamedTuple):
    """The verdict on an item, with its minute, or with the error in it."""

    verdict: Verdict
    minute: int | None = None
    fault: str | None = None


@dataclass(slots=True)
class DeviceState:
    """The sequence state of a device. `claims` are the highest numbers received by monitor and minute."""

    sequence: sequences.SequenceNumbers = field(default_factory=sequences.SequenceNumbers)
    claims: dict[Key, int] = field(default_factory=dict)
    newest: int = 0
    lost: int = 0
    restarts: int = 0

    def judge(self, number: int, key: Key | None) -> Result | None:
        """Record a sequence number and judge it; None: it is new and the highest of its minute.

        `key` is None when the sample has another error.
        """
        if not self.sequence.add(number):
            if key is None or key[1] <= self.newest + MINUTE:
                return self._repeated(number, key)
            self._restart(number)
        if key is None:
            return Result(Verdict.REJECTED)
        self.newest = max(self.newest, key[1])
        if self.claims.get(key, -1) > number:
            return Result(Verdict.SUPERSEDED, key[1])
        self.claims[key] = number
        return None

    def _repeated(self, number: int, key: Key | None) -> Result:
        if number in self.sequence:
            return Result(Verdict.DUPLICATE, None if key is None else key[1])
        return Result(Verdict.REJECTED, fault="seq is too far behind")

    def _restart(self, number: int) -> None:
        """Start a new sequence: an old number with the newest time means that the device lost its counter."""
        self.lost += self.sequence.holes
        self.restarts += 1
        self.sequence = sequences.SequenceNumbers([(number, number)])
        self.claims.clear()

    def prune(self) -> None:
        """Drop what no later batch can need."""
        self.lost += self.sequence.prune()
        until = self.sequence.complete_until
        self.claims = {key: number for key, number in self.claims.items() if number > until}


def judge(
    items: Sequence[Item],
    places: Sequence[int | str],
    devices: Mapping[str, DeviceState],
    stored: Mapping[Key, Sample],
) -> tuple[list[Result], dict[Key, Sample]]:
    """Judge a batch: a result for each item, in order, and the samples that are to be stored.

    `places` are the minutes of the items, or the errors in them. `stored` are the samples now stored for the
    items without a number. Updates the states of the devices.
    """
    results: list[Result] = []
    winning: dict[Key, int] = {}
    for position, (item, place) in enumerate(zip(items, places, strict=True)):
        key = None if isinstance(place, str) else (item.monitor, place)
        result = None
        if item.number is not None and item.device is not None:
            result = devices[item.device].judge(item.number, key)
        if result is not None or key is None:
            results.append(_refused(result, place))
            continue
        if key in winning:
            results[winning[key]] = Result(Verdict.SUPERSEDED, key[1])
        winning[key] = position
        results.append(Result(Verdict.ACCEPTED, key[1]))
    return results, dict(_changes(items, winning, stored, results))


def _refused(result: Result | None, place: int | str) -> Result:
    """The verdict on the number, if there is one, or the error that leaves the sample without a minute."""
    if isinstance(place, str) and (result is None or result.verdict is Verdict.REJECTED):
        return Result(Verdict.REJECTED, fault=place)
    assert result is not None  # noqa: S101 - it has a minute
    return result


def _changes(
    items: Sequence[Item], winning: Mapping[Key, int], stored: Mapping[Key, Sample], results: list[Result]
) -> Iterator[tuple[Key, Sample]]:
    """The samples that differ from the stored ones; an equal one without a number is a duplicate."""
    for key, position in winning.items():
        item = items[position]
        sample = Sample(*key, item.status, item.latency)
        if stored.get(key) != sample:
            yield key, sample
        elif item.number is None:
            results[position] = Result(Verdict.DUPLICATE, key[1])
