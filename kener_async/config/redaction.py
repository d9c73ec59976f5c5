"""The text of config.toml without its secrets, for backups that may lie where the secrets must not."""

import re
import tomllib
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from typing import Any

from kener_async.config.schema import keys_of

FILL_IN = "$FILL_IN"  # refused when it is loaded, with its place, unless the environment has a FILL_IN


def without_secrets(text: bytes, table: type) -> tuple[bytes, int] | None:
    """The text with FILL_IN for the value of every secret that the table declares, and their number.

    A reference such as $NAME is no secret and stays. None when that cannot be done for certain: the text is
    not TOML, or a secret stands elsewhere in it, too, or is written with escapes.
    """
    try:
        document = tomllib.loads(text.removeprefix(BOM_UTF8).decode())
    except ValueError:
        return None
    values = list(_values(document, table))
    redacted = text.decode()
    for value in values:
        for quote in "\"'":
            redacted = redacted.replace(f"{quote}{value}{quote}", f'"{FILL_IN}"')
    if any(value in redacted for value in values):
        return None
    try:
        left = tomllib.loads(redacted.removeprefix("\ufeff"))
    except ValueError:
        return None
    return (redacted.encode(), len(values)) if left == _redacted(document, table) else None


def _values(document: Mapping[str, Any], table: type) -> Iterator[str]:
    """The values of the secrets, as they are written."""
    keys = {each.field.data_key or name: each for name, each in keys_of(table).items()}
    for name, value in document.items():
        key = keys.get(name)
        if key is None:
            continue
        if key.secret and _is_secret(value):
            yield value
        elif key.table is not None:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    yield from _values(each, key.table)


def _redacted(value: Any, table: type | None, *, is_secret: bool = False) -> Any:
    """A value of the document as it must be read from the redacted text."""
    match value:
        case dict() if table is not None:
            keys = {each.field.data_key or name: each for name, each in keys_of(table).items()}
            return {
                name: _redacted(each, keys[name].table, is_secret=keys[name].secret) if name in keys else each
                for name, each in value.items()
            }
        case list() if table is not None:
            return [_redacted(each, table) for each in value]
    return FILL_IN if is_secret and _is_secret(value) else value


def _is_secret(value: object) -> bool:
    return isinstance(value, str) and value != "" and not re.fullmatch(r"\$[A-Za-z_][A-Za-z0-9_]*", value)
