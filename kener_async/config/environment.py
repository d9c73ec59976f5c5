"""What the environment sets: text, numbers, flags and lists of those; tables within tables it does not."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marshmallow import fields

from kener_async.config.fields import (
    Boolean,
    Duration,
    Integer,
    List,
    StringMap,
    hint,
)
from kener_async.config.schema import SCHEMA

_SECTIONS = {
    name: table.schema.fields
    for name, table in SCHEMA.fields.items()
    if isinstance(table, fields.Nested) and not table.many
}
_PLAIN = {
    name: {key: each for key, each in table.items() if not isinstance(each, fields.Nested | StringMap)}
    for name, table in _SECTIONS.items()
}
_INNER = [(name, key) for name, table in _SECTIONS.items() for key in table if key not in _PLAIN[name]]
VARIABLES = {f"KENER_{name}_{key}".upper(): (name, key) for name, table in _PLAIN.items() for key in table}


def overrides(environment: Mapping[str, str]) -> tuple[dict[tuple[str, str], object], list[str]]:
    """What the environment sets, by section and key, and a fault for each name that no setting has."""
    sections = tuple(f"KENER_{name}_".upper() for name in _PLAIN)
    mine = sorted(name for name in environment if name.startswith(sections))
    known = {name: VARIABLES[name] for name in mine if name in VARIABLES}
    found = {
        (section, key): _from_text(_PLAIN[section][key], environment[name])
        for name, (section, key) in known.items()
    }
    return found, [f"{name}: unknown setting{_what_else(name)}" for name in mine if name not in known]


def _what_else(name: str) -> str:
    for section, key in _INNER:
        if f"{name}_".startswith(f"KENER_{section}_{key}_".upper()):
            return f", {section}.{key} is set in the file only"
    return hint(name, VARIABLES, 0.85)


def _from_text(setting: fields.Field[Any], text: str) -> object:
    """The text as the type of the setting; as it is where that cannot be, for validation to refuse."""
    match setting:
        case List():
            return [item.strip() for item in text.split(",") if item.strip()]
        case Integer() | Duration() if re.fullmatch(r"-?[0-9]{1,18}", text):
            return int(text)
        case Boolean():
            return {"true": True, "false": False}.get(text, text)
    return text


def with_overrides(
    document: Mapping[str, object], overrides: Mapping[tuple[str, str], object]
) -> dict[str, object]:
    """The document with every plain table present, overridden; what is no table is left for validation."""
    tables = {**{name: {} for name in _PLAIN}, **document}
    for (section, key), value in overrides.items():
        table = tables[section]
        if isinstance(table, dict):
            tables[section] = {**table, key: value}
    return tables


def passed_key(environment: Mapping[str, str]) -> Path | None:
    """The file of systemd's credential `secret_key`; a blank one, which our unit passes, is none."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, "secret_key") if folder else None
    return path if path is not None and path.is_file() and path.read_bytes().strip() else None
