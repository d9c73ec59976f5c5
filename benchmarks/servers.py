"""Servers as processes of their own on one core, and wrk on another."""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]
SCRIPT = Path(__file__).with_name("load.lua")
CONNECTIONS = 32
URGENT = -15
# As root on a busy machine: other processes cannot interrupt those that are measured, and starve meanwhile.
IS_REALTIME = os.environ.get("BENCHMARK_REALTIME") == "1"
STOP_SECONDS = 30
SECRET = "for-benchmarks-only-" + "k" * 32
WITH_PROGRAM_OF_TREE = (  # the program from the current folder, the benchmarks from this checkout
    "import runpy, sys, kener_async; root, module = sys.argv[1:3]; del sys.argv[1:3]; "
    "sys.path.insert(0, root); runpy.run_module(module, run_name='__main__', alter_sys=True)"
)
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
MEDIANS = ("per_second", "p50", "p99", "cpu_us", "load", "waited")


@dataclass(frozen=True, slots=True)
class Answer:
    """As it came, still compressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Server:
    """One that is running; `token` is empty where none is needed."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    token: str = ""
    database: Path | None = None

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)

    @property
    def waited_seconds(self) -> float:
        """How long its threads were ready to run, but other processes had the core."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[1]) for task in tasks) / 1e9

    @property
    def resident_mb(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    @property
    def committed(self) -> int:
        """The committed samples, from `/metrics`; several may be of the same minute."""
        if self.database is None:
            return 0
        lines = self.fetch("/metrics").decode().splitlines()
        return next(int(float(line.split()[1])) for line in lines if line.startswith("kener_samples_total"))

    def become_idle(self) -> float:
        """Wait until it has done what it does after a start; the seconds that took."""
        started = time.monotonic()
        before = -1.0
        while self.cpu_seconds - before > 0.05:
            before = self.cpu_seconds
            time.sleep(1)
        return time.monotonic() - started

    def fetch(self, path: str) -> bytes:
        request = Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urlopen(request, timeout=60) as reply:
            body: bytes = reply.read()
        return body

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET", body: bytes = b""
    ) -> Answer:
        """The answer, whatever its status is; on a connection of its own."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body or None, headers or {})
            reply = connection.getresponse()
            return Answer(reply.status, dict(reply.getheaders()), reply.read())


@dataclass(frozen=True, slots=True)
class Round:
    """What one run of wrk saw. `answered` are the answers with status 200; times in milliseconds.

    `load` is the machine's load average at its end, `waited` the share of its time in which the server was
    ready to run but had no processor.
    """

    answered: int
    failed: int
    per_second: float
    p50: float
    p99: float
    cpu_us: float
    load: float
    waited: float

    @property
    def conditions(self) -> str:
        return f"load {self.load:.1f}, waited {self.waited:.0%}"


@dataclass(slots=True)
class Usage:
    """What a server and its machine used in a stretch of time: seconds, and the load average at its end."""

    cpu: float = 0.0
    waited: float = 0.0
    load: float = 0.0


@contextmanager
def measured(server: Server) -> Iterator[Usage]:
    """Measure from here to the end of the block."""
    usage = Usage()
    cpu, waited, began = server.cpu_seconds, server.waited_seconds, time.monotonic()
    yield usage
    usage.cpu = server.cpu_seconds - cpu
    usage.waited = max(server.waited_seconds - waited, 0.0) / (time.monotonic() - began)
    usage.load = os.getloadavg()[0]


def cpu_seconds(pid: int) -> float:
    """The processor seconds of all threads of a process, to the nanosecond (clock_getcpuclockid of Linux)."""
    return time.clock_gettime(~pid << 3 | 2)


def cpu_ratio(subject: Sequence[Round], reference: Sequence[Round]) -> float:
    """The same by processor time: the ratio on an otherwise idle machine."""
    return median(other.cpu_us / one.cpu_us for one, other in zip(subject, reference, strict=True))


def of_rounds(rounds: Sequence[Round]) -> Round:
    """The median of each figure; the sums of what was counted."""
    return Round(
        sum(one.answered for one in rounds),
        sum(one.failed for one in rounds),
        *(median(getattr(one, name) for one in rounds) for name in MEDIANS),
    )


