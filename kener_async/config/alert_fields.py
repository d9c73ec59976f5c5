"""The kinds of values in the settings of alerts and channels."""

import json
import re
from typing import Any, NamedTuple

from marshmallow import ValidationError, fields

from kener_async.config.fields import NonEmptyString, PingUrl, String, StringMap, describe, is_placeholder
from kener_async.domain.calendar import DAY, MINUTE

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CATEGORY = "category:"


class Number(fields.Field[float]):
    """A number with decimals or without, above a minimum."""

    def __init__(self, above: float, maximum: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.above, self.maximum = above, maximum

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> float:
        if type(value) not in (int, float):
            raise ValidationError(f"must be a number, not {describe(value)}")
        number = float(value)  # type: ignore[arg-type]  # it is a number
        if not self.above < number <= self.maximum:
            raise ValidationError(f"must be above {self.above:g} and at most {self.maximum:g}")
        return number


class MonitorPattern(String):
    """A tag, in which * stands for any text and ? for a character, or `category:` and a name."""

    def parsed(self, text: str) -> str:
        is_tag = re.fullmatch(r"[A-Za-z0-9._~*?-]{1,64}", text)
        if not is_tag and not (text.startswith(CATEGORY) and text.removeprefix(CATEGORY).strip()):
            raise ValidationError(
                f'must be a tag, also with * and ?, or "category:" and a name, not {describe(text)}'
            )
        return text


class HoursOfWeek(NamedTuple):
    """Days, 0 is Monday, and minutes of the day; an end up to the start is one of the next day."""

    days: frozenset[int]
    start: int
    end: int


class WeekHours(String):
    """Such as "mon-fri 08:00-18:00"; without days it is every day, without times all day. Empty: None."""

    def parsed(self, text: str) -> HoursOfWeek | None:
        words = text.lower().split()
        if not words:
            return None
        times = words.pop() if ":" in words[-1] else "00:00-24:00"
        if len(words) > 1:
            raise _not_hours(text)
        days = frozenset(range(7)) if not words else _days(words[0], text)
        start, dash, end = times.partition("-")
        begin, finish = _minute(start, text), _minute(end, text)
        if not dash or begin == DAY // MINUTE:
            raise _not_hours(text)
        return HoursOfWeek(days, begin, finish)


def _not_hours(text: str) -> ValidationError:
    return ValidationError(
        f'must be days and times such as "mon-fri 08:00-18:00" or "sat,sun 10:00-16:00", not {describe(text)}'
    )


def _days(word: str, text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in word.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise _not_hours(text)
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days.update(range(begin, end + 1) if begin <= end else (*range(begin, 7), *range(end + 1)))
    return frozenset(days)


def _minute(time: str, text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", time)
    if match is None or int(match[2]) > 59 or int(match[1]) * 60 + int(match[2]) > DAY // MINUTE:
        raise _not_hours(text)
    return int(match[1]) * 60 + int(match[2])


class Mailbox(String):
    """An address of mail, with a name before it or without; empty where that is allowed."""

    def __init__(self, *, may_be_empty: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.may_be_empty = may_be_empty

    def parsed(self, text: str) -> str:
        if self.may_be_empty and not text:
            return text
        if not text.isprintable() or not re.fullmatch(rf"{_ADDRESS}|[^<>]*<{_ADDRESS}>", text):
            raise ValidationError(
                'must be an address such as "ops@example.org" or "Ops <ops@example.org>", not '
                f"{describe(text)}"
            )
        return text


_ADDRESS = r"[^@\s<>,;:\"()\[\]\\]{1,64}@[^@\s<>,;:\"()\[\]\\]{1,253}"


class HostName(String):
    """The name or address of a host, or empty."""

    def parsed(self, text: str) -> str:
        if text and not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", text):
            raise ValidationError(f"must be the name or the address of a host, not {describe(text)}")
        return text


class SecretUrl(PingUrl):
    """An address that is a secret, because whoever knows it can write there; it is required."""

    def __init__(self) -> None:
        super().__init__(is_secret=True)

    def parsed(self, text: str) -> str:
        return super().parsed(NonEmptyString().parsed(text))


class SecretToken(String):
    """A secret of another service: printable ASCII without spaces; error messages do not show it."""

    def __init__(self, *, may_be_empty: bool = False, minimum: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.may_be_empty, self.minimum = may_be_empty, minimum

    def parsed(self, text: str) -> str:
        if self.may_be_empty and not text:
            return text
        if is_placeholder(text):
            raise ValidationError("is a placeholder, not a secret")
        if not re.fullmatch(f"[!-~]{{{self.minimum},2000}}", text):
            raise ValidationError(f"must be {self.minimum} to 2000 characters of ASCII without spaces")
        return text


class Line(String):
    """Text in one line, which may be empty."""

    def parsed(self, text: str) -> str:
        if not text.isprintable():
            raise ValidationError("must be one line without control characters")
        return text


class NonEmptyLine(Line):
    def parsed(self, text: str) -> str:
        return NonEmptyString().parsed(super().parsed(text))


class Headers(StringMap):
    """Headers of a request; error messages do not show their values."""

    NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
    # What the program says itself: how long the body is, and what a receiver trusts.
    OURS: tuple[str, ...] = (
        "connection",
        "content-length",
        "idempotency-key",
        "transfer-encoding",
        "x-kener-signature",
    )

    def _problems(self, name: str, text: object) -> Any:
        if not re.fullmatch(self.NAME, name):
            yield "is not the name of a header"
        elif name.lower() in self.OURS:
            yield "is a header that the program sets itself"
        if not isinstance(text, str):
            yield f"must be text, not {describe(text)}"
        elif not text.isprintable() or not text.isascii():
            yield "must be one line of ASCII"


class JsonText(String):
    """JSON, an object or an array, kept as text; empty: none."""

    def parsed(self, text: str) -> str:
        if not text.strip():
            return ""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ValidationError(f"is not JSON: {error}") from None
        except RecursionError:
            raise ValidationError("is not JSON: nested too deeply") from None
        if not isinstance(value, dict | list):
            raise ValidationError("must be a JSON object or array")
        if _is_deeper(value, MAX_DEPTH):
            raise ValidationError(f"is nested deeper than {MAX_DEPTH} levels")
        return text


MAX_DEPTH = 50


def _is_deeper(value: object, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)
