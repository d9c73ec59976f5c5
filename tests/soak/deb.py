"""The Debian package under a real systemd: installed, upgraded, removed, installed again, purged.

Needs root. Takes the newest package in dist/; the Debian it goes into is that of tests/soak/systemd.py.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.process import ROOT, Refused, a_free_port, connected
from tests.soak import systemd
from tests.soak.systemd import TREE, Machine, Unmet, make_tree, until

CONFIG = "/etc/kener-async/config.toml"
STARTED = ("kener-async.socket", "kener-async.service", "kener-async-backup.timer")
KEPT = ("/etc/kener-async", "/var/lib/kener-async", "/var/lib/private/kener-async")
BEAT = {"tag": "earth", "status": "UP", "latency": 0.042}
NO_ADDRESS = "bogus-mail-host,bogus-mail-host-in-debian-changelog,root-in-contact"  # unless DEBEMAIL is set


def newest() -> Path:
    return max((ROOT / "dist").glob("kener-async_*.deb"), key=lambda path: path.stat().st_mtime)


def newer(package: Path, folder: Path) -> Path:
    """The same package as its next version, whose configuration file says something new as well."""
    unpacked, made = folder / "unpacked", folder / "newer.deb"
    subprocess.run(["dpkg-deb", "-R", package, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1.1", control.read_text(), flags=re.MULTILINE))
    with open(unpacked / CONFIG[1:], "a") as config:
        config.write("# New in this version.\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", unpacked, made], check=True, capture_output=True)
    return made


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """The machine, in which the folder is /packages."""
    with open(folder / "console", "wb") as console:
        nspawn = subprocess.Popen(
            [
                *("systemd-nspawn", "-q", "-D", str(TREE), "--boot", "--volatile=overlay"),
                *("--link-journal=no", "--register=no", "--keep-unit", f"--machine=kener-deb-{os.getpid()}"),
                f"--bind-ro={folder}:/packages",
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
        try:
            machine = Machine(systemd._leader(nspawn), folder, a_free_port())
            until(machine.is_up, "the machine boots")
            yield machine
        finally:
            nspawn.terminate()
            nspawn.wait(60)


class Package:
    """What is done with it on a machine, and what is seen then."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.token = ""

    def dpkg(self, *words: str) -> None:
        self.machine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confold", *words)

    def states(self, asked: str) -> list[str]:
        return self.machine.run("systemctl", asked, *STARTED, check=False).stdout.split()

    def has(self, path: str) -> bool:
        return self.machine.run("test", "-e", path, check=False).returncode == 0

    async def status(self) -> int:
        """Of a heartbeat that is sent."""
        async with connected(self.machine.port, self.token) as client:
            return (await client.ask("POST", "/api/status", BEAT)).status


async def is_installed(package: Package) -> str:
    address = f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{package.machine.port}\n"
    package.machine.write("/etc/systemd/system/kener-async.socket.d/port.conf", address)
    package.dpkg("-i", "/packages/package.deb")
    if package.states("is-active") != ["active"] * 3 or package.states("is-enabled") != ["enabled"] * 3:
        raise Unmet(f"{package.states('is-active')}, {package.states('is-enabled')}")
    made = package.machine.run("kener-async", "token", "create", "--name", "test")
    package.token = made.stdout.strip()
    return _taken(await package.status())


async def is_upgraded(package: Package) -> str:
    machine = package.machine
    before = machine.show("MainPID")
    machine.run("sed", "-i", 's/^#title = "Status"/title = "Ours"/', CONFIG)
    machine.run("systemctl", "disable", "--now", "kener-async-backup.timer")
    package.dpkg("-i", "/packages/newer.deb")
    until(lambda: machine.show("ActiveState") == "active", "it is active again")
    if machine.show("MainPID") == before:
        raise Unmet("the old version still runs")
    if 'title = "Ours"' not in machine.run("cat", CONFIG).stdout:
        raise Unmet("the configuration was replaced")
    if package.states("is-enabled") != ["enabled", "enabled", "disabled"]:
        raise Unmet(f"{package.states('is-enabled')}")
    return f"{_taken(await package.status())}; the configuration and a disabled timer are as they were"


async def is_removed(package: Package) -> str:
    package.dpkg("--remove", "kener-async")
    if "active" in package.states("is-active") or package.has("/usr/bin/kener-async"):
        raise Unmet(f"{package.states('is-active')}")
    if not all(map(package.has, KEPT)):
        raise Unmet("the configuration or the data are gone")
    return "nothing runs; configuration and data are kept"


async def comes_back(package: Package) -> str:
    package.dpkg("-i", "/packages/newer.deb")
    return f"{_taken(await package.status())}, with the token of before"


async def is_purged(package: Package) -> str:
    package.dpkg("--purge", "kener-async")
    left = package.machine.run(
        "find", "/etc", "/usr", "/var", "-name", "*kener*", "-not", "-path", "*/kener-async.socket.d*"
    )
    if left.stdout:
        raise Unmet(f"left: {left.stdout.split()}")
    failed = package.machine.run("systemctl", "--failed", "--no-legend").stdout
    if failed:
        raise Unmet(failed)
    return "nothing is left, and no unit has failed"


def _taken(status: int) -> str:
    if status != 200:
        raise Unmet(f"a heartbeat is answered {status}")
    return "a heartbeat is taken"


SHOWN: dict[str, Callable[[Package], Awaitable[str]]] = {
    "It is installed": is_installed,
    "It is upgraded": is_upgraded,
    "It is removed": is_removed,
    "It is installed again": comes_back,
    "It is purged": is_purged,
}


def without_systemd(folder: Path) -> str:
    """As in a chroot, or while an image is made: nothing is started."""
    both = "dpkg -i /packages/package.deb && kener-async --version && dpkg --purge kener-async"
    command = ["systemd-nspawn", "-q", "-D", str(TREE), "--volatile=overlay", "--register=no", "--keep-unit"]
    command += [f"--machine=kener-image-{os.getpid()}", f"--bind-ro={folder}:/packages", "sh", "-c", both]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode or "kener-async, version" not in done.stdout:
        raise Unmet(done.stdout + done.stderr)
    return "installed, run and purged"


def lintian(package: Path) -> str:
    command = ["lintian", "--fail-on", "error,warning", "--suppress-tags", NO_ADDRESS, str(package)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unmet(done.stdout)
    return "no error, no warning"


async def run(package: Path, folder: Path) -> bool:
    sound = True

    async def show(name: str, found: Callable[[], str | Awaitable[str]]) -> None:
        nonlocal sound
        try:
            told = found()
            text = told if isinstance(told, str) else await told
        except (Unmet, Refused) as reason:
            sound, text = False, f"NOT SO: {reason}"
        print(f"{name + ':':26}{text}", flush=True)

    await show("Lintian says", lambda: lintian(package))
    await show("Without systemd", lambda: without_systemd(folder))
    with booted(folder) as machine:
        installed = Package(machine)
        for name, step in SHOWN.items():
            await show(name, lambda step=step: step(installed))  # type: ignore[misc]
    return sound


def main() -> int:
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None).parse_args()
    make_tree(TREE)
    package = newest()
    with tempfile.TemporaryDirectory(prefix="kener-deb-") as name:
        folder = Path(name)
        (folder / "package.deb").write_bytes(package.read_bytes())
        newer(package, folder)
        return 0 if asyncio.run(run(package, folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
