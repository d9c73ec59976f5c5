"""How incidents open, close and reopen, and which minutes they cover. The clock starts at 1000."""

from dataclasses import replace
from typing import Any

import pytest

from kener_async.domain.errors import Invalid
from kener_async.domain.incident_updates import IncidentState
from kener_async.domain.incidents import Incident, Overlay, edited, opened
from kener_async.domain.samples import Status

RESOLVED = {"is_resolved": True}
REOPENED = {"is_resolved": False}


def lived(*steps: tuple[int, dict[str, Any]]) -> Incident:
    """An incident opened by the first step and edited by the others; each step is an instant and fields."""
    (now, fields), *edits = steps
    incident = opened(7, {"title": "Disk full", **fields}, now)
    for now, fields in edits:
        incident = edited(incident, fields, now)
    return incident


def life(
    sentence: str, steps: list[tuple[int, dict[str, Any]]], end: int | None, closed_at: int | None
) -> object:
    """What an incident's end is after the steps, and when it closed."""
    return pytest.param(steps, end, closed_at, id=sentence)


LIVES = [
    life("an incident opens without an end", [(1000, {})], None, None),
    life("an incident with an end to come is open", [(1000, {"end": 2000})], 2000, None),
    life(
        "an incident opened with a past end is closed since that end",
        [(1000, {"start": 100, "end": 200})],
        200,
        200,
    ),
    life("an incident that ends this second is closed", [(1000, {"start": 100, "end": 1000})], 1000, 1000),
    life("an incident opened as resolved is closed", [(1000, {"start": 100, **RESOLVED})], 1000, 1000),
    life("resolving without an end sets the end", [(1000, {}), (1500, RESOLVED)], 1500, 1500),
    life("resolving before its end leaves the end", [(1000, {"end": 2000}), (1500, RESOLVED)], 2000, 1500),
    life("resolving after its end leaves the closing", [(1000, {"end": 2000}), (2500, RESOLVED)], 2000, 2000),
    life(
        "resolving again does not move the closing",
        [(1000, {}), (1500, RESOLVED), (1600, RESOLVED)],
        1500,
        1500,
    ),
    life(
        "an end that passes closes at the next edit",
        [(1000, {"end": 2000}), (2500, {"title": "x"})],
        2000,
        2000,
    ),
    life(
        "the end after resolving does not move the closing",
        [(1000, {"end": 2000}), (1500, RESOLVED), (2500, {})],
        2000,
        1500,
    ),
    life(
        "reopening takes back the end that resolving set",
        [(1000, {}), (1500, RESOLVED), (1600, REOPENED)],
        None,
        None,
    ),
    life(
        "reopening keeps the end its author set",
        [(1000, {"end": 2000}), (1500, RESOLVED), (1600, REOPENED)],
        2000,
        None,
    ),
    life(
        "reopening after its end leaves it closed since that end",
        [(1000, {"end": 2000}), (1500, RESOLVED), (2500, REOPENED)],
        2000,
        2000,
    ),
    life(
        "reopening with a past end leaves it closed",
        [(1000, {}), (1500, RESOLVED), (1600, {**REOPENED, "end": 1550})],
        1550,
        1550,
    ),
    life(
        "reopening with an end to come opens it",
        [(1000, {}), (1500, RESOLVED), (1600, {**REOPENED, "end": 1700})],
        1700,
        None,
    ),
    life("reopening an open incident changes nothing", [(1000, {"end": 2000}), (1500, REOPENED)], 2000, None),
    life(
        "a resolved incident can be resolved anew",
        [(1000, {}), (1500, RESOLVED), (1600, REOPENED), (1700, RESOLVED)],
        1700,
        1700,
    ),
    life(
        "an end the author changed after resolving stays at reopening",
        [(1000, {}), (1500, RESOLVED), (1600, {"end": 9000}), (1700, REOPENED)],
        9000,
        None,
    ),
    life(
        "a later end opens what its end had closed",
        [(1000, {"end": 2000}), (2500, {"end": 3000})],
        3000,
        None,
    ),
    life("without its end it opens again", [(1000, {"end": 2000}), (2500, {"end": None})], None, None),
    life(
        "a later end does not open what was resolved",
        [(1000, {}), (1500, RESOLVED), (1600, {"end": 3000})],
        3000,
        1500,
    ),
    life(
        "an earlier end moves the closing of what was resolved",
        [(1000, {}), (1500, RESOLVED), (1600, {"end": 1200})],
        1200,
        1200,
    ),
    life("an end moved into the past closes", [(1000, {}), (1500, {"end": 1200})], 1200, 1200),
    life(
        "without an end of its author a resolved incident ends when it was resolved",
        [(1000, {}), (1500, RESOLVED), (1600, {"end": None})],
        1500,
        1500,
    ),
    life(
        "taking back the end of a resolved incident leaves the moment of resolving",
        [(1000, {"end": 9000}), (1500, RESOLVED), (1600, {"end": None})],
        1500,
        1500,
    ),
    life(
        "a cancelled maintenance whose start is moved ends at its start",
        [(1000, {"start": 5000}), (1500, RESOLVED), (1600, {"start": 7000})],
        7000,
        1500,
    ),
    life(
        "resolving a maintenance before it starts ends it at its start",
        [(1000, {"start": 5000, "is_maintenance": True}), (1500, RESOLVED)],
        5000,
        1500,
    ),
    life(
        "resolving a scheduled maintenance keeps its end",
        [(1000, {"start": 5000, "end": 6000, "is_maintenance": True}), (1500, RESOLVED)],
        6000,
        1500,
    ),
    life(
        "a new title leaves the end and the closing",
        [(1000, {"end": 2000}), (1500, {"title": "x"})],
        2000,
        None,
    ),
]


