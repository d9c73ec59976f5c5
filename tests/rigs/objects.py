"""Monitors that somebody may see, may not see, and that visitors do not see, with all that is about them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from kener_async import keys
from kener_async.config.channels import CommandChannel
from kener_async.config.model import AlertConfig, Category, Config, Senders
from kener_async.domain.alerts import Alert, AlertRule, Severity, StatusIs
from kener_async.domain.checks import CheckTiming
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.domain.samples import Status
from kener_async.probes.settings import CheckSettings, TcpTarget
from kener_async.store import alerts, deliveries, monitors, notices, tokens
from kener_async.store.interface import Session
from tests.rigs.service import NOON, FakeClock, Service, a_monitor, running

OWN, FOREIGN, HIDDEN = "own", "foreign", "hidden"
OBJECTS = (OWN, FOREIGN, HIDDEN)
INCIDENTS = {OWN: 1, FOREIGN: 2, HIDDEN: 3}
DRAFTS = {OWN: 4, FOREIGN: 5, HIDDEN: 6}
CAT = CommandChannel(
    name="ops", kind="command", gather=10, per_minute=20, locale="en", timezone=ZoneInfo("UTC"),
    tell=("opened",), command=("/bin/cat",),
)  # fmt: skip
RULE = AlertConfig(("*",), AlertRule("outage", StatusIs(Status.DOWN), recover_after=10**9))
KEYS = {name: name[0] * 43 for name in OBJECTS}
CHECKS = {name: f"0fe4e4ee-4ee4-4ee4-8ee4-{number:012}" for number, name in enumerate(OBJECTS)}


def markers(name: str) -> set[str]:
    """What only somebody who may see the object's monitor, incident and device may find in an answer."""
    return {f"{name}-tag", f"{name}-device", f"Name of {name}", f"Title of {name}", f"Comment on {name}"}


def report(name: str) -> dict[str, Any]:
    return {"tag": f"{name}-tag", "status": "UP", "latency": 1}


def incident(name: str) -> dict[str, Any]:
    return {"title": f"Title of {name}", "tags": [f"{name}-tag"]}


@asynccontextmanager
async def objects_of(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    """A monitor, an incident with a comment, a device and senders of each kind of object."""
    changed = replace(
        config,
        categories=(Category("Planets", "", hidden=False), Category("Moons", "", hidden=False)),
        channels=(CAT,),
        alerts=(RULE,),
    )
    async with running(changed, clock) as service:
        service.change("ingest", token_rate=0)
        await service.configure(*(_monitor(name) for name in OBJECTS))
        for name in OBJECTS:
            batch = {"device": f"{name}-device", "samples": [report(name) | {"seq": 1}]}
            await service.post("/api/status/batch", batch)
            await service.post("/api/incident", incident(name))
            number = INCIDENTS[name]
            await service.post(f"/api/incident/{number}/comment", {"body": f"Comment on {name}"})
            key = {"name": "key", "digest": tokens.digest_of(KEYS[name]), "scopes": ("status:write",)}
            await service.mint(tags=(f"{name}-tag",), **key)
        for name in OBJECTS:
            await service.post("/api/incident", incident(name))
            await service.app[keys.DATABASE].write(tell_of, name)
        yield service


def tell_of(session: Session, name: str) -> None:
    """An alert with a delivery that was sent, and a draft."""
    monitor = next(monitor for monitor, tag in monitors.tags(session).items() if tag == f"{name}-tag")
    alert = alerts.add(session, Alert(0, monitor, "outage", Severity.CRITICAL, NOON, NOON, NOON))
    facts = Facts(monitor=f"{name}-tag", rule="outage", reason=f"Title of {name}")
    notices.add(session, NoticeKind.OPENED, NOON, alert.id, None, facts, ["ops"], NOON)
    deliveries.mark_sent(session, [alert.id], NOON, f"Comment on {name}")
    session.execute("UPDATE incidents SET is_draft = 1 WHERE number = ?", (DRAFTS[name],))


def _monitor(name: str) -> Any:
    senders = Senders(
        checks=(CHECKS[name],), push_token=f"{name}-push-token-0123456789", gatus_key=KEYS[name],
        gatus_token=f"{name}-gatus-token-0123456789-0123456789",
    )  # fmt: skip
    fields: dict[str, Any] = {
        "name": f"Name of {name}",
        "alerts": ("outage",),
        "hidden": name == HIDDEN,
        "category": "Moons" if name == OWN else "Planets",
    }
    closed = CheckSettings(f"{name}-tag", TcpTarget("127.0.0.1", 1), CheckTiming(10**7, 1, retries=0))
    return a_monitor(f"{name}-tag", senders=senders, check=closed, **fields)
