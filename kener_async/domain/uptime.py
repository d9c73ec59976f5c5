"""Uptime: minutes counted by status, and the only function that computes a figure from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

from kener_async.domain.calendar import MINUTE


@dataclass(frozen=True, slots=True)
class Counts:
    """Minutes of each status in a span; those left over are NO_DATA.

    `degraded_as_downtime` is the part of `degraded` that counts as downtime by the monitor's settings of that
    time. The latency fields are of the samples of the span, in the sender's unit.
    """

    up: int = 0
    degraded: int = 0
    degraded_as_downtime: int = 0
    down: int = 0
    maintenance: int = 0
    latency_count: int = 0
    latency_sum: float = 0.0
    latency_min: float | None = None
    latency_max: float | None = None

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.up + other.up,
            self.degraded + other.degraded,
            self.degraded_as_downtime + other.degraded_as_downtime,
            self.down + other.down,
            self.maintenance + other.maintenance,
            self.latency_count + other.latency_count,
            self.latency_sum + other.latency_sum,
            min((x for x in (self.latency_min, other.latency_min) if x is not None), default=None),
            max((x for x in (self.latency_max, other.latency_max) if x is not None), default=None),
        )

    @property
    def without_latencies(self) -> "Counts":
        return minute_counts(self.up, self.degraded, self.degraded_as_downtime, self.down, self.maintenance)

    @property
    def counted(self) -> int:
        """The denominator of the uptime: minutes that are neither MAINTENANCE nor NO_DATA."""
        return self.up + self.degraded + self.down

    @property
    def good(self) -> int:
        """The numerator of the uptime."""
        return self.up + self.degraded - self.degraded_as_downtime

    def no_data(self, start: int, end: int) -> int:
        """The minutes of `[start, end)` without data."""
        return (end - start) // MINUTE - self.counted - self.maintenance

    def is_sparse(self, start: int, end: int) -> bool:
        """Whether less than a tenth of `[start, end)` is known, so that the uptime says little about it."""
        return 10 * self.no_data(start, end) > 9 * ((end - start) // MINUTE)

    @property
    def latency_average(self) -> float | None:
        return self.latency_sum / self.latency_count if self.latency_count else None

    @property
    def uptime(self) -> str:
        return uptime_text(self.good, self.counted)


@lru_cache(maxsize=10_000)
def minute_counts(up: int, degraded: int, degraded_as_downtime: int, down: int, maintenance: int) -> Counts:
    """Counts without latencies; equal ones are one object, because most days of most monitors are alike."""
    return Counts(up, degraded, degraded_as_downtime, down, maintenance)


_minutes = attrgetter("up", "degraded", "degraded_as_downtime", "down", "maintenance")


def sum_of_minutes(parts: Iterable[Counts]) -> Counts:
    """The sum of counts without latencies, in a third of the time that adding them one by one takes."""
    return minute_counts(*map(sum, zip(*map(_minutes, (NOTHING, *parts)), strict=True)))


NOTHING = Counts()


def uptime_text(good: int, counted: int) -> str:
    """The share of good minutes as a percentage, in the contract's text form.

    `"-"` without a counted minute; an exact multiple of ten without decimals; else four decimals, rounded
    half up, but never to 100 when a minute was not good nor to 0 when one was.
    """
    if counted == 0:
        return "-"
    tens, rest = divmod(10 * good, counted)
    if rest == 0:
        return str(10 * tens)
    ten_thousandths = (2_000_000 * good + counted) // (2 * counted)
    whole, decimals = divmod(min(max(ten_thousandths, 1), 999_999), 10_000)
    return f"{whole}.{decimals:04d}"
