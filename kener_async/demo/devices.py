"""The simulated devices of the demo, and their measurements."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kener_async.demo.scenes import Scene, Trouble
from kener_async.domain.calendar import DAY, HOUR, MINUTE, minute_of, utc_day_of
from kener_async.domain.samples import Status

DAYS = 90
RECENT_DAYS = 2
SEED = 90


@dataclass(frozen=True, slots=True)
class DemoDevice:
    """A device that reports `every` so many seconds, `offset` after UTC midnight, for `since_days` days.

    In the last RECENT_DAYS and while the demo runs it reports each `recent_every` seconds; 90 days of that
    would take too long to generate. `latency` is the average, `swing` its relative change over a day. If it
    `is_silent_when_up`, it reports problems and their end only.
    """

    tag: str
    every: int
    recent_every: int
    latency: float
    digits: int
    swing: float = 0.3
    offset: int = 0
    since_days: int = DAYS
    is_silent_when_up: bool = False


DEVICES = (
    DemoDevice("website", 15 * MINUTE, MINUTE, 180, 0),
    DemoDevice("api", 15 * MINUTE, MINUTE, 42, 1, swing=0.45),
    DemoDevice("mail", 30 * MINUTE, 5 * MINUTE, 2.4, 2),
    DemoDevice("archive", MINUTE, MINUTE, 0, 0, is_silent_when_up=True),
    DemoDevice("backup", DAY, DAY, 640, 0, swing=0, offset=2 * HOUR + 41 * MINUTE),
    DemoDevice("gateway", 6 * HOUR, 6 * HOUR, 12, 0, offset=17 * MINUTE),
    DemoDevice("sensor", 15 * MINUTE, 2 * MINUTE, 0.35, 3, since_days=76),
)


class SimulatedDevice:
    """The measurements of a device, minute by minute; reproducible from the start of its history."""

    def __init__(self, profile: DemoDevice, troubles: Sequence[Trouble], is_flaky: bool) -> None:
        self.profile = profile
        self.is_flaky = is_flaky
        self.rng = random.Random(f"{SEED} {profile.tag}")  # noqa: S311 - simulated figures
        self._troubles = [trouble for trouble in troubles if trouble.tag == profile.tag]
        # Quiet at night, busy in the afternoon.
        hours = (2 * math.pi * (minute / 1440 - 0.62) for minute in range(1440))
        self._rhythm = [profile.latency * (1 + profile.swing * math.cos(hour)) for hour in hours]

    def measure(self, minute: int) -> tuple[Status, float] | None:
        """The status and latency of a minute, or None if nothing is sent."""
        trouble = next((one for one in self._troubles if one.covers(minute)), None)
        typical = self._rhythm[minute % DAY // MINUTE]
        latency = round(typical * (0.85 + self.rng.expovariate(7)), self.profile.digits)
        if trouble is None:
            is_recovery = any(one.end == minute for one in self._troubles)
            return (Status.UP, latency) if is_recovery or not self.profile.is_silent_when_up else None
        if trouble.status is None:
            return None
        return trouble.status, round(latency * trouble.slower, self.profile.digits)

    def minutes(self, now: int) -> Iterator[int]:
        """The minutes of its reports up to now."""
        today = utc_day_of(now) + self.profile.offset
        change = today - RECENT_DAYS * DAY
        yield from range(today - self.profile.since_days * DAY, change, self.profile.every)
        yield from range(change, minute_of(now), self.profile.recent_every)


def simulated_devices(scene: Scene) -> list[SimulatedDevice]:
    """The devices of a scene."""
    if not scene.has_devices:
        return []
    return [SimulatedDevice(device, scene.troubles, device.tag in scene.flaky) for device in DEVICES]
