"""Receivers over HTTP that answer badly: what is tried again, and when; a webhook end to end."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web
from click.testing import CliRunner

from kener_async import keys
from kener_async.app import apply
from kener_async.channels.composition import compose
from kener_async.channels.http import session_of_channels
from kener_async.channels.registry import channel_of
from kener_async.channels.webhook import Webhook
from kener_async.cli.main import main
from kener_async.config.channels import CHANNELS, ChannelConfig
from kener_async.config.load import load
from kener_async.config.schema import built, schema_of
from kener_async.domain.deliveries import ChannelLimits
from kener_async.domain.notices import DeliveryState
from kener_async.store import channel_states
from kener_async.worker.channel_queue import Outlet
from tests.rigs.certificates import Authority
from tests.rigs.service import NOON, SECRET, FakeClock, running
from tests.test_deliveries import DAY, SOURCE, Station, station

__all__ = ["station"]  # a fixture

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """An HTTP server that answers each request as it is told, and keeps what it was sent."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = [*answers]
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        self.requests.append((request.path, dict(request.headers), json.loads(body)))
        if self.answers:
            return await self.answers.pop(0)(request)
        return web.Response(text="ok")

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Receiver"]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "localhost", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"{'https' if tls else 'http'}://localhost:{port}/hook/T0PSECRET"
        try:
            yield self
        finally:
            await runner.cleanup()


def status(code: int, text: str = "", **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=code, text=text, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return answer


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3)
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"only the beginning")
    assert request.transport is not None
    request.transport.close()
    return response


def settings_of(kind: str, **written: Any) -> ChannelConfig:
    table: Any = CHANNELS[kind]
    common = {"name": "ops", "kind": kind, "locale": "en", "timezone": "UTC"}
    channel: ChannelConfig = built(table, schema_of(table)().load(common | written), Path())
    return replace(channel, timezone=ZoneInfo("UTC"))


@asynccontextmanager
async def outlet(settings: ChannelConfig) -> AsyncIterator[Outlet]:
    async with session_of_channels() as session:
        channel = channel_of(settings, session)
        if isinstance(channel, Webhook):
            channel._client._timeout = 0.5
        composed = partial(compose, SOURCE, "en", ZoneInfo("UTC"))
        yield Outlet("ops", channel, ChannelLimits(gather=0), composed)


@pytest.mark.parametrize(
    ("answers", "at", "state"),
    [
        ([status(429, Retry_After="120")], [0, 120], DeliveryState.SENT),
        ([status(429)] * 2, [0, 5, 20], DeliveryState.SENT),
        ([status(503, Retry_After="7200")], [0, 3600], DeliveryState.SENT),
        ([status(500)] * 4, [0, 5, 20, 65, 185], DeliveryState.SENT),
        ([reset], [0, 5], DeliveryState.SENT),
        ([slow], [0, 5], DeliveryState.SENT),
        ([half], [0, 5], DeliveryState.SENT),
        ([status(302, Location="http://localhost:1/")] * 2, [0, 5, 20], DeliveryState.SENT),
        *[([status(code)], [0], DeliveryState.FAILED) for code in (400, 401, 403, 404, 410, 422)],
    ],
)
async def test_what_is_tried_again_and_when(station: Station, answers, at, state):
    async with (
        Receiver(*answers).serving() as receiver,
        outlet(settings_of("webhook", url=receiver.url)) as ops,
    ):
        channel = TimedChannel(ops.channel, station)
        await station.open()
        await station.advance(station.queue(channel), until=NOON + DAY)
        assert channel.at == at
        assert len({headers["Idempotency-Key"] for _, headers, _ in receiver.requests}) == 1
        assert len(receiver.requests) == len(at)
    (delivery,) = await station.stored()
    assert delivery.state == state
    assert "T0PSECRET" not in delivery.answer


class TimedChannel:
    """A channel that keeps when it was used, in seconds since noon."""

    keeps_state = takes_one_at_a_time = False

    def __init__(self, channel: Any, station: Station) -> None:
        self.channel = channel
        self.station = station
        self.at: list[float] = []

    async def send(self, *args: Any) -> Any:
        self.at.append(round(self.station.time.wall - NOON, 1))
        return await self.channel.send(*args)


async def test_a_refusal_with_the_status_of_success_is_no_success(station: Station):
    refusal = status(200, '{"ok": false, "error": "channel_not_found"}')
    async with (
        Receiver(refusal).serving() as receiver,
        outlet(settings_of("slack", url=receiver.url)) as ops,
    ):
        await station.open()
        await station.advance(station.queue(ops.channel), until=NOON + 20)
    (delivery,) = await station.stored()
    assert (delivery.state, delivery.attempts, len(receiver.requests)) == (DeliveryState.SENT, 2, 2)


