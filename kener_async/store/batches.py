"""Store a batch: the clocks, the verdicts, the samples."""

from collections import Counter as Tally
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from kener_async.domain.batches import (
    Batch,
    Fault,
    Item,
    JoinedResults,
    Key,
    Result,
    Verdict,
    judge,
    parts,
)
from kener_async.domain.clocks import DeviceClocks
from kener_async.domain.errors import Invalid
from kener_async.domain.samples import Sample, minute_for
from kener_async.store import devices, samples
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """The [ingest] settings on the age of samples: seconds ahead, and days behind."""

    clock_skew: int
    max_age_days: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result for each item, in order; the samples that were stored; the sender's clocks compared.

    `tally` counts the verdicts; `monitors` are those that the batch reported.
    """

    results: Sequence[Result]
    tally: Mapping[Verdict, int]
    stored: Mapping[Key, Sample]
    clocks: DeviceClocks
    monitors: Set[int]


class BatchRecorder:
    """Store what is new in a batch, and the state of its devices, one part in each transaction.

    A batch may have ten thousand samples of a hundred devices: what else waits for the database gets its turn
    between the parts. A batch of which some parts were stored may be sent again, as any batch may.
    """

    def __init__(self, batch: Batch, limits: IngestLimits) -> None:
        self._batch = batch
        self._limits = limits
        self._joined = JoinedResults(batch.items)
        self._stored: dict[Key, Sample] = {}
        self._monitors: set[int] = set()
        self._opened: tuple[Mapping[str, int], DeviceClocks] | None = None
        self.parts = parts(batch.items)

    def record(self, session: Session, positions: Sequence[int]) -> tuple[Mapping[Key, Sample], Set[int]]:
        """Store a part; returns the samples that were stored, and the monitors that were reported."""
        batch = self._batch
        if self._opened is None:
            self._opened = _open(session, batch, self._limits)
        all_ids, clocks = self._opened
        items = [batch.items[position] for position in positions]
        ids = {item.device: all_ids[item.device] for item in items if item.device is not None}

        places = [_place(item, clocks, self._limits) for item in items]
        placed = [(item, place) for item, place in zip(items, places, strict=True) if isinstance(place, int)]
        states = devices.load(session, ids.values(), _claimed(placed, ids))
        spans_before = {device: state.sequence.spans for device, state in states.items()}
        by_name = {name: states[device] for name, device in ids.items()}
        compared = {
            (item.monitor, place)
            for item, place in placed
            if item.number is None or (item.device is not None and by_name[item.device].knows(item.number))
        }
        stored_before = samples.at(session, sorted(compared))
        results, stored = judge(items, places, by_name, stored_before)
        self._joined.add(positions, results, stored)

        devices.save(session, states, spans_before)
        devices.add_monitors(
            session, {(ids[item.device], item.monitor) for item, _ in placed if item.device is not None}
        )
        reported = {item.monitor for item, _ in placed}
        samples.put(session, stored, dict.fromkeys(reported, batch.received))
        self._stored.update(stored)
        self._monitors |= reported
        return stored, reported

    def outcome(self) -> Outcome:
        """The outcome of all parts."""
        assert self._opened is not None  # noqa: S101 - a part has been recorded
        results = self._joined.results
        tally = Tally(result.verdict for result in results)
        return Outcome(results, tally, self._stored, self._opened[1], self._monitors)


def _open(session: Session, batch: Batch, limits: IngestLimits) -> tuple[Mapping[str, int], DeviceClocks]:
    """The ids of the devices by name, and the clocks of the one that sent the batch."""
    ids = devices.register(session, batch.sender, batch.devices, batch.received)
    sender = None if batch.device is None else ids[batch.device]
    return ids, devices.clocks(session, sender, batch.sent, batch.received, limits.clock_skew)


def _place(item: Item, clocks: DeviceClocks, limits: IngestLimits) -> int | Fault:
    """The minute of an item, or the fault in it."""
    if item.fault is not None:
        return item.fault
    try:
        instant = clocks.instant(item.stamp)
    except Invalid as error:
        return Fault(error.message, may_come_again=True)
    try:
        return minute_for(
            instant, clocks.received, clock_skew=limits.clock_skew, max_age_days=limits.max_age_days
        )
    except Invalid as error:
        return Fault(error.message, may_come_again=instant > clocks.received)


def _claimed(placed: Sequence[tuple[Item, int]], ids: Mapping[str, int]) -> set[tuple[int, Key]]:
    """The minutes for which each device sent a number."""
    return {
        (ids[item.device], (item.monitor, place))
        for item, place in placed
        if item.device is not None and item.number is not None
    }


def record_reports(
    session: Session, reports: tuple[Sequence[Sample], int]
) -> Mapping[tuple[int, int], Sample]:
    """Store samples that came in at an instant, and that their monitors were heard then."""
    batch, received = reports
    return samples.record(session, batch, received)
