"""A Debian booted by systemd-nspawn, in which units are tested under a real systemd.

Needs root. The Debian is made by debootstrap and cached in build/; each run starts with a fresh copy. It
shares the host's network, so that tests can send requests to its services.
"""

import asyncio
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rigs.process import ROOT, a_free_port

TREE = ROOT / "build/debian-systemd"
PACKAGES = "systemd,systemd-sysv,dbus,procps"
WATCHDOG_SECONDS = 4  # in place of the unit's
MOST_EXPOSURE = 1.5


class Unmet(Exception):
    """A condition was not met in time."""


class Machine:
    """A booted Debian, asked about one of its units; `disk` is the folder, here, that its service has."""

    def __init__(self, leader: int, disk: Path, port: int, unit: str = "kener-async") -> None:
        self._leader = leader
        self._disk = disk
        self.port = port
        self.unit = unit

    def about(self, unit: str) -> "Machine":
        """The same machine, asked about another unit."""
        return Machine(self._leader, self._disk, self.port, unit)

    @property
    def database(self) -> Path:
        return self._disk / "kener.db"

    def run(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        enter = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-p", "-C", "--"]
        done = subprocess.run([*enter, *words], capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode:
            raise Unmet(f"{shlex.join(words)}: status {done.returncode}: {done.stderr.strip()}")
        return done

    def is_up(self) -> bool:
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() == "running"

    def write(self, path: str, text: str) -> None:
        self.run("sh", "-c", 'mkdir -p "${0%/*}" && printf %s "$1" > "$0"', path, text)

    def has(self, path: str) -> bool:
        return self.run("test", "-e", path, check=False).returncode == 0

    def token(self, *options: str) -> str:
        """A new one, made by the command line of the service."""
        return self.run("kener-async", "token", "create", "--name", "test", *options).stdout.strip()

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.run("systemctl", "show", self.unit, "-P", name).stdout.strip()

    def owned_by(self, path: str) -> tuple[int, str]:
        """The user whose file it is, and its mode."""
        user, mode = self.run("stat", "-L", "-c", "%u %a", path).stdout.split()
        return int(user), mode

    @property
    def working(self) -> int:
        """The process that works, by the machine's own count: the one that another has unpacked."""
        return int(self.run("pgrep", "-P", self.show("MainPID")).stdout)

    @property
    def starts(self) -> int:
        """How often systemd has started the unit anew by itself."""
        return int(self.show("NRestarts"))

    def journal(self) -> str:
        return self.run("journalctl", "-u", self.unit, "-o", "cat", "--no-pager").stdout

    @property
    def barks(self) -> int:
        """How often the watchdog has ended the unit."""
        return self.journal().count("Watchdog timeout")

    def is_back(self, starts: int) -> bool:
        return self.starts > starts and self.show("ActiveState") == "active"


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> float:
    """How long it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise Unmet(f"{what}: not within {seconds} s")
        time.sleep(0.1)
    return time.monotonic() - began


@contextmanager
def booted(folder: Path, disk: Path, *binds: str) -> Iterator[Machine]:
    """The machine, whose console is a file in the folder; `binds` are options of systemd-nspawn."""
    with open(folder / "console", "wb") as console:
        nspawn = subprocess.Popen(
            [
                *("systemd-nspawn", "-q", "-D", str(TREE), "--boot", "--volatile=overlay"),
                *("--link-journal=no", "--register=no", "--keep-unit", f"--machine=kener-{os.getpid()}"),
                *binds,
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
        try:
            machine = Machine(_leader(nspawn), disk, a_free_port())
            until(machine.is_up, "the machine boots")
            yield machine
        finally:
            nspawn.terminate()
            nspawn.wait(60)


def _leader(nspawn: "subprocess.Popen[bytes]") -> int:
    """The machine's first process, by our count."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    until(lambda: nspawn.poll() is not None or bool(children.read_text().split()), "the machine starts")
    if nspawn.poll() is not None:
        raise Unmet("systemd-nspawn ended; are its packages there, and are you root?")
    return int(children.read_text().split()[0])


def make_tree() -> None:
    """A half-made one is never taken for a whole one."""
    if TREE.exists():
        return
    draft = TREE.with_name(f"{TREE.name}.draft")
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(draft)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    draft.rename(TREE)


# What is seen of any unit


def watched_closely(machine: Machine) -> None:
    """From its next start on the watchdog is as short as to let nobody wait."""
    path = f"/etc/systemd/system/{machine.unit}.service.d/test.conf"
    machine.write(path, f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\n")


def ready(machine: Machine) -> str:
    began, ended = (
        machine.show("InactiveExitTimestampMonotonic"),
        machine.show("ActiveEnterTimestampMonotonic"),
    )
    return f"ready {(int(ended) - int(began)) / 1e6:.2f} s after its start: {machine.show('StatusText')}"


def verified(machine: Machine) -> str:
    files = f"/etc/systemd/system/{machine.unit}*.[stb]*[!d]"
    messages = machine.run("sh", "-c", f"systemd-analyze verify {files}").stderr
    if messages:
        raise Unmet(messages)
    last = machine.run("systemd-analyze", "security", machine.unit).stdout.splitlines()[-1]
    exposure = float(last.partition(": ")[2].split()[0])
    if exposure > MOST_EXPOSURE:
        raise Unmet(f"exposure {exposure}")
    return f"verified without a word; exposure {exposure}"


def own_user(machine: Machine, file: str) -> int:
    """Who alone may enter the unit's folder and read the file in it."""
    user, _ = machine.owned_by(f"/proc/{machine.show('MainPID')}")
    folder = machine.owned_by(f"/var/lib/private/{machine.unit}")
    inside = machine.owned_by(f"/var/lib/{machine.unit}/{file}")
    if not user or folder != (user, "700") or inside != (user, "600"):
        raise Unmet(f"user {user}, folder {folder}, {file} {inside}")
    return user


def killed(machine: Machine, process: int) -> float:
    """Seconds until it was back."""
    starts = machine.starts
    machine.run("kill", "-KILL", str(process))
    return until(lambda: machine.is_back(starts), "it comes back")


def stalled(machine: Machine) -> tuple[float, float]:
    """Seconds until the watchdog noticed, and until it was back."""
    starts, barks = machine.starts, machine.barks
    machine.run("kill", "-STOP", str(machine.working))
    noticed = until(lambda: machine.barks > barks, "the watchdog notices")
    return noticed, noticed + until(lambda: machine.is_back(starts), "it comes back")


async def in_a_thread(work: Callable[..., float], *arguments: object) -> float:
    return await asyncio.to_thread(work, *arguments)
