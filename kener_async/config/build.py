"""From the valid tables of config.toml to the configuration."""

from collections.abc import Mapping, Set
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from kener_async.agent.settings import AgentSettings
from kener_async.clock import Cron
from kener_async.config.channels import ChannelConfig
from kener_async.config.check_settings import check_settings
from kener_async.config.checks import MonitorCheckTable
from kener_async.config.fields import instant_of
from kener_async.config.groups import group_settings
from kener_async.config.model import (
    AlertConfig,
    Announcement,
    Config,
    MonitorConfig,
    MonitorKeys,
    PlainTables,
    Senders,
    SiteConfig,
)
from kener_async.config.problems import Place
from kener_async.config.schema import built
from kener_async.config.tables import (
    AgentTable,
    AlertTable,
    AnnouncementTable,
    Document,
    HeartbeatTable,
    MonitorTable,
)
from kener_async.domain.alerts import (
    AlertRule,
    BurnRate,
    CertificateWithin,
    Condition,
    LatencyAbove,
    Severity,
    StatusIs,
    UptimeBelow,
)
from kener_async.domain.calendar import HOUR
from kener_async.domain.durations import parse_duration
from kener_async.domain.groups import GroupSettings
from kener_async.domain.heartbeats import (
    AtSchedule,
    EveryInterval,
    Expectation,
    MonitorSettings,
    OnChange,
    early_seconds,
)
from kener_async.domain.hours import Hours
from kener_async.domain.objectives import Objective
from kener_async.domain.samples import Status
from kener_async.probes.settings import CheckSettings

STATUS_IS = {
    "DOWN": StatusIs(Status.DOWN),
    "DEGRADED": StatusIs(Status.DEGRADED),
    "NO_DATA": StatusIs(Status.NO_DATA),
}
NO_OBJECTIVE = 0.0  # that of the monitor takes its place


Secrets = Mapping[Place, tuple[str, ...]]


def build(values: Mapping[str, Any], file: Path, secrets: Secrets) -> Config:
    """The configuration of valid values; relative paths are relative to the file's folder.

    `secrets` are those that were put in, by the place of the check.
    """
    auth = values["auth"]
    document = built(Document, {**values, "auth": _with_key_file(auth, values["database"])}, file.parent)
    zone = document.site.timezone
    hidden = {category.name for category in document.categories if category.hidden}
    plain = _attributes(document, PlainTables)
    derived = {
        "auth": replace(document.auth, makes_secret_key=not (auth["secret_key"] or auth["secret_key_file"])),
        "site": _site(document.site),
        "channels": tuple(_channel(each, document.site) for each in document.channels),
    }
    return Config(
        **(plain | derived),
        file=file,
        announcements=tuple(announcement_of(each, zone) for each in document.announcements),
        monitors=tuple(
            _monitor(each, document, hidden, secrets.get(("monitors", index, "check"), ()))
            for index, each in enumerate(document.monitors)
        ),
        alerts=tuple(_alert(each, zone) for each in document.alerts),
        agent=_agent(document.agent, document, secrets),
    )


def _attributes(instance: object, cls: type) -> dict[str, Any]:
    """The attributes that an instance of a subclass has of a dataclass."""
    return {name: getattr(instance, name) for name in _names(cls)}


@cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(each.name for each in fields(cls))


def _with_key_file(auth: Mapping[str, Any], database: Mapping[str, Any]) -> dict[str, Any]:
    """The table with a place for the signing key: beside the database when none is configured."""
    return {**auth, "secret_key_file": auth["secret_key_file"] or database["path"].parent / "secret.key"}


def _site(site: SiteConfig) -> SiteConfig:
    hero = site.hero
    is_shown = hero is not None and (hero.title or hero.subtitle or hero.image)
    return replace(site, name=site.name or site.title, hero=hero if is_shown else None)


def _channel(channel: ChannelConfig, site: SiteConfig) -> ChannelConfig:
    """The channel with the language and the zone of the site where it has none of its own."""
    timezone = site.timezone if channel.timezone is None else channel.timezone
    return replace(channel, locale=channel.locale or site.locale, timezone=timezone)


def announcement_of(table: AnnouncementTable, site_zone: ZoneInfo) -> Announcement:
    """The announcement of a table; times without an offset are local to the zone."""
    return Announcement(
        title=table.title,
        text=table.text,
        level=table.level,
        start=None if table.start is None else instant_of(table.start, site_zone),
        end=None if table.end is None else instant_of(table.end, site_zone),
    )


