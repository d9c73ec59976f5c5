"""The number of queries does not grow with the number of rows that they load."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kener_async.domain.alerts import Alert, Severity
from kener_async.domain.batches import Batch, Item, parts
from kener_async.domain.checks import Attempt, SeenCertificate
from kener_async.domain.clocks import Stamp
from kener_async.domain.groups import GroupSettings
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.notices import Facts, NoticeKind
from kener_async.domain.samples import Sample, Status
from kener_async.store import (
    alert_lists,
    alerts,
    batches,
    certificates,
    check_faults,
    deliveries,
    devices,
    dirty,
    incident_lists,
    incidents,
    layers,
    monitor_lists,
    monitors,
    notices,
    observer,
    quarters,
    rollups,
    samples,
    settling,
)
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.upgrade import prepare
from tests.rigs.database import record_batch

NOON = 1_700_000_040 // 900 * 900
DAY = 86_400
LIMITS = batches.IngestLimits(60, 90)
SETTINGS = {f"monitor-{number}": MonitorSettings() for number in range(50)}


@pytest.fixture(params=[1, 50])
def rows(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    prepare(tmp_path / "kener.db")
    with closing(connect(tmp_path / "kener.db", synchronous="OFF")) as connection:
        observer.begin(connection, NOON - DAY, 400 * DAY)
        monitors.register(connection, SETTINGS, NOON - DAY)
        yield connection


def queries(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Any]) -> list[str]:
    """The queries of the work; a write is one statement for each row."""
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    work(connection)
    connection.set_trace_callback(None)
    return [text for text in statements if text.split()[0] in ("SELECT", "WITH")]


def opened(connection: sqlite3.Connection, count: int) -> None:
    for number in range(count):
        fields = {"title": "x", "tags": tuple(SETTINGS)[: number % 3 + 1], "start": NOON + number}
        incident = incidents.add(connection, fields, NOON)
        incidents.remark(connection, incident.number, "y", NOON)


def batch(count: int, sequence: int = 5) -> Batch:
    """From as many devices, each with a number that leaves a hole, so that it has claims afterwards."""
    items = [
        Item(f"device-{number}", sequence, number + 1, stamp=Stamp(wall=NOON)) for number in range(count)
    ]
    return Batch("site", None, Stamp(), NOON, items)


@pytest.mark.parametrize(
    "read",
    [
        partial(incident_lists.search, criteria=incident_lists.Search(False, limit=100), now=NOON),
        partial(incident_lists.current, closed_after=NOON - DAY),
        partial(incident_lists.overlapping, start=NOON, end=NOON + DAY),
    ],
    ids=["search", "current", "overlapping"],
)
def test_incidents_are_read_with_their_tags_and_comments(
    connection: sqlite3.Connection, rows: int, read: Callable[[sqlite3.Connection], Any]
):
    opened(connection, rows)
    assert len(read(connection)) == rows
    assert len(queries(connection, read)) <= 3


def test_devices_are_listed(connection: sqlite3.Connection, rows: int):
    record_batch(connection, batch(rows), LIMITS)
    assert [device.missing for device in devices.summaries(connection)] == [0] * rows
    assert len(queries(connection, devices.summaries)) == 3


def test_a_batch_of_many_devices_is_recorded(connection: sqlite3.Connection, rows: int):
    record_batch(connection, batch(rows), LIMITS)
    dirty.mark_closed(connection, NOON + DAY)  # so that the batch is late, and quarters are marked
    again = queries(connection, lambda connection: record_batch(connection, batch(rows, 7), LIMITS))
    assert len(again) == 9 * len(parts(batch(rows).items)), again


def test_monitors_are_registered(connection: sqlite3.Connection, rows: int):
    settings = {tag: MonitorSettings(stale_after=60) for tag in tuple(SETTINGS)[:rows]}
    assert len(queries(connection, lambda connection: monitors.register(connection, settings, NOON))) == 3


def test_a_group_is_read_with_its_members(connection: sqlite3.Connection, rows: int):
    group = MonitorSettings(group=GroupSettings(tuple(SETTINGS)[:rows]))
    ids = monitors.register(connection, SETTINGS | {"group": group}, NOON - DAY)
    batch = [Sample(ids[tag], NOON, Status.UP, 0.1) for tag in SETTINGS]
    samples.record(connection, batch)
    assert len(layers.load(connection, ids["group"], NOON, NOON + 900).related) == rows
    read = queries(connection, lambda session: layers.load(session, ids["group"], NOON, NOON + 900))
    assert len(read) == 11, read


def test_the_layers_of_several_monitors_are_read_as_those_of_one(connection: sqlite3.Connection, rows: int):
    ids = monitors.register(connection, SETTINGS, NOON - DAY)
    chosen = list(ids.values())[:rows]
    for minute in (NOON - 7200, NOON + 60):
        samples.record(connection, [Sample(monitor, minute, Status.UP, 0.1) for monitor in chosen])

    loaded = layers.load_many(connection, chosen, NOON, NOON + 900)
    assert loaded == {one: layers.load(connection, one, NOON, NOON + 900) for one in chosen}
    read = queries(connection, lambda session: layers.load_many(session, chosen, NOON, NOON + 900))
    assert len(read) == len(
        queries(connection, lambda session: layers.load(session, chosen[0], NOON, NOON + 900))
    )


def test_a_quarter_of_many_monitors_is_counted_in_as_many_statements_as_that_of_one(
    connection: sqlite3.Connection, rows: int
):
    ids = list(monitors.register(connection, SETTINGS, NOON - DAY).values())
    end = NOON + 900
    dirty.mark_closed(connection, NOON)
    dirty.unmark_many(connection, ids, 0, end)
    for number, monitor in enumerate(ids):
        minute = NOON + number % 15 * 60
        status = list(Status)[number % 3]
        samples.record(connection, [Sample(monitor, minute, status, 0.25)])
    dirty.mark_closed(connection, end)

    def settle(some: list[int]) -> tuple[object, object]:
        return settling.settle_together(connection, some, (0, end), end)

    one = queries(connection, lambda session: settle(ids[-1:]))
    several = queries(connection, lambda session: settle(ids[:rows]))
    assert len(several) == len(one)
    assert dirty.spans_of(connection, ids[:rows], 0, end) == {}
    assert settle(ids[:rows]) == ([], [])

    together = {one: quarters.by_start(connection, one, NOON, end) for one in ids[:rows]}
    for monitor in ids[:rows]:
        dirty.mark(connection, [(monitor, NOON, end)])
        assert rollups.settle(connection, monitor, (0, end), end, 96) == ([(NOON, end)], True)
    assert together == {one: quarters.by_start(connection, one, NOON, end) for one in ids[:rows]}
    assert rollups.count_windows(connection, ids[:rows], (NOON - 900, end), end) == {
        one: rollups.count_window(connection, one, (NOON - 900, end), end) for one in ids[:rows]
    }


def test_late_reports_of_members_mark_their_groups_at_once(connection: sqlite3.Connection, rows: int):
    group = MonitorSettings(group=GroupSettings(tuple(SETTINGS)[:rows]))
    ids = monitors.register(connection, SETTINGS | {"group": group}, NOON - DAY)
    dirty.mark_closed(connection, NOON + DAY)
    connection.execute("DELETE FROM dirty")
    batch = [Sample(ids[tag], NOON, Status.UP, 0.1) for tag in tuple(SETTINGS)[:rows]]
    assert len(queries(connection, lambda session: samples.record(session, batch))) == 4
    assert dirty.spans(connection, ids["group"], NOON, NOON + 900)


def alerted(connection: sqlite3.Connection, count: int) -> None:
    for number in range(1, count + 1):
        alert = alerts.add(connection, Alert(0, number, "down", Severity.CRITICAL, NOON, NOON, incident=1))
        notices.add(connection, NoticeKind.OPENED, NOON, alert.id, 1, Facts(), ["chat"], NOON)


@pytest.mark.parametrize(
    "read",
    [
        alerts.all_open,
        partial(alerts.open_of, monitors=range(1, 51)),
        partial(alerts.of_incident, incident=1),
        partial(alerts.search, criteria=alerts.AlertSearch()),
        partial(notices.of_alerts, alerts=range(1, 51)),
        deliveries.waiting,
        partial(deliveries.of_notices, numbers=range(1, 51)),
        partial(deliveries.search, criteria=deliveries.DeliverySearch()),
    ],
    ids=[
        "open",
        "open of",
        "of an incident",
        "search",
        "notices",
        "waiting",
        "of notices",
        "deliveries",
    ],
)
def test_alerts_and_what_is_told_of_them_are_read_at_once(
    connection: sqlite3.Connection, rows: int, read: Callable[[sqlite3.Connection], Any]
):
    alerted(connection, rows)
    found = read(connection)
    assert len([one for one in found if not isinstance(found, dict) or found[one]]) == rows
    assert len(queries(connection, read)) == 1


def test_lists_of_screens_are_read_with_as_many_queries_as_for_one_row(
    connection: sqlite3.Connection, rows: int
):
    alerted(connection, rows)
    for number in range(1, rows + 1):
        check_faults.add(connection, number, [Attempt(NOON - 1, Status.DOWN), Attempt(NOON, Status.DOWN)])
    query = alert_lists.AlertListQuery("open", None)
    assert len(alert_lists.load(connection, query).alerts) == rows
    assert len(queries(connection, partial(alert_lists.load, query=query))) == 2
    monitors_of_page = range(1, rows + 1)
    listed = monitor_lists.load(connection, monitors_of_page)
    assert {number: fault.at for number, fault in listed.faults.items()} == dict.fromkeys(
        monitors_of_page, NOON
    )
    assert len(queries(connection, partial(monitor_lists.load, monitors=monitors_of_page))) == 2


def test_certificates_of_many_monitors_and_faults_of_one_are_read(connection: sqlite3.Connection, rows: int):
    for number in range(1, rows + 1):
        seen = SeenCertificate(bytes([number]), "CN=x", "CN=y", NOON)
        certificates.note(connection, number, [seen], NOON)
        check_faults.add(connection, 1, [Attempt(NOON + number, Status.DOWN)])
    read = partial(certificates.of, monitors=range(1, rows + 1))
    assert len(read(connection)) == len(check_faults.recent(connection, 1, 100)) == rows
    assert len(queries(connection, read)) == 1
    assert len(queries(connection, partial(check_faults.recent, monitor=1, limit=100))) == 1
