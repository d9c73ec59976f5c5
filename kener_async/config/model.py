"""What config.toml says, as frozen dataclasses: all that the program sees of it.

The keys of these tables are declared here, with `config.schema`; tables that become something else, and their
keys, are in `config.tables`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from marshmallow import validate

from kener_async.agent.settings import AgentSettings
from kener_async.config.alert_fields import CATEGORY, HostName, Line, Mailbox, MonitorPattern, NonEmptyLine
from kener_async.config.channels import CHANNELS, ChannelConfig
from kener_async.config.checks import ChecksConfig
from kener_async.config.fields import (
    LOCALES,
    BasePath,
    Boolean,
    Choice,
    Color,
    Duration,
    FilePath,
    FoldedChoice,
    FontFamily,
    FontFile,
    Href,
    Integer,
    List,
    Network,
    NonEmptyString,
    OptionalPath,
    PingUrl,
    Secret,
    String,
    StringMap,
    Tag,
    TimeZone,
    Url,
)
from kener_async.config.maintenance import MaintenanceTable
from kener_async.config.manage import MANAGE_PATH, ManageConfig
from kener_async.config.schema import inner, key, several, several_kinds, table
from kener_async.domain.alerts import AlertRule, BurnRate, CertificateWithin
from kener_async.domain.calendar import DAY, MINUTE
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.notices import NoticeKind, Recipients
from kener_async.domain.objectives import Objective
from kener_async.probes.settings import CheckSettings, sees_certificates

NOT_EMPTY = validate.Length(1, error="must not be empty")

Networks = tuple[IPv4Network | IPv6Network, ...]


@table
class ServerConfig:
    """`public_url` is scheme and host, `base_path` what follows in every address; no slash at their end."""

    host: str = key(
        NonEmptyString(),
        "127.0.0.1",
        restart=True,
        doc="The address to listen on; behind a reverse proxy on the same machine leave it as it is.",
    )
    port: int = key(Integer(0, 65535), 3000, restart=True, doc="0 to 65535; 0 takes any free port.")
    public_url: str = key(
        Url(),
        "",
        doc='Where visitors reach this server, such as "https://status.example.org"; used in links of '
        "feeds and embeds. Scheme and host alone: a path belongs into base_path.",
    )
    trusted_proxies: Networks = key(
        List(Network()),
        (),
        doc="Addresses or networks of reverse proxies whose X-Forwarded-* headers are trusted, such as "
        '["127.0.0.1"].',
    )
    shutdown_seconds: int = key(
        Integer(1, 3600),
        10,
        restart=True,
        doc="How long requests in progress may take to finish when the server stops.",
    )
    max_connections: int = key(
        Integer(0, 1_000_000),
        0,
        restart=True,
        doc="Open connections at once; 0 means 80 % of the file descriptor limit.",
    )
    request_timeout_seconds: int = key(
        Integer(1, 3600),
        10,
        doc="The time within which the headers, and then the body, of a request must arrive; a client that "
        "reads nothing of its answer for so long is disconnected.",
    )
    base_path: str = key(
        BasePath(),
        "",
        doc='The path under which a reverse proxy serves all this, such as "/status"; no slash at its end. '
        "Every link carries it. The proxy may pass it on or strip it: both work.",
    )
    manage_path: str = key(
        BasePath(),
        MANAGE_PATH,
        restart=True,
        doc="Where people sign in to manage all this, below base_path; empty: nowhere.",
    )

    @property
    def public_host(self) -> str:
        """The name of the host in `public_url`; empty without one."""
        return urlsplit(self.public_url).hostname or ""


@table
class DatabaseConfig:
    path: Path = key(
        FilePath(),
        Path("data/kener.db"),
        restart=True,
        doc="One SQLite file; its folder also holds SQLite's own -wal and -shm files.",
    )
    synchronous: Literal["FULL", "NORMAL", "EXTRA"] = key(
        Choice("FULL", "NORMAL", "EXTRA"),
        "FULL",
        restart=True,
        doc="FULL: what was answered with 200 survives a power cut. NORMAL: faster, the last seconds may "
        "be lost. EXTRA: as FULL, and the folder is synced too.",
    )
    retention_days: int = key(
        Integer(1, 36_500),
        400,
        doc="Days for which samples are kept; at least max_age_days of [ingest].",
    )


@table
class BackupConfig:
    """Scheduled backups; `folder` None: none are made. `every` is in seconds."""

    folder: Path | None = key(
        OptionalPath(),
        None,
        doc="A folder in which backups are made while the server runs; empty: none. Better one on another "
        "disk.",
    )
    every: int = key(Duration(MINUTE), DAY, doc="How often a backup is made.")
    keep: int = key(
        Integer(1, 10_000),
        7,
        doc="How many of the newest backups are kept; older ones of this database are deleted.",
    )


@table
class AuthConfig:
    """The signing key is `secret_key`, or when that is empty the content of `secret_key_file`.

    `secret_key_file` is secret.key beside the database when it is not configured. `makes_secret_key`: no key
    was configured, so the file is made where it does not exist yet. `public_key_file` is None exactly when
    `algorithm` is HS256.
    """

    secret_key: str = key(
        Secret(),
        "",
        restart=True,
        secret=True,
        doc="The key that signs tokens, at least 32 bytes; better is a file, see secret_key_file. When "
        "neither is set, secret.key is made beside the database on the first start, readable by its "
        "owner only.",
    )
    secret_key_file: Path = key(
        OptionalPath(),
        None,
        restart=True,
        doc="A file that holds the key. The credential secret_key of systemd replaces it.",
    )
    algorithm: Literal["HS256", "EdDSA", "RS256"] = key(
        Choice("HS256", "EdDSA", "RS256"),
        "HS256",
        restart=True,
        doc="With EdDSA or RS256 tokens made elsewhere are accepted too, checked with public_key_file; "
        "tokens made here are always signed with HS256.",
    )
    public_key_file: Path | None = key(
        OptionalPath(), None, restart=True, doc="The public key (PEM) for EdDSA or RS256."
    )
    audience: str = key(
        String(),
        "",
        restart=True,
        doc="What `aud` of tokens made elsewhere must name, such as the address of this server; empty: "
        "tokens with `aud` are refused, because they are for others.",
    )
    allowed_ips: Networks = key(
        List(Network()),
        (),
        doc="Addresses or networks that may use the API with a token; empty: all.",
    )
    makes_secret_key: bool = False


@table
class IngestConfig:
    clock_skew_seconds: int = key(
        Integer(0, DAY),
        60,
        doc="How far ahead of this server's clock a report may be; it is then stored as of now. In batches "
        "of a device that sends its time, the minutes are corrected where its clock is off by more "
        "than this.",
    )
    max_age_days: int = key(Integer(1, 36_500), 90, doc="How old a report may be.")
    max_body_bytes: int = key(Integer(1, 1 << 30), 65_536, restart=True, doc="The largest request body.")
    max_batch_bytes: int = key(
        Integer(1, 1 << 30),
        4_194_304,
        doc="The largest body of a batch, also after decompression.",
    )
    max_queue: int = key(
        Integer(1, 10_000_000),
        10_000,
        restart=True,
        doc="Reports waiting to be written; beyond that the answer is 503 with Retry-After.",
    )
    token_rate: int = key(
        Integer(0, 10_000_000),
        1000,
        doc="How many samples a second each token may send on average, 0: no limit. Beyond that the answer "
        "is 429 with Retry-After.",
    )
    token_burst: int = key(
        Integer(1, 1_000_000_000),
        20_000,
        doc="How many samples more a token may send at once, such as the backlog of a device that was "
        "offline.",
    )


@table
class RollupsConfig:
    interval_seconds: int = key(
        Integer(1, 900),
        5,
        restart=True,
        doc="How often new reports are added up into quarters and days; 1 to 900.",
    )


@table
class LogConfig:
    format: Literal["auto", "json", "text"] = key(
        Choice("auto", "json", "text"),
        "auto",
        restart=True,
        doc="json, text, or auto: text on a terminal, else json.",
    )
    level: Literal["debug", "info", "warning", "error"] = key(
        Choice("debug", "info", "warning", "error"),
        "info",
        restart=True,
        doc="debug, info, warning or error.",
    )
    requests: Literal["errors", "all"] = key(
        Choice("errors", "all"), "errors", doc="Which requests are logged: errors, or all."
    )


@table
class MetricsConfig:
    max_monitors: int = key(
        Integer(0, 1_000_000),
        1000,
        doc="Up to this many monitors /metrics has the status and uptime of each; 0: never.",
    )


@table
class WatchConfig:
    """`ping_every` is in seconds."""

    ping_url: str = key(
        PingUrl(is_secret=True),
        "",
        secret=True,
        doc="A dead man's switch: an address the server requests (GET) while it is able to store reports; "
        "the service at that address raises the alarm when the requests stop. Empty: none.",
    )
    ping_every: int = key(Duration(1), MINUTE, restart=True, doc="How often it is requested.")


@table
class Link:
    """`icon` is the address of an image, or empty."""

    name: str = key(NonEmptyString(), doc="The text of the link.")
    url: str = key(Href("mailto", validate=NOT_EMPTY), doc="Its address; mailto: is allowed too.")
    icon: str = key(Href(), "", doc="An image beside the name.")


@table
class Hero:
    title: str = key(String(), "", doc="The headline.")
    subtitle: str = key(String(), "", doc="The line below it.")
    image: str = key(Href(), "", doc="An image above it: https://..., /a/path or a file in assets.")


@table
class Colors:
    """Each is #rgb, #rrggbb, or empty: the stylesheet's own."""

    up: str = key(Color(), "", doc="The color of UP.")
    degraded: str = key(Color(), "", doc="The color of DEGRADED.")
    down: str = key(Color(), "", doc="The color of DOWN.")
    maintenance: str = key(Color(), "", doc="The color of MAINTENANCE.")
    no_data: str = key(Color(), "", doc="The color of days and minutes without data.")
    accent: str = key(Color(), "", doc="The color of links and buttons.")


