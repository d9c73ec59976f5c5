"""Clocks of devices: where on this server's time line a sample lies that was stamped by another clock.

A wall clock may be wrong and may step; a monotonic one counts the seconds since its boot and never steps.
When a batch comes in, what both showed as it was sent is set against this server's clock (Cristian, 1989: the
way of the message is the error). All instants are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from kener_async.domain.errors import Invalid

JITTER = 60  # seconds that a message may be on its way longer than another


class Stamp(NamedTuple):
    """What a device's clocks showed at a moment; what it did not say is None.

    `wall` is in UTC seconds as it believes, `monotonic` in seconds since the begin of `boot`.
    """

    wall: float | None = None
    monotonic: float | None = None
    boot: str | None = None


@dataclass(frozen=True)
class Clocks:
    """How the clocks of a device stand to ours, as a batch tells that came at `received`.

    `boots` says when each known boot of it began. Stamps that are off by up to `tolerance` stay as they are.
    """

    sent: Stamp
    received: int
    tolerance: int
    boots: Mapping[str, float]

    @cached_property
    def offset(self) -> int | None:
        """What must be added to its wall clock; None: it did not say its time."""
        return None if self.sent.wall is None else round(self.received - self.sent.wall)

    @cached_property
    def corrects(self) -> bool:
        """Whether its wall clock is too far off."""
        return self.offset is not None and abs(self.offset) > self.tolerance

    def instant(self, stamp: Stamp) -> int:
        """The moment of a stamp by our clock; a stamp that says nothing means now.

        Raises Invalid for a moment that cannot be known.
        """
        wall, monotonic, boot = stamp
        if monotonic is not None and boot is not None and boot in self.boots:
            return self._by_boot(wall, self.boots[boot] + monotonic)
        if wall is None:
            if monotonic is not None:
                raise Invalid("timestampInSeconds missing: when its boot began is not known")
            return self.received
        if self.offset is None or not self.corrects:
            return int(wall)
        if self._was_set_back_since(stamp):
            raise Invalid("timestampInSeconds is of a clock that was set back since, and cannot be placed")
        return int(wall + self.offset)

    def _by_boot(self, wall: float | None, measured: float) -> int:
        """A wall clock that agrees is the finer of the two."""
        if wall is not None and abs(wall - measured) <= self.tolerance:
            return int(wall)
        return int(measured)

    def _was_set_back_since(self, stamp: Stamp) -> bool:
        """Whether an earlier boot saw a later time than the one that sends began with."""
        if stamp.boot is None or self.sent.boot is None or stamp.boot == self.sent.boot:
            return False
        if stamp.wall is None or self.sent.wall is None or self.sent.monotonic is None:
            return False
        return stamp.wall > self.sent.wall - self.sent.monotonic


def began_at(known: float | None, sent: Stamp, received: int, offset_before: int | None) -> float | None:
    """When the boot that sends began, with what earlier batches said; None: it does not say.

    A message on its way makes it seem later, so the earliest is nearest the truth, and a batch that is sent
    again is placed as it was before. One that seems far later may have waited for a network, and is not
    believed if the wall clock saw it wait: if that is neither right nor as far off as before. Else it was our
    own clock that was set forward, or the device's monotonic one that is slow, or stood still in its sleep.
    """
    if sent.monotonic is None:
        return known
    measured = received - sent.monotonic
    if known is None or measured < known:
        return measured
    if measured - known <= JITTER:
        return known
    if sent.wall is None:
        return measured
    offset = received - sent.wall
    saw_no_wait = any(abs(offset - usual) <= JITTER for usual in (0, offset_before) if usual is not None)
    return measured if saw_no_wait else known
