"""Singular queries of RFC 9535: paths to one value of a JSON document, such as `$.a.b[0]['c d']`.

The string literals of such paths are also those of conditions.
"""

import json
import re
from dataclasses import dataclass
from enum import Enum

# The largest index that RFC 9535 allows: JSON's interoperable integers.
LARGEST_INDEX = 2**53 - 1

_BLANK = re.compile(r"[ \t\n\r]*")
_NAME = re.compile(r"[A-Za-z_\x80-\ud7ff\ue000-\U0010ffff][A-Za-z0-9_\x80-\ud7ff\ue000-\U0010ffff]*")
_INDEX = re.compile(r"-?[0-9]+")
_UNICODE = re.compile(r"u[0-9A-Fa-f]{4}")
_PLAIN = {
    '"': re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]+'),
    "'": re.compile(r"[^'\\\x00-\x1f\ud800-\udfff]+"),
}
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "/": "/", "\\": "\\"}


class Absent(Enum):
    """`ABSENT` stands for a value that is not there; JSON's null is one that is."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


class PathFault(ValueError):
    """A text is not a singular query, or not a string literal; `position` counts from 0."""

    def __init__(self, text: str, position: int) -> None:
        super().__init__(text)
        self.position = position


@dataclass(frozen=True, slots=True)
class JsonPath:
    """`steps` are names of members and indices of elements; a negative index counts from the end."""

    text: str
    steps: tuple[str | int, ...]

    def value_in(self, document: object) -> object:
        """The value that the path leads to in a parsed document, or ABSENT."""
        value = document
        for step in self.steps:
            match value, step:
                case dict(), str() if step in value:
                    value = value[step]
                case list(), int() if -len(value) <= step < len(value):
                    value = value[step]
                case _:
                    return ABSENT
        return value


def path_at(text: str, position: int) -> tuple[JsonPath, int]:
    """The path that begins at the position, as far as it goes, and its end; raises PathFault."""
    if not text.startswith("$", position):
        raise PathFault("a path begins with $", position)
    steps: list[str | int] = []
    end = position + 1
    while (begin := _after_blanks(text, end)) < len(text) and text[begin] in ".[":
        step, end = _step_at(text, begin)
        steps.append(step)
    return JsonPath(text[position:end], tuple(steps)), end


def string_at(text: str, position: int) -> tuple[str, int]:
    """The value of the literal that begins with the quote at the position, and its end; raises PathFault."""
    quote, parts, at = text[position], [], position + 1
    while True:
        if plain := _PLAIN[quote].match(text, at):
            parts.append(plain[0])
            at = plain.end()
        if at >= len(text):
            raise PathFault(f"the text has no {quote} at its end", position)
        if text[at] == quote:
            return "".join(parts), at + 1
        if text[at] != "\\":
            raise PathFault("contains an invalid character, write it as \\u and four digits", at)
        character, at = _escape_at(text, at, quote)
        parts.append(character)


def _after_blanks(text: str, position: int) -> int:
    blank = _BLANK.match(text, position)
    return blank.end() if blank else position


def _step_at(text: str, begin: int) -> tuple[str | int, int]:
    """The step that begins with the point or the bracket, and its end."""
    if text[begin] == ".":
        name = _NAME.match(text, begin + 1)
        if name is None:
            raise PathFault("needs a name after the point, other characters as ['a name']", begin + 1)
        return name[0], name.end()
    at = _after_blanks(text, begin + 1)
    step: str | int
    if text[at : at + 1] in ("'", '"'):
        step, end = string_at(text, at)
    else:
        step, end = _index_at(text, at)
    end = _after_blanks(text, end)
    if not text.startswith("]", end):
        raise PathFault("needs ] here: a path leads to one value", end)
    return step, end + 1


def _index_at(text: str, at: int) -> tuple[int, int]:
    digits = _INDEX.match(text, at)
    if digits is None:
        raise PathFault("needs an index or a name in quotes in brackets: a path leads to one value", at)
    plain = digits[0].removeprefix("-")
    if plain.startswith("0") and digits[0] != "0":
        raise PathFault(f"an index has no zero in front, not {digits[0][:20]}", at)
    if len(plain) > len(str(LARGEST_INDEX)) or int(plain) > LARGEST_INDEX:
        raise PathFault("an index is at most 2^53 - 1", at)
    return int(digits[0]), digits.end()


def _escape_at(text: str, at: int, quote: str) -> tuple[str, int]:
    """The character of the escape that begins with the backslash, and its end."""
    letter = text[at + 1 : at + 2]
    if letter == quote:
        return quote, at + 2
    if letter in _ESCAPES:
        return _ESCAPES[letter], at + 2
    end = at
    while (code := _UNICODE.match(text, end + 1)) and text[end] == "\\":
        end = code.end()
        character = _decoded(text[at:end])
        if character is not None:
            return character, end
        if end - at >= len("\\ud83d\\ude00"):
            break
    raise PathFault(f"{text[at : at + 6]} is no escape", at)


def _decoded(escape: str) -> str | None:
    """The character of one or two \\u escapes; None for half a pair of surrogates, or a wrong pair."""
    character: str = json.loads(f'"{escape}"')
    return character if len(character) == 1 and not "\ud800" <= character <= "\udfff" else None
