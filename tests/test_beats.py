"""Beat keys: heartbeats by fetching an address, and keys that stay secret."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from kener_async import keys
from kener_async.api.http.auth import AUTHENTICATOR, mint
from kener_async.api.http.policy import RoutePolicies
from kener_async.api.http.rate_limit import RATE_LIMITER
from kener_async.app import create_app
from kener_async.config.model import Config
from kener_async.store import tokens
from kener_async.store.tokens import digest_of
from tests.rigs.process import Server, a_config
from tests.rigs.service import NOON, SECRET, FakeClock, Service, a_monitor, running
from tests.rigs.stored_samples import samples_in

KEY = "b7XkTq0cV8hYbN2wLr5sKgmQ3tXq0cV8hYbN2wLr5sK"


async def a_beat(service: Service, key: str = KEY, **fields: Any) -> str:
    """Put a key on record, as the command does."""
    await service.mint(**{"id": "beat", "tags": ("earth",), "digest": digest_of(key)} | fields)
    return key


async def fetch(service: Service, address: str, method: str = "GET", **options: Any) -> tuple[int, str]:
    async with service.client.request(method, address, **options) as reply:
        return reply.status, await reply.text()


def stored(service: Service) -> list[tuple[Any, ...]]:
    """Tag, minute, status and latency of all that is on disk now."""
    path = service.app[keys.RUNNING].config.database.path
    return [(one.tag, one.minute, one.status, one.latency) for one in samples_in(path)]


# What it says


async def test_a_beat_is_counted_with_the_heartbeats(service: Service):
    await a_beat(service)
    for method, path in (("GET", f"/beat/{KEY}"), ("POST", "/beat/unknown"), ("HEAD", f"/beat/{KEY}")):
        await fetch(service, path, method)
    _, told = await fetch(service, "/metrics")
    counted = [line for line in told.splitlines() if line.startswith("kener_heartbeats_total")]
    assert counted == [
        'kener_heartbeats_total{outcome="stored"} 1.0',
        'kener_heartbeats_total{outcome="invalid"} 1.0',
    ]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_beat_is_up_now_and_on_disk_when_it_is_answered(service: Service, method: str):
    await a_beat(service)
    service.clock.now += 77
    assert await fetch(service, f"/beat/{KEY}", method) == (200, "OK")
    assert stored(service) == [("earth", NOON + 60, "UP", 0.0)]


@pytest.mark.parametrize(
    ("query", "status", "latency"),
    [
        ("", "UP", 0.0),
        ("status=DOWN", "DOWN", 0.0),
        ("status=degraded&latency=0.25", "DEGRADED", 0.25),
        ("latency=12", "UP", 12.0),
        ("latency=1e-3&unknown=1", "UP", 0.001),
    ],
)
async def test_a_beat_may_say_its_status_and_latency(
    service: Service, query: str, status: str, latency: float
):
    await a_beat(service)
    assert await fetch(service, f"/beat/{KEY}?{query}") == (200, "OK")
    assert stored(service) == [("earth", NOON, status, latency)]


@pytest.mark.parametrize(
    "query",
    ["status=", "status=up%20", "status=MAINTENANCE", "status=0", "latency=", "latency=-1", "latency=nan",
     "latency=inf", "latency=1e999", "latency=0x10", "latency=1_0", "latency=%C2%B2", "latency=fast"],
)  # fmt: skip
async def test_what_a_beat_cannot_say_is_named_and_not_stored(service: Service, query: str):
    await a_beat(service)
    status, text = await fetch(service, f"/beat/{KEY}?{query}")
    assert status == 400
    assert text.startswith(f"{query.partition('=')[0]}: must be ")
    assert stored(service) == []


async def test_head_tells_whether_a_key_is_good_and_stores_nothing(service: Service):
    await a_beat(service)
    assert await fetch(service, f"/beat/{KEY}", "HEAD") == (200, "")
    assert (await fetch(service, "/beat/other", "HEAD"))[0] == 404
    assert stored(service) == []


async def test_the_body_of_a_beat_is_not_read(service: Service):
    await a_beat(service)
    assert await fetch(service, f"/beat/{KEY}", "POST", data=b"\xff" * 1_000_000) == (200, "OK")


async def test_answers_are_text_and_kept_by_no_cache(service: Service):
    await a_beat(service)
    for address in (f"/beat/{KEY}", f"/beat/{KEY}?status=x", "/beat/other"):
        async with service.client.get(address, headers={"Accept": "text/html"}) as reply:
            assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert reply.headers["Cache-Control"] == "no-store"


async def test_another_method_is_refused_in_text(service: Service):
    await a_beat(service)
    assert await fetch(service, f"/beat/{KEY}", "DELETE") == (405, "method not allowed")


async def test_a_beat_is_heard_below_the_base_path_too(config: Config, clock: FakeClock):
    below = replace(config, server=replace(config.server, base_path="/status"))
    async with running(below, clock) as service:
        await a_beat(service)
        assert await fetch(service, f"/status/beat/{KEY}") == (200, "OK")
        assert (await fetch(service, "/status/beat/other"))[1] == "not found"
        assert len(stored(service)) == 1


# The key


@pytest.mark.parametrize("key", ["", "x", KEY[:-1], f"{KEY}x", KEY.lower(), "beat", "%00", "%FF", "a/b", "."])
async def test_no_other_key_is_good(service: Service, key: str):
    await a_beat(service)
    assert (await fetch(service, f"/beat/{key}"))[0] in (400, 404)
    assert stored(service) == []


async def test_a_key_on_record_is_not_the_key_itself(service: Service):
    await a_beat(service)
    path = service.app[keys.RUNNING].config.database.path
    with closing(sqlite3.connect(path)) as connection:
        (row,) = connection.execute("SELECT * FROM tokens WHERE id = 'beat'").fetchall()
    assert digest_of(KEY) in row
    assert KEY not in row
    assert (await fetch(service, f"/beat/{digest_of(KEY).hex()}"))[0] == 404


async def test_a_revoked_key_is_refused_from_the_next_look_at_the_database_on(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    await a_beat(service)
    monkeypatch.setattr(tokens, "REVOKED_WITHIN", 0)
    assert (await fetch(service, f"/beat/{KEY}"))[0] == 200
    await service.app[keys.DATABASE].write(lambda connection: tokens.revoke(connection, "beat", NOON))
    assert await fetch(service, f"/beat/{KEY}") == (404, "not found")


async def test_a_key_may_expire(service: Service):
    await a_beat(service, expires_at=NOON + 60)
    assert (await fetch(service, f"/beat/{KEY}"))[0] == 200
    service.pass_time(60)
    assert await fetch(service, f"/beat/{KEY}") == (404, "not found")


async def test_a_key_of_a_monitor_that_was_taken_away_is_not_good(service: Service):
    await a_beat(service)
    await service.configure(a_monitor("mars"))
    assert await fetch(service, f"/beat/{KEY}") == (404, "not found")


async def test_a_key_opens_nothing_else(service: Service):
    await a_beat(service)
    assert (await service.ask("GET", "/api/status?tag=earth", KEY))[0] == 401
    record = (await service.app[keys.DATABASE].read(tokens.all_tokens))["beat"]
    forged = mint(SECRET.encode(), replace(record, digest=None))
    assert (await service.ask("GET", "/api/status?tag=earth", forged))[0] == 401


async def test_a_token_is_no_key(service: Service):
    assert (await fetch(service, f"/beat/{service.token}"))[0] == 404


async def test_when_a_key_was_last_used_is_noted(service: Service):
    await a_beat(service)
    service.pass_time(300)
    await fetch(service, f"/beat/{KEY}")
    await service.app[AUTHENTICATOR].note_uses()
    assert (await service.app[keys.DATABASE].read(tokens.all_tokens))["beat"].last_used == NOON + 300


async def test_only_allowed_addresses_may_use_a_key(service: Service):
    await a_beat(service)
    service.change("auth", allowed_ips=(ip_network("203.0.113.0/24"),))
    assert await fetch(service, f"/beat/{KEY}") == (401, "invalid ip: 127.0.0.1")
    service.change("auth", allowed_ips=(ip_network("127.0.0.1"),))
    assert (await fetch(service, f"/beat/{KEY}"))[0] == 200


async def test_a_key_has_its_own_share(service: Service):
    service.change("ingest", token_rate=1, token_burst=2)
    service.app[RATE_LIMITER]._clock = lambda: 1000.0
    await a_beat(service)
    await a_beat(service, "another-key", id="other")
    answers: list[ClientResponse] = [await service.client.get(f"/beat/{KEY}") for _ in range(4)]
    assert [reply.status for reply in answers] == [200, 200, 429, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert (await fetch(service, "/beat/another-key"))[0] == 200


# Logs


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/beat/KEY", "/beat/***"),
        ("/status/beat/KEY/x", "/status/beat/***"),
        ("//beat/KEY", "//beat/***"),
        ("/Beat/KEY", "/Beat/***"),
        ("/beat/KEY\n/x", "/beat/***"),
        ("/ping/uuid/start", "/ping/***"),
        ("/api/push/token", "/api/push/***"),
        ("/api/v1/endpoints/core_api/external", "/api/v1/endpoints/core_api/external"),
        ("/api/status", "/api/status"),
        ("/beat/", "/beat/"),
    ],
)
def test_a_path_is_logged_without_its_secret(config: Config, path: str, logged: str):
    assert RoutePolicies(create_app(config).router).masked(path) == logged


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path, a_config({"log": {"level": "debug", "requests": "all"}})) as server:
        yield server.start()


async def curl(*words: str) -> tuple[int, str]:
    """Exit status and output of curl, called as in the documentation."""
    command = ("curl", "-fsS", "-m", "10", "--retry", "5", *words)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.mark.process
async def test_a_key_made_by_the_command_beats_is_listed_and_revoked_and_never_logged(server: Server):
    made = server.run("token", "create", "--init", "--beat", "--tag", "earth")
    key = made.stdout.strip()
    assert (made.returncode, made.stdout, made.stderr) == (0, f"{key}\n", "")
    assert len(key) * 6 >= 128
    base = f"http://127.0.0.1:{server.port}"

    assert await curl(f"{base}/beat/{key}") == (0, "OK")
    assert await curl(f"{base}/beat/{key}?status=DEGRADED&latency=0.8") == (0, "OK")
    assert (await curl(f"{base}/beat/{key}?status=x"))[0] == 22
    assert (await curl(f"{base}/wrong/beat/{key}"))[0] == 22
    assert (await curl("-X", "DELETE", f"{base}/beat/{key}"))[0] == 22

    (record,) = json.loads(server.run("token", "list", "--json").stdout)
    assert (record["beat"], record["name"], record["tags"]) == (True, "earth", ["earth"])
    assert (record["expires_at"], "digest" in record) == (None, False)
    text = server.run("token", "list").stdout
    assert text.splitlines()[1].split() == [
        *(record["id"], "valid", "never", "never", "earth", "beat", "earth")
    ]

    assert server.run("token", "revoke", record["id"]).returncode == 0
    assert (await curl(f"{base}/beat/{key}"))[0] == 22
    lines = [line for line in server.logs() if line["event"] == "answered"]
    assert [line["status"] for line in lines] == [200, 200, 400, 404, 405, 404]
    assert {line["path"] for line in lines} == {"/beat/***", "/wrong/beat/***"}
    assert key not in server.log_text()


@pytest.mark.process
async def test_a_beat_that_fails_for_a_fault_of_ours_is_logged_without_its_key(tmp_path: Path):
    fault = """
