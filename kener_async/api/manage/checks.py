"""/api/manage/monitors/{tag}/run: a run of a check at once."""

import asyncio
from typing import Any

from kener_async import keys
from kener_async.api import check_schemas
from kener_async.api.checks import rendered
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.tags import configured_monitor
from kener_async.domain.errors import Invalid

routes = Routes()

PATIENCE = 30.0  # seconds that a request waits for a run: less than reverse proxies do


@routes.post("/api/manage/monitors/{tag}/run")
@endpoint(
    Spec(
        operation="runCheck",
        summary="Run the check of a monitor now",
        group="Management",
        scope="monitor:write",
        path={"tag": "tag of the monitor"},
        reply=check_schemas.CheckRunSchema(),
        errors=(503,),
    )
)
async def run(call: Call) -> dict[str, Any]:
    """Begin a run at once, or join the one under way, and answer its attempts with their phases.

    It is a run like any other: what it says is stored. One that still tries again after 30 seconds is
    answered as far as it is, and goes on.
    """
    app = call.request.app
    monitor, _ = await configured_monitor(call)
    if monitor.check is None:
        raise Invalid("the monitor has no check")
    began, running = app[keys.STOPWATCH](), app[keys.CHECKS]
    try:
        async with asyncio.timeout(PATIENCE):
            attempts, is_over = await running.run_now(monitor.tag), True
    except TimeoutError:
        last_began = running.last_began(monitor.tag)
        since = began if last_began is None else min(began, last_began)
        attempts = [attempt for attempt in running.last_attempts(monitor.tag) if attempt.at >= since]
        is_over = False
    return {"tag": monitor.tag, "isOver": is_over, "attempts": [rendered(attempt) for attempt in attempts]}
