"""The summary in the format of hosted status pages: its words, and that it is complete."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kener_async.config.model import Category, Config, MonitorConfig
from kener_async.domain.headline import Member, headline
from kener_async.domain.incident_updates import Update
from kener_async.domain.incidents import Incident, edited, opened
from kener_async.domain.samples import Sample, Status
from kener_async.domain.timeline import CurrentStatus, Reason
from kener_async.domain.uptime import NOTHING, Counts
from kener_async.web.formats import statuspage
from kener_async.web.formats.ids import Ids
from kener_async.web.formats.statuspage import DOCUMENTS, Document
from kener_async.web.pages.snapshot import DayView, IncidentView, MonitorView, Snapshot
from tests.rigs.service import NOON, a_config, a_monitor

HOUR, DAY = 3600, 86400
MIDNIGHT = NOON - 12 * HOUR
BASE = "https://status.example.org"
IDENTITY = UUID("5f6a1c0e-3c55-4b1e-8a0d-5b6f0c0e9d21")
IDS = Ids(BASE, IDENTITY)
UP, DEGRADED, DOWN, MAINTENANCE, NO_DATA = Status

TIMESTAMP = "%Y-%m-%dT%H:%M:%S.000Z"
COMPONENT = {
    "id": str,
    "name": str,
    "status": str,
    "created_at": str,
    "updated_at": str,
    "position": int,
    "description": str | None,
    "showcase": bool,
    "start_date": str | None,
    "group_id": str | None,
    "page_id": str,
    "group": bool,
    "only_show_if_degraded": bool,
}
INCIDENT = {
    "id": str,
    "name": str,
    "status": str,
    "created_at": str,
    "updated_at": str,
    "monitoring_at": str | None,
    "resolved_at": str | None,
    "impact": str,
    "shortlink": str,
    "started_at": str,
    "page_id": str,
    "incident_updates": list,
    "components": list,
}
MAINTENANCES = {**INCIDENT, "scheduled_for": str, "scheduled_until": str | None}
UPDATE = {
    "id": str,
    "status": str,
    "body": str,
    "incident_id": str,
    "created_at": str,
    "updated_at": str,
    "display_at": str,
    "affected_components": list,
    "deliver_notifications": bool,
    "custom_tweet": str | None,
    "tweet_id": str | None,
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    plain = a_config(tmp_path)
    site = replace(plain.site, name="Example", timezone=ZoneInfo("Europe/Berlin"))
    return replace(
        plain,
        site=site,
        categories=(
            Category("Planets", "The **big** ones", hidden=False),
            Category("Moons", "", hidden=False),
        ),
    )


def document(name: str, snapshot: Snapshot, ids: Ids, base_url: str) -> Document:
    views: Any = list(snapshot.monitors)  # a_snapshot puts views in
    found: Document = statuspage.document(name, snapshot, views, ids, base_url)
    return found


def shown(
    tag: str,
    status: Status = UP,
    *,
    known: Status | None = None,
    heard: int | None = NOON,
    since: int | None = None,
    days: Sequence[Counts] = (NOTHING,),
    **fields: Any,
) -> MonitorView:
    """A monitor as the snapshot has it. `known`: the newest status, where there are no recent data."""
    newest = Sample(1, heard, known or UP, 0.1) if heard is not None else None
    reported = known if status is NO_DATA else status
    current = CurrentStatus(status, reported, newest, NOON + 60, Reason.SAMPLE, newest)
    first = MIDNIGHT - DAY * (len(days) - 1)
    starts = [first + DAY * number for number in range(len(days))]
    bars = [DayView(date(2025, 12, 31), *span, status) for span in zip(starts, starts, days, strict=True)]
    monitor: MonitorConfig = a_monitor(tag, **fields)
    return MonitorView(monitor, current, {}, bars, since)


def a_snapshot(
    config: Config,
    *monitors: MonitorView,
    ongoing: Sequence[IncidentView] = (),
    upcoming: Sequence[IncidentView] = (),
    recent: Sequence[IncidentView] = (),
) -> Snapshot:
    """What else a snapshot has plays no part here."""
    by_tag = {view.monitor.tag: view for view in monitors}
    members = [Member(view.monitor.name, view.status, view.since or NOON) for view in monitors]
    parts = {"config": config, "now": NOON, "by_tag": by_tag, "headline": headline(members)}
    events = {"ongoing": ongoing, "upcoming": upcoming, "recent": recent}
    others: dict[str, Any] = dict.fromkeys(field.name for field in fields(Snapshot))
    return Snapshot(**(others | parts | events))


def an_incident(number: int = 1, at: int = NOON - HOUR, **fields: Any) -> Incident:
    return opened(number, {"title": "Disk full", "tags": ("earth",), **fields}, at)


def an_event(incident: Incident, *comments: Update, tags: Sequence[str] = ("earth",)) -> IncidentView:
    return IncidentView(incident, comments, tags)


def instant(text: str) -> int:
    return int(datetime.strptime(text, TIMESTAMP).replace(tzinfo=UTC).timestamp())


def only(found: Sequence[Document]) -> Document:
    (one,) = found
    return one


def check(found: Document, form: dict[str, Any]) -> None:
    """It has the fields of the form and no other, each of its type; every instant is written in full."""
    assert found.keys() == form.keys()
    for name, kind in form.items():
        assert isinstance(found[name], kind), name
        if name.endswith(("_at", "_for", "_until")) and found[name] is not None:
            instant(found[name])


# The page


def test_the_page_is_named_and_dated(config):
    page = document("status.json", a_snapshot(config), IDS, BASE)["page"]
    assert page == {
        "id": page["id"],
        "name": "Example",
        "url": BASE,
        "time_zone": "Europe/Berlin",
        "updated_at": "2025-12-31T12:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("statuses", "indicator", "description"),
    [
        ([], "none", "No data yet"),
        ([NO_DATA], "none", "1 of 1 monitors has not reported"),
        ([UP, UP], "none", "All Systems Operational"),
        ([UP, NO_DATA], "none", "1 of 2 monitors has not reported"),
        ([UP, MAINTENANCE], "maintenance", "Service Under Maintenance"),
        ([UP, MAINTENANCE, DEGRADED], "minor", "Partially Degraded Service"),
        ([UP, DEGRADED, DOWN], "major", "Partial System Outage"),
        ([DOWN, DOWN], "critical", "Major Service Outage"),
    ],
)
def test_the_worst_monitor_speaks_for_the_page(config, statuses, indicator, description):
    monitors = [shown(f"m{number}", status, known=UP) for number, status in enumerate(statuses)]
    found = document("status.json", a_snapshot(config, *monitors), IDS, BASE)
    assert found["status"] == {"indicator": indicator, "description": description}
    assert found.keys() == {"page", "status"}


# Components


def components(config: Config, *monitors: MonitorView) -> list[Document]:
    found: list[Document] = document("components.json", a_snapshot(config, *monitors), IDS, BASE)[
        "components"
    ]
    return found


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (UP, "operational"),
        (DEGRADED, "degraded_performance"),
        (DOWN, "major_outage"),
        (MAINTENANCE, "under_maintenance"),
    ],
)
def test_a_component_has_the_status_of_its_monitor(config, status, word):
    assert only(components(config, shown("earth", status)))["status"] == word


@pytest.mark.parametrize("heard", [None, NOON - 5 * HOUR])
@pytest.mark.parametrize("known", [UP, DOWN])
def test_a_monitor_without_current_data_is_no_component(config, known, heard):
    earth, mars = shown("earth", NO_DATA, known=known, heard=heard), shown("mars")
    assert [one["name"] for one in components(config, earth, mars)] == ["Mars"]


SEVERITIES = ["operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage"]
INDICATED = {"none": 0, "maintenance": 1, "minor": 2, "major": 4, "critical": 4}


@given(
    statuses=st.lists(st.sampled_from(Status), max_size=8),
    categories=st.lists(st.sampled_from(["", "Planets", "Moons"]), min_size=8, max_size=8),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_status_is_that_of_the_worst_component(config, statuses, categories):
    monitors = [
        shown(f"m{number}", status, category=category)
        for number, (status, category) in enumerate(zip(statuses, categories, strict=False))
    ]
    snapshot = a_snapshot(config, *monitors)
    whole, parts = (document(name, snapshot, IDS, BASE) for name in ("status.json", "components.json"))
    summary = document("summary.json", snapshot, IDS, BASE)
    assert (summary["status"], summary["components"]) == (whole["status"], parts["components"])

    found = [one["status"] for one in parts["components"] if not one["group"]]
    worst = max((SEVERITIES.index(status) for status in found), default=0)
    indicator, description = whole["status"]["indicator"], whole["status"]["description"]
    assert worst == INDICATED[indicator]
    assert (indicator == "critical") == (bool(statuses) and found == ["major_outage"] * len(statuses))
    is_well = found == ["operational"] * len(statuses) and found != []
    assert (description == "All Systems Operational") == is_well
    for group in (one for one in parts["components"] if one["group"]):
        members = [one["status"] for one in parts["components"] if one["id"] in group["components"]]
        worst_member = max(map(SEVERITIES.index, members))
        is_partial = worst_member == 4 and set(members) != {"major_outage"}
        assert SEVERITIES.index(group["status"]) == worst_member - is_partial


def test_a_component_was_updated_when_its_status_began_and_made_on_the_first_day_with_data(config):
    days = [NOTHING, Counts(up=1), NOTHING, Counts(up=9)]
    component = only(components(config, shown("earth", since=NOON - HOUR, days=days)))
    assert instant(component["updated_at"]) == NOON - HOUR
    assert instant(component["created_at"]) == MIDNIGHT - 2 * DAY


def test_a_component_is_never_updated_before_it_was_made(config):
    component = only(components(config, shown("earth", since=MIDNIGHT - DAY)))
    assert component["created_at"] == component["updated_at"] == "2025-12-30T00:00:00.000Z"


def test_a_component_that_only_has_a_default_status_is_as_old_as_the_snapshot(config):
    component = only(components(config, shown("earth", UP, heard=None)))
    assert instant(component["updated_at"]) == NOON


def test_categories_are_groups_that_stand_before_their_members(config):
    found = components(
        config,
        shown("io", category="Moons"),
        shown("earth", category="Planets"),
        shown("sun", description="A *star*"),
        shown("mars", category="Planets"),
    )
    assert [(one["name"], one["position"], one["group"]) for one in found] == [
        ("Sun", 1, False),
        ("Planets", 2, True),
        ("Earth", 1, False),
        ("Mars", 2, False),
        ("Moons", 3, True),
        ("Io", 1, False),
    ]
    sun, planets, earth, mars, moons, io = found
    assert planets["components"] == [earth["id"], mars["id"]]
    assert [one["group_id"] for one in found] == [None, None, planets["id"], planets["id"], None, moons["id"]]
    assert io["id"] in moons["components"]
    assert (sun["description"], planets["description"], moons["description"]) == (
        "A star",
        "The big ones",
        None,
    )


@pytest.mark.parametrize(
    ("statuses", "word"),
    [
        ([UP, UP], "operational"),
        ([UP, MAINTENANCE], "under_maintenance"),
        ([UP, DEGRADED], "degraded_performance"),
        ([UP, DOWN], "partial_outage"),
        ([DOWN, DOWN], "major_outage"),
    ],
)
def test_the_worst_member_speaks_for_its_group(config, statuses, word):
    members = [shown(f"m{number}", status, category="Moons") for number, status in enumerate(statuses)]
    assert components(config, *members)[0]["status"] == word


def test_a_group_of_which_nothing_was_heard_is_left_out(config):
    assert components(config, shown("io", NO_DATA, heard=None, category="Moons")) == []


def test_ids_are_short_stay_the_same_and_differ(config):
    names = ["earth", "mars", "Planets"]
    monitors = [shown(name) for name in names[:2]] + [shown("Planets", category="Planets")]
    found = [one["id"] for one in components(config, *monitors)]
    assert found == [one["id"] for one in components(config, *monitors)]
    assert len(set(found)) == 4
    assert all(len(one) == 12 and one.isalnum() for one in found)


# Incidents


def incidents(config: Config, *events: IncidentView, monitors: Sequence[MonitorView] = ()) -> list[Document]:
    snapshot = a_snapshot(config, *(monitors or (shown("earth"), shown("mars"))), ongoing=events)
    found: list[Document] = document("incidents.json", snapshot, IDS, BASE)["incidents"]
    return found


def test_an_incident_has_its_times_and_components(config):
    incident = an_incident(7, start=NOON - 2 * HOUR)
    found = only(incidents(config, an_event(incident, Update(3, "Looking.", NOON - 60, NOON - 60))))
    assert found["name"] == "Disk full"
    assert found["status"] == "investigating"
    assert found["shortlink"] == f"{BASE}/incident/7"
    assert instant(found["created_at"]) == NOON - HOUR
    assert instant(found["started_at"]) == NOON - 2 * HOUR
    assert instant(found["updated_at"]) == NOON - 60
    assert found["resolved_at"] is None
    assert only(found["components"])["name"] == "Earth"


def test_a_resolved_incident_says_when(config):
    closed = edited(an_incident(), {"is_resolved": True}, NOON - 60)
    snapshot = a_snapshot(config, shown("earth"), recent=[an_event(closed)])
    found = only(document("incidents.json", snapshot, IDS, BASE)["incidents"])
    assert found["status"] == "resolved"
    assert instant(found["resolved_at"]) == NOON - 60
    assert document("incidents/unresolved.json", snapshot, IDS, BASE)["incidents"] == []
    assert document("summary.json", snapshot, IDS, BASE)["incidents"] == []


@pytest.mark.parametrize(
    ("impact", "tags", "word"),
    [
        (None, ("earth",), "none"),
        (DEGRADED, ("earth", "mars"), "minor"),
        (DOWN, ("earth",), "major"),
        (DOWN, ("earth", "mars"), "critical"),
    ],
)
def test_the_impact_is_what_the_incident_alone_would_make_of_the_page(config, impact, tags, word):
    monitors = [shown("earth"), shown("mars", DOWN)]
    event = an_event(an_incident(impact=impact), tags=tags)
    assert only(incidents(config, event, monitors=monitors))["impact"] == word


def test_updates_are_the_comments_newest_first_and_last_the_body(config):
    incident = an_incident(body="The disk is **full**.", impact=DEGRADED)
    event = an_event(
        incident, Update(1, "Looking.", NOON - 120, NOON - 120), Update(2, "Found.", NOON - 60, NOON - 60)
    )
    updates = only(incidents(config, event))["incident_updates"]
    assert [one["body"] for one in updates] == ["Found.", "Looking.", "The disk is **full**."]
    assert [instant(one["display_at"]) for one in updates] == [NOON - 60, NOON - 120, NOON - HOUR]
    assert len({one["id"] for one in updates}) == 3


def test_an_incident_without_a_body_begins_with_its_title(config):
    assert only(only(incidents(config, an_event(an_incident())))["incident_updates"])["body"] == "Disk full"


def test_an_update_names_the_components_and_what_the_incident_makes_of_them(config):
    found = only(incidents(config, an_event(an_incident(impact=DEGRADED))))
    assert only(only(found["incident_updates"])["affected_components"]) == {
        "code": only(found["components"])["id"],
        "name": "Earth",
        "old_status": "degraded_performance",
        "new_status": "degraded_performance",
    }


def test_an_update_has_the_stage_of_its_time(config):
    closed = edited(an_incident(), {"is_resolved": True}, NOON - 60)
    event = an_event(
        closed, Update(1, "Looking.", NOON - 120, NOON - 120), Update(2, "Done.", NOON - 60, NOON - 60)
    )
    updates = only(incidents(config, event))["incident_updates"]
    assert [one["status"] for one in updates] == ["resolved", "investigating", "investigating"]


def test_a_monitor_that_is_no_component_is_not_among_those_of_an_incident(config):
    monitors = [shown("earth", NO_DATA, heard=None), shown("mars")]
    event = an_event(an_incident(), tags=("earth", "mars"))
    assert [one["name"] for one in only(incidents(config, event, monitors=monitors))["components"]] == [
        "Mars"
    ]


def test_the_fifty_newest_incidents_are_listed(config):
    events = [an_event(an_incident(number, NOON - number)) for number in range(1, 61)]
    maintenance = [an_event(an_incident(number, NOON, is_maintenance=True)) for number in range(61, 121)]
    found = [instant(one["created_at"]) for one in incidents(config, *maintenance, *events)]
    assert found == [NOON - number for number in range(1, 51)]


# Maintenance


def maintenance_in(name: str, snapshot: Snapshot) -> list[str]:
    return [one["name"] for one in document(name, snapshot, IDS, BASE)["scheduled_maintenances"]]


def test_maintenance_is_scheduled_then_in_progress_then_completed(config):
    planned: dict[str, Any] = {"is_maintenance": True, "impact": DOWN}
    snapshot = a_snapshot(
        config,
        shown("earth"),
        upcoming=[an_event(an_incident(3, title="next", start=NOON + HOUR, **planned))],
        ongoing=[an_event(an_incident(2, title="now", end=NOON + HOUR, **planned))],
        recent=[an_event(an_incident(1, NOON - DAY, title="past", end=NOON - HOUR, **planned))],
    )
    found = document("scheduled-maintenances.json", snapshot, IDS, BASE)["scheduled_maintenances"]
    assert [(one["name"], one["status"], one["impact"]) for one in found] == [
        ("next", "scheduled", "maintenance"),
        ("now", "in_progress", "maintenance"),
        ("past", "completed", "maintenance"),
    ]
    assert maintenance_in("scheduled-maintenances/upcoming.json", snapshot) == ["next"]
    assert maintenance_in("scheduled-maintenances/active.json", snapshot) == ["now"]
    assert maintenance_in("summary.json", snapshot) == ["next", "now"]
    assert document("incidents.json", snapshot, IDS, BASE)["incidents"] == []


@pytest.mark.parametrize("end", [NOON + 2 * HOUR, None])
def test_maintenance_has_its_planned_times(config, end):
    event = an_event(an_incident(is_maintenance=True, start=NOON + HOUR, end=end))
    snapshot = a_snapshot(config, shown("earth"), upcoming=[event])
    found = only(document("summary.json", snapshot, IDS, BASE)["scheduled_maintenances"])
    assert instant(found["scheduled_for"]) == NOON + HOUR
    until = found["scheduled_until"]
    assert (until if until is None else instant(until)) == end


def test_a_future_incident_is_not_listed_yet(config):
    snapshot = a_snapshot(config, shown("earth"), upcoming=[an_event(an_incident(start=NOON + HOUR))])
    found = document("summary.json", snapshot, IDS, BASE)
    assert found["incidents"] == found["scheduled_maintenances"] == []


# The form


@pytest.fixture
def everything(config: Config) -> Snapshot:
    comment = Update(1, "Looking.", NOON - 60, NOON - 60)
    return a_snapshot(
        config,
        shown("earth", DOWN, category="Planets", since=NOON - HOUR),
        shown("mars", NO_DATA, known=UP, description="Red"),
        ongoing=[
            an_event(an_incident(1, impact=DOWN), comment),
            an_event(an_incident(2, is_maintenance=True), comment),
        ],
        upcoming=[an_event(an_incident(3, is_maintenance=True, start=NOON + HOUR, end=NOON + 2 * HOUR))],
        recent=[an_event(edited(an_incident(4), {"is_resolved": True}, NOON - 60))],
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_has_all_fields_of_the_form_and_no_other(everything, name):
    found = document(name, everything, IDS, BASE)
    page = found["page"]["id"]
    events = found.get("incidents", []) + found.get("scheduled_maintenances", [])
    for component in found.get("components", []) + [one for event in events for one in event["components"]]:
        check(component, COMPONENT | ({"components": list} if component["group"] else {}))
    for incident in found.get("incidents", []):
        check(incident, INCIDENT)
    for one in found.get("scheduled_maintenances", []):
        check(one, MAINTENANCES)
    for event in events:
        assert event["page_id"] == page
        for update in event["incident_updates"]:
            check(update, UPDATE)
            assert update["incident_id"] == event["id"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_survives_json(everything, name):
    found = document(name, everything, IDS, BASE)
    assert orjson.loads(orjson.dumps(found)) == found


def test_the_summary_is_made_of_what_the_other_documents_say(everything):
    summary = document("summary.json", everything, IDS, BASE)
    assert summary.keys() == {"page", "status", "components", "incidents", "scheduled_maintenances"}
    assert summary["page"] == document("status.json", everything, IDS, BASE)["page"]
    assert summary["status"] == document("status.json", everything, IDS, BASE)["status"]
    assert summary["components"] == document("components.json", everything, IDS, BASE)["components"]
    assert summary["incidents"] == document("incidents/unresolved.json", everything, IDS, BASE)["incidents"]
    assert [one["status"] for one in summary["scheduled_maintenances"]] == ["scheduled", "in_progress"]
