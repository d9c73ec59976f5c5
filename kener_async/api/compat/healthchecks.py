"""/ping/...: what jobs send that are watched by Healthchecks, answered as it does.

A start stores no sample, but is kept until the job ends: how long that took is the latency.
"""

from aiohttp import web

from kener_async import keys
from kener_async.api.compat.senders import HEALTHCHECKS, SENDER, admitted, called, store
from kener_async.api.http.endpoint import Routes
from kener_async.config.model import MonitorConfig
from kener_async.domain.durations import latency
from kener_async.domain.pings import Signal, ping_at, run_named
from kener_async.domain.samples import Status
from kener_async.domain.states import MonitorState
from kener_async.store import runs

routes = Routes()

STATUSES = {Signal.SUCCESS: Status.UP, Signal.FAIL: Status.DOWN}


@routes.get("/ping/{address:.+}", policy=SENDER)
@routes.post("/ping/{address:.+}", policy=SENDER)
async def ping(request: web.Request) -> web.Response:
    """Take the signal of a job; the body is not read, and a HEAD counts like a GET."""
    said = ping_at(request.match_info["address"])
    monitor = called(request, HEALTHCHECKS, said.check, "not found")
    run = run_named(request.query.get("rid"))
    state = await admitted(request, f"{HEALTHCHECKS} {monitor.tag}", monitor.tag)
    if said.signal is Signal.START:
        await _begin(request, state, run)
    elif said.signal in STATUSES:
        await _end(request, state, run, monitor, STATUSES[said.signal])
    return web.Response(text="OK", headers={"Access-Control-Allow-Origin": "*"})


async def _begin(request: web.Request, state: MonitorState, run: str) -> None:
    now = request.app[keys.STOPWATCH]()
    await request.app[keys.DATABASE].write(runs.begin, monitor=state.id, run=run, now=now)


async def _end(
    request: web.Request, state: MonitorState, run: str, monitor: MonitorConfig, status: Status
) -> None:
    """Only what is stored is forgotten: a sender that is refused comes again, and the run is still known."""
    database, now = request.app[keys.DATABASE], request.app[keys.STOPWATCH]()
    started = await database.read(runs.started_at, monitor=state.id, run=run, now=now)
    took = 0.0 if started is None else round((now - started) * 1000, 3)
    await store(request, state, status, latency(took, monitor.latency_unit))
    if started is not None:
        await database.write(runs.end, monitor=state.id, run=run, started=started)
