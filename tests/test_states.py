"""Monitor states: their revision grows with every change that pages may show; incidents have their own."""

from collections.abc import Callable
from typing import Any

import pytest

from kener_async import keys
from kener_async.domain.samples import Sample, Status
from kener_async.domain.states import MonitorState, MonitorStates
from kener_async.domain.timeline import Layers
from kener_async.domain.uptime import NOTHING
from kener_async.worker.housekeeping import close_ended, drop_old
from kener_async.worker.stop import NEVER
from tests.rigs.service import NOON, Service


def monitor_states() -> MonitorStates:
    states = MonitorStates()
    states.publish([MonitorState(1, "earth", NOON, NOTHING, Layers({}, None, (), (), ()))])
    return states


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda states: states.add_samples({(1, NOON): Sample(1, NOON, Status.UP, 0.1)}), id="a sample"
        ),
        pytest.param(lambda states: states.publish(list(states)), id="a monitor that was loaded"),
        pytest.param(lambda states: states.configure({}, {}, NOON), id="a monitor less"),
        pytest.param(lambda states: states.mark_stale(["earth"]), id="an incident of a monitor"),
        pytest.param(lambda states: states.mark_stale(), id="a gap"),
        pytest.param(lambda states: states.note_kept_from(NOON), id="samples that were dropped"),
        pytest.param(lambda states: states.note_change(), id="anything else"),
    ],
)
def test_the_revision_grows_with(change: Callable[[MonitorStates], None]):
    states = monitor_states()
    before, incidents_before = states.revision, states.incidents_revision
    change(states)
    assert states.revision > before
    assert states.incidents_revision == incidents_before


def test_an_incident_changes_both_revisions():
    states = monitor_states()
    before, incidents_before = states.revision, states.incidents_revision
    states.note_incident_change()
    assert states.revision > before
    assert states.incidents_revision > incidents_before


def test_the_revision_stays_while_nothing_is_dropped():
    states = monitor_states()
    states.note_kept_from(NOON)
    before = states.revision
    states.note_kept_from(NOON)
    assert states.revision == before


async def opened(service: Service, **fields: Any) -> None:
    await service.post("/api/incident", {"title": "x", "tags": ["earth"], **fields})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/incident", {"title": "y", "tags": ["earth"]}),
        ("PATCH", "/api/incident/1", {"title": "y", "tags": ["mars"]}),
        ("POST", "/api/incident/1/status", {"isResolved": True}),
        ("POST", "/api/incident/1/comment", {"body": "y"}),
    ],
)
async def test_what_is_written_of_incidents_is_noted_before_it_is_answered(
    service: Service, method: str, path: str, body: dict[str, Any]
):
    await opened(service)
    before = service.app[keys.STATES].incidents_revision
    status, _ = await service.ask(method, path, json=body)
    assert status == 200
    assert service.app[keys.STATES].incidents_revision > before


async def test_an_incident_that_was_closed_at_its_end_is_noted_once(service: Service):
    await opened(service, endDatetime=NOON + 60)
    service.pass_time(60)
    states = service.app[keys.STATES]
    before = states.incidents_revision
    await close_ended(service.app[keys.DATABASE], states, service.clock)
    assert states.incidents_revision == before + 1
    await close_ended(service.app[keys.DATABASE], states, service.clock)
    assert states.incidents_revision == before + 1


async def test_the_states_know_from_the_start_what_is_kept(service: Service):
    days = service.app[keys.RUNNING].config.database.retention_days
    assert service.app[keys.STATES].kept_from == NOON - days * 86400
    states = MonitorStates()  # of its own, because the service's job may note the same just now
    await drop_old(service.app[keys.DATABASE], states, service.clock, lambda: 3600, NEVER)
    assert states.kept_from == NOON - 3600
