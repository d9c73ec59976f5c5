"""Civil days on the UTC time line, in every time zone."""

from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from kener_async.domain.calendar import (
    HOUR,
    MINUTE,
    QUARTER,
    day_of,
    day_start,
    days_between,
    minute_from,
    minute_of,
    quarter_from,
    quarter_of,
    utc_day_of,
)

ZONES = sorted(available_timezones())
START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
END = int(datetime(2028, 1, 1, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("chunk", range(16))
def test_days_of_every_zone_are_an_exact_sum_of_quarters(chunk: int) -> None:
    for name in ZONES[chunk::16]:
        zone = ZoneInfo(name)
        days = days_between(START, END, zone)
        assert days[0][1] <= START < days[0][2], name
        assert days[-1][1] < END <= days[-1][2], name
        assert all(one[2] == following[1] for one, following in pairwise(days)), name
        assert [day for day, _, _ in days] == [
            date.fromordinal(days[0][0].toordinal() + n) for n in range(len(days))
        ], name
        assert all(begins % QUARTER == 0 and ends % QUARTER == 0 for _, begins, ends in days), name
        assert all(22 * HOUR <= ends - begins <= 26 * HOUR for _, begins, ends in days), name
        quarters = sum((ends - begins) // QUARTER for _, begins, ends in days)
        assert quarters * QUARTER == days[-1][2] - days[0][1], name


@pytest.mark.parametrize("chunk", range(16))
def test_a_day_holds_its_first_and_last_second(chunk: int) -> None:
    """Asked of the days on which the offset changes, of those beside them, and of every 29th other."""
    for name in ZONES[chunk::16]:
        zone = ZoneInfo(name)
        days = days_between(START, END, zone)
        odd = [place for place, (_, begins, ends) in enumerate(days) if ends - begins != 24 * HOUR]
        asked = {*range(0, len(days), 29), *(place + beside for place in odd for beside in (-1, 0, 1))}
        for day, begins, ends in (days[place] for place in asked if 0 <= place < len(days)):
            assert day_of(begins, zone) == day == day_of(ends - 1, zone), name


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [
        pytest.param(
            "Europe/Berlin", date(2024, 3, 30), 24 * HOUR, id="the day before summer time has 24 hours"
        ),
        pytest.param(
            "Europe/Berlin", date(2024, 3, 31), 23 * HOUR, id="the day summer time begins has 23 hours"
        ),
        pytest.param(
            "Europe/Berlin", date(2024, 10, 27), 25 * HOUR, id="the day summer time ends has 25 hours"
        ),
        pytest.param("Australia/Lord_Howe", date(2024, 10, 6), 23 * HOUR + 1800, id="half an hour less"),
        pytest.param("Australia/Lord_Howe", date(2024, 4, 7), 24 * HOUR + 1800, id="half an hour more"),
        pytest.param("Asia/Kathmandu", date(2024, 6, 1), 24 * HOUR, id="an offset of 5:45 leaves 24 hours"),
        pytest.param(
            "Africa/Cairo", date(2024, 4, 26), 23 * HOUR, id="a day without a midnight has 23 hours"
        ),
        pytest.param(
            "America/Havana", date(2024, 11, 3), 25 * HOUR, id="a day with two midnights has 25 hours"
        ),
        pytest.param("Pacific/Apia", date(2011, 12, 30), 0, id="a date that a zone left out is empty"),
    ],
)
def test_length_of_a_day(zone: str, day: date, length: int) -> None:
    following = date.fromordinal(day.toordinal() + 1)
    assert day_start(following, ZoneInfo(zone)) - day_start(day, ZoneInfo(zone)) == length


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("UTC", date(2024, 6, 1), "2024-06-01T00:00"),
        ("Europe/Berlin", date(2024, 3, 31), "2024-03-30T23:00"),
        ("Europe/Berlin", date(2024, 4, 1), "2024-03-31T22:00"),
        ("Asia/Kathmandu", date(2024, 6, 1), "2024-05-31T18:15"),
        ("Australia/Lord_Howe", date(2024, 6, 1), "2024-05-31T13:30"),
        ("Australia/Lord_Howe", date(2024, 12, 1), "2024-11-30T13:00"),
        ("Africa/Cairo", date(2024, 4, 26), "2024-04-25T22:00"),
        ("America/Havana", date(2024, 11, 3), "2024-11-03T04:00"),
    ],
)
def test_a_day_begins(zone: str, day: date, begins: str) -> None:
    instant = int(datetime.fromisoformat(f"{begins}+00:00").timestamp())
    assert day_start(day, ZoneInfo(zone)) == instant
    assert day_of(instant, ZoneInfo(zone)) == day
    assert day_of(instant - 1, ZoneInfo(zone)) == date.fromordinal(day.toordinal() - 1)


def test_days_between_names_whole_days_that_overlap() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first, second = date(2024, 3, 31), date(2024, 4, 1)
    begins, meets, ends = (day_start(day, berlin) for day in (first, second, date(2024, 4, 2)))
    assert days_between(meets - 1, meets + 1, berlin) == [(first, begins, meets), (second, meets, ends)]
    assert days_between(begins, meets, berlin) == [(first, begins, meets)]
    assert days_between(meets, meets, berlin) == []


@pytest.mark.parametrize("instant", [0, 1, 59, 60, 61, 899, 900, 901, 86_399, 86_400, 1_731_251_767])
def test_the_grids_hold_the_instant(instant: int) -> None:
    assert minute_of(instant) <= instant < minute_of(instant) + MINUTE
    assert minute_from(instant) - MINUTE < instant <= minute_from(instant)
    assert quarter_of(instant) <= instant < quarter_of(instant) + QUARTER
    assert quarter_from(instant) - QUARTER < instant <= quarter_from(instant)
    assert utc_day_of(instant) == day_start(day_of(instant, ZoneInfo("UTC")), ZoneInfo("UTC"))
    assert minute_of(instant) % MINUTE == minute_from(instant) % MINUTE == 0
    assert quarter_of(instant) % QUARTER == quarter_from(instant) % QUARTER == 0
