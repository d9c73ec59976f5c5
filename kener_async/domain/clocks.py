"""Clock offsets of devices: convert timestamps of a device's clocks to this server's time.

A wall clock may be wrong and may step; a monotonic clock counts seconds since boot and never steps. A batch
carries what both showed when it was sent, which is compared with this server's clock on arrival (Cristian,
1989: the error is the time on the network). All instants are in seconds.

Time on the network only makes an offset larger, so the smallest one of the last day is that of the clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from kener_async.domain.calendar import DAY
from kener_async.domain.errors import Invalid

JITTER = 60  # seconds by which the times on the network of two messages may differ
RESOLUTION = 1  # seconds: both clocks may be read in whole ones, so that less is no known offset
UNPROVEN = 300  # seconds by which a clock of which nothing is known may be off before it is corrected


class Stamp(NamedTuple):
    """A device's clocks at one moment; None where it did not send one.

    `wall` is its own idea of UTC seconds, `monotonic` the seconds since the start of `boot`.
    """

    wall: float | None = None
    monotonic: float | None = None
    boot: str | None = None


@dataclass(frozen=True)
class ClockHistory:
    """What is known of a device's clocks before a batch.

    `usual` is the smallest offset heard in the last day, None: none. `boots` are the starts of its boots.
    """

    usual: int | None = None
    boots: Mapping[str, float] = field(default_factory=dict)


class Hearing(Enum):
    """What an offset says of the clock."""

    NONE = auto()  # the device sent no wall clock
    SAME = auto()  # the clock is as before, or was not known
    CHANGED = auto()  # the clock was set, and earlier offsets are void
    LATE = auto()  # the batch waited on its way, and its offset says nothing


@dataclass(frozen=True)
class DeviceClocks:
    """The clocks of a device compared with this server's, by a batch `sent` and `received`.

    `offset` is what must be added to its wall clock to get the time of arrival, None if it sent none.
    `correction` is what is added to its timestamps. `boots` are the starts of its known boots. A wall clock
    that differs from a monotonic one by at most `tolerance` is preferred to it.
    """

    sent: Stamp
    received: int
    tolerance: int
    offset: int | None
    correction: int
    hearing: Hearing
    boots: Mapping[str, float]

    @property
    def corrects(self) -> bool:
        """Whether timestamps of its wall clock are corrected."""
        return self.correction != 0

    def instant(self, stamp: Stamp) -> int:
        """The instant of a stamp by this server's clock; an empty stamp means the time of arrival.

        Raises Invalid if the instant cannot be determined.
        """
        wall, monotonic, boot = stamp
        if monotonic is not None and boot is not None and boot in self.boots:
            return self._by_boot(wall, self.boots[boot] + monotonic)
        if wall is None:
            if monotonic is not None:
                raise Invalid("timestampInSeconds missing: the start of its boot is unknown")
            return self.received
        if self.corrects and self._was_set_back_since(stamp):
            raise Invalid("timestampInSeconds is of a clock that was set back since, and cannot be placed")
        return int(wall + self.correction)

    def _by_boot(self, wall: float | None, measured: float) -> int:
        """Prefer a wall clock that agrees, because it has no error from the network.

        Also without the correction: the clock may have been right and was set since.
        """
        readings = () if wall is None else (wall + self.correction, wall)
        agreeing = (reading for reading in readings if abs(reading - measured) <= self.tolerance)
        return int(next(agreeing, measured))

    def _was_set_back_since(self, stamp: Stamp) -> bool:
        """Whether the stamp, of an earlier boot, is later than the start of the current one."""
        if stamp.boot is None or self.sent.boot is None or stamp.boot == self.sent.boot:
            return False
        if stamp.wall is None or self.sent.wall is None or self.sent.monotonic is None:
            return False
        return stamp.wall > self.sent.wall - self.sent.monotonic


def compare(sent: Stamp, received: int, tolerance: int, history: ClockHistory | None) -> DeviceClocks:
    """Compare the clocks of a batch with this server's.

    `history` is None for a batch without a device: its wall clock is not corrected, because its offsets may
    be those of several devices. Without an earlier offset one of at most UNPROVEN seconds is not corrected.
    """
    known = ClockHistory() if history is None else history
    delay = _delay(sent, received, known)
    offset = None if sent.wall is None else round(received - sent.wall)
    hearing = _hearing(offset, delay, known.usual, is_new_boot=delay is None and _has_boot(sent))
    correction = 0
    if offset is not None and history is not None:
        correction = _correction(offset, delay, hearing, known.usual)
    boots = dict(known.boots)
    if sent.boot is not None and sent.monotonic is not None:
        on_its_way = 0 if offset is None or history is None else max(0, offset - correction)
        boots[sent.boot] = _began_at(boots.get(sent.boot), received - sent.monotonic - on_its_way)
    return DeviceClocks(sent, received, tolerance, offset, correction, hearing, boots)


def _has_boot(sent: Stamp) -> bool:
    return sent.boot is not None and sent.monotonic is not None


def _delay(sent: Stamp, received: int, known: ClockHistory) -> float | None:
    """By how much later than its boot says the batch arrived; None if the start of that boot is not known."""
    began = None if sent.boot is None else known.boots.get(sent.boot)
    return None if began is None or sent.monotonic is None else received - sent.monotonic - began


def _hearing(offset: int | None, delay: float | None, usual: int | None, *, is_new_boot: bool) -> Hearing:
    """Judge an offset.

    Where the boot is known the monotonic clock shows a delay, and the wall clock confirms it: its offset is
    then neither about zero nor the usual one. If it does not, this server's clock was set forward, or the
    monotonic clock is slow or stopped in sleep.

    Elsewhere a larger offset of a clock that was right means a delay, of at most a day. But not in a boot
    that was not heard before, because many devices begin with the time of their last shutdown.
    """
    if offset is None:
        return Hearing.NONE
    is_usual = usual is not None and abs(offset - usual) <= JITTER
    if delay is not None:
        is_late = delay > JITTER and abs(offset) > JITTER and not is_usual
    else:
        was_right = usual is not None and abs(usual) <= JITTER
        is_late = was_right and not is_usual and JITTER < offset <= DAY and not is_new_boot
    if is_late:
        return Hearing.LATE
    return Hearing.SAME if usual is None or is_usual else Hearing.CHANGED


def _correction(offset: int, delay: float | None, hearing: Hearing, usual: int | None) -> int:
    """The seconds to add to timestamps of the wall clock."""
    if hearing is Hearing.LATE:
        smallest = usual if usual is not None else offset - round(delay or 0)
    elif hearing is Hearing.CHANGED:
        smallest = offset
    elif usual is not None:
        smallest = min(offset, usual)
    else:
        return offset if abs(offset) > UNPROVEN else 0
    return smallest if abs(smallest) > RESOLUTION else 0


def _began_at(earlier: float | None, measured: float) -> float:
    """The start of a boot by the estimate before this batch and the one from it.

    Time on the network makes the start seem later, so the earlier estimate is kept; a batch sent again thus
    gets the same instants. One that is later by more than JITTER is right: the delay is known by then.
    """
    if earlier is None or measured < earlier or measured - earlier > JITTER:
        return measured
    return earlier
