"""The devices of the demo, and what they measure."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kener_async.demo.scenes import Scene, Trouble
from kener_async.domain.calendar import DAY, HOUR, MINUTE, minute_of, utc_day_of
from kener_async.domain.samples import Status

DAYS = 90
OFTEN_DAYS = 2
SEED = 90


@dataclass(frozen=True, slots=True)
class DemoDevice:
    """Reports `every` so many seconds, `offset` after UTC midnight, since it was set up `since_days` ago.

    `often` instead of `every` in the last days, and while it runs: a longer past of every minute would take
    too long to make. `latency` is typical, `swing` how far it follows the hours of the day. One that
    `tells_only_trouble` is silent from when all is well again.
    """

    tag: str
    every: int
    often: int
    latency: float
    digits: int
    swing: float = 0.3
    offset: int = 0
    since_days: int = DAYS
    tells_only_trouble: bool = False


DEVICES = (
    DemoDevice("website", 15 * MINUTE, MINUTE, 180, 0),
    DemoDevice("api", 15 * MINUTE, MINUTE, 42, 1, swing=0.45),
    DemoDevice("mail", 30 * MINUTE, 5 * MINUTE, 2.4, 2),
    DemoDevice("archive", MINUTE, MINUTE, 0, 0, tells_only_trouble=True),
    DemoDevice("backup", DAY, DAY, 640, 0, swing=0, offset=2 * HOUR + 41 * MINUTE),
    DemoDevice("gateway", 6 * HOUR, 6 * HOUR, 12, 0, offset=17 * MINUTE),
    DemoDevice("sensor", 15 * MINUTE, 2 * MINUTE, 0.35, 3, since_days=76),
)


class DemoReport:
    """What a device measures, minute by minute; the same for the same seed and begin."""

    def __init__(self, device: DemoDevice, troubles: Sequence[Trouble], is_flaky: bool) -> None:
        self.device = device
        self.is_flaky = is_flaky
        self.dice = random.Random(f"{SEED} {device.tag}")  # noqa: S311 - made-up figures
        self._troubles = [trouble for trouble in troubles if trouble.tag == device.tag]
        # Quiet at night, busy in the afternoon.
        hours = (2 * math.pi * (minute / 1440 - 0.62) for minute in range(1440))
        self._rhythm = [device.latency * (1 + device.swing * math.cos(hour)) for hour in hours]

    def report(self, minute: int) -> tuple[Status, float] | None:
        """Status and latency, or None when nothing is sent."""
        trouble = next((one for one in self._troubles if one.covers(minute)), None)
        typical = self._rhythm[minute % DAY // MINUTE]
        latency = round(typical * (0.85 + self.dice.expovariate(7)), self.device.digits)
        if trouble is None:
            is_news = any(one.end == minute for one in self._troubles)
            return (Status.UP, latency) if is_news or not self.device.tells_only_trouble else None
        if trouble.status is None:
            return None
        return trouble.status, round(latency * trouble.slower, self.device.digits)

    def minutes(self, now: int) -> Iterator[int]:
        """When it was to report until now."""
        today = utc_day_of(now) + self.device.offset
        change = today - OFTEN_DAYS * DAY
        yield from range(today - self.device.since_days * DAY, change, self.device.every)
        yield from range(change, minute_of(now), self.device.often)


def lines(scene: Scene) -> list[DemoReport]:
    if not scene.has_devices:
        return []
    return [DemoReport(device, scene.troubles, device.tag in scene.flaky) for device in DEVICES]