@pytest.mark.parametrize(("steps", "end", "closed_at"), LIVES)
def test_life(steps, end, closed_at) -> None:
    incident = lived(*steps)
    assert (incident.end, incident.closed_at) == (end, closed_at)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([(1000, {"start": 500, "end": 499})], id="an end before the start"),
        pytest.param([(1000, {"start": 500, "end": 500})], id="an end at the start"),
        pytest.param([(1000, {"end": 1000})], id="an end at the start that is now"),
        pytest.param([(1000, {}), (1500, {"end": 900})], id="an end moved before the start"),
        pytest.param([(1000, {"end": 2000}), (1500, {"start": 2000})], id="a start moved to the end"),
    ],
)
def test_an_end_that_is_not_after_the_start_is_invalid(steps) -> None:
    with pytest.raises(Invalid, match=r"^Invalid endDatetime"):
        lived(*steps)


def test_a_new_incident_is_what_its_author_said() -> None:
    fields = {"title": "Disk full", "tags": ("b", "a"), "impact": Status.DOWN, "is_identified": True}
    incident = opened(7, fields, 1000)
    assert (incident.number, incident.title, incident.body) == (7, "Disk full", "")
    assert (incident.tags, incident.impact) == (("b", "a"), Status.DOWN)
    assert (incident.start, incident.created_at) == (1000, 1000)
    assert (incident.is_identified, incident.is_maintenance, incident.is_resolved) == (True, False, False)


def test_an_edit_leaves_what_it_does_not_name() -> None:
    incident = lived((1000, {"body": "why", "tags": ("a",), "impact": Status.DOWN}))
    assert edited(incident, {"title": "Disk full again"}, 1500) == replace(
        incident, title="Disk full again", updated_at=1500, revision=1
    )
    assert edited(incident, {}, 1500) == incident


@pytest.mark.parametrize(
    ("steps", "now", "closed_at"),
    [
        pytest.param([(1000, {})], 9000, None, id="without an end it is open"),
        pytest.param([(1000, {"end": 2000})], 1999, None, id="before its end it is open"),
        pytest.param([(1000, {"end": 2000})], 2000, 2000, id="at its end it is closed"),
        pytest.param([(1000, {"end": 2000})], 9000, 2000, id="long after its end it is closed since then"),
        pytest.param(
            [(1000, {"end": 2000}), (1500, RESOLVED)], 9000, 1500, id="resolved it is closed since then"
        ),
    ],
)
def test_closed_for_every_reader_before_anything_was_stored(steps, now: int, closed_at: int | None) -> None:
    assert lived(*steps).closed_as_of(now) == closed_at


@pytest.mark.parametrize(
    ("steps", "start", "end"),
    [
        pytest.param([(1000, {})], 1000, None, id="an open incident covers for good"),
        pytest.param([(1000, {"start": 500, "end": 2000})], 500, 2000, id="an incident covers until its end"),
        pytest.param(
            [(1000, {"end": 2000}), (1500, RESOLVED)], 1000, 1500, id="resolved it covers until then"
        ),
        pytest.param([(1000, {"end": 2000}), (2500, RESOLVED)], 1000, 2000, id="its end was earlier"),
        pytest.param(
            [(1000, {}), (1500, RESOLVED), (1600, REOPENED)], 1000, None, id="reopened it covers again"
        ),
        pytest.param(
            [(1000, {}), (1500, RESOLVED), (1600, {"end": None})], 1000, 1500, id="resolved it stays over"
        ),
    ],
)
def test_overlay_ends_with_the_earlier_of_end_and_closing(steps, start: int, end: int | None) -> None:
    assert lived(*steps).overlay == Overlay(7, start, end, None, maintenance=False)


def test_overlay_says_what_the_incident_says() -> None:
    incident = lived((1000, {"impact": Status.DEGRADED, "is_maintenance": True}))
    assert incident.overlay == Overlay(7, 1000, None, Status.DEGRADED, maintenance=True)


