"""The clock, passed in wherever time matters, in whole UTC seconds; and cron schedules.

The stopwatch is the same clock with fractions of a second, for durations that may span a restart.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from croniter import croniter

from kener_async.domain.calendar import DAY, HOUR, MINUTE

Clock = Callable[[], int]
Stopwatch = Callable[[], float]


def system_clock() -> int:
    return int(time.time())


def stopwatch_of(clock: Clock) -> Stopwatch:
    """The stopwatch that belongs to a clock."""
    return time.time if clock is system_clock else clock


def monotonic_of(clock: Clock) -> Stopwatch:
    """A clock that is never set, beside the system's; a clock of tests stands still until they move it."""
    return time.monotonic if clock is system_clock else clock


@dataclass(frozen=True, slots=True)
class Cron:
    """A CronSchedule (domain/heartbeats.py): the instants at which Debian's cron(8) starts a job.

    Where a clock change skips or repeats local time, a job with a fixed hour and minute runs once: at the
    first instant after the skipped time, or at the first of the two. One whose minute or hour begins with `*`
    follows real time.
    """

    expression: str
    zone: str = "UTC"

    def next_after(self, instant: int) -> int:
        """The first time after the instant; both in UTC seconds."""
        return _next_after(self.expression, self.zone, instant)


MOST_DAYS = 400  # of an expression that are looked at; then it has repeated itself


@lru_cache(maxsize=1024)
def longest_pause(cron: Cron) -> int:
    """The longest time between two times of a schedule that follow each other, in seconds."""
    minutes, hours = croniter.expand(cron.expression)[0][:2]
    every_minute, every_hour = range(60), range(24)
    of_day = [
        int(hour) * HOUR + int(minute) * MINUTE
        for hour in (every_hour if hours == ["*"] else sorted(hours))
        for minute in (every_minute if minutes == ["*"] else sorted(minutes))
    ]
    overnight = _longest_days(cron.expression) * DAY - (of_day[-1] - of_day[0])
    longest = max(overnight, *(later - sooner for sooner, later in pairwise(of_day)), 0)
    # The night in which clocks are set back is an hour longer; not so for what runs all day.
    return longest + HOUR if longest >= HOUR and cron.zone != "UTC" else longest


def _longest_days(expression: str) -> int:
    """The most days from one on which an expression has times to the next."""
    days = expression.split()[2:]
    if days == ["*", "*", "*"]:
        return 1
    times = _local_times(" ".join(["0", "0", *days]), datetime(2024, 1, 1))  # noqa: DTZ001  local time
    return max((later - sooner).days for sooner, later in pairwise(islice(times, MOST_DAYS)))


@lru_cache(maxsize=4096)
def _next_after(expression: str, zone: str, instant: int) -> int:
    minute, hour, *_ = expression.split()
    follows_real_time = minute.startswith("*") or hour.startswith("*")
    return (_next_real if follows_real_time else _next_fixed)(expression, ZoneInfo(zone), instant)


# cron(8) takes larger steps of local time for corrections of the clock, and starts nothing for them.
LARGEST_CHANGE = timedelta(hours=3)


def _next_fixed(expression: str, zone: ZoneInfo, instant: int) -> int:
    """The next start of a job with a fixed time of day."""
    for local in _local_times(expression, datetime.fromtimestamp(instant, zone).replace(tzinfo=None)):
        start = _instants(local, zone) or _first_after_skipped(local, zone)
        if start and start[0] > instant:
            return start[0]
    raise AssertionError("the expression has no time")


def _next_real(expression: str, zone: ZoneInfo, instant: int) -> int:
    """The next start of a job that follows real time: twice in repeated local time, never in skipped."""
    now, before, after = (datetime.fromtimestamp(instant + shift, zone) for shift in (0, -DAY, DAY))
    # Where local time is set back, times that clocks have shown already come again.
    set_back = max((before.utcoffset() or ZERO) - (after.utcoffset() or ZERO), ZERO)
    next_start = 0
    for local in _local_times(expression, now.replace(tzinfo=None) - set_back):
        starts = [start for start in _instants(local, zone) if start > instant]
        if next_start and local.replace(tzinfo=zone).timestamp() >= next_start:
            return next_start
        next_start = min([*starts, *([next_start] if next_start else [])], default=0)
    raise AssertionError("the expression has no time")


ZERO = timedelta()


def _local_times(expression: str, after: datetime) -> Iterator[datetime]:
    """The local times of an expression, as if no clock was ever changed."""
    times = croniter(expression, after, implement_cron_bug=True)
    while True:
        yield times.get_next(datetime)


def _instants(local: datetime, zone: ZoneInfo) -> list[int]:
    """The instants at which clocks in the zone show a local time: one, two if repeated, none if skipped."""
    candidates = {int(local.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1)}
    return sorted(
        candidate
        for candidate in candidates
        if datetime.fromtimestamp(candidate, zone).replace(tzinfo=None) == local
    )


def _first_after_skipped(local: datetime, zone: ZoneInfo) -> list[int]:
    """The instant at which clocks skipped a local time; none if the change was too large."""
    later, sooner = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    offset = sooner.utcoffset() or ZERO
    if offset - (later.utcoffset() or ZERO) >= LARGEST_CHANGE:
        return []
    low, high = int(sooner.timestamp()), int(later.timestamp())  # before the change, and after it
    while high - low > 1:
        middle = (low + high) // 2
        is_after = datetime.fromtimestamp(middle, zone).utcoffset() == offset
        low, high = (low, middle) if is_after else (middle, high)
    return [high]
