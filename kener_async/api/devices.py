"""GET /api/devices: the clocks and the missing samples of devices that send batches."""

from typing import Any

from kener_async import keys
from kener_async.api import schemas
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.store import devices as stored_devices
from kener_async.store.devices import DeviceSummary

routes = Routes()


@routes.get("/api/devices")
@endpoint(
    Spec(
        operation="listDevices",
        summary="List devices",
        group="Monitors",
        scope="status:read",
        reply=schemas.DeviceSchema(),
        many=True,
    )
)
async def devices(call: Call) -> list[dict[str, Any]]:
    """The devices that are named in batches and whose monitors the token may read.

    One without monitors is listed only for a token without tags.
    """
    summaries = await call.request.app[keys.DATABASE].read(stored_devices.summaries)
    return [listed(device) for device in summaries if device.is_visible(call.grant)]


def listed(device: DeviceSummary) -> dict[str, Any]:
    """The device as it is answered."""
    return {
        "id": device.id,
        "sender": device.sender,
        "device": device.name,
        "tags": device.tags,
        "lastHeardAt": device.last_heard,
        "newestMinute": device.newest or None,
        "clockOffset": device.offset,
        "missing": device.missing,
        "restarts": device.restarts,
    }
