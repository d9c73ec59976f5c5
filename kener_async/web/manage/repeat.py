"""How a maintenance repeats, as a form asks for it: from its choices to a recurrence rule."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from kener_async.domain.recurrence import WEEKDAYS

CHOICES = ("", "daily", "weekly", "monthly-day", "monthly-weekday", "monthly-last", "yearly", "rule")


def rule_of(
    repeat: str, begin: date, interval: int | None, weekdays: Sequence[str], until: date | None, own: str
) -> str:
    """The rule of a choice; empty: once. `own` is the rule that was typed, with its own end."""
    if repeat == "rule":
        return own
    if not repeat:
        return ""
    weekday = WEEKDAYS[begin.weekday()]
    parts = {
        "daily": "FREQ=DAILY",
        "weekly": f"FREQ=WEEKLY;BYDAY={','.join(weekdays or [weekday])}",
        "monthly-day": f"FREQ=MONTHLY;BYMONTHDAY={begin.day}",
        "monthly-weekday": f"FREQ=MONTHLY;BYDAY={ordinal_of(begin)}{weekday}",
        "monthly-last": f"FREQ=MONTHLY;BYDAY=-1{weekday}",
        "yearly": f"FREQ=YEARLY;BYMONTH={begin.month};BYMONTHDAY={begin.day}",
    }[repeat]
    if interval is not None and interval > 1:
        parts += f";INTERVAL={interval}"
    return parts if until is None else f"{parts};UNTIL={until:%Y%m%d}"


def ordinal_of(begin: date) -> int:
    """Which of its weekday a date is in its month, from 1."""
    return (begin.day - 1) // 7 + 1


def named_choices(gettext: Any) -> list[tuple[str, str]]:
    """The choices with their words."""
    _ = gettext
    return [
        ("", _("Never")),
        ("daily", _("Every day")),
        ("weekly", _("Every week")),
        ("monthly-day", _("Every month, on the same day of the month")),
        ("monthly-weekday", _("Every month, on the same weekday of the same week")),
        ("monthly-last", _("Every month, on the last such weekday")),
        ("yearly", _("Every year")),
        ("rule", _("By a rule of iCalendar")),
    ]


def local_text(moment: datetime | None) -> str:
    """A local time as `datetime-local` fields have it; empty for None."""
    return "" if moment is None else moment.strftime("%Y-%m-%dT%H:%M")
