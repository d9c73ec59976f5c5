"""Recount the status of every minute from the stored layers, one minute at a time.

This is the definition in docs/uptime.md written down as naively as possible: slow, without any idea of runs,
quarters or caching, and sharing nothing with the code it is compared to except the records that are stored.
"""

import decimal
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction

from kener_async.domain.groups import GroupSettings
from kener_async.domain.heartbeats import (
    AtSchedule,
    EveryInterval,
    Gap,
    GapKind,
    MonitorSettings,
    OnChange,
    Version,
)
from kener_async.domain.incidents import Overlay
from kener_async.domain.samples import Sample, Status

Said = tuple[Status, bool]  # the status of a minute, and whether it is that only because a parent excuses it
Others = Callable[[str], Said]  # by tag, of the same minute


def nobody(tag: str) -> Said:
    raise AssertionError(f"{tag} is asked for")


def minute_status(
    minute: int,
    *,
    samples: dict[int, Sample],
    overlays: list[Overlay],
    versions: list[Version],
    gaps: list[Gap],
    starts: Sequence[int] = (),
    others: Others = nobody,
) -> Status:
    """The status of the minute `[minute, minute + 60)`: the first rule that applies.

    `overlays` are the incidents that cover minutes: no drafts, and none that an alert rule opened.
    """
    return said_of(minute, samples, overlays, versions, gaps, starts, others)[0]


def said_of(
    minute: int,
    samples: dict[int, Sample],
    overlays: list[Overlay],
    versions: list[Version],
    gaps: list[Gap],
    starts: Sequence[int],
    others: Others,
) -> Said:
    """The status of a minute, and whether a parent excuses it."""
    assert minute % 60 == 0
    by_people = status_of_people(minute, overlays)
    if by_people is not None:
        return by_people, False
    status = measured_status(minute, samples, overlays, versions, gaps, starts, others)
    settings = settings_in_force(minute, versions)
    if status is Status.DOWN and settings is not None:
        for parent in settings.excused_by:
            of_parent, is_excused = others(parent)
            if of_parent is Status.DOWN or is_excused:
                return Status.NO_DATA, True
    return status, False


def status_of_people(minute: int, overlays: list[Overlay]) -> Status | None:
    """Rules 1 and 2."""
    covering = [overlay for overlay in overlays if _overlaps(overlay.start, overlay.end, minute)]

    # 1. a maintenance
    if any(overlay.maintenance for overlay in covering):
        return Status.MAINTENANCE

    # 2. an incident that has an impact
    impacts = [overlay.impact for overlay in covering if overlay.impact is not None]
    if Status.DOWN in impacts:
        return Status.DOWN
    if impacts:
        return Status.DEGRADED
    return None


def status_of_group(group: GroupSettings, members: list[Status]) -> Status:
    """What follows for a group from what its members are."""
    left = [one for one in members if one not in (Status.MAINTENANCE, Status.NO_DATA)]
    if not left:
        return Status.MAINTENANCE if Status.MAINTENANCE in members else Status.NO_DATA
    working = [one for one in left if one is not Status.DOWN]
    share = Fraction(group.min_up, 100) * len(left) if group.is_percentage else group.min_up
    if len(working) < share:
        return Status.DOWN
    if group.is_degraded and any(one is not Status.UP for one in left):
        return Status.DEGRADED
    return Status.UP


def measured_status(
    minute: int,
    samples: dict[int, Sample],
    overlays: list[Overlay],
    versions: list[Version],
    gaps: list[Gap],
    starts: Sequence[int],
    others: Others,
) -> Status:
    """What is known of a minute apart from what people say, and from what a parent excuses."""
    settings = settings_in_force(minute, versions)

    # a group has no samples
    if settings is not None and settings.group is not None:
        return status_of_group(settings.group, [others(tag)[0] for tag in settings.group.members])

    # 3. its own sample
    if minute in samples:
        return samples[minute].status

    if settings is None:
        return Status.NO_DATA

    # 4. what was expected of the heartbeat
    earlier = [at for at in samples if at < minute]
    if settings.expectation is not None and earlier:
        return status_of_silence(minute, samples[max(earlier)], overlays, versions, gaps, starts)

    # 5. the default, but not of what nobody could have seen
    if any(_overlaps(gap.start, gap.end, minute) for gap in gaps):
        return Status.NO_DATA
    if settings.default_status is not None:
        return settings.default_status

    # 6. nothing
    return Status.NO_DATA


def recount(
    start: int,
    end: int,
    *,
    samples: dict[int, Sample],
    overlays: list[Overlay],
    versions: list[Version],
    gaps: list[Gap],
    starts: Sequence[int] = (),
) -> dict[Status, int]:
    """How many minutes of `[start, end)` had each status."""
    counts = dict.fromkeys(Status, 0)
    for minute in range(start, end, 60):
        status = minute_status(
            minute, samples=samples, overlays=overlays, versions=versions, gaps=gaps, starts=starts
        )
        counts[status] += 1
    return counts


