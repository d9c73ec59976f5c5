"""The units under a real systemd: the single binary installs itself in a Debian booted by systemd-nspawn.

It is killed, stopped, its disk frozen, and restarted under load. Needs root. The Debian is made by
debootstrap and kept in build/; each run begins with it as it was made. It shares our network, so that we can
ask the service. Where its cgroups are the host's, as under cgroup v1, MemoryMax and TasksMax are not proven.
"""

import argparse
import asyncio
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.process import (
    ROOT,
    Refused,
    Unanswered,
    a_config,
    a_free_port,
    compare,
    connected,
    integrity,
    stored_samples,
)
from tests.soak import restart
from tests.soak.power import ext4

TREE = ROOT / "build/debian-systemd"
PACKAGES = "systemd,systemd-sysv,dbus,procps"
BINARY = ROOT / "dist/kener-async"
STATE = "/var/lib/private/kener-async"
DYNAMIC_USERS = range(61184, 65520)
WATCHDOG_SECONDS = 4  # in place of the unit's, so that nobody has to wait
MOST_EXPOSURE = 1.5


class Unmet(Exception):
    """What was expected did not come about."""


class Machine:
    """A booted Debian; `disk` is the folder, here, that its service keeps its data in."""

    def __init__(self, leader: int, disk: Path, port: int) -> None:
        self._leader = leader
        self.database = disk / "kener.db"
        self.port = port

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

    def show(self, name: str) -> str:
        """A property of the service."""
        return self.run("systemctl", "show", "kener-async", "-P", name).stdout.strip()

    @property
    def serving(self) -> int:
        """The process that serves, by the machine's own count: the one that another has unpacked."""
        return int(self.run("pgrep", "-P", self.show("MainPID")).stdout)

    @property
    def starts(self) -> int:
        """How often systemd has started the service anew by itself."""
        return int(self.show("NRestarts"))

    def journal(self) -> str:
        return self.run("journalctl", "-u", "kener-async", "-o", "cat", "--no-pager").stdout

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
def booted(tree: Path, folder: Path) -> Iterator[Machine]:
    with ext4(folder / "disk") as disk, open(folder / "console", "wb") as console:
        nspawn = subprocess.Popen(
            [
                *("systemd-nspawn", "-q", "-D", str(tree), "--boot", "--volatile=overlay"),
                *("--link-journal=no", "--register=no", "--keep-unit", f"--machine=kener-{os.getpid()}"),
                *(f"--bind-ro={BINARY}:/root/kener-async", f"--bind={disk.point}:{STATE}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
        try:
            machine = Machine(_leader(nspawn), disk.point, a_free_port())
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


# What is shown, one after the other on one machine


def installs(machine: Machine) -> str:
    install = "/root/kener-async", "install"
    machine.run(*install, "--no-start")
    given = machine.run("cat", "/etc/kener-async/config.toml").stdout.partition("\n[[")[0]
    text = given.replace("#port = 3000", f"port = {machine.port}")
    monitors = a_config({}, restart.TAGS).partition("[[")
    machine.write("/etc/kener-async/config.toml", text + "\n" + "".join(monitors[1:]))
    machine.write(
        "/etc/systemd/system/kener-async.service.d/test.conf", f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\n"
    )
    machine.run(*install)
    if machine.run(*install).stderr.count("keep ") != 6:
        raise Unmet("a second install changes something")
    took = int(machine.show("ActiveEnterTimestampMonotonic")) - int(
        machine.show("InactiveExitTimestampMonotonic")
    )
    return f"ready {took / 1e6:.2f} s after its start: {machine.show('StatusText')}"


def is_sound(machine: Machine) -> str:
    units = machine.run("sh", "-c", "systemd-analyze verify /etc/systemd/system/kener-async*.[stb]*[!d]")
    if units.stderr:
        raise Unmet(units.stderr)
    last = machine.run("systemd-analyze", "security", "kener-async").stdout.splitlines()[-1]
    exposure = float(last.partition(": ")[2].split()[0])
    if exposure > MOST_EXPOSURE:
        raise Unmet(f"exposure {exposure}")
    return f"verified without a word; exposure {exposure}"


def has_a_user_of_its_own(machine: Machine) -> str:
    user = int(machine.run("stat", "-c", "%u", f"/proc/{machine.show('MainPID')}").stdout)
    owner, mode = machine.run("stat", "-c", "%u %a", STATE).stdout.split()
    database = machine.run("stat", "-c", "%u %a", "/var/lib/kener-async/kener.db").stdout.split()
    if user not in DYNAMIC_USERS or int(owner) != user or mode != "700" or database != [owner, "600"]:
        raise Unmet(f"user {user}, folder {owner} {mode}, database {database}")
    return f"user {user} owns {STATE}, which nobody else may enter"


def _token(machine: Machine) -> str:
    return machine.run("kener-async", "token", "create", "--name", "test").stdout.strip()


def comes_back_after_a_kill(machine: Machine) -> str:
    starts = machine.starts
    machine.run("kill", "-KILL", str(machine.serving))
    took = until(lambda: machine.is_back(starts), "it comes back")
    return f"serving again after {took:.1f} s"


def _watchdog_barks(machine: Machine, before: int) -> Callable[[], bool]:
    return lambda: machine.journal().count("Watchdog timeout") > before


def comes_back_after_a_stall(machine: Machine) -> str:
    starts, barks = machine.starts, machine.journal().count("Watchdog timeout")
    machine.run("kill", "-STOP", str(machine.serving))
    noticed = until(_watchdog_barks(machine, barks), "the watchdog notices")
    took = noticed + until(lambda: machine.is_back(starts), "it comes back")
    return f"noticed after {noticed:.1f} s of {WATCHDOG_SECONDS}, serving again after {took:.1f} s"


async def comes_back_after_a_hung_disk(machine: Machine) -> str:
    """Nothing that waits for a frozen file system can be killed: it ends when the disk is there again."""
    starts, barks = machine.starts, machine.journal().count("Watchdog timeout")
    senders = restart.Steady(machine.port, _token(machine), restart.TAGS, rate=100, clients=16)
    disk = str(machine.database.parent)
    async with senders.running() as sent:
        await _in_a_thread(until, lambda: len(sent.acked) > 100, "heartbeats arrive")
        subprocess.run(["fsfreeze", "-f", disk], check=True)
        try:
            noticed = await _in_a_thread(until, _watchdog_barks(machine, barks), "the watchdog notices")
        finally:
            subprocess.run(["fsfreeze", "-u", disk], check=True)
        took = await _in_a_thread(until, lambda: machine.is_back(starts), "it comes back")
        acked = len(sent.acked)
        await _in_a_thread(until, lambda: len(sent.acked) > acked + 100, "heartbeats arrive again")
    lost = compare(machine.database, sent).lost
    if lost:
        raise Unmet(f"{len(lost)} of {len(sent.acked)} acknowledged heartbeats are lost")
    return (
        f"noticed after {noticed:.1f} s of {WATCHDOG_SECONDS}, serving again {took:.1f} s after the thaw; "
        f"{len(sent.acked)} acknowledged, 0 lost"
    )


async def _in_a_thread(work: Callable[..., float], *arguments: object) -> float:
    return await asyncio.to_thread(work, *arguments)


async def restarts_without_a_refusal(machine: Machine, restarts: int, rate: float) -> str:
    senders = restart.Steady(machine.port, _token(machine), restart.TAGS, rate)
    senders.start_after(stored_samples(machine.database))

    async def again() -> None:
        await asyncio.to_thread(machine.run, "systemctl", "restart", "kener-async")

    report = await restart.under_load(senders, again, restarts, between=3)
    stored = stored_samples(machine.database)
    lost = [key for key, status in senders.sent.acked.items() if stored.get(key) != status]
    report.lost, report.check = len(lost), integrity(machine.database)
    if not report.is_sound:
        raise Unmet(str(report))
    return str(report)


async def takes_a_key_that_only_root_can_read(machine: Machine) -> str:
    before = _token(machine)
    machine.run("sh", "-c", "umask 077; head -c 32 /dev/urandom | base64 > /etc/kener-async/secret.key")
    name_it = 's/^#secret_key_file = .*/secret_key_file = "secret.key"/'
    machine.run("sed", "-i", name_it, "/etc/kener-async/config.toml")
    machine.run("systemctl", "restart", "kener-async")
    answers = [await _status(machine, token) for token in (before, _token(machine))]
    if answers != [401, 200]:
        raise Unmet(f"answers to the old and the new key's tokens: {answers}")
    return "tokens of the key in /etc/kener-async are taken, those of the one before are not"


async def _status(machine: Machine, token: str) -> int:
    async with connected(machine.port, token) as client:
        return (await client.ask("GET", f"/api/monitors/{restart.TAGS[0]}/uptime")).status


def reloads(machine: Machine) -> str:
    machine.run("systemctl", "reload", "kener-async")
    until(lambda: "configuration reloaded" in machine.journal(), "the configuration is read again")
    return f"still {machine.show('ActiveState')}: {machine.show('StatusText')}"


def backs_up(machine: Machine) -> str:
    machine.run("systemctl", "start", "kener-async-backup.service")
    made = machine.run("ls", f"{STATE}/backups").stdout.split()
    if not made:
        raise Unmet("no backup was made")
    return ", ".join(made)


async def leaves_and_keeps_the_data(machine: Machine) -> str:
    machine.run("kener-async", "uninstall")
    if machine.run("systemctl", "cat", "kener-async", check=False).returncode == 0:
        raise Unmet("the unit is still there")
    try:
        await _status(machine, "")
    except (Refused, Unanswered):
        return f"{len(stored_samples(machine.database))} heartbeats are still on the disk"
    raise Unmet("something still answers")


def shown(restarts: int, rate: float) -> dict[str, Callable[[Machine], str | Awaitable[str]]]:
    return {
        "It installs itself": installs,
        "The units are sound": is_sound,
        "It has a user of its own": has_a_user_of_its_own,
        "It reloads": reloads,
        "It is killed": comes_back_after_a_kill,
        "It stalls": comes_back_after_a_stall,
        "Its disk hangs": comes_back_after_a_hung_disk,
        "It restarts under load": lambda machine: restarts_without_a_refusal(machine, restarts, rate),
        "Its key is a credential": takes_a_key_that_only_root_can_read,
        "It backs up": backs_up,
        "It uninstalls itself": leaves_and_keeps_the_data,
    }


async def run(machine: Machine, restarts: int, rate: float) -> bool:
    sound = True
    for name, show in shown(restarts, rate).items():
        try:
            found = show(machine)
            text = found if isinstance(found, str) else await found
        except Unmet as reason:
            sound, text = False, f"NOT SO: {reason}"
        print(f"{name + ':':26}{text}", flush=True)
    if not sound:
        print("", *machine.journal().splitlines()[-40:], sep="\n", file=sys.stderr)
    return sound


def make_tree(tree: Path) -> None:
    """A half-made one is never taken for a whole one."""
    if tree.exists():
        return
    draft = tree.with_name(f"{tree.name}.draft")
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(draft)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    draft.rename(tree)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--restarts", type=int, default=5, help="under load")
    parser.add_argument("--rate", type=float, default=1000, help="requests a second meanwhile")
    options = parser.parse_args()
    make_tree(TREE)
    with tempfile.TemporaryDirectory(prefix="kener-systemd-") as name, booted(TREE, Path(name)) as machine:
        return 0 if asyncio.run(run(machine, options.restarts, options.rate)) else 1


if __name__ == "__main__":
    sys.exit(main())
