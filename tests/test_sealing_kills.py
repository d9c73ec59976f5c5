"""A process that upgrades a file and seals its days is killed: no sample is lost, and the next one goes on.

A child is killed before its statements, each in turn, and within them, after so many steps of SQLite's
virtual machine. KENER_KILLS=1000 tries that many places instead of a few.
"""

import itertools
import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kener_async.store.admin.verify import verify
from kener_async.store.sealing import seal_turn
from kener_async.store.sqlite import migrations
from kener_async.store.sqlite.connections import connect, transaction
from kener_async.store.sqlite.upgrade import prepare
from tests.rigs.released import frozen
from tests.rigs.stored_samples import StoredSample, samples_in

DATA = Path(__file__).parent / "data"
KILLS = int(os.environ.get("KENER_KILLS", "12"))
DAY = 86400

Interrupt = Callable[[sqlite3.Connection, Callable[[], None]], None]


@pytest.fixture(scope="module")
def released() -> tuple[bytes, int]:
    database, _, now = frozen(DATA, 7)
    return database, now


def work(path: Path, now: int, watch: Callable[[sqlite3.Connection], None] = lambda connection: None) -> None:
    """Migrate the file and seal all that is due, in small turns."""
    with closing(connect(path)) as connection:
        watch(connection)
        migrations.migrate(connection)
        while transaction(connection, seal_turn, now, 2):
            pass


def at_statements(connection: sqlite3.Connection, count: Callable[[], None]) -> None:
    connection.set_trace_callback(lambda statement: count())


def within_statements(connection: sqlite3.Connection, count: Callable[[], None]) -> None:
    connection.set_progress_handler(count, 20)


def work_and_die(path: Path, now: int, interrupt: Interrupt, last: int) -> None:
    """End as by a kill at the interruption of this number."""
    places = itertools.count()

    def die_at_last() -> None:
        if next(places) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    work(path, now, lambda connection: interrupt(connection, die_at_last))


def number_of_places(path: Path, now: int, interrupt: Interrupt) -> int:
    places = itertools.count()

    def count() -> None:
        next(places)

    work(path, now, lambda connection: interrupt(connection, count))
    return next(places)


def as_hot_rows(path: Path) -> None:
    """Move all samples of an upgraded file to the table of the last days, as if none had ever been sealed."""
    prepare(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            """
            INSERT INTO samples SELECT * FROM late_samples;
            DELETE FROM late_samples;
            UPDATE service SET hot_from = 0, late_before = 0;
            UPDATE monitors SET newest = (SELECT max(minute) FROM samples WHERE monitor_id = id);
            """
        )


def leave_as_it_is(path: Path) -> None:
    """A file of the release before, whose migration is killed, too."""


@pytest.mark.parametrize("interrupt", [at_statements, within_statements])
@pytest.mark.parametrize("make", [leave_as_it_is, as_hot_rows], ids=["an upgrade", "days that were hot"])
def test_no_sample_is_lost_wherever_an_upgrade_or_a_sealing_is_killed(
    released: tuple[bytes, int], tmp_path: Path, make: Callable[[Path], None], interrupt: Interrupt
):
    database, now = released
    now += 3 * DAY  # all days are over for long enough
    original = tmp_path / "original.db"
    original.write_bytes(database)
    make(original)
    before, begun = samples_in(original), original.read_bytes()
    trial = tmp_path / "trial.db"
    trial.write_bytes(begun)
    count = number_of_places(trial, now, interrupt)
    assert sealed_wholly(trial, before)
    processes = multiprocessing.get_context("fork")
    for number in range(0, count, max(1, count // KILLS)):
        path = tmp_path / f"{number}.db"
        path.write_bytes(begun)
        process = processes.Process(target=work_and_die, args=(path, now, interrupt, number))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL, number
        assert samples_in(path) == before, number
        work(path, now)
        assert sealed_wholly(path, before), number
        assert list(verify(path, tmp_path, days=2)) == [], number
        path.unlink()


def sealed_wholly(path: Path, before: list[StoredSample]) -> bool:
    """Whether all samples are as they were, in sealed days alone."""
    with closing(sqlite3.connect(path)) as connection:
        (plain,) = connection.execute(
            "SELECT (SELECT count(*) FROM samples) + (SELECT count(*) FROM late_samples)"
        ).fetchone()
        (days,) = connection.execute("SELECT count(*) FROM sealed").fetchone()
    return (
        samples_in(path) == before
        and plain == 0
        and days == len({(sample.tag, sample.minute // DAY) for sample in before})
    )
