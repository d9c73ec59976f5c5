"""Recurrence rules: the subset of iCalendar's RRULE (RFC 5545) that maintenance repeats by, in local time.

An expansion goes from one period (a day, week, month or year) to the next and never further than it is asked
to, so that its cost is bounded by the time between, whatever the rule.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from kener_async.domain.errors import Invalid

LONGEST_TEXT = 500
MOST_INTERVAL = 366
MOST_COUNT = 1000
MUST_OCCUR_WITHIN = timedelta(days=5 * 366)
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
PARTS = ("FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "COUNT", "UNTIL")


class Frequency(StrEnum):
    """How long the periods of a rule are."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    YEARLY = "YEARLY"


@dataclass(frozen=True, slots=True)
class DayOfWeek:
    """A weekday, 0 for Monday; `ordinal` 2 is the second in a month or year, -1 the last, 0 each of them."""

    weekday: int
    ordinal: int = 0


@dataclass(frozen=True, slots=True)
class RecurrenceRule:
    """A parsed rule. Empty tuples: not given. Negative numbers count from the end.

    `until` is inclusive: a date, a local time without zone, or an instant in UTC; None: no limit.
    """

    frequency: Frequency
    interval: int = 1
    weekdays: tuple[DayOfWeek, ...] = ()
    month_days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    count: int | None = None
    until: date | None = None


def parse_rule(text: str) -> RecurrenceRule:
    """The rule of a text such as "FREQ=WEEKLY;BYDAY=SU"; raises Invalid, which names the part."""
    given = _parts(text)
    if "FREQ" not in given:
        raise Invalid("FREQ is missing")
    if "COUNT" in given and "UNTIL" in given:
        raise Invalid("COUNT and UNTIL exclude each other")
    rule = RecurrenceRule(
        frequency=_frequency(given["FREQ"]),
        interval=_number("INTERVAL", given.get("INTERVAL", "1"), MOST_INTERVAL),
        weekdays=tuple(map(_day_of_week, _list("BYDAY", given))),
        month_days=tuple(_signed("BYMONTHDAY", each, 31) for each in _list("BYMONTHDAY", given)),
        months=tuple(_number("BYMONTH", each, 12) for each in _list("BYMONTH", given)),
        positions=tuple(_signed("BYSETPOS", each, 366) for each in _list("BYSETPOS", given)),
        count=_number("COUNT", given["COUNT"], MOST_COUNT) if "COUNT" in given else None,
        until=_until(given["UNTIL"]) if "UNTIL" in given else None,
    )
    _check_parts_fit(rule)
    return rule


def _parts(text: str) -> dict[str, str]:
    if len(text) > LONGEST_TEXT:
        raise Invalid(f"must have at most {LONGEST_TEXT} characters")
    given: dict[str, str] = {}
    for part in text.strip().upper().removeprefix("RRULE:").split(";"):
        name, equals, value = part.partition("=")
        if not equals:
            raise Invalid(f"{part!r} must be a name and a value, such as FREQ=WEEKLY")
        if name not in PARTS:
            raise Invalid(f"{name[:40]} is not supported, only {', '.join(PARTS)}")
        if name in given:
            raise Invalid(f"{name} is there twice")
        given[name] = value
    return given


def _list(name: str, given: dict[str, str]) -> list[str]:
    return list(dict.fromkeys(given[name].split(","))) if name in given else []


def _frequency(text: str) -> Frequency:
    try:
        return Frequency(text)
    except ValueError:
        raise Invalid(f"FREQ={text[:40]} is not supported, only {', '.join(Frequency)}") from None


def _number(name: str, text: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= most:
        raise Invalid(f"{name} must be of numbers from 1 to {most}, not {text[:40]!r}")
    return int(text)


def _signed(name: str, text: str, most: int) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,4}", text) or not 1 <= abs(int(text)) <= most:
        raise Invalid(f"{name} must be of numbers from 1 to {most} or -1 to -{most}, not {text[:40]!r}")
    return int(text)


def _day_of_week(text: str) -> DayOfWeek:
    match = re.fullmatch(r"([+-]?[0-9]{1,2})?([A-Z]{2})", text)
    if match is None or match[2] not in WEEKDAYS:
        raise Invalid(f"BYDAY must be of {', '.join(WEEKDAYS)}, perhaps after a number, not {text[:40]!r}")
    ordinal = int(match[1] or 0)
    if match[1] and not 1 <= abs(ordinal) <= 53:
        raise Invalid(f"BYDAY must have numbers from 1 to 53 or -1 to -53, not {text!r}")
    return DayOfWeek(WEEKDAYS.index(match[2]), ordinal)


