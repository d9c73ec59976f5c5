"""`[agent]` of config.toml: its rules across settings, and what an agent gets of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kener_async.agent.settings import (
    AgentSettings,
    Alive,
    Check,
    Command,
    FileAge,
    Http,
    Probe,
    Tcp,
    Unit,
)

KINDS = ("http", "tcp", "command", "unit", "file", "alive")
MEASURED = ("http", "tcp", "command")
NEEDS = {
    "expect_status": ("http",),
    "expect_text": ("http",),
    "degraded_exit": ("command",),
    "max_age": ("file",),
    "degraded_above": MEASURED,
}
TIMEOUT = 10  # seconds, or as many as are between two checks

# Faults, by place within a table
Faults = Iterator[tuple[tuple[str | int, ...], str]]


def agent_rules(read: Mapping[str, Any], written: Mapping[str, Any]) -> Faults:
    """What is wrong between settings, by what is valid by itself and what was written."""
    if written.get("token") and written.get("token_file"):
        yield ("token_file",), "contradicts token, set one of them"
    for index, check in enumerate(read.get("checks", ())):
        table = written["checks"][index]
        if isinstance(table, dict):
            for key, text in _check_rules(check, table):
                yield ("checks", index, *key), text


def _check_rules(read: Mapping[str, Any], written: Mapping[str, object]) -> Faults:
    kinds = [kind for kind in KINDS if kind in written]
    if not kinds:
        yield (), f"is no check, set one of {', '.join(KINDS)}"
    yield from (((kind,), f"contradicts {kinds[0]}, set one of them") for kind in kinds[1:])
    for key, needed in NEEDS.items():
        if key in written and not set(needed).intersection(written):
            yield (key,), f"needs {' or '.join(needed)}"
    if "file" in written and "max_age" not in written:
        yield ("max_age",), "is missing, file needs it"
    if read.get("alive") is False:
        yield ("alive",), "must be true, or left out"
    if "timeout" in read and "every" in read and read["timeout"] > read["every"]:
        yield ("timeout",), f"must be at most every, {read['every']} s, not {read['timeout']} s"


def agent_of(table: Mapping[str, Any], folder: Path) -> AgentSettings:
    """The settings of a valid table; paths are relative to the folder."""
    paths = {
        "token_file": folder / table["token_file"] if table["token_file"] else None,
        "spool": folder / table["spool"],
    }
    return AgentSettings(
        **{**table, **paths, "checks": tuple(_check(each, folder) for each in table["checks"])}
    )


def _check(table: Mapping[str, Any], folder: Path) -> Check:
    return Check(
        tag=table["tag"],
        probe=_probe(table, folder),
        every=table["every"],
        timeout=table.get("timeout", min(TIMEOUT, table["every"])),
        degraded_above=table.get("degraded_above"),
        in_milliseconds=table["latency_unit"] == "ms",
    )


def _probe(table: Mapping[str, Any], folder: Path) -> Probe:
    match table:
        case {"http": url}:
            return Http(url, table.get("expect_status"), table["expect_text"])
        case {"tcp": (host, port)}:
            return Tcp(host, port)
        case {"command": words}:
            return Command(words, table.get("degraded_exit"))
        case {"unit": name}:
            return Unit(name)
        case {"file": path, "max_age": max_age}:
            return FileAge(folder / path, max_age)
    return Alive()
