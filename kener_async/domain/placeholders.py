"""Placeholders: `{name}` in the texts of a parsed JSON document, for the bodies of webhooks."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# The first lines are the variables of Kener's triggers.
PLACEHOLDERS = (
    *("id", "alert_name", "severity", "status", "source", "timestamp", "description"),
    *("metric", "current_value", "threshold", "action_text", "action_url"),
    *("key", "kind", "title", "text", "monitor", "name", "category", "rule", "reason"),
    *("since", "until", "bad_now", "monitors", "site", "home", "page", "acknowledge"),
)
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(?P<name>\w+)\}")


def unknown_placeholders(document: Any) -> Iterator[str]:
    """The names of placeholders in the texts of a document that stand for nothing."""
    match document:
        case str():
            names = (found["name"] for found in _PLACEHOLDER.finditer(document))
            yield from (name for name in names if name and name not in PLACEHOLDERS)
        case list():
            for each in document:
                yield from unknown_placeholders(each)
        case dict():
            for each in document.values():
                yield from unknown_placeholders(each)


def replaced_placeholders(document: Any, values: Mapping[str, str | int | None]) -> Any:
    """The document with its placeholders replaced, in values only. `{{` and `}}` are braces.

    A text that is one placeholder and nothing else becomes its value, which may be a number or null.
    """
    match document:
        case str():
            whole = _PLACEHOLDER.fullmatch(document)
            if whole and whole["name"]:
                return values[whole["name"]]
            return _PLACEHOLDER.sub(lambda found: _text(found, values), document)
        case list():
            return [replaced_placeholders(each, values) for each in document]
        case dict():
            return {name: replaced_placeholders(each, values) for name, each in document.items()}
        case _:
            return document


def _text(found: "re.Match[str]", values: Mapping[str, str | int | None]) -> str:
    if not found["name"]:
        return found[0][0]
    value = values[found["name"]]
    return "" if value is None else str(value)
