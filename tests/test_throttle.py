"""Visitors pass a few in each turn of the loop, in order, and whoever gives up holds up nobody."""

import asyncio

import pytest

from kener_async.web.pages.throttle import LONGEST_REST, PER_TURN, REST_FOR_EACH, FairQueue, RenderThrottle


def passes_at_once(turnstile: FairQueue) -> bool:
    visit = turnstile.passed()
    try:
        visit.send(None)
    except StopIteration:
        return True
    visit.close()
    return False


async def test_a_few_pass_without_waiting():
    turnstile = FairQueue()
    assert [passes_at_once(turnstile) for _ in range(PER_TURN + 1)] == [True] * PER_TURN + [False]


async def test_between_two_groups_everything_else_has_its_turn():
    turnstile, order = FairQueue(), []

    async def visit(number: int) -> None:
        await turnstile.passed()
        order.append(number)

    visitors = [asyncio.create_task(visit(number)) for number in range(5 * PER_TURN)]
    groups = []
    while len(order) < len(visitors):
        before = len(order)
        await asyncio.sleep(0)
        groups.append(len(order) - before)
    assert order == list(range(5 * PER_TURN))
    assert max(groups) <= PER_TURN


async def test_whoever_gives_up_is_passed_over():
    turnstile = FairQueue()
    visitors = [asyncio.create_task(turnstile.passed()) for _ in range(3 * PER_TURN)]
    await asyncio.sleep(0)
    for visitor in visitors[PER_TURN : 2 * PER_TURN]:
        visitor.cancel()
    done = await asyncio.gather(*visitors, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [
        place // PER_TURN == 1 for place in range(3 * PER_TURN)
    ]


async def test_nobody_waits_once_all_have_passed():
    turnstile = FairQueue()
    await asyncio.gather(*(turnstile.passed() for _ in range(10 * PER_TURN)))
    await asyncio.sleep(0)
    assert passes_at_once(turnstile)


@pytest.mark.parametrize(
    ("heartbeats", "rest"),
    [(0, 0), (1, REST_FOR_EACH), (200, 200 * REST_FOR_EACH), (1_000_000, LONGEST_REST)],
    ids=["none came", "one came", "many came", "a flood"],
)
async def test_work_on_pages_rests_for_the_heartbeats_that_came_meanwhile(
    monkeypatch: pytest.MonkeyPatch, heartbeats: int, rest: float
):
    stored, rests = 0, []

    async def slept(seconds: float) -> None:
        rests.append(seconds)

    pace = RenderThrottle(lambda: stored)
    monkeypatch.setattr("kener_async.web.pages.throttle.monotonic", lambda: 1000.0)
    monkeypatch.setattr("kener_async.web.pages.throttle.asyncio.sleep", slept)
    async with pace.turn():
        stored += heartbeats
    async with pace.turn():
        pass
    assert rests == [0, pytest.approx(rest)]


async def test_one_piece_of_work_is_done_at_a_time():
    pace, under_way, most = RenderThrottle(lambda: 0), 0, 0

    async def work() -> None:
        nonlocal under_way, most
        async with pace.turn():
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1

    await asyncio.gather(*(work() for _ in range(5)))
    assert most == 1
