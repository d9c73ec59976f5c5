"""Recount the status of every minute from the stored layers, one minute at a time.

This is the definition in docs/uptime.md written down as naively as possible: slow, without any idea of runs,
quarters or caching, and sharing nothing with the code it is compared to except the records that are stored.
"""

import decimal
from decimal import Decimal

from kener_async.domain.heartbeats import AtSchedule, EveryInterval, Gap, MonitorSettings, OnChange, Version
from kener_async.domain.incidents import Overlay
from kener_async.domain.samples import Sample, Status


def minute_status(
    minute: int,
    *,
    samples: dict[int, Sample],
    overlays: list[Overlay],
    versions: list[Version],
    gaps: list[Gap],
) -> Status:
    """The status of the minute `[minute, minute + 60)`: the first rule that applies."""
    assert minute % 60 == 0
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

    # 3. its own sample
    if minute in samples:
        return samples[minute].status

    settings = settings_in_force(minute, versions)
    if settings is None:
        return Status.NO_DATA

    # 4. what was expected of the heartbeat
    earlier = [at for at in samples if at < minute]
    if settings.expectation is not None and earlier:
        return _status_of_silence(minute, samples[max(earlier)], settings.expectation, gaps)

    # 5. the default
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
) -> dict[Status, int]:
    """How many minutes of `[start, end)` had each status."""
    counts = dict.fromkeys(Status, 0)
    for minute in range(start, end, 60):
        status = minute_status(minute, samples=samples, overlays=overlays, versions=versions, gaps=gaps)
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
) -> int:
    """How many DEGRADED minutes of `[start, end)` the settings of their time call downtime."""
    count = 0
    for minute in range(start, end, 60):
        status = minute_status(minute, samples=samples, overlays=overlays, versions=versions, gaps=gaps)
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


def _status_of_silence(minute: int, sample: Sample, expectation: object, gaps: list[Gap]) -> Status:
    """The status of a minute without a sample, after a sample."""
    if minute < _held_until(sample.minute, expectation):
        return sample.status
    if isinstance(expectation, OnChange):
        return Status.NO_DATA
    if any(_overlaps(gap.start, gap.end, minute) for gap in gaps):
        return Status.NO_DATA
    excuses = [gap.end for gap in _joined(gaps) if sample.minute < gap.end <= minute]
    if not excuses:
        return _missed(minute, sample.minute, expectation)
    last_excuse = max(excuses) // 60 * 60
    if minute < _held_until(last_excuse, expectation):
        return Status.NO_DATA
    return _missed(minute, last_excuse, expectation)


def _held_until(last: int, expectation: object) -> int:
    match expectation:
        case EveryInterval(interval=interval, grace=grace):
            return last + 60 + interval + grace
        case AtSchedule(schedule=schedule, grace=grace):
            return schedule.next_after(last) + 60 + grace
        case OnChange(stale_after=stale_after):
            return last + 60 + stale_after
        case _:
            raise AssertionError(expectation)


def _missed(minute: int, last: int, expectation: object) -> Status:
    match expectation:
        case EveryInterval(down_after=down_after):
            down_at = last + 60 + down_after
        case AtSchedule(schedule=schedule, down_after=down_after):
            down_at = schedule.next_after(last) + 60 + down_after
        case _:
            raise AssertionError(expectation)
    return Status.DOWN if minute >= down_at else Status.DEGRADED


def _joined(gaps: list[Gap]) -> list[Gap]:
    """The gaps with those that overlap or touch merged, two at a time until none do."""
    spans = list(gaps)
    for gap_a in spans:
        for gap_b in spans:
            if gap_a is not gap_b and gap_a.start <= gap_b.end and gap_b.start <= gap_a.end:
                both = Gap(min(gap_a.start, gap_b.start), max(gap_a.end, gap_b.end))
                return _joined([gap for gap in spans if gap is not gap_a and gap is not gap_b] + [both])
    return spans
