"""Settings of the agent: `[agent]` of the configuration. Durations are in seconds."""

from dataclasses import dataclass, field
from pathlib import Path

from kener_async.probes.settings import CheckSettings, VantageSettings


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The settings of an agent. `servers` are the URLs of one server, in order of preference.

    `token` is used unless it is empty, else `token_file`, which is read for each upload. `device` is the
    first part of the device's name, the host name if empty. `spool_bytes` is the limit of the spool.
    `vantage` is what probes share.
    """

    servers: tuple[str, ...]
    token: str = field(repr=False)
    token_file: Path | None
    device: str
    spool: Path
    spool_bytes: int
    send_every: float
    send_timeout: float
    checks: tuple[CheckSettings, ...]
    vantage: VantageSettings = field(default_factory=VantageSettings)
