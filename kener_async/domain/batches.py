"""Batches of samples: a verdict for each sample, whatever the order and repetition of batches.

Where a device numbers its samples, the highest number of a minute wins, and each number is stored once;
without numbers the last write wins. So shuffled, split and repeated batches end in the same history.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple
from zlib import crc32

from kener_async.domain import sequences
from kener_async.domain.calendar import MINUTE
from kener_async.domain.clocks import Stamp
from kener_async.domain.samples import Sample, Status

Key = tuple[int, int]  # a monitor and a minute
UNSTAMPED = Stamp()
RECENT = 2 * MINUTE  # seconds before the newest minute of a device for which its numbers are kept
MAX_RECENT = 500  # numbers of a device that are kept with their contents


class Verdict(StrEnum):
    """The outcome of a sample of a batch. A refused one may be accepted later, a rejected one never."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    REFUSED = "refused"


class Fault(NamedTuple):
    """The reason why a sample is not stored; its number is used up unless it `may_come_again`."""

    message: str
    verdict: Verdict = Verdict.REJECTED
    may_come_again: bool = False


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
    fault: Fault | None = None

    @property
    def fingerprint(self) -> int:
        """A checksum of what stays the same when it is sent again."""
        wall, monotonic, boot = self.stamp
        moment = wall if monotonic is None or boot is None else (monotonic, boot)
        return crc32(repr((int(self.status), float(self.latency), moment)).encode())


@dataclass(frozen=True)
class Batch:
    """A batch received at `received` from `sender`, of the device that sent it, None if it has no name."""

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


class RecentSample(NamedTuple):
    """A sample of the newest minutes of a device: the item, or its fingerprint if an earlier batch had it."""

    minute: int
    content: Item | int

    @property
    def fingerprint(self) -> int:
        return self.content if isinstance(self.content, int) else self.content.fingerprint


@dataclass(slots=True)
class DeviceState:
    """The sequence state of a device. `claims` are the highest numbers received by monitor and minute.

    `recent` are the samples of its newest minutes by number: they tell a repeated sample from that of a
    device which lost its counter and counts from 1 again.
    """

    sequence: sequences.SequenceNumbers = field(default_factory=sequences.SequenceNumbers)
    claims: dict[Key, int] = field(default_factory=dict)
    newest: int = 0
    lost: int = 0
    restarts: int = 0
    recent: dict[int, RecentSample] = field(default_factory=dict)

    def knows(self, number: int) -> bool:
        """Whether the number was received before, or is too far behind to tell."""
        return number in self.sequence or number < self.sequence.floor

    def judge(self, item: Item, number: int, minute: int, stored: Sample | None) -> Result | None:
        """Judge a sample and record its number; None: it is new and the highest of its minute.

        `stored` is the sample that its minute has, if the number is a known one.
        """
        key = item.monitor, minute
        if self.knows(number):
            if self._is_restart(item, number, minute):
                self._restart(number)
            elif number in self.sequence or (stored is not None and self.claims.get(key, number) >= number):
                return _repeated(item, minute, stored)
            else:
                self.lost = max(0, self.lost - 1)  # given up, and here after all
        self.sequence.add(number)
        self.newest = max(self.newest, minute)
        if minute >= self.newest - RECENT:
            self.recent[number] = RecentSample(minute, item)
        if self.claims.get(key, -1) > number:
            return Result(Verdict.SUPERSEDED, minute)
        self.claims[key] = number
        return None

    def _is_restart(self, item: Item, number: int, minute: int) -> bool:
        """Whether a known number with one of the newest minutes is that of another sample."""
        if minute < self.newest - MINUTE:
            return False
        before = self.recent.get(number)
        if before is None:
            return minute > self.newest + MINUTE or 0 < len(self.recent) < MAX_RECENT
        if before.fingerprint != item.fingerprint:
            return True
        return item.stamp == UNSTAMPED and minute > self.newest + MINUTE

    def _restart(self, number: int) -> None:
        """Start a new sequence: the device lost its counter."""
        self.lost += self.sequence.holes
        self.restarts += 1
        self.sequence = sequences.SequenceNumbers([(number, number)])
        self.claims.clear()
        self.recent.clear()

    def prune(self) -> None:
        """Drop what no later batch can need."""
        self.lost += self.sequence.prune()
        until = self.sequence.complete_until
        self.claims = {key: number for key, number in self.claims.items() if number > until}
        kept = sorted(number for number, each in self.recent.items() if each.minute >= self.newest - RECENT)
        self.recent = {number: self.recent[number] for number in kept[-MAX_RECENT:]}


def _repeated(item: Item, minute: int, stored: Sample | None) -> Result:
    """The verdict on a number that was judged before: its minute has this sample, or another one."""
    is_stored = stored == Sample(item.monitor, minute, item.status, item.latency)
    return Result(Verdict.DUPLICATE if is_stored else Verdict.SUPERSEDED, minute)


