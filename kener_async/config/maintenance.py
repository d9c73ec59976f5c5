"""`[[maintenance]]`: maintenance that repeats, and the rules between its keys."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from marshmallow import ValidationError, fields, validate

from kener_async.config.alert_fields import CATEGORY, MonitorPattern, NonEmptyLine
from kener_async.config.fields import Boolean, Duration, List, String, TimeZone, describe, suggestion
from kener_async.config.problems import ConfigProblem, Values, duplicates
from kener_async.config.schema import key, table
from kener_async.domain.calendar import MINUTE
from kener_async.domain.errors import Invalid
from kener_async.domain.recurrence import LONGEST_TEXT, parse_rule, require_occurrence
from kener_async.domain.series import ANNOUNCE_BEFORE, LONGEST, ONCE

NOT_EMPTY = validate.Length(1, error="must not be empty")
MOST_EXCLUDED = 400
MOST_IN_NAME = 100
MOST_ANNOUNCED = 5
FIRST_YEAR, LAST_YEAR = 1970, 8000


class LocalTime(fields.Field[datetime]):
    """A date and time without an offset; in JSON as text."""

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> datetime:
        moment = _moment(value)
        if moment is None:
            raise ValidationError(
                f"must be a date and time such as 2026-12-06T02:30:00, not {describe(value)}"
            )
        if moment.tzinfo is not None:
            raise ValidationError("must have no offset, timezone says where it is")
        if moment.microsecond:
            raise ValidationError("must be of whole seconds")
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise ValidationError(f"must be between the years {FIRST_YEAR} and {LAST_YEAR}")
        return moment


def _moment(value: object) -> datetime | None:
    """A date and time as TOML has it, or as text of ISO 8601; None for anything else."""
    if isinstance(value, str) and "T" in value:
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, datetime) else None


class LocalDate(fields.Field[date]):
    """A date; in JSON as text."""

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> date:
        day = _day(value)
        if day is None:
            raise ValidationError(f"must be a date such as 2026-12-27, not {describe(value)}")
        return day


def _day(value: object) -> date | None:
    if isinstance(value, str) and len(value) == len("2026-12-27"):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    return value if isinstance(value, date) and not isinstance(value, datetime) else None


class SeriesName(NonEmptyLine):
    """A name that can be a part of an address."""

    def parsed(self, text: str) -> str:
        name = super().parsed(text)
        if len(name) > MOST_IN_NAME or "/" in name or name in (".", "..") or name != name.strip():
            raise ValidationError(f"must be 1 to {MOST_IN_NAME} characters without a slash")
        return str(name)


class RuleText(String):
    """A recurrence rule; empty: once."""

    def parsed(self, text: str) -> str:
        if text:
            try:
                parse_rule(text)
            except Invalid as error:
                raise ValidationError(error.message) from None
        return text


@table
class MaintenanceTable:
    """`timezone` None: that of [site]. `length` and `announce` are in seconds."""

    name: str = key(SeriesName(), doc="Unique: 1 to 100 characters without a slash.")
    title: str = key(
        NonEmptyLine(validate=validate.Length(max=300, error="must be at most 300 characters")),
        doc="The title of each maintenance.",
    )
    text: str = key(String(), "", doc="What visitors read of it, Markdown; empty: nothing.")
    monitors: tuple[str, ...] = key(
        List(MonitorPattern(), validate=NOT_EMPTY),
        doc='Tags, in which * and ? stand for others; "category:Planets" means the monitors of a category.',
    )
    members: bool = key(
        Boolean(), True, doc="Whether the members of a group that is named are in maintenance, too."
    )
    begin: datetime = key(
        LocalTime(),
        doc="A date and time, local to the timezone: where it begins first, and the time of day of all.",
    )
    timezone: ZoneInfo | None = key(
        TimeZone(), None, doc="The zone whose clocks it follows. Default: the timezone of [site]."
    )
    length: int = key(Duration(MINUTE, LONGEST), doc='How long each one takes, such as "2h".')
    rrule: str = key(
        RuleText(validate=validate.Length(max=LONGEST_TEXT, error="is too long")),
        "",
        doc="When it repeats: a rule of iCalendar of FREQ (DAILY, WEEKLY, MONTHLY or YEARLY), INTERVAL, "
        "BYDAY, BYMONTHDAY, BYMONTH, BYSETPOS, and COUNT or UNTIL. Empty: never, it is once.",
    )
    excluded: tuple[date, ...] = key(
        List(LocalDate(), validate=validate.Length(max=MOST_EXCLUDED, error="are too many")),
        (),
        name="except",
        doc="Dates on which it does not begin.",
    )
    announce: tuple[int, ...] = key(
        List(
            Duration(MINUTE, ANNOUNCE_BEFORE),
            validate=validate.Length(max=MOST_ANNOUNCED, error=f"must be at most {MOST_ANNOUNCED}"),
        ),
        (),
        doc="How long before each one it is announced to the channels that have maintenance in their tell.",
    )


def maintenance_problems(values: Values) -> Iterator[ConfigProblem]:
    """What is wrong between the keys of the file."""
    yield from duplicates(values, "maintenance", "name")
    tags = _names(values, "monitors", "tag")
    categories = _names(values, "categories", "name")
    zone = values.get("site", {}).get("timezone")
    for index, each in enumerate(values.get("maintenance", ())):
        place = ("maintenance", index)
        for text in rule_problems(each, zone):
            yield ConfigProblem((*place, "rrule"), text)
        for position, pattern in enumerate(each.get("monitors", ())):
            for text in pattern_problems(pattern, tags, categories):
                yield ConfigProblem((*place, "monitors", position), text)


def rule_problems(values: Values, site_zone: ZoneInfo | None) -> Iterator[str]:
    """Whether a rule never occurs; values that are invalid themselves are absent."""
    rrule, begin, zone = values.get("rrule"), values.get("begin"), values.get("timezone") or site_zone
    if rrule and begin and zone:
        try:
            require_occurrence(parse_rule(rrule), begin, zone)
        except Invalid as error:
            yield error.message


def pattern_problems(
    pattern: str, tags: Sequence[str] | None, categories: Sequence[str] | None
) -> Iterator[str]:
    """Whether a pattern names a monitor or a category that there is not; None: they are not known."""
    if pattern.startswith(CATEGORY):
        name = pattern.removeprefix(CATEGORY)
        if categories is not None and name not in categories:
            yield f"{describe(name)} is not a category{suggestion(name, categories)}"
    elif tags is not None and not set("*?") & set(pattern) and pattern not in tags:
        yield f"{describe(pattern)} is not the tag of a monitor{suggestion(pattern, tags)}"


def _names(values: Values, tables: str, name: str) -> list[str] | None:
    """The names of an array of tables; None where one is invalid itself, and may be the one meant."""
    names = [each.get(name) for each in values.get(tables, ())]
    return None if None in names else names


def rule_text(table: MaintenanceTable) -> str:
    """The rule by which it occurs."""
    return table.rrule or ONCE
