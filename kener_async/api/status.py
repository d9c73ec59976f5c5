"""POST and GET /api/status: store a heartbeat, get the status of a monitor."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web

from kener_async import keys
from kener_async.api import schemas
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.tags import GROUP_TAG, unknown_tag
from kener_async.clock import Clock
from kener_async.domain.access import Grant, require_tags
from kener_async.domain.calendar import day_so_far
from kener_async.domain.errors import Invalid
from kener_async.domain.samples import Sample, minute_for
from kener_async.domain.states import MonitorState, MonitorStates, StatusReport
from kener_async.store import states

routes = Routes()


class ReportIntake:
    """Check reports against the token, the monitors and the clock, and queue their samples."""

    def __init__(
        self,
        running: keys.Running,
        states: MonitorStates,
        clock: Clock,
        add_run: Callable[[Sequence[Sample]], Awaitable[None]],
    ) -> None:
        self._running = running
        self._states = states
        self._clock = clock
        self._add_run = add_run

    def add(self, grant: Grant, report: Mapping[str, Any]) -> tuple[int, Awaitable[None]]:
        """The minute of a report, and what is done when its sample is on disk, or raises Unavailable.

        `report` is loaded by schemas.MonitorStatus. Raises Forbidden, NotFound and Invalid.
        """
        tag, states, ingest = report["tag"], self._states, self._running.config.ingest
        require_tags(grant, (tag,))
        state = states.find(tag)
        if state is None:
            raise unknown_tag(tag, states, grant)
        if tag in states.groups:
            raise Invalid(GROUP_TAG)
        minute = minute_for(
            report.get("timestamp"),
            self._clock(),
            clock_skew=ingest.clock_skew_seconds,
            max_age_days=ingest.max_age_days,
        )
        sample = Sample(state.id, minute, report["status"], report["latency"])
        return minute, self._add_run((sample,))


REPORT_INTAKE = web.AppKey("report intake", ReportIntake)


@routes.post("/api/status")
@endpoint(
    Spec(
        operation="updateMonitorStatus",
        summary="Update status of a monitor",
        group="Monitors",
        scope="status:write",
        body=schemas.MonitorStatus(),
        reply=schemas.Accepted(),
        errors=(408, 413, 415, 429, 503),
        is_heartbeat=True,
        list_hint="; POST /api/status/batch takes many samples",
    )
)
async def update_status(call: Call) -> bytes:
    """Store a sample. The response is sent when it is on disk; sending it again changes nothing."""
    minute, stored = call.app[REPORT_INTAKE].add(call.grant, call.body)
    await stored
    return b'{"status":200,"message":"success at %d"}' % minute


@routes.get("/api/status")
@endpoint(
    Spec(
        operation="getMonitorStatus",
        summary="Get status of a monitor",
        group="Monitors",
        scope="status:read",
        query=schemas.StatusQuery(),
        reply=schemas.StatusResponse(),
    )
)
async def get_status(call: Call) -> bytes:
    """The current status, and the uptime of the UTC day so far."""
    app = call.app
    tag = call.query["tag"]
    require_tags(call.grant, (tag,))
    if app[keys.STATES].find(tag) is None:
        raise unknown_tag(tag, app[keys.STATES], call.grant)
    state = await app[keys.LOADER].state(tag)
    if "timestamp" in call.query:
        return _rendered(await _report_as_of(call, state, call.query["timestamp"]))
    return _body(app[keys.STATUS_BODIES], state, state.report(app[keys.CLOCK]()))


def _body(bodies: keys.StatusBodies, state: MonitorState, report: StatusReport) -> bytes:
    """The report as JSON, rendered once for each report."""
    cached = bodies.get(state)
    if cached is None or cached[0] is not report:
        cached = bodies[state] = (report, _rendered(report))
    return cached[1]


def _rendered(report: StatusReport) -> bytes:
    fields: dict[str, Any] = {}
    if report.current.kener_status is not None:
        fields["status"] = report.current.kener_status.name
    fields["uptime"] = report.today.uptime
    if report.current.newest is not None:
        fields["lastUpdatedAt"] = report.current.newest.minute
    return orjson.dumps(fields)


async def _report_as_of(call: Call, state: MonitorState, instant: int) -> StatusReport:
    """The report of an earlier instant, by the samples stored now."""
    app = call.app
    now = app[keys.CLOCK]()
    if instant > now:
        raise Invalid("timestamp is in future")
    window = day_so_far(instant)
    await app[keys.ROLLUPS].settle([state.id], *window)
    return await app[keys.DATABASE].read(states.report_at, state.id, instant)
