"""Recurrence rules: the days of dateutil, local times through changes of the clocks, refusals by name."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from random import Random
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr  # type: ignore[import-untyped]

from kener_async.domain.errors import Invalid
from kener_async.domain.recurrence import (
    WEEKDAYS,
    ClockChange,
    Frequency,
    RecurrenceRule,
    clock_change_at,
    instant_of_local,
    local_begins,
    parse_rule,
    require_occurrence,
)

RULES = int(os.environ.get("KENER_RULES", "300"))  # random ones, each in 20 zones
MAX_SECONDS = 0.05  # of one rule
ANY = ZoneInfo("UTC")
ZONES = [
    ZoneInfo(name)
    for name in (
        *("UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Chisinau"),
        *("America/New_York", "America/Sao_Paulo", "America/Santiago", "America/St_Johns", "America/Havana"),
        *("Africa/Casablanca", "Africa/Cairo", "Asia/Tehran", "Asia/Kolkata", "Asia/Gaza"),
        *("Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Pacific/Auckland"),
    )
]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def begins(rule: str, begin: str, count: int = 5, zone: str = "UTC") -> list[str]:
    """The first local times of a rule."""
    first = at(begin)
    found = local_begins(parse_rule(rule), first, ZoneInfo(zone), first, first + timedelta(days=3000))
    return [local.isoformat(" ", "minutes") for _, local in zip(range(count), found, strict=False)]


# Against an independent library


def random_rule(random: Random) -> str:
    """A rule of the subset. Those that dateutil reads otherwise than RFC 5545 are left out.

    Such are a BYDAY with numbers and without, and BYSETPOS in the first week: it takes that to begin with the
    begin of the rule.
    """
    frequency = random.choice(list(Frequency))
    parts = [f"FREQ={frequency}"]
    if random.random() < 0.5:
        parts.append(f"INTERVAL={random.choice([1, 2, 3, 4, 5, 7, 12, 13, 52, 366])}")
    with_numbers = frequency in ("MONTHLY", "YEARLY") and random.random() < 0.5
    by_months = random.random() < 0.4
    if random.random() < 0.5:
        most = 5 if frequency == "MONTHLY" or by_months else 53
        numbers = [sign * random.randint(1, most) if with_numbers else "" for sign in (1, -1, 1, 1, -1, 1, 1)]
        days = random.sample(WEEKDAYS, random.randint(1, 4))
        parts.append(
            "BYDAY=" + ",".join(f"{number}{day}" for number, day in zip(numbers, days, strict=False))
        )
    if frequency != "WEEKLY" and random.random() < 0.4:
        numbers = [random.choice([1, -1]) * random.randint(1, 31) for _ in range(random.randint(1, 4))]
        parts.append(f"BYMONTHDAY={','.join(map(str, numbers))}")
    if by_months:
        parts.append(f"BYMONTH={','.join(map(str, random.sample(range(1, 13), random.randint(1, 6))))}")
    is_limited = frequency != "WEEKLY" and any(part.startswith(("BYDAY", "BYMONTH")) for part in parts)
    if is_limited and random.random() < 0.3:
        parts.append(f"BYSETPOS={','.join(str(random.choice([1, 2, 3, -1, -2])) for _ in range(2))}")
    if random.random() < 0.3:
        parts.append(f"COUNT={random.randint(1, 60)}")
    elif random.random() < 0.3:
        parts.append(f"UNTIL=20{random.randint(27, 32)}{random.randint(1, 12):02}15T120000")
    random.shuffle(parts)
    return ";".join(parts)


def random_begin(random: Random) -> datetime:
    day = date(2024, 1, 1) + timedelta(days=random.randint(0, 1500))
    return datetime(day.year, day.month, day.day, random.randint(0, 23), random.choice([0, 15, 30, 59]))


def accepted(seed: int) -> Iterator[tuple[str, datetime, RecurrenceRule]]:
    """Random rules that occur, with their begins."""
    random = Random(seed)
    for _ in range(RULES):
        text, begin = random_rule(random), random_begin(random)
        try:
            rule = parse_rule(text)
            require_occurrence(rule, begin, ANY)
        except Invalid:
            continue  # dateutil would search for ever in some of these
        yield text, begin, rule


def test_random_rules_begin_when_dateutil_says_in_every_zone() -> None:
    compared = 0
    for text, begin, rule in accepted(seed=1):
        end = begin + timedelta(days=1500)
        expected = list(takewhile(lambda local: local < end, rrulestr(text, dtstart=begin)))  # noqa: B023
        for zone in ZONES:
            assert list(local_begins(rule, begin, zone, begin, end)) == expected, (text, begin)
        later = begin + timedelta(days=400)
        some = list(local_begins(rule, begin, ANY, later, end))
        assert some == [local for local in expected if local >= later], (text, begin)
        compared += len(expected)
    assert compared > RULES


def test_no_rule_takes_long() -> None:
    slowest = (0.0, "")
    for text, begin, rule in accepted(seed=2):
        started = time.process_time()
        list(local_begins(rule, begin, ANY, begin, begin + timedelta(days=400)))
        slowest = max(slowest, (time.process_time() - started, text))
    assert slowest[0] < MAX_SECONDS, slowest


# Refused, or bounded


# dateutil looks for the next one of these up to the year 9999, which takes it seconds to minutes.
ENDLESS = [
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=MONTHLY;BYMONTH=4;BYMONTHDAY=31",
    "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=31",
    "FREQ=MONTHLY;BYMONTHDAY=-31;BYMONTH=6",
    "FREQ=YEARLY;BYMONTH=2,4,6,9,11;BYMONTHDAY=31",
    "FREQ=MONTHLY;BYDAY=5MO;BYMONTHDAY=1",
    "FREQ=MONTHLY;BYDAY=1MO;BYMONTHDAY=8,15,22,29",
    "FREQ=YEARLY;BYDAY=53MO;BYMONTHDAY=1",
    "FREQ=DAILY;BYMONTHDAY=15;BYSETPOS=2",
    "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
]


@pytest.mark.parametrize("rule", ENDLESS)
def test_a_rule_that_never_occurs_is_refused_at_once(rule: str) -> None:
    started = time.process_time()
    with pytest.raises(Invalid, match="does not occur within 5 years of its begin"):
        require_occurrence(parse_rule(rule), at("2026-03-01 02:30"), ANY)
    assert time.process_time() - started < MAX_SECONDS


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ("", "must be a name and a value"),
        ("BYDAY=MO", "FREQ is missing"),
        ("FREQ=HOURLY", "FREQ=HOURLY is not supported, only DAILY, WEEKLY, MONTHLY, YEARLY"),
        ("FREQ=SECONDLY", "FREQ=SECONDLY is not supported"),
        *(
            (f"FREQ=YEARLY;{name}=1", f"{name} is not supported")
            for name in ("BYHOUR", "BYMINUTE", "BYSECOND")
        ),
        *(
            (f"FREQ=YEARLY;{name}=1", f"{name} is not supported")
            for name in ("BYWEEKNO", "BYYEARDAY", "WKST")
        ),
        ("FREQ=YEARLY;BYEASTER=1", "BYEASTER is not supported"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ is there twice"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL must be of numbers from 1 to 366"),
        ("FREQ=DAILY;INTERVAL=367", "INTERVAL must be of numbers from 1 to 366"),
        ("FREQ=DAILY;COUNT=1001", "COUNT must be of numbers from 1 to 1000"),
        ("FREQ=DAILY;COUNT=0", "COUNT must be of numbers from 1 to 1000"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "COUNT and UNTIL exclude each other"),
        ("FREQ=DAILY;UNTIL=2027-01-01", "UNTIL must be such as 20270131"),
        ("FREQ=DAILY;UNTIL=20270230", "UNTIL must be such as 20270131"),
        ("FREQ=WEEKLY;BYDAY=XX", "BYDAY must be of MO, TU, WE"),
        ("FREQ=WEEKLY;BYDAY=1MO", "BYDAY must have no numbers with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYDAY=6MO", "BYDAY must have numbers from 1 to 5"),
        ("FREQ=YEARLY;BYDAY=54MO", "BYDAY must have numbers from 1 to 53"),
        ("FREQ=YEARLY;BYDAY=0MO", "BYDAY must have numbers from 1 to 53"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY is not supported with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY must be of numbers from 1 to 31 or -1 to -31"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY must be of numbers from 1 to 31 or -1 to -31"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH must be of numbers from 1 to 12"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS needs BYDAY, BYMONTHDAY or BYMONTH"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=367", "BYSETPOS must be of numbers from 1 to 366"),
        ("FREQ=DAILY;" + "BYDAY=MO," * 100, "must have at most 500 characters"),
    ],
)
def test_what_is_not_in_the_subset_is_refused_by_name(rule: str, error: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_rule(rule)
    assert error in refused.value.message


def test_a_long_series_costs_no_more_than_the_time_it_is_asked_for() -> None:
    rule = parse_rule("FREQ=DAILY")
    started = time.process_time()
    found = list(local_begins(rule, at("1970-01-01 00:00"), ANY, at("2500-01-01"), at("2500-01-05")))
    assert len(found) == 4
    assert time.process_time() - started < MAX_SECONDS
    rule = parse_rule("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;COUNT=1000")
    started = time.process_time()
    list(local_begins(rule, at("1970-01-01 00:00"), ANY, at("2027-01-01"), at("2028-03-01")))
    assert time.process_time() - started < MAX_SECONDS


# What RFC 5545 says where dateutil says otherwise, and its examples


@pytest.mark.parametrize(
    ("rule", "begin", "expected"),
    [
        ("FREQ=MONTHLY;BYDAY=-1SU", "2026-03-01 02:30", ["2026-03-29 02:30", "2026-04-26 02:30"]),
        ("FREQ=MONTHLY;BYMONTHDAY=31", "2026-01-31 01:00", ["2026-01-31 01:00", "2026-03-31 01:00"]),
        ("FREQ=MONTHLY", "2026-01-30 01:00", ["2026-01-30 01:00", "2026-03-30 01:00"]),
        ("FREQ=YEARLY", "2024-02-29 01:00", ["2024-02-29 01:00", "2028-02-29 01:00"]),
        ("FREQ=MONTHLY;BYDAY=MO,2TU", "2026-03-01 01:00", ["2026-03-02 01:00", "2026-03-09 01:00"]),
        ("FREQ=WEEKLY;BYDAY=MO,FR;BYSETPOS=1", "2026-03-04 01:00", ["2026-03-09 01:00", "2026-03-16 01:00"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2026-01-01 09:00", ["2026-01-30 09:00"]),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "2026-01-01 09:00", ["2026-02-13 09:00", "2026-03-13 09:00"]),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", "2026-03-04 01:00", ["2026-03-08 01:00", "2026-03-22 01:00"]),
        ("rrule:freq=daily;count=2", "2026-03-04 01:00", ["2026-03-04 01:00", "2026-03-05 01:00"]),
        ("FREQ=DAILY;UNTIL=20260305", "2026-03-04 23:00", ["2026-03-04 23:00", "2026-03-05 23:00"]),
    ],
)
def test_a_rule_occurs_when_the_standard_says(rule: str, begin: str, expected: list[str]) -> None:
    assert begins(rule, begin, len(expected)) == expected


def test_until_in_utc_is_an_instant() -> None:
    rule = "FREQ=DAILY;UNTIL=20260305T013000Z"  # 02:30 in Berlin
    assert begins(rule, "2026-03-04 02:30", zone="Europe/Berlin") == ["2026-03-04 02:30", "2026-03-05 02:30"]
    assert begins(rule, "2026-03-04 02:31", zone="Europe/Berlin") == ["2026-03-04 02:31"]


# Changes of the clocks


def weekly(zone: str, begin: str, weeks: int) -> list[tuple[str, str, str]]:
    """Weekly at 02:30: what is not an hour by the clock, as local time, the time that is meant, and why."""
    place = ZoneInfo(zone)
    rule, first = parse_rule("FREQ=WEEKLY"), at(begin)
    odd = []
    for local in local_begins(rule, first, place, first, first + timedelta(weeks=weeks)):
        instant, change = instant_of_local(local, place), clock_change_at(local, place)
        meant = datetime.fromtimestamp(instant, place)
        if change is not ClockChange.NONE:
            odd.append((f"{local:%Y-%m-%d %H:%M}", meant.isoformat(" ", "minutes"), change.value))
        else:
            assert meant.replace(tzinfo=None) == local
    return odd


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (
            "Europe/Berlin",
            [
                ("2026-03-29 02:30", "2026-03-29 03:00+02:00", "skipped"),
                ("2026-10-25 02:30", "2026-10-25 02:30+02:00", "repeated"),
                ("2027-03-28 02:30", "2027-03-28 03:00+02:00", "skipped"),
                ("2027-10-31 02:30", "2027-10-31 02:30+02:00", "repeated"),
                ("2028-03-26 02:30", "2028-03-26 03:00+02:00", "skipped"),
                ("2028-10-29 02:30", "2028-10-29 02:30+02:00", "repeated"),
            ],
        ),
        (
            "America/New_York",  # set back at 02:00, so that 02:30 is once
            [
                ("2026-03-08 02:30", "2026-03-08 03:00-04:00", "skipped"),
                ("2027-03-14 02:30", "2027-03-14 03:00-04:00", "skipped"),
                ("2028-03-12 02:30", "2028-03-12 03:00-04:00", "skipped"),
            ],
        ),
        ("Australia/Lord_Howe", []),  # by half an hour: from 02:00 to 02:30, and from 02:00 to 01:30
        (
            "Africa/Casablanca",  # set back before Ramadan and forward after it
            [
                ("2026-02-15 02:30", "2026-02-15 02:30+01:00", "repeated"),
                ("2026-03-22 02:30", "2026-03-22 03:00+01:00", "skipped"),
                ("2027-02-07 02:30", "2027-02-07 02:30+01:00", "repeated"),
                ("2027-03-14 02:30", "2027-03-14 03:00+01:00", "skipped"),
                ("2028-01-23 02:30", "2028-01-23 02:30+01:00", "repeated"),
                ("2028-03-05 02:30", "2028-03-05 03:00+01:00", "skipped"),
            ],
        ),
    ],
)
def test_weekly_at_half_past_two_over_three_years(zone: str, expected: list[tuple[str, str, str]]) -> None:
    assert weekly(zone, "2026-01-04 02:30", 156) == expected


@pytest.mark.parametrize(
    ("zone", "local", "meant"),
    [
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-04 02:30+11:00"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-05 01:45+11:00"),
        ("Pacific/Apia", "2011-12-30 05:00", "2011-12-31 00:00+14:00"),  # a day that was left out
        ("America/Sao_Paulo", "2018-11-04 00:00", "2018-11-04 01:00-02:00"),  # midnight does not exist
        ("Africa/Cairo", "2026-04-24 00:30", "2026-04-24 01:00+03:00"),
    ],
)
def test_a_time_that_does_not_exist_begins_at_the_first_that_does(zone: str, local: str, meant: str) -> None:
    place = ZoneInfo(zone)
    instant = instant_of_local(at(local), place)
    assert datetime.fromtimestamp(instant, place).isoformat(" ", "minutes") == meant
    assert datetime.fromtimestamp(instant, UTC).second == 0