@table
class SiteConfig:
    """`header` and `footer` are Markdown, `meta` is pairs of name and content.

    Addresses (`home`, `logo`, `favicon`, of links and images) are as written: a web address, a path that
    begins with /, the name of a file within `assets`, or empty. `font_file` is such a name, or empty.
    `name` is the title when it is not configured. `hero` is None when all of it is empty.
    """

    title: str = key(NonEmptyString(), "Status", doc="The title of the page.")
    name: str = key(String(), "", doc="The name of the organisation; empty: the title.")
    timezone: ZoneInfo = key(
        TimeZone(),
        ZoneInfo("UTC"),
        doc='The time zone whose days the page shows, such as "Europe/Berlin".',
    )
    description: str = key(
        String(),
        "",
        doc="What the page is about, in a sentence, for search engines and previews of links.",
    )
    locale: str = key(
        Choice(*LOCALES),
        "en",
        doc="The language of the page where a visitor's own is not among locales.",
    )
    locales: tuple[str, ...] = key(
        List(Choice(*LOCALES)), LOCALES, doc="The languages a visitor can choose from."
    )
    indexed: bool = key(
        Boolean(), True, doc="Whether search engines may list the pages; false asks them not to."
    )
    assets: Path | None = key(
        OptionalPath(),
        None,
        doc='A folder of your own files; they are served under /assets/, and "logo.svg" in a setting of '
        "this page or the image of a monitor means the file of that name in it. Only images, fonts, .css, "
        ".html and .pdf are served. It must not hold the database, the key, the backups or this file. "
        "Empty: none.",
    )
    logo: str = key(
        Href(),
        "",
        doc="The picture at the top of every page: https://..., /a/path or a file in assets.",
    )
    favicon: str = key(Href(), "", doc="The icon of the browser's tab, likewise.")
    home: str = key(Href(), "", doc="The target of the logo's link; empty: the home page.")
    header: str = key(String(), "", doc="Markdown at the top of every page.")
    footer: str = key(String(), "", doc="Markdown at the bottom of every page.")
    theme: Literal["system", "light", "dark"] = key(
        Choice("system", "light", "dark"),
        "system",
        doc="light, dark, or system: as the visitor's device has it.",
    )
    theme_toggle: bool = key(Boolean(), True, doc="Whether visitors can switch between light and dark.")
    pattern: Literal["none", "dots", "squares"] = key(
        Choice("none", "dots", "squares"),
        "none",
        doc="The pattern of the background: none, dots or squares.",
    )
    bar_style: Literal["full", "partial"] = key(
        FoldedChoice("full", "partial"),
        "full",
        doc="The bars of the days: full, or partial: coloured as high as the share of the day that was not "
        "UP.",
    )
    bar_roundness: Literal["rounded", "sharp"] = key(
        FoldedChoice("rounded", "sharp"),
        "rounded",
        doc="The corners of the bars: rounded or sharp.",
    )
    summary_style: Literal["current", "day"] = key(
        FoldedChoice("current", "day"),
        "current",
        doc="The words beside the bars: current, the current status and for how long; day, the worst of "
        "today.",
    )
    font_family: str = key(
        FontFamily(),
        "",
        doc='The font: families as in CSS, such as "Inter, sans-serif"; empty: the device\'s own.',
    )
    font_file: str = key(FontFile(), "", doc="A font of your own: a .woff2, .woff or .ttf file in assets.")
    custom_css: Path | None = key(
        OptionalPath(), None, doc="A stylesheet that is added after the page's own."
    )
    hero: Hero | None = inner(Hero)
    colors: Colors = inner(Colors)
    dark_colors: Colors = inner(Colors)
    meta: tuple[tuple[str, str], ...] = key(
        StringMap(), (), doc="<meta> tags of every page: name = content. Default: none."
    )
    nav: tuple[Link, ...] = several(Link, "site.nav")


