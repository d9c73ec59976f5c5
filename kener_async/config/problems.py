"""A problem of the configuration, and the place of a setting."""

from collections.abc import Collection, Iterator, Mapping, Set
from typing import Any, NamedTuple

from kener_async.config.fields import describe

Place = tuple[str | int, ...]
Values = Mapping[str, Any]


class ConfigProblem(NamedTuple):
    """What is wrong, and the place of the setting, such as `("monitors", 2, "tag")`."""

    place: Place
    text: str


def within(place: Place, problems: Iterator[ConfigProblem]) -> Iterator[ConfigProblem]:
    """The problems of a table that is at the place."""
    return (ConfigProblem((*place, *problem.place), problem.text) for problem in problems)


def table_at(within: object, *place: str | int) -> Mapping[str, object]:
    """The table at the place; an empty one where there is another kind of value."""
    for part in place:
        match within, part:
            case dict(), str():
                within = within.get(part)
            case list(), int() if part < len(within):
                within = within[part]
    return within if isinstance(within, dict) else {}


def duplicates(values: Values, tables: str, key: str) -> Iterator[ConfigProblem]:
    """A problem for each table of an array whose key has a value that an earlier one has."""
    seen: set[str] = set()
    for index, table in enumerate(values.get(tables, ())):
        value = table.get(key)
        if value in seen:
            yield ConfigProblem((tables, index, key), f"{describe(value)} is used twice")
        elif value is not None:
            seen.add(value)


def in_circles(named: Mapping[str | None, Collection[str]]) -> Set[str | None]:
    """Those that may name themselves through others, given whom each names; empty where there is no circle.

    Removes, again and again, what names only what was removed before, so that the search for circles costs
    nothing where there are none.
    """
    naming: dict[str | None, list[str | None]] = {}
    ahead: dict[str | None, int] = {}  # how many of those that it names are left
    for one, others in named.items():
        known = {other for other in others if other in named}
        ahead[one] = len(known)
        for other in known:
            naming.setdefault(other, []).append(one)
    removed = [one for one, count in ahead.items() if not count]
    for one in removed:
        for behind in naming.get(one, ()):
            ahead[behind] -= 1
            if not ahead[behind]:
                removed.append(behind)
    return ahead.keys() - removed
