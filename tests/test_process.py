"""The server as a process: starts, refused starts, stops, kills, and disk errors.

Tests that need more than Python are skipped where it is missing, but not where CI is set.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from kener_async.errors import WRITABLE_DISK
from kener_async.store.sqlite.migrations import VERSION
from tests.rigs.disk import may_mount, small_disk
from tests.rigs.process import (
    ROOT,
    Client,
    Refused,
    Senders,
    Server,
    Unanswered,
    a_config,
    compare,
    connected,
    integrity,
)
from tests.soak import clock, kill

pytestmark = pytest.mark.process

TAGS = [f"m{number}" for number in range(8)]
BEAT = {"tag": "earth", "status": "UP", "latency": 0.1}


def needs(is_there: object, what: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not is_there and "CI" not in os.environ, reason=f"{what} is missing")


def strace(call: str, injection: str) -> list[str]:
    """Run what follows with a system call tampered with; -D: the process started is the server itself."""
    tampering = ["-e", f"trace={call}", "-e", f"inject={call}:{injection}"]
    return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", *tampering]


NEEDS_STRACE = needs(shutil.which("strace"), "strace")
NEEDS_MOUNT = needs(shutil.which("unshare") and may_mount(), "the right to mount in a namespace")
NEEDS_FAKETIME = needs(clock.preload(), "libfaketime")


def program(*words: str, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=30,
        check=False,
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Not started yet."""
    with Server(tmp_path) as one:
        yield one


# Stopping


async def is_refused(port: int) -> bool:
    async with connected(port) as client:
        try:
            await client.ask("GET", "/healthz")
        except Refused:
            return True
        except Unanswered:
            return False
    return False


async def until_refused(port: int) -> None:
    """Until nobody new is let in; TimeoutError when that takes as long as a stop may."""
    async with asyncio.timeout(5):
        while not await is_refused(port):
            pass


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([], id="at full speed"),
        pytest.param(strace("fdatasync", "delay_enter=150000"), id="with a slow disk", marks=NEEDS_STRACE),
    ],
)
async def test_a_stop_under_load_answers_what_was_accepted_and_keeps_it(tmp_path: Path, before: list[str]):
    settings = {"server": {"shutdown_seconds": 5}}
    with Server(tmp_path, a_config(settings, TAGS), before=before) as server:
        token = server.add_token()
        await asyncio.to_thread(server.start)
        async with Senders(server.port, token, TAGS, clients=16).running() as sent:
            await asyncio.sleep(0.7)
            under_way = set(sent.unanswered)
            told = time.monotonic()
            server.send(signal.SIGTERM)
            await until_refused(server.port)
            status = await asyncio.to_thread(server.wait, 10)
            took = time.monotonic() - told
        assert status == 0
        assert took < 5
        # What is sent while the connection is being closed was not accepted; HTTP has clients send it again.
        assert [told - at for at in sent.unanswered_at if at < told - 0.05] == []
        if before:
            assert len(under_way & sent.acked.keys()) >= 8
        assert sent.acked
        assert sent.odd == []
        assert compare(server.database, sent).is_ok


def test_slow_clients_cannot_hold_a_stop(tmp_path: Path):
    settings = {"server": {"shutdown_seconds": 3, "request_timeout_seconds": 60}}
    with Server(tmp_path, a_config(settings)) as server:
        token = server.add_token()
        server.start()
        post = (
            f"POST /api/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 99\r\n"
        )
        starts = [b"", b"GET /healthz HT", (post + "\r\n").encode() + b'{"tag":']
        connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in starts]
        try:
            for connection, start in zip(connections, starts, strict=True):
                connection.sendall(start)
            time.sleep(0.2)
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 3.5
        finally:
            for connection in connections:
                connection.close()


def test_a_stopped_server_leaves_one_whole_file(server: Server):
    server.mint()
    server.start()
    assert server.stop() == 0
    assert not Path(f"{server.database}-wal").exists()
    assert integrity(server.database) == "ok"


# Starting


def refusal(server: Server) -> str:
    """The reason, which must be all that is said, by a server that must not start."""
    server.launch()
    assert server.wait() == 1
    (line,) = (each for each in server.logs() if each["event"] != "a new database is made")
    assert (line["level"], line["event"]) == ("critical", "cannot start")
    assert "Traceback" not in server.log_text()
    reason: str = line["reason"]
    return reason


