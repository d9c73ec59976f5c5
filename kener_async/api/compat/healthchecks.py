"""/ping/...: pings of jobs that Healthchecks watches, with its responses.

A start stores no sample, but is kept until the job ends: the duration is the latency. A start and a log count
as heard.
"""

from aiohttp import web

from kener_async import keys
from kener_async.api.compat.senders import HEALTHCHECKS, PING_SENDER, SENDER_REPORTS
from kener_async.api.http.endpoint import Routes
from kener_async.api.http.responses import ANY_ORIGIN
from kener_async.domain.durations import latency
from kener_async.domain.pings import Signal, ping_at, run_named
from kener_async.domain.samples import Status
from kener_async.store import runs

routes = Routes()

STATUSES = {Signal.SUCCESS: Status.UP, Signal.FAIL: Status.DOWN}


@routes.get("/ping/{address:.+}", policy=PING_SENDER)
@routes.post("/ping/{address:.+}", policy=PING_SENDER)
async def ping(request: web.Request) -> web.Response:
    """Handle a signal of a job; the body is not read, and HEAD is the same as GET."""
    app = request.app
    reports, database, now = app[SENDER_REPORTS], app[keys.DATABASE], app[keys.STOPWATCH]()
    received = ping_at(request.match_info["address"].rstrip("/"))
    monitor = reports.monitor(request, HEALTHCHECKS, received.check)
    run = run_named(request.query.get("rid"))
    state = await reports.admit(f"{HEALTHCHECKS} {monitor.tag}", monitor.tag)
    if received.signal not in STATUSES:
        await reports.hear(state)
    if received.signal is Signal.START:
        await database.write(runs.begin, monitor=state.id, run=run, now=now)
        app[keys.STATES].mark_stale([monitor.tag])
    elif received.signal in STATUSES:
        started = await database.read(runs.started_at, monitor=state.id, run=run, now=now)
        took = 0.0 if started is None else round((now - started) * 1000, 3)
        await reports.store(state, STATUSES[received.signal], latency(took, monitor.latency_unit))
        # Only after the sample is stored: a sender that gets an error retries, and needs the start again.
        if started is not None:
            await database.write(runs.end, monitor=state.id, run=run, started=started)
    return web.Response(text="OK", headers=ANY_ORIGIN)
