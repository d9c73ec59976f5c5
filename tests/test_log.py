"""The log: it says why a request was refused and for whom, is bounded, and cannot control a terminal."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from kener_async import log as logs
from kener_async.api.http.request_log import REQUEST_LOG
from kener_async.api.status import ReportIntake
from kener_async.config.model import LogConfig
from kener_async.log import LineRate
from tests.rigs.process import Client, Server, a_config, connected
from tests.rigs.service import NOON, Service

BEAT = {"tag": "earth", "status": "UP", "latency": 0.1}


async def lines_of(service: Service, method: str, path: str, token: str | None = None, **options: Any) -> Any:
    with capture_logs() as captured:
        await service.ask(method, path, token, **options)
    return [line for line in captured if line["event"] in ("answered", "samples rejected")]


@pytest.mark.parametrize(
    ("body", "error", "tag"),
    [
        ({"tag": "pluto"}, "invalid tag", "pluto"),
        ({"tag": "Earth"}, 'invalid tag, did you mean "earth"?', "Earth"),
        ({"timestampInSeconds": NOON + 3600}, "timestampInSeconds is in future", "earth"),
        ({"tag": "venus" * 500}, "invalid tag", ("venus" * 500)[:64]),
    ],
)
async def test_a_refused_heartbeat_is_logged_with_why_for_whom_and_from_where(
    service: Service, body: dict[str, Any], error: str, tag: str
):
    (line,) = await lines_of(service, "POST", "/api/status", json=BEAT | body)
    assert (line["status"], line["error"], line["tag"]) == (400, error, tag)
    assert (line["token"], line["token_id"], line["peer"]) == ("test", "token-0", "127.0.0.1")


@pytest.mark.parametrize(
    ("method", "path", "options", "expected"),
    [
        ("GET", "/api/status?tag=pluto", {}, {"error": "invalid tag", "tag": "pluto", "token": "test"}),
        ("GET", "/api/monitors/pluto/uptime", {}, {"error": "invalid tag", "tag": "pluto", "token": "test"}),
        (
            "POST",
            "/api/incident",
            {"json": {"title": "x", "tags": ["earth", "pluto"]}},
            {"tag": "earth, pluto"},
        ),
        ("POST", "/api/status", {"data": b"[]"}, {"token": "test"}),
        ("POST", "/api/status", {"token": "forged", "data": b"{}"}, {"error": "invalid token"}),
        ("GET", "/nowhere", {}, {"error": "not found"}),
    ],
)
async def test_every_refusal_says_what_is_known_of_it(
    service: Service, method: str, path: str, options: dict[str, Any], expected: dict[str, str]
):
    (line,) = await lines_of(service, method, path, **options)
    assert line.items() >= expected.items()


async def test_samples_that_a_batch_loses_are_logged(service: Service):
    samples = [BEAT, BEAT | {"tag": "pluto"}, BEAT | {"tag": "venus"}, 7]
    (line,) = await lines_of(service, "POST", "/api/status/batch", json={"samples": samples})
    assert line["samples"] == 3
    assert (line["error"], line["tag"], line["token"]) == ("invalid tag", "pluto, venus", "test")


async def test_what_anybody_can_make_the_log_hold_is_bounded(service: Service):
    with capture_logs() as captured:
        for number in range(300):
            async with service.client.get(f"/{number}/{'x' * 4000}") as reply:
                assert reply.status == 404
        await service.ask("POST", "/api/status", json={})
        service.app[REQUEST_LOG]._tell_left_out()
    anonymous = [line for line in captured if line["event"] == "answered" and "token" not in line]
    assert 200 <= len(anonymous) < 260
    assert max(len(line["path"]) for line in anonymous) <= 300
    assert [line["token"] for line in captured if "token" in line] == ["test"]  # not hidden by the flood
    (told,) = [line for line in captured if line["event"].startswith("lines left out")]
    assert told["anonymous"] == 300 - len(anonymous)


async def test_exceptions_are_bounded_too(service: Service, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any) -> None:
        raise RuntimeError("x")

    monkeypatch.setattr(ReportIntake, "add", fail)
    with capture_logs() as captured:
        for _ in range(40):
            status, _ = await service.ask("POST", "/api/status", json=BEAT)
            assert status == 500
    assert 20 <= sum(line["event"] == "a request failed" for line in captured) < 30


def test_a_rate_of_lines_has_a_burst_and_fills_again():
    now = 100.0
    rate = LineRate(2, 3, lambda: now)
    assert [rate.admits() for _ in range(5)] == [True, True, True, False, False]
    now += 0.5
    assert [rate.admits(), rate.admits()] == [True, False]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What the log writes, in the format of the test's parameter."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure(LogConfig(request.param, "debug", "errors"))
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


HOSTILE = "\x1b[2Jx\r\n\x9b31m\u2028\u202e\x00"


@pytest.mark.parametrize("written", ["text", "json"], indirect=True)
def test_no_value_reaches_a_terminal_as_a_command(written: io.StringIO):
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        structlog.get_logger("kener_async.test").exception(HOSTILE, path=HOSTILE, more=[HOSTILE])
    logging.getLogger("somebody").warning("%s", HOSTILE)
    text = written.getvalue()
    assert "\\x1b" in text or "\\u001b" in text
    assert not set(text) & set("\x1b\x9b\r\u2028\u202e\x00")


@pytest.mark.parametrize("written", ["json"], indirect=True)
def test_a_library_that_repeats_itself_is_bounded_and_drivers_are_quiet_at_debug(written: io.StringIO):
    logging.getLogger("aiosqlite").debug("executing")
    for _ in range(1000):
        logging.getLogger("asyncio").error("socket.accept() out of system resource")
    logging.getLogger("kener_async.x").debug("ours")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert 20 <= len(lines) < 30
    assert lines[-1]["event"] == "ours"


@pytest.mark.process
def test_at_debug_the_log_of_a_heartbeat_is_ours_alone(tmp_path: Any):
    async def beat(client: Client) -> int:
        return (await client.ask("POST", "/api/status", BEAT)).status

    async def beats() -> list[int]:
        async with connected(server.port, token) as client:
            return [await beat(client) for _ in range(20)]

    with Server(tmp_path, a_config({"log": {"level": "debug"}})).start() as server:
        token = server.add_token()
        before = len(server.logs())
        assert set(asyncio.run(beats())) == {200}
        assert len(server.logs()) - before < 5
