"""Maintenance that repeats: when it occurs, which occurrences are stored, and when they are announced."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import DAY
from kener_async.domain.recurrence import (
    MUST_OCCUR_WITHIN,
    ClockChange,
    RecurrenceRule,
    clock_change_at,
    instant_of_local,
    local_begins,
)

AHEAD = 14 * DAY  # occurrences less than this away are stored
LEAST_AHEAD = 2  # and at least so many
SHOWN_AHEAD = 400 * DAY  # those to come are shown so far, computed
PREVIEWED = 10
LONGEST = 31 * DAY  # of one maintenance
ANNOUNCE_BEFORE = 30 * DAY  # at most
ONCE = "FREQ=DAILY;COUNT=1"  # the rule of what does not repeat


@dataclass(frozen=True, slots=True)
class MaintenanceSeries:
    """A maintenance that repeats. `begin` is a local time of `zone`, without one itself; `length` in seconds.

    `tags` are the monitors that it names, groups with their members; without any it has no occurrences.
    `excluded` are the local dates on which it does not occur. `announce` are seconds before each occurrence.
    """

    name: str
    title: str
    text: str
    tags: tuple[str, ...]
    begin: datetime
    zone: ZoneInfo
    length: int
    rule: RecurrenceRule
    rule_text: str
    excluded: frozenset[date] = frozenset()
    announce: tuple[int, ...] = ()

    @property
    def schedule(self) -> str:
        """What its occurrences follow from: if this changes, none of the past are made up for."""
        excluded = ",".join(sorted(day.isoformat() for day in self.excluded))
        return f"{self.begin.isoformat()} {self.zone.key} {self.length} {self.rule_text} {excluded}".strip()


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One of a series: its begin by the series in local time, and when that is, `[start, end)`.

    `clock_change` says whether the local time is none or two. `shift` is by how many seconds the clocks are
    set during it.
    """

    local: datetime
    start: int
    end: int
    clock_change: ClockChange = ClockChange.NONE
    shift: int = 0

    @property
    def key(self) -> str:
        """Its begin in local time, as it is stored."""
        return self.local.isoformat(timespec="seconds")

    @property
    def day(self) -> str:
        """Its identity within the series, which never occurs twice on a day."""
        return self.key[:10]


def occurrences(series: MaintenanceSeries, start: int, end: int) -> Iterator[Occurrence]:
    """Those that begin in `[start, end)`, in order."""
    if not series.tags:
        return
    day = timedelta(days=2)  # no clock is further from UTC, also where a zone leaves out a day
    first, last = (datetime.fromtimestamp(each, series.zone).replace(tzinfo=None) for each in (start, end))
    for local in local_begins(series.rule, series.begin, series.zone, first - day, last + day):
        if local.date() in series.excluded:
            continue
        occurrence = _occurrence(series, local)
        if start <= occurrence.start < end:
            yield occurrence


def _occurrence(series: MaintenanceSeries, local: datetime) -> Occurrence:
    start = instant_of_local(local, series.zone)
    end = start + series.length
    offsets = [datetime.fromtimestamp(each, series.zone).utcoffset() or timedelta() for each in (start, end)]
    shift = int((offsets[1] - offsets[0]).total_seconds())
    return Occurrence(local, start, end, clock_change_at(local, series.zone), shift)


def next_occurrences(series: MaintenanceSeries, now: int, count: int = PREVIEWED) -> list[Occurrence]:
    """The next ones that begin after `now`, or where it begins later after that, within 5 years."""
    begin = max(now + 1, instant_of_local(series.begin, series.zone))
    bound = begin + int(MUST_OCCUR_WITHIN.total_seconds())
    return list(islice(occurrences(series, begin, bound), count))


# What is stored


