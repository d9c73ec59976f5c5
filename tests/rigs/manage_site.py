"""A site with something of each kind that people manage: alerts, drafts, deliveries, tokens, people."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from kener_async import keys
from kener_async.config.channels import CommandChannel
from kener_async.config.model import AlertConfig, Config
from kener_async.domain.alerts import Alert, AlertRule, Closing, Severity, StatusIs
from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.domain.checks import CheckTiming
from kener_async.domain.incident_updates import IncidentState
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.domain.people import Role
from kener_async.domain.samples import Status
from kener_async.probes.settings import CheckSettings, TcpTarget
from kener_async.store import alerts, deliveries, incidents, monitors, notices
from kener_async.store import managed as managed_things
from kener_async.store.interface import Session
from tests.e2e import site
from tests.rigs.people import COMMAND, a_person
from tests.rigs.service import NOON, Service

OPS = CommandChannel(
    name="ops", kind="command", gather=10, per_minute=20, locale="en", timezone=ZoneInfo("UTC"),
    tell=("opened",), command=("/bin/cat",),
)  # fmt: skip
RULE = AlertConfig(("*",), AlertRule("outage", StatusIs(Status.DOWN), after=86_400, to=("ops",)))
DRAFT = 8  # the number of the incident that is one
ADMIN, EDITOR, RESPONDER, LIMITED = "ada", "grace", "linus", "margaret"

# Every kind of screen, and its address.
PAGES = {
    "overview": "/manage",
    "more": "/manage/more",
    "incidents": "/manage/incidents",
    "new incident": "/manage/incidents/new?from=alerts",
    "incident": "/manage/incidents/1",
    "draft": f"/manage/incidents/{DRAFT}",
    "state of an incident": "/manage/incidents/1?state=resolved",
    "edit an incident": "/manage/incidents/1/edit",
    "merge an incident": "/manage/incidents/1/merge",
    "delete an incident": "/manage/incidents/1/delete",
    "edit an update": "/manage/incidents/1/updates/2",
    "delete an update": "/manage/incidents/1/updates/2/delete",
    "postmortem": "/manage/incidents/2/postmortem",
    "maintenance": "/manage/maintenance",
    "new maintenance": "/manage/maintenance/new",
    "maintenance to come": "/manage/maintenance/4",
    "maintenance under way": "/manage/maintenance/3",
    "cancel a maintenance": "/manage/maintenance/4/cancel",
    "series": "/manage/maintenance/series/weekly",
    "edit a series": "/manage/maintenance/series/weekly/edit",
    "delete a series": "/manage/maintenance/series/weekly/delete",
    "monitors": "/manage/monitors",
    "monitor": "/manage/monitors/web",
    "monitor that is down": "/manage/monitors/mail",
    "alerts": "/manage/alerts",
    "past alerts": "/manage/alerts?view=history",
    "rules": "/manage/rules",
    "rule": "/manage/rules/outage",
    "channels": "/manage/channels",
    "channel": "/manage/channels/ops",
    "deliveries": "/manage/deliveries",
    "delivery": "/manage/deliveries/2",
    "devices": "/manage/devices",
    "forget a device": "/manage/devices/1/forget",
    "tokens": "/manage/tokens",
    "new token": "/manage/tokens/new",
    "revoke a token": "/manage/tokens/token-1/revoke",
    "templates": "/manage/templates",
    "new template": "/manage/templates/new",
    "template": "/manage/templates/slow/edit",
    "delete a template": "/manage/templates/slow/delete",
    "announcements": "/manage/announcements",
    "new announcement": "/manage/announcements/new",
    "announcement": "/manage/announcements/move/edit",
    "delete an announcement": "/manage/announcements/move/delete",
    "settings": "/manage/settings",
    "audit log": "/manage/audit",
    "people": "/manage/people",
    "invite a person": "/manage/people/new",
    "person": "/manage/people/2",
    "deactivate a person": "/manage/people/2/deactivate",
    "reset a factor": "/manage/people/2/reset-factor",
    "account": "/manage/account",
    "codes": "/manage/account/codes",
    "sign in again": "/manage/sign-in/again",
    "sign out": "/manage/sign-out",
}


def config(folder: Path) -> Config:
    """The site of pages, with a channel, an alert rule, and a check of a port that is closed."""
    plain = site.config(folder)
    check = CheckSettings("new", TcpTarget("127.0.0.1", 1), CheckTiming(10**7, 1, retries=0))
    checked = (replace(one, check=check) if one.tag == "new" else one for one in plain.monitors)
    return replace(plain, monitors=tuple(checked), channels=(OPS,), alerts=(RULE,))


@asynccontextmanager
async def managed(config: Config, *, is_drafted: bool = True) -> AsyncIterator[Service]:
    """The site, with people, a draft if wished, alerts, deliveries and tokens."""
    async with site.shown(config) as service:
        batch = {
            "device": "gate",
            "sentAt": NOON - 20,
            "samples": [{"tag": "web", "status": "UP", "latency": 1, "seq": 4}],
        }
        await service.post("/api/status/batch", batch)
        await service.mint(
            name="phone", scopes=("incident:write",), tags=("web",), expires_at=NOON + 30 * DAY
        )
        await service.mint(name="of last year", revoked_at=NOON - DAY)
        await a_person(service, ADMIN)
        await a_person(service, EDITOR, Role.EDITOR, email="grace@example.org")
        await a_person(service, RESPONDER, Role.RESPONDER)
        await a_person(service, LIMITED, Role.VIEWER, categories=("Services",), password=None)
        await service.app[keys.DATABASE].write(_alerts)
        await service.app[keys.DATABASE].write(_texts)
        if is_drafted:
            await service.app[keys.DATABASE].write(_incidents)
        service.app[keys.STATES].note_incident_change()
        weekly = {"title": "Updates", "monitors": ["web"], "begin": "2026-01-04T02:30:00", "length": "2h"}
        status, answer = await service.ask(
            "PUT", "/api/manage/series/weekly", json=weekly | {"rrule": "FREQ=WEEKLY;BYDAY=SU"}
        )
        assert status == 200, answer
        yield service


def _alerts(session: Session) -> None:
    """Open alerts with deliveries that were sent and that failed, and one that has closed."""
    ids = {tag: number for number, tag in monitors.tags(session).items()}
    for tag, ago, severity in (
        ("old", 2 * HOUR, Severity.CRITICAL),
        ("secret", 6 * MINUTE, Severity.WARNING),
    ):
        at = NOON - ago
        alert = alerts.add(session, Alert(0, ids[tag], "outage", severity, at, at, at))
        facts = Facts(tag, "outage", status=Status.DOWN, since=at, reason="no answer in 10 s")
        notices.add(session, NoticeKind.OPENED, at, alert.id, None, facts, ["ops"], at)
    over = Alert(0, ids["web"], "outage", Severity.CRITICAL, NOON - DAY, NOON - DAY, NOON - DAY)
    alerts.add(
        session, replace(over, until=NOON - DAY + HOUR, closed_at=NOON - DAY + HOUR, closing=Closing.RESOLVED)
    )
    deliveries.mark_sending(session, [1, 2])
    deliveries.mark_sent(session, [1], NOON - 2 * HOUR, "200 OK", "m-1")
    deliveries.mark_failed(session, [2], NOON - 5 * MINUTE, "550 no such user")


def _texts(session: Session) -> None:
    """A template and an announcement that is over."""
    template = {"title": "{monitors} slow", "text": "Since {since}.", "impact": "DEGRADED"}
    managed_things.save(session, "template", "slow", template, managed_things.NEW, COMMAND, NOON)
    over = {"title": "We moved", "level": "warning", "until": "2025-12-30"}
    managed_things.save(session, "announcement", "move", over, managed_things.NEW, COMMAND, NOON)


def _incidents(session: Session) -> None:
    """A draft, and the states of an incident."""
    fields = {"title": "Sign-in fails for some", "body": "We look into it.", "tags": ("web", "api"),
              "start": NOON - 20 * MINUTE, "impact": Status.DEGRADED, "is_draft": True}  # fmt: skip
    assert incidents.open(session, fields, COMMAND, NOON - 10 * MINUTE).number == DRAFT
    stated = {"body": "The queue is full.", "state": IncidentState.IDENTIFIED, "at": NOON - 30 * MINUTE}
    incidents.post_update(session, site.ONGOING, stated, COMMAND, NOON)
