"""The settings in force, each with where it comes from, and what another file would change of them."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from datetime import date
from typing import Any, Literal

from kener_async.config.environment import VARIABLES
from kener_async.config.fields import Duration
from kener_async.config.lines import Lines
from kener_async.config.model import Config, PlainTables
from kener_async.config.problems import Place
from kener_async.config.redaction import without_secrets
from kener_async.config.schema import Key, keys_of
from kener_async.config.source import NAMED_BY, KindInFile, source_of
from kener_async.config.tables import Document
from kener_async.domain.durations import format_duration

DOTS = "•••"
KINDS: tuple[KindInFile, ...] = (
    *("monitors", "categories", "alerts", "channels", "templates", "maintenance", "announcements"),
)

Origin = Literal["file", "environment", "default"]


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """The value of a key, such as `server.port`, as config.toml would have it; DOTS for a secret.

    `line` is where it stands in the file, `variable` the variable of the environment that it comes from.
    """

    name: str
    value: str
    origin: Origin
    line: int | None = None
    variable: str = ""
    needs_restart: bool = False


@dataclass(frozen=True, slots=True)
class ThingOfFile:
    """A thing that the file declares in an array of tables, such as a monitor: its name and its line."""

    kind: str
    name: str
    line: int | None


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """What a reload would do to a key or a thing: `before` and `after` are empty where it is not there.

    Of a secret only that it changes is said.
    """

    what: Literal["added", "changed", "gone"]
    name: str
    before: str = ""
    after: str = ""
    needs_restart: bool = False


def settings_in_force(config: Config) -> list[SettingInForce]:
    """The settings of all plain tables, in the order of config.toml."""
    document = _document(config.text)
    lines = Lines(config.text)
    variables = {VARIABLES[name]: name for name in config.variables}
    return [
        _setting(place, declared, value, document, lines, variables)
        for place, declared, value in _values(PlainTables, config, ())
    ]


def things_of_file(config: Config) -> list[ThingOfFile]:
    """The monitors, channels and other things that the file declares."""
    source, document = source_of(config.text), _document(config.text)
    return [
        ThingOfFile(kind, name, source.line(kind, name)) for kind in KINDS for name in _tables(document, kind)
    ]


def changes_between(before: Config, after: Config) -> list[ConfigChange]:
    """What changes when one configuration takes the place of another."""
    return [*_changed_settings(before, after), *_changed_things(before, after)]


def masked_text(config: Config) -> str | None:
    """The file without its secrets; None where these cannot be told from the rest for certain."""
    redacted = without_secrets(config.text.encode(), Document)
    return None if redacted is None else redacted[0].decode()


def _changed_settings(before: Config, after: Config) -> Iterator[ConfigChange]:
    old = {_name(place): (declared, value) for place, declared, value in _values(PlainTables, before, ())}
    new = {_name(place): (declared, value) for place, declared, value in _values(PlainTables, after, ())}
    for name in [*old, *(name for name in new if name not in old)]:
        if name in old and name in new and old[name][1] == new[name][1]:
            continue
        (declared, _) = new.get(name) or old[name]
        was, becomes = ("" if name not in found else _text(*found[name]) for found in (old, new))
        what: Literal["added", "changed", "gone"] = "changed"
        if name not in old or name not in new:
            what = "added" if name in new else "gone"
        yield ConfigChange(what, name, was, becomes, declared.restart)


def _changed_things(before: Config, after: Config) -> Iterator[ConfigChange]:
    """By the tables as they are written, so that every key counts."""
    old, new = _document(before.text), _document(after.text)
    for kind in KINDS:
        had, has = _tables(old, kind), _tables(new, kind)
        for name in [*had, *(name for name in has if name not in had)]:
            label = f"{kind}: {name}"
            if name not in has:
                yield ConfigChange("gone", label)
            elif name not in had:
                yield ConfigChange("added", label)
            elif had[name] != has[name]:
                keys = [key for key in {**had[name], **has[name]} if had[name].get(key) != has[name].get(key)]
                yield ConfigChange("changed", label, after=", ".join(keys))


def _values(cls: type, table: Any, at: Place) -> Iterator[tuple[Place, Key, Any]]:
    """The plain values of a table and of those within it; arrays of tables are left out."""
    for name, declared in keys_of(cls).items():
        value = getattr(table, name)
        place = (*at, declared.field.data_key or name)
        if declared.table is None:
            yield place, declared, value
        elif is_dataclass(value):
            yield from _values(type(value), value, place)


def _setting(
    place: Place,
    declared: Key,
    value: Any,
    document: Mapping[str, Any],
    lines: Lines,
    variables: Mapping[tuple[str, str], str],
) -> SettingInForce:
    name, text = _name(place), _text(declared, value)
    variable = variables.get((str(place[0]), str(place[1]))) if len(place) == 2 else None
    if variable is not None:
        return SettingInForce(name, text, "environment", None, variable, declared.restart)
    if _is_written(document, place):
        return SettingInForce(name, text, "file", lines.of(place), "", declared.restart)
    return SettingInForce(name, text, "default", None, "", declared.restart)


def _text(declared: Key, value: Any) -> str:
    """The value as config.toml would have it, without secrets."""
    if (declared.secret or declared.expands) and value:
        return DOTS
    if isinstance(declared.field, Duration) and isinstance(value, int):
        return f'"{format_duration(value).replace(" ", "")}"'
    return _toml(value)


def _toml(value: Any) -> str:
    match value:
        case bool() | int() | float():
            return str(value).lower()
        case date():
            return value.isoformat()
        case tuple() | list():
            return _toml_of_several(value)
    text = "" if value is None else str(value)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _toml_of_several(values: Sequence[Any]) -> str:
    """A list, or a table where these are pairs."""
    if values and all(isinstance(each, tuple) and len(each) == 2 for each in values):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(each)}" for key, each in values) + " }"
    return f"[{', '.join(map(_toml, values))}]"


def _name(place: Place) -> str:
    return ".".join(map(str, place))


def _is_written(document: Mapping[str, Any], place: Place) -> bool:
    table: Any = document
    for part in place:
        if not isinstance(table, Mapping) or part not in table:
            return False
        table = table[part]
    return True


def _document(text: str) -> Mapping[str, Any]:
    return tomllib.loads(text)


def _tables(document: Mapping[str, Any], kind: str) -> dict[str, Mapping[str, Any]]:
    """The tables of an array by their names."""
    tables: Sequence[Mapping[str, Any]] = document.get(kind, ())
    return {str(table.get(NAMED_BY.get(kind, "name"))): table for table in tables}
