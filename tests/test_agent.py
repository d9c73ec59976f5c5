"""`kener-async agent` as a process: configuration, running, stopping, being killed, installation."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kener_async.config.load import load
from kener_async.ops import install, install_agent
from tests.rigs.device import AgentProcess
from tests.rigs.disk import may_mount, small_disk
from tests.rigs.network import FaultyNetwork
from tests.rigs.process import ROOT, Server, a_config, a_free_port, reading, stored_samples
from tests.rigs.systemd import NotifySocket
from tests.soak import agent as soak
from tests.test_process import NEEDS_FAKETIME, program

pytestmark = pytest.mark.process

TAGS = ("earth", "mars", "moon")
SHORT = 1.0  # seconds between two faults at most


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Not started yet."""
    with Server(tmp_path, a_config(None, TAGS)) as one:
        yield one


def config(port: int, token: str, *checks: str, **more: object) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    tables = [f"[[agent.checks]]\n{check}" for check in checks]
    return "\n".join(
        ["[agent]", f'servers = ["http://127.0.0.1:{port}"]', f'token = "{token}"', *lines, *tables]
    )


ALIVE = 'tag = "earth"\nalive = true'
HANGS = 'tag = "mars"\ncommand = ["sleep", "1000"]\ntimeout = 1'


def reported(server: Server) -> dict[str, str]:
    """The monitors that were reported, with their last status."""
    rows = sorted(stored_samples(server.database).items(), key=lambda row: row[0][1])
    return {tag: status for (tag, _), status in rows}


# What it is told


def test_flags_are_enough(server: Server, tmp_path: Path):
    (tmp_path / "token").write_text(server.add_token())
    server.start()
    device = tmp_path / "device"
    device.mkdir()
    words = "--server", f"http://127.0.0.1:{server.port}", "--token-file", "../token", "--spool", "my.db"
    done = program("agent", *words, "--alive", "earth", "--alive", "moon", "--once", cwd=device)
    assert done.returncode == 0, done.stderr
    assert reported(server) == {"earth": "UP", "moon": "UP"}
    assert [path.name for path in device.iterdir()] == ["my.db"]


def test_flags_win_over_the_file_and_add_to_its_checks(server: Server, tmp_path: Path):
    token = server.add_token()
    server.start()
    with AgentProcess(tmp_path / "device", config(1, token, ALIVE)) as agent:
        agent.launch("--once", "--server", f"http://127.0.0.1:{server.port}", "--alive", "moon")
        assert agent.wait() == 0
    assert reported(server) == {"earth": "UP", "moon": "UP"}


