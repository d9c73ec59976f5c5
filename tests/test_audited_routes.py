"""Each route of the API that changes something leaves one row of the audit log, with before and after."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.model import Config
from kener_async.domain.access import SCOPES
from kener_async.store import audit, deliveries, incident_lists, notices
from kener_async.store.audit import AuditRow, AuditSearch
from kener_async.store.interface import Session
from tests.rigs.objects import DRAFTS, INCIDENTS, OWN, objects_of
from tests.rigs.service import NOON, FakeClock, Service

TAG = "own-tag"
UNCHANGED = {  # they report, or compute
    "POST /api/status",
    "POST /api/status/batch",
    "POST /api/manage/rules/{ruleName}/back-test",
    "POST /api/manage/series/{seriesName}/preview",
}


@dataclass(frozen=True)
class Case:
    """A request after others, the act of its row, and whether the thing was there before and after it."""

    route: str
    act: str
    body: Any = None
    had: bool = True
    has: bool = True
    before: tuple["Case", ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    rows: int = 1


MAINTENANCE = {"title": "Repairs", "tags": [TAG], "startDatetime": NOON + 3600, "endDatetime": NOON + 7200}
SERIES = {
    "title": "Weekly",
    "monitors": [TAG],
    "begin": "2026-01-04T02:30:00",
    "length": "2h",
    "rrule": "FREQ=WEEKLY",
}
RUNNING = MAINTENANCE | {"startDatetime": NOON - 3600}
INCIDENT = "/api/incident/{incidentNumber}"
MANAGED = "/api/manage/incidents/{incidentNumber}"
PLANNED = "/api/manage/maintenance/{incidentNumber}"
TEXT = {"title": "Text"}

make_maintenance = Case("POST /api/manage/maintenance", "incident.open", MAINTENANCE, had=False)
make_series = Case("PUT /api/manage/series/{seriesName}", "series.save", SERIES, had=False)
make_template = Case("PUT /api/manage/templates/{templateName}", "template.save", TEXT, had=False)
make_announcement = Case(
    "PUT /api/manage/announcements/{announcementName}", "announcement.save", TEXT, had=False
)
post_update = Case(f"POST {MANAGED}/updates", "incident.update", {"body": "We look."}, had=False)
make_running = Case("POST /api/manage/maintenance", "incident.open", RUNNING, had=False)
publish = Case(f"POST {MANAGED}/publish", "incident.publish")
planned = (("incidentNumber", "newest"),)
open_one = (("incidentNumber", str(INCIDENTS[OWN])),)
draft = (("incidentNumber", str(DRAFTS[OWN])),)
waiting = (("deliveryId", "waiting"),)

CASES = (
    Case("POST /api/incident", "incident.open", {"title": "New", "tags": [TAG]}, had=False),
    Case(f"PATCH {INCIDENT}", "incident.change", {"title": "Other", "tags": [TAG]}),
    Case(f"POST {INCIDENT}/status", "incident.change", {"isResolved": True}),
    Case(f"POST {INCIDENT}/comment", "incident.update", {"body": "A remark."}, had=False),
    Case("POST /api/manage/alerts/{alertId}/acknowledge", "alert.acknowledge"),
    Case("POST /api/manage/alerts/{alertId}/snooze", "alert.snooze", {"for": "1h"}),
    make_announcement,
    Case(
        "DELETE /api/manage/announcements/{announcementName}",
        "announcement.delete",
        has=False,
        before=(make_announcement,),
    ),
    make_template,
    Case(
        "DELETE /api/manage/templates/{templateName}", "template.delete", has=False, before=(make_template,)
    ),
    Case("POST /api/manage/monitors/{tag}/run", "monitor.run", had=False, has=False),
    Case("POST /api/manage/deliveries/{deliveryId}/again", "delivery.send-again"),
    Case("POST /api/manage/deliveries/{deliveryId}/drop", "delivery.drop", values=waiting),
    Case("POST /api/manage/channels/{channelName}/test", "channel.test", had=False, has=False),
    Case("POST /api/manage/channels/{channelName}/resume", "channel.resume"),
    Case("POST /api/manage/incidents", "incident.open", {"title": "New", "tags": [TAG]}, had=False),
    Case(f"PATCH {MANAGED}", "incident.change", {"title": "Other"}),
    Case(f"DELETE {MANAGED}", "incident.delete", has=False),
    Case(f"POST {MANAGED}/merge", "incident.merge", {"target": INCIDENTS[OWN]}, values=draft, rows=2),
    post_update,
    Case(f"PATCH {MANAGED}/updates/{{updateId}}", "incident.update.edit", {"body": "Better."}),
    Case(f"DELETE {MANAGED}/updates/{{updateId}}", "incident.update.delete", has=False),
    Case(f"PUT {MANAGED}/postmortem", "incident.postmortem", {"body": "A disk was full."}),
    Case(f"PUT {MANAGED}/monitors/{{tag}}", "incident.impacts", {"impact": "DEGRADED"}),
    publish,
    Case(f"POST {MANAGED}/unpublish", "incident.unpublish", values=open_one),
    make_maintenance,
    Case(
        f"PATCH {PLANNED}",
        "incident.change",
        {"title": "Other"},
        before=(make_maintenance,),
        values=planned,
    ),
    Case(f"DELETE {PLANNED}", "incident.delete", has=False, before=(make_maintenance,), values=planned),
    Case(f"POST {PLANNED}/end", "incident.change", before=(make_running,), values=planned),
    Case(f"POST {PLANNED}/cancel", "incident.change", before=(make_maintenance,), values=planned),
    make_series,
    Case("DELETE /api/manage/series/{seriesName}", "series.delete", has=False, before=(make_series,)),
    Case("DELETE /api/manage/devices/{deviceId}", "device.forget", has=False),
    Case("POST /api/manage/tokens", "token.create", {"name": "door"}, had=False),
    Case("DELETE /api/manage/tokens/{tokenId}", "token.revoke"),
)


@pytest.fixture
async def objects(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with objects_of(config, clock) as service:
        yield service


def test_each_changing_route_is_in_the_table(service: Service):
    found = {
        f"{route.method} {route.resource.canonical}"
        for route in service.app.router.routes()
        if route.resource is not None
        and getattr(getattr(route.handler, "spec", None), "scope", None) is not None
        and route.method not in ("GET", "HEAD")
    }
    assert found - UNCHANGED == {case.route for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.route)
async def test_it_leaves_one_row_with_before_and_after(objects: Service, case: Case):
    token = await objects.mint(id="audited", name="audited", scopes=tuple(SCOPES))
    await objects.app[keys.DATABASE].write(_wait)
    for earlier in case.before:
        assert (await send(objects, earlier, token))[0] == 200
    newest = (await objects.app[keys.DATABASE].read(audit.end_of)).id
    objects.pass_time(60)
    status, answer = await send(objects, case, token)
    assert status == 200, answer
    rows: list[AuditRow] = await objects.app[keys.DATABASE].read(audit.search, AuditSearch())
    added = [row for row in rows if row.id > newest]
    assert len(added) == case.rows, added
    row = added[0]
    assert row.actor.startswith("token:")
    assert (row.network, row.act) == ("127.0.0.1", case.act)
    assert (row.before is not None, row.after is not None) == (case.had, case.has), row
    assert row.before != row.after or not (case.had or case.has)


async def send(objects: Service, case: Case, token: str) -> tuple[int, Any]:
    method, path = case.route.split()
    number = INCIDENTS[OWN]
    if case.route.endswith("/publish"):
        number = DRAFTS[OWN]
    known = {
        "incidentNumber": str(number),
        "updateId": "1",
        "alertId": "1",
        "deliveryId": "1",
        "deviceId": "1",
        "channelName": "ops",
        "tokenId": "token-1",
        "tag": TAG,
    }
    known |= dict(case.values)
    if known["incidentNumber"] == "newest":
        (newest,) = await objects.app[keys.DATABASE].read(incident_lists.newest, 1)
        known["incidentNumber"] = str(newest.number)
    if known["deliveryId"] == "waiting":
        known["deliveryId"] = str(await objects.app[keys.DATABASE].read(_waiting))
    address = re.sub(r"\{(\w+)\}", lambda match: known.get(match[1], "weekly"), path)
    options = {} if case.body is None else {"json": case.body}
    return await objects.ask(method, address, token, **options)


def _wait(session: Session) -> None:
    """Add a delivery that waits, and pause its channel."""
    (notice,) = notices.after(session, 0, 1)
    notices.send_to(session, notice.id, ["later"], NOON + 10**6)
    session.execute(
        "INSERT INTO channel_states (channel, failures, paused_at) VALUES ('ops', 10, ?)"
        " ON CONFLICT DO UPDATE SET failures = 10, paused_at = excluded.paused_at",
        (NOON,),
    )


def _waiting(session: Session) -> int:
    return max(delivery.id for delivery in deliveries.waiting(session))
