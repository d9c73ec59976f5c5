"""Conditions of checks: one typed comparison each, such as `status < 400` or `json $.queue <= 100`.

A condition is parsed when the configuration is loaded. What is of another type, or is not there, makes it
false; there are no regular expressions, and the time is linear in the text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

# What a value can be: a number, a duration, a text, true, false, null, or a set of texts (records).
Value = int | float | bool | str | timedelta | frozenset[str] | None


class ConditionFault(ValueError):
    """A condition cannot be parsed; `column` counts from 1."""

    def __init__(self, text: str, column: int) -> None:
        super().__init__(text)
        self.column = column


@dataclass(frozen=True, slots=True)
class Observed:
    """What conditions can ask of one attempt; what is not in it is not there.

    `values` by name: status, latency, body, url, ip, certificate, records, rcode, loss, answer. `headers` by
    name in lower case. `body` is also what `json` paths look into, parsed at most once.
    """

    values: Mapping[str, Value]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CheckCondition:
    """A parsed condition; `reads` are the names of the values that it asks for (json and length too)."""

    text: str
    reads: frozenset[str]

    def fault(self, observed: Observed) -> str:
        """Why the condition does not hold, such as `status is 502`; empty if it does."""
        raise NotImplementedError


def parse(text: str) -> CheckCondition:
    """The condition of a text; raises ConditionFault."""
    raise NotImplementedError


def first_fault(conditions: Sequence[CheckCondition], observed: Observed) -> str:
    """Why the first of the conditions that does not hold does not; empty if all hold."""
    return next((fault for each in conditions if (fault := each.fault(observed))), "")