def judge(
    items: Sequence[Item],
    places: Sequence[int | Fault],
    devices: Mapping[str, DeviceState],
    stored: Mapping[Key, Sample],
) -> tuple[list[Result], dict[Key, Sample]]:
    """Judge a batch: a result for each item, in order, and the samples that are to be stored.

    `places` are the minutes of the items, or the faults in them. `stored` are the samples now stored for the
    items without a number or with a known one. Updates the states of the devices.
    """
    results: list[Result] = []
    winning: dict[Key, int] = {}
    for position, (item, place) in enumerate(zip(items, places, strict=True)):
        if isinstance(place, Fault):
            if item.device is not None and item.number is not None and not place.may_come_again:
                devices[item.device].sequence.add(item.number)
            results.append(Result(place.verdict, fault=place.message))
            continue
        key = item.monitor, place
        if item.device is not None and item.number is not None:
            now_stored = _sample(items[winning[key]], key) if key in winning else stored.get(key)
            result = devices[item.device].judge(item, item.number, place, now_stored)
            if result is not None:
                results.append(result)
                continue
        if key in winning:
            results[winning[key]] = Result(Verdict.SUPERSEDED, place)
        winning[key] = position
        results.append(Result(Verdict.ACCEPTED, place))
    return results, dict(_changes(items, winning, stored, results))


def _sample(item: Item, key: Key) -> Sample:
    return Sample(*key, item.status, item.latency)


def _changes(
    items: Sequence[Item], winning: Mapping[Key, int], stored: Mapping[Key, Sample], results: list[Result]
) -> Iterator[tuple[Key, Sample]]:
    """The samples that differ from the stored ones; an equal one without a number is a duplicate."""
    for key, position in winning.items():
        item = items[position]
        sample = _sample(item, key)
        if stored.get(key) != sample:
            yield key, sample
        elif item.number is None:
            results[position] = Result(Verdict.DUPLICATE, key[1])


PART_SAMPLES, PART_DEVICES = 1000, 5


def parts(items: Sequence[Item]) -> list[list[int]]:
    """Divide a batch into parts that are stored one by one, as positions; at least one part, perhaps empty.

    A part has few samples and few devices, because a device may have a thousand spans of numbers. The samples
    of a device stay in their order, and so do those of a part.
    """
    by_device: dict[str | None, list[int]] = {}
    for position, item in enumerate(items):
        by_device.setdefault(item.device if item.number is not None else None, []).append(position)
    divided: list[list[int]] = [[]]
    devices = 0
    for positions in by_device.values():
        for first in range(0, len(positions), PART_SAMPLES):
            some = positions[first : first + PART_SAMPLES]
            if devices == PART_DEVICES or len(divided[-1]) + len(some) > PART_SAMPLES:
                divided.append([])
                devices = 0
            divided[-1] += some
            devices += 1
    return [sorted(part) for part in divided]


class JoinedResults:
    """The results of a batch whose parts were judged one by one, as if it had been judged at once."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self._winning: dict[Key, int] = {}
        self._repeated: dict[tuple[str | None, Key], tuple[int, int]] = {}  # the highest number, its position
        self.results: list[Result] = [Result(Verdict.REJECTED)] * len(items)

    def add(self, positions: Sequence[int], results: Sequence[Result], changes: dict[Key, Sample]) -> None:
        """Add the results of a part; removes from `changes` what a later sample of the batch has replaced."""
        for position, result in zip(positions, results, strict=True):
            self.results[position] = result
            if result.minute is None:
                continue
            item = self._items[position]
            key = item.monitor, result.minute
            if result.verdict is Verdict.ACCEPTED:
                self._add_accepted(position, key, changes)
            elif result.verdict is Verdict.DUPLICATE and item.number is None:
                # It is the last word on its minute, although an equal one is stored already.
                self._winning[key] = max(position, self._winning.get(key, position))
            elif result.verdict is Verdict.DUPLICATE:
                self._add_repeated(position, key)

    def _add_repeated(self, position: int, key: Key) -> None:
        """Of equal samples of one minute that are sent again, only the highest number is the stored one."""
        device, number = self._items[position].device, self._items[position].number
        if number is None:
            return
        this = number, position
        before = self._repeated.setdefault((device, key), this)
        if number != before[0]:
            self.results[min(this, before)[1]] = Result(Verdict.SUPERSEDED, key[1])
        self._repeated[device, key] = max(this, before)

    def _add_accepted(self, position: int, key: Key, changes: dict[Key, Sample]) -> None:
        earlier = self._winning.get(key)
        if earlier is not None and earlier > position:
            self.results[position] = Result(Verdict.SUPERSEDED, key[1])
            changes.pop(key, None)
            return
        if earlier is not None:
            self.results[earlier] = Result(Verdict.SUPERSEDED, key[1])
        self._winning[key] = position
