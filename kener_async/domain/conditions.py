"""Conditions of checks: one typed comparison each, such as `status < 400` or `json $.queue <= 100`.

A condition is parsed when the configuration is loaded. What is of another type, or is not there, makes it
false; there are no regular expressions, and the time is linear in the text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import NoReturn

from kener_async.domain.comparisons import (
    ORDERED,
    Comparison,
    Kind,
    Operand,
    Quantifier,
    kind_of,
    shown_value,
)
from kener_async.domain.durations import LONGEST, parse_duration
from kener_async.domain.json_paths import ABSENT, Absent, JsonPath, PathFault, path_at, string_at
from kener_async.domain.spelling import closest

# What a value can be: a number, a duration, a text, true, false, null, or a set of texts (records).
Value = int | float | bool | str | timedelta | frozenset[str] | None

LONGEST_CONDITION = 4096  # characters
MOST_CONTAINERS = 100_000  # lists and objects of a body; reading more would hold the event loop

# The values that conditions ask for, each with its type; None: any that JSON has.
KINDS: Mapping[str, Kind | None] = {
    "status": Kind.NUMBER,
    "latency": Kind.DURATION,
    "body": Kind.TEXT,
    "json": None,
    "header": Kind.TEXT,
    "url": Kind.TEXT,
    "ip": Kind.TEXT,
    "certificate": Kind.DURATION,
    "records": Kind.RECORDS,
    "rcode": Kind.TEXT,
    "loss": Kind.NUMBER,
    "answer": Kind.TEXT,
}
MEASURABLE_LENGTHS = ("json", "body", "answer", "records")
PRIVATE = ("body", "answer")  # are not quoted in reasons


class ConditionFault(ValueError):
    """A condition cannot be parsed; `column` counts from 1."""

    def __init__(self, text: str, column: int) -> None:
        super().__init__(text)
        self.column = column


@dataclass(slots=True)
class Observed:
    """What conditions can ask of one attempt; what is not in it is not there.

    `values` by name: status, latency, body, url, ip, certificate, records, rcode, loss, answer. `headers` by
    name in lower case. `body` is also what `json` paths look into, parsed at most once.
    """

    values: Mapping[str, Value]
    headers: Mapping[str, str]
    _documents: list[object] = field(default_factory=list, init=False, repr=False, compare=False)

    def document(self) -> object:
        """The body as JSON; ABSENT if it is not there, or is no JSON."""
        if not self._documents:
            self._documents.append(_parsed(self.values.get("body")))
        return self._documents[0]


def _parsed(body: Value) -> object:
    if not isinstance(body, str) or body.count("[") + body.count("{") > MOST_CONTAINERS:
        return ABSENT
    try:
        document: object = json.loads(body.removeprefix("\ufeff"), parse_constant=_no_json)
    except (ValueError, RecursionError):  # no JSON; a number of thousands of digits; nested too deep
        return ABSENT
    return document


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


@dataclass(frozen=True, slots=True)
class ConditionSubject:
    """What a condition asks for; `text` is how it is written. `header` is in lower case."""

    text: str
    name: str
    path: JsonPath | None = None
    header: str = ""
    is_length: bool = False

    @property
    def kind(self) -> Kind | None:
        """Its type; None: any that JSON has."""
        return Kind.NUMBER if self.is_length else KINDS[self.name]

    def of(self, observed: Observed) -> object:
        """The value of an attempt, or ABSENT."""
        if self.path is not None:
            document = observed.document()
            return ABSENT if document is ABSENT else self.path.value_in(document)
        if self.name == "header":
            return observed.headers.get(self.header, ABSENT)
        return observed.values.get(self.name, ABSENT)


@dataclass(frozen=True, slots=True)
class CheckCondition:
    """A parsed condition. `comparison` None: whether the subject exists, or with `is_negated` does not.

    `reads` are the names of the values that it asks for: of `json` paths both json and body, of a header
    header, of a length that of which it is.
    """

    text: str
    reads: frozenset[str]
    subject: ConditionSubject
    comparison: Comparison | None
    is_negated: bool = False

    def fault(self, observed: Observed) -> str:
        """Why the condition does not hold, such as `status is 502`; empty if it does."""
        value = self.subject.of(observed)
        if self.comparison is None:
            is_there = value is not ABSENT and value != frozenset()
            if is_there is not self.is_negated:
                return ""
            return f"{self.subject.text}: {'is there' if is_there else 'is not there'}"
        name = self.subject.text
        if not self.subject.is_length:
            return self.comparison.fault(name, value, is_private=self.subject.name in PRIVATE)
        match value:
            case str() | list() | dict() | frozenset():
                return self.comparison.fault(name, len(value))
            case Absent():
                return self.comparison.fault(name, ABSENT)
        return f"{name}: {kind_of(value)} has no length"


def first_fault(conditions: Sequence[CheckCondition], observed: Observed) -> str:
    """Why the first of the conditions that does not hold does not; empty if all hold."""
    return next((fault for each in conditions if (fault := each.fault(observed))), "")


def at_most(name: str, most: int | float | timedelta) -> CheckCondition:
    """The condition that a number or a duration is not larger."""
    text = f"{name} <= {shown_value(most)}"
    return CheckCondition(text, frozenset({name}), ConditionSubject(name, name), Comparison("<=", (most,)))


# Parse


@lru_cache(4096)  # many monitors share the same few
def parse(text: str) -> CheckCondition:
    """The condition of a text; raises ConditionFault."""
    if len(text) > LONGEST_CONDITION:
        raise ConditionFault(f"is longer than {LONGEST_CONDITION} characters", LONGEST_CONDITION + 1)
    try:
        return _ConditionParser(text).condition()
    except PathFault as fault:
        raise ConditionFault(str(fault), fault.position + 1) from None


_BLANK = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[a-z]+")
_SIGN = re.compile(r"[=!<>]+")
_LITERAL = re.compile(r"[+-]?[A-Za-z0-9.]+(?:[+-][0-9]+)?")
_NUMBER = re.compile(
    r"-?(?:0|[1-9][0-9]{0,17})(?P<decimals>\.[0-9]{1,17})?(?P<exponent>[eE][+-]?[0-9]{1,3})?"
)
_DURATION = re.compile(r"(?P<sign>-?)(?P<whole>(?:[0-9]{1,9}[ywdhms](?![a-z]))*)(?:(?P<ms>[0-9]{1,9})ms)?")
_CONSTANTS = {"true": True, "false": False, "null": None}
_SIGNS = ("==", "!=", "<", "<=", ">", ">=")
_AFTER = "needs a comparison here: ==, !=, <, <=, >, >=, contains, not contains, like or not like"


class _ConditionParser:
    """Reads a condition from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def condition(self) -> CheckCondition:
        is_negated = self._took("not")
        begin = self._blank()
        if self._took("exists"):
            subject, comparison = self._subject(), None
        elif is_negated:
            self._fail("needs exists here; other conditions have not before contains or like", begin)
        else:
            subject = self._subject()
            comparison = self._comparison(subject)
        end = self._blank()
        if end < len(self._text):
            self._fail("is more than one condition, make it another of the list", end)
        reads = frozenset({"json", "body"} if subject.path else {subject.name})
        return CheckCondition(self._text.strip(), reads, subject, comparison, is_negated)

    # Values

    def _subject(self) -> ConditionSubject:
        begin = self._blank()
        if not self._took("length"):
            return self._named()
        self._take("(")
        inner_at = self._blank()
        inner = self._named()
        if inner.name not in MEASURABLE_LENGTHS:
            self._fail(f"length is that of {', '.join(MEASURABLE_LENGTHS)}", inner_at)
        self._take(")")
        return ConditionSubject(self._text[begin : self._at], inner.name, inner.path, is_length=True)

    def _named(self) -> ConditionSubject:
        begin = self._blank()
        name = self._word()
        if name not in KINDS:
            nearest = closest(name, KINDS) if name else None
            hint = f'did you mean "{nearest}"?' if nearest else f"one of {', '.join(KINDS)}, length(...)"
            self._fail(f"needs a value here, {hint}", begin)
        path, header = None, ""
        if name == "json":
            path, self._at = path_at(self._text, self._blank())
        elif name == "header":
            header = self._quoted("needs the name of a header in quotes").lower()
        return ConditionSubject(self._text[begin : self._at], name, path, header)

    # Comparisons

    def _comparison(self, subject: ConditionSubject) -> Comparison:
        begin = self._blank()
        sign, is_negated = self._sign(begin)
        self._check_sign(sign, subject, begin)
        operands_at = self._blank()
        quantifier, operands = self._operands()
        if quantifier and sign in ("<", "<=", ">", ">="):
            self._fail(f"{quantifier}(...) goes with ==, !=, contains and like", operands_at)
        if quantifier == "all" and sign in ("==", "!=") and subject.kind is not Kind.RECORDS:
            self._fail("a value equals one thing only: all(...) is for contains, or records", operands_at)
        for at, operand in operands:
            self._check_operand(sign, operand, subject, at)
        return Comparison(sign, tuple(operand for _, operand in operands), quantifier, is_negated)

    def _sign(self, begin: int) -> tuple[str, bool]:
        if sign := _SIGN.match(self._text, begin):
            self._at = sign.end()
            if sign[0] not in _SIGNS:
                self._fail("one = assigns, two compare: ==" if sign[0] == "=" else _AFTER, begin)
            return sign[0], False
        is_negated = self._took("not")
        word_at = self._blank()
        word = self._word()
        if word not in ("contains", "like"):
            self._fail("needs contains or like after not" if is_negated else _AFTER, word_at)
        return word, is_negated

    def _check_sign(self, sign: str, subject: ConditionSubject, begin: int) -> None:
        kind = subject.kind
        if kind is None:
            return
        is_text = kind in (Kind.TEXT, Kind.RECORDS)
        if sign in ("contains", "like") and not is_text:
            self._fail(f"{subject.text} is {kind}, {sign} is for text", begin)
        if sign in ("<", "<=", ">", ">=") and kind not in ORDERED:
            self._fail(f"{subject.text} is {kind}, which has no order", begin)

    def _check_operand(self, sign: str, operand: Operand, subject: ConditionSubject, at: int) -> None:
        """Refuse operands with which the condition could never hold."""
        kind, wanted = kind_of(operand), subject.kind
        if sign == "like" and kind is not Kind.TEXT:
            self._fail(f"like compares with text, not {kind}", at)
        if wanted is Kind.RECORDS:
            wanted = Kind.TEXT
        if wanted is not None and kind is not wanted:
            example = {Kind.DURATION: ", such as 500ms, 30s or 14d", Kind.TEXT: ' in quotes, such as "ok"'}
            self._fail(f"{subject.text} is compared with {wanted}{example.get(wanted, '')}, not {kind}", at)
        if wanted is None and kind is Kind.DURATION:
            self._fail("JSON has no durations, compare with a number", at)
        if wanted is None and sign in ("<", "<=", ">", ">=") and kind not in ORDERED:
            self._fail(f"{kind} has no order", at)
        if sign == "!=" and kind is Kind.NULL:
            self._fail("null is the only value of its type: nothing compares as another", at)

    # Operands

    def _operands(self) -> tuple[Quantifier, list[tuple[int, Operand]]]:
        """`any`, `all` or empty, and the operands, each with its position."""
        begin = self._blank()
        quantifier: Quantifier
        if self._took("any", "("):
            quantifier = "any"
        elif self._took("all", "("):
            quantifier = "all"
        else:
            return "", [(begin, self._operand())]
        self._take("(")
        operands = [(self._blank(), self._operand())]
        while self._text.startswith(",", self._blank()):
            self._take(",")
            operands.append((self._blank(), self._operand()))
        self._take(")")
        return quantifier, operands

    def _operand(self) -> Operand:
        begin = self._blank()
        if self._text[begin : begin + 1] in ("'", '"'):
            return self._quoted("needs a text")
        literal = _LITERAL.match(self._text, begin)
        if literal is None:
            self._fail('needs a number, a duration, a "text", true, false, null, any(...) or all(...)', begin)
        self._at = literal.end()
        return self._literal(literal[0], begin)

    def _literal(self, word: str, begin: int) -> Operand:
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        if number := _NUMBER.fullmatch(word):
            is_whole = not (number["decimals"] or number["exponent"])
            value = int(word) if is_whole else float(word)
            if abs(value) <= 1e300:
                return value
        elif (duration := _duration(word)) is not None:
            return duration
        if word[0].isalpha():
            self._fail("a text needs quotes", begin)
        self._fail(f"{word[:40]} is no number, and no duration such as 500ms, 1m30s or 14d", begin)

    # Pieces

    def _blank(self) -> int:
        """Go on to the next character that is not blank, and return where it is."""
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at
        return self._at

    def _word(self) -> str:
        """The word that comes next; empty if there is none."""
        word = _WORD.match(self._text, self._blank())
        self._at = word.end() if word else self._at
        return word[0] if word else ""

    def _took(self, word: str, before: str = "") -> bool:
        """Whether the word came next, and is read now; with `before` only if that comes after it."""
        begin = self._at
        if self._word() == word and self._text.startswith(before, self._blank()):
            return True
        self._at = begin
        return False

    def _take(self, character: str) -> None:
        if not self._text.startswith(character, self._blank()):
            self._fail(f"needs {character} here", self._at)
        self._at += 1

    def _quoted(self, wanted: str) -> str:
        begin = self._blank()
        if self._text[begin : begin + 1] not in ("'", '"'):
            self._fail(wanted, begin)
        text, self._at = string_at(self._text, begin)
        return text

    def _fail(self, text: str, position: int) -> NoReturn:
        raise ConditionFault(text, position + 1)


def _duration(word: str) -> timedelta | None:
    match = _DURATION.fullmatch(word)
    if match is None or not (match["whole"] or match["ms"]):
        return None
    seconds = parse_duration(match["whole"]) if match["whole"] else 0
    if seconds is None or seconds > LONGEST:
        return None
    size = timedelta(seconds=seconds, milliseconds=int(match["ms"] or 0))
    return -size if match["sign"] else size
