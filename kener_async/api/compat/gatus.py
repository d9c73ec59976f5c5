"""/api/v1/endpoints/{key}/external: results for external endpoints of Gatus, with its responses."""

from hmac import compare_digest

from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION

from kener_async.api.compat.senders import GATUS, GATUS_SENDER, SENDER_REPORTS
from kener_async.api.http.endpoint import Routes
from kener_async.domain.durations import go_milliseconds, latency
from kener_async.domain.errors import Invalid, Unauthenticated
from kener_async.domain.samples import Status

routes = Routes()

STATUSES = {"true": Status.UP, "false": Status.DOWN}


@routes.post("/api/v1/endpoints/{key}/external", policy=GATUS_SENDER)
async def result(request: web.Request) -> web.Response:
    """Store a result: `success` is required, `duration` is in Go's notation, `error` is not kept."""
    reports = request.app[SENDER_REPORTS]
    status = STATUSES.get(request.query.get("success", ""))
    if status is None:
        raise Invalid("missing or invalid success query parameter")
    token = _token(request)
    monitor = reports.monitor(request, GATUS, request.match_info["key"])
    if not compare_digest(token.encode("utf-8", "replace"), monitor.senders.gatus_token.encode()):
        raise Unauthenticated("invalid token")
    state = await reports.admit(f"{GATUS} {monitor.tag}", monitor.tag)
    took = _duration(request.query.get("duration", ""))
    await reports.store(state, status, latency(took, monitor.latency_unit))
    return web.Response(text="")


def _token(request: web.Request) -> str:
    header = request.headers.get(AUTHORIZATION, "")
    if not header.startswith("Bearer "):
        raise Unauthenticated("invalid Authorization header")
    return header.removeprefix("Bearer ").strip()


def _duration(text: str) -> float:
    try:
        return go_milliseconds(text) if text else 0.0
    except Invalid as error:
        raise Invalid(f"invalid duration: {error.message}") from None