def _monitor(
    table: MonitorTable, document: Document, hidden_categories: Set[str], secrets: tuple[str, ...]
) -> MonitorConfig:
    zone = document.site.timezone
    check: CheckSettings | None = None
    if table.check is not None and table.check.group is None:
        check = check_settings(table.check, table.tag, table.latency_unit, zone, secrets)
    derived = {
        "name": table.name or table.tag,
        "hidden": table.hidden or table.category in hidden_categories,
        "settings": _settings(table, zone, document.ingest.clock_skew_seconds, check),
        "senders": _senders(table),
        "objective": Objective(table.objective.target, table.objective.window) if table.objective else None,
        "check": check,
    }
    return MonitorConfig(**(_attributes(table, MonitorKeys) | derived))


def _senders(table: MonitorTable) -> Senders:
    check, push, gatus = table.healthchecks, table.uptime_kuma, table.gatus
    by_slug = f"{check.ping_key}/{check.slug}" if check and check.slug else ""
    return Senders(
        checks=tuple(name for name in (check.uuid if check else "", by_slug) if name),
        push_token=push.token if push else "",
        gatus_key=gatus.endpoint if gatus else "",
        gatus_token=gatus.token if gatus else "",
    )


def _settings(
    table: MonitorTable, site_zone: ZoneInfo, clock_skew: int, check: CheckSettings | None
) -> MonitorSettings:
    heartbeat = table.heartbeat
    if check is not None:
        expectation: Expectation | None = OnChange(check.timing.hold, is_check=True)
    else:
        expectation = None if heartbeat is None else _expectation(heartbeat, site_zone, clock_skew)
    return MonitorSettings(
        default_status=None if table.default_status is None else Status[table.default_status],
        include_degraded_in_downtime=table.include_degraded_in_downtime,
        expectation=expectation,
        stale_after=_or_default(heartbeat.stale_after if heartbeat else None, HOUR),
        group=_group(table.check),
        excused_by=table.depends_on if table.uptime_excused else (),
    )


def _group(table: MonitorCheckTable | None) -> GroupSettings | None:
    return None if table is None else group_settings(table.group, table.min_up, table.degraded)


def _expectation(table: HeartbeatTable, site_zone: ZoneInfo, clock_skew: int) -> Expectation | None:
    if table.carry_forward and table.stale_after is not None:
        return OnChange(table.stale_after)
    if table.interval is not None:
        least = table.interval + table.grace
        return EveryInterval(table.interval, table.grace, _or_default(table.down_after, least))
    if table.cron is not None:
        schedule = Cron(table.cron, (table.timezone or site_zone).key)
        early = early_seconds(table.grace, clock_skew)
        return AtSchedule(schedule, table.grace, _or_default(table.down_after, table.grace), early)
    return None


def _or_default(seconds: int | None, default: int) -> int:
    return default if seconds is None else seconds


def _alert(table: AlertTable, site_zone: ZoneInfo) -> AlertConfig:
    condition = _condition(table)
    is_down = condition == STATUS_IS["DOWN"]
    hours = table.hours
    rule = AlertRule(
        name=table.name,
        condition=condition,
        after=table.after,
        count=_or_default(table.count, 0 if table.after else 1),
        recover_after=table.recover_after,
        recover_count=table.recover_count,
        remind_every=table.remind_every,
        remind_times=table.remind_times,
        severity=Severity[(table.severity or ("critical" if is_down else "warning")).upper()],
        flapping=table.flapping,
        flap_quiet=table.flap_quiet,
        to=table.to,
        incident=table.incident,
        template=table.template,
        join_by=table.join_by,
        hours=Hours(hours.days, hours.start, hours.end, site_zone.key) if hours else None,
    )
    return AlertConfig(table.monitors, rule)


def _condition(table: AlertTable) -> Condition:
    if table.latency_above is not None:
        return LatencyAbove(table.latency_above)
    if table.uptime_below is not None:
        return _uptime_below(table.uptime_below, table)
    if table.burn_rate is not None:
        window = _or_default(parse_duration(table.window or ""), HOUR)
        return BurnRate(table.burn_rate, NO_OBJECTIVE, window, window // 12)
    if table.certificate_within is not None:
        return CertificateWithin(table.certificate_within)
    return STATUS_IS[table.status or "DOWN"]


def _uptime_below(percent: float, table: AlertTable) -> UptimeBelow:
    recover_at = percent if table.recover_at is None else table.recover_at
    match table.window:
        case "24h" | "7d" | "90d" as window:
            return UptimeBelow(percent, window, recover_at)
    return UptimeBelow(percent, "30d", recover_at)


def _agent(table: AgentTable, document: Document, secrets: Secrets) -> AgentSettings:
    zone = document.site.timezone
    checks = tuple(
        check_settings(each, each.tag, each.latency_unit, zone, secrets.get(("agent", "checks", index), ()))
        for index, each in enumerate(table.checks)
    )
    return AgentSettings(
        **(_attributes(table, AgentTable) | {"checks": checks}), vantage=document.checks.vantage
    )
