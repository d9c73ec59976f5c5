"""The spool: no sample is lost through kills, power cuts and disk errors."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kener_async.agent import spool
from kener_async.agent.async_spool import AsyncSpool
from kener_async.agent.clocks import ClockReading
from kener_async.agent.spool import MeasuredSample, Spool, SpoolCorrupt
from kener_async.domain.errors import Unavailable
from kener_async.domain.samples import Status
from tests.rigs.process import ROOT

LIMIT = 1 << 20


def measured(number: int, boot: str = "b1", wall: float = 1e9) -> MeasuredSample:
    return MeasuredSample("earth", Status.DOWN, number / 8, ClockReading(wall + number, float(number), boot))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "spool.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Spool]:
    with closing(spool.opened(path, LIMIT)) as one:
        yield one


def numbers(one: Spool, limit: int = 10**6) -> list[int]:
    return [each.seq or 0 for each in one.oldest(limit).samples]


def test_what_is_kept_comes_back_as_it_was_oldest_first(opened: Spool):
    opened.add([measured(1), measured(2)])
    opened.add([measured(3)])
    batch = opened.oldest(2)
    assert [(each.seq, each.sample) for each in batch.samples] == [(1, measured(1)), (2, measured(2))]


def test_a_number_is_never_given_twice(path: Path):
    with closing(spool.opened(path, LIMIT)) as one:
        one.add([measured(1), measured(2)])
        one.remove(one.oldest(10), 0)
        assert one.counts().pending == 0
    with closing(spool.opened(path, LIMIT)) as one:
        one.add([measured(3)])
        assert numbers(one) == [3]


def test_only_what_the_server_has_judged_is_forgotten(opened: Spool):
    opened.add([measured(number) for number in range(5)])
    opened.remove(opened.oldest(3), rejected=2)
    assert numbers(opened) == [4, 5]
    assert opened.counts() == (2, 0, 2)


def test_a_batch_of_another_spool_is_not_removed(opened: Spool, tmp_path: Path):
    opened.add([measured(1)])
    with closing(spool.opened(tmp_path / "other", LIMIT)) as other:
        other.add([measured(2)])
        opened.remove(other.oldest(1), 0)
    assert numbers(opened) == [1]


def test_two_spools_on_one_host_are_two_devices_and_one_spool_stays_one(path: Path, tmp_path: Path):
    def name(path: Path) -> str:
        with closing(spool.opened(path, LIMIT)) as one:
            return one.oldest(1).device("gate")

    assert name(path) == name(path)
    assert name(path) != name(tmp_path / "other")


def test_a_batch_has_the_newest_moment_of_each_boot_in_it(opened: Spool):
    opened.add([measured(1, "b1", wall=0), measured(9, "b1"), measured(2, "b2"), measured(3, "b3")])
    assert opened.oldest(3).newest == {
        "b1": measured(9, "b1").moment,
        "b2": measured(2, "b2").moment,
    }


def test_a_full_spool_drops_the_oldest_and_counts_them_for_good(path: Path):
    with closing(spool.opened(path, LIMIT)) as one:
        told = sum(one.add([measured(n) for n in range(at, at + 500)]) for at in range(0, 40_000, 500))
        kept = numbers(one)
        assert kept == list(range(kept[0], 40_001))
        assert one.counts() == (len(kept), told, 0)
        assert told == kept[0] - 1 > 0
        size = sum(each.stat().st_size for each in path.parent.iterdir())
        assert size < LIMIT + 64 * 4096 * 2
    with closing(spool.opened(path, LIMIT)) as one:
        assert one.counts() == (len(kept), told, 0)


def test_a_second_agent_on_the_same_spool_is_refused(
    path: Path, opened: Spool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spool, "LOCK_TIMEOUT", 0.05)
    with pytest.raises(Unavailable, match="locked"):
        spool.opened(path, LIMIT)


# Kills

KEEPER = """
import sys
from pathlib import Path
from kener_async.agent import spool
from kener_async.agent.clocks import ClockReading
from kener_async.agent.spool import MeasuredSample
from kener_async.domain.samples import Status
one = spool.opened(Path(sys.argv[1]), 1 << 24)
number = 0
while True:
    one.add([MeasuredSample("earth", Status.UP, 0.0, ClockReading(number, number, "b1"))])
    number += 1
    print(number, flush=True)