@table
class NotificationsConfig:
    """`retry_for` is in seconds; `last_resort` is the name of a channel, or empty."""

    retry_for: int = key(
        Duration(MINUTE), DAY, doc="How long a message that could not be delivered is tried again."
    )
    last_resort: str = key(
        String(),
        "",
        doc="The name of a channel that is told as well when an alert has reached no other for 10 minutes; "
        "empty: none.",
    )
    delivery_days: int = key(
        Integer(1, 36_500), 90, doc="Days for which it is kept what was delivered and what was not."
    )


@table
class MailConfig:
    """`host` empty: no mail is sent. `helo` empty: the host of public_url."""

    host: str = key(HostName(), "", doc="The server that takes our mail, such as a relay. Empty: none.")
    port: int = key(Integer(1, 65535), 587, doc="1 to 65535.")
    security: Literal["starttls", "tls", "none"] = key(
        Choice("starttls", "tls", "none"),
        "starttls",
        doc="starttls, tls (from the first byte, mostly on port 465) or none; certificates are always "
        "checked.",
    )
    user: str = key(Line(), "", doc="The name to sign in with; empty: without.")
    password: str = key(Line(), "", secret=True, doc="Its password.")
    sender: str = key(
        Mailbox(may_be_empty=True),
        "",
        name="from",
        doc='The sender, such as "Status <status@example.org>". Required with host.',
    )
    reply_to: str = key(Mailbox(may_be_empty=True), "", doc="Where answers go; empty: to the sender.")
    per_hour: int = key(Integer(1, 1_000_000), 2000, doc="At most so many mails an hour; others wait.")
    connections: int = key(Integer(1, 50), 2, doc="At most so many connections to the server at once.")
    helo: str = key(
        HostName(), "", doc="The name by which this server introduces itself; empty: the host of public_url."
    )


