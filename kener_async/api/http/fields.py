"""Strict marshmallow fields: a string is not a number, a boolean is not a number."""

import math
import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields

from kener_async.domain.calendar import FIRST_INSTANT, LAST_INSTANT


class SingleMessageField(fields.Field[Any]):
    """A field with one error message for everything that can be wrong with it."""

    def __init__(self, *, message: str, **options: Any) -> None:
        messages: dict[str, Any] = dict.fromkeys(("required", "null", "invalid"), message)
        super().__init__(error_messages=messages, **options)

    def refuse(self) -> ValidationError:
        return self.make_error("invalid")


class JsonNumber(SingleMessageField, fields.Float):
    """A JSON number within bounds."""

    def __init__(self, *, minimum: float, maximum: float, **options: Any) -> None:
        super().__init__(**options)
        self.minimum, self.maximum = minimum, maximum
        self.metadata = {**self.metadata, "minimum": minimum, "maximum": maximum}

    def _deserialize(self, value: Any, attr: str | None, *_: Any, **__: Any) -> float:
        if type(value) not in (float, int) or value < self.minimum:
            raise self.refuse()
        if value > self.maximum:
            raise ValidationError(f"{attr}: must be at most {self.maximum:.0f}")
        return float(value)


class JsonInstant(JsonNumber):
    """UTC seconds as a number, with a fraction or without."""

    def __init__(self, **options: Any) -> None:
        super().__init__(minimum=FIRST_INSTANT, maximum=LAST_INSTANT, **options)

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> float:
        _require_seconds(self, value)
        return super()._deserialize(value, *args, **options)


UNITS = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
PLAUSIBLE = range(10**9, 4 * 10**9)  # seconds of 2001 to 2096


def _require_seconds(field: SingleMessageField, value: Any) -> None:
    """Name the unit in which a number that is too large to be UTC seconds is a plausible time."""
    if type(value) not in (int, float) or value <= LAST_INSTANT or not math.isfinite(value):
        return
    for unit, scale in UNITS.items():
        if int(value) // scale in PLAUSIBLE:
            message = field.error_messages["invalid"]
            raise ValidationError(
                f"{message}; {int(value)} looks like {unit}, {int(value) // scale} is seconds"
            )


class JsonInteger(SingleMessageField, fields.Integer):
    """A JSON integer within bounds; `5.0` is one."""

    def __init__(self, *, minimum: int, maximum: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.minimum, self.maximum = minimum, maximum
        bounds = {"minimum": minimum} if maximum is None else {"minimum": minimum, "maximum": maximum}
        self.metadata = {**bounds, **self.metadata}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse()
        if value < self.minimum or (self.maximum is not None and value > self.maximum):
            raise self.refuse()
        return value


class Instant(JsonInteger):
    """UTC seconds, of an instant that every time zone can show."""

    def __init__(self, **options: Any) -> None:
        super().__init__(minimum=FIRST_INSTANT, maximum=LAST_INSTANT, **options)

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> int:
        if type(value) is int and FIRST_INSTANT <= value <= LAST_INSTANT:
            return value
        _require_seconds(self, value)
        return super()._deserialize(value, *args, **options)


class QueryInteger(JsonInteger):
    """An integer in a query string: digits, perhaps with a sign."""

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> int:
        return super()._deserialize(_number_in(self, value), *args, **options)


class QueryInstant(Instant):
    """UTC seconds in a query string, of an instant that every time zone can show."""

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> int:
        return super()._deserialize(_number_in(self, value), *args, **options)


def _number_in(field: SingleMessageField, value: Any) -> int:
    text = str(value)
    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit() or len(text) > 19:
        raise field.refuse()
    return int(text)


class QueryNumber(JsonNumber):
    """A number in a query string, such as 12 or 0.5 or 1e-3."""

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> float:
        if not re.fullmatch(r"-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?", str(value)):
            raise self.refuse()
        number = float(value)
        if not math.isfinite(number):
            raise self.refuse()
        return super()._deserialize(number, *args, **options)


class JsonBoolean(SingleMessageField, fields.Boolean):
    """`true` or `false`."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise self.refuse()
        return value


class JsonString(SingleMessageField, fields.String):
    """A JSON string without NUL; `minimum` and `maximum` are its length."""

    def __init__(self, *, minimum: int = 0, maximum: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.minimum, self.maximum = minimum, maximum
        bounds = {"minLength": minimum} if minimum else {}
        self.metadata = {**bounds, **({"maxLength": maximum} if maximum else {}), **self.metadata}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if not isinstance(value, str) or "\0" in value or len(value.strip()) < self.minimum:
            raise self.refuse()
        if self.maximum is not None and len(value) > self.maximum:
            raise self.refuse()
        return value


class JsonChoice(SingleMessageField, fields.String):
    """One of a few strings; loads the value that the string stands for."""

    def __init__(self, *, choices: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.choices = choices
        self.metadata = {"enum": list(choices), **self.metadata}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not isinstance(value, str):
            raise self.refuse()
        if value not in self.choices:
            raise self._refuse_word(value)
        return self.choices[value]

    def _refuse_word(self, word: str) -> ValidationError:
        """The error for another word, which names the choice that differs in case or spaces only."""
        meant = [choice for choice in self.choices if choice.lower() == word.strip().lower()[:20]]
        message = self.error_messages["invalid"]
        return ValidationError(f'{message}; write "{meant[0]}"' if meant else message)


class TagList(SingleMessageField, fields.List[Any]):
    """A list of at least one tag, without duplicates when loaded."""

    def __init__(self, *, message: str, **options: Any) -> None:
        super().__init__(message=message, cls_or_instance=fields.String(), **options)
        self.metadata = {"minItems": 1, **self.metadata}

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:  # type: ignore[override]
        if not isinstance(value, list) or not value or not all(isinstance(tag, str) for tag in value):
            raise self.refuse()
        return tuple(dict.fromkeys(value))


class Items(SingleMessageField, fields.List[Any]):
    """A list that is loaded as it is; its items are validated one by one later."""

    def __init__(self, schema: Schema, *, message: str, **options: Any) -> None:
        super().__init__(message=message, cls_or_instance=fields.Nested(schema), **options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.refuse()
        return value


class CommaSeparated(SingleMessageField, fields.String):
    """Strings in a query string, separated by commas."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(item for part in str(value).split(",") if (item := part.strip()))
