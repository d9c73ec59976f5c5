"""The compiled loader: the same as the schema's own load, for whatever data."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields

from kener_async.api import schemas
from kener_async.api.http.compiled_loader import loader

INPUTS = [
    schema
    for schema in vars(schemas).values()
    if isinstance(schema, type)
    and issubclass(schema, schemas.RequestSchema)
    and schema not in (schemas.RequestSchema, schemas.IncidentResponse)
]

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
json = st.recursive(scalars, lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values))


def likely(field: fields.Field[Any]) -> st.SearchStrategy[Any]:
    """Values near those that the field allows."""
    bounds = [field.metadata[name] for name in ("minimum", "maximum") if name in field.metadata]
    near = [bound + step for bound in bounds for step in (-1, 0, 1)]
    numbers = st.sampled_from(
        ["0", "1", "-1", "12.5", "1e3", "1e999", "+1", "٣", "5.0", 5.0, True, "x" * 600]
    )
    return st.sampled_from([*field.metadata.get("enum", ()), field.metadata.get("example"), *near]) | numbers


@st.composite
def objects(draw: st.DrawFn, schema: Schema) -> dict[str, Any]:
    """JSON objects, and query strings, of which some are valid and most have a fault or two."""
    keys = {field.data_key or name: field for name, field in schema.load_fields.items()}
    known = {key: st.one_of(likely(field), json) for key, field in keys.items()}
    data = draw(st.fixed_dictionaries({}, optional=known))
    return data | draw(st.dictionaries(st.text(max_size=5), json, max_size=2))


def outcome(load: Any, data: dict[str, Any]) -> Any:
    try:
        return load(data)
    except ValidationError as error:
        return "refused", error.messages


@pytest.mark.parametrize("schema", INPUTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_compiled_loader_equals_the_schema(schema: type[Schema], data: st.DataObject):
    instance = schema()
    given_data = data.draw(objects(instance))
    loaded, expected = outcome(loader(instance), given_data), outcome(instance.load, given_data)
    assert (loaded, repr(loaded)) == (expected, repr(expected))  # 1, 1.0 and True are not the same


def test_every_schema_of_requests_is_compiled():
    assert [schema for schema in INPUTS if loader(schema()) == schema().load] == []
    assert len(INPUTS) >= 12


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Schema(), "_hooks"), (fields.Field(), "_deserialize")],
    ids=["_hooks", "_deserialize"],
)
def test_the_private_attributes_of_marshmallow_are_there(owner: object, name: str):
    assert hasattr(owner, name)
