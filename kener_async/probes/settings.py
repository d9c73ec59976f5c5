"""Settings of checks: what is looked at, and what must hold. Durations are in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from kener_async.domain.checks import CheckTiming
from kener_async.domain.conditions import CheckCondition

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class OAuth:
    """A token that is fetched first, by the client credentials of OAuth 2."""

    token_url: str = field(repr=False)
    client: str = field(repr=False)
    secret: str = field(repr=False)
    scope: str = ""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """`verify`: whether the certificate must be good. `certificate`: one of our own, PEM with its key.
    `server_name`: the name to ask for, empty: the host's."""

    verify: bool = True
    certificate: Path | None = None
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class HttpTarget:
    url: str = field(repr=False)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS, repr=False)
    body: str = field(default="", repr=False)
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    oauth: OAuth | None = None
    max_redirects: int = 5
    max_body: int = 1 << 20
    proxy: str = field(default="", repr=False)
    tls: TlsSettings = TlsSettings()


@dataclass(frozen=True, slots=True)
class PingTarget:
    host: str
    packets: int = 3


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """`send` is what is sent once connected; empty: nothing."""

    host: str
    port: int
    send: bytes = field(default=b"", repr=False)
    max_body: int = 1 << 20


@dataclass(frozen=True, slots=True)
class UdpTarget:
    """With `send` an answer is waited for."""

    host: str
    port: int
    send: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class DnsTarget:
    """`server`: `192.0.2.53`, `192.0.2.53:5353` or `tls://dns.example.org`; empty: those of the vantage."""

    name: str
    record: str = "A"
    server: str = ""
    tls: TlsSettings = TlsSettings()


@dataclass(frozen=True, slots=True)
class TlsTarget:
    host: str
    port: int
    starttls: Literal["", "smtp", "imap", "pop3", "ftp", "ldap"] = ""
    tls: TlsSettings = TlsSettings()


@dataclass(frozen=True, slots=True)
class WebSocketTarget:
    url: str = field(repr=False)
    send: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS, repr=False)
    max_body: int = 1 << 20
    tls: TlsSettings = TlsSettings()


@dataclass(frozen=True, slots=True)
class GreetingTarget:
    """The greeting of a protocol, and STARTTLS where it is offered; `require_tls`: it must be."""

    protocol: Literal["ssh", "smtp", "imap", "pop3", "ftp"]
    host: str
    port: int
    require_tls: bool = False
    tls: TlsSettings = TlsSettings()


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """Exit status 0 is UP, `degraded_status` is DEGRADED, any other is DOWN."""

    words: tuple[str, ...]
    degraded_status: int | None = None


@dataclass(frozen=True, slots=True)
class UnitTarget:
    """UP while the unit of systemd is active."""

    name: str


@dataclass(frozen=True, slots=True)
class FileTarget:
    """UP if the file was written within `max_age`."""

    path: Path
    max_age: int


@dataclass(frozen=True, slots=True)
class AliveTarget:
    """Always UP: the device runs."""


def sees_certificates(target: "Target") -> bool:
    """Whether looking at the target can show a certificate."""
    match target:
        case HttpTarget() | WebSocketTarget() | TlsTarget():
            return True
        case GreetingTarget(protocol=protocol):
            return protocol != "ssh"
        case DnsTarget(server=server):
            return server.startswith("tls://")
    return False


DeviceTarget = CommandTarget | UnitTarget | FileTarget | AliveTarget  # those that only an agent looks at
NetworkTarget = (
    HttpTarget | PingTarget | TcpTarget | UdpTarget | DnsTarget | TlsTarget | WebSocketTarget | GreetingTarget
)
Target = NetworkTarget | DeviceTarget


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """A check of the monitor `tag`. `expect` None: what is good for the kind of target.

    `ip` 4 or 6: by that version only; 0: either. `is_trusted`: the operator named the target in config.toml,
    so it may be anywhere. `secrets` are texts that stand as *** in reasons.
    """

    tag: str
    target: Target
    timing: CheckTiming
    expect: tuple[CheckCondition, ...] | None = None
    warn: tuple[CheckCondition, ...] = ()
    invert: bool = False
    ip: Literal[0, 4, 6] = 0
    in_milliseconds: bool = False
    is_trusted: bool = True
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class VantageSettings:
    """`[checks]`: how this process looks at targets. `name_servers` empty: the system's way.

    `private_targets` are networks that targets may reach that did not come from config.toml.
    """

    resolver_threads: int = 16
    name_servers: tuple[str, ...] = ()
    source_ipv4: str = ""
    source_ipv6: str = ""
    user_agent: str = "kener-async"
    ca_file: Path | None = None
    private_targets: tuple[str, ...] = ()