def test_a_token_that_systemd_passes_is_used(server: Server, tmp_path: Path):
    (tmp_path / "token").write_text(server.add_token() + "\n")
    server.start()
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    with AgentProcess(tmp_path / "device", config(server.port, "", ALIVE), environment=environment) as agent:
        assert agent.launch("--once").wait() == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--alive", "a b"], "must be 1 to 64 of"),
        (["--server", "ftp://a"], "must be an http or https address"),
        (["--token-file", "nowhere"], "does not exist"),
        (["--config", "nowhere"], "nowhere: there is no such file"),
        (["--alive", "earth"], "no server: .*\nno token: .*"),
        ([], "no server: .*\nno token: .*\nno check: .*"),
    ],
)
def test_what_is_missing_or_wrong_is_said(tmp_path: Path, words: list[str], complaint: str):
    done = program("agent", *words, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert re.search(complaint, done.stderr), done.stderr


def test_once_ends_with_status_1_while_something_is_left(tmp_path: Path):
    with AgentProcess(tmp_path / "device", config(a_free_port(), "token", ALIVE)) as agent:
        assert agent.launch("--once").wait() == 1
        assert agent.launch("--once").wait() == 1
        assert [row[0] for row in agent.spooled()] == [1, 2]


def test_a_second_agent_on_the_same_spool_does_not_start(tmp_path: Path):
    text = config(a_free_port(), "token", ALIVE)
    with AgentProcess(tmp_path / "device", text) as first:
        first.launch().until_logged("started")
        done = program("agent", "--config", str(first.config), "--spool", str(first.spool), cwd=tmp_path)
        assert (done.returncode, done.stderr) == (1, "the spool: database is locked\n")


# How it runs and stops


def test_a_stop_ends_the_checks_sends_the_rest_and_is_quick(server: Server, tmp_path: Path):
    token = server.add_token()
    server.start()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    hangs = f'tag = "mars"\ncommand = ["sh", "-c", "exec 9>{fifo}; sleep 1000"]\ntimeout = 50'
    often = 'tag = "moon"\nalive = true\nevery = 1'
    text = config(server.port, token, ALIVE, often, hangs, send_every=3600)
    with AgentProcess(tmp_path / "device", text) as agent:
        agent.launch()
        with fifo.open("rb") as pipe:
            deadline = time.monotonic() + 20
            while "moon" not in reported(server):  # sent at once, as news are
                assert time.monotonic() < deadline
                time.sleep(0.01)
            began = time.monotonic()
            assert agent.stop() == 0
            assert time.monotonic() - began < 4
            assert pipe.read() == b""  # the command is gone
        assert agent.spooled() == []
    assert reported(server) == {"earth": "UP", "moon": "UP"}


async def test_a_stop_waits_five_seconds_at_most_for_a_server_that_does_not_answer(
    server: Server, tmp_path: Path
):
    async with FaultyNetwork(server.port) as network:
        network.cut("stall")
        with AgentProcess(tmp_path / "device", config(network.port, "token", ALIVE)) as agent:
            agent.launch()
            await asyncio.to_thread(agent.until_logged, "check")
            began = time.monotonic()
            assert await asyncio.to_thread(agent.stop) == 0
            assert time.monotonic() - began < 7
            assert len(agent.spooled()) == 1


def test_what_was_measured_before_a_kill_is_sent_after_it(server: Server, tmp_path: Path):
    text = config(server.port, server.add_token(), ALIVE, HANGS)
    with AgentProcess(tmp_path / "device", text) as agent:
        agent.launch().until_logged("upload failed")
        agent.kill()
        (before, *_) = agent.spooled()
        server.start()
        assert agent.launch("--once").wait() == 0
        assert agent.spooled() == []
    assert before[1] == "earth"
    assert reported(server) == {"earth": "UP", "mars": "DOWN"}


def test_a_tag_that_the_server_does_not_know_is_kept_and_does_not_hold_up_the_others(
    server: Server, tmp_path: Path
):
    text = config(server.port, server.add_token(), ALIVE, 'tag = "pluto"\nalive = true')
    server.start()
    with AgentProcess(tmp_path / "device", text) as agent:
        assert agent.launch("--once").wait() == 1
        line = agent.until_logged("samples refused, kept")
        assert [row[1] for row in agent.spooled()] == ["pluto"]
    assert (line["tag"], line["reason"]) == ("pluto", "invalid tag")
    assert reported(server) == {"earth": "UP"}


@pytest.mark.skipif(not may_mount() and "CI" not in os.environ, reason="may not mount in a namespace")
def test_an_agent_that_starts_on_a_full_disk_sends_from_memory_and_uses_the_disk_when_it_can(
    server: Server, tmp_path: Path
):
    server.start()
    text = config(server.port, server.add_token(), 'tag = "moon"\nalive = true\nevery = 1', send_every=1)
    with (
        small_disk(tmp_path, "512k") as disk,
        AgentProcess(tmp_path / "device", text, within=disk.within) as agent,
    ):
        agent.spool = disk.point / "spool.db"
        disk.fill()
        agent.launch().until_logged("spool not available, going on from memory")
        deadline = time.monotonic() + 20
        while "moon" not in reported(server):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not (disk.seen / "spool.db").exists() or not (disk.seen / "spool.db").stat().st_size
        disk.free()
        while not (disk.seen / "spool.db-wal").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert agent.stop() == 0
        assert "sample lost" not in {line["event"] for line in agent.logs()}
    with closing(reading(server.database)) as connection:
        assert connection.execute("SELECT sum(lost), sum(restarts) FROM devices").fetchone() == (0, 0)


def test_a_name_server_that_does_not_answer_does_not_hold_up_the_end(tmp_path: Path):
    deaf = """
import socket, threading
socket.getaddrinfo = lambda *_, **__: threading.Event().wait()
"""
    text = config(1, "token", 'tag = "mars"\nhttp = "http://nowhere.example.org"\nevery = 1').replace(
        "127.0.0.1", "status.example.org"
    )
    with AgentProcess(tmp_path / "device", text, fault=deaf) as agent:
        agent.launch().until_logged("check failed to run")
        assert agent.stop() == 0


def test_systemd_is_notified_when_it_is_ready_and_while_the_spool_answers(tmp_path: Path):
    stalls = """
import signal, time
from kener_async.agent import spool
stuck = []
def oldest(self, *values, before=spool.Spool.oldest):
    while stuck: time.sleep(0.01)
    return before(self, *values)
spool.Spool.oldest = oldest
signal.signal(signal.SIGUSR1, lambda *_: stuck.append(1))
signal.signal(signal.SIGUSR2, lambda *_: stuck.clear())
"""
    text = config(a_free_port(), "token", ALIVE, send_every=1)
    with closing(NotifySocket(str(tmp_path / "notify"))) as told:
        environment = {"NOTIFY_SOCKET": told.address, "WATCHDOG_USEC": "400000"}
        with AgentProcess(tmp_path / "device", text, environment=environment, fault=stalls) as agent:
            agent.launch()
            told.until("READY=1")
            told.until("WATCHDOG=1")
            os.kill(agent.pid, signal.SIGUSR1)
            deadline = time.monotonic() + 15
            while told.next(0.8):
                assert time.monotonic() < deadline
            os.kill(agent.pid, signal.SIGUSR2)
            told.until("WATCHDOG=1")
            os.kill(agent.pid, signal.SIGTERM)
            told.until("STOPPING=1")
            assert agent.wait() == 0


# Cuts, kills and clocks, in short; tests/soak/agent.py has them at length


async def test_through_cuts_and_kills_each_sample_arrives_once_with_its_minute(tmp_path: Path):
    report = await soak.run(tmp_path, cuts=2, kills=1, seed=1, pause=SHORT)
    assert (report.cuts, report.agent_kills, report.server_kills) == (2, 1, 1)
    assert report.is_ok, str(report)


@NEEDS_FAKETIME
async def test_under_a_clock_that_steps_back_too(tmp_path: Path):
    report = await soak.run(tmp_path, "back", cuts=1, kills=1, seed=1, pause=SHORT)
    assert report.is_ok, str(report)


# Installing


def installed(root: Path) -> dict[str, str]:
    """The files below a root, and what is in them."""
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}