_UNTIL = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z?))?")


def _until(text: str) -> date:
    match = _UNTIL.fullmatch(text)
    try:
        if match is not None and match[4] is None:
            return date(*map(int, match.groups()[:3]))
        if match is not None:
            return datetime(*map(int, match.groups()[:6]), tzinfo=UTC if match[7] else None)  # type: ignore[misc, arg-type]  # six numbers
    except ValueError:
        pass  # no such day or time
    raise Invalid(f"UNTIL must be such as 20270131, 20270131T235959 or 20270131T225959Z, not {text[:40]!r}")


def _check_parts_fit(rule: RecurrenceRule) -> None:
    by_weeks = rule.frequency in (Frequency.DAILY, Frequency.WEEKLY)
    if by_weeks and any(day.ordinal for day in rule.weekdays):
        raise Invalid(f"BYDAY must have no numbers with FREQ={rule.frequency}")
    in_months = rule.frequency is Frequency.MONTHLY or rule.months
    if in_months and any(abs(day.ordinal) > 5 for day in rule.weekdays):
        raise Invalid("BYDAY must have numbers from 1 to 5 or -1 to -5 within a month")
    if rule.frequency is Frequency.WEEKLY and rule.month_days:
        raise Invalid("BYMONTHDAY is not supported with FREQ=WEEKLY")
    if rule.positions and not (rule.weekdays or rule.month_days or rule.months):
        raise Invalid("BYSETPOS needs BYDAY, BYMONTHDAY or BYMONTH")


def require_occurrence(rule: RecurrenceRule, begin: datetime, zone: ZoneInfo) -> None:
    """Raise Invalid unless the rule has an occurrence within 5 years of its begin, a local time."""
    if next(local_begins(rule, begin, zone, begin, begin + MUST_OCCUR_WITHIN), None) is None:
        raise Invalid("does not occur within 5 years of its begin")


def local_begins(
    rule: RecurrenceRule, begin: datetime, zone: ZoneInfo, start: datetime, end: datetime
) -> Iterator[datetime]:
    """The local times in `[start, end)` at which the rule occurs, in order; all without a time zone.

    `begin` gives the first period, the time of day, and the days that the rule leaves open. It occurs itself
    only where it is as the rule says.
    """
    is_over = _limit(rule, begin, zone)
    skipped = 0 if rule.count is not None else _periods_before(rule, begin.date(), start.date())
    occurred = 0
    for days in _periods(rule, begin.date(), skipped, end.date()):
        for day in days:
            local = datetime.combine(day, begin.time())
            if local < begin:
                continue
            occurred += 1
            if local >= end or is_over(local) or (rule.count is not None and occurred > rule.count):
                return
            if local >= start:
                yield local


def _limit(rule: RecurrenceRule, begin: datetime, zone: ZoneInfo) -> Callable[[datetime], bool]:
    """Whether a local time is beyond UNTIL."""
    until = rule.until
    if until is None:
        return lambda local: False
    if not isinstance(until, datetime):
        return lambda local: local.date() > until
    if until.tzinfo is None:
        return lambda local: local > until
    return lambda local: instant_of_local(local, zone) > until.timestamp()


