"""Settings from environment variables: text, numbers, booleans and lists of those; no inner tables."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marshmallow import ValidationError, fields

from kener_async.config.fields import Boolean, Duration, Integer, List, StringMap, suggestion
from kener_async.config.schema import fields_by_key
from kener_async.config.tables import SCHEMA

_TABLES = {
    name: fields_by_key(table.schema)
    for name, table in SCHEMA.fields.items()
    if isinstance(table, fields.Nested) and not table.many
}
_PLAIN = {
    name: {key: field for key, field in table.items() if not isinstance(field, fields.Nested | StringMap)}
    for name, table in _TABLES.items()
}
_INNER = [(name, key) for name, table in _TABLES.items() for key in table if key not in _PLAIN[name]]
VARIABLES = {f"KENER_{name}_{key}".upper(): (name, key) for name, table in _PLAIN.items() for key in table}


# What Kubernetes sets for each service of the namespace: of one named kener-server, KENER_SERVER_SERVICE_HOST
# and KENER_SERVER_PORT=tcp://10.96.0.1:3000.
_OF_A_SERVICE = re.compile(
    r".+_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_PORT_OF_A_SERVICE = re.compile(r"(?:tcp|udp|sctp)://[^/]+:[0-9]+")


def overrides(
    environment: Mapping[str, str],
) -> tuple[dict[tuple[str, str], object], list[str], list[str]]:
    """The values of the environment by section and key, problems, and the names that are no settings.

    There is a problem for each unknown variable. An empty one is none where the setting cannot be empty.
    """
    sections = tuple(f"KENER_{name}_".upper() for name in _PLAIN)
    begun = sorted(name for name in environment if name.startswith(sections))
    ignored = [name for name in begun if _cannot_be_ours(name, environment[name])]
    names = [name for name in begun if name not in ignored]
    places = {name: VARIABLES[name] for name in names if name in VARIABLES}
    values = {
        (section, key): _from_text(_PLAIN[section][key], environment[name])
        for name, (section, key) in places.items()
    }
    unknown = [f"{name}: unknown setting{_suggestion(name)}" for name in names if name not in places]
    return values, unknown, ignored


def _cannot_be_ours(name: str, text: str) -> bool:
    if name.endswith("_PORT") and _PORT_OF_A_SERVICE.fullmatch(text):
        return True
    if name not in VARIABLES:
        return _OF_A_SERVICE.fullmatch(name) is not None
    section, key = VARIABLES[name]
    return not text and not _may_be_empty(_PLAIN[section][key])


def _may_be_empty(field: fields.Field[Any]) -> bool:
    try:
        field.deserialize(_from_text(field, ""))
    except ValidationError:
        return False
    return True


def _suggestion(name: str) -> str:
    for section, key in _INNER:
        if f"{name}_".startswith(f"KENER_{section}_{key}_".upper()):
            return f", {section}.{key} is set in the file only"
    return suggestion(name, VARIABLES, 0.85)


def _from_text(field: fields.Field[Any], text: str) -> object:
    """The text as the type of the field; unchanged where it is not one, which validation then reports."""
    match field:
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
    """The document with the values of the environment; a section that is no table is left for validation."""
    tables = dict(document)
    for (section, key), value in overrides.items():
        table = tables.get(section, {})
        if isinstance(table, dict):
            tables[section] = {**table, key: value}
    return tables


def credential_key(environment: Mapping[str, str]) -> Path | None:
    """The file of systemd's credential `secret_key`; None where it is missing or blank."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, "secret_key") if folder else None
    return path if path is not None and path.is_file() and path.read_bytes().strip() else None
