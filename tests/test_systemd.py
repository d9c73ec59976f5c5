"""Under systemd: notifications, credentials, and restarts without a refused connection.

The unit itself is tested under a real systemd by tests/soak/systemd.py.
"""

import asyncio
import grp
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kener_async.config.load import load
from kener_async.ops import install
from kener_async.process.systemd import SocketError, SystemdNotifier
from kener_async.resources import shipped
from kener_async.store.sqlite.connections import connect
from tests.rigs.process import ROOT, Client, Server, a_config, connected
from tests.rigs.systemd import NotifySocket, activated
from tests.soak import restart
from tests.test_process import is_refused, program

pytestmark = pytest.mark.process

WATCHDOG = {"WATCHDOG_USEC": "400000"}  # a sign of life is due every 0.2 s


@pytest.fixture(params=["path", "abstract"])
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NotifySocket]:
    abstract = f"@kener-test-{os.getpid()}-{time.monotonic_ns()}"
    address = abstract if request.param == "abstract" else str(tmp_path / "notify")
    with closing(NotifySocket(address)) as told:
        yield told


def under(told: NotifySocket, folder: Path, fault: str = "", **environment: str) -> Server:
    return Server(folder, environment={"NOTIFY_SOCKET": told.address, **environment}, fault=fault)


# What is told


def test_systemd_is_notified_from_start_to_stop(told: NotifySocket, tmp_path: Path):
    with under(told, tmp_path) as server:
        server.start()
        states = told.until("READY=1")
        assert states[0].startswith("EXTEND_TIMEOUT_USEC=")
        assert states[-1] == f"STATUS=Listening on 127.0.0.1:{server.port}"
        server.send(signal.SIGHUP)
        states = told.until("READY=1")
        assert "RELOADING=1" in states
        assert [state for state in states if re.fullmatch(r"MONOTONIC_USEC=\d+", state)]
        server.send(signal.SIGTERM)
        told.until("STOPPING=1")
        assert server.wait() == 0


def test_a_reload_that_a_stop_overtakes_is_not_followed_by_ready(told: NotifySocket, tmp_path: Path):
    with under(told, tmp_path) as server:
        server.start()
        told.until("READY=1")
        with closing(connect(server.database)) as other:
            other.execute("BEGIN IMMEDIATE")  # the reload waits for the lock
            server.send(signal.SIGHUP)
            told.until("RELOADING=1")
            server.send(signal.SIGTERM)
            told.until("STOPPING=1")
        assert server.wait() == 0
        rest = [state for message in iter(lambda: told.next(0.1), []) for state in message]
        assert "READY=1" not in rest
        assert "never retrieved" not in server.log_text()


def test_ready_is_sent_when_requests_are_answered_and_not_before(told: NotifySocket, tmp_path: Path):
    with under(told, tmp_path) as server:
        server.launch()
        told.until("READY=1")
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"


def test_a_notify_socket_that_is_gone_does_not_stop_the_service(tmp_path: Path):
    with Server(tmp_path, environment={"NOTIFY_SOCKET": str(tmp_path / "gone"), **WATCHDOG}) as server:
        server.start()
        assert server.stop() == 0


def test_the_status_says_that_the_database_is_lost_and_the_watchdog_does_not_restart_for_it(
    told: NotifySocket, tmp_path: Path
):
    with under(told, tmp_path, **WATCHDOG) as server:
        server.start()
        told.until("WATCHDOG=1")
        os.unlink(server.database)
        message = told.until("WATCHDOG=1")
        while not any("the database was deleted" in state for state in message):
            message = told.until("WATCHDOG=1")
        (status,) = [state for state in message if state.startswith("STATUS=")]
        assert status.startswith(f"STATUS=Nothing is stored: {server.database}: the database was deleted: ")
        assert server.is_running
        assert server.stop() == 0


# The watchdog

STALLS = """
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3))
"""


def a_loop_that_stalls(server: Server) -> Callable[[], object]:
    server.send(signal.SIGUSR1)
    return lambda: None