def test_a_maintenance_resolved_before_it_starts_covers_nothing() -> None:
    for end in (None, 6000):
        overlay = lived((1000, {"start": 5000, "end": end, "is_maintenance": True}), (1500, RESOLVED)).overlay
        assert (overlay.start, overlay.end) == (5000, 5000)
        assert not any(overlay.covers(minute) for minute in range(0, 9000, 60))
        assert not any(overlay.active_at(instant) for instant in range(9000))


@pytest.mark.parametrize(
    ("start", "end", "covered"),
    [
        pytest.param(60, 120, [60], id="from minute to minute"),
        pytest.param(61, 120, [60], id="from within a minute"),
        pytest.param(60, 121, [60, 120], id="into a minute"),
        pytest.param(119, 121, [60, 120], id="over the edge of two minutes"),
        pytest.param(90, 91, [60], id="a second"),
        pytest.param(90, 90, [], id="nothing"),
        pytest.param(120, 60, [], id="less than nothing"),
        pytest.param(150, None, [120, 180, 240], id="for good"),
    ],
)
def test_overlay_covers_the_minutes_it_overlaps(start: int, end: int | None, covered: list[int]) -> None:
    overlay = Overlay(1, start, end, None, maintenance=False)
    assert [minute for minute in range(0, 300, 60) if overlay.covers(minute)] == covered


def test_sending_an_incident_back_as_it_was_read_changes_nothing() -> None:
    cancelled = edited(opened(1, {"title": "x", "start": 5000}, 1000), {"is_resolved": True}, 1500)
    echoed = {"start": cancelled.start, "end": cancelled.end, "is_resolved": True}
    assert edited(cancelled, echoed, 1600) == cancelled


def test_reopening_works_also_when_the_end_that_resolving_set_is_sent_back() -> None:
    resolved = edited(opened(1, {"title": "x"}, 1000), {"is_resolved": True}, 1500)
    reopened = edited(resolved, {"start": 1000, "end": 1500, "is_resolved": False}, 1600)
    assert (reopened.end, reopened.closed_at) == (None, None)


@pytest.mark.parametrize(
    ("steps", "now", "expected"),
    [
        ([(1000, {})], 1000, "investigating"),
        ([(1000, {"is_identified": True})], 1000, "identified"),
        ([(1000, {"start": 1001})], 1000, "scheduled"),
        ([(1000, {"end": 1060})], 1060, "resolved"),
        ([(1000, {}), (1000, RESOLVED)], 1000, "resolved"),
        ([(1000, {"is_maintenance": True})], 1000, "in progress"),
        ([(1000, {"is_maintenance": True, "start": 1001})], 1000, "scheduled"),
        ([(1000, {"is_maintenance": True, "end": 1060})], 1059, "in progress"),
        ([(1000, {"is_maintenance": True, "end": 1060})], 1060, "completed"),
        ([(1000, {"is_maintenance": True, "start": 2000}), (1500, RESOLVED)], 1500, "cancelled"),
        ([(1000, {"is_maintenance": True, "start": 2000, "end": 3000}), (1500, RESOLVED)], 4000, "cancelled"),
        (
            [(1000, {"is_maintenance": True, "start": 2000}), (1500, RESOLVED), (1600, REOPENED)],
            1600,
            "scheduled",
        ),
        ([(1000, {"is_maintenance": True, "start": 2000}), (2000, RESOLVED)], 2000, "completed"),
        ([(1000, {"start": 2000}), (1500, RESOLVED)], 1500, "cancelled"),
    ],
)
def test_the_stage_of_an_incident_follows_from_its_times(
    steps: list[tuple[int, dict[str, Any]]], now: int, expected: str
) -> None:
    assert lived(*steps).stage(now) == expected


def test_what_is_closed_stays_so_when_the_clock_is_set_back() -> None:
    assert lived((1000, {}), (1500, RESOLVED)).stage(1400) == "resolved"


def test_an_update_has_the_stage_of_its_time() -> None:
    incident = lived((1000, {"start": 1200}), (1500, RESOLVED))
    state = IncidentState.INVESTIGATING
    found = [incident.stage_of_update(instant, state) for instant in (1000, 1200, 1499, 1500)]
    assert found == ["scheduled", "investigating", "investigating", "resolved"]
    assert incident.stage_of_update(1300, IncidentState.IDENTIFIED) == "identified"
    assert incident.stage_of_update(1300, IncidentState.RESOLVED) == "resolved"


@pytest.mark.parametrize(
    ("fields", "effect"),
    [
        ({}, None),
        ({"impact": Status.DOWN}, Status.DOWN),
        ({"is_maintenance": True, "impact": Status.DOWN}, Status.MAINTENANCE),
    ],
)
def test_the_effect_of_an_incident(fields: dict[str, Any], effect: Status | None) -> None:
    assert lived((1000, fields)).effect is effect
