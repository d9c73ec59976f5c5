"""What the benchmarks build on: configurations without limits, and histories as a server stores them."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import history, servers, site, stored
from kener_async.config.load import load
from kener_async.domain.calendar import DAY, QUARTER
from kener_async.domain.samples import Sample, Status
from kener_async.store import samples
from kener_async.store.sqlite import connections

NOW = 1_790_000_123
MONITORS = 3


@pytest.mark.parametrize("configure", [servers.configure, site.configure])
def test_the_benchmarks_have_no_rate_limit(tmp_path: Path, configure: Callable[[Path, int], Path]):
    config = load(configure(tmp_path, MONITORS), {})
    assert config.ingest.token_rate == 0
    assert [monitor.tag for monitor in config.monitors] == [f"monitor-{number}" for number in range(MONITORS)]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A database with ten days, the last five of them in minutes."""
    config = servers.configure(tmp_path, MONITORS)
    history.written(config, 10, minute_days=5, at=NOW)
    return tmp_path / "kener.db"


def test_a_history_has_every_minute_and_quarters_that_are_their_sums(filled: Path):
    end = NOW - NOW % QUARTER
    with closing(connections.connect(filled, read_only=True)) as connection:
        found = samples.spans(connection, [1, 2, 3], end - 6 * DAY, end)
        assert {monitor: len(minutes) for monitor, minutes in found.items()} == dict.fromkeys([1, 2, 3], 7200)
        assert min(min(minutes) for minutes in found.values()) == end - 5 * DAY
        quarters = connection.execute("SELECT * FROM quarters").fetchall()
        assert len(quarters) == MONITORS * 10 * DAY // QUARTER
        for monitor, quarter, up, *others, count, total, low, high in quarters:
            latencies = [
                found[monitor][minute].latency
                for minute in range(quarter, quarter + QUARTER, 60)
                if minute in found[monitor]
            ]
            if quarter < end - 5 * DAY:
                assert latencies == []
                continue
            assert (up, others, count) == (15, [0, 0, 0, 0], 15)
            assert total == round(sum(latencies) * 1e6)
            assert (low, high) == (round(min(latencies) * 1e6), round(max(latencies) * 1e6))
        assert connection.execute("SELECT count(*) FROM dirty").fetchone() == (0,)


def test_latencies_of_a_history_differ_between_monitors_and_are_below_those_of_the_load(filled: Path):
    end = NOW - NOW % QUARTER
    with closing(connections.connect(filled, read_only=True)) as connection:
        found = samples.spans(connection, [1, 2, 3], end - DAY, end)
    latencies = [tuple(sample.latency for sample in minutes.values()) for minutes in found.values()]
    assert len(set(latencies)) == MONITORS
    assert max(max(each) for each in latencies) < 1


def test_only_samples_of_the_load_are_counted(filled: Path):
    end = NOW - NOW % QUARTER
    assert stored.minutes_of(filled, servers.ROOT, end - DAY, end) == {}
    with closing(connections.connect(filled)) as connection:
        connections.transaction(connection, samples.record, [Sample(2, end - 60, Status.UP, 1.000001)])
    assert stored.minutes_of(filled, servers.ROOT, end - DAY, end) == {2: 1}


def test_a_site_has_outages_and_incidents_before_the_days_in_minutes(tmp_path: Path):
    config = site.configure(tmp_path, 20)
    rows = history.written(config, 90, minute_days=1, at=NOW, is_site=True)
    assert f"{site.PAST_INCIDENTS + 2} incidents" in rows
    with closing(sqlite3.connect(tmp_path / "kener.db")) as connection:
        worst = connection.execute("SELECT max(quarter), count(*) FROM quarters WHERE up < 15").fetchone()
    assert worst[0] < NOW - 2 * DAY
    assert worst[1] > 20


def test_a_program_that_fails_ends_the_benchmark(tmp_path: Path):
    with pytest.raises(SystemExit, match=r"benchmarks\.stored failed"):
        servers.run_with(servers.ROOT, "benchmarks.stored", str(tmp_path / "none.db"), "0", "60")


def test_the_load_reports_latencies_that_no_history_has():
    text = servers.SCRIPT.read_text()
    assert '"latency":1.' in text