def test_a_second_server_on_the_same_database_is_refused(tmp_path: Path, server: Server):
    server.start()
    (tmp_path / "second").mkdir()
    with Server(tmp_path / "second", database=server.database) as second:
        assert refusal(second) == f"{server.database}: another server is running on this database"
    assert server.stop() == 0


def newer(server: Server) -> str:
    server.mint()
    with closing(sqlite3.connect(server.database)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    return f"was written by a newer version (schema {VERSION + 1}; this program knows {VERSION})"


def foreign(server: Server) -> str:
    with closing(sqlite3.connect(server.database)) as connection:
        connection.execute("CREATE TABLE albums (title)")
    return "is a database of another program"


def no_database(server: Server) -> str:
    server.database.write_bytes(b"A letter, not a database. " * 200)
    return "file is not a database"


def folder_that_cannot_be_made(server: Server) -> str:
    (server.folder / "file").write_text("")
    server.database = server.folder / "file" / "kener.db"
    return f"{server.folder / 'file'}: cannot be made"


def short_key(server: Server) -> str:
    (server.folder / "key").write_text("too short")
    os.chmod(server.folder / "key", 0o600)
    server.config.write_text('[auth]\nsecret_key_file = "key"\n')
    return f"{server.folder / 'key'}: the key is shorter than 32 bytes"


def missing_key(server: Server) -> str:
    server.config.write_text('[auth]\nsecret_key_file = "key"\n')
    return "the key cannot be read: No such file or directory"


@pytest.mark.parametrize(
    "prepare",
    [newer, foreign, no_database, folder_that_cannot_be_made, short_key],
)
def test_what_cannot_be_used_is_named_in_one_line(server: Server, prepare: Any):
    text = prepare(server)
    reason = refusal(server)
    assert text in reason
    assert str(server.folder) in reason


def test_a_port_in_use_is_named(server: Server):
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", server.port))
        other.listen()
        assert refusal(server) == f"127.0.0.1:{server.port}: Address already in use"


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["serve"], ["server.port", "ingest.max_queu", 'monitors["no tag"].tag']),
        (["token", "create", "--name", "x"], ["ingest.max_queu"]),  # of the tables that it reads
    ],
)
def test_every_fault_of_the_configuration_is_named(server: Server, command: list[str], named: list[str]):
    server.config.write_text('[server]\nport = "x"\n[ingest]\nmax_queu = 1\n[[monitors]]\nname = "no tag"\n')
    done = server.run(*command)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    places = [line.split(": ")[1] for line in done.stderr.splitlines()]
    assert places == named


@pytest.mark.parametrize("prepare", [newer, folder_that_cannot_be_made, missing_key])
def test_a_command_says_in_one_line_what_it_cannot_use(server: Server, prepare: Any):
    text = prepare(server)
    done = server.run("token", "create", "--init", "--name", "x")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert text in line


def test_a_mistyped_command_is_named(server: Server):
    for words in (["strat"], ["--config", "config.toml", "strat"], ["--config=config.toml", "strat", "-v"]):
        done = program(*words, cwd=server.folder)
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]
        assert last == 'Error: there is no command strat, did you mean "status"?'


