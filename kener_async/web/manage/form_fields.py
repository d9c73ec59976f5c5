"""Fields of forms: what browsers send is text, once for a field or as often as boxes are checked."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, missing

MAX_TEXT = 20_000  # characters
FIRST_YEAR, LAST_YEAR = 1971, 9998  # every zone can show their instants
MAX_PASSWORD = 1_000  # characters that are looked at


class FormText(fields.Field[str]):
    """A text without NUL, with line feeds between its lines; `lines` False: of one line.

    It is stripped; a field that was not sent is empty. `minimum` and `maximum` are its length in characters.
    """

    def __init__(
        self, *, minimum: int = 0, maximum: int = MAX_TEXT, lines: bool = False, **options: Any
    ) -> None:
        super().__init__(**{"load_default": "", **_required(minimum > 0), **options})
        self.minimum, self.maximum, self.lines = minimum, maximum, lines

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        text = str(value).replace("\r\n", "\n").strip()
        if "\0" in text or (not self.lines and "\n" in text):
            raise ValidationError("contains an invalid character")
        if len(text) < self.minimum:
            raise ValidationError("is missing" if not text else f"needs at least {self.minimum} characters")
        if len(text) > self.maximum:
            raise ValidationError(f"has {len(text)} characters; {self.maximum} are allowed")
        return text


class FormPassword(fields.Field[str]):
    """A password exactly as it was typed; its length is for the rules of passwords to judge."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"load_default": "", **options})

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if len(value) > MAX_PASSWORD or "\0" in value:
            raise ValidationError("contains an invalid character" if "\0" in value else "is too long")
        return str(value)


class FormChoice(fields.Field[Any]):
    """One of a few words; loads the value it stands for. It must be sent, or have a `load_default`."""

    def __init__(self, choices: Mapping[str, Any], **options: Any) -> None:
        required = {"required": "load_default" not in options, "error_messages": {"required": "choose one"}}
        super().__init__(**{**required, **options})
        self.choices = choices

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if value not in self.choices:
            raise ValidationError(f"must be one of: {', '.join(filter(None, self.choices))}")
        return self.choices[value]


class FormBox(fields.Field[bool]):
    """A box, which browsers send only when it is checked."""

    def __init__(self, **options: Any) -> None:
        super().__init__(load_default=False, **options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        return bool(value)


class FormNumber(fields.Field[int]):
    """A whole number within bounds; an empty field is None unless `required`."""

    def __init__(self, minimum: int, maximum: int, **options: Any) -> None:
        super().__init__(**{"load_default": None, **_required(options.get("required", False)), **options})
        self.minimum, self.maximum = minimum, maximum

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        text = str(value).strip()
        if not text and not self.required:
            return None  # type: ignore[return-value]
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 18:
            raise ValidationError("must be a whole number")
        if not self.minimum <= int(text) <= self.maximum:
            raise ValidationError(f"must be from {self.minimum} to {self.maximum}")
        return int(text)


class FormMoment(fields.Field[datetime]):
    """Date and time as `datetime-local` sends them, without a zone; an empty field is None."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"load_default": None, **_required(options.get("required", False)), **options})

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        text = str(value).strip()
        if not text:
            if self.required:
                raise ValidationError("is missing")
            return None  # type: ignore[return-value]
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is not None or "T" not in text.upper().replace(" ", "T"):
            raise ValidationError("must be a date and a time such as 2026-11-28T14:05")
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise ValidationError(f"must be in the years from {FIRST_YEAR} to {LAST_YEAR}")
        return moment


class FormList(fields.Field[tuple[str, ...]]):
    """The values of all checked boxes, or chosen options, of one name; none is an empty tuple."""

    def __init__(self, *, minimum: int = 0, maximum: int = 2000, **options: Any) -> None:
        super().__init__(**{"load_default": (), **_required(minimum > 0), **options})
        self.minimum, self.maximum = minimum, maximum

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> tuple[str, ...]:
        values = tuple(dict.fromkeys(text for text in value if text))
        if len(values) < self.minimum:
            raise ValidationError("choose at least one")
        if len(values) > self.maximum:
            raise ValidationError(f"choose at most {self.maximum}")
        return values


def _required(is_required: bool) -> dict[str, Any]:
    """The options of a field that must be sent: marshmallow allows it no default."""
    if not is_required:
        return {}
    return {
        "required": True,
        "load_default": missing,
        "error_messages": {"required": "is missing", "null": "is missing"},
    }
