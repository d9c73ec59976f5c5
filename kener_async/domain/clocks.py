"""Clock offsets of devices: convert timestamps of a device's clocks to this server's time.

A wall clock may be wrong and may step; a monotonic clock counts seconds since boot and never steps. A batch
carries what both showed when it was sent, which is compared with this server's clock on arrival (Cristian,
1989: the error is the time on the network). All instants are in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from kener_async.domain.errors import Invalid

JITTER = 60  # seconds by which the times on the network of two messages may differ


class Stamp(NamedTuple):
    """A device's clocks at one moment; None where it did not send one.

    `wall` is its own idea of UTC seconds, `monotonic` the seconds since the start of `boot`.
    """

    wall: float | None = None
    monotonic: float | None = None
    boot: str | None = None


@dataclass(frozen=True)
class DeviceClocks:
    """The clocks of a device compared with this server's, by a batch `sent` and `received`.

    `boots` are the starts of its known boots. Stamps that are off by at most `tolerance` stay as they are.
    """

    sent: Stamp
    received: int
    tolerance: int
    boots: Mapping[str, float]

    @cached_property
    def offset(self) -> int | None:
        """The seconds to add to its wall clock; None if it sent none."""
        return None if self.sent.wall is None else round(self.received - self.sent.wall)

    @cached_property
    def corrects(self) -> bool:
        """Whether its wall clock is off by more than the tolerance."""
        return self.offset is not None and abs(self.offset) > self.tolerance

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
        if self.offset is None or not self.corrects:
            return int(wall)
        if self._was_set_back_since(stamp):
            raise Invalid("timestampInSeconds is of a clock that was set back since, and cannot be placed")
        return int(wall + self.offset)

    def _by_boot(self, wall: float | None, measured: float) -> int:
        """Prefer a wall clock that agrees, because it has no error from the network."""
        if wall is not None and abs(wall - measured) <= self.tolerance:
            return int(wall)
        return int(measured)

    def _was_set_back_since(self, stamp: Stamp) -> bool:
        """Whether the stamp, of an earlier boot, is later than the start of the current one."""
        if stamp.boot is None or self.sent.boot is None or stamp.boot == self.sent.boot:
            return False
        if stamp.wall is None or self.sent.wall is None or self.sent.monotonic is None:
            return False
        return stamp.wall > self.sent.wall - self.sent.monotonic


def began_at(earlier: float | None, sent: Stamp, received: int, offset_before: int | None) -> float | None:
    """Estimate the start of the sending boot from this batch and `earlier`, the estimate before it.

    None: the batch has no monotonic time, and there is no earlier estimate. Time on the network makes the
    start seem later, so the earliest estimate is kept; a batch sent again thus gets the same instants.

    An estimate that is later by more than JITTER is ignored if the batch was delayed. The wall clock shows a
    delay: its offset is then neither about zero nor about `offset_before`. Without a delay the later estimate
    is right, because this server's clock was set forward, or the monotonic clock is slow or stopped in sleep.
    """
    if sent.monotonic is None:
        return earlier
    measured = received - sent.monotonic
    if earlier is None or measured < earlier:
        return measured
    if measured - earlier <= JITTER:
        return earlier
    if sent.wall is None:
        return measured
    offset = received - sent.wall
    saw_no_wait = any(abs(offset - usual) <= JITTER for usual in (0, offset_before) if usual is not None)
    return measured if saw_no_wait else earlier
