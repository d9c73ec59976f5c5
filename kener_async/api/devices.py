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
    """The devices that are named in batches and whose monitors the token may read."""
    summaries = await call.request.app[keys.DATABASE].read(stored_devices.summaries)
    return [_listed(device) for device in summaries if all(map(call.grant.allows_tag, device.tags))]


def _listed(device: DeviceSummary) -> dict[str, Any]:
    return {
        "sender": device.sender,
        "device": device.name,
        "tags": device.tags,
        "lastHeardAt": device.last_heard,
        "newestMinute": device.newest or None,
        "clockOffset": device.offset,
        "missing": device.missing,
        "restarts": device.restarts,
    }
