"""contrib/heartbeat.sh: short enough to audit, portable, and every kept sample arrives."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.rigs.disk import may_mount, small_disk
from tests.rigs.process import MINUTE, ROOT, Server, a_config, reading, stored_samples
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
    assert len(code) < 300


@needs("shellcheck")
def test_shellcheck_has_nothing_to_say():
    done = subprocess.run(["shellcheck", "--shell=sh", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_unit_and_the_cron_line_call_it_as_it_wants_to_be_called():
    unit = (ROOT / "contrib/kener-heartbeat.service").read_text()
    assert re.search(r"^ExecStart=/usr/local/bin/heartbeat\.sh \$\{TAG\}$", unit, re.MULTILINE)
    assert "/usr/local/bin/heartbeat.sh earth -- ping" in (ROOT / "docs/edge-devices.md").read_text()


class Script:
    """The script in a shell, with a state folder and a server; a call returns the exit status."""

    def __init__(self, state: Path, server: Server, shell: str = "dash") -> None:
        self.state = state
        self.said = ""
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "KENER_URL": f"http://127.0.0.1:{server.port}",
            "KENER_TOKEN": server.add_token(),
            "KENER_STATE": str(state),
            "KENER_TIMEOUT": "5",
        }
        self._shell = SHELLS[shell]

    def __call__(self, *words: str) -> int:
        command = [*self._shell, str(SCRIPT), *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        self.said = done.stdout + done.stderr
        return done.returncode

    def files(self, kind: str) -> list[str]:
        """The files of a kind that have contents."""
        return [path.name for path in self.state.glob(f"{kind}.*") if path.stat().st_size]


def stored(server: Server) -> dict[str, str]:
    return {tag: status for (tag, _), status in stored_samples(server.database).items()}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Not started yet."""
    with Server(tmp_path, a_config()) as one:
        yield one


@needs_shells
@pytest.mark.process
@pytest.mark.parametrize("shell", SHELLS)
def test_what_was_kept_while_the_server_was_away_arrives(tmp_path: Path, server: Server, shell: str):
    run = Script(tmp_path / "state", server, shell)
    assert run("earth", "DOWN", "0.25") == 0
    assert run("not a tag") == 2
    assert run("earth", "ILL") == 2
    assert run("--flush") == 1
    server.start()
    assert run("mars", "--", "true") == 0
    assert run("--flush") == 0
    assert stored(server) == {"earth": "DOWN", "mars": "UP"}


@pytest.mark.parametrize("word", ["--help", "-h", "--flus", "--version"])
def test_an_option_is_never_sent_as_a_tag(tmp_path: Path, server: Server, word: str):
    run = Script(tmp_path / "state", server)
    assert run(word) == (0 if word in ("--help", "-h") else 2)
    assert ("heartbeat.sh --flush " in run.said) == (word in ("--help", "-h"))
    assert not run.state.exists()


@needs_shells
@pytest.mark.process
@pytest.mark.parametrize("shell", SHELLS)
def test_samples_that_the_server_refuses_are_kept_and_sent_when_it_takes_them(
    tmp_path: Path, server: Server, shell: str
):
    """The token is for other monitors, and is replaced."""
    run = Script(tmp_path / "state", server, shell)
    run.environment["KENER_TOKEN"] = server.add_token(id="narrow", tags=("mars",))
    server.start()
    assert run("earth", "DOWN", "0.25") == 0
    assert "refused" in run.said
    assert run("mars", "UP", "0.5") == 0
    assert stored(server) == {"mars": "UP"}
    assert (run.files("spool"), len(run.files("refused"))) == ([], 1)
    assert run("--flush") == 1
    run.environment["KENER_TOKEN"] = server.add_token(sender="narrow")
    assert run("mars") == 0  # tried again slowly: not with each sample
    assert stored(server) == {"mars": "UP"}
    count = run.state / "count"
    count.write_text(count.read_text().split()[0] + " 29\n")
    assert run("mars") == 0
    assert stored(server) == {"mars": "UP", "earth": "DOWN"}
    assert run("--flush") == 0
    assert run.files("refused") == run.files("spool") == []


