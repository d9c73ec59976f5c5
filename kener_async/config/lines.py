"""The line of each setting in config.toml, which tomllib does not tell."""

import tomllib
from collections.abc import Iterator, Mapping

from kener_async.config.problems import Place

# A value of several lines can only end in a line with one of these.
_ENDS = ("]", "}", '"""', "'''")


class Lines:
    """The lines of the tables and keys of a valid TOML text, counted from 1."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Place, int] = {}
        self._counts: dict[Place, int] = {}  # of the arrays of tables
        self._spans: dict[Place, tuple[int, int]] = {}  # of the tables in arrays of the document
        self._table: Place = ()
        for line, last, statement in _statements(text):
            self._note(statement, line)
            self._extend(line, last)

    def of(self, place: Place) -> int | None:
        """The line of a setting, or of its table if it is not written; None where there is neither."""
        for length in range(len(place), 0, -1):
            if (line := self._lines.get(place[:length])) is not None:
                return line
        return None

    def span(self, place: Place) -> tuple[int, int] | None:
        """The first and the last line of a table such as `("monitors", 2)`, with the tables within it.

        None where it is no table of its own.
        """
        return self._spans.get(place)

    def _note(self, statement: str, line: int) -> None:
        written = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            self._table = self._header(written)
            self._lines.setdefault(self._table, line)
        else:
            for place in _places(written):
                self._lines.setdefault((*self._table, *place), line)

    def _extend(self, line: int, last: int) -> None:
        entry = self._table[:2]
        if len(entry) > 1 and isinstance(entry[1], int):
            self._spans[entry] = self._spans.get(entry, (line, last))[0], last

    def _header(self, written: Mapping[str, object]) -> Place:
        """The place of the table that the header begins, such as `("monitors", 2, "heartbeat")`."""
        place: Place = ()
        inner: object = written
        while isinstance(inner, dict) and inner:
            ((name, inner),) = inner.items()
            place = (*place, name)
            if isinstance(inner, list):
                self._counts[place] = self._counts.get(place, 0) + 1
            if place in self._counts:
                place = (*place, self._counts[place] - 1)
        return place


def _statements(text: str) -> Iterator[tuple[int, int, str]]:
    """The headers and the keys with their values, each with the numbers of its first and its last line."""
    begin, statement = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if not statement:
            begin = number
        statement += line + "\n"
        if begin != number and not any(end in line for end in _ENDS):
            continue
        try:
            is_blank = not tomllib.loads(statement)
        except ValueError:  # it goes on in the next line
            continue
        if not is_blank:
            yield begin, number, statement
        statement = ""


def _places(written: object, at: Place = ()) -> Iterator[Place]:
    """The places of a value and of those within it."""
    if at:
        yield at
    match written:
        case dict():
            for name, inner in written.items():
                yield from _places(inner, (*at, name))
        case list():
            for index, inner in enumerate(written):
                yield from _places(inner, (*at, index))
