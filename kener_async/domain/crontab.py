"""The five fields of a cron expression, as crontab(5) has them: numbers, names, lists, ranges and steps."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CronField:
    """`names` are those of the first values, from `least` on."""

    title: str
    least: int
    greatest: int
    names: tuple[str, ...] = ()


FIELDS = (
    CronField("minute", 0, 59),
    CronField("hour", 0, 23),
    CronField("day of month", 1, 31),
    CronField(
        "month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
    ),
    CronField("day of week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)

_ITEM = re.compile(r"(?:(?P<all>\*)|(?P<first>[^-/*]+)(?:-(?P<last>[^-/*]+))?)(?:/(?P<step>[0-9]{1,9}))?")


def problem_of(expression: str) -> str | None:
    """What keeps a text from being a cron expression, such as "minute: a step is 1 to 59, not 90"."""
    words = expression.split()
    if len(words) != len(FIELDS):
        return f"needs five fields, not {len(words)}"
    problems = (
        _problem(item, field) for word, field in zip(words, FIELDS, strict=True) for item in word.split(",")
    )
    return next((problem for problem in problems if problem), None)


def _problem(item: str, field: CronField) -> str | None:
    match = _ITEM.fullmatch(item)
    if match is None:
        return f"{field.title}: {item} is no number, name, range or step"
    ends = [end for end in (match["first"], match["last"]) if end is not None]
    numbers = [_number(end, field) for end in ends]
    for end, number in zip(ends, numbers, strict=True):
        if number is None:
            names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
            return f"{field.title}: must be {field.least} to {field.greatest}{names}, not {end}"
    known = [number for number in numbers if number is not None]
    if sorted(known) != known:
        return f"{field.title}: the range {item} ends before it begins"
    return _step_problem(match, field)


def _number(text: str, field: CronField) -> int | None:
    if text.lower() in field.names:
        return field.least + field.names.index(text.lower())
    is_within = re.fullmatch("[0-9]{1,9}", text) and field.least <= int(text) <= field.greatest
    return int(text) if is_within else None


def _step_problem(match: "re.Match[str]", field: CronField) -> str | None:
    if match["step"] is None:
        return None
    if match["all"] is None and match["last"] is None:
        return (
            f"{field.title}: a step needs a range, such as {match['first']}-{field.greatest}/{match['step']}"
        )
    if not 1 <= int(match["step"]) <= field.greatest:
        return f"{field.title}: a step is 1 to {field.greatest}, not {match['step']}"
    return None
