"""The vantage point of checks: what all probes of one process share."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class VantageSettings:
    """`[checks]`: how this process looks at targets. `name_servers` empty: the system's way."""

    resolver_threads: int = 16
    name_servers: tuple[str, ...] = ()
    source_ipv4: str = ""
    source_ipv6: str = ""
    user_agent: str = "kener-async"
    ca_file: Path | None = None
