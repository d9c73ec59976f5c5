"""Is it alive, is it able, and what does it count: /healthz, /readyz, /metrics."""

import asyncio
import shutil
from os import stat
from time import monotonic

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from kener_async import keys
from kener_async.api import schemas
from kener_async.api.endpoint import Call, Routes, Spec, endpoint, require_loopback_or_admin
from kener_async.domain.errors import Unavailable

routes = Routes()

LEAST_FREE_BYTES = 32 * 1024 * 1024
WRITER_SECONDS = 2
TICK_SECONDS = 60


@routes.get("/healthz")
@endpoint(Spec("getHealth", "Whether the process answers", "Service", None, reply=schemas.Health()))
async def healthz(call: Call) -> dict[str, object]:
    """Answers as long as the event loop does."""
    return {"status": "ok"}


@routes.get("/readyz")
@endpoint(
    Spec(
        "getReadiness",
        "Whether heartbeats can be stored",
        "Service",
        None,
        reply=schemas.Health(),
        errors=(503,),
    )
)
async def readyz(call: Call) -> web.StreamResponse | dict[str, object]:
    """Whether the writer, the scheduler and the disk work."""
    app = call.request.app
    checks = {
        "writer": await _writer(app),
        "scheduler": _scheduler(app),
        "disk": _disk(app),
        "database": app[keys.DATABASE].damage or "ok",
    }
    faults = [name for name, state in checks.items() if state != "ok"]
    if not faults:
        return {"status": "ok", "checks": checks}
    error = "; ".join(f"{name}: {checks[name]}" for name in faults)
    return web.json_response({"status": error, "checks": checks, "error": error}, status=503)


async def _writer(app: web.Application) -> str:
    try:
        async with asyncio.timeout(WRITER_SECONDS):
            await app[keys.DATABASE].write(lambda connection: None)
    except TimeoutError:
        return f"did not answer within {WRITER_SECONDS} s"
    except Unavailable as error:
        return error.message
    return "ok"


def _scheduler(app: web.Application) -> str:
    silent = monotonic() - app[keys.SCHEDULE].last_tick
    allowed = TICK_SECONDS + app[keys.RUNNING].config.rollups.interval_seconds
    return "ok" if silent < allowed else f"no job has begun for {silent:.0f} s"


def _disk(app: web.Application) -> str:
    free = shutil.disk_usage(app[keys.RUNNING].config.database.path.parent).free
    return "ok" if free >= LEAST_FREE_BYTES else f"only {free // 1024} KiB free"


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text form; from this machine, or with the scope `admin`."""
    await require_loopback_or_admin(request)
    app = request.app
    counted = app[keys.METRICS]
    counted.queue.set(app[keys.INBOX].waiting)
    counted.rollup_lag.set(monotonic() - app[keys.PUBLISHER].settled_at)
    for name, suffix in (("main", ""), ("wal", "-wal")):
        counted.database_bytes.labels(name).set(_size(f"{app[keys.RUNNING].config.database.path}{suffix}"))
    return web.Response(body=counted.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _size(path: str) -> int:
    try:
        return stat(path).st_size
    except FileNotFoundError:
        return 0
