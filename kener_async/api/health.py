"""Is it alive, is it able, and what does it count: /healthz, /readyz, /metrics."""

import asyncio
import shutil
from collections.abc import Mapping
from os import stat
from time import monotonic

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from kener_async import keys
from kener_async.api import schemas
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint, require_loopback_or_admin
from kener_async.api.http.policy import ErrorFormat, RoutePolicy
from kener_async.domain import free_space
from kener_async.domain.errors import Unavailable
from kener_async.domain.overview import Overview
from kener_async.metrics import Figures

routes = Routes()

WRITER_SECONDS = 2
TICK_SECONDS = 60
MEASURED_WINDOWS = ("24h", "30d", "90d")  # each is a time series for each monitor


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
    checks = await _checks(call.request.app)
    error = "; ".join(_faults(checks))
    if not error:
        return {"status": "ok", "checks": checks}
    return web.json_response({"status": error, "checks": checks, "error": error}, status=503)


async def faults(app: web.Application) -> list[str]:
    """What keeps heartbeats from being stored; empty when nothing does."""
    return _faults(await _checks(app))


async def _checks(app: web.Application) -> dict[str, str]:
    return {
        "writer": await _writer(app),
        "scheduler": _scheduler(app),
        "disk": _disk(app),
        "database": app[keys.DATABASE].damage or "ok",
    }


def _faults(checks: Mapping[str, str]) -> list[str]:
    return [f"{name}: {state}" for name, state in checks.items() if state != "ok"]


async def _writer(app: web.Application) -> str:
    try:
        async with asyncio.timeout(WRITER_SECONDS):
            await app[keys.DATABASE].check_writer()
    except TimeoutError:
        return f"did not answer within {WRITER_SECONDS} s"
    except Unavailable as error:
        return error.message
    return "ok"


def _scheduler(app: web.Application) -> str:
    silent = monotonic() - app[keys.SCHEDULER].last_tick
    allowed = TICK_SECONDS + app[keys.RUNNING].config.rollups.interval_seconds
    return "ok" if silent < allowed else f"no job has begun for {silent:.0f} s"


def _disk(app: web.Application) -> str:
    free = _free(app)
    return "ok" if free >= free_space.REQUIRED else f"only {free // 1024} KiB free"


@routes.get("/metrics", policy=RoutePolicy(ErrorFormat.ENVELOPE))
async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text form; from this machine, or with the scope `admin`."""
    await require_loopback_or_admin(request)
    app = request.app
    counted, states = app[keys.METRICS], app[keys.STATES]
    counted.queue.set(app[keys.WRITER].waiting)
    counted.rollup_lag.set(monotonic() - app[keys.ROLLUPS].counted_at)
    counted.scheduler_lag.set(monotonic() - app[keys.SCHEDULER].last_tick)
    counted.observer_lag.set(app[keys.CLOCK]() - app[keys.OBSERVER].last_seen)
    counted.stale_monitors.set(states.stale)
    counted.damaged.set(app[keys.DATABASE].damage is not None)
    counted.disk_free.set(_free(app))
    for name, suffix in (("main", ""), ("wal", "-wal")):
        counted.database_bytes.labels(name).set(_size(f"{app[keys.RUNNING].config.database.path}{suffix}"))
    counted.fleet.figures = await _figures(app)
    # In a thread: with many monitors it takes longer than a heartbeat may wait.
    text = await asyncio.to_thread(counted.text)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _figures(app: web.Application) -> dict[str, Figures]:
    """Of each monitor, without a wait for the disk; the uptime told last stays until there is a newer one."""
    config, now = app[keys.RUNNING].config, app[keys.CLOCK]()
    if len(app[keys.STATES]) > config.metrics.max_monitors:
        return {}
    uptimes = {tag: known.uptime for tag, known in app[keys.METRICS].fleet.figures.items()}
    async for state, overview in app[keys.OVERVIEWS].cached(config.site.timezone):
        uptimes[state.tag] = _ratios(overview)
    return {
        state.tag: Figures(int(state.report(now).current.status), uptimes.get(state.tag, {}))
        for state in app[keys.STATES]
    }


def _ratios(overview: Overview) -> dict[str, float]:
    windows = {name: overview.windows[name] for name in MEASURED_WINDOWS}
    return {name: counts.good / counts.counted for name, counts in windows.items() if counts.counted}


def _free(app: web.Application) -> int:
    return shutil.disk_usage(app[keys.RUNNING].config.database.path.parent).free


def _size(path: str) -> int:
    try:
        return stat(path).st_size
    except FileNotFoundError:
        return 0