def degraded_as_downtime(
    start: int,
    end: int,
    *,
    samples: dict[int, Sample],
    overlays: list[Overlay],
    versions: list[Version],
    gaps: list[Gap],
    starts: Sequence[int] = (),
) -> int:
    """How many DEGRADED minutes of `[start, end)` the settings of their time call downtime."""
    count = 0
    for minute in range(start, end, 60):
        status = minute_status(
            minute, samples=samples, overlays=overlays, versions=versions, gaps=gaps, starts=starts
        )
        settings = settings_in_force(minute, versions)
        if status is Status.DEGRADED and settings is not None and settings.include_degraded_in_downtime:
            count += 1
    return count


def settings_in_force(minute: int, versions: list[Version]) -> MonitorSettings | None:
    """The newest settings loaded in this minute or before it."""
    loaded = [version for version in versions if version.since < minute + 60]
    if not loaded:
        return None
    return sorted(loaded, key=lambda version: version.since)[-1].settings


def held_sample(
    minute: int,
    *,
    samples: dict[int, Sample],
    versions: list[Version],
    starts: Sequence[int] = (),
    gaps: Sequence[Gap] = (),
) -> Sample | None:
    """The sample whose word still holds in a minute without one, if there is such a sample."""
    settings = settings_in_force(minute, versions)
    earlier = [at for at in samples if at < minute]
    if minute in samples or settings is None or settings.expectation is None or not earlier:
        return None
    sample, expectation = samples[max(earlier)], settings.expectation
    if isinstance(expectation, OnChange):
        if expectation.is_check and _is_offline(gaps, minute):
            return None
        return sample if minute < sample.minute + 60 + expectation.stale_after else None
    begun = [start for start in starts if start < minute + 60]
    waiting = _with_start(_after_report(sample.minute, expectation), begun, sample.minute + 60, expectation)
    return sample if minute < waiting[1] else None


def is_observed(
    minute: int,
    *,
    samples: dict[int, Sample],
    overlays: list[Overlay],
    versions: list[Version],
    gaps: list[Gap],
    starts: Sequence[int] = (),
) -> bool:
    """Whether a NO_DATA minute is neither in a gap nor waits for a report since one."""
    if any(_overlaps(gap.start, gap.end, minute) for gap in gaps):
        return False
    settings = settings_in_force(minute, versions)
    earlier = [at for at in samples if at < minute]
    if settings is None or not earlier or isinstance(settings.expectation, OnChange | None):
        return True
    begun = [start for start in starts if start < minute + 60]
    last = samples[max(earlier)]
    return _deadlines(minute, last, settings.expectation, overlays, versions, gaps, begun)[2] != "gap"


def uptime_text(good: int, counted: int) -> str:
    """The text form of `good` minutes out of `counted`."""
    if counted == 0:
        return "-"
    with decimal.localcontext() as context:
        context.prec = 100
        percent = 100 * Decimal(good) / Decimal(counted)
        if percent % 10 == 0:
            return str(int(percent))
        rounded = percent.quantize(Decimal("0.0001"), rounding=decimal.ROUND_HALF_UP)
    if rounded == 100:
        return "99.9999"
    if rounded == 0:
        return "0.0001"
    return str(rounded)


def _overlaps(start: int, end: int | None, minute: int) -> bool:
    """Whether `[start, end)` and the minute share a second."""
    return any(start <= second and (end is None or second < end) for second in range(minute, minute + 60))


def _is_offline(gaps: Sequence[Gap], minute: int) -> bool:
    return any(gap.kind is GapKind.OFFLINE and _overlaps(gap.start, gap.end, minute) for gap in gaps)


def status_of_silence(
    minute: int,
    sample: Sample,
    overlays: list[Overlay],
    versions: list[Version],
    gaps: list[Gap],
    starts: Sequence[int],
) -> Status:
    """The status of a minute without a sample, after a sample."""
    in_force = settings_in_force(minute, versions)
    assert in_force is not None
    expectation = in_force.expectation
    if isinstance(expectation, OnChange):
        is_held = minute < sample.minute + 60 + expectation.stale_after
        if expectation.is_check and _is_offline(gaps, minute):
            is_held = False
        return sample.status if is_held else Status.NO_DATA
    begun = [start for start in starts if start < minute + 60]
    if (
        minute
        < _with_start(_after_report(sample.minute, expectation), begun, sample.minute + 60, expectation)[1]
    ):
        return sample.status
    if any(_overlaps(gap.start, gap.end, minute) for gap in gaps):
        return Status.NO_DATA
    late_at, down_at, anew = _deadlines(minute, sample, expectation, overlays, versions, gaps, begun)
    if minute < late_at and anew:
        return Status.NO_DATA
    if minute >= down_at or sample.status is Status.DOWN:
        return Status.DOWN
    return Status.DEGRADED


