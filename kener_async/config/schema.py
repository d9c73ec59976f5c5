"""The tables of config.toml: every key, the values it takes, and its default."""

from functools import partial
from zoneinfo import ZoneInfo

from marshmallow import Schema, fields, validate

from kener_async.config.fields import (
    BasePath,
    Boolean,
    CheckId,
    Choice,
    Color,
    Credential,
    CronExpression,
    DateOrDateTime,
    Duration,
    EndpointKey,
    FoldedChoice,
    FontFamily,
    FontFile,
    HostPort,
    Href,
    Integer,
    List,
    Network,
    NonEmptyString,
    PingUrl,
    Seconds,
    Secret,
    Slug,
    String,
    StringMap,
    Tag,
    TimeZone,
    Url,
)
from kener_async.domain.calendar import DAY, MINUTE
from kener_async.domain.samples import MEASURABLE

LOCALES = ("en", "de", "es", "fr", "hi", "ja", "pt-BR", "vi", "zh-CN")


class _Table(Schema):
    error_messages = {"unknown": "unknown key", "type": "must be a table"}  # noqa: RUF012  marshmallow's own way


def _one(table: type[_Table]) -> fields.Nested:
    """A table within a table; left out it is as if it stood there empty."""
    return fields.Nested(table, load_default=partial(table().load, {}))


def _several(table: type[_Table], name: str) -> fields.Nested:
    return fields.Nested(
        table, many=True, load_default=(), error_messages={"type": f"must be [[{name}]] tables"}
    )


_NOT_EMPTY = validate.Length(1, error="must not be empty")


class _ServerTable(_Table):
    host = NonEmptyString(load_default="127.0.0.1")
    port = Integer(0, 65535, load_default=3000)
    public_url = Url(load_default="")
    trusted_proxies = List(Network(), load_default=())
    shutdown_seconds = Integer(1, 3600, load_default=10)
    max_connections = Integer(0, 1_000_000, load_default=0)
    request_timeout_seconds = Integer(1, 3600, load_default=10)
    base_path = BasePath(load_default="")


class _DatabaseTable(_Table):
    path = NonEmptyString(load_default="data/kener.db")
    synchronous = Choice("FULL", "NORMAL", "EXTRA", load_default="FULL")
    retention_days = Integer(1, 36_500, load_default=400)


class _BackupTable(_Table):
    folder = String(load_default="")
    every = Duration(MINUTE, load_default=DAY)
    keep = Integer(1, 10_000, load_default=7)


class _AuthTable(_Table):
    secret_key = Secret(load_default="")
    secret_key_file = String(load_default="")
    algorithm = Choice("HS256", "EdDSA", "RS256", load_default="HS256")
    public_key_file = String(load_default="")
    allowed_ips = List(Network(), load_default=())


class _IngestTable(_Table):
    clock_skew_seconds = Integer(0, DAY, load_default=60)
    max_age_days = Integer(1, 36_500, load_default=90)
    max_body_bytes = Integer(1, 1 << 30, load_default=65_536)
    max_batch_bytes = Integer(1, 1 << 30, load_default=4_194_304)
    max_queue = Integer(1, 10_000_000, load_default=10_000)
    token_rate = Integer(0, 10_000_000, load_default=1000)
    token_burst = Integer(1, 1_000_000_000, load_default=20_000)


class _RollupsTable(_Table):
    interval_seconds = Integer(1, 900, load_default=5)


class _LogTable(_Table):
    format = Choice("auto", "json", "text", load_default="auto")
    level = Choice("debug", "info", "warning", "error", load_default="info")
    requests = Choice("errors", "all", load_default="errors")


class _MetricsTable(_Table):
    max_monitors = Integer(0, 1_000_000, load_default=1000)


class _WatchTable(_Table):
    ping_url = PingUrl(load_default="")
    ping_every = Duration(1, load_default=MINUTE)


class _LinkTable(_Table):
    name = NonEmptyString(required=True)
    url = Href("mailto", required=True, validate=_NOT_EMPTY)
    icon = Href(load_default="")


class _HeroTable(_Table):
    title = String(load_default="")
    subtitle = String(load_default="")
    image = Href(load_default="")


class _ColorsTable(_Table):
    up = Color(load_default="")
    degraded = Color(load_default="")
    down = Color(load_default="")
    maintenance = Color(load_default="")
    no_data = Color(load_default="")
    accent = Color(load_default="")


