"""Faults of this server within the whole service: nothing is stored, one line is logged, and it is counted.

The worker and the probes are the real ones; what they call in the system fails on purpose.
"""

import asyncio
import errno
import os
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kener_async import keys
from kener_async.domain.checks import Attempt, Obstacle
from kener_async.domain.samples import Status
from kener_async.probes.settings import HttpTarget, OAuth, PingTarget, Target
from kener_async.store import check_faults
from tests.rigs.checks import a_check
from tests.rigs.icmp import may_ping
from tests.rigs.service import FakeClock, Service, running
from tests.test_check_service import config_of, stored

RUNS = 3
LOOK_UP = socket.getaddrinfo
Fault = Callable[["Shop"], AbstractContextManager[None]]


class Shop:
    """A target, and the service that has the token for it, which may be withheld."""

    def __init__(self) -> None:
        self.token_status = 200
        app = web.Application()
        app.router.add_get("/", self._answer)
        app.router.add_post("/token", self._token)
        self.server = TestServer(app)

    async def __aenter__(self) -> "Shop":
        await self.server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.close()

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _token(self, _: web.Request) -> web.Response:
        return web.json_response({"access_token": "t"}, status=self.token_status)

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server.port}/"


class FailingSockets(socket.socket):
    """New sockets cannot be made, but those that accept makes."""

    number = 0

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        if fileno is None:
            raise OSError(self.number, os.strerror(self.number))
        super().__init__(family, type, proto, fileno)


@contextmanager
def no_threads(_: Shop) -> Iterator[None]:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "look-up":
            raise RuntimeError("can't start new thread")
        start(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield


@contextmanager
def names_held(_: Shop) -> Iterator[None]:
    """Look-ups hang, so that the threads for them are all in use."""
    released = threading.Event()

    def held(*question: Any, **options: Any) -> Any:
        released.wait()
        return to_ourselves(*question, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", held)
        yield
        released.set()


@contextmanager
def patched(put: Callable[[pytest.MonkeyPatch], None]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        put(patch)
        yield


def no_token(shop: Shop) -> AbstractContextManager[None]:
    return patched(lambda patch: patch.setattr(shop, "token_status", 403))


def requests(shop: Shop) -> Sequence[Target]:
    return (HttpTarget(shop.url()), HttpTarget(f"{shop.url()}?2"))


def with_tokens(shop: Shop) -> Sequence[Target]:
    return (HttpTarget(shop.url(), oauth=OAuth(f"{shop.url()}token", "us", "s3cret")),)


def pings(_: Shop) -> Sequence[Target]:
    return (PingTarget("127.0.0.1", 1),)


def names(shop: Shop) -> Sequence[Target]:
    return tuple(HttpTarget(shop.url(f"{name}.test")) for name in ("a", "b", "c"))


def no_sockets(number: int) -> Fault:
    failing = type("Failing", (FailingSockets,), {"number": number})
    return lambda _: patched(lambda patch: patch.setattr(socket, "socket", failing))


@pytest.mark.parametrize(
    ("fault", "targets", "obstacle", "reason"),
    [
        (no_sockets(errno.EMFILE), requests, Obstacle.FILES, "too many open files"),
        (no_sockets(errno.ENFILE), requests, Obstacle.FILES, "too many open files in the system"),
        (no_sockets(errno.ENOMEM), requests, Obstacle.MEMORY, "cannot allocate memory"),
        (no_sockets(errno.ENOBUFS), requests, Obstacle.MEMORY, "no buffer space"),
        (no_sockets(errno.EACCES), pings, Obstacle.PERMISSION, "no permission to ping"),
        (no_sockets(errno.EPERM), pings, Obstacle.PERMISSION, "no permission to ping"),
        (no_token, with_tokens, Obstacle.SECRET, "no token"),
        (no_threads, names, Obstacle.MEMORY, "no thread can be started"),
        (names_held, names, Obstacle.NAMES, "no thread was free"),
    ],
    ids=lambda value: value.value if isinstance(value, Obstacle) else "",
)
async def test_a_fault_of_our_own_is_no_sample_one_line_and_counted(
    fault: Fault,
    targets: Callable[[Shop], Sequence[Target]],
    obstacle: Obstacle,
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", to_ourselves)
    async with Shop() as shop, checking(tmp_path, targets(shop)) as service:
        number = len(targets(shop))
        with fault(shop):
            failed = [attempt for _ in range(RUNS) for attempt in await run_all(service)]
        assert [(each.status, each.obstacle) for each in failed] == [(None, obstacle)] * (RUNS * number)
        assert any(reason in attempt.reason for attempt in failed), failed
        assert await stored(service) == []
        assert counted(service, obstacle) == RUNS * number
        assert [len(await facts(service, tag)) for tag in tags(service)] == [1] * number
        assert logged(capsys) == ["checks cannot be measured"]

        if targets is pings and not may_ping(4):
            return
        measured = [attempt for _ in range(RUNS) for attempt in await run_all(service)]
        assert [each.status for each in measured] == [Status.UP] * (RUNS * number)
        assert len(await stored(service)) == RUNS * number
        assert counted(service, obstacle) == RUNS * number
        assert logged(capsys) == ["checks can be measured again"]


def logged(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of the log about checks since the last call."""
    return re.findall("checks (?:cannot|can) be measured(?: again)?", capsys.readouterr().out)


def to_ourselves(host: str, *question: Any, **options: Any) -> Any:
    return LOOK_UP("127.0.0.1", *question, **options)


@asynccontextmanager
async def checking(folder: Path, targets: Sequence[Target]) -> AsyncIterator[Service]:
    """The service with a check of each target, and one thread that looks up names."""
    checks = [
        replace(a_check(f"m{number}", timeout=0.5, retries=2, retry_every=0), target=target)
        for number, target in enumerate(targets)
    ]
    config = config_of(folder, *checks)
    config = replace(config, checks=replace(config.checks, resolver_threads=1))
    async with running(config, FakeClock()) as service:
        yield service


def tags(service: Service) -> list[str]:
    return [each.tag for each in service.app[keys.RUNNING].config.monitors if each.check is not None]


async def run_all(service: Service) -> list[Attempt]:
    """Run every check at the same time, in a minute of its own."""
    service.pass_time(60)
    ran = await asyncio.gather(*(service.app[keys.CHECKS].run_now(tag) for tag in tags(service)))
    return [attempt for attempts in ran for attempt in attempts]


async def facts(service: Service, tag: str) -> Sequence[Attempt]:
    state = service.app[keys.STATES].find(tag)
    assert state is not None
    found: Sequence[Attempt] = await service.app[keys.DATABASE].read(check_faults.recent, state.id, 10)
    return found


def counted(service: Service, obstacle: Obstacle) -> float:
    registry = service.app[keys.METRICS].registry
    return registry.get_sample_value("kener_checks_not_measured_total", {"why": obstacle.value}) or 0.0
