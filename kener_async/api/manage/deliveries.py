"""/api/manage/deliveries: what was told, to which channel, and what came of it; send one again, drop one."""

from typing import Any

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import schemas
from kener_async.api.manage.visibility import path_id, visible_monitors
from kener_async.domain.access import Grant
from kener_async.domain.notices import Delivery
from kener_async.store import deliveries, delivery_acts

routes = Routes()

ID = {"deliveryId": "id of the delivery, an integer"}


@routes.get("/api/manage/deliveries")
@endpoint(
    Spec(
        operation="listDeliveries",
        summary="List deliveries",
        group="Management",
        scope="manage:read",
        query=schemas.DeliveryQuery(),
        reply=schemas.DeliverySchema(),
        many=True,
    )
)
async def list_deliveries(call: Call) -> list[dict[str, Any]]:
    """Deliveries about the monitors of the token, newest first.

    What is told and what the receiver answered are there for a token with channel:write. Those that are about
    no monitor, such as tests, are there for a token without tags.
    """
    query = call.query
    monitors = None if call.grant.tags is None else tuple(await visible_monitors(call))
    state = query.get("state")
    criteria = deliveries.DeliverySearch(
        states=None if state is None else (state,),
        channel=query.get("channel"),
        monitors=monitors,
        before=query.get("before"),
        limit=query["limit"],
    )
    found = await call.request.app[keys.DATABASE].read(deliveries.search, criteria)
    return [rendered(delivery, call.grant) for delivery in found]


@routes.post("/api/manage/deliveries/{deliveryId}/again")
@endpoint(
    Spec(
        operation="sendDeliveryAgain",
        summary="Send a delivery again",
        group="Management",
        scope="channel:write",
        path=ID,
        reply=schemas.DeliverySchema(),
        errors=(404, 503),
    )
)
async def again(call: Call) -> dict[str, Any]:
    """Let a delivery that was sent, failed, merged or dropped be sent again, as if it were new."""
    app = call.request.app
    number, actor = path_id(call, "deliveryId"), call.actor
    now = app[keys.CLOCK]()
    sent = await app[keys.DATABASE].write(delivery_acts.send_again, number, call.grant, actor, now)
    app[keys.DELIVERIES].wake()
    return rendered(sent, call.grant)


@routes.post("/api/manage/deliveries/{deliveryId}/drop")
@endpoint(
    Spec(
        operation="dropDelivery",
        summary="Drop a delivery",
        group="Management",
        scope="channel:write",
        path=ID,
        reply=schemas.DeliverySchema(),
        errors=(404, 503),
    )
)
async def drop(call: Call) -> dict[str, Any]:
    """Let a delivery that waits not be sent. One that is being sent at this moment cannot be dropped."""
    app = call.request.app
    number, actor = path_id(call, "deliveryId"), call.actor
    now = app[keys.CLOCK]()
    dropped = await app[keys.DATABASE].write(delivery_acts.drop, number, call.grant, actor, now)
    app[keys.DELIVERIES].wake()
    return rendered(dropped, call.grant)


def rendered(delivery: Delivery, grant: Grant) -> dict[str, Any]:
    """The delivery as a token may see it."""
    notice = delivery.notice
    fields = {
        "id": delivery.id,
        "channel": delivery.channel,
        "state": delivery.state.name.lower(),
        "kind": notice.kind.name.lower(),
        "at": notice.at,
        "alert": notice.alert,
        "incidentNumber": notice.incident,
        "monitor": notice.facts.monitor or None,
        "attempts": delivery.attempts,
        "dueAt": delivery.due_at,
        "doneAt": delivery.done_at,
        "mergedInto": delivery.merged_into,
    }
    if grant.allows("channel:write"):
        fields |= {"facts": notice.facts.body(), "answer": delivery.answer}
    return fields
