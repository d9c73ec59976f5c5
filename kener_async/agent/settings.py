"""What an agent is to do: `[agent]` of the configuration. All durations are seconds."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Http:
    """UP when it answers with the `status`, None: any below 400, and `text` is in the body."""

    url: str
    status: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Tcp:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Command:
    """Exit status 0 is UP, `degraded_status` is DEGRADED, any other is DOWN."""

    words: tuple[str, ...]
    degraded_status: int | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of systemd, which is UP while it is active."""

    name: str


@dataclass(frozen=True, slots=True)
class FileAge:
    """A file that was written within `max_age`."""

    path: Path
    max_age: int


@dataclass(frozen=True, slots=True)
class Alive:
    """The device runs, that is all."""


Probe = Http | Tcp | Command | Unit | FileAge | Alive


@dataclass(frozen=True, slots=True)
class Check:
    """`degraded_above`: slower than that an UP is DEGRADED. `in_milliseconds`: how latencies are sent."""

    tag: str
    probe: Probe
    every: int = 60
    timeout: float = 10
    degraded_above: float | None = None
    in_milliseconds: bool = False


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """`servers` are the addresses of one server, in order of preference.

    `token` is used when it is not empty, else what `token_file` holds each time it is needed. `device` is
    the first part of the device's name, empty: the host's. `spool_bytes` bounds the spool.
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
