"""Batches: what becomes of each sample of one, whatever came before it, and however often.

Where a device numbers its samples the highest number speaks for a minute, and each number is judged once;
without numbers the last write speaks. So batches that are shuffled, split and repeated end in one history.
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
    """What became of a sample of a batch."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"


@dataclass(slots=True)
class Item:
    """A sample as it was sent. `fault` says what is wrong with it; then only device and number may be known.

    `number` is None where the device does not number its samples.
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
    """A batch as it came in at `received`. `sender` is who its token speaks for, `device` who packed it."""

    sender: str
    device: str | None
    sent: Stamp
    received: int
    items: Sequence[Item]

    @cached_property
    def devices(self) -> list[str]:
        """All devices it names, in order of their names."""
        named = {self.device, *(item.device for item in self.items)}
        return sorted(name for name in named if name is not None)


class Result(NamedTuple):
    """What became of an item: the minute it speaks for, or what is wrong with it."""

    verdict: Verdict
    minute: int | None = None
    fault: str | None = None


@dataclass(slots=True)
class DeviceState:
    """What is known of a device. `claims` holds the highest number that spoke for a minute."""

    sequence: sequences.Sequence = field(default_factory=sequences.Sequence)
    claims: dict[Key, int] = field(default_factory=dict)
    newest: int = 0
    lost: int = 0
    restarts: int = 0

    def judge(self, number: int, key: Key | None) -> Result | None:
        """The verdict on a number, heard from now on; None: it is new, and speaks for its minute.

        `key` is None when something else is wrong with the sample.
        """
        if not self.sequence.hear(number):
            if key is None or key[1] <= self.newest + MINUTE:
                return self._known(number, key)
            self._begin_anew(number)
        if key is None:
            return Result(Verdict.REJECTED)
        self.newest = max(self.newest, key[1])
        if self.claims.get(key, -1) > number:
            return Result(Verdict.SUPERSEDED, key[1])
        self.claims[key] = number
        return None

    def _known(self, number: int, key: Key | None) -> Result:
        if number in self.sequence:
            return Result(Verdict.DUPLICATE, None if key is None else key[1])
        return Result(Verdict.REJECTED, fault="seq is too far behind")

    def _begin_anew(self, number: int) -> None:
        """An old number with a time later than all before: the device counts from the start again."""
        self.lost += self.sequence.holes
        self.restarts += 1
        self.sequence = sequences.Sequence([(number, number)])
        self.claims.clear()

    def settle(self) -> None:
        """Drop what no later batch can ask for."""
        self.lost += self.sequence.give_up()
        until = self.sequence.complete_until
        self.claims = {key: number for key, number in self.claims.items() if number > until}


def judge(
    items: Sequence[Item],
    places: Sequence[int | str],
    devices: Mapping[str, DeviceState],
    stored: Mapping[Key, Sample],
) -> tuple[list[Result], dict[Key, Sample]]:
    """A result for each item, in order, and the samples that are to be stored.

    `places` has the minute of each item, or what is wrong with it. `stored` holds what the store has now of
    those minutes of which an item without a number speaks. The devices take note.
    """
    results: list[Result] = []
    speakers: dict[Key, int] = {}
    for position, (item, place) in enumerate(zip(items, places, strict=True)):
        key = None if isinstance(place, str) else (item.monitor, place)
        result = None
        if item.number is not None and item.device is not None:
            result = devices[item.device].judge(item.number, key)
        if result is not None or key is None:
            results.append(_refused(result, place))
            continue
        if key in speakers:
            results[speakers[key]] = Result(Verdict.SUPERSEDED, key[1])
        speakers[key] = position
        results.append(Result(Verdict.ACCEPTED, key[1]))
    return results, dict(_changes(items, speakers, stored, results))


def _refused(result: Result | None, place: int | str) -> Result:
    """A verdict on the number, if there is one; a sample that cannot be placed says why."""
    if isinstance(place, str) and (result is None or result.verdict is Verdict.REJECTED):
        return Result(Verdict.REJECTED, fault=place)
    assert result is not None  # noqa: S101 - it has a place
    return result


def _changes(
    items: Sequence[Item], speakers: Mapping[Key, int], stored: Mapping[Key, Sample], results: list[Result]
) -> Iterator[tuple[Key, Sample]]:
    """What is not in the store yet; an item without a number that says what is there is a duplicate."""
    for key, position in speakers.items():
        item = items[position]
        sample = Sample(*key, item.status, item.latency)
        if stored.get(key) != sample:
            yield key, sample
        elif item.number is None:
            results[position] = Result(Verdict.DUPLICATE, key[1])