@pytest.mark.parametrize(
    "words",
    [
        ["fly"],
        ["serve", "--port", "99999"],
        ["token", "create"],
        ["token", "create", "--name=x", "--expires=soon"],
    ],
)
def test_a_usage_error_exits_with_2(server: Server, words: list[str]):
    done = program(*words, cwd=server.folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Error: " in done.stderr


def test_the_configuration_is_found_where_it_is_named(tmp_path: Path):
    for count, name in enumerate(("config.toml", "one.toml", "two.toml", "three.toml")):
        (tmp_path / name).write_text(a_config(None, TAGS[:count]))
    check = "check-config"
    named = {"KENER_CONFIG": "one.toml"}
    runs = [
        program(check, cwd=tmp_path),
        program(check, cwd=tmp_path, **named),
        program(check, "--config", "two.toml", cwd=tmp_path, **named),
        program("--config", "three.toml", check, cwd=tmp_path, **named),
    ]
    found = [done.stderr.partition("OK: ")[2].partition(" monitor")[0] for done in runs]
    assert found == ["0", "1", "2", "3"]


def test_without_a_command_it_serves(tmp_path: Path):
    class Plain(Server):
        def command(self) -> list[str]:
            run = [sys.executable, str(ROOT / "run.py")]
            return [*run, "--config", str(self.config), "--port", str(self.port)]

    with Plain(tmp_path, a_config({"database": {"path": "kener.db"}})) as server:
        server.start()
        assert server.stop() == 0


# Reloading


async def test_a_reload_takes_new_monitors_and_a_bad_file_keeps_the_old_ones(server: Server):
    token = server.add_token()
    await asyncio.to_thread(server.start)
    pluto = BEAT | {"tag": "pluto"}
    async with connected(server.port, token) as client:
        assert (await client.ask("POST", "/api/status", pluto)).status == 400
        server.config.write_text(a_config(None, ["earth", "pluto"]))
        server.send(signal.SIGHUP)
        await asyncio.to_thread(server.until_logged, "configuration reloaded")
        assert (await client.ask("POST", "/api/status", pluto)).status == 200
        assert (await client.ask("POST", "/api/status", BEAT | {"tag": "mars"})).status == 400
        server.config.write_text(a_config({"site": {"titel": "x"}}, ["earth"]))
        server.send(signal.SIGHUP)
        line = await asyncio.to_thread(
            server.until_logged, "the new configuration is not used; the old one stays"
        )
        assert "site.titel: unknown key" in line["problems"][0]
        assert (await client.ask("POST", "/api/status", pluto)).status == 200


def test_a_reload_names_what_needs_a_restart_except_what_the_command_line_overrides(server: Server):
    server.start()  # with --port
    changed = {"server": {"host": "0.0.0.0", "port": 1}, "log": {"level": "debug"}}
    server.config.write_text(a_config(changed))
    server.send(signal.SIGHUP)
    server.until_logged("configuration reloaded")
    named = {line["setting"] for line in server.logs() if line["event"] == "takes effect after a restart"}
    assert named == {"server.host", "log.level"}


def test_a_reload_changes_the_request_timeout_of_new_connections(tmp_path: Path):
    with Server(tmp_path, a_config({"server": {"request_timeout_seconds": 60}})) as server:
        server.start()
        server.config.write_text(a_config({"server": {"request_timeout_seconds": 1}}))
        server.send(signal.SIGHUP)
        server.until_logged("configuration reloaded")
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as silent:
            assert silent.recv(1) == b""


# Logs


async def test_the_log_is_lines_of_json_for_any_request(tmp_path: Path):
    with Server(tmp_path, a_config({"log": {"level": "debug", "requests": "all"}})) as server:
        token = server.add_token()
        await asyncio.to_thread(server.start)
        async with connected(server.port, token) as client:
            first = await client.ask("POST", "/api/status", BEAT)
            await client.ask("GET", "/x%0d%0a%1b%5b31mred%0d%0a{}")
            await client.ask("GET", f"/api/status?tag=earth&token={token}")
            client.token = token[:-4] + "AAAA"
            assert (await client.ask("GET", "/api/status?tag=earth")).status == 401
        assert server.stop() == 0
        lines = server.logs()
        answered = [line for line in lines if line["event"] == "answered"]
        assert [line["path"] for line in answered] == [
            "/api/status",
            "/x\r\n\x1b[31mred\r\n{}",
            "/api/status",
            "/api/status",
        ]
        assert answered[0]["request_id"] == first.headers["x-request-id"]
        assert len({line["request_id"] for line in answered}) == 4
        assert all({"level", "timestamp", "event"} <= line.keys() for line in lines)
        text = server.log_text()
        assert all(character == "\n" or " " <= character <= "~" for character in text)
        assert not [part for part in token.split(".") if part in text]


# Bad disks


# What reads a monitor that reports as time goes by; nothing needs to be counted anew for it.
READS = ("/healthz", "/api/status?tag=earth", "/api/monitors/earth/history?resolution=minute", "/metrics")


async def all_are_readable(client: Client) -> bool:
    statuses = [(await client.ask("GET", path)).status for path in READS]
    return statuses == [200] * len(READS)


@NEEDS_MOUNT
async def test_a_full_disk_refuses_heartbeats_and_nothing_else(tmp_path: Path):
    with (
        small_disk(tmp_path, "3m") as disk,
        Server(
            tmp_path, a_config(None, [*TAGS, "earth"]), database=disk.point / "kener.db", within=disk.within
        ) as server,
    ):
        token = await asyncio.to_thread(server.mint)
        await asyncio.to_thread(server.start)
        senders = Senders(server.port, token, TAGS, clients=4)
        async with senders.running() as sent, connected(server.port, token) as client:
            await until(lambda: len(sent.acked) >= 50)
            disk.fill()
            await until(lambda: sent.refused[503] >= 50)
            assert (await client.ask("POST", "/api/status", BEAT)).status == 503
            assert await all_are_readable(client)
            assert (await client.ask("GET", "/readyz")).status == 503
            disk.free()
            freed, stored = time.monotonic(), len(sent.acked)
            await until(lambda: len(sent.acked) >= stored + 50)
            assert time.monotonic() - freed < 5
        assert sent.odd == []
        assert sent.refused.keys() == {503}
        assert server.stop() == 0
        copy = tmp_path / "copy.db"
        shutil.copy(disk.seen / "kener.db", copy)
        assert compare(copy, sent).is_ok
        assert integrity(copy) == "ok"


async def until(condition: Any, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.01)


@NEEDS_MOUNT
def test_a_server_does_not_start_on_a_full_disk_and_says_why(tmp_path: Path):
    with (
        small_disk(tmp_path, "3m") as disk,
        Server(tmp_path, database=disk.point / "kener.db", within=disk.within) as server,
    ):
        server.mint()
        disk.fill()
        assert str(disk.point) in refusal(server)


@NEEDS_MOUNT
def test_a_read_only_file_system_is_named_at_the_start(tmp_path: Path):
    with (
        small_disk(tmp_path, "3m") as disk,
        Server(tmp_path, database=disk.point / "kener.db", within=disk.within) as server,
    ):
        server.mint()
        disk.make_read_only()
        assert refusal(server) == f"{disk.point}: not writable: {WRITABLE_DISK}"


@NEEDS_STRACE
@pytest.mark.parametrize("error", ["EROFS", "EIO"])
async def test_writes_that_fail_for_a_while_are_refused_and_then_taken_again(tmp_path: Path, error: str):
    before = strace("pwrite64", f"error={error}:when=200..240")
    with Server(tmp_path, a_config(None, [*TAGS, "earth"]), before=before) as server:
        token = server.add_token()
        await asyncio.to_thread(server.start)
        async with Senders(server.port, token, TAGS, clients=2).running() as sent:
            await until(lambda: sent.refused[503] >= 10)
            async with connected(server.port, token) as client:
                assert await all_are_readable(client)
            stored = len(sent.acked)
            await until(lambda: len(sent.acked) >= stored + 50)
        assert sent.odd == []
        assert sent.refused.keys() == {503}
        assert server.stop() == 0
        assert compare(server.database, sent).is_ok
        assert integrity(server.database) == "ok"


@NEEDS_STRACE
async def test_a_failed_flush_ends_the_server_and_loses_nothing(tmp_path: Path):
    before = strace("fdatasync", "error=EIO:when=40+")
    with Server(tmp_path, a_config(None, [*TAGS, "earth"]), before=before) as server:
        token = server.add_token()
        await asyncio.to_thread(server.start)
        async with Senders(server.port, token, TAGS, clients=2).running() as sent:
            assert await asyncio.to_thread(server.wait) == 1
        (line,) = [line for line in server.logs() if line["level"] == "critical"]
        assert line["reason"] == "a write could not be flushed to disk; the service must be restarted"
        assert "Traceback" not in server.log_text()
        server.before = []
        await asyncio.to_thread(server.start)
        assert sent.acked
        assert compare(server.database, sent).lost == []
        assert integrity(server.database) == "ok"


@NEEDS_STRACE
def test_a_flush_that_fails_at_the_start_is_named_in_one_line(tmp_path: Path):
    with Server(tmp_path, before=strace("fdatasync", "error=EIO")) as server:
        server.add_token()
        server.launch()
        assert server.wait() == 1
        assert "Traceback" not in server.log_text()
        assert server.logs()[-1]["event"] == "cannot start"


# Crashes and clocks, in short; tests/soak has them at length


async def test_kills_under_load_lose_nothing(tmp_path: Path):
    report = await kill.run(tmp_path, cycles=3, seed=1)
    assert report.is_ok, f"{report}\n{report.miscounted}"


@NEEDS_FAKETIME
async def test_the_clock_may_step_an_hour_back_and_a_year_ahead(tmp_path: Path):
    report = await clock.run(tmp_path, steps=(-3600, 365 * 86400), stay=1.5, prove=False)
    assert [step.false_alarms for step in report.steps] == [[], []]
    assert max(step.jobs_after for step in report.steps) <= clock.JOBS_WITHIN
    assert min(step.rollups for step in report.steps) >= 1
    assert max(step.gap for step in report.steps) <= max(2.0, 3 * report.quiet_gap), str(report)
    assert report.posts_refused == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_server_on_all_addresses_gives_metrics_to_its_own_machine(tmp_path: Path, address: str):
    with (
        Server(tmp_path, a_config({"server": {"host": "::"}})).start() as server,
        closing(HTTPConnection(address, server.port, timeout=10)) as connection,
    ):
        connection.request("GET", "/metrics")
        assert connection.getresponse().status == 200


# Incidents on the terminal


async def test_an_incident_is_listed_and_deleted_beside_a_server_that_shows_it_gone(server: Server):
    token = server.mint()
    server.start()
    async with connected(server.port, token) as client:
        body = {"title": "A storm", "tags": ["earth"], "impact": "DOWN"}
        assert (await client.ask("POST", "/api/incident", body)).status == 200
        listed = server.run("incident", "list").stdout.splitlines()
        assert listed[0].split() == ["number", "stage", "begin", "end", "impact", "monitors", "title"]
        assert listed[1].split()[:2] == ["1", "investigating"]
        assert listed[1].endswith("DOWN    earth     A storm")
        (found,) = json.loads(server.run("incident", "list", "--json").stdout)
        assert (found["incidentNumber"], found["tags"]) == (1, ["earth"])

        asked = server.run("incident", "delete", "1")  # there is no terminal to confirm it
        assert asked.returncode == 1
        assert "Delete incident 1, 'A storm', for good?" in asked.stderr
        assert (await client.ask("GET", "/api/incident/1")).status == 200

        done = server.run("incident", "delete", "1", "--yes")
        assert (done.returncode, done.stderr) == (0, "deleted incident 1, 'A storm'\n")
        assert server.until_logged("changed by a command")["things"] == ["incident 1"]
        assert b"A storm" not in (await client.ask("GET", "/")).body
        again = server.run("incident", "delete", "1", "--yes")
        assert (again.returncode, again.stderr) == (1, "incident not found\n")


# The environment


def test_settings_that_are_hardly_meant_are_logged_at_the_start_and_at_a_reload(tmp_path: Path):
    channel = '[[channels]]\nname = "ops"\nkind = "gotify"\nurl = "http://192.0.2.7"\ntoken = "s3cret"\n'
    remote = a_config(more=channel.replace("192.0.2.7", "8.8.8.8"))
    with Server(tmp_path, a_config(more=channel)) as server:
        server.start()
        expected = ["server.public_url", 'channels["ops"]']
        said = {line["setting"].partition(":")[0] for line in server.logs() if "setting" in line}
        assert said == set(expected)
        server.config.write_text(remote)
        server.send(signal.SIGHUP)
        server.until_logged("configuration reloaded")
        server.stop()
        said = {line["setting"].partition(":")[0] for line in server.logs() if "setting" in line}
        assert said == {*expected, 'channels["ops"].url'}
        assert "s3cret" not in server.log_text()


def test_variables_of_kubernetes_services_are_ignored_and_logged_once(tmp_path: Path):
    given = {
        "KENER_SERVER_PORT": "tcp://10.96.0.7:3000",
        "KENER_AGENT_SERVICE_HOST": "10.96.0.7",
        "KENER_LOG_LEVEL": "",
    }
    with Server(tmp_path, environment=given) as server:
        server.start()
        server.send(signal.SIGHUP)
        server.until_logged("configuration reloaded")
        ignored = [line["names"] for line in server.logs() if "environment variables" in line["event"]]
        assert ignored == [sorted(given)]
        said = server.run("check-config").stderr.splitlines()
        assert said[0] == f"ignored, they set nothing: {', '.join(sorted(given))}"
        assert server.stop() == 0
