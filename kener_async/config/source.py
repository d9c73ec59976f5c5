"""Where the things of config.toml stand in it: their lines, and their tables without secrets."""

import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal
from urllib.parse import urlsplit

from kener_async.config.lines import Lines
from kener_async.config.problems import Place
from kener_async.config.secrets import replaced_references, replaced_secrets
from kener_async.config.tables import Document

KindInFile = Literal[
    "monitors", "alerts", "channels", "categories", "templates", "maintenance", "announcements"
]

MASK = "***"
NAMED_BY = {"monitors": "tag", "announcements": "title"}  # others by their name
_ADDRESSES = ("http", "websocket", "token_url")  # may hold a user and a query, which may be secret
_CONTENTS = ("body", "send")  # may hold anything
_REFERENCE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")


class ConfigSource:
    """The text of a configuration that is valid."""

    def __init__(self, text: str) -> None:
        self._text = text.splitlines()
        self._lines = Lines(text)
        document = tomllib.loads(text)
        self._places: dict[tuple[str, str], Place] = {
            (kind, str(table.get(NAMED_BY.get(kind, "name")))): (kind, index)
            for kind, tables in document.items()
            if isinstance(tables, list)
            for index, table in enumerate(tables)
            if isinstance(table, dict)
        }

    def line(self, kind: KindInFile, name: str) -> int | None:
        """The line of the table of a thing; None: it does not stand in the file."""
        place = self._places.get((kind, name))
        return None if place is None else self._lines.of(place)

    def table(self, kind: KindInFile, name: str) -> str | None:
        """The table of a thing as it is written, without remarks, with *** for its secrets.

        References such as $NAME stay. None: it does not stand in the file, not as a table of its own, or a
        secret cannot be told from the rest for certain.
        """
        place = self._places.get((kind, name))
        if place is None:
            return None
        return _without_secrets("\n".join(_without_remarks(self._text_of(place))).strip() + "\n", place)

    def _text_of(self, place: Place) -> list[str]:
        span = self._lines.span(place)
        return [] if span is None else self._text[span[0] - 1 : span[1]]


@lru_cache(2)
def source_of(text: str) -> ConfigSource:
    """The source of the text of a configuration in force; a large one takes a tenth of a second the first
    time."""
    return ConfigSource(text)


def _without_remarks(lines: list[str]) -> Iterator[str]:
    """The lines without those that are a remark, which may hold what was a secret once."""
    return (line for line in lines if not line.lstrip().startswith("#"))


def _without_secrets(table: str, place: Place) -> str | None:
    changed: dict[str, str] = {}

    def noted(value: str, new: str) -> str:
        if new != value:
            changed[value] = new
        return new

    def masked(value: str, _: Place) -> str:
        return noted(value, value if not value or _REFERENCE.fullmatch(value) else MASK)

    def shortened(value: str, at: Place) -> str:
        if at[-1] in _CONTENTS:
            return masked(value, at)
        return noted(value, _public_part(value)) if at[-1] in _ADDRESSES else value

    try:
        document = tomllib.loads(table)
    except ValueError:
        return None
    if list(document) != [place[0]] or len(document[str(place[0])]) != 1:
        return None
    expected = replaced_references(replaced_secrets(document, Document, masked), Document, shortened)
    for value, new in sorted(changed.items(), key=lambda pair: -len(pair[0])):
        for quote in "\"'":
            table = table.replace(f"{quote}{value}{quote}", f'"{new}"')
    if any(value in table for value in changed):
        return None
    try:
        return table if tomllib.loads(table) == expected else None
    except ValueError:
        return None


def _public_part(address: str) -> str:
    """An address without the user and the query, which may be secret."""
    parts = urlsplit(address)
    query = MASK if parts.query else ""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query, fragment="").geturl()