def ratio(subject: Sequence[Round], reference: Sequence[Round]) -> float:
    """The median of the ratios of rounds that were run one right after the other."""
    return median(one.per_second / other.per_second for one, other in zip(subject, reference, strict=True))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def pinned(core: int, *command: str) -> list[str]:
    """The command on one core, and before other people's processes where that is allowed."""
    urgent = ["nice", "-n", str(URGENT)] if os.geteuid() == 0 else []
    if IS_REALTIME:
        urgent = ["chrt", "--fifo", "1"]
    return [*urgent, "taskset", "-c", str(core), *command]


@contextmanager
def started(
    command: Sequence[str], port: int, folder: Path, under: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers on the port; stopped on leaving. `under` is a command that executes it."""
    messages = folder / "messages"
    with messages.open("wb") as log:
        process = subprocess.Popen(
            pinned(SERVER_CORE, *under, *command), cwd=ROOT, stdout=log, stderr=log, env=_environment()
        )
    try:
        _await_port(process, port, messages)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            print(f"  (a server had not stopped {STOP_SECONDS} s after SIGTERM, and was killed)")


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("KENER_") and name != "PYTHONPATH"
    }


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.005)
    raise SystemExit(f"the server did not start:\n{log.read_text()}")


@contextmanager
def reference(folder: Path, under: Sequence[str] = ()) -> Iterator[Server]:
    """The bare server."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.reference", str(port)]
    with started(command, port, folder, under) as process:
        yield Server("bare", process, port, token=".".join(["x" * 60] * 3))


def configure(folder: Path, monitors: int) -> Path:
    """A config.toml for so many monitors that report every minute; its path."""
    lines = [f'[auth]\nsecret_key = "{SECRET}"\n[database]\npath = "kener.db"\n[log]\nformat = "text"\n']
    lines.append("[ingest]\ntoken_rate = 0\n")
    for number in range(monitors):
        lines.append(f'[[monitors]]\ntag = "monitor-{number}"\n')
        lines.append('[monitors.heartbeat]\ninterval = 60\ngrace = "2m"\ndown_after = "10m"\n')
    path = folder / "config.toml"
    path.write_text("".join(lines))
    tomllib.loads(path.read_text())
    return path


def watch(config: Path) -> None:
    """Add three alert rules for every monitor, and a channel that nothing listens at."""
    rules = (
        f'[[channels]]\nname = "hook"\nkind = "webhook"\nurl = "http://127.0.0.1:{free_port()}/"\n'
        '[[alerts]]\nname = "outage"\nto = ["hook"]\n'
        '[[alerts]]\nname = "degraded"\nwhen = "DEGRADED"\nafter = "5m"\nto = ["hook"]\n'
        '[[alerts]]\nname = "slow"\nlatency_above = 2\ncount = 3\nto = ["hook"]\n'
    )
    config.write_text(config.read_text() + rules)


def add_tree_option(parser: argparse.ArgumentParser) -> None:
    """Have a program measure any number of checkouts in one run."""
    parser.add_argument(
        "--tree",
        action="append",
        default=[],
        type=lambda text: Path(text).resolve(),
        help="a checkout to measure instead of this one; may be repeated",
    )


def checkouts(trees: Sequence[Path]) -> dict[str, Path]:
    """The checkouts to measure by their names in tables; this one, if none is given."""
    names = [tree.name for tree in trees]
    if not trees:
        return {"ours": ROOT}
    return {tree.name if names.count(tree.name) == 1 else str(tree): tree for tree in trees}


def subjects(trees: Sequence[Path], *, with_alerts: bool) -> dict[str, tuple[Path, bool]]:
    """The checkouts to measure by name, and whether with alert rules: the last one also with them."""
    named = {name: (tree, False) for name, tree in checkouts(trees).items()}
    last, _ = list(named.values())[-1]
    return named | ({"with alerts": (last, True)} if with_alerts else {})


def run_with(tree: Path, module: str, *arguments: str) -> str:
    """Run a program of these benchmarks with the code of any checkout of ours; its output.

    Layouts of databases differ between checkouts, so that only the code of each can write and read its own.
    """
    command = [sys.executable, "-c", WITH_PROGRAM_OF_TREE, str(ROOT), module, *arguments]
    ran = subprocess.run(
        command, cwd=tree, stdout=subprocess.PIPE, text=True, env=_environment(), check=False
    )
    if ran.returncode:
        raise SystemExit(f"{module} failed with {tree}")
    return ran.stdout.strip()


