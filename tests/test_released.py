"""A database as the program of the last release left it answers as that program did (rigs/released.py)."""

import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.domain.calendar import DAY
from kener_async.store.admin import export, import_
from kener_async.store.admin.verify import verify
from kener_async.store.sealing import seal_turn
from kener_async.store.sqlite.connections import connect, transaction
from kener_async.store.sqlite.upgrade import prepare
from tests.rigs.released import Answers, answers, config_of, frozen
from tests.rigs.service import FakeClock, Service, running
from tests.rigs.stored_samples import samples_in

DATA = Path(__file__).parent / "data"
pytestmark = pytest.mark.timeout(300)


async def test_every_figure_of_the_last_release_is_the_same_after_the_upgrade_and_when_it_is_sealed(
    tmp_path: Path,
):
    database, said, now = frozen(DATA, 7)
    path = tmp_path / "kener.db"
    path.write_bytes(database)
    stored = samples_in(path)
    config, clock = config_of(tmp_path), FakeClock(now)
    async with running(config, clock) as service:  # which begins to seal
        assert differing(await answers(service, now), said) == []
        await seal(service, now)
    async with running(config, clock) as service:
        assert differing(await answers(service, now), said) == []
    assert samples_in(path) == stored
    assert list(verify(path, tmp_path)) == []
    due = {
        (sample.tag, sample.minute // DAY) for sample in stored if sample.minute < now // DAY * DAY - 2 * DAY
    }
    assert sealed_days(path) == len(due) > 9


async def test_figures_are_counted_again_from_sealed_days_as_the_last_release_counted_them(tmp_path: Path):
    """After an import nothing is left of what the last release had counted."""
    database, said, now = frozen(DATA, 7)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "kener.db").write_bytes(database)
    prepare(tmp_path / "old" / "kener.db")
    with closing(connect(tmp_path / "old" / "kener.db")) as connection:
        while transaction(connection, seal_turn, now, 3):
            pass
    with open(tmp_path / "all.jsonl", "wb") as out:
        export.write(tmp_path / "old" / "kener.db", out)
    with open(tmp_path / "all.jsonl", "rb") as lines:
        import_.load(lines, tmp_path / "kener.db")
    assert sealed_days(tmp_path / "kener.db") > 9
    assert samples_in(tmp_path / "kener.db") == samples_in(tmp_path / "old" / "kener.db")
    async with running(config_of(tmp_path), FakeClock(now)) as service:
        assert differing(await answers(service, now), said) == []


def differing(found: Answers, said: Answers) -> list[str]:
    """The questions with another answer; averages may differ in their last bits, single latencies may not."""
    assert found.keys() == said.keys()
    return [
        question
        for question in said
        if found[question] != said[question]
        and ("resolution=minute" in question or not is_nearly(found[question], said[question]))
    ]


def is_nearly(one: Any, other: Any) -> bool:
    """Whether two documents are equal but for the last bits of floats."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_nearly(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_nearly, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-12)
    return bool(one == other)


async def seal(service: Service, now: int) -> None:
    """Seal all that is due."""
    while await service.app[keys.DATABASE].write(seal_turn, now, 3):
        pass


def sealed_days(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM sealed").fetchone()
    return int(count)