@table
class TemplateConfig:
    name: str = key(NonEmptyString(), doc="Unique; rules name it in `template`.")
    title: str = key(NonEmptyLine(), doc="The title of the incident.")
    text: str = key(String(), "", doc="Its first update, Markdown; empty: none.")
    state: str = key(
        Choice("", "investigating", "identified", "monitoring", "resolved"),
        "",
        doc="The state that it suggests: investigating, identified, monitoring or resolved; empty: none.",
    )
    impact: str = key(
        Choice("", "DOWN", "DEGRADED"), "", doc="The impact that it suggests: DOWN or DEGRADED; empty: none."
    )
    monitors: tuple[str, ...] = key(
        List(MonitorPattern()),
        (),
        doc="The monitors that it suggests, as in [[alerts]]. Default: those that are not well.",
    )


@dataclass(frozen=True, slots=True)
class AlertConfig:
    """A rule and the monitors that it is for, as patterns of tags and `category:` with a name.

    Its burn rate, if it has one, is that of no objective yet: `Config.rules_of` puts in the monitor's.
    """

    monitors: tuple[str, ...]
    rule: AlertRule

    def is_for(self, monitor: "MonitorConfig") -> bool:
        """Whether it holds for the monitor: by the monitor's own list, or else by a pattern.

        A hidden monitor is matched by its tag only.
        """
        if monitor.alerts is not None:
            return self.rule.name in monitor.alerts
        return any(matches(pattern, monitor) for pattern in self.monitors)


