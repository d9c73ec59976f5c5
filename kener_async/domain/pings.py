"""Ping URLs as Healthchecks has them: parse the check and the signal."""

import re
from dataclasses import dataclass
from enum import Enum

from kener_async.domain.errors import Invalid

UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
PING_KEY = "[A-Za-z0-9_-]{8,100}"
SLUG = "[a-z0-9_-]{1,100}"
HIGHEST_EXIT_STATUS = 255

_ADDRESS = re.compile(rf"({UUID}|{PING_KEY}/{SLUG})(?:/(start|fail|log|[0-9]{{1,9}}))?/?")


class Signal(Enum):
    START = "start"
    SUCCESS = "success"
    FAIL = "fail"
    LOG = "log"


@dataclass(frozen=True, slots=True)
class Ping:
    """`check` is a UUID in lower case, or a ping key and a slug with a slash between them."""

    check: str
    signal: Signal


def ping_at(address: str) -> Ping:
    """Parse the part of the path after `/ping/`; raises Invalid."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise Invalid("invalid url format")
    check, ending = match.groups()
    return Ping(check if "/" in check else check.lower(), _signal(ending))


def _signal(ending: str | None) -> Signal:
    if ending is None:
        return Signal.SUCCESS
    if not ending.isdigit():
        return Signal(ending)
    if int(ending) > HIGHEST_EXIT_STATUS:
        raise Invalid("invalid url format")
    return Signal.SUCCESS if int(ending) == 0 else Signal.FAIL


def run_named(rid: str | None) -> str:
    """The run id of a job, in lower case, empty if there is none; raises Invalid."""
    if rid is None:
        return ""
    if not re.fullmatch(UUID, rid):
        raise Invalid("invalid uuid format")
    return rid.lower()
