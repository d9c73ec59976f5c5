"""What config.toml says, as frozen dataclasses: all that the program sees of it."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from kener_async.agent.settings import AgentSettings
from kener_async.domain.heartbeats import MonitorSettings

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """`public_url` is scheme and host, `base_path` what follows in every address; no slash at their end.

    `max_connections` 0: 80 % of the file descriptor limit.
    """

    host: str
    port: int
    public_url: str
    trusted_proxies: tuple[Network, ...]
    shutdown_seconds: int
    max_connections: int
    request_timeout_seconds: int
    base_path: str


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    path: Path
    synchronous: Literal["FULL", "NORMAL", "EXTRA"]
    retention_days: int


@dataclass(frozen=True, slots=True)
class BackupConfig:
    """Scheduled backups: `every` so many seconds one is made in the folder, and the newest `keep` stay there.

    `folder` None: none are made.
    """

    folder: Path | None
    every: int
    keep: int


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """The key is `secret_key`, or when that is empty what `secret_key_file` holds.

    `makes_secret_key`: no key was configured, so the file is made where it does not exist yet.
    `public_key_file` is None exactly when `algorithm` is HS256.
    """

    secret_key: str = field(repr=False)
    secret_key_file: Path
    makes_secret_key: bool
    algorithm: Literal["HS256", "EdDSA", "RS256"]
    public_key_file: Path | None
    allowed_ips: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """`token_rate` is in samples a second, 0: no limit; beyond it `token_burst` more may come at once."""

    clock_skew_seconds: int
    max_age_days: int
    max_body_bytes: int
    max_batch_bytes: int
    max_queue: int
    token_rate: int
    token_burst: int


@dataclass(frozen=True, slots=True)
class RollupsConfig:
    interval_seconds: int


@dataclass(frozen=True, slots=True)
class LogConfig:
    """`format` auto: text on a terminal, else JSON. `requests`: which answered requests are logged."""

    format: Literal["auto", "json", "text"]
    level: Literal["debug", "info", "warning", "error"]
    requests: Literal["errors", "all"]


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """`max_monitors`: up to so many monitors each has metrics of its own."""

    max_monitors: int


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """`ping_url` is asked for `ping_every` so many seconds while the service is able to work; empty: none."""

    ping_url: str
    ping_every: int


@dataclass(frozen=True, slots=True)
class Link:
    """`icon` is the address of an image, or empty."""

    name: str
    url: str
    icon: str


@dataclass(frozen=True, slots=True)
class Hero:
    title: str
    subtitle: str
    image: str


@dataclass(frozen=True, slots=True)
class Colors:
    """Each is #rgb, #rrggbb, or empty: the stylesheet's own."""

    up: str
    degraded: str
    down: str
    maintenance: str
    no_data: str
    accent: str


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """`header` and `footer` are Markdown, `meta` is pairs of name and content.

    Addresses (`home`, `logo`, `favicon`, of links and images) are as written: a web address, a path that
    begins with /, the name of a file within `assets`, or empty. `font_file` is such a name, or empty.
    """

    title: str
    name: str
    description: str
    timezone: ZoneInfo
    locale: str
    locales: tuple[str, ...]
    home: str
    is_indexed: bool
    assets: Path | None
    logo: str
    favicon: str
    header: str
    footer: str
    theme: Literal["system", "light", "dark"]
    theme_toggle: bool
    pattern: Literal["none", "dots", "squares"]
    bar_style: Literal["full", "partial"]
    bar_roundness: Literal["rounded", "sharp"]
    summary_style: Literal["current", "day"]
    font_family: str
    font_file: str
    custom_css: Path | None
    hero: Hero | None
    colors: Colors
    dark_colors: Colors
    meta: tuple[tuple[str, str], ...]
    nav: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Announcement:
    """Shown in `[start, end)`, UTC seconds; None: from ever, for ever. `text` is Markdown."""

    title: str
    text: str
    level: Literal["info", "warning", "critical"]
    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class Category:
    name: str
    description: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Senders:
    """What senders of other services call a monitor; empty: they do not. All but `gatus_key` is secret.

    `checks` are the UUID of a check of Healthchecks, and its ping key and slug with a slash between them.
    """

    checks: tuple[str, ...] = ()
    push_token: str = ""
    gatus_key: str = ""
    gatus_token: str = ""


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """`category` is the name of one of the configured categories, or empty.

    `hidden`: it is hidden itself, or its category is.
    """

    tag: str
    name: str
    description: str
    image: str
    category: str
    hidden: bool
    latency_unit: Literal["s", "ms"]
    day_degraded_minimum_count: int
    day_down_minimum_count: int
    settings: MonitorSettings
    senders: Senders = field(default=Senders(), repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """`file` is where it was read from."""

    file: Path
    server: ServerConfig
    database: DatabaseConfig
    backup: BackupConfig
    auth: AuthConfig
    ingest: IngestConfig
    rollups: RollupsConfig
    log: LogConfig
    metrics: MetricsConfig
    watch: WatchConfig
    site: SiteConfig
    announcements: tuple[Announcement, ...]
    categories: tuple[Category, ...]
    monitors: tuple[MonitorConfig, ...]
    agent: AgentSettings