def matches(pattern: str, monitor: "MonitorConfig") -> bool:
    """Whether a pattern means a monitor; a hidden one is matched by its tag only."""
    if pattern == monitor.tag:
        return True
    if monitor.hidden:
        return False
    if pattern.startswith(CATEGORY):
        return monitor.category == pattern.removeprefix(CATEGORY)
    return fnmatchcase(monitor.tag, pattern)


@dataclass(frozen=True, slots=True)
class Announcement:
    """Shown in `[start, end)`, UTC seconds; None: without such a limit. `text` is Markdown."""

    title: str
    text: str
    level: Literal["info", "warning", "critical"]
    start: int | None
    end: int | None


@table
class Category:
    name: str = key(NonEmptyString(), doc="Unique.")
    description: str = key(String(), "", doc="Markdown below the name.")
    hidden: bool = key(Boolean(), False, doc="A hidden category hides its monitors.")


@dataclass(frozen=True, slots=True)
class Senders:
    """The names of a monitor in the requests of other services' senders; empty: none.

    All but `gatus_key` are secret.
    `checks` are the UUID of a check of Healthchecks, and its ping key and slug with a slash between them.
    """

    checks: tuple[str, ...] = ()
    push_token: str = ""
    gatus_key: str = ""
    gatus_token: str = ""


@table
class MonitorKeys:
    """The keys of a monitor that the program sees as they are written.

    `name` is the tag when it is not configured. `category` is the name of one of the categories, or empty.
    """

    tag: str = key(
        Tag(), doc="Unique: 1 to 64 of A-Z a-z 0-9 . _ ~ - but not . .. or _ and not with .js at its end."
    )
    name: str = key(String(), "", doc="Default: the tag.")
    description: str = key(String(), "", doc="Markdown below the name.")
    image: str = key(
        Href(), "", doc="A picture: https://..., /a/path or a file in the assets folder of [site]."
    )
    category: str = key(String(), "", doc="The name of one of the [[categories]]; empty: none.")
    hidden: bool = key(Boolean(), False, doc="Hidden monitors accept reports but are not on the page.")
    latency_unit: Literal["s", "ms"] = key(
        Choice("s", "ms"),
        "s",
        doc="The unit of the reported latencies, as the page shows them: s or ms.",
    )
    day_degraded_minimum_count: int = key(
        Integer(1, 1440),
        1,
        doc="How many DEGRADED minutes make a day DEGRADED on the page; 1 to 1440.",
    )
    day_down_minimum_count: int = key(
        Integer(1, 1440), 1, doc="How many DOWN minutes make a day DOWN on the page; 1 to 1440."
    )
    show_reasons: bool = key(
        Boolean(),
        False,
        doc="Whether its page says why its check failed last, and when the certificate ends that it saw.",
    )
    depends_on: tuple[str, ...] = key(
        List(Tag()),
        (),
        doc="Tags of monitors that this one needs: while one of them is DOWN or DEGRADED, nobody is told of "
        "this one.",
    )
    alerts: tuple[str, ...] | None = key(
        List(NonEmptyString()),
        None,
        doc="The names of the alert rules that hold, [] for none. Default: those whose monitors match; of a "
        "hidden monitor those that name its tag.",
    )