class ProxyWithLimit(BaseHTTPRequestHandler):
    """Answers 413 in HTML to more than two samples, 400 to samples of `bad`, and stores the others."""

    batches: list[int]
    limit = 2

    def do_POST(self) -> None:
        _, *samples = self.rfile.read(int(self.headers["Content-Length"])).decode().split()
        self.batches.append(len(samples))
        if len(samples) > self.limit:
            self._answer(413, "<html>\n<body>Request Entity Too Large</body>\n</html>")
        elif any('"bad"' in sample for sample in samples):
            self._answer(400, '{"error":"the body is bad"}')
        else:
            results = ",".join(['{"verdict":"accepted","minute":0}'] * len(samples))
            head = f'"status":200,"accepted":{len(samples)},"rejected":0,"refused":0'
            self._answer(200, "{" + head + ',"results":[' + results + "]}")

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy(server: Server) -> Iterator[type[ProxyWithLimit]]:
    """On the port of the server."""
    handler = type("Handler", (ProxyWithLimit,), {"batches": []})
    with ThreadingHTTPServer(("127.0.0.1", server.port), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield handler
        http.shutdown()


@needs_shells
@pytest.mark.process
@pytest.mark.parametrize("shell", SHELLS)
def test_a_batch_that_is_too_large_for_a_proxy_is_sent_in_smaller_ones(
    tmp_path: Path, server: Server, proxy: type[ProxyWithLimit], shell: str
):
    run = Script(tmp_path / "state", server, shell)
    run.environment["KENER_URL"] = "http://127.0.0.1:1"
    for _ in range(5):
        assert run("earth") == 0
    run.environment["KENER_URL"] = f"http://127.0.0.1:{server.port}"
    assert run("--flush") == 0, run.said
    assert proxy.batches == [5, 2, 2, 1]


@needs_shells
@pytest.mark.process
def test_what_the_server_calls_malformed_is_kept_apart_and_never_overwritten(
    tmp_path: Path, server: Server, proxy: type[ProxyWithLimit]
):
    run = Script(tmp_path / "state", server)
    for latency in ("1", "2"):
        assert run("bad", "UP", latency) == 0
        assert "the body is bad" in run.said
    (bad,) = run.files("bad")
    lines = (run.state / bad).read_text().splitlines()
    assert [json.loads(line)["latency"] for line in lines] == [1, 2]
    proxy.limit = 0
    assert run("earth") == 0
    assert len((run.state / bad).read_text().splitlines()) == 3  # too large for the proxy on its own


@needs_shells
@pytest.mark.process
def test_drafts_of_runs_that_were_killed_are_removed_and_those_of_others_are_not(
    tmp_path: Path, server: Server, proxy: type[ProxyWithLimit]
):
    run = Script(tmp_path / "state", server)
    run.state.mkdir()
    with subprocess.Popen(["sleep", "60"]) as another:
        names = ["tmp.4194305.heartbeat.sh", "tmp.4194305", f"tmp.{another.pid}.sleep"]
        for name in names:
            (run.state / name).write_text("x")
        assert run("earth") == 0
        assert run.files("tmp") == names[2:]
        another.kill()


@pytest.mark.skipif(not may_mount() and "CI" not in os.environ, reason="may not mount in a namespace")
@needs_shells
@pytest.mark.process
@pytest.mark.parametrize("shell", SHELLS)
def test_on_a_full_disk_samples_are_sent_from_memory_and_the_spool_is_sent_too(
    tmp_path: Path, server: Server, shell: str
):
    with small_disk(tmp_path, "256k") as disk:
        run = Script(disk.seen / "state", server, shell)
        assert run("earth", "DOWN") == 0  # kept: the server is not there
        disk.fill()
        assert run("mars", "DOWN", "2") == 1  # on no disk and on no server
        server.start()
        assert run("mars", "DEGRADED") == 0
        assert stored(server) == {"earth": "DOWN", "mars": "DEGRADED"}
        disk.fill()
        assert run("mars", "UP") == 0
        assert stored(server) == {"earth": "DOWN", "mars": "UP"}
        disk.free()
        assert run("--flush") == 0
        assert run("earth", "UP") == 0
        assert stored(server) == {"earth": "UP", "mars": "UP"}
        assert run.files("spool") + run.files("new") + run.files("numbered") == []
    assert server.stop() == 0
    with closing(reading(server.database)) as connection:
        assert connection.execute("SELECT sum(restarts) FROM devices").fetchone() == (0,)


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
