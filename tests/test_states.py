"""The board's revision: it grows with whatever may change what is shown, and tells incidents apart."""

from collections.abc import Callable
from typing import Any

import pytest

from kener_async import keys
from kener_async.domain.samples import Sample, Status
from kener_async.domain.states import MonitorState, MonitorStates
from kener_async.domain.timeline import Layers
from kener_async.domain.uptime import NOTHING
from kener_async.worker.housekeeping import close_ended, drop_old
from tests.rigs.service import NOON, Service


def a_board() -> MonitorStates:
    board = MonitorStates()
    board.publish([MonitorState(1, "earth", NOON, NOTHING, Layers({}, None, (), (), ()))])
    return board


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda board: board.take({(1, NOON): Sample(1, NOON, Status.UP, 0.1)}), id="a sample"),
        pytest.param(lambda board: board.publish(list(board)), id="a monitor that was loaded"),
        pytest.param(lambda board: board.keep_only([]), id="a monitor less"),
        pytest.param(lambda board: board.outdate(["earth"]), id="an incident of a monitor"),
        pytest.param(lambda board: board.outdate(), id="a gap"),
        pytest.param(lambda board: board.keep_from(NOON), id="samples that were dropped"),
        pytest.param(lambda board: board.note(), id="anything else"),
    ],
)
def test_the_revision_grows_with(change: Callable[[MonitorStates], None]):
    board = a_board()
    before, incidents_before = board.revision, board.incidents_revision
    change(board)
    assert board.revision > before
    assert board.incidents_revision == incidents_before


def test_an_incident_changes_both_revisions():
    board = a_board()
    before, incidents_before = board.revision, board.incidents_revision
    board.note_incident()
    assert board.revision > before
    assert board.incidents_revision > incidents_before


def test_the_revision_stays_while_nothing_is_dropped():
    board = a_board()
    board.keep_from(NOON)
    before = board.revision
    board.keep_from(NOON)
    assert board.revision == before


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
    board = service.app[keys.STATES]
    before = board.incidents_revision
    await close_ended(service.app[keys.DATABASE], board, service.clock)
    assert board.incidents_revision == before + 1
    await close_ended(service.app[keys.DATABASE], board, service.clock)
    assert board.incidents_revision == before + 1


async def test_the_board_knows_from_the_start_what_is_kept(service: Service):
    board = service.app[keys.STATES]
    days = service.app[keys.RUNNING].config.database.retention_days
    assert board.kept_from == NOON - days * 86400
    await drop_old(service.app[keys.DATABASE], board, service.clock, lambda: 3600)
    assert board.kept_from == NOON - 3600
