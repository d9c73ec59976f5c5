"""A fast path for `Schema.load`: valid data takes one call for each field.

`Schema.load` spends most of its time on features that our schemas do not use. Data that is not plainly valid
is loaded by the schema itself, so every error and its message are marshmallow's.

Two private attributes of marshmallow are used here and nowhere else: `Schema._hooks`, to see that a schema
has no hooks, and `Field._deserialize`, which `Field.deserialize` calls after checks that are made here. So
pyproject.toml bounds marshmallow above, and tests/test_compiled_loader.py names an attribute that is gone.
"""

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, missing

Load = Callable[[Mapping[str, Any]], dict[str, Any]]


def loader(schema: Schema) -> Load:
    """A function that loads data as the schema does; fast, if the schema is no more than its fields."""
    load_by_schema: Load = schema.load
    if not _is_plain(schema):
        return load_by_schema
    steps = [
        (
            field.data_key or name,
            field.attribute or name,
            field._deserialize,
            field.required,
            field.load_default,
        )
        for name, field in schema.load_fields.items()
    ]

    required_fields = sum(step[3] for step in steps)
    misspelled = getattr(schema, "misspelled", None)

    def load(data: Mapping[str, Any]) -> dict[str, Any]:
        if misspelled is not None and len(data) > required_fields and misspelled(data):
            return load_by_schema(data)
        loaded = {}
        for key, name, deserialize, required, default in steps:
            value = data.get(key, missing)
            if value is missing:
                if required:
                    return load_by_schema(data)
                if default is not missing:
                    loaded[name] = default
            elif value is None:
                return load_by_schema(data)
            else:
                try:
                    loaded[name] = deserialize(value, key, data)
                except ValidationError:
                    return load_by_schema(data)
        return loaded

    return load


def _is_plain(schema: Schema) -> bool:
    """Whether loading the schema is no more than loading each of its fields."""
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
