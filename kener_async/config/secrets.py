"""Secrets from elsewhere: `$NAME` in the keys of config.toml that are declared as secret.

It stands for the environment variable NAME, else the content of the file that the variable NAME_FILE names,
else systemd's credential NAME. `$$` is a dollar.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kener_async.config.problems import ConfigProblem, Place
from kener_async.config.schema import Key, keys_of
from kener_async.errors import reason_of

_REFERENCE = re.compile(r"\$(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<dollar>\$)|)")


# Stands for a secret that a command can do without; a valid address, and long enough for a token.
STAND_IN = "https://secret.invalid/"
TOLD_WITH = ("channels", "mail", "watch", "manage")  # the tables whose secrets only the service uses
CHECKED_WITH = ("check", "checks")  # likewise, within the tables of monitors and of the agent
CHECK_DEPTH = 3  # of the place of a check: ("monitors", 1, "check") or ("agent", "checks", 1)


class SecretError(Exception):
    """A secret cannot be found; the text names the reference and never a value."""


class WithSecrets(NamedTuple):
    """A document with its secrets in place, and a problem for each that cannot be found.

    `found` are the secrets that were put in for checks, by the place of the check.
    """

    document: dict[str, Any]
    problems: list[ConfigProblem]
    found: dict[Place, tuple[str, ...]]


def with_secrets(
    document: Mapping[str, Any], table: type, environment: Mapping[str, str], *, secrets_unknown: bool = False
) -> WithSecrets:
    """The document of a table with its secrets in place.

    `secrets_unknown`: those that tell somebody something, or are for checks, need not be found; STAND_IN
    stands for them.
    """
    problems: list[ConfigProblem] = []
    found: dict[Place, tuple[str, ...]] = {}

    def put_in(text: str, place: Place) -> str:
        used: list[str] = []
        try:
            replaced = expanded(text, environment, used)
        except SecretError as error:
            if secrets_unknown and (place[0] in TOLD_WITH or set(CHECKED_WITH).intersection(place)):
                return STAND_IN.replace("https", "wss") if place[-1] == "websocket" else STAND_IN
            problems.append(ConfigProblem(place, str(error)))
            return text
        if used and set(CHECKED_WITH).intersection(place):
            check = place[:CHECK_DEPTH]
            found[check] = (*found.get(check, ()), *used)
        return replaced

    return WithSecrets(_replaced_in(document, (table,), put_in, (), "expands"), problems, found)


Replace = Callable[[str, Place], str]
Held = Literal["secret", "expands"]


def replaced_secrets(document: Mapping[str, Any], table: type, replace: Replace) -> dict[str, Any]:
    """The document of a table, in which each text whose key is declared as secret is replaced."""
    return _replaced_in(document, (table,), replace, (), "secret")


def replaced_references(document: Mapping[str, Any], table: type, replace: Replace) -> dict[str, Any]:
    """The document of a table, in which each text that may hold a reference such as $NAME is replaced."""
    return _replaced_in(document, (table,), replace, (), "expands")


def _replaced_in(
    document: Mapping[str, Any], tables: Iterable[type], replace: Replace, at: Place, held: Held
) -> dict[str, Any]:
    """The same for a document of one of several tables: what is a secret in one of them is one."""
    declared = _declared(tuple(tables), held)
    return {
        name: _replaced(value, declared[name], replace, (*at, name), held) if name in declared else value
        for name, value in document.items()
    }


@lru_cache(256)
def _declared(tables: tuple[type, ...], held: Held) -> Mapping[str, Key]:
    """The keys of the tables by their names in the file."""
    declared: dict[str, Key] = {}
    for table in tables:
        for attribute, each in keys_of(table).items():
            name = each.field.data_key or attribute
            if getattr(each, held) or name not in declared:
                declared[name] = each
    return declared


def _replaced(value: Any, key: Key, replace: Replace, at: Place, held: Held) -> Any:
    is_held = getattr(key, held)
    match value:
        case str() if is_held:
            return replace(value, at)
        case dict() if is_held:  # a table whose keys are free
            return {name: _replaced(each, key, replace, (*at, name), held) for name, each in value.items()}
        case dict() if key.tables:
            return _replaced_in(value, key.tables_of(value), replace, at, held)
        case list() if is_held or key.tables:
            return [_replaced(each, key, replace, (*at, index), held) for index, each in enumerate(value)]
    return value


def expanded(text: str, environment: Mapping[str, str], used: list[str] | None = None) -> str:
    """The text with its references replaced, whose values are added to `used`; raises SecretError."""

    def replaced(match: "re.Match[str]") -> str:
        if match["name"]:
            value = _secret(match["name"], environment)
            if used is not None:
                used.append(value)
            return value
        if match["dollar"]:
            return "$"
        raise SecretError("has a $ that names nothing: $NAME stands for a secret, $$ for a dollar")

    return _REFERENCE.sub(replaced, text)


def _secret(name: str, environment: Mapping[str, str]) -> str:
    if value := environment.get(name):
        return value
    file = environment.get(f"{name}_FILE")
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if file:
        return _content(Path(file), name)
    if folder and Path(folder, name).is_file():
        return _content(Path(folder, name), name)
    raise SecretError(
        f"${name} is not set: neither the variable {name}, nor a file named by {name}_FILE, nor a credential "
        f"{name}; a dollar is written $$"
    )


def _content(path: Path, name: str) -> str:
    try:
        value = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SecretError(f"${name}: {path}: {reason_of(error)}") from None
    except UnicodeDecodeError:
        raise SecretError(f"${name}: {path}: not UTF-8") from None
    if not value:
        raise SecretError(f"${name}: {path}: is empty")
    return value
