"""/api/push/{token}: reports for push monitors of Uptime Kuma, with its responses."""

from aiohttp import web

from kener_async.api.compat.senders import KUMA_SENDER, SENDER_REPORTS, UPTIME_KUMA
from kener_async.api.http.endpoint import Routes
from kener_async.api.http.responses import JSON
from kener_async.domain.durations import latency, pushed_milliseconds
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.samples import Status

routes = Routes()

UNKNOWN = "Monitor not found or not active."


@routes.route("*", "/api/push/{token}", policy=KUMA_SENDER)  # type: ignore[untyped-decorator]
async def push(request: web.Request) -> web.Response:
    """Store a report; any method, and any `status` but up is down."""
    reports = request.app[SENDER_REPORTS]
    monitor = reports.monitor(request, UPTIME_KUMA, request.match_info["token"], UNKNOWN)
    state = await reports.admit(f"{UPTIME_KUMA} {monitor.tag}", monitor.tag)
    try:
        milliseconds = pushed_milliseconds(request.query.get("ping", ""))
    except Invalid as error:
        raise NotFound(error.message) from None  # because Uptime Kuma answers 404 to every error
    status = Status.UP if request.query.get("status") in (None, "", "up") else Status.DOWN
    await reports.store(state, status, latency(milliseconds, monitor.latency_unit))
    return web.Response(body=b'{"ok":true}', headers={"Content-Type": JSON})
