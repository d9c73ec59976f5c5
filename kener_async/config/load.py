"""Read config.toml and the environment into a frozen `Config`; every problem is reported at once."""

import re
import tomllib
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from marshmallow import Schema, ValidationError, fields

from kener_async.config.build import build
from kener_async.config.checks import KEYS_ELSEWHERE, MonitorCheckTable
from kener_async.config.environment import VARIABLES, credential_key, overrides, with_overrides
from kener_async.config.fields import describe, suggestion
from kener_async.config.lines import Lines
from kener_async.config.model import Config
from kener_async.config.problems import ConfigProblem, Place, table_at
from kener_async.config.rules import Reserved, problems_between
from kener_async.config.schema import TablesByKind, fields_by_key, keys_of
from kener_async.config.secrets import with_secrets
from kener_async.config.tables import SCHEMA, Document
from kener_async.config.warnings import warnings_of
from kener_async.errors import FatalError, reason_of
from kener_async.probes.settings import CheckSettings


class ConfigError(FatalError):
    """The configuration is invalid: the text is every problem, one a line.

    A problem names its line and its place (`config.toml:41: monitors["earth"].category: ...`), or the
    environment variable the value came from. It never shows a secret.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load(
    path: Path,
    environment: Mapping[str, str],
    reserved: Reserved = frozenset,
    *,
    site_files_missing: bool = False,
    secrets_unknown: bool = False,
    tables: Collection[str] | None = None,
) -> Config:
    """The configuration in the file, with the overrides of the environment.

    Relative paths are relative to the file's folder. A key that systemd passes as the credential `secret_key`
    replaces the file with the key. `reserved` returns the first segments that no base path may begin with.
    `site_files_missing`: the files that [site] names may be missing, because they are to be restored.
    `secrets_unknown`: those of channels, mail, watch, manage and checks may be missing: nothing is sent.
    `tables` are those that a command needs: the others are as if they were left out, and not validated.
    Raises ConfigError with every problem.
    """
    with_site_files = not site_files_missing
    return _loaded(path, _text(path), environment, reserved, with_site_files, secrets_unknown, tables)


def defaults(folder: Path, environment: Mapping[str, str]) -> Config:
    """The configuration of a folder in which there is no file. Raises ConfigError."""
    return _loaded(folder / "config.toml", "", environment, frozenset, True)


def single_check(values: Mapping[str, object], folder: Path) -> CheckSettings:
    """The settings of one check with the keys of [monitors.check], by the rules of the file.

    Raises ConfigError, each problem with the key that it is about.
    """
    written = {"monitors": [{"tag": "check", "name": "check", "check": values}]}
    valid, problems = _validated(written, folder, frozenset, False)
    if problems:
        raise ConfigError([_of_check(problem) for problem in problems])
    (monitor,) = build(valid, folder / "config.toml", {}).monitors
    assert monitor.check is not None  # noqa: S101  it is a check by its table
    return monitor.check


def _of_check(problem: ConfigProblem) -> str:
    key = problem.place[3:4]
    return f"{key[0]}: {problem.text}" if key else problem.text


def _loaded(
    path: Path,
    text: str,
    environment: Mapping[str, str],
    reserved: Reserved,
    with_site_files: bool,
    secrets_unknown: bool = False,
    tables: Collection[str] | None = None,
) -> Config:
    whole = _document(path, text)
    needed = whole if tables is None else {name: whole[name] for name in tables if name in whole}
    document, missing, found = with_secrets(needed, Document, environment, secrets_unknown=secrets_unknown)
    overriding, unknown, ignored = overrides(environment)
    if tables is not None:
        overriding = {place: value for place, value in overriding.items() if place[0] in tables}
    written = with_overrides(document, overriding)
    values, problems = _validated(written, path.absolute().parent, reserved, with_site_files)
    problems = _with_missing(problems, [each for each in missing if each.place not in overriding])
    if problems or unknown:
        variables: dict[Place, str] = {
            place: name for name, place in VARIABLES.items() if place in overriding
        }
        report = _Report(path, Lines(text), written, variables)
        raise ConfigError([*map(report.line, problems), *unknown])
    config = build(values, path.absolute(), found)
    used = tuple(name for name, place in VARIABLES.items() if place in overriding)
    config = replace(
        config,
        text=text,
        variables=used,
        ignored_variables=tuple(ignored),
        warnings=tuple(warnings_of(config)),
    )
    credential = credential_key(environment)
    if credential is None:
        return config
    return replace(config, auth=replace(config.auth, secret_key_file=credential, makes_secret_key=False))


# Read


def _text(path: Path) -> str:
    """The text of the file, without the byte order mark that some editors put first."""
    try:
        return path.read_bytes().removeprefix(BOM_UTF8).decode()
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: {reason_of(error)}"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: not UTF-8"]) from None


def _document(path: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        last = f"at line {len(text.splitlines())}"
        raise ConfigError([f"{path}: {str(error).replace('at end of document', last)}"]) from None


# Validate


def _validated(
    written: Mapping[str, object], folder: Path, reserved: Reserved, with_site_files: bool
) -> tuple[dict[str, Any], list[ConfigProblem]]:
    """The valid values, with defaults, and every problem, in order."""
    try:
        values, problems = SCHEMA.load(written), []
    except ValidationError as error:
        values = error.valid_data if isinstance(error.valid_data, dict) else {}
        problems = list(_field_problems(error.messages_dict, SCHEMA, written))
    problems += problems_between(values, written, folder, reserved, with_site_files)
    return values, sorted(problems, key=_order)


def _with_missing(problems: list[ConfigProblem], missing: list[ConfigProblem]) -> list[ConfigProblem]:
    """The problems with those of missing secrets, whose places have no other."""
    places = {problem.place for problem in missing}
    return sorted([*missing, *(each for each in problems if each.place not in places)], key=_order)


_SECTIONS = list(SCHEMA.fields)


def _order(problem: ConfigProblem) -> tuple[int, Place]:
    """By section in the order of their declaration, then by place."""
    section = str(problem.place[0]) if problem.place else ""
    return (_SECTIONS.index(section) if section in _SECTIONS else len(_SECTIONS), problem.place)


def _field_problems(
    errors: Mapping[Any, Any], schema: Schema, written: Mapping[str, object], at: Place = ()
) -> Iterator[ConfigProblem]:
    """The errors of marshmallow, which are nested as the tables are, one by one."""
    by_key = fields_by_key(schema)
    for key, messages in errors.items():
        place = (*at, key)
        if key == "_schema":
            yield from (ConfigProblem(at, text) for text in messages)
        elif key not in by_key:
            yield ConfigProblem(place, f"unknown key{_hint(key, by_key, at)}")
        elif isinstance(messages, list):
            yield from (ConfigProblem(place, text) for text in messages)
        else:
            yield from _problems_within(messages, by_key[key], written, place)


def _hint(key: str, known: Collection[str], at: Place) -> str:
    """What may have been meant by an unknown key of a table, for the end of a line; empty: nothing known."""
    if (other := KEYS_ELSEWHERE.get(key)) in known:
        return f', did you mean "{other}"?'
    if at[:1] == ("monitors",) and len(at) == 2 and key in keys_of(MonitorCheckTable):
        return ", it stands in [monitors.check]"
    return suggestion(key, known)


def _problems_within(
    errors: Mapping[Any, Any], field: fields.Field[Any], written: Mapping[str, object], at: Place
) -> Iterator[ConfigProblem]:
    """Those within a value: a table, an array of tables, a list, or a table whose keys are free."""
    if isinstance(field, fields.Nested) and not field.many:
        yield from _field_problems(errors, field.schema, written, at)
        return
    for item, messages in errors.items():
        place = (*at, item)
        match field:
            case fields.Nested():
                yield from _field_problems(messages, field.schema, written, place)
            case TablesByKind():
                schema = field.schema_for(table_at(written, *place))
                yield from _field_problems(messages, schema, written, place)
            case _:
                yield from (ConfigProblem(place, text) for text in messages)


@dataclass(frozen=True)
class _Report:
    """The problems as the operator reads them, with the line or the variable that each value came from."""

    file: Path
    lines: Lines
    written: Mapping[str, object]
    variables: Mapping[Place, str]

    def line(self, problem: ConfigProblem) -> str:
        variable = self.variables.get(problem.place[:2])
        if variable is not None:
            return f"{variable}{self._path(problem.place, 2)}: {problem.text}"
        number = self.lines.of(problem.place)
        file = str(self.file) if number is None else f"{self.file}:{number}"
        return ": ".join(part for part in (file, self._path(problem.place), problem.text) if part)

    def _path(self, place: Place, begin: int = 0) -> str:
        """The place from one of its parts on, such as `monitors["earth"].heartbeat.interval`."""
        path = ""
        for position in range(begin, len(place)):
            part = place[position]
            if isinstance(part, int):
                path += f"[{_label(table_at(self.written, *place[: position + 1]), part)}]"
            else:
                key = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else describe(part)
                path += f".{key}" if path else key
        return path


def _label(table: Mapping[str, object], index: int) -> str:
    """What a table of an array is called: its tag or name; else its number, from 1."""
    for key in ("tag", "name", "title"):
        if isinstance(text := table.get(key), str):
            return describe(text)
    return f"number {index + 1}"