def _periods_before(rule: RecurrenceRule, begin: date, start: date) -> int:
    """How many periods can be left out because they end before a day."""
    if start <= begin:
        return 0
    days, months = (start - begin).days, (start.year - begin.year) * 12 + start.month - begin.month
    passed = {
        Frequency.DAILY: days,
        Frequency.WEEKLY: days // 7,
        Frequency.MONTHLY: months,
        Frequency.YEARLY: start.year - begin.year,
    }[rule.frequency]
    return max(passed // rule.interval - 1, 0)


def _periods(rule: RecurrenceRule, begin: date, skipped: int, last: date) -> Iterator[Sequence[date]]:
    """The days of each period, from one on, until one that begins after the last day."""
    index = skipped * rule.interval
    days_of = _DAYS_OF[rule.frequency]
    while True:
        try:
            first, days = days_of(rule, begin, index)
        except (OverflowError, ValueError):  # beyond the year 9999
            return
        if first > last:
            return
        yield _at_positions(days, rule.positions)
        index += rule.interval


def _at_positions(days: Sequence[date], positions: Sequence[int]) -> Sequence[date]:
    """Those at the positions of BYSETPOS, in order; all where there is none."""
    if not positions:
        return days
    indexes = {position - 1 if position > 0 else len(days) + position for position in positions}
    return [days[index] for index in sorted(indexes) if 0 <= index < len(days)]


Period = tuple[date, Sequence[date]]  # its first day, and those on which the rule occurs


def _day(rule: RecurrenceRule, begin: date, index: int) -> Period:
    day = begin + timedelta(days=index)
    weekdays = {each.weekday for each in rule.weekdays}
    fits = (
        (not rule.months or day.month in rule.months)
        and (not weekdays or day.weekday() in weekdays)
        and (not rule.month_days or day.day in _month_days(rule, day.year, day.month))
    )
    return day, [day] if fits else []


def _week(rule: RecurrenceRule, begin: date, index: int) -> Period:
    monday = begin - timedelta(days=begin.weekday()) + timedelta(weeks=index)
    weekdays = sorted({each.weekday for each in rule.weekdays} or {begin.weekday()})
    days = [monday + timedelta(days=weekday) for weekday in weekdays]
    return monday, [day for day in days if not rule.months or day.month in rule.months]


def _month(rule: RecurrenceRule, begin: date, index: int) -> Period:
    years, month = divmod(begin.month - 1 + index, 12)
    year, month = begin.year + years, month + 1
    is_left_out = rule.months and month not in rule.months
    return date(year, month, 1), [] if is_left_out else _days_of_month(rule, begin, year, month)


def _year(rule: RecurrenceRule, begin: date, index: int) -> Period:
    year = begin.year + index
    months: Sequence[int] = sorted(rule.months)
    if not months:
        months = range(1, 13) if rule.month_days or rule.weekdays else [begin.month]
    days = [day for month in months for day in _days_of_month(rule, begin, year, month)]
    return date(year, 1, 1), days


_DAYS_OF: dict[Frequency, Callable[[RecurrenceRule, date, int], Period]] = {
    Frequency.DAILY: _day,
    Frequency.WEEKLY: _week,
    Frequency.MONTHLY: _month,
    Frequency.YEARLY: _year,
}


def _days_of_month(rule: RecurrenceRule, begin: date, year: int, month: int) -> list[date]:
    """The days of a month on which a rule of months or years occurs."""
    length = monthrange(year, month)[1]
    if rule.month_days:
        numbers = _month_days(rule, year, month)
    elif rule.weekdays:
        numbers = range(1, length + 1)
    else:
        numbers = [begin.day] if begin.day <= length else []
    days = [date(year, month, number) for number in numbers]
    return [day for day in days if _is_on_weekday(rule, day, length)]


def _month_days(rule: RecurrenceRule, year: int, month: int) -> Sequence[int]:
    length = monthrange(year, month)[1]
    numbers = {number if number > 0 else length + 1 + number for number in rule.month_days}
    return sorted(number for number in numbers if 1 <= number <= length)


def _is_on_weekday(rule: RecurrenceRule, day: date, length: int) -> bool:
    """Whether a day is one of BYDAY, whose numbers count within its month, or within its year."""
    if not rule.weekdays:
        return True
    weekday = day.weekday()
    if rule.frequency is Frequency.MONTHLY or rule.months:
        number, left = day.day, length - day.day
    else:
        number, left = day.timetuple().tm_yday, (date(day.year, 12, 31) - day).days
    ordinals = (0, (number - 1) // 7 + 1, -(left // 7) - 1)
    return any(each.weekday == weekday and each.ordinal in ordinals for each in rule.weekdays)


class ClockChange(StrEnum):
    """What a change of the clocks does to a local time."""

    NONE = ""
    SKIPPED = "skipped"  # it does not exist: the first instant after it is meant
    REPEATED = "repeated"  # it exists twice: the first one is meant


def clock_change_at(local: datetime, zone: ZoneInfo) -> ClockChange:
    """Whether a local time does not exist in a zone, or exists twice."""
    before, after = _offsets(local, zone)
    if before == after:
        return ClockChange.NONE
    return ClockChange.SKIPPED if before < after else ClockChange.REPEATED


def instant_of_local(local: datetime, zone: ZoneInfo) -> int:
    """The instant of a local time, in UTC seconds.

    One that does not exist is the first instant that does after it, one that exists twice is the first.
    """
    before, after = _offsets(local, zone)
    as_utc = local.replace(tzinfo=UTC)
    if before >= after:
        return int((as_utc - before).timestamp())
    return _change_between(int((as_utc - after).timestamp()), int((as_utc - before).timestamp()), zone)


def _offsets(local: datetime, zone: ZoneInfo) -> tuple[timedelta, timedelta]:
    """The offsets from UTC before and after a change of the clocks at the local time; equal without one."""
    before, after = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return before or timedelta(), after or timedelta()


def _change_between(low: int, high: int, zone: ZoneInfo) -> int:
    """The first instant in `(low, high]` at which the offset is that of `high`."""
    offset = datetime.fromtimestamp(high, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high
