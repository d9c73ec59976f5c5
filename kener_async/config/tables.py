"""The tables of config.toml that the program sees as something else, which `config.build` makes of them."""

from datetime import date
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from marshmallow import validate

from kener_async.config.alert_fields import HoursOfWeek, MonitorPattern, Number, WeekHours
from kener_async.config.checks import AgentCheckTable, MonitorCheckTable
from kener_async.config.fields import (
    Boolean,
    CheckId,
    Choice,
    Credential,
    CronExpression,
    DateOrDateTime,
    Duration,
    EndpointKey,
    FilePath,
    Integer,
    List,
    NonEmptyString,
    OptionalPath,
    Slug,
    String,
    TimeZone,
    Url,
)
from kener_async.config.model import NOT_EMPTY, MonitorKeys, PlainTables
from kener_async.config.schema import inner, key, optional, schema_of, several, table
from kener_async.domain.calendar import DAY, MINUTE
from kener_async.domain.samples import MAX_LATENCY, MEASURABLE

LONGEST_THRESHOLD = 30 * DAY  # of an alert, which is computed from the minutes


@table
class AnnouncementTable:
    title: str = key(NonEmptyString(), doc="The headline.")
    text: str = key(String(), "", doc="Markdown.")
    level: Literal["info", "warning", "critical"] = key(
        Choice("info", "warning", "critical"), "info", doc="info, warning or critical."
    )
    start: date | None = key(
        DateOrDateTime(),
        None,
        name="from",
        doc="When it appears: a date and time, or a date for its first moment; without an offset they are "
        "read in the timezone of [site]. Default: at once.",
    )
    end: date | None = key(DateOrDateTime(), None, name="until", doc="When it disappears. Default: never.")


@table
class HeartbeatTable:
    interval: int | None = key(Duration(MINUTE), None, doc="The time between two reports; at least 60 s.")
    cron: str | None = key(
        CronExpression(),
        None,
        doc="A report at the times of a cron expression: minute, hour, day of month, month, day of week; "
        "each of numbers, names (jan, mon), lists, ranges and steps such as */15, as crontab(5) has them.",
    )
    timezone: ZoneInfo | None = key(
        TimeZone(),
        None,
        doc="The zone the expression is read in. Default: the timezone of [site].",
    )
    grace: int = key(
        Duration(0), 0, doc="How late a report may be before the monitor is DEGRADED. Default: 0."
    )
    down_after: int | None = key(
        Duration(0),
        None,
        doc="The silence after which it is DOWN; at least interval + grace, which is the default. With "
        "cron it counts from the scheduled time, and the default is grace.",
    )
    carry_forward: bool = key(
        Boolean(),
        False,
        doc="Reports come only when something changes: the last status holds for stale_after, then there "
        "is no data. No other key is allowed with it.",
    )
    stale_after: int | None = key(
        Duration(1),
        None,
        doc="Required with carry_forward. Without it, and with nothing expected: the silence after which "
        "the page says so; default: 1 hour.",
    )


@table
class HealthchecksTable:
    uuid: str = key(
        CheckId(),
        "",
        secret=True,
        doc="/ping/<uuid>, also with /start, /fail, /log or an exit status after it.",
    )
    ping_key: str = key(
        Credential("[A-Za-z0-9_-]", "A-Z a-z 0-9 _ -"),
        "",
        secret=True,
        doc="The same below /ping/<ping key>/<slug>.",
    )
    slug: str = key(Slug(), "", doc="Required with ping_key.")


@table
class UptimeKumaTable:
    token: str = key(
        Credential("[A-Za-z0-9._~-]", "A-Z a-z 0-9 . _ ~ -"),
        secret=True,
        doc="The token in its address: /api/push/<token>",
    )


@table
class GatusTable:
    endpoint: str = key(
        EndpointKey(),
        name="key",
        doc="The key in its address, /api/v1/endpoints/<key>/external: group_name, in lower case and with a "
        "hyphen for each space / _ . , # + and &.",
    )
    token: str = key(Credential("[!-~]", "ASCII without spaces"), secret=True, doc="Its token.")


@table
class ObjectiveTable:
    target: float = key(Number(0, 99.9999), doc="The uptime that is promised, in percent.")
    window: Literal["month", "30d"] = key(
        Choice("month", "30d"),
        "month",
        doc="Of which time: month, that of the timezone of [site], or 30d, the last 30 days.",
    )


@table
class MonitorTable(MonitorKeys):
    default_status: str | None = key(
        Choice(*(status.name for status in MEASURABLE)),
        None,
        doc="UP, DOWN or DEGRADED: the status of minutes without any other. Default: not set, there is no "
        "data.",
    )
    include_degraded_in_downtime: bool = key(
        Boolean(), False, doc="Whether DEGRADED minutes lower the uptime as DOWN ones do."
    )
    uptime_excused: bool = key(
        Boolean(),
        False,
        doc="Whether its DOWN minutes do not count while a monitor that it depends on is DOWN, too.",
    )
    heartbeat: HeartbeatTable | None = optional(HeartbeatTable)
    check: MonitorCheckTable | None = optional(MonitorCheckTable)
    healthchecks: HealthchecksTable | None = optional(HealthchecksTable)
    uptime_kuma: UptimeKumaTable | None = optional(UptimeKumaTable)
    gatus: GatusTable | None = optional(GatusTable)
    objective: ObjectiveTable | None = optional(ObjectiveTable)


