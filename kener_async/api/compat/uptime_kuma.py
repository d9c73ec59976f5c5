"""/api/push/{token}: what is sent to push monitors of Uptime Kuma, answered as it does."""

from aiohttp import web

from kener_async.api.compat.senders import KUMA_SENDER, UPTIME_KUMA, admitted, called, store
from kener_async.api.http.endpoint import Routes
from kener_async.domain.durations import latency, pushed_milliseconds
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.samples import Status

routes = Routes()

UNKNOWN = "Monitor not found or not active."


@routes.route("*", "/api/push/{token}", policy=KUMA_SENDER)  # type: ignore[untyped-decorator]
async def push(request: web.Request) -> web.Response:
    """Take a push by any method; whatever `status` is but up is down."""
    try:
        milliseconds = pushed_milliseconds(request.query.get("ping", ""))
    except Invalid as error:
        raise NotFound(error.message) from None  # so it is there
    monitor = called(request, UPTIME_KUMA, request.match_info["token"], UNKNOWN)
    state = await admitted(request, f"{UPTIME_KUMA} {monitor.tag}", monitor.tag)
    status = Status.UP if request.query.get("status") in (None, "", "up") else Status.DOWN
    await store(request, state, status, latency(milliseconds, monitor.latency_unit))
    return web.Response(body=b'{"ok":true}', content_type="application/json", charset="utf-8")
