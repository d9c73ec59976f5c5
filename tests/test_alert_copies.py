"""Copies of a database with alerts: what a restored one tells, and what `verify` finds."""

from contextlib import closing
from pathlib import Path

import pytest

from kener_async.domain.alerts import Alert, Severity
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.notices import DeliveryState, Facts, NoticeKind
from kener_async.store import alerts, deliveries, monitors, notices, observer
from kener_async.store.admin import old_news, restore, verify
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.upgrade import prepare
from tests.rigs.service import NOON


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """With an open alert of which no channel has heard yet."""
    path = tmp_path / "kener.db"
    prepare(path)
    with closing(connect(path)) as connection:
        observer.begin(connection, NOON, 3600)
        monitors.register(connection, {"earth": MonitorSettings()}, NOON)
        alerts.add(connection, Alert(0, 1, "down", Severity.CRITICAL, NOON, NOON, told_at=NOON))
        notices.add(connection, NoticeKind.OPENED, NOON, 1, None, Facts("earth"), ["chat"], NOON)
    return path


def test_a_restored_copy_sends_nothing_that_waited_in_it(database: Path, tmp_path: Path):
    restored = tmp_path / "new/kener.db"
    restore.restore(database, restored, NOON + 60)
    with closing(connect(restored)) as connection:
        delivery = deliveries.get(connection, 1)
        assert (delivery.state, delivery.answer) == (DeliveryState.DROPPED, old_news.ANSWER)
        assert delivery.done_at == NOON + 60
        assert alerts.get(connection, 1).told_at is None
    with closing(connect(database)) as connection:
        assert deliveries.count_waiting(connection) == 1
    assert list(verify.verify(restored, tmp_path)) == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("DELETE FROM alerts", "notice 1 is about alert 1, which does not exist"),
        ("UPDATE notices SET kind = 99", "notice 1 cannot be read: "),
        ("UPDATE notices SET body = '{\"colour\": 1}'", "notice 1 cannot be read: "),
        ("DELETE FROM notices", "deliveries: a row refers to a missing row of notices"),
        ("DELETE FROM monitors", "alerts: a row refers to a missing row of monitors"),
    ],
)
def test_a_broken_reference_is_found(database: Path, tmp_path: Path, damage: str, words: str):
    assert list(verify.verify(database, tmp_path)) == []
    with closing(connect(database)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(damage)
    assert any(words in fault for fault in verify.verify(database, tmp_path))