def _deadlines(
    minute: int,
    sample: Sample,
    expectation: object,
    overlays: list[Overlay],
    versions: list[Version],
    gaps: list[Gap],
    begun: Sequence[int],
) -> tuple[int, int, str]:
    """Late at, down at, and after what they began anew since the report, if they did."""
    counted_from, anew = sample.minute + 60, ""
    waiting = _with_start(_after_report(sample.minute, expectation), begun, counted_from, expectation)
    came_into_force = _in_force_since(minute, versions)
    if came_into_force > counted_from:
        counted_from, anew = came_into_force, "change"
        waiting = _with_start(_anew(counted_from, expectation), begun, counted_from, expectation)
    works = [Gap(one.start, one.end) for one in overlays if one.maintenance and one.end is not None]
    spans = [(gap.start, gap.end, True) for gap in _joined(gaps)]
    spans += [(work.start, work.end, False) for work in _joined([w for w in works if w.start < w.end])]
    for start, end, is_gap in sorted(spans, key=lambda span: span[0]):
        if end <= counted_from or end >= minute + 60:
            continue
        due, late_at, down_at = waiting
        if is_gap or _holds(start, end, due) or _holds(start, end, late_at):
            counted_from, anew = end, "gap" if is_gap else "maintenance"
            waiting = _with_start(_anew(counted_from, expectation), begun, counted_from, expectation)
        elif _holds(start, end, down_at):
            waiting = due, late_at, _anew(end, expectation)[2]
    return waiting[1], waiting[2], anew


Waiting = tuple[int, int, int]  # when a report is due, when it is late, when the monitor is down


def _after_report(minute: int, expectation: object) -> Waiting:
    due = _due_after_report(minute, expectation)
    return due, _late_at(due, expectation), _down_at(minute + 60, due, expectation)


def _anew(instant: int, expectation: object) -> Waiting:
    due = _due(instant, expectation)
    return due, _late_at(due, expectation), _down_at(instant, due, expectation)


def _with_start(waiting: Waiting, begun: Sequence[int], counted_from: int, expectation: object) -> Waiting:
    """A job that began has its grace to report, if that is sooner."""
    unfinished = [start for start in begun if start >= counted_from]
    assert isinstance(expectation, EveryInterval | AtSchedule)
    if not unfinished or expectation.grace == 0 or min(unfinished) + expectation.grace >= waiting[1]:
        return waiting
    start = min(unfinished)
    patience = expectation.down_after
    if isinstance(expectation, EveryInterval):
        patience -= expectation.interval
    return start, start + expectation.grace, min(start + patience, waiting[2])


def _holds(start: int, end: int, instant: int) -> bool:
    return _overlaps(start, end, instant - instant % 60)


def _in_force_since(minute: int, versions: list[Version]) -> int:
    """When what is expected in a minute was first expected, without a break."""
    moment, expected = 0, object()
    for version in sorted(versions, key=lambda version: version.since):
        if version.since < minute + 60 and version.settings.expectation != expected:
            moment, expected = version.since, version.settings.expectation
    return moment


def _due_after_report(minute: int, expectation: object) -> int:
    """When the next report is due; one that is a little early meets the time that it is early for."""
    if isinstance(expectation, AtSchedule):
        due = expectation.schedule.next_after(minute - 1)
        while minute + 59 >= due - expectation.early:
            due = expectation.schedule.next_after(due)
        return due
    return _due(minute + 60, expectation)


def _due(counted_from: int, expectation: object) -> int:
    match expectation:
        case EveryInterval(interval=interval):
            return counted_from + interval
        case AtSchedule(schedule=schedule):
            return schedule.next_after(counted_from - 1)
        case _:
            raise AssertionError(expectation)


def _late_at(due: int, expectation: object) -> int:
    match expectation:
        case EveryInterval(grace=grace):
            return due + grace
        case AtSchedule(grace=grace):
            return due + 60 + grace
        case _:
            raise AssertionError(expectation)


def _down_at(counted_from: int, due: int, expectation: object) -> int:
    match expectation:
        case EveryInterval(down_after=down_after):
            return counted_from + down_after
        case AtSchedule(down_after=down_after):
            return due + 60 + down_after
        case _:
            raise AssertionError(expectation)


def _joined(gaps: list[Gap]) -> list[Gap]:
    """The gaps with those that overlap or touch merged, two at a time until none do."""
    spans = list(gaps)
    for gap_a in spans:
        for gap_b in spans:
            if gap_a is not gap_b and gap_a.start <= gap_b.end and gap_b.start <= gap_a.end:
                both = Gap(min(gap_a.start, gap_b.start), max(gap_a.end, gap_b.end))
                return _joined([gap for gap in spans if gap is not gap_a and gap is not gap_b] + [both])
    return spans
