"""Alerts, notices, deliveries and the states of channels, as they are stored and found again."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kener_async.domain.alerts import Alert, Closing, Severity
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.notices import ChannelState, Delivery, DeliveryState, Facts, Notice, NoticeKind
from kener_async.domain.samples import Status
from kener_async.store import (
    alerts,
    channel_states,
    deliveries,
    incidents,
    monitors,
    notices,
    observer,
    retention,
)
from kener_async.store.admin import old_news
from kener_async.store.alerts import AlertSearch
from kener_async.store.deliveries import DeliverySearch
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.upgrade import prepare
from tests.rigs.service import NOON

HOUR = 3600
DATA = Path(__file__).parent / "data"
EARTH, MARS, PHOBOS = 1, 2, 3


@pytest.fixture
def session(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    prepare(tmp_path / "kener.db")
    with closing(connect(tmp_path / "kener.db", synchronous="OFF")) as connection:
        observer.begin(connection, NOON, HOUR)
        monitors.register(connection, {tag: MonitorSettings() for tag in ("earth", "mars", "phobos")}, NOON)
        yield connection


def an_alert(monitor: int = EARTH, rule: str = "down", opened_at: int = NOON, **fields: Any) -> Alert:
    return replace(Alert(0, monitor, rule, Severity.CRITICAL, opened_at - 60, opened_at), **fields)


def closed(alert: Alert, closing: Closing = Closing.RESOLVED) -> Alert:
    return replace(alert, until=alert.opened_at + 60, closed_at=alert.opened_at + 120, closing=closing)


EVERYTHING = Alert(
    id=0,
    monitor=EARTH,
    rule="slow",
    severity=Severity.WARNING,
    since=NOON - 300,
    opened_at=NOON,
    told_at=NOON + 1,
    reminders=2,
    reminded_at=NOON + 2,
    because=MARS,
    is_flapping=True,
    settled_at=NOON + 3,
    acknowledged_at=NOON + 4,
    acknowledged_by="Eve",
    acknowledged_from="192.0.2.1",
    snoozed_until=NOON + 5,
    incident=7,
    until=NOON + 6,
    closed_at=NOON + 7,
    closing=Closing.RETRACTED,
)


# Alerts


@pytest.mark.parametrize("alert", [an_alert(), EVERYTHING], ids=["quiet", "everything"])
def test_an_alert_is_read_as_it_was_stored(session: sqlite3.Connection, alert: Alert):
    stored = alerts.add(session, alert)
    assert alerts.get(session, stored.id) == stored == replace(alert, id=stored.id)
    other = replace(EVERYTHING, id=stored.id, closing=Closing.REMOVED, monitor=alert.monitor)
    alerts.change(session, other)
    assert alerts.get(session, stored.id) == other


def test_one_that_is_not_stored_is_not_found(session: sqlite3.Connection):
    with pytest.raises(NotFound):
        alerts.get(session, 1)
    with pytest.raises(NotFound):
        deliveries.get(session, 1)


def test_only_one_alert_of_a_monitor_and_a_rule_is_open(session: sqlite3.Connection):
    first = alerts.add(session, an_alert())
    with pytest.raises(sqlite3.IntegrityError):
        alerts.add(session, an_alert())
    other = alerts.add(session, an_alert(rule="slow"))
    alerts.change(session, closed(first))
    again = alerts.add(session, an_alert(opened_at=NOON + HOUR))
    elsewhere = alerts.add(session, an_alert(MARS))
    assert alerts.open_of(session, [EARTH]) == [other, again]
    assert alerts.open_of(session, [PHOBOS, MARS]) == [elsewhere]
    assert alerts.open_of(session, []) == []
    assert alerts.all_open(session) == [other, again, elsewhere]
    assert alerts.count_open(session) == {Severity.CRITICAL: 3}


RECENT: Sequence[tuple[str, Sequence[tuple[int, bool, int | None]], Sequence[int]]] = [
    ("those of the hour, and the one before",
     [(-9000, False, None), (-4000, False, None), (-30, False, None)], [-4000, -30]),
    ("the newest, however old", [(-9000, False, None), (-8000, False, None)], [-8000]),
    ("one flapping that did not settle, from its begin",
     [(-9000, False, None), (-8000, True, None), (-5000, True, None)], [-9000, -8000, -5000]),
    ("no flapping that settled",
     [(-9000, True, -8000), (-7000, True, -6000), (-5, False, None)], [-7000, -5]),
    ("nothing of others", [], []),
]  # fmt: skip


@pytest.mark.parametrize(("opened", "expected"), [row[1:] for row in RECENT], ids=[row[0] for row in RECENT])
def test_the_closed_alerts_that_a_rule_looks_at(
    session: sqlite3.Connection, opened: Sequence[tuple[int, bool, int | None]], expected: Sequence[int]
):
    alerts.add(session, closed(an_alert(MARS, opened_at=NOON - 5)))
    alerts.add(session, closed(an_alert(rule="slow", opened_at=NOON - 5)))
    for at, is_flapping, settled in opened:
        settled_at = None if settled is None else NOON + settled
        alerts.add(
            session, closed(an_alert(opened_at=NOON + at, is_flapping=is_flapping, settled_at=settled_at))
        )
    alerts.add(session, an_alert())
    recent = alerts.recent_of(session, EARTH, "down", NOON - HOUR)
    assert [alert.opened_at - NOON for alert in recent] == expected


def test_what_flaps_without_end_is_looked_at_to_a_limit(session: sqlite3.Connection):
    for number in range(alerts.RECENT_AT_MOST + 5):
        alerts.add(session, closed(an_alert(opened_at=NOON + number, is_flapping=True)))
    recent = alerts.recent_of(session, EARTH, "down", NOON + HOUR)
    assert [recent[0].opened_at, recent[-1].opened_at] == [NOON + 5, NOON + alerts.RECENT_AT_MOST + 4]


SEARCHES: Sequence[tuple[AlertSearch, Sequence[int]]] = [
    (AlertSearch(), [4, 3, 2, 1]),
    (AlertSearch(is_open=True), [4, 2]),
    (AlertSearch(is_open=False), [3, 1]),
    (AlertSearch(monitors=[EARTH]), [3, 2, 1]),
    (AlertSearch(monitors=[]), []),
    (AlertSearch(before=3), [2, 1]),
    (AlertSearch(limit=1), [4]),
    (AlertSearch(is_open=False, monitors=[EARTH, MARS], before=3), [1]),
]


@pytest.mark.parametrize(("criteria", "expected"), SEARCHES)
def test_alerts_are_searched_newest_first(
    session: sqlite3.Connection, criteria: AlertSearch, expected: Sequence[int]
):
    for alert in (closed(an_alert()), an_alert(rule="slow"), closed(an_alert()), an_alert(MARS)):
        alerts.add(session, alert)
    assert [alert.id for alert in alerts.search(session, criteria)] == expected


def test_the_alerts_of_an_incident(session: sqlite3.Connection):
    alerts.add(session, an_alert())
    joined = [alerts.add(session, an_alert(monitor, incident=7)) for monitor in (MARS, PHOBOS)]
    assert alerts.of_incident(session, 7) == joined


def test_an_acknowledgement_is_of_all_open_alerts_of_the_monitor_and_the_first_counts(
    session: sqlite3.Connection,
):
    down, slow = alerts.add(session, an_alert()), alerts.add(session, an_alert(rule="slow"))
    over, other = alerts.add(session, closed(an_alert(rule="old"))), alerts.add(session, an_alert(MARS))
    known = alerts.acknowledge(session, EARTH, NOON + 9, "Eve", "192.0.2.1")
    facts: dict[str, Any] = {
        "acknowledged_at": NOON + 9,
        "acknowledged_by": "Eve",
        "acknowledged_from": "192.0.2.1",
    }
    assert known == [replace(down, **facts), replace(slow, **facts)]
    assert [alerts.get(session, alert.id) for alert in (over, other)] == [over, other]
    assert alerts.acknowledge(session, EARTH, NOON + 10, "Bob", "") == []
    assert alerts.open_of(session, [EARTH]) == known


def test_the_newest_of_a_snooze_and_an_acknowledgement_counts(session: sqlite3.Connection):
    alerts.add(session, an_alert())
    (alert,) = alerts.snooze(session, EARTH, NOON + HOUR, "Eve", "terminal")
    assert (alert.snoozed_until, alert.acknowledged_at, alert.acknowledged_by) == (NOON + HOUR, None, "Eve")
    (alert,) = alerts.acknowledge(session, EARTH, NOON + 5, "Bob", "terminal")
    assert (alert.snoozed_until, alert.acknowledged_at, alert.acknowledged_by) == (None, NOON + 5, "Bob")
    (alert,) = alerts.snooze(session, EARTH, NOON + 60, "Eve", "terminal")
    assert (alert.snoozed_until, alert.acknowledged_at, alert.acknowledged_by) == (NOON + 60, None, "Eve")


# Notices and deliveries

FACTS = Facts(monitor="earth", rule="down", status=Status.DOWN, since=NOON, reason="näh \ud83d")


def told(session: sqlite3.Connection, *channels: str, due_at: float = NOON, alert: int | None = 1) -> Notice:
    return notices.add(session, NoticeKind.OPENED, NOON, alert, None, FACTS, channels, due_at)


def states(session: sqlite3.Connection) -> list[DeliveryState]:
    return [delivery.state for delivery in reversed(deliveries.search(session, DeliverySearch()))]


def test_a_notice_is_stored_with_one_delivery_for_each_channel(session: sqlite3.Connection):
    notice = told(session, "chat", "mail", "chat", due_at=NOON + 0.25)
    assert deliveries.waiting(session) == [
        Delivery(number, notice, channel, DeliveryState.DUE, 0, NOON + 0.25)
        for number, channel in ((1, "chat"), (2, "mail"))
    ]
    notices.send_to(session, notice.id, ["mail", "pager"], NOON + 600)
    added = [(one.channel, one.due_at) for one in deliveries.of_notices(session, [notice.id])]
    assert added == [("chat", NOON + 0.25), ("mail", NOON + 0.25), ("pager", NOON + 600)]


def test_the_facts_of_a_notice_are_read_as_they_were(session: sqlite3.Connection):
    told(session)
    other = notices.add(session, NoticeKind.CHANNEL_PAUSED, NOON, None, 3, Facts(channel="mail"), [], NOON)
    assert (other.kind, other.alert, other.incident) == (NoticeKind.CHANNEL_PAUSED, None, 3)
    (first,) = notices.of_alerts(session, [1, 2])[1]
    assert first.facts == FACTS
    assert notices.of_alerts(session, [2]) == {2: []}
    bodies = [json.loads(body) for (body,) in session.execute("SELECT body FROM notices ORDER BY id")]
    assert bodies[1] == {"channel": "mail"}


def sent(session: sqlite3.Connection) -> None:
    deliveries.mark_sent(session, [1], NOON + 1, "200 OK", "m-1")


def failed(session: sqlite3.Connection) -> None:
    deliveries.mark_failed(session, [1], NOON + 1, "404")


def merged(session: sqlite3.Connection) -> None:
    deliveries.merge(session, [1], 2, NOON + 1)


def dropped(session: sqlite3.Connection) -> None:
    deliveries.drop(session, [1], NOON + 1, "overtaken")


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (sent, {"state": DeliveryState.SENT, "answer": "200 OK", "reference": "m-1"}),
        (failed, {"state": DeliveryState.FAILED, "answer": "404"}),
        (merged, {"state": DeliveryState.MERGED, "merged_into": 2}),
        (dropped, {"state": DeliveryState.DROPPED, "answer": "overtaken"}),
    ],
)
def test_what_is_done_waits_no_more_until_it_is_sent_again(
    session: sqlite3.Connection, act: Callable[[sqlite3.Connection], None], expected: dict[str, Any]
):
    told(session, "chat", "mail")
    before, other = deliveries.waiting(session)
    deliveries.mark_sending(session, [1])
    with pytest.raises(Invalid):
        deliveries.send_again(session, 1, NOON + 2)
    assert deliveries.waiting(session) == [
        replace(before, state=DeliveryState.SENDING, attempts=1),
        other,
    ]
    act(session)
    assert deliveries.get(session, 1) == replace(before, attempts=1, done_at=NOON + 1, **expected)
    assert deliveries.waiting(session) == [other]
    reference = expected.get("reference", "")
    assert deliveries.send_again(session, 1, NOON + 2) == replace(
        before, due_at=NOON + 2, reference=reference
    )


def test_a_delivery_that_was_not_taken_is_due_later(session: sqlite3.Connection):
    told(session, "chat")
    deliveries.mark_sending(session, [1])
    deliveries.postpone(session, [1], NOON + 5.5, "503")
    (delivery,) = deliveries.waiting(session)
    assert (delivery.state, delivery.attempts, delivery.due_at, delivery.answer) == (
        DeliveryState.DUE, 1, NOON + 5.5, "503",
    )  # fmt: skip


def test_the_name_of_the_first_message_of_an_alert_in_a_channel(session: sqlite3.Connection):
    for alert in (1, 1, 2, None):
        told(session, "chat", "pager", alert=alert)
    for number in range(1, 9):
        deliveries.mark_sent(session, [number], NOON, "", f"m-{number}")
    assert deliveries.references(session, "chat", [1, 2, 3]) == {1: "m-1", 2: "m-5"}
    assert deliveries.references(session, "pager", [1]) == {1: "m-2"}


DELIVERY_SEARCHES: Sequence[tuple[DeliverySearch, Sequence[int]]] = [
    (DeliverySearch(), [4, 3, 2, 1]),
    (DeliverySearch(states=[DeliveryState.FAILED]), [1]),
    (DeliverySearch(states=[DeliveryState.DUE, DeliveryState.SENDING]), [4, 3, 2]),
    (DeliverySearch(states=[]), []),
    (DeliverySearch(channel="mail"), [4, 2]),
    (DeliverySearch(before=3, limit=1), [2]),
]


@pytest.mark.parametrize(("criteria", "expected"), DELIVERY_SEARCHES)
def test_deliveries_are_searched_newest_first(
    session: sqlite3.Connection, criteria: DeliverySearch, expected: Sequence[int]
):
    told(session, "chat", "mail", alert=1)
    told(session, "chat", "mail", alert=2)
    deliveries.mark_failed(session, [1], NOON, "404")
    assert [one.id for one in deliveries.search(session, criteria)] == expected


def test_what_failed_lately(session: sqlite3.Connection):
    told(session, "chat", "mail", "pager")
    for number, instant in ((1, NOON - 1), (2, NOON), (3, NOON + 1)):
        deliveries.mark_failed(session, [number], instant, "404")
    assert [one.channel for one in deliveries.failed_since(session, NOON)] == ["pager", "mail"]


# Channels


def test_the_state_of_a_channel(session: sqlite3.Connection):
    assert channel_states.get(session, "mail") == ChannelState("mail")
    channel_states.note_fault(session, "mail", "503", for_good=False)
    channel_states.note_fault(session, "mail", "404", for_good=True)
    state = channel_states.note_fault(session, "mail", "410", for_good=True)
    assert state == ChannelState("mail", failures=2, last_fault="410")
    channel_states.pause(session, "mail", NOON)
    channel_states.pause(session, "mail", NOON + 5)
    assert channel_states.get(session, "mail") == replace(state, paused_at=NOON)
    channel_states.resume(session, "mail")
    assert channel_states.get(session, "mail") == replace(state, failures=0)
    channel_states.pause(session, "chat", NOON)
    channel_states.note_sent(session, "chat", NOON + 9)
    assert channel_states.all_states(session) == {
        "mail": replace(state, failures=0),
        "chat": ChannelState("chat", last_sent=NOON + 9),
    }


# Retention


def delete_until_done(session: sqlite3.Connection, instant: int, limit: int = 100) -> int:
    steps = 1
    while retention.delete_alerts(session, instant, limit):
        steps += 1
    return steps


def left(session: sqlite3.Connection) -> tuple[list[int], list[int], list[int]]:
    """The ids of the alerts, notices and deliveries that are there."""
    tables = ("alerts", "notices", "deliveries")
    alert_ids, notice_ids, delivery_ids = (
        [number for (number,) in session.execute(f"SELECT id FROM {table} ORDER BY id")] for table in tables
    )
    return alert_ids, notice_ids, delivery_ids


def test_what_is_old_and_done_with_is_deleted_and_nothing_else(session: sqlite3.Connection):
    over, still_open, waits, lately, _quiet = (
        alerts.add(session, alert)
        for alert in (
            closed(an_alert()),
            an_alert(rule="open"),
            closed(an_alert(rule="waits")),
            closed(an_alert(rule="lately")),
            closed(an_alert(rule="quiet")),
        )
    )
    for alert in (over, still_open, waits, lately):
        told(session, "chat", alert=alert.id)
    told(session, "chat", alert=None)
    for number, instant in ((1, NOON), (2, NOON), (4, NOON + HOUR), (5, NOON)):
        deliveries.mark_sent(session, [number], instant, "")
    delete_until_done(session, NOON + 600)
    assert left(session) == ([still_open.id, waits.id, lately.id], [2, 3, 4], [2, 3, 4])
    deliveries.mark_failed(session, [3], NOON + HOUR, "gone")
    alerts.change(session, closed(still_open))
    delete_until_done(session, NOON + HOUR + 1)
    assert left(session) == ([], [], [])


def test_an_alert_that_opened_before_the_clock_was_set_back_goes_by_when_it_closed(
    session: sqlite3.Connection,
):
    alerts.add(session, closed(an_alert(opened_at=NOON + HOUR)))
    alerts.add(session, closed(an_alert(opened_at=NOON)))
    delete_until_done(session, NOON + HOUR)
    assert left(session)[0] == [1]


def test_deletions_go_in_small_steps(session: sqlite3.Connection):
    for _ in range(10):
        alert = alerts.add(session, closed(an_alert()))
        told(session, "chat", alert=alert.id)
        deliveries.mark_sent(session, [alert.id], NOON, "")
    assert delete_until_done(session, NOON + HOUR, 3) == 4
    assert left(session) == ([], [], [])


# A copy that is put in place


def test_what_waits_in_a_copy_is_not_sent_and_what_no_channel_heard_of_is_not_told(
    session: sqlite3.Connection,
):
    unheard, heard, merged_in, over, quiet = (
        alerts.add(session, alert)
        for alert in (
            an_alert(told_at=NOON),
            an_alert(MARS, told_at=NOON),
            an_alert(PHOBOS, told_at=NOON),
            closed(an_alert(told_at=NOON)),
            an_alert(rule="quiet"),
        )
    )
    for alert in (unheard, heard, merged_in, over):
        told(session, "chat", "mail", alert=alert.id)
    deliveries.mark_sent(session, [3], NOON, "200 OK")
    deliveries.merge(session, [5], 6, NOON)
    deliveries.mark_failed(session, [2], NOON, "550")
    old_news.drop(session, NOON + HOUR)
    assert deliveries.waiting(session) == []
    assert states(session) == [
        DeliveryState.DROPPED, DeliveryState.FAILED, DeliveryState.SENT, DeliveryState.DROPPED,
        DeliveryState.MERGED, DeliveryState.DROPPED, DeliveryState.DROPPED, DeliveryState.DROPPED,
    ]  # fmt: skip
    assert (deliveries.get(session, 1).answer, deliveries.get(session, 1).done_at) == (
        old_news.ANSWER, NOON + HOUR,
    )  # fmt: skip
    assert alerts.get(session, unheard.id) == replace(unheard, told_at=None)
    assert [alerts.get(session, one.id) for one in (heard, merged_in, over, quiet)] == [
        heard, merged_in, over, quiet,
    ]  # fmt: skip


def test_a_copy_from_before_alerts_is_left_as_it_is():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript((DATA / "schema_v4.sql").read_text())
        old_news.drop(connection, NOON)


# The queries

PLANS = [
    (retention.delete_alerts, (NOON, 100), "USING INDEX notices_by_instant (at<?)"),
    (retention.delete_alerts, (NOON, 100), "INDEX alerts_closed (closed_at<?)"),
    (deliveries.count_waiting, (), "deliveries_waiting"),
    (deliveries.backlog, ("chat", 100), "USING INDEX deliveries_waiting (channel=?)"),
    (
        deliveries.search,
        (DeliverySearch(states=[DeliveryState.FAILED]),),
        "SCAN deliveries USING INDEX deliveries_failed_by_id",
    ),
    (
        deliveries.search,
        (DeliverySearch(states=[DeliveryState.SENDING, DeliveryState.DUE]),),
        "USING INDEX deliveries_waiting",
    ),
    (alerts.count_open, (), "alerts_open"),
    (alerts.search, (AlertSearch(is_open=True, monitors=[1]),), "alerts_open (monitor_id=?)"),
    (deliveries.waiting, (), "deliveries_waiting"),
    (deliveries.backlog, ("ops", 100), "USING INDEX deliveries_waiting (channel=?)"),
    (deliveries.unheard_openings, ("ops", NOON, 600, HOUR), "SCAN alerts USING INDEX alerts_open"),
    (deliveries.closings_to_follow, ("ops", [NoticeKind.RESOLVED], NOON, HOUR), "notices_by_instant (at>?)"),
    (
        deliveries.closings_to_follow,
        ("ops", [NoticeKind.RESOLVED], NOON, HOUR, 7),
        "SEARCH closed USING INTEGER PRIMARY KEY (rowid>?)",
    ),
    (deliveries.set_back, ("ops", 60, NOON), "deliveries_waiting"),
    (deliveries.waiting_channels, (), "deliveries_waiting"),
    (deliveries.drop_all_but, (["ops"], NOON, "gone"), "deliveries_waiting"),
    (deliveries.failed_since, (NOON,), "USING INDEX deliveries_failed (done_at>?)"),
    (alerts.all_open, (), "alerts_open"),
    (alerts.open_of, ([1, 2],), "USING INDEX alerts_open (monitor_id=?)"),
    (alerts.recent_of, (1, "down", NOON), "USING INDEX alerts_by_rule (monitor_id=? AND rule=?"),
    (alerts.unsettled, (), "USING INDEX alerts_flapping"),
    (alerts.of_incident, (1,), "USING INDEX alerts_by_incident (incident=?)"),
    (alerts.has_open, (1,), "USING INDEX alerts_by_incident (incident=?)"),
    (incidents.open_automatic, (NOON,), "USING INDEX incidents_open (created_at>?)"),
    (alerts.search, (AlertSearch(),), "SCAN alerts"),
    (alerts.search, (AlertSearch(is_open=True),), "alerts_open"),
    (alerts.search, (AlertSearch(monitors=[1]),), "alerts_by_monitor (monitor_id=?)"),
    (notices.of_alerts, ([1],), "USING INDEX notices_by_alert (alert=?)"),
]


def plan(session: sqlite3.Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> list[str]:
    """How SQLite finds the rows of the queries of the work."""
    statements: list[str] = []
    session.set_trace_callback(statements.append)
    work(session, *arguments)
    session.set_trace_callback(None)
    return [row[3] for text in statements for row in session.execute(f"EXPLAIN QUERY PLAN {text}")]


@pytest.mark.parametrize(("work", "arguments", "index"), PLANS)
def test_a_query_finds_its_rows_by_an_index(
    session: sqlite3.Connection,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    index: str,
):
    steps = plan(session, work, arguments)
    assert any(index in step for step in steps), steps
