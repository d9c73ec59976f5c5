"""/api/manage/deliveries: what was told, to which channel, and what came of it; send one again."""

from typing import Any

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import schemas
from kener_async.api.manage.visibility import path_id, visible_monitors
from kener_async.domain.access import Grant
from kener_async.domain.errors import NotFound
from kener_async.domain.notices import Delivery
from kener_async.store import deliveries

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
    number = path_id(call, "deliveryId")
    delivery = await app[keys.DATABASE].read(deliveries.get, number)
    if not _is_visible(delivery, call.grant):
        raise NotFound("delivery not found")
    sent = await app[keys.DATABASE].write(deliveries.send_again, number, app[keys.CLOCK]())
    app[keys.DELIVERIES].wake()
    return rendered(sent, call.grant)


def _is_visible(delivery: Delivery, grant: Grant) -> bool:
    tag = delivery.notice.facts.monitor
    return grant.tags is None or (bool(tag) and grant.allows_tag(tag))


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