class _SiteTable(_Table):
    title = NonEmptyString(load_default="Status")
    name = String(load_default="")
    description = String(load_default="")
    timezone = TimeZone(load_default=ZoneInfo("UTC"))
    locale = Choice(*LOCALES, load_default="en")
    locales = List(Choice(*LOCALES), load_default=LOCALES)
    home = Href(load_default="")
    indexed = Boolean(load_default=True)
    assets = String(load_default="")
    logo = Href(load_default="")
    favicon = Href(load_default="")
    header = String(load_default="")
    footer = String(load_default="")
    theme = Choice("system", "light", "dark", load_default="system")
    theme_toggle = Boolean(load_default=True)
    pattern = Choice("none", "dots", "squares", load_default="none")
    bar_style = FoldedChoice("full", "partial", load_default="full")
    bar_roundness = FoldedChoice("rounded", "sharp", load_default="rounded")
    summary_style = FoldedChoice("current", "day", load_default="current")
    font_family = FontFamily(load_default="")
    font_file = FontFile(load_default="")
    custom_css = String(load_default="")
    hero = _one(_HeroTable)
    colors = _one(_ColorsTable)
    dark_colors = _one(_ColorsTable)
    meta = StringMap(load_default=())
    nav = _several(_LinkTable, "site.nav")


class _AnnouncementTable(_Table):
    class Meta:
        include = {"from": DateOrDateTime(), "until": DateOrDateTime()}  # noqa: RUF012  `from` is no name in Python

    title = NonEmptyString(required=True)
    text = String(load_default="")
    level = Choice("info", "warning", "critical", load_default="info")


class _CategoryTable(_Table):
    name = NonEmptyString(required=True)
    description = String(load_default="")
    hidden = Boolean(load_default=False)


class _HeartbeatTable(_Table):
    interval = Duration(MINUTE)
    cron = CronExpression()
    timezone = TimeZone()
    grace = Duration(0, load_default=0)
    down_after = Duration(0)
    carry_forward = Boolean(load_default=False)
    stale_after = Duration(1)


class _HealthchecksTable(_Table):
    uuid = CheckId(load_default="")
    ping_key = Credential("[A-Za-z0-9_-]", "A-Z a-z 0-9 _ -", load_default="")
    slug = Slug(load_default="")


class _UptimeKumaTable(_Table):
    token = Credential("[A-Za-z0-9._~-]", "A-Z a-z 0-9 . _ ~ -", required=True)


class _GatusTable(_Table):
    key = EndpointKey(required=True)
    token = Credential("[!-~]", "ASCII without spaces", required=True)


class _MonitorTable(_Table):
    tag = Tag(required=True)
    name = String(load_default="")
    description = String(load_default="")
    image = Href(load_default="")
    category = String(load_default="")
    hidden = Boolean(load_default=False)
    default_status = Choice(*(status.name for status in MEASURABLE))
    latency_unit = Choice("s", "ms", load_default="s")
    include_degraded_in_downtime = Boolean(load_default=False)
    day_degraded_minimum_count = Integer(1, 1440, load_default=1)
    day_down_minimum_count = Integer(1, 1440, load_default=1)
    heartbeat = fields.Nested(_HeartbeatTable)
    healthchecks = fields.Nested(_HealthchecksTable)
    uptime_kuma = fields.Nested(_UptimeKumaTable)
    gatus = fields.Nested(_GatusTable)


class _CheckTable(_Table):
    tag = Tag(required=True)
    every = Duration(1, load_default=MINUTE)
    timeout = Duration(1)
    latency_unit = Choice("s", "ms", load_default="s")
    degraded_above = Seconds()
    http = PingUrl(validate=_NOT_EMPTY)
    expect_status = Integer(100, 599)
    expect_text = String(load_default="")
    tcp = HostPort()
    command = List(NonEmptyString(), validate=_NOT_EMPTY)
    degraded_exit = Integer(1, 255)
    unit = NonEmptyString()
    file = NonEmptyString()
    max_age = Duration(1)
    alive = Boolean()


class _AgentTable(_Table):
    servers = List(Url(validate=_NOT_EMPTY), load_default=())
    token = String(load_default="")
    token_file = String(load_default="")
    device = String(
        load_default="", validate=validate.Length(max=100, error="must be at most 100 characters")
    )
    spool = NonEmptyString(load_default="data/agent.db")
    spool_bytes = Integer(1 << 18, 1 << 40, load_default=67_108_864)
    send_every = Duration(1, load_default=10)
    send_timeout = Duration(1, load_default=30)
    checks = _several(_CheckTable, "agent.checks")


class _Document(_Table):
    server = fields.Nested(_ServerTable)
    database = fields.Nested(_DatabaseTable)
    backup = fields.Nested(_BackupTable)
    auth = fields.Nested(_AuthTable)
    ingest = fields.Nested(_IngestTable)
    rollups = fields.Nested(_RollupsTable)
    log = fields.Nested(_LogTable)
    metrics = fields.Nested(_MetricsTable)
    watch = fields.Nested(_WatchTable)
    site = fields.Nested(_SiteTable)
    announcements = _several(_AnnouncementTable, "announcements")
    categories = _several(_CategoryTable, "categories")
    monitors = _several(_MonitorTable, "monitors")
    agent = fields.Nested(_AgentTable)


SCHEMA = _Document()
