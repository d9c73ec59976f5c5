"""Settings of the agent: `[agent]` of the configuration. Durations are in seconds."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Http:
    """UP if the response has `status`, or any below 400 if None, and its body contains `text`."""

    url: str
    status: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Tcp:
    """UP if a connection can be made."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Command:
    """Exit status 0 is UP, `degraded_status` is DEGRADED, any other is DOWN."""

    words: tuple[str, ...]
    degraded_status: int | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """UP while the unit of systemd is active."""

    name: str


@dataclass(frozen=True, slots=True)
class FileAge:
    """UP if the file was written within `max_age`."""

    path: Path
    max_age: int


@dataclass(frozen=True, slots=True)
class Alive:
    """Always UP: the device runs."""


Probe = Http | Tcp | Command | Unit | FileAge | Alive


@dataclass(frozen=True, slots=True)
class Check:
    """A check. Above the latency `degraded_above`, UP becomes DEGRADED. Latencies are sent in s, or in ms."""

    tag: str
    probe: Probe
    every: int = 60
    timeout: float = 10
    degraded_above: float | None = None
    in_milliseconds: bool = False


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The settings of an agent. `servers` are the URLs of one server, in order of preference.

    `token` is used unless it is empty, else `token_file`, which is read for each upload. `device` is the
    first part of the device's name, the host name if empty. `spool_bytes` is the limit of the spool.
    """

    servers: tuple[str, ...]
    token: str = field(repr=False)
    token_file: Path | None
    device: str
    spool: Path
    spool_bytes: int
    send_every: float
    send_timeout: float
    checks: tuple[Check, ...]