def carried_out(root: Path, *words: str) -> str:
    done = program("agent", *words, "--root", str(root), cwd=root.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("the-token\n")
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


LINE = "install", "--server", "https://status.example.org", "--token-file", "token", "--alive", "gate"


def test_one_line_puts_program_configuration_token_user_and_unit_in_place(root: Path):
    carried_out(root, *LINE)
    files = installed(root)
    assert files.keys() == {
        "usr/local/bin/kener-async",
        "etc/kener-agent/config.toml",
        "etc/kener-agent/token",
        "etc/systemd/system/kener-agent.service",
        "etc/sysusers.d/kener-agent.conf",
    }
    assert files["etc/kener-agent/token"] == "the-token\n"
    assert (root / "etc/kener-agent/token").stat().st_mode & 0o777 == 0o600
    agent = load(root / "etc/kener-agent/config.toml", {}).agent
    assert agent.servers == ("https://status.example.org",)
    assert [check.tag for check in agent.checks] == ["gate"]
    version = subprocess.check_output([root / "usr/local/bin/kener-async", "--version"], text=True)
    assert version.startswith("kener-async, version ")


def test_the_same_line_again_changes_nothing(root: Path):
    carried_out(root, *LINE)
    before = installed(root)
    said = carried_out(root, *LINE)
    assert installed(root) == before
    assert [line.split()[0] for line in said.splitlines()] == ["keep"] * len(before)


def test_an_upgrade_needs_no_flags_and_keeps_the_configuration(root: Path):
    carried_out(root, *LINE)
    file = root / "etc/kener-agent/config.toml"
    file.write_text("[agent]\n")
    (root / "usr/local/bin/kener-async").write_text("an old one")
    carried_out(root, "install")
    assert file.read_text() == "[agent]\n"
    assert (root / "usr/local/bin/kener-async").read_text().startswith("#!/bin/sh")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--token-file", "token"], "give --server URL and --alive TAG"),
        (["--token-file", "token", "--server", "https://a"], "give --server URL and --alive TAG"),
        (["--server", "https://a", "--alive", "gate"], "give --token-file FILE"),
    ],
)
def test_an_installation_that_could_not_run_is_refused(root: Path, words: list[str], complaint: str):
    done = program("agent", "install", *words, "--root", str(root), cwd=root.parent)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert installed(root) == {}


