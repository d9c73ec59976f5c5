"""Connections of clients that are slow or do not read: disconnected in time, in bounded memory.

`make soak` does it with 8,000 connections (tests/soak/slow_clients.py).
"""

import asyncio
import re
import shutil
import socket
import time
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest
from aiohttp import web

from kener_async.metrics import Metrics
from kener_async.process import connections
from kener_async.process.connections import Connections, HttpConnection
from tests.rigs.process import Server, a_config
from tests.soak import slow_clients

pytestmark = pytest.mark.process

MEMORY_MB = 256  # the limit of the unit


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="prlimit is missing")
async def test_300_clients_that_read_nothing_fit_the_units_memory_and_hold_up_no_heartbeat(tmp_path: Path):
    with slow_clients.serving(tmp_path, 300, MEMORY_MB) as server:
        report = await slow_clients.run(server, 300, 15, ("reader",))
        assert report.is_ok, str(report)
        assert report.peak_mb < MEMORY_MB / 2, str(report)
        assert server.stop() == 0


async def test_slow_clients_of_every_kind_are_disconnected_in_time(tmp_path: Path):
    with slow_clients.serving(tmp_path, 500) as server:
        report = await slow_clients.run(server, 500, 15)
        assert report.is_ok, str(report)
        assert len(report.heartbeats) > 50


@pytest.fixture
def server(tmp_path: Path):
    settings = {"server": {"request_timeout_seconds": 1}}
    with Server(tmp_path, a_config(settings, slow_clients.TAGS)).start() as started:
        yield started


def test_a_client_that_reads_slowly_gets_all_its_pages(server: Server):
    """It takes longer than the timeout for all of them, but never as long without reading anything."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as client:
        client.sendall(slow_clients.PAGE * 12)
        answered, tail, began = 0, b"", time.monotonic()
        while answered < 12:
            part = client.recv(65536)
            assert part, f"disconnected after {answered} pages"
            answered += (tail + part).count(b"HTTP/1.1 200 ")
            tail = part[-12:]
            time.sleep(0.05)
    assert time.monotonic() - began > 1.5


def test_no_further_request_of_a_connection_is_handled_while_an_answer_waits(server: Server):
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as client:
        client.sendall(slow_clients.PAGE * 30)
        assert client.recv(1)  # the first page has been made
        time.sleep(0.5)
        with urlopen(f"http://127.0.0.1:{server.port}/metrics") as reply:
            metrics = reply.read().decode()
    (handled,) = re.findall(r'kener_pages_served_total\{status="200"\} (\S+)', metrics)
    assert 1 <= float(handled) < 6


def test_a_stop_does_not_wait_for_a_client_that_does_not_read(server: Server):
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as client:
        client.sendall(slow_clients.PAGE * 30)
        time.sleep(0.3)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 9


class FakeConnection:
    def __init__(self) -> None:
        self.aborted = ""

    def abort(self, reason: str) -> None:
        self.aborted = reason


async def test_over_the_bound_of_waiting_bytes_those_that_waited_longest_are_aborted():
    every = Connections(10, Metrics())
    clients = [FakeConnection() for _ in range(5)]
    share = connections.MAX_WAITING // 4
    for client in clients[:4]:
        every.start_waiting(client, share)  # type: ignore[arg-type]
    assert [client.aborted for client in clients] == [""] * 5
    every.stop_waiting(clients[1])  # type: ignore[arg-type]
    every.start_waiting(clients[1], share)  # type: ignore[arg-type]
    every.start_waiting(clients[4], 1)  # type: ignore[arg-type]
    assert [client.aborted for client in clients] == ["memory", "", "", "", ""]


async def test_one_answer_larger_than_the_bound_is_sent_to_a_client_that_is_alone():
    every, client = Connections(10, Metrics()), FakeConnection()
    every.start_waiting(client, connections.MAX_WAITING * 2)  # type: ignore[arg-type]
    assert not client.aborted


async def _answer(_: web.BaseRequest) -> web.StreamResponse:
    raise NotImplementedError


class FakeTransport(asyncio.Transport):
    """`size` bytes wait for the client."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self.is_aborted = False
        self.socket = socket.socket()

    def get_write_buffer_size(self) -> int:
        return self.size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.socket if name == "socket" else default

    def close(self) -> None: ...

    def abort(self) -> None:
        self.is_aborted = True


@pytest.mark.parametrize(
    ("sizes", "aborted_at"),
    [
        ([0] * 30, None),
        ([100] * 30, 10),
        ([100, 0] * 15, None),
        ([200, *[100] * 29], 11),
        ([1000 - second for second in range(119)], None),
        ([1000 - second for second in range(130)], 120),  # it drips
    ],
)
async def test_the_deadline_of_an_answer_is_the_timeout_without_progress_and_twelve_in_all(
    sizes: list[int], aborted_at: int | None
):
    transport, every = FakeTransport(), Connections(10, Metrics())
    connection = HttpConnection(web.Server(_answer), every, 10, asyncio.get_running_loop())
    connection.connection_made(transport)
    aborted = None
    for second, size in enumerate(sizes):
        if size == 0 and transport.size:
            connection.pause_writing()
            connection.resume_writing()
        transport.size = size
        connection.check_progress(float(second))
        if transport.is_aborted:
            aborted = second
            break
    assert aborted == aborted_at
    connection.connection_lost(None)
    transport.socket.close()
