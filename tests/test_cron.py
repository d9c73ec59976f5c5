"""Due times of cron expressions: those at which Debian's cron(8) starts a job, also where clocks change."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kener_async.clock import Cron

MINUTE, DAY = 60, 86400

# A zone, and the UTC date on which its clocks change.
CHANGES = [
    ("Europe/Berlin", "2026-03-29"),  # 02:00 becomes 03:00
    ("Europe/Berlin", "2026-10-25"),  # 03:00 becomes 02:00
    ("America/Havana", "2026-03-08"),  # 00:00 becomes 01:00
    ("America/Havana", "2026-11-01"),  # 01:00 becomes 00:00
    ("Asia/Beirut", "2026-03-28"),  # 00:00 becomes 01:00
    ("Asia/Beirut", "2026-10-24"),  # 00:00 becomes 23:00 of the day before
    ("Australia/Lord_Howe", "2026-10-03"),  # 02:00 becomes 02:30
    ("Australia/Lord_Howe", "2026-04-04"),  # 02:00 becomes 01:30
    ("America/St_Johns", "2026-03-08"),
    ("Pacific/Apia", "2011-12-30"),  # a whole day is left out
]
EXPRESSIONS = [
    "30 2 * * *",
    "0 0 * * *",
    "30 0 * * *",
    "15,45 1-2 * * *",
    "0 2,3 * * *",
    "30 23 * * *",
    "15 2 * * sun",
    "0 0 1,8,25,29 * *",
    "0 */2 * * *",
    "*/30 2 * * *",
    "*/15 * * * *",
    "5 * * * *",
    "0-59/20 * * * *",
    "0 12 */2 * mon",
]


def written(instants: list[int], zone: str) -> list[str]:
    return [f"{datetime.fromtimestamp(instant, ZoneInfo(zone)):%m-%d %H:%M %z}" for instant in instants]


def due_times(expression: str, zone: str, start: int, end: int) -> list[int]:
    """All due times in `(start, end)`."""
    cron, found = Cron(expression, zone), list[int]()
    while (due := cron.next_after(found[-1] if found else start)) < end:
        found.append(due)
    return found


def started_by_cron(expression: str, zone: str, start: int, end: int) -> list[int]:
    """What cron(8) starts in `(start, end)`, minute by minute, as its manual and its main loop say."""
    fields = expression.split()
    is_wild = fields[0].startswith("*") or fields[1].startswith("*")
    begun, latest = list[int](), None
    for instant in range(start - 2 * DAY, end, MINUTE):
        local = datetime.fromtimestamp(instant, ZoneInfo(zone)).replace(tzinfo=None)
        if is_wild or latest is None or abs(local - latest) >= timedelta(hours=3):
            reached = [local]
        else:  # all local minutes up to now that were not reached before: none after a step back
            steps = int((local - latest).total_seconds()) // MINUTE
            reached = [latest + timedelta(minutes=step) for step in range(1, steps + 1)]
        latest = local if latest is None or abs(local - latest) >= timedelta(hours=3) else max(latest, local)
        if start < instant and any(matches(fields, moment) for moment in reached):
            begun.append(instant)
    return begun


def matches(fields: list[str], moment: datetime) -> bool:
    minute, hour, day, month, weekday = fields
    days = {"sun": 0, "mon": 1}
    is_day = moment.day in values(day, 1, 31)
    is_weekday = moment.isoweekday() % 7 in values(str(days.get(weekday, weekday)), 0, 6)
    either = not day.startswith("*") and not weekday.startswith("*")
    return (
        moment.minute in values(minute, 0, 59)
        and moment.hour in values(hour, 0, 23)
        and moment.month in values(month, 1, 12)
        and (is_day or is_weekday if either else is_day and is_weekday)
    )


def values(field: str, least: int, most: int) -> set[int]:
    return {value for part in field.split(",") for value in _part(part, least, most)}


def _part(part: str, least: int, most: int) -> Iterator[int]:
    span, _, step = part.partition("/")
    first, _, last = (f"{least}-{most}" if span == "*" else span).partition("-")
    yield from range(int(first), int(last or first) + 1, int(step or 1))


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_report_is_due_when_cron_starts_the_job(expression: str, zone: str, day: str):
    noon = int(datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=UTC).timestamp())
    span = noon - 36 * 3600, noon + 36 * 3600
    expected = started_by_cron(expression, zone, *span)
    assert written(due_times(expression, zone, *span), zone) == written(expected, zone)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "due"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30+02:00", ["2026-10-25T02:30+02:00"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T02:30+02:00", ["2026-10-26T02:30+01:00"]),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00+01:00", ["2026-03-29T03:00+02:00"]),
        ("0 */2 * * *", "Europe/Berlin", "2026-03-29T00:00+01:00", ["2026-03-29T04:00+02:00"]),
        (
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-25T01:00+02:00",
            ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"],
        ),
        ("30 0 * * *", "America/Havana", "2026-03-07T12:00-05:00", ["2026-03-08T01:00-04:00"]),
        ("30 0 * * *", "America/Havana", "2026-10-31T12:00-04:00", ["2026-11-01T00:30-04:00"]),
        ("10 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00+10:30", ["2026-10-04T02:30+11:00"]),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T12:00+11:00",
            ["2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"],
        ),
    ],
)
def test_a_fixed_time_is_due_once_and_others_follow_real_time(
    expression: str, zone: str, after: str, due: list[str]
):
    instant, found = int(datetime.fromisoformat(after).timestamp()), list[int]()
    for _ in due:
        instant = Cron(expression, zone).next_after(instant)
        found.append(instant)
    assert found == [int(datetime.fromisoformat(one).timestamp()) for one in due]
