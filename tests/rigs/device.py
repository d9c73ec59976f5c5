"""A device: its clocks, which may be wrong, its settings, and its agent as a process."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from kener_async.agent.clocks import ClockReading
from kener_async.agent.settings import AgentSettings
from tests.rigs.process import ROOT


class DeviceClock:
    """Shows `error` seconds more than the true time, and counts from each boot."""

    def __init__(self, true: Callable[[], float], error: float = 0) -> None:
        self._true = true
        self.error = error
        self.boots = 0
        self.boot()

    def boot(self) -> None:
        self.boots += 1
        self._booted = self._true() - 20  # the agent is not the first that starts

    def __call__(self) -> ClockReading:
        true = self._true()
        return ClockReading(true + self.error, true - self._booted, f"boot-{self.boots}")

    def set_to(self, wall: float) -> None:
        """As without a battery, or by hand."""
        self.error = wall - self._true()


def agent_settings(folder: Path, *servers: str, **fields: Any) -> AgentSettings:
    """Of an agent without checks, whose spool is in the folder."""
    plain: dict[str, Any] = {
        "token": "a-token",
        "token_file": None,
        "device": "gate",
        "spool": folder / "spool.db",
        "spool_bytes": 1 << 20,
        "send_every": 10,
        "send_timeout": 5,
        "checks": (),
    }
    return AgentSettings(servers=servers, **(plain | fields))


class AgentProcess:
    """`kener-async agent` as a process, on a configuration and a spool in its folder.

    `environment` is added to ours. `fault` is Python that runs first, in the same process. `within` is put
    before the command (nsenter).
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        environment: Mapping[str, str] | None = None,
        fault: str = "",
        within: Sequence[str] = (),
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.config = folder / "agent.toml"
        self.config.write_text(config)
        self.spool = folder / "spool.db"
        self.log_file = folder / "agent.log"
        run = f"{fault}\nfrom kener_async.cli.main import main\nmain()"
        self._within = within
        self._program = ["-c", run] if fault else [str(ROOT / "run.py")]
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def launch(self, *words: str) -> "AgentProcess":
        command = [*self._within, sys.executable, *self._program, "agent", "--config", str(self.config)]
        with open(self.log_file, "ab") as log:
            self._process = subprocess.Popen(
                [*command, "--spool", str(self.spool), *words],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=self._environment,
                cwd=self.folder,
                start_new_session=True,
            )
        return self

    def logs(self) -> list[dict[str, Any]]:
        """The complete lines of all runs."""
        *lines, _ = self.log_file.read_text().split("\n")
        return [json.loads(line) for line in lines]

    def until_logged(self, event: str, seconds: float = 20) -> dict[str, Any]:
        """Wait for a line of the log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.logs():
                if line["event"] == event:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"{event!r} was not logged:\n{self.log_file.read_text()}")

    def wait(self, seconds: float = 20) -> int:
        """The exit status."""
        assert self._process is not None
        status = self._process.wait(seconds)
        for name in ("faketime_shm", "sem.faketime_sem"):  # which libfaketime leaves behind
            Path(f"/dev/shm/{name}_{self.pid}").unlink(missing_ok=True)
        return status

    def stop(self) -> int:
        """Ask it to stop; the exit status."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def freeze(self) -> None:
        """Stop all its threads, and return when the last one has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        while any(self._state(task) not in "Tt" for task in Path(f"/proc/{self.pid}/task").iterdir()):
            time.sleep(0.001)

    @staticmethod
    def _state(task: Path) -> str:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]

    def kill(self) -> None:
        """End it as a crash would, with what it started; harmless when it has ended."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.wait()

    def spooled(self) -> list[tuple[Any, ...]]:
        """What is in the spool of an agent that does not run: seq, tag, status, latency, monotonic."""
        if not self.spool.exists():
            return []
        with closing(sqlite3.connect(self.spool)) as connection:
            return connection.execute("SELECT seq, tag, status, latency, monotonic FROM samples").fetchall()

    def __enter__(self) -> "AgentProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
