"""The lines of a check give the same samples in [monitors.check] of the server and in [[agent.checks]]."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dns.rcode
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from dns.message import Message

from kener_async.agent import run as agent_runs
from kener_async.agent.async_spool import AsyncSpool
from kener_async.agent.clocks import ClockReading
from kener_async.agent.prober import AgentProber
from kener_async.agent.run import Agent
from kener_async.agent.spool import MeasuredSample
from kener_async.agent.uploader import Uploader
from kener_async.config.checks import NETWORK_KINDS
from kener_async.config.load import load
from kener_async.domain.calendar import minute_of
from kener_async.domain.checks import Attempt
from kener_async.domain.samples import Status
from kener_async.probes.settings import CheckSettings
from kener_async.worker.check_attempts import VantageProber
from kener_async.worker.checks import Checks
from tests.rigs.certificates import Authority
from tests.rigs.checks import Bench, FakeTime
from tests.rigs.device import agent_settings
from tests.rigs.icmp import may_ping
from tests.rigs.name_server import answered, name_server
from tests.rigs.service import NOON

GOOD, BAD = True, False
# What the target is at each attempt of four runs: well, a blip, an outage of two minutes, well again.
STORY = (GOOD, BAD, GOOD, BAD, BAD, GOOD)
BEGINS = tuple(NOON + 50 + 120 * run for run in range(4))  # a retry after 20 s is of the next minute
TOLD = [(0, "UP"), (180, "UP"), (240, "DOWN"), (300, "DOWN"), (360, "UP")]


@dataclass
class Peer:
    """A target of the tests; `is_good` says how it is now."""

    port: int = 0
    is_good: bool = True
    switch: Callable[[], Awaitable[None]] | None = None  # is called when it has become good or bad


@asynccontextmanager
async def http(peer: Peer, _: Path) -> AsyncIterator[None]:
    async def health(_: web.Request) -> web.Response:
        return web.json_response({"queue": 1 if peer.is_good else 999})

    async def feed(request: web.Request) -> web.StreamResponse:
        if not peer.is_good:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            await socket.send_str("pong")
        return socket

    app = web.Application()
    app.add_routes([web.get("/health", health), web.get("/feed", feed)])
    async with TestServer(app) as server:
        peer.port = server.port or 0
        yield


@asynccontextmanager
async def streams(peer: Peer, serve: Callable[..., Any]) -> AsyncIterator[None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        peer.port = server.sockets[0].getsockname()[1]
        yield


@asynccontextmanager
async def tcp(peer: Peer, _: Path) -> AsyncIterator[None]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"PING\r\n"
        writer.write(b"+PONG\r\n" if peer.is_good else b"-ERR\r\n")

    async with streams(peer, serve):
        yield


@asynccontextmanager
async def tls(peer: Peer, folder: Path) -> AsyncIterator[None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Authority(folder).certificate())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if peer.is_good:
            await writer.start_tls(context)
            await reader.read()

    async with streams(peer, serve):
        yield


def greeting(good: bytes, bad: bytes, answer: bytes) -> Callable[[Peer, Path], Any]:
    @asynccontextmanager
    async def running(peer: Peer, _: Path) -> AsyncIterator[None]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(good if peer.is_good else bad)
            while answer and (line := await reader.readline()):
                writer.write(answer.replace(b"TAG", line.split()[0]))

        async with streams(peer, serve):
            yield

    return running


class Echo(asyncio.DatagramProtocol):
    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


@asynccontextmanager
async def udp(peer: Peer, _: Path) -> AsyncIterator[None]:
    """Nobody listens while it is bad, so that no attempt has to wait until its time is over."""
    listening: list[asyncio.DatagramTransport] = []

    async def switch() -> None:
        while listening:
            listening.pop().close()
            await asyncio.sleep(0)  # it is closed then
        if peer.is_good:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: Echo(peer), ("127.0.0.1", peer.port)
            )
            peer.port = transport.get_extra_info("sockname")[1]
            listening.append(transport)

    peer.switch = switch
    await switch()
    yield
    peer.is_good = False
    await switch()


@asynccontextmanager
async def names(peer: Peer, _: Path) -> AsyncIterator[None]:
    def answer(question: Message, _is_datagram: bool) -> Sequence[bytes]:
        reply = answered(question)
        if not peer.is_good:
            reply.answer.clear()
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return [reply.to_wire()]

    async with name_server(answer) as running:
        peer.port = running.port
        yield


@asynccontextmanager
async def nothing(peer: Peer, _: Path) -> AsyncIterator[None]:
    yield


PEERS: dict[str, tuple[Callable[[Peer, Path], Any], str]] = {
    "http": (http, "http = 'http://127.0.0.1:{port}/health'\nexpect = ['json $.queue < 100']"),
    "websocket": (
        http,
        "websocket = 'ws://127.0.0.1:{port}/feed'\nsend = 'ping'\nexpect = ['answer == \"pong\"']",
    ),
    "tcp": (tcp, "tcp = '127.0.0.1:{port}'\nsend = 'PING\\r\\n'\nexpect = ['answer like \"+PONG*\"']"),
    "udp": (udp, "udp = '127.0.0.1:{port}'\nsend = 'echo\\0'\nexpect = ['answer contains \"echo\"']"),
    "tls": (tls, "tls = '127.0.0.1:{port}'\nverify = false\nexpect = ['certificate > 1d']"),
    "dns": (names, "dns = 'www.example.org'\nserver = '127.0.0.1:{port}'"),
    "ssh": (greeting(b"SSH-2.0-test\r\n", b"go away\r\n", b""), "ssh = '127.0.0.1:{port}'"),
    "smtp": (greeting(b"220 mail\r\n", b"554 no\r\n", b"250 mail\r\n"), "smtp = '127.0.0.1:{port}'"),
    "imap": (
        greeting(b"* OK ready\r\n", b"* BYE no\r\n", b"* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n"),
        "imap = '127.0.0.1:{port}'",
    ),
    "pop3": (greeting(b"+OK ready\r\n", b"-ERR no\r\n", b"+OK\r\n.\r\n"), "pop3 = '127.0.0.1:{port}'"),
    "ftp": (greeting(b"220 ftp\r\n", b"421 no\r\n", b"211 End\r\n"), "ftp = '127.0.0.1:{port}'"),
    "ping": (nothing, "ping = '127.0.0.1'"),
}


class Story:
    """A prober of one side, before whose attempts the target becomes what the story says."""

    def __init__(self, inner: VantageProber | AgentProber, peer: Peer) -> None:
        self.inner, self.peer = inner, peer
        self.rest = list(STORY)
        self.attempts: list[Attempt] = []

    async def attempt(self, check: CheckSettings, at: float) -> Attempt:
        self.peer.is_good = self.rest.pop(0)
        if self.peer.switch is not None:
            await self.peer.switch()
        made = await self.inner.attempt(check, at)
        self.attempts.append(made)
        return made

    def keep_only(self, tags: Container[str]) -> None:
        return

    async def close(self) -> None:
        return


async def samples_of_server(check: CheckSettings, prober: Story) -> list[tuple[int, Status]]:
    bench = Bench([check.tag])
    bench.prober = cast(Any, prober)
    bench.checks = _checks_with(bench, prober)
    bench.checks.configure([check])
    async with bench.checks.running():
        for begin in BEGINS:
            _set(bench.time, begin)
            run = asyncio.create_task(bench.checks.run_now(check.tag))
            made = len(prober.attempts)
            while not run.done():
                await asyncio.sleep(0.001)
                if len(prober.attempts) > made:  # it may wait for a retry
                    made = len(prober.attempts)
                    await asyncio.sleep(0.01)
                    if not run.done():
                        _set(bench.time, begin + 20)
                        bench.checks.begin_due()
            await run
    return [(sample.minute, sample.status) for each in bench.records.runs for sample in each]


def _checks_with(bench: Bench, prober: Story) -> Checks:
    before = bench.checks
    return Checks(
        before._states,
        cast(Any, prober),
        before._guard,
        before._records,
        bench.time.stopwatch,
        bench.time.monotonic,
        bench.metrics,
    )


def _set(time: FakeTime, wall: float) -> None:
    time.now += wall - time.wall
    time.wall = wall


async def samples_of_agent(
    check: CheckSettings, prober: Story, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[int, Status]]:
    now = float(NOON)
    kept: list[MeasuredSample] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def add(sample: MeasuredSample) -> None:
        kept.append(sample)

    monkeypatch.setattr(agent_runs, "asyncio", SimpleNamespace(sleep=sleep))
    spool = cast(AsyncSpool, SimpleNamespace(add=add))
    uploader = cast(Uploader, SimpleNamespace(wake=lambda: None))

    def clock() -> ClockReading:
        return ClockReading(now, now, "boot")

    agent = Agent(agent_settings(Path(), "http://a"), spool, cast(Any, prober), uploader, clock)
    for begin in BEGINS:
        now = float(begin)
        await agent._check(check, clock())
    by_minute = {minute_of(int(each.moment.wall)): each.status for each in kept}
    return sorted(by_minute.items())


@pytest.mark.parametrize("kind", NETWORK_KINDS)
async def test_a_check_gives_the_same_samples_when_its_lines_are_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    if kind == "ping" and not may_ping(4):
        pytest.skip("needs permission for ICMP")
    peers, lines = PEERS[kind]
    peer = Peer()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(peers(peer, tmp_path))
        table = f"{lines.format(port=peer.port)}\nretries = 1\ntimeout = 30\n"
        (tmp_path / "config.toml").write_text(
            f'[[monitors]]\ntag = "here"\n[monitors.check]\n{table}[[agent.checks]]\ntag = "here"\n{table}'
        )
        config = load(tmp_path / "config.toml", {})
        (here,), (there,) = config.monitors, config.agent.checks
        assert here.check is not None
        server = VantageProber(config.checks.vantage)
        stack.push_async_callback(server.close)
        on_device = await stack.enter_async_context(AgentProber.opened(config.agent.vantage, {}))
        first, second = Story(server, peer), Story(on_device, peer)
        of_server = await samples_of_server(here.check, first)
        of_agent = await samples_of_agent(there, second, monkeypatch)
    assert of_server == of_agent
    if kind != "ping":  # loopback is always there
        assert [(minute - NOON, status.name) for minute, status in of_server] == TOLD
        reasons = [[each.reason for each in story.attempts] for story in (first, second)]
        assert reasons[0] == reasons[1]
        assert all(0 <= each.seconds < 30 for each in (*first.attempts, *second.attempts))