async def test_an_expired_certificate_is_tried_again(station: Station, tmp_path: Path):
    authority = Authority(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority.certificate(expired=True))
    async with Receiver().serving(tls) as receiver:
        settings = settings_of("webhook", url=receiver.url, ca_file=str(authority.file))
        async with outlet(settings) as ops:
            await station.open()
            await station.advance(station.queue(ops.channel), until=NOON + 20)
        assert not receiver.requests
    (delivery,) = await station.stored()
    assert (delivery.state, delivery.attempts) == (DeliveryState.DUE, 3)
    assert "certificate has expired" in delivery.answer


def a_file(folder: Path, url: str, more: str = "") -> Path:
    file = folder / "config.toml"
    file.write_text(
        f'[auth]\nsecret_key = "{SECRET}"\n[database]\npath = "kener.db"\n'
        '[server]\npublic_url = "https://status.example.org"\nbase_path = "/page"\n'
        '[[monitors]]\ntag = "earth"\nname = "Earth"\n[[monitors]]\ntag = "mars"\n'
        f'[[alerts]]\nname = "down"\nto = ["ops"]\n'
        f'[[channels]]\nname = "ops"\nkind = "webhook"\nurl = "{url}"\ngather = "0s"\n{more}'
    )
    return file


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_report_of_down_reaches_a_webhook_and_so_does_its_end(tmp_path: Path):
    clock = FakeClock()
    async with Receiver().serving() as receiver:
        config = load(a_file(tmp_path, receiver.url), {})
        async with running(config, clock) as service:
            await service.beat("earth", "DOWN")
            await until(lambda: len(receiver.requests) == 1)
            service.pass_time(60)
            await service.beat("earth", "UP")
            await until(lambda: len(receiver.requests) == 2)
    path, headers, opened = receiver.requests[0]
    assert path == "/hook/T0PSECRET"
    assert headers["Idempotency-Key"]
    assert opened["status"] == "TRIGGERED"
    assert "https://status.example.org/page/monitor/earth" in json.dumps(opened)
    assert receiver.requests[1][2]["status"] == "RESOLVED"
    assert receiver.requests[1][1]["Idempotency-Key"] != headers["Idempotency-Key"]


async def test_a_reload_swaps_channels(tmp_path: Path):
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Receiver().serving())
        second = await stack.enter_async_context(Receiver().serving())
        config = load(a_file(tmp_path, first.url), {})
        service = await stack.enter_async_context(running(config, FakeClock()))
        await service.beat("earth", "DOWN")
        await until(lambda: len(first.requests) == 1)
        await apply(service.app, load(a_file(tmp_path, second.url), {}))
        await service.beat("mars", "DOWN")
        await until(lambda: len(second.requests) == 1)
    assert len(first.requests) == 1


async def command(*words: str) -> Any:
    """Run a command in a thread, because the receiver needs the loop."""
    return await asyncio.to_thread(CliRunner().invoke, main, [*words])


async def test_a_channel_can_be_tried_listed_and_resumed(tmp_path: Path):
    async with Receiver(status(500, "no"), status(200, "thanks")).serving() as receiver:
        file = a_file(tmp_path, receiver.url, 'secret = "signed-with-this-secret"\n')
        async with running(load(file, {}), FakeClock()) as service:
            await service.app[keys.DATABASE].write(channel_states.pause, "ops", NOON)
        config = ("--config", str(file))
        refused = await command("channel", "test", "ops", *config)
        assert refused.exit_code == 1
        assert "ops: not delivered: answered 500: no" in refused.stderr
        assert "paused since 2025-12-31 12:00:00" in (await command("channel", "list", *config)).stdout

        taken = await command("channel", "test", "ops", *config)
        assert taken.exit_code == 0, taken.output
        assert taken.stdout.startswith("POST http://localhost:")
        assert "Idempotency-Key: " in taken.stdout
        assert '"status": ' in taken.stdout
        assert "200 thanks" in taken.stdout
        for each in (taken, refused):
            assert "T0PSECRET" not in each.output
            assert "signed-with-this-secret" not in each.output
        (listed,) = json.loads((await command("channel", "list", "--json", *config)).stdout)
        assert listed["pausedAt"] is None
        assert listed["lastSentAt"]
        assert (await command("channel", "resume", "ops", *config)).exit_code == 0
        unknown = await command("channel", "test", "opps", *config)
        assert "there is no channel opps" in unknown.stderr
    assert receiver.requests[-1][2]["alert_name"]