from kener_async.api.compat.senders import SenderReports
async def broken(*_): raise RuntimeError("broken on purpose")
SenderReports.store = broken
"""
    with Server(tmp_path, fault=fault) as server:
        server.start()
        key = server.run("token", "create", "--init", "--beat", "--tag", "earth").stdout.strip()
        process = await asyncio.create_subprocess_exec(
            *("curl", "-s", f"http://127.0.0.1:{server.port}/beat/{key}"), stdout=asyncio.subprocess.PIPE
        )
        assert (await process.communicate())[0] == b"internal error"
        failed = server.until_logged("a request failed")
        assert failed["path"] == "/beat/***"
        assert "broken on purpose" in failed["exception"]
        assert key not in server.log_text()


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--beat",), "exactly one --tag"),
        (("--beat", "--tag", "earth", "--tag", "mars"), "exactly one --tag"),
        (("--beat", "--tag", "site-*"), "without * ? ["),
        (("--beat", "--tag", "earth", "--scope", "admin"), "has no --scope"),
        (("--tag", "earth"), "Missing option '--name'"),
    ],
)
def test_a_key_is_for_exactly_one_monitor(tmp_path: Path, words: tuple[str, ...], fault: str):
    refused = Server(tmp_path).run("token", "create", *words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert fault in refused.stderr


@pytest.mark.process
def test_a_key_for_a_monitor_that_is_not_configured_is_made_with_a_warning(tmp_path: Path):
    made = Server(tmp_path).run(
        "token", "create", "--init", "--beat", "--tag", "pluto", "--name", "p", "--expires", "1d"
    )
    assert made.returncode == 0
    assert "no monitor of the configuration has the tag pluto" in made.stderr
    assert made.stdout.strip() not in made.stderr
