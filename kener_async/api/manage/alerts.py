"""/api/manage/alerts: list, acknowledge, snooze."""

from typing import Any

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import schemas
from kener_async.api.manage.visibility import path_id, visible_monitors
from kener_async.api.tags import unknown_tag
from kener_async.domain.alert_documents import alert_document
from kener_async.domain.errors import Invalid
from kener_async.domain.notices import NoticeKind
from kener_async.store import alert_acts, alerts
from kener_async.store.alert_acts import AlertAct

routes = Routes()

ID = {"alertId": "id of the alert, an integer"}


@routes.get("/api/manage/alerts")
@endpoint(
    Spec(
        operation="listAlerts",
        summary="List alerts",
        group="Management",
        scope="manage:read",
        query=schemas.AlertQuery(),
        reply=schemas.AlertSchema(),
        many=True,
    )
)
async def list_alerts(call: Call) -> list[dict[str, Any]]:
    """Alerts of the monitors of the token, open and closed, newest first."""
    query = call.query
    tags = await visible_monitors(call)
    monitors = None if call.grant.tags is None else tuple(tags)
    if "monitor" in query:
        monitors = tuple(monitor for monitor, tag in tags.items() if tag == query["monitor"])
        if not monitors:
            raise unknown_tag(query["monitor"], call.request.app[keys.STATES], call.grant)
    criteria = alerts.AlertSearch(
        is_open=query.get("is_open"), monitors=monitors, before=query.get("before"), limit=query["limit"]
    )
    found = await call.request.app[keys.DATABASE].read(alerts.search, criteria)
    now = call.request.app[keys.CLOCK]()
    return [alert_document(alert, tags, now) for alert in found]


@routes.post("/api/manage/alerts/{alertId}/acknowledge")
@endpoint(
    Spec(
        operation="acknowledgeAlert",
        summary="Acknowledge the alerts of a monitor",
        group="Management",
        scope="alert:write",
        path=ID,
        reply=schemas.AlertSchema(),
        many=True,
        errors=(404, 503),
    )
)
async def acknowledge(call: Call) -> list[dict[str, Any]]:
    """Acknowledge this alert and every other open one of its monitor; they are answered.

    Nobody is reminded of them any more, and what opens later in the same streak is not told. Channels that
    are told of it hear by whom, the name of the token. It ends with the alert.
    """
    return await _perform(call, until=None)


@routes.post("/api/manage/alerts/{alertId}/snooze")
@endpoint(
    Spec(
        operation="snoozeAlert",
        summary="Snooze the alerts of a monitor",
        group="Management",
        scope="alert:write",
        path=ID,
        body=schemas.SnoozeSchema(),
        reply=schemas.AlertSchema(),
        many=True,
        errors=(404, 408, 413, 415, 503),
    )
)
async def snooze(call: Call) -> list[dict[str, Any]]:
    """Keep quiet about this alert and every other open one of its monitor for a time; they are answered.

    After it reminders go on. It replaces an acknowledgement, as an acknowledgement replaces it.
    """
    now = call.request.app[keys.CLOCK]()
    until = call.body["until"] if "until" in call.body else now + call.body["duration"]
    if not now < until <= now + schemas.LONGEST_SNOOZE:
        raise Invalid("Invalid until: must be later than now, and at most a year")
    return await _perform(call, until)


async def _perform(call: Call, until: int | None) -> list[dict[str, Any]]:
    app = call.request.app
    number = path_id(call, "alertId")
    tags = await visible_monitors(call)
    now = app[keys.CLOCK]()
    act = AlertAct(call.actor, now, until)
    recipients = app[keys.RUNNING].config.recipients(NoticeKind.ACKNOWLEDGED, now)
    changed = await app[keys.DATABASE].write(alert_acts.perform, number, act, recipients, call.grant)
    app[keys.DELIVERIES].wake()
    return [alert_document(alert, tags, now) for alert in changed]
