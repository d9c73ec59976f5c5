"""/api/manage/devices: forget a device."""

from typing import Any

from kener_async import keys
from kener_async.api.devices import listed
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage.visibility import path_id
from kener_async.api.schemas import DeviceSchema
from kener_async.store import device_acts

routes = Routes()


@routes.delete("/api/manage/devices/{deviceId}")
@endpoint(
    Spec(
        operation="forgetDevice",
        summary="Forget a device",
        group="Management",
        scope="admin",
        path={"deviceId": "id of the device, an integer"},
        reply=DeviceSchema(),
        errors=(404, 503),
    )
)
async def forget(call: Call) -> dict[str, Any]:
    """Delete what is known of a device: its clock, its numbers, its monitors. Its samples stay.

    It is answered as it was. A device that reports again is new; to keep it from that, revoke its token.
    """
    app = call.request.app
    number, actor = path_id(call, "deviceId"), call.actor
    now = app[keys.CLOCK]()
    return listed(await app[keys.DATABASE].write(device_acts.forget, number, call.grant, actor, now))
