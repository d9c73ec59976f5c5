"""The uploader: every spooled sample reaches the server through server errors and network faults."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from kener_async.agent.async_spool import AsyncSpool
from kener_async.agent.settings import AgentSettings
from kener_async.agent.spool import MeasuredSample
from kener_async.agent.uploader import Uploader, environment_proxy
from kener_async.domain.samples import Status
from tests.rigs.device import DeviceClock, agent_settings
from tests.rigs.network import FaultyNetwork
from tests.rigs.process import a_free_port
from tests.rigs.service import FakeClock

Answer = Callable[[dict[str, Any]], web.Response]


def taken(batch: dict[str, Any]) -> web.Response:
    return web.json_response({"status": 200, "results": [{"verdict": "accepted"} for _ in batch["samples"]]})


def refused(status: int, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.json_response({"error": "no"}, status=status, headers=named)


class FakeServer:
    """Answers each batch as the next of `answers` does, then takes all, and remembers."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.seen: list[list[int]] = []
        self.taken: list[int] = []
        self.tokens: list[str] = []
        self.url = ""
        self.port = 0

    async def handle(self, request: web.Request) -> web.Response:
        batch = json.loads(await request.read())
        numbers = [sample.get("seq", 0) for sample in batch["samples"]]
        self.seen.append(numbers)
        self.tokens.append(request.headers["Authorization"])
        answer = (self.answers.pop(0) if self.answers else taken)(batch)
        if answer.status == 200 and answer.content_type == "application/json":
            self.taken += numbers
        return answer


@asynccontextmanager
async def serving() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/api/status/batch", fake.handle)
    async with TestServer(app) as server:
        fake.url, fake.port = str(server.make_url("")).rstrip("/"), server.port or 0
        yield fake


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with serving() as fake:
        yield fake


@pytest.fixture
def time() -> FakeClock:
    return FakeClock()


class Rig:
    """An uploader with its spool, on a device whose time the test moves."""

    def __init__(self, uploader: Uploader, spool: AsyncSpool, clock: DeviceClock) -> None:
        self.uploader = uploader
        self.spool = spool
        self.clock = clock
        self.upload = uploader.upload

    async def measure(self, count: int = 1, tag: str = "earth", status: Status = Status.UP) -> None:
        for _ in range(count):
            await self.spool.add(MeasuredSample(tag, status, 0.5, self.clock()))

    async def left(self) -> list[int]:
        return [each.seq or 0 for each in (await self.spool.oldest(100_000)).samples]


@asynccontextmanager
async def rigged(settings: AgentSettings, time: FakeClock, chance: float = 0.5) -> AsyncIterator[Rig]:
    clock = DeviceClock(time)
    async with (
        AsyncSpool.opened(settings.spool, settings.spool_bytes) as spool,
        Uploader.running(settings, spool, clock, "kener-agent/test", lambda: chance) as uploader,
    ):
        yield Rig(uploader, spool, clock)


