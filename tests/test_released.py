"""A database as the program of the last release left it answers as that program did (rigs/released.py)."""

from pathlib import Path

from kener_async.store.admin.verify import verify
from tests.rigs.released import answers, config_of, frozen
from tests.rigs.service import FakeClock, running
from tests.rigs.stored_samples import samples_in

DATA = Path(__file__).parent / "data"


async def test_every_figure_of_the_last_release_is_the_same_after_the_upgrade(tmp_path: Path):
    database, said, now = frozen(DATA, 7)
    path = tmp_path / "kener.db"
    path.write_bytes(database)
    stored = samples_in(path)
    config, clock = config_of(tmp_path), FakeClock(now)
    async with running(config, clock) as service:
        assert await answers(service, now) == said
    assert samples_in(path) == stored
    assert list(verify(path, tmp_path)) == []
