"""Heartbeat expectations, the deadlines that follow from them, settings of monitors and observer gaps."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from kener_async.domain.calendar import HOUR, MINUTE, minute_of
from kener_async.domain.groups import GroupSettings
from kener_async.domain.samples import Status


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The instants of a silence, in UTC seconds.

    A report is due at `due`. Before `late_at` the last status is held; from then on the monitor is DEGRADED,
    from `down_at` on DOWN. `down_at` None: no report is due, so the minutes from `late_at` on are NO_DATA.
    """

    due: int
    late_at: int
    down_at: int | None


class Expectation(Protocol):
    """When a monitor is expected to report."""

    def after_report(self, minute: int) -> Deadlines:
        """The deadlines after a report in this minute.

        A sample is known to its minute only, so time counts from the end of that minute: a report at
        12:00:59 that is due again within 60 s is not missed before 12:02:00.
        """
        ...

    def deadlines(self, instant: int) -> Deadlines:
        """The deadlines that begin anew at an instant, without a report."""
        ...

    def after_start(self, instant: int) -> Deadlines | None:
        """The deadlines of a job that began at an instant; None: without a grace it may take any time."""
        ...


@dataclass(frozen=True, slots=True)
class EveryInterval:
    """A report every `interval` seconds, up to `grace` late; DOWN `down_after` seconds after the last one."""

    interval: int
    grace: int
    down_after: int

    def after_report(self, minute: int) -> Deadlines:
        return self.deadlines(minute + MINUTE)

    def deadlines(self, instant: int) -> Deadlines:
        due = instant + self.interval
        return Deadlines(due, due + self.grace, instant + self.down_after)

    def after_start(self, instant: int) -> Deadlines | None:
        if not self.grace:
            return None
        return Deadlines(instant, instant + self.grace, instant + self.down_after - self.interval)


class CronSchedule(Protocol):
    """The times of a cron expression in its zone."""

    def next_after(self, instant: int) -> int:
        """The first time of the schedule after the instant."""
        ...


@dataclass(frozen=True, slots=True)
class AtSchedule:
    """A report at each time of a schedule, up to `grace` late; DOWN `down_after` seconds after that time.

    A report up to `early` seconds before a time meets it, because clocks of devices are a little fast. Both
    delays count from the end of the minute in which the report is due.
    """

    schedule: CronSchedule
    grace: int
    down_after: int
    early: int

    def after_report(self, minute: int) -> Deadlines:
        return self.deadlines(minute + MINUTE + self.early)

    def deadlines(self, instant: int) -> Deadlines:
        due = self.schedule.next_after(instant - 1)
        end = due + MINUTE
        return Deadlines(due, end + self.grace, end + self.down_after)

    def after_start(self, instant: int) -> Deadlines | None:
        return Deadlines(instant, instant + self.grace, instant + self.down_after) if self.grace else None


def early_seconds(grace: int, clock_skew: int) -> int:
    """How long before its time a report meets a time of a schedule."""
    return max(clock_skew, grace // 10)


@dataclass(frozen=True, slots=True)
class OnChange:
    """The last status is held for `stale_after` seconds: reports of changes only, or the runs of a check.

    Between the runs of a check (`is_check`) nothing is held while the server is offline.
    """

    stale_after: int
    is_check: bool = False

    def after_report(self, minute: int) -> Deadlines:
        return self.deadlines(minute + MINUTE)

    def deadlines(self, instant: int) -> Deadlines:
        return Deadlines(instant + self.stale_after, instant + self.stale_after, None)

    def after_start(self, instant: int) -> Deadlines | None:
        return None


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """The settings of a monitor that decide its statuses. By default no report is expected.

    `group`: its minutes follow from those of others. `excused_by` are the tags of the parents in whose DOWN
    minutes its own DOWN minutes do not count.
    """

    default_status: Status | None = None
    include_degraded_in_downtime: bool = False
    expectation: Expectation | None = None
    stale_after: int = HOUR
    group: GroupSettings | None = None
    excused_by: tuple[str, ...] = ()

    @property
    def related(self) -> tuple[str, ...]:
        """The tags of the monitors whose minutes decide its own."""
        return (*(self.group.members if self.group is not None else ()), *self.excused_by)


@dataclass(frozen=True, slots=True)
class Version:
    """Settings, in force from the minute of the instant `since` at which they were loaded."""

    since: int
    settings: MonitorSettings


class GapKind(IntEnum):
    """Why nothing could be observed; the numbers are stored."""

    NOT_RUNNING = 0
    OFFLINE = 1


def settings_within(
    versions: Sequence[Version], start: int, end: int
) -> Iterator[tuple[int, int, MonitorSettings]]:
    """The settings in force within `[start, end)`, each with the minutes of it, oldest first."""
    for position, version in enumerate(versions):
        since = max(start, minute_of(version.since))
        until = minute_of(versions[position + 1].since) if position + 1 < len(versions) else end
        if since < min(until, end):
            yield since, min(until, end), version.settings


@dataclass(frozen=True, slots=True)
class Gap:
    """An observer gap: a span `[start, end)` in which the server was not running, or was offline."""

    start: int
    end: int
    kind: GapKind = GapKind.NOT_RUNNING


def gap_between(last_seen: int, now: int) -> Gap | None:
    """The observer gap up to now, if the server was last seen running a minute or more ago, else None.

    The same rule holds for a restart, a suspended machine and a clock set forward. A shorter span is no gap,
    because statuses are known to the minute only.
    """
    return Gap(last_seen, now) if now - last_seen >= MINUTE else None


def merged(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    """Merge gaps into ordered, disjoint ones; they overlap when the clock was set back.

    The kind of a merged gap is that of the first; what depends on the kind merges those of one kind.
    """
    disjoint: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: gap.start):
        if disjoint and gap.start <= disjoint[-1].end:
            last = disjoint[-1]
            disjoint[-1] = Gap(last.start, max(last.end, gap.end), last.kind)
        else:
            disjoint.append(gap)
    return tuple(disjoint)