def a_process_that_is_frozen(server: Server) -> Callable[[], object]:
    server.freeze()
    return lambda: server.send(signal.SIGCONT)


def a_writer_that_waits(server: Server) -> Callable[[], object]:
    """The loop turns, and what it has for the disk is not taken."""
    other = connect(server.database)
    other.execute("BEGIN IMMEDIATE")
    return other.close


@pytest.mark.parametrize("stall", [a_loop_that_stalls, a_process_that_is_frozen, a_writer_that_waits])
def test_the_watchdog_is_not_notified_while_it_stalls(
    tmp_path: Path, stall: Callable[[Server], Callable[[], object]]
):
    with (
        closing(NotifySocket(str(tmp_path / "notify"))) as told,
        under(told, tmp_path, STALLS, **WATCHDOG) as server,
    ):
        server.start()
        for _ in range(3):
            told.until("WATCHDOG=1")
        end_of_it = stall(server)
        told.drain()
        told.next(0.25)  # one may have been on its way
        assert told.next(0.6) == []
        end_of_it()
        told.until("WATCHDOG=1")
        assert server.stop() == 0


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="no watchdog"),
        pytest.param({"WATCHDOG_USEC": "0"}, id="none wanted"),
        pytest.param({"WATCHDOG_USEC": "soon"}, id="no number"),
        pytest.param({**WATCHDOG, "WATCHDOG_PID": "1"}, id="another process's"),
    ],
)
def test_no_watchdog_is_fed_that_is_not_ours(environment: dict[str, str]):
    assert SystemdNotifier(environment).watchdog_seconds is None


@pytest.mark.parametrize("frozen", [False, True])
def test_the_single_binary_answers_for_the_process_that_unpacked_it(
    monkeypatch: pytest.MonkeyPatch, frozen: bool
):
    monkeypatch.setattr(sys, "frozen", frozen, raising=False)
    watched = SystemdNotifier({**WATCHDOG, "WATCHDOG_PID": str(os.getppid())}).watchdog_seconds
    assert watched == (0.4 if frozen else None)


# Sockets that are passed


async def test_the_passed_socket_is_listened_on_and_outlives_the_server(tmp_path: Path):
    with activated(tmp_path, a_config({"server": {"port": 1}})) as server:
        await asyncio.to_thread(server.start)
        async with connected(server.port) as client:
            assert (await client.ask("GET", "/healthz")).status == 200
        assert await asyncio.to_thread(server.stop) == 0
        assert not await is_refused_by(server)


async def is_refused_by(server: Server) -> bool:
    """Whether a connection is refused; one that is only not answered is not."""
    try:
        async with asyncio.timeout(0.2):
            return await is_refused(server.port)
    except TimeoutError:
        return False


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="no sockets"),
        pytest.param({"LISTEN_FDS": "1"}, id="nobody's"),
        pytest.param({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, id="another process's"),
        pytest.param({"LISTEN_FDS": "one", "LISTEN_PID": str(os.getpid())}, id="no number"),
    ],
)
def test_no_socket_is_taken_that_is_not_ours(environment: dict[str, str]):
    assert SystemdNotifier(environment).passed_sockets() == []


def passed(*descriptors: socket.socket, names: str = "") -> list[str]:
    """What a process takes of these, by name of its socket; or its one line of complaint."""
    script = (
        "import os, sys\n"
        "for to, at in enumerate(map(int, sys.argv[2:]), 100): os.dup2(at, to)\n"
        "for to in range(len(sys.argv) - 2): os.dup2(100 + to, 3 + to)\n"
        "from kener_async.process.systemd import SocketError, SystemdNotifier\n"
        "environment = {'LISTEN_FDS': str(len(sys.argv) - 2), 'LISTEN_PID': str(os.getpid()),"
        " 'LISTEN_FDNAMES': sys.argv[1]}\n"
        "try: print(*(one.getsockname()[1] for one in SystemdNotifier(environment).passed_sockets()))\n"
        "except SocketError as fault: print(fault)\n"
    )
    numbers = [one.fileno() for one in descriptors]
    command = [sys.executable, "-c", script, names, *map(str, numbers)]
    return subprocess.check_output(command, pass_fds=numbers, cwd=ROOT, text=True).splitlines()


