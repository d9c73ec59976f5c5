"""/api/manage/monitors/{tag}/run: a run of a check at once."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from kener_async import keys
from kener_async.api import check_schemas
from kener_async.api.checks import rendered
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.tags import configured_monitor
from kener_async.domain.checks import Attempt
from kener_async.domain.errors import Invalid
from kener_async.domain.people import Actor
from kener_async.store import audit
from kener_async.store.interface import Session

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
    actor, now = call.actor, app[keys.CLOCK]()
    await app[keys.DATABASE].write(note_run, monitor.tag, actor, now)
    attempts, is_over = await run_now(app, monitor.tag, PATIENCE)
    return {"tag": monitor.tag, "isOver": is_over, "attempts": [rendered(attempt) for attempt in attempts]}


def note_run(session: Session, tag: str, actor: Actor, now: int) -> None:
    """Note in the audit log that somebody has a check run now."""
    audit.record(session, actor, "monitor.run", f"monitor {tag}", None, None, now)


async def run_now(app: web.Application, tag: str, patience: float) -> tuple[Sequence[Attempt], bool]:
    """The attempts of a run of a check now, and whether it is over; it goes on after `patience` seconds.

    Raises Invalid for a monitor without a check, and Unavailable.
    """
    began, running = app[keys.STOPWATCH](), app[keys.CHECKS]
    try:
        async with asyncio.timeout(patience):
            return await running.run_now(tag), True
    except TimeoutError:
        last_began = running.last_began(tag)
        since = began if last_began is None else min(began, last_began)
        return [attempt for attempt in running.last_attempts(tag) if attempt.at >= since], False