@table
class AlertTable:
    """At most one of the conditions, `status` to `certificate_within`, is not None."""

    name: str = key(NonEmptyString(), doc="Unique; a monitor may name it in its `alerts`.")
    monitors: tuple[str, ...] = key(
        List(MonitorPattern(), validate=NOT_EMPTY),
        ("*",),
        doc='Tags, in which * and ? stand for others; "category:Planets" means the monitors of a category.',
    )
    status: Literal["DOWN", "DEGRADED", "NO_DATA"] | None = key(
        Choice("DOWN", "DEGRADED", "NO_DATA"),
        None,
        name="when",
        doc="The status that is bad: DOWN, DEGRADED (that or DOWN), or NO_DATA. Default: DOWN.",
    )
    latency_above: float | None = key(
        Number(0, MAX_LATENCY),
        None,
        doc="Instead of when: a latency above it is bad, and so is DOWN; in the unit of the monitor.",
    )
    uptime_below: float | None = key(
        Number(0, 100), None, doc="Instead of when: an uptime of the window below it is bad; in percent."
    )
    recover_at: float | None = key(
        Number(0, 100),
        None,
        doc="With uptime_below: the uptime at which it is over. Default: the same.",
    )
    burn_rate: float | None = key(
        Number(0, 1000),
        None,
        doc="Instead of when: how many times faster than allowed the error budget is used up, within the "
        "window and within its last twelfth. The monitors need an objective.",
    )
    certificate_within: int | None = key(
        Duration(MINUTE, LONGEST_THRESHOLD),
        None,
        doc='Instead of when: a certificate that ends within this time is bad, such as "14d". The monitors '
        "need a check that sees one.",
    )
    window: Literal["1h", "6h", "24h", "3d", "7d", "30d", "90d"] | None = key(
        Choice("1h", "6h", "24h", "3d", "7d", "30d", "90d"),
        None,
        doc="With uptime_below 24h, 7d, 30d or 90d, default 30d; with burn_rate 1h, 6h, 24h or 3d, default "
        "1h.",
    )
    after: int = key(Duration(0, LONGEST_THRESHOLD), 0, doc="How long it must be bad before the alert opens.")
    count: int | None = key(
        Integer(0, 1000),
        None,
        doc="And in how many reports at least. Default: 1, and 0 where after is set: elapsed time alone.",
    )
    recover_after: int = key(
        Duration(0, LONGEST_THRESHOLD), 0, doc="How long it must be good again before the alert is over."
    )
    recover_count: int = key(Integer(0, 1000), 1, doc="And in how many reports at least.")
    remind_every: int = key(
        Duration(0, LONGEST_THRESHOLD),
        0,
        doc="How often it is told again while nobody has acknowledged it, at least 1m; 0: never.",
    )
    remind_times: int = key(Integer(1, 1000), 20, doc="How many times at most.")
    severity: Literal["info", "warning", "critical"] | None = key(
        Choice("info", "warning", "critical"),
        None,
        doc="info, warning or critical. Default: critical for DOWN, else warning.",
    )
    flapping: bool = key(
        Boolean(),
        True,
        doc="Whether the fourth alert of a monitor within an hour is told as flapping, and then nothing more "
        "until it has settled.",
    )
    flap_quiet: int = key(
        Duration(MINUTE, LONGEST_THRESHOLD),
        15 * MINUTE,
        doc="How long it must stay good, or bad, to have settled.",
    )
    to: tuple[str, ...] = key(
        List(NonEmptyString(), validate=NOT_EMPTY), doc="The names of the channels that are told."
    )
    incident: Literal["", "publish", "draft"] = key(
        Choice("", "publish", "draft"),
        "",
        doc="Whether an incident is opened with it: publish, draft, or empty: none.",
    )
    template: str = key(
        String(),
        "",
        doc='The name of one of the [[templates]] for it; empty: "{monitor} is {status}", without a text.',
    )
    join_by: Literal["category", "rule", "none"] = key(
        Choice("category", "rule", "none"),
        "category",
        doc="Alerts that open within 10 minutes share an incident: those of monitors of one category, those "
        "of one rule, or none.",
    )
    hours: HoursOfWeek | None = key(
        WeekHours(),
        None,
        doc="The days and times, in the timezone of [site], at which it is told; what happens outside is "
        "told when they begin. Empty: always.",
    )


@table
class AgentTable:
    servers: tuple[str, ...] = key(
        List(Url(validate=NOT_EMPTY)),
        (),
        doc='Where the reports are sent, such as ["https://status.example.org"]. A second address of the '
        "same server is used while the first one fails.",
    )
    token: str = key(
        String(),
        "",
        secret=True,
        doc="A token with the scope status:write; better is a file, see token_file.",
    )
    token_file: Path | None = key(
        OptionalPath(),
        None,
        doc="A file that holds the token. The credential token of systemd replaces it.",
    )
    device: str = key(
        String(validate=validate.Length(max=100, error="must be at most 100 characters")),
        "",
        doc="The name of this device; a suffix of its spool is added. Empty: the name of the host.",
    )
    spool: Path = key(
        FilePath(),
        Path("data/agent.db"),
        doc="A SQLite file that keeps what the server does not have yet.",
    )
    spool_bytes: int = key(
        Integer(1 << 18, 1 << 40),
        67_108_864,
        doc="How large the spool may become: then the oldest reports are dropped.",
    )
    send_every: int = key(
        Duration(1),
        10,
        doc="How often new reports are sent; a change of a status is sent at once.",
    )
    send_timeout: int = key(Duration(1), 30, doc="The time within which the server must have answered.")
    checks: tuple[AgentCheckTable, ...] = several(AgentCheckTable, "agent.checks")


@table
class Document(PlainTables):
    """All of config.toml."""

    announcements: tuple[AnnouncementTable, ...] = several(AnnouncementTable, "announcements")
    monitors: tuple[MonitorTable, ...] = several(MonitorTable, "monitors")
    alerts: tuple[AlertTable, ...] = several(AlertTable, "alerts")
    agent: AgentTable = inner(AgentTable)


SCHEMA = schema_of(Document)()