@pytest.fixture
async def rig(server: FakeServer, time: FakeClock, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(agent_settings(tmp_path, server.url), time) as one:
        yield one


async def test_what_was_measured_is_sent_oldest_first_and_then_gone(rig: Rig, server: FakeServer):
    await rig.measure(3)
    assert await rig.upload()
    assert (server.seen, await rig.left()) == ([[1, 2, 3]], [])


async def test_nothing_is_sent_when_the_spool_is_empty(rig: Rig, server: FakeServer):
    assert await rig.upload()
    assert server.seen == []


async def test_a_backlog_goes_in_batches_of_a_thousand(rig: Rig, server: FakeServer):
    rows = [MeasuredSample("earth", Status.UP, 0, rig.clock()) for _ in range(2500)]
    await rig.spool._do(lambda spool: spool.add(rows))
    assert await rig.upload()
    assert [len(batch) for batch in server.seen] == [1000, 1000, 500]
    assert server.taken == list(range(1, 2501))


async def test_a_batch_that_is_too_large_is_halved_until_it_passes(rig: Rig, server: FakeServer):
    await rig.measure(10)
    server.answers = [refused(413), refused(413)]
    assert await rig.upload()
    assert server.seen == [list(range(1, 11)), [1, 2, 3, 4, 5], [1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]


@pytest.mark.parametrize(
    "answer",
    [
        *(refused(status) for status in (301, 400, 401, 403, 404, 413, 415, 429, 500, 503)),
        lambda _: web.Response(text="<html>Please log in</html>", content_type="text/html"),
        lambda _: web.Response(status=204),
        lambda _: web.Response(text="[" * 100_000, content_type="application/json"),
        lambda _: web.Response(text='{"error":' + "[" * 100_000, status=500),
        lambda _: web.Response(text='{"results": {"verdict": "accepted"}}', content_type="application/json"),
        lambda _: web.Response(text='{"results": [null]}', content_type="application/json"),
        lambda _: web.Response(text='{"results": 1' + "0" * 5000 + "}", content_type="application/json"),
        lambda _: web.Response(body=b"\xff", content_type="application/json"),
    ],
)
async def test_whatever_else_is_answered_nothing_is_lost(
    rig: Rig, server: FakeServer, time: FakeClock, answer: Answer
):
    await rig.measure()
    server.answers = [answer]
    assert not await rig.upload()
    assert await rig.left() == [1]
    time.now += 300
    assert await rig.upload()
    assert await rig.left() == []
    assert server.taken[-1:] == [1]


async def test_the_server_is_left_alone_for_as_long_as_it_asks(rig: Rig, server: FakeServer, time: FakeClock):
    await rig.measure()
    server.answers = [refused(429, Retry_After="100")]
    assert not await rig.upload()
    time.now += 99
    assert not await rig.upload()
    assert len(server.seen) == 1
    time.now += 10
    assert await rig.upload()


async def test_a_rejected_sample_is_named_counted_and_gone(rig: Rig, server: FakeServer):
    results = [{"verdict": "accepted"}, {"verdict": "rejected", "error": "invalid tag"}]
    server.answers = [lambda _: web.json_response({"results": results})]
    await rig.measure(2)
    with capture_logs() as logs:
        assert await rig.upload()
    assert logs == [
        {
            "event": "sample rejected",
            "log_level": "warning",
            "tag": "earth",
            "seq": 2,
            "reason": "invalid tag",
        }
    ]
    assert await rig.spool.counts() == (0, 0, 1)


def verdicts(*words: str) -> Answer:
    results = [{"verdict": word, **({"error": "no"} if word == "refused" else {})} for word in words]
    return lambda _: web.json_response({"results": results})


@pytest.mark.parametrize(
    ("word", "reason"),
    [("refused", "no"), ("postponed", "the verdict is postponed"), ("", "the verdict is ")],
)
async def test_samples_that_may_be_accepted_later_are_kept_and_hold_up_no_others(
    rig: Rig, server: FakeServer, time: FakeClock, word: str, reason: str
):
    """A monitor that is not known yet, a token for others, and verdicts of a later version."""
    for tag in ("earth", "pluto", "earth"):
        await rig.measure(tag=tag)
    server.answers = [verdicts("accepted", word, "duplicate")]
    with capture_logs() as logs:
        assert not await rig.upload()  # something is left
        await rig.measure(tag="pluto")
        await rig.measure(tag="earth")
        assert not await rig.upload()
    assert [(line["event"], line["tag"], line["reason"]) for line in logs] == [
        ("samples refused, kept", "pluto", reason)
    ]
    assert await rig.left() == [2, 4]
    assert server.seen == [[1, 2, 3], [5]]
    time.now += 301
    with capture_logs() as logs:
        assert await rig.upload()
    assert server.seen[2:] == [[2, 4]]
    assert [line["event"] for line in logs] == ["samples accepted again"]


async def test_refused_samples_are_sent_again_every_five_minutes_only(
    rig: Rig, server: FakeServer, time: FakeClock
):
    await rig.measure(2, tag="pluto")
    for _ in range(60):
        server.answers = [verdicts("refused", "refused")]
        assert not await rig.upload()
        time.now += 10
    assert server.seen == [[1, 2], [1, 2]]
    assert await rig.left() == [1, 2]


async def test_refused_samples_are_the_first_that_a_full_spool_drops(
    server: FakeServer, time: FakeClock, tmp_path: Path
):
    async with rigged(agent_settings(tmp_path, server.url, spool_bytes=65536), time) as rig:
        refusing: Answer = lambda batch: verdicts(*["refused"] * len(batch["samples"]))(batch)  # noqa: E731
        server.answers = [refusing]
        rows = [MeasuredSample("pluto", Status.UP, 0, rig.clock()) for _ in range(1000)]
        await rig.spool._do(lambda spool: spool.add(rows))
        assert not await rig.upload()
        rows = [MeasuredSample("earth", Status.UP, 0, rig.clock()) for _ in range(1000)]
        await rig.spool._do(lambda spool: spool.add(rows))
        assert not await rig.upload()
        assert server.taken[-1000:] == list(range(1001, 2001))
        assert (await rig.spool.counts()).dropped > 0


async def test_a_refused_token_is_said_as_an_error_with_the_words_of_the_server(rig: Rig, server: FakeServer):
    await rig.measure()
    server.answers = [refused(401)]
    with capture_logs() as logs:
        await rig.upload()
    (line,) = logs
    assert (line["log_level"], line["reason"], line["server"]) == ("error", "answered 401: no", server.url)
    assert line["retry_in_seconds"] >= 150


async def test_a_new_token_is_used_without_a_restart(server: FakeServer, time: FakeClock, tmp_path: Path):
    file = tmp_path / "token"
    settings = agent_settings(tmp_path, server.url, token="", token_file=file)
    async with rigged(settings, time) as rig:
        await rig.measure()
        assert not await rig.upload()  # there is no such file yet
        for token in ("first", "second"):
            file.write_text(f"{token}\n")
            time.now += 300
            await rig.measure()
            assert await rig.upload()
    assert server.tokens == ["Bearer first", "Bearer second"]


async def test_the_second_server_is_used_while_the_first_fails(
    server: FakeServer, time: FakeClock, tmp_path: Path
):
    async with (
        serving() as second,
        rigged(agent_settings(tmp_path, server.url, second.url), time) as rig,
    ):
        await rig.measure()
        server.answers = [refused(503, Retry_After="50")]
        assert await rig.upload()
        await rig.measure()
        assert await rig.upload()
        assert (server.taken, second.taken) == ([], [1, 2])
        time.now += 60
        await rig.measure()
        assert await rig.upload()
        assert (server.taken, second.taken) == ([3], [1, 2])


async def test_a_server_that_is_not_there_costs_only_a_pause(time: FakeClock, tmp_path: Path):
    nowhere = f"http://127.0.0.1:{a_free_port()}"
    async with rigged(agent_settings(tmp_path, nowhere), time) as rig:
        await rig.measure()
        with capture_logs() as logs:
            assert not await rig.upload()
            assert not await rig.upload()  # too early: nobody is asked
    assert [line["event"] for line in logs] == ["upload failed"]


# The environment of the device


@pytest.mark.parametrize("text", ["default login me password x", "machine 127.0.0.1 login me password x"])
async def test_credentials_of_netrc_do_not_stop_it(
    rig: Rig, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
):
    netrc = tmp_path / "netrc"
    netrc.write_text(text)
    monkeypatch.setenv("NETRC", str(netrc))
    await rig.measure()
    assert await rig.upload()
    assert server.tokens == ["Bearer a-token"]


@pytest.mark.parametrize(
    ("environment", "server", "proxy"),
    [
        ({}, "https://status.example.org", None),
        ({"https_proxy": "http://proxy:3128"}, "https://status.example.org", "http://proxy:3128"),
        ({"https_proxy": "http://proxy:3128"}, "http://status.example.org", None),
        ({"http_proxy": "http://proxy:3128"}, "http://status.example.org", "http://proxy:3128"),
        ({"https_proxy": "http://p", "no_proxy": "example.org"}, "https://status.example.org", None),
    ],
)
def test_a_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], server: str, proxy: str | None
):
    for name in ("https_proxy", "http_proxy", "no_proxy", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert environment_proxy(server) == proxy


# A full disk


async def fill(rig: Rig) -> None:
    """Let the file not grow; tests/test_agent.py has a disk that is really full."""
    await rig.spool._do(lambda spool: spool._connection.execute("PRAGMA max_page_count = 1"))


async def free(rig: Rig) -> None:
    await rig.spool._do(lambda spool: spool._connection.execute("PRAGMA max_page_count = 1000000"))


async def test_on_a_full_disk_samples_are_sent_from_memory_and_nothing_twice_afterwards(
    server: FakeServer, time: FakeClock, tmp_path: Path
):
    async with rigged(agent_settings(tmp_path, server.url), time) as rig:
        await rig.measure(60)
        await fill(rig)
        with capture_logs() as logs:
            await rig.measure(2000)
        assert "spool cannot be written, going on from memory" in [line["event"] for line in logs]
        counts = await rig.spool.counts()
        assert counts.pending == 2060
        assert await rig.upload()
        numbered = len([number for number in server.taken if number])
        assert numbered >= 60
        assert len(server.taken) == 2060  # those without a number come from memory
        await rig.measure(3)
        assert await rig.upload()
        assert len(server.taken) == 2063
        await free(rig)
        assert await rig.upload()
        await rig.measure(2)
        assert await rig.upload()
        last = max(server.taken[:2063])
        assert server.taken[2063:] == [last + 1, last + 2]
        assert (await rig.spool.counts()).pending == 0


async def test_what_is_in_memory_goes_to_the_disk_when_that_has_room_again(
    server: FakeServer, time: FakeClock, tmp_path: Path
):
    """The network is away too."""
    server.answers = [refused(503, Retry_After="60")] * 2
    async with rigged(agent_settings(tmp_path, server.url), time) as rig:
        await fill(rig)
        await rig.measure(1500)
        assert not await rig.upload()
        await free(rig)
        time.now += 120
        assert not await rig.upload()
    async with rigged(agent_settings(tmp_path, server.url), time) as rig:
        assert (await rig.spool.counts()).pending == 1500
        time.now += 120
        assert await rig.upload()
    assert server.taken == list(range(1, 1501))


async def test_a_disk_that_became_read_only_stops_nothing_either(
    server: FakeServer, time: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with rigged(agent_settings(tmp_path, server.url), time) as rig:
        await rig.measure(2)
        await rig.spool._do(lambda spool: spool._connection.execute("PRAGMA query_only = ON"))
        await rig.measure(2)
        assert await rig.upload()
        await rig.measure(1)
        assert await rig.upload()
        assert server.taken == [1, 2, 0, 0, 0]
        await rig.spool._do(lambda spool: spool._connection.execute("PRAGMA query_only = OFF"))
        await rig.measure(1)
        assert await rig.upload()
        assert server.taken == [1, 2, 0, 0, 0, 3]


# When it is sent


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def at_work(rig: Rig) -> AsyncIterator[None]:
    task = asyncio.create_task(rig.uploader.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_news_are_sent_at_once_and_the_rest_with_the_next_batch(
    server: FakeServer, time: FakeClock, tmp_path: Path
):
    async with rigged(agent_settings(tmp_path, server.url, send_every=3600), time) as rig, at_work(rig):
        await rig.measure(2)
        rig.uploader.wake()
        await until(lambda: server.taken == [1, 2])
        await rig.measure()
        assert await rig.left() == [3]
        rig.uploader.wake()
        await until(lambda: server.taken == [1, 2, 3])


async def test_without_news_it_is_sent_every_so_often(server: FakeServer, time: FakeClock, tmp_path: Path):
    async with rigged(agent_settings(tmp_path, server.url, send_every=0.01), time) as rig, at_work(rig):
        for number in range(1, 4):
            await rig.measure()
            await until(lambda number=number: server.taken == list(range(1, number + 1)))  # type: ignore[misc]


async def test_news_do_not_press_a_server_that_wants_to_be_left_alone(
    server: FakeServer, time: FakeClock, tmp_path: Path
):
    async with rigged(agent_settings(tmp_path, server.url, send_every=0.01), time) as rig:
        server.answers = [refused(503, Retry_After="60")]
        await rig.measure()
        async with at_work(rig):
            await until(lambda: rig.uploader._backoff_left() > 0)  # the answer is there, not only the request
            rig.uploader.wake()
            assert rig.uploader._backoff_left() >= 60
            await asyncio.sleep(0.05)
            assert len(server.seen) == 1


# Bad networks


@pytest.mark.parametrize("seed", range(4))
async def test_through_every_kind_of_cut_each_sample_is_taken_and_none_is_skipped(
    server: FakeServer, time: FakeClock, tmp_path: Path, seed: int
):
    async with FaultyNetwork(server.port, seed=seed, chance=0.7) as network:
        settings = agent_settings(tmp_path, f"http://127.0.0.1:{network.port}", send_timeout=0.2)
        async with rigged(settings, time) as rig:
            for _ in range(60):
                await rig.measure(3)
                await rig.upload()
                time.now += 300
            network.chance = 0
            assert await rig.upload()
    assert set(server.taken) == set(range(1, 181))
    firsts = list(dict.fromkeys(server.taken))
    assert firsts == sorted(firsts)
    assert len(network.met) >= 5
