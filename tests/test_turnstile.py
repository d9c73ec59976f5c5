"""Visitors pass a few in each turn of the loop, in order, and whoever gives up holds up nobody."""

import asyncio

from kener_async.web.turnstile import PER_TURN, Turnstile


def passes_at_once(turnstile: Turnstile) -> bool:
    visit = turnstile.passed()
    try:
        visit.send(None)
    except StopIteration:
        return True
    visit.close()
    return False


async def test_a_few_pass_without_waiting():
    turnstile = Turnstile()
    assert [passes_at_once(turnstile) for _ in range(PER_TURN + 1)] == [True] * PER_TURN + [False]


async def test_between_two_groups_everything_else_has_its_turn():
    turnstile, order = Turnstile(), []

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
    turnstile = Turnstile()
    visitors = [asyncio.create_task(turnstile.passed()) for _ in range(3 * PER_TURN)]
    await asyncio.sleep(0)
    for visitor in visitors[PER_TURN : 2 * PER_TURN]:
        visitor.cancel()
    done = await asyncio.gather(*visitors, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [
        place // PER_TURN == 1 for place in range(3 * PER_TURN)
    ]


async def test_nobody_waits_once_all_have_passed():
    turnstile = Turnstile()
    await asyncio.gather(*(turnstile.passed() for _ in range(10 * PER_TURN)))
    await asyncio.sleep(0)
    assert passes_at_once(turnstile)
