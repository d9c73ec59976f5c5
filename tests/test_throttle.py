"""The fair queue admits one caller in each turn of the event loop; the render throttle one at a time."""

import asyncio

import pytest

from kener_async.web.pages.throttle import MAX_PAUSE, PAUSE_PER_HEARTBEAT, PER_TURN, FairQueue, RenderThrottle


def is_admitted_at_once(queue: FairQueue) -> bool:
    turn = queue.wait_turn()
    try:
        turn.send(None)
    except StopIteration:
        return True
    turn.close()
    return False


async def test_a_few_are_admitted_without_waiting():
    queue = FairQueue()
    assert [is_admitted_at_once(queue) for _ in range(PER_TURN + 1)] == [True] * PER_TURN + [False]


async def test_other_callbacks_run_between_two_groups():
    queue, order = FairQueue(), []

    async def visit(number: int) -> None:
        await queue.wait_turn()
        order.append(number)

    visitors = [asyncio.create_task(visit(number)) for number in range(5 * PER_TURN)]
    groups = []
    while len(order) < len(visitors):
        before = len(order)
        await asyncio.sleep(0)
        groups.append(len(order) - before)
    assert order == list(range(5 * PER_TURN))
    assert max(groups) <= PER_TURN


async def test_a_cancelled_caller_is_skipped():
    queue = FairQueue()
    visitors = [asyncio.create_task(queue.wait_turn()) for _ in range(3 * PER_TURN)]
    await asyncio.sleep(0)
    for visitor in visitors[PER_TURN : 2 * PER_TURN]:
        visitor.cancel()
    done = await asyncio.gather(*visitors, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [
        place // PER_TURN == 1 for place in range(3 * PER_TURN)
    ]


async def test_no_caller_waits_once_all_are_admitted():
    queue = FairQueue()
    await asyncio.gather(*(queue.wait_turn() for _ in range(10 * PER_TURN)))
    await asyncio.sleep(0)
    assert is_admitted_at_once(queue)


@pytest.mark.parametrize(
    ("heartbeats", "pause"),
    [(0, 0), (1, PAUSE_PER_HEARTBEAT), (200, 200 * PAUSE_PER_HEARTBEAT), (1_000_000, MAX_PAUSE)],
    ids=["none", "one", "many", "a flood"],
)
async def test_rendering_pauses_for_the_heartbeats_stored_meanwhile(
    monkeypatch: pytest.MonkeyPatch, heartbeats: int, pause: float
):
    stored, pauses = 0, []

    async def slept(seconds: float) -> None:
        pauses.append(seconds)

    throttle = RenderThrottle(lambda: stored)
    monkeypatch.setattr("kener_async.web.pages.throttle.monotonic", lambda: 1000.0)
    monkeypatch.setattr("kener_async.web.pages.throttle.asyncio.sleep", slept)
    async with throttle.slot():
        stored += heartbeats
    async with throttle.slot():
        pass
    assert pauses == [0, pytest.approx(pause)]


async def test_one_page_is_rendered_at_a_time():
    throttle, under_way, most = RenderThrottle(lambda: 0), 0, 0

    async def work() -> None:
        nonlocal under_way, most
        async with throttle.slot():
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1

    await asyncio.gather(*(work() for _ in range(5)))
    assert most == 1
