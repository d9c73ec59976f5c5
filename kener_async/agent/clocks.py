"""The clocks of the device. Schedules follow the monotonic one, because the wall clock may be wrong."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Both clocks at one moment: `wall` in UTC seconds, maybe wrong; `monotonic` in seconds since `boot`."""

    wall: float
    monotonic: float
    boot: str

    def at(self, monotonic: float) -> "ClockReading":
        """The reading at another monotonic time of this boot, had the wall clock not been set in between."""
        return ClockReading(self.wall + monotonic - self.monotonic, monotonic, self.boot)


Clock = Callable[[], ClockReading]


def system_clock() -> Clock:
    """The kernel's clocks; the monotonic one includes the time that the device is suspended."""
    boot = BOOT_ID.read_text().strip()

    def now() -> ClockReading:
        return ClockReading(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), boot)

    return now