def test_of_several_sockets_those_named_http_are_taken_and_without_such_a_name_all():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
        assert passed(one, two) == [f"{ports[0]} {ports[1]}"]
        assert passed(one, two, names="other:http") == [str(ports[1])]
        assert passed(one, two, names="a:b") == [f"{ports[0]} {ports[1]}"]


def test_what_is_no_listening_tcp_socket_is_refused():
    with socket.socket() as deaf, socket.socket(socket.AF_UNIX) as local:
        complaint = "passed by systemd: is no listening TCP socket"
        assert passed(deaf) == [f"descriptor 3, {complaint}"]
        assert passed(local) == [f"descriptor 3, {complaint}"]
    assert issubclass(SocketError, Exception)


# The last answer of a connection


def post(token: str) -> bytes:
    body = b'{"tag": "earth", "status": "UP", "latency": 0.1}'
    head = f"POST /api/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("first", [False, True], ids=["new", "kept open"])
@pytest.mark.parametrize(
    "sent_before", [0, 10, -20], ids=["nothing", "half of the head", "all but the end of the body"]
)
async def test_a_request_that_comes_in_with_the_stop_is_answered_as_the_last(
    tmp_path: Path, first: bool, sent_before: int
):
    with Server(tmp_path) as server:
        request = post(server.add_token())
        await asyncio.to_thread(server.start)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        if first:
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Connection: close" not in head
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
        sent_before %= len(request)
        writer.write(request[:sent_before])
        await is_taken(server, writer)
        server.send(signal.SIGTERM)
        await asyncio.to_thread(server.until_logged, "stopping")
        writer.write(request[sent_before:])
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"\r\nConnection: close\r\n" in answer
        writer.close()
        assert await asyncio.to_thread(server.wait) == 0


async def is_taken(server: Server, writer: asyncio.StreamWriter) -> None:
    """Return when the server has seen the connection: it answers another one, made later."""
    await writer.drain()
    async with connected(server.port) as other:
        await other.ask("GET", "/healthz")


async def test_a_silent_connection_delays_the_stop_by_the_grace_period_at_most(tmp_path: Path):
    with Server(tmp_path) as server:
        await asyncio.to_thread(server.start)
        client = Client(server.port)
        await client.ask("GET", "/healthz")
        began = time.monotonic()
        assert await asyncio.to_thread(server.stop) == 0
        assert 0.9 < time.monotonic() - began < 8
        await client.close()


# Restarts under load, in short; tests/soak/restart.py and tests/soak/systemd.py have them at length


async def test_two_restarts_under_load_refuse_and_lose_nothing(tmp_path: Path):
    report = await restart.run(
        activated(tmp_path, a_config(None, restart.TAGS)), restarts=2, rate=200, between=0.7, clients=24
    )
    assert report.acked > 100
    assert report.is_ok, str(report)


async def test_a_server_that_binds_for_itself_is_seen_to_refuse(tmp_path: Path):
    server = Server(tmp_path, a_config(None, restart.TAGS))
    report = await restart.run(server, restarts=1, rate=200, between=0.3, clients=24)
    assert report.refused_connections > 0
    assert not report.is_ok


# The key as a credential


def configured(folder: Path, text: str, credential: str | None) -> Path:
    """The file the key is to be read from."""
    (folder / "config.toml").write_text(text)
    if credential is not None:
        (folder / "secret_key").write_text(credential)
    return load(folder / "config.toml", {"CREDENTIALS_DIRECTORY": str(folder)}).auth.secret_key_file


