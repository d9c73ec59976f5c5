"""Schemas on the way of a heartbeat: where nothing is wrong, each field is asked once and nothing else.

`Schema.load` spends most of its time on what our shapes do not use. Whatever is not plainly right is left to
it, so that what is refused, and in which words, is marshmallow's alone.
"""

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, missing

Load = Callable[[Mapping[str, Any]], dict[str, Any]]


def loader(schema: Schema) -> Load:
    """What loads data as the schema does; quickly, if the schema is one of plain fields."""
    thorough: Load = schema.load
    if not _is_plain(schema):
        return thorough
    plan = [
        (one.data_key or name, one.attribute or name, one._deserialize, one.required, one.load_default)
        for name, one in schema.load_fields.items()
    ]

    def load(data: Mapping[str, Any]) -> dict[str, Any]:
        loaded = {}
        for key, name, deserialize, required, default in plan:
            value = data.get(key, missing)
            if value is missing:
                if required:
                    return thorough(data)
                if default is not missing:
                    loaded[name] = default
            elif value is None:
                return thorough(data)
            else:
                try:
                    loaded[name] = deserialize(value, key, data)
                except ValidationError:
                    return thorough(data)
        return loaded

    return load


def _is_plain(schema: Schema) -> bool:
    """Whether a load of the schema is no more than a load of each field."""
    return (
        schema.unknown == EXCLUDE
        and not schema.many
        and not schema.partial
        and not any(schema._hooks.values())
        and all(
            not (field.validators or field.pre_load or field.post_load)
            and not callable(field.load_default)
            and "." not in (field.attribute or name)
            for name, field in schema.load_fields.items()
        )
    )