@dataclass(frozen=True, slots=True)
class MonitorConfig(MonitorKeys):
    """`hidden`: the monitor is hidden itself, or its category is. `objective` None: nothing is promised.

    `check` None: the server does not look at it.
    """

    settings: MonitorSettings
    objective: Objective | None = None
    senders: Senders = field(default=Senders(), repr=False)
    check: CheckSettings | None = None

    @property
    def sees_certificates(self) -> bool:
        """Whether its check can see a certificate."""
        return self.check is not None and sees_certificates(self.check.target)


@table
class PlainTables:
    """The tables that the program sees as they are written."""

    server: ServerConfig = inner(ServerConfig)
    database: DatabaseConfig = inner(DatabaseConfig)
    backup: BackupConfig = inner(BackupConfig)
    auth: AuthConfig = inner(AuthConfig)
    ingest: IngestConfig = inner(IngestConfig)
    rollups: RollupsConfig = inner(RollupsConfig)
    log: LogConfig = inner(LogConfig)
    metrics: MetricsConfig = inner(MetricsConfig)
    watch: WatchConfig = inner(WatchConfig)
    site: SiteConfig = inner(SiteConfig)
    checks: ChecksConfig = inner(ChecksConfig)
    categories: tuple[Category, ...] = several(Category, "categories")
    channels: tuple[ChannelConfig, ...] = several_kinds(ChannelConfig, CHANNELS, "channels")
    notifications: NotificationsConfig = inner(NotificationsConfig)
    mail: MailConfig = inner(MailConfig)
    templates: tuple[TemplateConfig, ...] = several(TemplateConfig, "templates")
    maintenance: tuple[MaintenanceTable, ...] = several(MaintenanceTable, "maintenance")
    manage: ManageConfig = inner(ManageConfig)


@dataclass(frozen=True, slots=True)
class Config(PlainTables):
    """`file` is the file it was read from; `by_tag` has the monitors by tag.

    `text` is that of the file, `variables` are those of the environment that settings come from;
    `ignored_variables` begin as settings do and are none, such as those of a
    Kubernetes service. `warnings` are about settings that are valid and hardly meant.
    """

    file: Path
    announcements: tuple[Announcement, ...]
    monitors: tuple[MonitorConfig, ...]
    alerts: tuple[AlertConfig, ...]
    agent: AgentSettings
    text: str = field(default="", repr=False, compare=False)
    variables: tuple[str, ...] = field(default=(), compare=False)
    ignored_variables: tuple[str, ...] = field(default=(), compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
    by_tag: Mapping[str, MonitorConfig] = field(init=False, repr=False, compare=False)
    _rules: Mapping[str, tuple[AlertRule, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_tag = {monitor.tag: monitor for monitor in self.monitors}
        object.__setattr__(self, "by_tag", MappingProxyType(by_tag))
        rules = {monitor.tag: tuple(_rules_of(monitor, self.alerts)) for monitor in self.monitors}
        object.__setattr__(self, "_rules", MappingProxyType(rules))

    def rules_of(self, tag: str) -> tuple[AlertRule, ...]:
        """The alert rules that hold for a monitor, in the order of the file; none for an unknown tag."""
        return self._rules.get(tag, ())

    def recipients(self, kind: NoticeKind, now: int) -> dict[str, Recipients]:
        """The recipients of such a notice now, by the name of the rule that it is about."""
        tells = {channel.name for channel in self.channels if channel.tells(kind)}
        return {
            alert.rule.name: Recipients(
                tuple(name for name in alert.rule.to if name in tells),
                now if alert.rule.hours is None else alert.rule.hours.next_open(now),
            )
            for alert in self.alerts
        }


def _rules_of(monitor: MonitorConfig, alerts: tuple[AlertConfig, ...]) -> Iterator[AlertRule]:
    for alert in alerts:
        if not alert.is_for(monitor):
            continue
        condition = alert.rule.condition
        if isinstance(condition, CertificateWithin) and not monitor.sees_certificates:
            continue
        if not isinstance(condition, BurnRate):
            yield alert.rule
        elif monitor.objective is not None:
            yield replace(alert.rule, condition=replace(condition, target=monitor.objective.target))