def test_a_dry_run_says_all_and_does_nothing(root: Path):
    said = carried_out(root, *LINE, "--dry-run")
    assert installed(root) == {}
    assert said == carried_out(root, *LINE)
    before = installed(root)
    carried_out(root, "uninstall", "--dry-run", "--purge")
    assert installed(root) == before


def test_uninstalling_keeps_what_was_not_sent_unless_purged(root: Path):
    data = root / "var/lib/private/kener-agent"
    data.mkdir(parents=True)
    (data / "spool.db").write_text("samples")
    (root / "var/lib/kener-agent").symlink_to("private/kener-agent")
    carried_out(root, *LINE)
    carried_out(root, "uninstall")
    assert installed(root).keys() == {
        "etc/kener-agent/config.toml",
        "etc/kener-agent/token",
        "var/lib/private/kener-agent/spool.db",
    }
    assert program("agent", "uninstall", "--purge", "--root", str(root), cwd=root).returncode == 1
    assert data.exists()
    carried_out(root, "uninstall", "--purge", "--yes")
    assert installed(root) == {}


def test_service_and_agent_on_one_machine_share_the_program_until_the_last_is_gone(root: Path):
    shared = root / "usr/local/bin/kener-async"
    carried_out(root, *LINE)
    assert program("install", "--root", str(root), cwd=root).returncode == 0
    carried_out(root, "uninstall", "--purge", "--yes")
    assert shared.exists()
    assert (root / "etc/kener-async/config.toml").exists()
    carried_out(root, *LINE)
    assert program("uninstall", "--purge", "--yes", "--root", str(root), cwd=root).returncode == 0
    assert shared.exists()
    assert (root / "etc/kener-agent/token").exists()
    carried_out(root, "uninstall")
    assert not shared.exists()


@pytest.fixture
def packaged(root: Path) -> Path:
    """A root in which a package has put the agent's unit."""
    unit = root / "usr/lib/systemd/system/kener-agent.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("the package's")
    return root


def test_program_user_and_unit_of_a_package_are_left_to_it(packaged: Path):
    before = installed(packaged)
    said = carried_out(packaged, *LINE)
    assert f"keep {packaged}/usr/lib/systemd/system/kener-agent.service" in said
    assert installed(packaged).keys() - before.keys() == {
        "etc/kener-agent/config.toml",
        "etc/kener-agent/token",
    }
    carried_out(packaged, "uninstall", "--purge", "--yes")
    assert installed(packaged) == before


def test_what_was_installed_without_the_package_goes_on_without_it(root: Path):
    carried_out(root, *LINE)
    unit = root / "usr/lib/systemd/system/kener-agent.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("the package's")
    (root / "usr/local/bin/kener-async").write_text("an old one")
    carried_out(root, "install")
    assert (root / "usr/local/bin/kener-async").read_text().startswith("#!/bin/sh")
    carried_out(root, "uninstall", "--purge", "--yes")
    assert installed(root) == {"usr/lib/systemd/system/kener-agent.service": "the package's"}


def test_an_agent_of_a_package_is_stopped_and_left_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(install.Places, "is_packaged", lambda *_: True)
    stop, left, *_ = [step.text for step in install_agent.removal(install.Places(), purge=False)]
    assert stop == "run systemctl disable --now kener-agent.service"
    assert left.startswith("keep /usr/lib/systemd/system/kener-agent.service and its program")


ANALYZE = pytest.mark.skipif(
    not shutil.which("systemd-analyze") and "CI" not in os.environ, reason="systemd-analyze is missing"
)


@ANALYZE
def test_systemd_accepts_the_unit_and_its_exposure_is_low(tmp_path: Path):
    unit = tmp_path / install.AGENT
    text = (ROOT / "systemd" / install.AGENT).read_text()
    unit.write_text(text.replace("ExecStart=kener-async", "ExecStart=/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=15", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_unit_names_what_the_installation_puts_in_place():
    unit = (ROOT / "systemd" / install.AGENT).read_text()
    places = install.Places()
    assert f"--config {install_agent.configuration(places)} " in unit
    assert f"LoadCredential=token:{install_agent.credential(places)}\n" in unit