def token(config: Path, tree: Path = ROOT) -> str:
    """A token for everything."""
    command = [sys.executable, str(tree / "run.py"), "--config", str(config)]
    command += ["token", "create", "--init", "--name", "benchmark"]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=_environment()
    ).stdout.strip()


@contextmanager
def ours(
    folder: Path,
    config: Path,
    name: str = "ours",
    tree: Path = ROOT,
    secret: str | None = None,
    under: Sequence[str] = (),
) -> Iterator[Server]:
    """Our server, from any checkout, over the database beside the configuration."""
    port = free_port()
    secret = token(config, tree) if secret is None else secret
    command = [sys.executable, str(tree / "run.py"), "--config", str(config), "serve", "--port", str(port)]
    with started(command, port, folder, under) as process:
        yield Server(name, process, port, secret, config.parent / "kener.db")


def wrk(
    server: Server,
    what: str,
    monitors: int,
    seconds: int,
    begin: int = 0,
    *,
    connections: int = CONNECTIONS,
    pause_ms: int = 0,
    is_new_each: bool = False,
) -> Round:
    """Load from so many connections; see load.lua for `what`.

    Each rests for `pause_ms` after an answer. With `is_new_each` each request has a connection of its own, as
    those of curl and of most microcontrollers.
    """
    arguments = (what, str(monitors), str(begin), str(pause_ms))
    headers = {"Authorization": f"Bearer {server.token}"}
    if is_new_each:
        headers["Connection"] = "close"
    command = load(server, seconds, SCRIPT, arguments, headers, connections)
    with measured(server) as usage:
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return read_round(output, usage)


def load(
    server: Server,
    seconds: int,
    script: Path,
    arguments: Sequence[str],
    headers: Mapping[str, str],
    connections: int = CONNECTIONS,
) -> list[str]:
    """The command that runs wrk on the core for load; its script decides what is asked for."""
    given = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    return pinned(
        LOAD_CORE,
        *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), *given),
        *(f"http://127.0.0.1:{server.port}/api/status", "--", *arguments),
    )


def read_round(output: str, usage: Usage) -> Round:
    """The totals that our scripts print, and what the server used meanwhile."""
    totals = next(line for line in output.splitlines() if line.startswith("totals"))
    requests, duration, refused, broken, p50, p99 = (int(field) for field in totals.split()[1:])
    return Round(
        answered=requests - refused,
        failed=refused + broken,
        per_second=requests / duration * 1e6,
        p50=p50 / 1000,
        p99=p99 / 1000,
        cpu_us=usage.cpu / max(requests, 1) * 1e6,
        load=usage.load,
        waited=usage.waited,
    )


@contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder in TMPDIR, deleted on leaving; within, this process has a higher priority."""
    leave_on_sigterm()
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        raise SystemExit("wrk and taskset (util-linux) are needed")
    with TemporaryDirectory(prefix="kener-benchmark-") as folder, first_among_sessions():
        yield Path(folder)


def leave_on_sigterm() -> None:
    """Handle SIGTERM as Ctrl-C: stop the servers and delete the files."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@contextmanager
def first_among_sessions() -> Iterator[None]:
    """Where Linux shares the processor between sessions, `nice` decides nothing between two; this does."""
    if IS_REALTIME:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    group = Path("/proc/self/autogroup")
    if os.geteuid() != 0 or not group.exists():
        yield
        return
    group.write_text(str(URGENT))
    try:
        yield
    finally:
        group.write_text("0")


def load_now() -> str:
    """The load average of the last minute, to be printed with a figure."""
    return f"load {os.getloadavg()[0]:.1f}"


def machine() -> str:
    """One line about where this was measured."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown processor",
    )
    version = ".".join(str(part) for part in sys.version_info[:3])
    return (
        f"{model}, {len(CORES)} cores (server on {SERVER_CORE}, load on {LOAD_CORE}"
        f"{', real-time' if IS_REALTIME else ''}), "
        f"Linux {os.uname().release.partition('-')[0]}, Python {version}"
    )
