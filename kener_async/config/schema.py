"""How a key of config.toml is declared: once, as an attribute of the dataclass that holds its value.

    @table
    class DatabaseConfig:
        retention_days: int = key(Integer(1, 36_500), 400, doc="Days for which samples are kept.")

The schema that validates a table, the list of the keys that need a restart, and the comments of config.toml
(a test compares them) follow from it. The default is what a key means that is left out of the file; the
constructor of the dataclass has none.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

from marshmallow import EXCLUDE, Schema, ValidationError, fields
from marshmallow.types import StrSequenceOrSet, UnknownOption

T = TypeVar("T")

_METADATA = "key"
_REQUIRED = object()


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """A key of a table: how its value is read, whether a change needs a restart, and what it means.

    `table` is the dataclass of a table within a table or of an array of tables, else None; of an array whose
    tables have a `kind`, that of the common keys, and `kinds` has those of the kinds. In a key that
    `expands`, as each `secret` does, $NAME stands for a value from elsewhere (config/secrets.py).
    """

    field: fields.Field[Any]
    restart: bool = False
    doc: str = ""
    table: type | None = None
    secret: bool = False
    expands: bool = False
    kinds: Mapping[str, type] = dataclasses.field(default_factory=dict)

    @property
    def tables(self) -> tuple[type, ...]:
        """The dataclasses that a table here may have; none: it is a plain value."""
        return tuple(self.kinds.values()) or ((self.table,) if self.table else ())

    def tables_of(self, values: Mapping[str, Any]) -> tuple[type, ...]:
        """The dataclass of a table with these values; those of all kinds where its kind is unknown."""
        kind = values.get("kind")
        return (self.kinds[kind],) if isinstance(kind, str) and kind in self.kinds else self.tables


def key(
    field: fields.Field[Any],
    default: object = _REQUIRED,
    *,
    restart: bool = False,
    secret: bool = False,
    expands: bool = False,
    doc: str,
    name: str | None = None,
) -> Any:
    """Declare a key with a plain value; without a default it is required.

    A secret, and what may hold one, is left out of the dataclass's `repr`. `name` is the key's name in the
    file where that is not the attribute's, such as `from`.
    """
    if default is _REQUIRED:
        field.required = True
        field.error_messages["required"] = "is missing"
    else:
        field.load_default = default
    field.data_key = name
    may_hold_secret = secret or expands
    return _attribute(Key(field, restart, doc, None, secret, may_hold_secret), is_shown=not may_hold_secret)


def inner(cls: type) -> Any:
    """Declare a table; left out it has all its defaults."""
    schema = schema_of(cls)
    return _attribute(Key(fields.Nested(schema, load_default=partial(schema().load, {})), table=cls))


def optional(cls: type) -> Any:
    """Declare a table; left out it is None."""
    return _attribute(Key(fields.Nested(schema_of(cls), load_default=None), table=cls))


def several(cls: type, name: str) -> Any:
    """Declare an array of tables, read as a tuple. `name` is its name within the file, such as `site.nav`."""
    nested = fields.Nested(
        schema_of(cls), many=True, load_default=(), error_messages={"type": f"must be [[{name}]] tables"}
    )
    return _attribute(Key(nested, table=cls))


def several_kinds(common: type, kinds: Mapping[str, type], name: str) -> Any:
    """Declare an array of tables whose `kind` says which keys they have, read as a tuple.

    `common` declares the keys of every kind, which the dataclasses in `kinds` inherit.
    """
    return _attribute(Key(TablesByKind(common, kinds, name), table=common, kinds=kinds))


def _attribute(declared: Key, *, is_shown: bool = True) -> Any:
    return dataclasses.field(metadata={_METADATA: declared}, repr=is_shown)


@dataclass_transform(frozen_default=True, field_specifiers=(key, inner, optional, several, several_kinds))
def table(cls: type[T]) -> type[T]:
    """Make a class the frozen dataclass of a table; attributes without a key are set when it is built."""
    return dataclasses.dataclass(frozen=True, slots=True)(cls)


_KEYS: dict[type, Mapping[str, Key]] = {}  # asked for each table of config.toml, of which there are thousands


def keys_of(cls: type) -> Mapping[str, Key]:
    """The keys of a table, by attribute."""
    if cls not in _KEYS:
        _KEYS[cls] = {
            each.name: each.metadata[_METADATA]
            for each in dataclasses.fields(cls)
            if _METADATA in each.metadata
        }
    return _KEYS[cls]


class _TableSchema(Schema):
    """Loads each table by the fields of the keys that are in it, and adds the defaults of the others.

    Of the fifty keys that a monitor may have it has five, and marshmallow takes as long for each that is left
    out as for one that is there.
    """

    error_messages = {"unknown": "unknown key", "type": "must be a table"}  # noqa: RUF012  marshmallow's own way

    def load(
        self,
        data: Any,
        *,
        many: bool | None = None,
        partial: bool | StrSequenceOrSet | None = None,
        unknown: UnknownOption | None = None,
    ) -> Any:
        if self.many if many is None else many:
            return self._load_tables(data, unknown)
        if self.only is not None or not isinstance(data, Mapping):
            return super().load(data, many=False, partial=partial, unknown=unknown)
        schema, defaults = _narrowed(type(self), frozenset(data), unknown or self.unknown)
        others = {name: value() if callable(value) else value for name, value in defaults.items()}
        try:
            return others | schema.load(data)
        except ValidationError as error:
            error.valid_data = others | error.valid_data  # type: ignore[operator]  # a table's is a dict
            raise

    def _load_tables(self, tables: Any, unknown: UnknownOption | None) -> list[Any]:
        valid, problems = list[Any](), dict[int, Any]()
        for index, table in enumerate(tables):
            try:
                valid.append(self.load(table, many=False, unknown=unknown))
            except ValidationError as error:
                problems[index] = error.messages
                valid.append(error.valid_data)
        if problems:
            raise ValidationError(problems, data=tables, valid_data=valid)
        return valid


@lru_cache(1024)
def _narrowed(
    schema: type[Schema], written: frozenset[str], unknown: UnknownOption
) -> tuple[Schema, Mapping[str, object]]:
    """The schema with the fields of tables with these keys, and the defaults of its other fields."""
    declared = schema().fields
    needed = {name for name, each in declared.items() if each.required or (each.data_key or name) in written}
    defaults = {name: each.load_default for name, each in declared.items() if name not in needed}
    return schema(only=needed, unknown=unknown), defaults


@cache
def schema_of(cls: type) -> type[Schema]:
    """The marshmallow schema that validates a table; it loads a dict with the attributes as keys."""
    declared = {name: each.field for name, each in keys_of(cls).items()}
    return _TableSchema.from_dict(declared, name=cls.__name__)


class TablesByKind(fields.Field[list[dict[str, Any]]]):
    """An array of tables, each validated by the schema of its kind."""

    def __init__(self, common: type, kinds: Mapping[str, type], name: str) -> None:
        super().__init__(load_default=())
        self.common, self.kinds, self.name_in_file = common, kinds, name

    def schema_for(self, written: object) -> Schema:
        """The schema of a table as it is written; that of the common keys where its kind is unknown."""
        kind = written.get("kind") if isinstance(written, dict) else None
        if isinstance(kind, str) and kind in self.kinds:
            return schema_of(self.kinds[kind])()
        return schema_of(self.common)(unknown=EXCLUDE)

    def _deserialize(
        self, value: object, attr: str | None, data: object, **kwargs: object
    ) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise ValidationError(f"must be [[{self.name_in_file}]] tables")
        valid: list[Any] = []
        problems: dict[int, Any] = {}
        for index, written in enumerate(value):
            try:
                valid.append(self.schema_for(written).load(written))
            except ValidationError as error:
                problems[index] = error.messages
                valid.append(error.valid_data)
        if problems:
            raise ValidationError(problems, valid_data=valid)
        return valid


def fields_by_key(schema: Schema) -> dict[str, fields.Field[Any]]:
    """The fields of a schema by their names in the file."""
    return {field.data_key or name: field for name, field in schema.fields.items()}


def built(cls: type[T], values: Mapping[str, Any], folder: Path) -> T:
    """The dataclass of a table, of valid values; relative paths are relative to the folder."""
    return cls(
        **{
            name: value if type(value := values[name]) in _PLAIN else _built(each, value, folder)
            for name, each in keys_of(cls).items()
        }
    )


_PLAIN = frozenset({str, int, float, bool, tuple, type(None)})  # the types of nearly all values


def _built(declared: Key, value: Any, folder: Path) -> Any:
    match value:
        case Path():
            return folder / value
        case dict() if declared.tables:
            return built(declared.tables_of(value)[0], value, folder)
        case list() if declared.tables:
            return tuple(_built(declared, each, folder) for each in value)
    return value


def needs_restart(before: T, after: T) -> list[str]:
    """The keys, such as `server.port`, whose values differ and take effect after a restart only."""
    return list(_restart_keys(before, after, ""))


def _restart_keys(before: Any, after: Any, at: str) -> Iterator[str]:
    for name, declared in keys_of(type(before)).items():
        old, new = getattr(before, name), getattr(after, name)
        if old == new:
            continue
        if declared.restart:
            yield at + name
        elif dataclasses.is_dataclass(old) and dataclasses.is_dataclass(new):
            yield from _restart_keys(old, new, f"{at}{name}.")
