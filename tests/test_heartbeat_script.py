"""contrib/heartbeat.sh: short enough to audit, portable, and every kept sample arrives."""

import asyncio
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.process import MINUTE, ROOT, Server, a_config, stored_samples
from tests.soak import heartbeat_script as soak
from tests.soak.heartbeat_script import SCRIPT, SHELLS, Device


def needs(*programs: str) -> pytest.MarkDecorator:
    """In CI nothing is skipped."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(
        bool(missing) and "CI" not in os.environ, reason="tools/setup.sh tests brings what it needs"
    )


needs_shells = needs("busybox", "dash", "bash", "curl")


def test_it_is_short_enough_to_audit():
    code = [line for line in SCRIPT.read_text().splitlines() if line and not line.lstrip().startswith("#")]
    assert len(code) < 210


@needs("shellcheck")
def test_shellcheck_has_nothing_to_say():
    done = subprocess.run(["shellcheck", "--shell=sh", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_unit_and_the_cron_line_call_it_as_it_wants_to_be_called():
    unit = (ROOT / "contrib/kener-heartbeat.service").read_text()
    assert re.search(r"^ExecStart=/usr/local/bin/heartbeat\.sh \$\{TAG\}$", unit, re.MULTILINE)
    assert "/usr/local/bin/heartbeat.sh earth -- ping" in (ROOT / "docs/edge-devices.md").read_text()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Not started yet."""
    with Server(tmp_path, a_config()) as one:
        yield one


@needs_shells
@pytest.mark.process
@pytest.mark.parametrize("shell", SHELLS)
def test_what_was_kept_while_the_server_was_away_arrives(tmp_path: Path, server: Server, shell: str):
    environment = {
        "PATH": "/usr/bin:/bin",
        "KENER_URL": f"http://127.0.0.1:{server.port}",
        "KENER_TOKEN": server.add_token(),
        "KENER_STATE": str(tmp_path / "state"),
        "KENER_TIMEOUT": "5",
    }

    def run(*words: str) -> int:
        command = [*SHELLS[shell], str(SCRIPT), *words]
        return subprocess.run(command, env=environment, check=False).returncode

    assert run("earth", "DOWN", "0.25") == 0
    assert run("not a tag") == 2
    assert run("earth", "ILL") == 2
    assert run("--flush") == 1
    server.start()
    assert run("mars", "--", "true") == 0
    assert run("--flush") == 0
    stored = {tag: status for (tag, _), status in stored_samples(server.database).items()}
    assert stored == {"earth": "DOWN", "mars": "UP"}


@needs_shells
@pytest.mark.process
async def test_the_later_sample_of_a_minute_speaks_also_if_the_clock_was_set_back(
    tmp_path: Path, server: Server
):
    """Both wait for another run, which has the lock, to be numbered."""
    await asyncio.to_thread(server.start)
    token, device = server.add_token(), Device(tmp_path / "device", "dash", SCRIPT)
    minute = int(time.time()) // MINUTE * MINUTE
    device.boot(minute)
    device.state.mkdir()

    async def run(*words: str, at: int, shown: int) -> int:
        device.tell_time(at, shown)
        return await (await device.launch(server.port, token, *words)).wait()

    with subprocess.Popen(["sleep", "60"]) as another:
        (device.state / f"lock.{another.pid}.0.sleep").touch()
        assert await run("earth", "UP", "1", at=minute, shown=minute) == 0
        assert await run("earth", "DOWN", "2", at=minute + 1, shown=minute - 3600) == 0
        another.kill()
    now = int(time.time())
    assert await run("--flush", at=now, shown=now - 3601) == 0
    assert stored_samples(server.database) == {("earth", minute): "DOWN"}


# Through network cuts and kills; `make soak` does the same for longer, and in every shell.


@needs_shells
@pytest.mark.process
@pytest.mark.parametrize(("shell", "clock"), [("dash", "right"), ("ash", "back")])
def test_what_it_promised_arrives_through_cuts_and_kills(tmp_path: Path, shell: str, clock: str):
    report = asyncio.run(soak.run(tmp_path, shell, clock, cuts=1, kills=1))
    assert report.is_ok, report


@needs_shells
def test_under_busybox_it_finds_nothing_else_but_curl(tmp_path: Path):
    device = Device(tmp_path, "ash", SCRIPT)
    found = {shutil.which(name, path=device.path) for name in ("od", "tail", "grep", "sync", "mv")}
    assert {Path(str(path)).resolve().name for path in found} == {"busybox"}
    assert shutil.which("perl", path=device.path) is None
