"""Typed comparisons of one value with operands, and the words for one that does not hold.

A value of another type than the operands never compares: not equal, not unequal, not less.
"""

import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal

from kener_async.domain.durations import format_duration
from kener_async.domain.json_paths import ABSENT
from kener_async.domain.masking import shortened

Operand = int | float | bool | str | timedelta | None
Quantifier = Literal["", "any", "all"]

LONGEST_SHOWN = 60  # characters of a text in a reason


class Kind(StrEnum):
    """The types of values; the text is how an error names one."""

    NUMBER = "a number"
    DURATION = "a duration"
    TEXT = "text"
    BOOLEAN = "true or false"
    NULL = "null"
    RECORDS = "a set of texts"
    LIST = "a list"
    OBJECT = "an object"


def kind_of(value: object) -> Kind:
    """The type of a value that a target gave, or of an operand."""
    match value:
        case bool():
            return Kind.BOOLEAN
        case int() | float():
            return Kind.NUMBER
        case timedelta():
            return Kind.DURATION
        case str():
            return Kind.TEXT
        case None:
            return Kind.NULL
        case frozenset():
            return Kind.RECORDS
        case list():
            return Kind.LIST
    return Kind.OBJECT


ORDERED = frozenset({Kind.NUMBER, Kind.DURATION, Kind.TEXT})
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`sign` is ==, !=, <, <=, >, >=, contains or like; `is_negated` with the last two only.

    Without a quantifier there is one operand. All operands of an ordering are of one type in ORDERED, those
    of `like` are texts.
    """

    sign: str
    operands: tuple[Operand, ...]
    quantifier: Quantifier = ""
    is_negated: bool = False

    def fault(self, name: str, value: object, *, is_private: bool = False) -> str:
        """Why the comparison does not hold of a named value, such as `status is 502`; empty if it does.

        A private value, such as a body, is not shown.
        """
        if value is ABSENT:
            return f"{name}: is not there"
        if not self._compares(kind := kind_of(value)):
            shown = kind.value if is_private or kind in (Kind.LIST, Kind.OBJECT) else shown_value(value)
            return f"{name} is {shown}, not {self._wanted()}"
        if self._holds(value) != self.is_negated:
            return ""
        return self._reason(name, value, is_private)

    def _compares(self, kind: Kind) -> bool:
        """Whether a value of the type can be compared with the operands at all."""
        if self.sign == "contains" and kind is Kind.LIST:
            return True
        if kind is Kind.RECORDS:
            return True  # parsing allows texts only
        if self.sign == "contains" and kind is not Kind.TEXT:
            return False
        return any(kind_of(operand) is kind for operand in self.operands)

    def _wanted(self) -> str:
        kinds = [kind_of(operand).value for operand in self.operands]
        if self.sign == "contains":
            kinds = ["text" if Kind.TEXT in kinds else "", Kind.LIST]
        return " or ".join(dict.fromkeys(filter(None, kinds)))

    def _holds(self, value: object) -> bool:
        match self.sign:
            case "==":
                return self._equals(value)
            case "!=":
                return not self._equals(value)
            case "contains":
                return self._each(lambda operand: _contains(value, operand))
            case "like":
                texts = value if isinstance(value, frozenset) else (value,)
                return self._each(lambda pattern: any(_like(text, pattern) for text in texts))
        return _ORDER[self.sign](value, self.operands[0])

    def _equals(self, value: object) -> bool:
        if isinstance(value, frozenset) and self.quantifier != "any":
            return value == frozenset(self.operands)
        return any(_equal(value, operand) for operand in self.operands)

    def _each(self, holds: Callable[[Operand], bool]) -> bool:
        return all(map(holds, self.operands)) if self.quantifier == "all" else any(map(holds, self.operands))

    def _reason(self, name: str, value: object, is_private: bool) -> str:
        operands = ", ".join(map(shown_value, self.operands))
        wanted = f"{self.quantifier}({operands})" if self.quantifier else operands
        match self.sign, self.is_negated:
            case "contains", False:
                return f"{name} does not contain {wanted}"
            case "contains", True:
                return f"{name} contains {wanted}"
            case "like", True:
                return f"{name} is like {wanted}"
        if not is_private:
            return f"{name} {'are' if isinstance(value, frozenset) else 'is'} {shown_value(value)}"
        words = {"==": "is not", "!=": "is"}.get(self.sign, f"is not {self.sign}")
        return f"{name} {words} {wanted}"


def _equal(value: object, operand: Operand) -> bool:
    if isinstance(value, frozenset):
        return value == frozenset({operand})
    return kind_of(value) is kind_of(operand) and value == operand


def _contains(value: object, operand: Operand) -> bool:
    match value:
        case str():
            return isinstance(operand, str) and operand in value
        case frozenset():
            return operand in value
        case list():
            return any(_equal(each, operand) for each in value)
    return False


# Patterns: * stands for any text, ? for one character. They are matched piece by piece, each where it occurs
# first, so that nothing is ever tried twice: the time grows with the text, whatever the pattern.


def _like(text: object, pattern: Operand) -> bool:
    if not isinstance(text, str) or not isinstance(pattern, str):
        return False
    folded = text.casefold()
    first, *others = _pieces(pattern.casefold())
    if not others:
        return _matches(first, folded, 0) and len(folded) == len(first)
    last = others.pop()
    if not _matches(first, folded, 0):
        return False
    at, end = len(first), len(folded) - len(last)
    for piece in others:
        found = _find(piece, folded, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return at <= end and _matches(last, folded, end)


def _pieces(pattern: str) -> list[str]:
    """What is between the stars of a pattern."""
    return re.split(r"\*+", pattern)


def _matches(piece: str, text: str, at: int) -> bool:
    """Whether a piece is at a position of the text."""
    if "?" not in piece:
        return text.startswith(piece, at)
    return _compiled(piece).match(text, at) is not None


def _find(piece: str, text: str, at: int, end: int) -> int:
    """Where a piece is first found in a part of the text; -1 if nowhere."""
    if "?" not in piece:
        return text.find(piece, at, end)
    found = _compiled(piece).search(text, at, end)
    return found.start() if found else -1


@lru_cache(1024)
def _compiled(piece: str) -> "re.Pattern[str]":
    """A piece as a regular expression of literal characters and points: nothing in it can backtrack."""
    return re.compile("".join("." if each == "?" else re.escape(each) for each in piece), re.DOTALL)


# Words


def shown_value(value: object) -> str:
    """A value or an operand as reasons show it, on one line; long texts are cut off."""
    match value:
        case str():
            return _quoted(value)
        case timedelta():
            return shown_duration(value)
        case frozenset():
            return shortened(", ".join(sorted(map(_quoted, value))), LONGEST_SHOWN) if value else "none"
        case bool() | None:
            return json.dumps(value)
        case int() if abs(value) >= 10**LONGEST_SHOWN:
            return "a very large number"
        case list() | dict():
            return kind_of(value).value
    return shortened(str(value), LONGEST_SHOWN)


def shown_duration(duration: timedelta) -> str:
    """A duration such as `812 ms`, `1.25 s`, `3d 4h` or `-2d`."""
    sign, size = ("-", -duration) if duration < timedelta() else ("", duration)
    seconds = size.total_seconds()
    if seconds < 1:
        return f"{sign}{seconds * 1000:.4g} ms"
    return f"{sign}{seconds:.4g} s" if seconds < 60 else sign + format_duration(int(seconds))


def _quoted(text: str) -> str:
    plain = "".join(each if each.isprintable() else " " for each in text[: LONGEST_SHOWN + 1])
    return f'"{shortened(plain, LONGEST_SHOWN)}"'