@dataclass(frozen=True, slots=True)
class StoredOccurrence:
    """An occurrence as it is stored; `day` is that of the Occurrence it was made for.

    `is_changed`: a person changed it or wrote an update to it. `is_closed`: it ended, or was cancelled.
    """

    number: int
    day: str
    start: int
    is_changed: bool = False
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class OccurrencePlan:
    """What is to be done so that what is stored of a series is as it says; `change` is by number."""

    make: tuple[Occurrence, ...]
    change: tuple[tuple[int, Occurrence], ...]
    drop: tuple[int, ...]


def plan_occurrences(
    series: MaintenanceSeries | None, stored: Sequence[StoredOccurrence], made_to: int, now: int
) -> OccurrencePlan:
    """What is to be done with the occurrences of a series; None: it is gone.

    Those that begin at `made_to` or before were made already, or never will be. What has begun stays as it
    is, and so does what was changed by hand, unless the series is gone: then all that is to come is dropped,
    but what was cancelled.
    """
    to_come = [each for each in stored if each.start > now and not each.is_closed]
    if series is None:
        return OccurrencePlan((), (), tuple(each.number for each in to_come))
    known = {each.day for each in stored}
    due = {each.day: each for each in _due(series, min(made_to, now), now)}
    last = max((each.start for each in to_come), default=now)
    valid = {each.day: each for each in occurrences(series, now + 1, last + 3 * DAY)}
    follow = [each for each in to_come if not each.is_changed]
    return OccurrencePlan(
        make=tuple(each for day, each in due.items() if day not in known),
        change=tuple((each.number, valid[each.day]) for each in follow if each.day in valid),
        drop=tuple(each.number for each in follow if each.day not in valid),
    )


def _due(series: MaintenanceSeries, after: int, now: int) -> Iterator[Occurrence]:
    """Those that begin after an instant and must be stored by now."""
    yield from occurrences(series, after + 1, now + AHEAD)
    yield from next_occurrences(series, now, LEAST_AHEAD)


def to_come(series: MaintenanceSeries, stored: Collection[str], now: int) -> list[Occurrence]:
    """The occurrences that are shown without being stored, up to SHOWN_AHEAD away; `stored` are days."""
    shown = _shown_from(series, now // DAY * DAY)
    return [each for each in shown if now < each.start < now + SHOWN_AHEAD and each.day not in stored]


# Expanded once a day: each render of a feed or a calendar with 20 daily series would take 0.1 s more.
@lru_cache(64)
def _shown_from(series: MaintenanceSeries, day: int) -> tuple[Occurrence, ...]:
    """Those that are shown at any time of a UTC day, which begins at `day`."""
    return tuple(occurrences(series, day, day + DAY + SHOWN_AHEAD))


# The state of a maintenance, and its announcements


class MaintenanceState(StrEnum):
    """The state of a maintenance, which follows from its times."""

    PLANNED = "planned"
    ANNOUNCED = "announced"
    IN_PROGRESS = "in progress"
    ENDED = "ended"
    CANCELLED = "cancelled"


def maintenance_state(
    start: int, closed_at: int | None, announce: Iterable[int], now: int
) -> MaintenanceState:
    """The state at `now` of one that closed at an instant (None: it has not)."""
    if closed_at is not None and closed_at <= now:
        return MaintenanceState.CANCELLED if closed_at < start else MaintenanceState.ENDED
    if start <= now:
        return MaintenanceState.IN_PROGRESS
    is_announced = any(now >= start - seconds for seconds in announce)
    return MaintenanceState.ANNOUNCED if is_announced else MaintenanceState.PLANNED


def due_announcements(start: int, announce: Iterable[int], now: int) -> list[int]:
    """The announcements whose time has come, as seconds before the start, the latest last.

    None once the maintenance has begun: nobody can prepare for it any more.
    """
    return sorted((each for each in announce if start - each <= now < start), reverse=True)


def announcement_key(number: int, start: int, seconds: int) -> str:
    """The key by which a maintenance is announced once at a time; another start is announced again."""
    return f"maintenance {number} at {start}, {seconds} s before"
