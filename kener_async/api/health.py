"""Health checks and metrics: /healthz, /readyz, /metrics."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from os import stat
from pathlib import Path
from time import monotonic
from zoneinfo import ZoneInfo

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from kener_async import keys
from kener_async.api import schemas
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint, local_or_admin
from kener_async.api.http.policy import ErrorFormat, RoutePolicy
from kener_async.clock import Clock
from kener_async.domain import free_space
from kener_async.domain.checks import SeenCertificate
from kener_async.domain.errors import Unavailable
from kener_async.domain.overview import Overview
from kener_async.domain.samples import Status
from kener_async.domain.states import MonitorState, MonitorStates
from kener_async.metrics import Figures, Metrics
from kener_async.store.interface import Database

routes = Routes()

WRITER_SECONDS = 2
TICK_SECONDS = 60
MEASURED_WINDOWS = ("24h", "30d", "90d")  # each is a time series for each monitor


class Readiness:
    """Check the parts that storing a heartbeat needs: the writer, the scheduler, the disk, the database."""

    def __init__(self, running: keys.Running, database: Database, last_tick: Callable[[], float]) -> None:
        self._running = running
        self._database = database
        self._last_tick = last_tick
        self._checking: asyncio.Task[dict[str, str]] | None = None

    async def check(self) -> dict[str, str]:
        """The state of each part: "ok", or what is wrong. Those who ask at once share one check."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
        return await asyncio.shield(self._checking)

    async def _check(self) -> dict[str, str]:
        return {
            "writer": await self._writer(),
            "scheduler": self._scheduler(),
            "disk": self._disk(),
            "database": self._database.fault or self._database.damage or "ok",
        }

    async def problems(self) -> list[str]:
        """The parts that are not ok; empty if heartbeats can be stored."""
        return _problems(await self.check())

    async def _writer(self) -> str:
        try:
            async with asyncio.timeout(WRITER_SECONDS):
                await self._database.check_writer()
        except TimeoutError:
            return f"did not answer within {WRITER_SECONDS} s"
        except Unavailable as error:
            return error.message
        return "ok"

    def _scheduler(self) -> str:
        idle = monotonic() - self._last_tick()
        allowed = TICK_SECONDS + self._running.config.rollups.interval_seconds
        return "ok" if idle < allowed else f"no job has begun for {idle:.0f} s"

    def _disk(self) -> str:
        try:
            free = _free_bytes(self._running.config.database.path)
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return "ok" if free >= free_space.REQUIRED else f"only {free // 1024} KiB free"


READINESS = web.AppKey("readiness", Readiness)


def _problems(checks: Mapping[str, str]) -> list[str]:
    return [f"{name}: {state}" for name, state in checks.items() if state != "ok"]


CachedOverviews = Callable[[ZoneInfo], AsyncIterator[tuple[MonitorState, Overview]]]


class MonitorFigures:
    """The figures of each monitor for /metrics, without a read of the database."""

    def __init__(
        self,
        running: keys.Running,
        states: MonitorStates,
        overviews: CachedOverviews,
        clock: Clock,
        certificates: Callable[[str], Sequence[SeenCertificate]],
    ) -> None:
        self._running = running
        self._states = states
        self._overviews = overviews
        self._clock = clock
        self._certificates = certificates
        self._uptimes: dict[str, Mapping[str, float]] = {}

    async def current(self) -> dict[str, Figures]:
        """By tag. An uptime that is not cached at the moment is the one of the last call."""
        config, now = self._running.config, self._clock()
        if len(self._states) > config.metrics.max_monitors:
            return {}
        async for state, overview in self._overviews(config.site.timezone):
            self._uptimes[state.tag] = _ratios(overview)
        self._uptimes = {state.tag: self._uptimes.get(state.tag, {}) for state in self._states}
        return {
            state.tag: Figures(
                int(state.current(now).status),
                self._uptimes.get(state.tag, {}),
                min((each.ends for each in self._certificates(state.tag)), default=None),
            )
            for state in self._states
        }

    def by_category(self) -> dict[tuple[str, str], int]:
        """How many monitors have which status, by category and status; with zeros, so that series last."""
        config, now = self._running.config, self._clock()
        categories = {monitor.tag: monitor.category for monitor in config.monitors}
        names = dict.fromkeys(categories.values())
        counts = {(name, status.name): 0 for name in names for status in Status}
        for state in self._states:
            counts[categories.get(state.tag, ""), state.current(now).status.name] += 1
        return counts


MONITOR_FIGURES = web.AppKey("monitor figures", MonitorFigures)


def _ratios(overview: Overview) -> dict[str, float]:
    windows = {name: overview.windows[name] for name in MEASURED_WINDOWS}
    return {name: counts.good / counts.counted for name, counts in windows.items() if counts.counted}


@routes.get("/healthz")
@endpoint(Spec("getHealth", "Whether the process answers", "Service", None, reply=schemas.Health()))
async def healthz(call: Call) -> dict[str, object]:
    """Answers 200 as long as the event loop runs: a restart would repair nothing that /readyz complains of.

    A lost database is named all the same, for who looks here only.
    """
    return {"status": call.request.app[keys.DATABASE].fault or "ok"}


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
    """Checks the writer, the scheduler, the disk and the database."""
    checks = await call.request.app[READINESS].check()
    error = "; ".join(_problems(checks))
    if not error:
        return {"status": "ok", "checks": checks}
    return web.json_response({"status": error, "checks": checks, "error": error}, status=503)


@routes.get("/metrics", policy=RoutePolicy(ErrorFormat.ENVELOPE))
async def metrics(request: web.Request) -> web.Response:
    """Metrics in Prometheus' text format; from this machine, or with `admin` and of the token's tags."""
    grant = await local_or_admin(request)
    app = request.app
    path = app[keys.RUNNING].config.database.path
    values: Metrics = app[keys.METRICS]
    values.queue.set(app[keys.WRITER].waiting)
    values.rollup_lag.set(monotonic() - app[keys.ROLLUPS].counted_at)
    values.scheduler_lag.set(monotonic() - app[keys.SCHEDULER].last_tick)
    values.observer_lag.set(app[keys.CLOCK]() - app[keys.OBSERVER].last_seen)
    values.stale_monitors.set(app[keys.STATES].stale)
    database = app[keys.DATABASE]
    values.damaged.set((database.fault or database.damage) is not None)
    with suppress(OSError):  # the folder may be gone
        values.disk_free.set(_free_bytes(path))
    for name, suffix in (("main", ""), ("wal", "-wal")):
        values.database_bytes.labels(name).set(_file_bytes(f"{path}{suffix}"))
    values.by_monitor.figures = await app[MONITOR_FIGURES].current()
    values.by_category.counts = app[MONITOR_FIGURES].by_category()
    # In a thread, because with many monitors it takes longer than a heartbeat may wait.
    text = await asyncio.to_thread(values.text, None if grant.tags is None else grant.allows_tag)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path.parent).free


def _file_bytes(path: str) -> int:
    try:
        return stat(path).st_size
    except FileNotFoundError:
        return 0
