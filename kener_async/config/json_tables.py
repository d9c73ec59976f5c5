"""Tables of config.toml as JSON, for what is made in the browser or by the API: one schema checks both."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from marshmallow import ValidationError, fields

from kener_async.config.fields import DateOrDateTime
from kener_async.config.schema import built, fields_by_key, schema_of
from kener_async.domain.errors import Invalid

T = TypeVar("T")

Body = Mapping[str, Any]  # the keys of a table, as JSON
LONGEST_NAME = 100
LONGEST_TITLE = 300
LONGEST_TEXT = 20_000


def table_of(cls: type[T], values: Body) -> T:
    """The table of JSON with its keys; raises Invalid, which names the key.

    Instants are texts of ISO 8601. Texts are shorter than those of a file may be.
    """
    schema = schema_of(cast(type, cls))()
    by_key = fields_by_key(schema)
    try:
        return built(cls, schema.load({key: _value(by_key.get(key), values[key]) for key in values}), Path())
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> Invalid:
    """What is wrong with a table, each fault with its key."""
    return Invalid("; ".join(_texts(error.messages_dict)))


def require_name(name: str) -> None:
    """Raise Invalid for a name that cannot be part of an address."""
    if not name.strip() or len(name) > LONGEST_NAME:
        raise Invalid(f"Invalid name: must be a text of 1 to {LONGEST_NAME} characters")
    if not name.isprintable() or "/" in name or name != name.strip() or name in (".", ".."):
        raise Invalid("Invalid name: contains an invalid character")


def require_lengths(values: Body) -> None:
    """Raise Invalid for a title or a text that is too long."""
    for key, longest in (("title", LONGEST_TITLE), ("text", LONGEST_TEXT)):
        text = values.get(key)
        if isinstance(text, str) and len(text) > longest:
            raise Invalid(f"Invalid {key}: has {len(text)} characters; {longest} are allowed")


def _value(field: fields.Field[Any] | None, value: Any) -> Any:
    if isinstance(field, DateOrDateTime) and isinstance(value, str):
        for parse in (date.fromisoformat, datetime.fromisoformat):
            try:
                return parse(value)
            except ValueError:
                continue
    return value


def _texts(messages: Mapping[Any, Any], at: str = "") -> Iterator[str]:
    """Marshmallow's messages, each with the key that it is about."""
    for key, found in messages.items():
        name = f"{at}[{key}]" if isinstance(key, int) else str(key)
        if isinstance(found, dict):
            yield from _texts(found, name)
        else:
            yield from (f"Invalid {name}: {text}" for text in found)
