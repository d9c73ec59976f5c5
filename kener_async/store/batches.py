"""A batch, from its clocks to its rows, in one transaction."""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from kener_async.domain.batches import Batch, Item, Key, Result, Verdict, judge
from kener_async.domain.clocks import DeviceClocks
from kener_async.domain.errors import Invalid
from kener_async.domain.samples import Sample, minute_for
from kener_async.store import devices, monitors, samples
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """What [ingest] says of the age of samples: seconds ahead, and days behind."""

    clock_skew: int
    max_age_days: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result for each item, in order; the samples that were stored; how the sender's clocks stand.

    `tally` counts the verdicts; `monitors` are those it spoke of.
    """

    results: Sequence[Result]
    tally: Mapping[Verdict, int]
    stored: Mapping[Key, Sample]
    clocks: DeviceClocks
    monitors: Set[int]


def record(session: Session, delivery: Batch, limits: IngestLimits) -> Outcome:
    """Store what is new in a batch, with all that is remembered of its devices."""
    names = delivery.devices
    ids = devices.enrol(session, delivery.sender, names, delivery.received)
    sender = None if delivery.device is None else ids[delivery.device]
    clocks = devices.clocks(session, sender, delivery.sent, delivery.received, limits.clock_skew)

    places = [_place(item, clocks, limits) for item in delivery.items]
    keys = _keys(delivery.items, places)
    known = {name: devices.load(session, ids[name], keys) for name in names}
    spans = {name: device.sequence.spans for name, device in known.items()}
    before = samples.at(session, [key for key, is_plain in keys.items() if is_plain])
    results, stored = judge(delivery.items, places, known, before)

    samples.put(session, stored)
    for name, device in known.items():
        devices.save(session, ids[name], device, spans[name])
    devices.note_monitors(session, _reported(delivery, places, ids))
    heard = {monitor for monitor, _ in keys}
    monitors.note_heard(session, dict.fromkeys(heard, delivery.received))
    return Outcome(results, Tally(result.verdict for result in results), stored, clocks, heard)


def _place(item: Item, clocks: DeviceClocks, limits: IngestLimits) -> int | str:
    """The minute of an item, or what is wrong with it."""
    if item.fault is not None:
        return item.fault
    try:
        return minute_for(
            clocks.instant(item.stamp),
            clocks.received,
            clock_skew=limits.clock_skew,
            max_age_days=limits.max_age_days,
        )
    except Invalid as error:
        return error.message


def _keys(items: Sequence[Item], places: Sequence[int | str]) -> dict[Key, bool]:
    """The minutes that a batch speaks of, and whether an item without a number is among those of one."""
    keys: dict[Key, bool] = {}
    for item, place in zip(items, places, strict=True):
        if isinstance(place, int):
            key = (item.monitor, place)
            keys[key] = item.number is None or keys.get(key, False)
    return keys


def _reported(
    delivery: Batch, places: Sequence[int | str], ids: Mapping[str, int]
) -> Iterable[tuple[int, int]]:
    """Which device has reported which monitor."""
    return {
        (ids[item.device], item.monitor)
        for item, place in zip(delivery.items, places, strict=True)
        if isinstance(place, int) and item.device is not None
    }
