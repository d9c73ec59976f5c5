"""Things of config.toml together with those of the database: of the same name the file's is in force."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kener_async.config.json_tables import Body
from kener_async.domain.errors import Invalid

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InForce(Generic[T]):
    """The things of one kind that are in force by name, those of the file first.

    `from_file` are the names of the file's. `shadowed` are stored and have no effect, because the file has
    one of the same name; `faulty` cannot be read any more, by name with the reason.
    """

    things: Mapping[str, T]
    from_file: frozenset[str] = frozenset()
    shadowed: frozenset[str] = frozenset()
    faulty: Mapping[str, str] = field(default_factory=dict)


def in_force_with(
    of_file: Mapping[str, T], stored: Iterable[tuple[str, Body]], read: Callable[[str, Body], T]
) -> InForce[T]:
    """The things of the file together with the stored ones, each a name and its keys.

    `read` makes a thing of these; what raises Invalid is faulty.
    """
    things = dict(of_file)
    shadowed, faulty = set(), {}
    for name, body in stored:
        if name in of_file:
            shadowed.add(name)
            continue
        try:
            things[name] = read(name, body)
        except Invalid as error:
            faulty[name] = error.message
    return InForce(things, frozenset(of_file), frozenset(shadowed), faulty)