@pytest.mark.parametrize(
    ("text", "credential", "used"),
    [
        ("", "k" * 40, "secret_key"),
        ('[auth]\nsecret_key_file = "mine"', "k" * 40, "secret_key"),
        ('[auth]\nsecret_key_file = "mine"', "\n", "mine"),
        ('[auth]\nsecret_key_file = "mine"', None, "mine"),
    ],
)
def test_a_key_passed_as_a_credential_is_used_unless_it_is_blank(
    tmp_path: Path, text: str, credential: str | None, used: str
):
    assert configured(tmp_path, text, credential) == tmp_path / used


async def test_the_secret_of_a_channel_is_a_credential_of_the_drop_in(tmp_path: Path):
    """The server gets what systemd would give it: a folder of files that only it can read."""
    drop_in = (ROOT / "systemd/README.md").read_text()
    names = re.findall(r"^    LoadCredential=(\w+):/etc/kener-async/\1$", drop_in, re.MULTILINE)
    assert "SLACK_URL" in names
    paths: list[str] = []
    arrived = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        paths.append(request.path)
        arrived.set()
        return web.Response(text="ok")

    async with TestServer(application(take)) as receiver:
        credentials = tmp_path / "credentials"
        credentials.mkdir(mode=0o500)
        path = credentials / "SLACK_URL"
        path.write_text(f"http://127.0.0.1:{receiver.port}/services/T0/B0/s3cret\n")
        path.chmod(0o400)
        channel = '[[channels]]\nname = "ops"\nkind = "slack"\ngather = 0\nurl = "$SLACK_URL"\n'
        rule = '[[alerts]]\nname = "outage"\nto = ["ops"]\n'
        text = a_config(more=channel + rule)
        folder = {"CREDENTIALS_DIRECTORY": str(credentials)}
        with Server(tmp_path, text, environment=folder) as server:
            await asyncio.to_thread(server.start)
            async with connected(server.port, await asyncio.to_thread(server.mint)) as client:
                beat = {"tag": "earth", "status": "DOWN", "latency": 0.1}
                assert (await client.ask("POST", "/api/status", beat)).status == 200
            await asyncio.wait_for(arrived.wait(), 20)
            await asyncio.to_thread(server.stop)
            assert "s3cret" not in server.log_text()
    assert paths == ["/services/T0/B0/s3cret"]