"""


def test_what_was_kept_before_a_kill_is_there_after_it(path: Path):
    told = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", KEEPER, path], stdout=subprocess.PIPE, cwd=ROOT
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                told += 1
                if int(line) == 30:
                    os.kill(process.pid, signal.SIGKILL)
        with closing(spool.opened(path, 1 << 24)) as one:
            kept = numbers(one)
            assert kept == list(range(1, len(kept) + 1))
            assert len(kept) >= told
            told = len(kept)
    assert told >= 90


# Faults of the disk


def spoil_head(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def spoil_inside(path: Path) -> None:
    """Every page but the first two, which opening looks at anyway."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xa5" * (size - 2 * 4096))


@pytest.mark.parametrize("spoil", [spoil_head, spoil_inside])
async def test_a_spool_that_is_broken_at_the_start_is_put_aside_and_said(path: Path, spoil):
    with closing(spool.opened(path, LIMIT)) as one:
        one.add([measured(number) for number in range(1000)])
        before = one.suffix
    spoil(path)
    spoiled = path.read_bytes()
    with pytest.raises(SpoolCorrupt):
        spool.opened(path, LIMIT)
    with capture_logs() as logs:
        async with AsyncSpool.opened(path, LIMIT) as async_spool:
            await async_spool.add(measured(1))
            batch = await async_spool.oldest(10)
    assert [each.seq for each in batch.samples] == [1]
    assert batch.suffix != before
    aside = path.with_name("spool.db.broken")
    assert aside.read_bytes() == spoiled
    assert [(line["log_level"], line["moved_to"]) for line in logs] == [("error", str(aside))]


async def test_a_spool_that_breaks_while_it_is_used_is_replaced_without_a_restart(path: Path):
    async with AsyncSpool.opened(path, LIMIT) as async_spool:
        for number in range(3):
            await async_spool.add(measured(number))
        old = await async_spool.oldest(10)
        async_spool._spool._connection.execute("PRAGMA cache_size = 0")  # type: ignore[union-attr]
        async_spool._spool._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
        async_spool._spool._connection.execute("PRAGMA shrink_memory")  # type: ignore[union-attr]
        spoil_head(path)
        with capture_logs() as logs:
            await async_spool.add(measured(7))
        new = await async_spool.oldest(10)
        assert [each.sample for each in new.samples] == [measured(7)]
        await async_spool.remove(old, 0)  # which the server took meanwhile: its numbers mean others now
        assert len((await async_spool.oldest(10)).samples) == 1
    assert [line["event"] for line in logs] == ["spool corrupt, starting a new one"]


def test_only_the_last_broken_spool_is_kept(path: Path):
    path.parent.mkdir()
    for content in (b"first", b"second"):
        path.write_bytes(content)
        spool.move_aside(path)
    assert [each.read_bytes() for each in path.parent.iterdir()] == [b"second"]


async def test_a_full_disk_is_said_and_the_samples_before_it_stay(path: Path):
    async with AsyncSpool.opened(path, LIMIT) as async_spool:
        await async_spool.add(measured(1))
        connection = async_spool._spool._connection  # type: ignore[union-attr]
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(Unavailable, match="full"):
            await async_spool._do(lambda spool: spool.add(measured(number) for number in range(10_000)))
        await async_spool.ping()
        assert len((await async_spool.oldest(10)).samples) == 1
        connection.execute("PRAGMA max_page_count = 100000")
        await async_spool.add(measured(2))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"file: (Not a directory|File exists)"):
        spool.opened(tmp_path / "file" / "spool.db", LIMIT)


async def test_samples_of_the_same_moment_share_a_transaction(path: Path):
    async with AsyncSpool.opened(path, LIMIT) as async_spool:
        added: list[int] = []

        def add(one: Spool, samples: list[MeasuredSample]) -> None:
            added.append(len(samples))
            one.add(samples)

        async_spool._add = add  # type: ignore[method-assign, assignment]
        await asyncio.gather(*(async_spool.add(measured(number)) for number in range(20)))
        assert sum(added) == 20
        assert len(added) <= 2
        assert len((await async_spool.oldest(100)).samples) == 20


def test_the_file_survives_a_power_cut_by_its_settings(opened: Spool):
    (synchronous,) = opened._connection.execute("PRAGMA synchronous").fetchone()
    (journal,) = opened._connection.execute("PRAGMA journal_mode").fetchone()
    assert (synchronous, journal) == (2, "wal")
    assert sqlite3.sqlite_version_info >= (3, 37)
