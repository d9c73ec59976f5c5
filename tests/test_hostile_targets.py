"""Hostile targets: a part of `make soak`, which looks at all of them and 200,000 times more."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from kener_async.domain.checks import Obstacle
from kener_async.domain.samples import Status
from kener_async.probes.connector import SlicedResponses
from kener_async.probes.vantage import Vantage, VantageSettings
from tests.rigs.hostile_targets import KINDS, HostileTarget, hostile_process, looked_at
from tests.soak import hostile_targets as soak

ALWAYS = (
    "endless-continue",
    "endless-headers",
    "endless-chunks",
    "gzip-bomb",
    "megabyte-of-lists",
    "redirect-1",
)
SOME = tuple(kind for kind in list(KINDS)[::13] if "endless" not in kind and "bomb" not in kind)


def test_there_are_five_hundred_kinds():
    assert len(KINDS) >= 500
    assert {*ALWAYS} <= KINDS.keys()


@pytest.fixture
def small_heap() -> Iterator[None]:
    """Keep the collection of garbage from what other tests left: it takes longer than a loop may be held."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("kind", ALWAYS)
@pytest.mark.usefixtures("small_heap")
async def test_a_target_without_end_is_down_in_time_and_does_not_hold_the_loop(kind: str):
    async with hostile_process() as port, Vantage.opened(VantageSettings()) as vantage:
        (outcome,) = await looked_at([kind], port, vantage, soak.TIMEOUT)
    assert outcome.attempt.status is Status.DOWN or outcome.attempt.obstacle is Obstacle.STALL
    assert soak.faults_of(outcome, late=5) == []  # beside other tests


async def test_other_hostile_targets_are_no_defect_of_ours():
    async with HostileTarget() as target, Vantage.opened(VantageSettings()) as vantage:
        outcomes = await asyncio.gather(*(looked_at([kind], target.port, vantage, 0.5) for kind in SOME))
    made = [outcome.attempt for (outcome,) in outcomes]
    assert {each.obstacle for each in made} <= {None, Obstacle.STALL}
    assert Status.UP not in {each.status for each in made}


class StillTransport(asyncio.Transport):
    """Keeps what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def pause_reading(self) -> None:
        self.said.append("pause")

    def resume_reading(self) -> None:
        self.said.append("resume")

    def close(self) -> None:
        pass


async def test_nothing_more_is_read_while_what_came_is_not_parsed():
    """Else a target that sends tiny chunks would fill the memory with what waits to be parsed."""
    transport, loop = StillTransport(), asyncio.get_running_loop()
    protocol = SlicedResponses(loop)
    protocol.connection_made(transport)
    protocol.set_response_params()
    protocol.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 50_000)
    assert transport.said == ["pause"]
    protocol.resume_reading()  # as aiohttp does when the body that was parsed has been read
    assert transport.said[-1] == "pause"
    _, body = await protocol.read()
    received = 0
    while received < 50_000:
        received += len(await body.read(4096))
    while transport.said[-1] == "pause":
        await asyncio.sleep(0)
    protocol.close()


@pytest.mark.parametrize(
    "kind", ["ok", "nothing", "chunks-0", "reset-at-50", "redirect-to-itself-302", "silence"]
)
async def test_checks_leave_no_file_and_no_task_behind(kind: str):
    async with hostile_process() as port, Vantage.opened(VantageSettings()) as vantage:
        await looked_at([kind], port, vantage, 0.05)
        await asyncio.sleep(0.05)
        files, tasks = soak.open_files(), len(asyncio.all_tasks())
        await asyncio.gather(*(looked_at([kind] * 5, port, vantage, 0.05) for _ in range(5)))
        await asyncio.sleep(0.05)
        assert (soak.open_files(), len(asyncio.all_tasks())) == (files, tasks)
