"""A service with alert rules: what it did is read from its database."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from kener_async import keys
from kener_async.app import apply
from kener_async.config.channels import CommandChannel
from kener_async.config.model import AlertConfig, Config, MonitorConfig, TemplateConfig
from kener_async.domain.alerts import Alert, AlertRule, Condition, StatusIs
from kener_async.domain.incidents import Incident
from kener_async.domain.notices import EVENTS, Delivery, Notice
from kener_async.domain.samples import Status
from kener_async.store import alerts, deliveries, incident_lists, incidents
from kener_async.store.interface import Session
from tests.rigs.service import Service, a_config, a_monitor

DOWN = StatusIs(Status.DOWN)


def a_rule(name: str = "outage", condition: Condition = DOWN, **fields: Any) -> AlertRule:
    """A rule that tells the channel ops."""
    return AlertRule(**({"name": name, "condition": condition, "to": ("ops",)} | fields))


def with_rules(
    config: Config,
    *rules: AlertRule,
    channels: tuple[str, ...] = ("ops",),
    templates: tuple[TemplateConfig, ...] = (),
) -> Config:
    """The configuration with these rules for all monitors, and channels that take everything."""
    return replace(
        config,
        alerts=tuple(AlertConfig(("*",), rule) for rule in rules),
        channels=tuple(a_channel(name) for name in channels),
        templates=templates,
    )


def a_channel(name: str) -> CommandChannel:
    """A channel that takes everything."""
    return CommandChannel(
        name=name,
        kind="command",
        gather=0,
        per_minute=1000,
        locale="en",
        timezone=ZoneInfo("UTC"),
        tell=tuple(EVENTS),
        command=("/bin/true",),
    )


def an_alert_config(
    folder: Path, *rules: AlertRule, monitors: tuple[MonitorConfig, ...] = (), **options: Any
) -> Config:
    monitors = monitors or (a_monitor("earth"), a_monitor("mars"))
    return with_rules(a_config(folder, *monitors), *rules, **options)


async def reload(service: Service, config: Config) -> None:
    """Put another configuration in force, and look."""
    await apply(service.app, config)
    await look(service)


async def look(service: Service, seconds: int = 0) -> None:
    """Let time pass, and evaluate."""
    service.pass_time(seconds)
    await service.app[keys.ALERTS].look()


async def all_alerts(service: Service) -> list[Alert]:
    """All alerts, oldest first."""
    found: list[Alert] = await service.app[keys.DATABASE].read(alerts.search, alerts.AlertSearch(limit=1000))
    return found[::-1]


async def open_alerts(service: Service) -> list[Alert]:
    return [alert for alert in await all_alerts(service) if alert.closed_at is None]


async def all_deliveries(service: Service) -> list[Delivery]:
    """All deliveries, oldest first."""
    criteria = deliveries.DeliverySearch(limit=1000)
    found: list[Delivery] = await service.app[keys.DATABASE].read(deliveries.search, criteria)
    return found[::-1]


async def all_notices(service: Service) -> list[Notice]:
    """All notices that some channel is told, oldest first."""
    found = {delivery.notice.id: delivery.notice for delivery in await all_deliveries(service)}
    return [found[number] for number in sorted(found)]


async def told(service: Service) -> list[str]:
    """The kinds of all notices that some channel is told, oldest first, with their monitors."""
    return [f"{notice.facts.monitor} {notice.kind.name}" for notice in await all_notices(service)]


async def all_incidents(service: Service) -> list[Incident]:
    """All incidents, drafts too, oldest first."""

    def read(session: Session) -> list[Incident]:
        return [incident for incident, _ in incident_lists.all_threads(session)]

    found: list[Incident] = await service.app[keys.DATABASE].read(read)
    return found


async def remarks(service: Service, number: int) -> list[str]:
    """The comments of an incident, oldest first."""
    _, comments = await service.app[keys.DATABASE].read(incidents.thread, number)
    return [comment.body for comment in comments if comment.body]
