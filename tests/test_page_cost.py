"""The page's queries: none while nothing changes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.model import Config
from kener_async.domain.groups import GroupSettings
from kener_async.domain.heartbeats import MonitorSettings
from tests.rigs.service import FakeClock, Service, a_monitor, is_of_a_request, running

BROWSER = {"Accept": "text/html", "Accept-Encoding": "gzip, deflate, br"}


class Turns:
    """How often requests, not jobs of the service, have read or written the database since this was made."""

    def __init__(self, service: Service) -> None:
        self.count = 0
        database = service.app[keys.DATABASE]
        for name in ("read", "write"):
            setattr(database, name, self._counted(getattr(database, name)))

    def _counted(self, access: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def turn(work: Any, *args: Any, **kwargs: Any) -> Any:
            if is_of_a_request():
                self.count += 1
            return await access(work, *args, **kwargs)

        return turn


def quiet(config: Config, monitors: int) -> Config:
    """So many monitors, and no job that comes in between."""
    return replace(
        config,
        rollups=replace(config.rollups, interval_seconds=900),
        monitors=tuple(a_monitor(f"monitor-{number}") for number in range(monitors)),
    )


@pytest.fixture
async def service(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with running(quiet(config, 10), clock) as service:
        await service.beat("monitor-3")
        yield service


@pytest.fixture
def turns(service: Service) -> Turns:
    return Turns(service)


async def visit(service: Service, path: str = "/", **headers: str) -> tuple[int, str, str]:
    """Status, validator and text of the page."""
    async with service.client.get(path, headers=BROWSER | headers) as reply:
        return reply.status, reply.headers.get("ETag", ""), await reply.text()


async def test_a_page_that_was_made_is_sent_without_the_database(service: Service, turns: Turns):
    await visit(service)
    made = turns.count
    assert made > 0
    for _ in range(20):
        assert (await visit(service))[0] == 200
    assert turns.count == made


async def test_who_has_the_page_already_costs_the_database_nothing(service: Service, turns: Turns):
    _, etag, _ = await visit(service)
    made = turns.count
    answers = [await visit(service, **{"If-None-Match": etag}) for _ in range(20)]
    assert {status for status, _, _ in answers} == {304}
    assert turns.count == made


async def test_another_encoding_of_the_page_costs_the_database_nothing(service: Service, turns: Turns):
    _, _, page = await visit(service)
    made = turns.count
    for encoding in ("gzip", "br", "identity"):
        assert (await visit(service, **{"Accept-Encoding": encoding}))[2] == page
    assert turns.count == made


async def test_a_heartbeat_has_the_page_rendered_once(service: Service, turns: Turns):
    _, _, before = await visit(service)
    await service.beat("monitor-3", "DOWN")
    _, _, after = await visit(service)
    assert after != before
    made = turns.count
    for _ in range(20):
        assert (await visit(service))[2] == after
    assert turns.count == made


async def test_a_heartbeat_of_now_costs_the_page_nothing_but_its_making(service: Service, turns: Turns):
    await visit(service)
    assert await cost_after_a_heartbeat(service, turns, "DOWN", visitors=20) <= 1  # since when it is down
    assert await cost_after_a_heartbeat(service, turns, "DOWN", visitors=20) == 0


async def test_no_page_costs_a_turn_for_each_monitor(config: Config, clock: FakeClock):
    async with running(quiet(config, 40), clock) as service:
        turns = Turns(service)
        await visit(service)
        first = turns.count
        assert 0 < first < 40
        assert await cost_after_a_heartbeat(service, turns, "DOWN") <= 1


@pytest.mark.parametrize(("path", "turns_taken"), [("/", 0), ("/monitor/group", 2)])
@pytest.mark.parametrize("members", [2, 40])
async def test_a_page_of_a_group_costs_the_same_with_more_members(
    config: Config, clock: FakeClock, members: int, path: str, turns_taken: int
):
    """They are 40 in both cases, and hidden, so that the page shows nothing but the group."""
    tags = [f"monitor-{number}" for number in range(40)]
    settings = MonitorSettings(group=GroupSettings(tuple(tags[:members])))
    hidden = [a_monitor(tag, hidden=True) for tag in tags]
    config = replace(quiet(config, 0), monitors=(*hidden, a_monitor("group", settings)))
    async with running(config, clock) as service:
        turns = Turns(service)
        await service.beat("monitor-1", "DOWN")
        await visit(service, path)
        await service.beat("monitor-0", "DOWN")
        before = turns.count
        _, _, page = await visit(service, path)
        assert "Down" in page
        assert turns.count - before <= turns_taken + 2  # a job that runs each second may come in between


async def cost_after_a_heartbeat(service: Service, turns: Turns, status: str, visitors: int = 1) -> int:
    """The turns that so many take who ask at once for a page that is another since a heartbeat."""
    await service.beat("monitor-3", status)
    before = turns.count
    await asyncio.gather(*(visit(service) for _ in range(visitors)))
    return turns.count - before