def application(take: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    return app


# Installing


def installed(root: Path) -> dict[str, str]:
    """The files below a root, and what is in them."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_text() for path in files}


def carried_out(command: str, root: Path, *words: str) -> str:
    done = program(command, "--root", str(root), *words, cwd=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


def test_installing_puts_program_configuration_and_units_in_place(tmp_path: Path):
    carried_out("install", tmp_path)
    files = installed(tmp_path)
    units = {f"etc/systemd/system/{name}" for name in install.UNITS}
    others = "usr/local/bin/kener-async", "etc/kener-async/config.toml", "etc/sysusers.d/kener-async.conf"
    assert files.keys() == {*others, *units}
    version = subprocess.check_output([tmp_path / "usr/local/bin/kener-async", "--version"], text=True)
    assert version.startswith("kener-async, version ")
    config = load(tmp_path / "etc/kener-async/config.toml", {})
    assert str(config.database.path) == install.DATABASE


def test_the_configuration_is_closed_to_all_but_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    steps = [step.text for step in install.installation(install.Places(), b"", start=True)]
    close = "let only root and the group kener-config read /etc/kener-async/config.toml"
    assert steps.index(close) < steps.index("run systemctl daemon-reload")
    for name in (install.SERVICE, install.BACKUP):
        assert "\nSupplementaryGroups=kener-config\n" in shipped(f"systemd/{name}")

    config = tmp_path / "config.toml"
    config.write_text('[auth]\nsecret_key = "..."\n')
    group = grp.getgrgid(os.getegid())
    monkeypatch.setattr(install, "GROUP", group.gr_name)
    install.close_config(config)
    assert (config.stat().st_mode & 0o777, config.stat().st_gid) == (0o640, group.gr_gid)
    assert install.is_closed(config), "a second installation changes nothing"


def test_installing_again_changes_nothing_and_says_so(tmp_path: Path):
    carried_out("install", tmp_path)
    before = installed(tmp_path)
    said = carried_out("install", tmp_path)
    assert installed(tmp_path) == before
    assert [line.split()[0] for line in said.splitlines()[:-1]] == ["keep"] * len(before) + ["To"]


def test_a_configuration_that_is_there_is_kept_and_the_socket_has_its_address(tmp_path: Path):
    config = tmp_path / "etc/kener-async/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[server]\nhost = "::1"\nport = 8080\n')
    carried_out("install", tmp_path)
    assert config.read_text() == '[server]\nhost = "::1"\nport = 8080\n'
    assert "\nListenStream=[::1]:8080\n" in installed(tmp_path)["etc/systemd/system/kener-async.socket"]


def test_a_dry_run_says_all_and_does_nothing(tmp_path: Path):
    said = carried_out("install", tmp_path, "--dry-run")
    assert installed(tmp_path) == {}
    assert said == carried_out("install", tmp_path)
    before = installed(tmp_path)
    carried_out("uninstall", tmp_path, "--dry-run", "--purge")
    assert installed(tmp_path) == before


def test_uninstalling_keeps_configuration_and_data_unless_purged(tmp_path: Path):
    data = tmp_path / "var/lib/private/kener-async"
    data.mkdir(parents=True)
    (data / "kener.db").write_text("heartbeats")
    (tmp_path / "var/lib/kener-async").symlink_to("private/kener-async")
    carried_out("install", tmp_path)
    config = (tmp_path / "etc/kener-async/config.toml").read_text()
    kept = {"etc/kener-async/config.toml": config, "var/lib/private/kener-async/kener.db": "heartbeats"}
    carried_out("uninstall", tmp_path)
    assert {name: text for name, text in installed(tmp_path).items() if name in kept} == kept
    assert not [name for name in installed(tmp_path) if "systemd" in name or "bin" in name]
    told_once = program("uninstall", "--purge", "--root", str(tmp_path), cwd=tmp_path)
    assert told_once.returncode == 1
    assert data.exists()
    carried_out("uninstall", tmp_path, "--purge", "--yes")
    assert installed(tmp_path) == {}
    assert not os.path.lexists(tmp_path / "var/lib/kener-async")


def test_a_program_that_the_service_could_not_reach_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["/home/me/kener-async/run.py"])
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")  # wherever these tests themselves lie
    with pytest.raises(
        install.InstallError, match=r"^/home/me/kener-async/run\.py: the service cannot access this path"
    ):
        install.program(install.Places())


def test_an_upgrade_restarts_the_service_and_a_new_address_stops_it_first(tmp_path: Path):
    def told_systemd(*, moved: bool, renewed: bool) -> list[str]:
        return [step.text for step in install.start_steps(moved=moved, renewed=renewed)]

    enable = "run systemctl enable --now kener-async.socket kener-async.service kener-async-backup.timer"
    assert told_systemd(moved=False, renewed=False) == [enable]
    assert told_systemd(moved=False, renewed=True) == [
        "run systemctl try-restart kener-async.service",
        enable,
    ]
    assert told_systemd(moved=True, renewed=True) == [
        "run systemctl stop kener-async.service kener-async.socket",
        enable,
    ]


# The units

ANALYZE = pytest.mark.skipif(
    not shutil.which("systemd-analyze") and "CI" not in os.environ, reason="systemd-analyze is missing"
)


@ANALYZE
def test_systemd_accepts_the_units(tmp_path: Path):
    for name in install.UNITS:
        text = (ROOT / "systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("ExecStart=kener-async", "ExecStart=/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in install.UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@ANALYZE
@pytest.mark.parametrize("name", [install.SERVICE, install.BACKUP])
def test_a_unit_is_exposed_to_little(name: str):
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=15", str(ROOT / "systemd" / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
