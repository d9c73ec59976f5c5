"""The clocks of the device. Only the monotonic one decides when something is done: the other may be wrong."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What both clocks show: `wall` in UTC seconds as the device believes, `monotonic` since its `boot`."""

    wall: float
    monotonic: float
    boot: str

    def at(self, monotonic: float) -> "ClockReading":
        """Another moment of the same boot, as the wall clock of this one would have shown it."""
        return ClockReading(self.wall + monotonic - self.monotonic, monotonic, self.boot)


Clock = Callable[[], ClockReading]


def system_clock() -> Clock:
    """The kernel's clocks; the monotonic one counts on while the device sleeps."""
    boot = BOOT_ID.read_text().strip()

    def now() -> ClockReading:
        return ClockReading(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), boot)

    return now
