"""Test the Debian package under a real systemd: install, upgrade, remove, install again, purge.

Needs root. Takes the newest package in dist/, and installs it in the Debian of tests/soak/machine.py.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.rigs.process import ROOT, Refused, connected
from tests.soak.machine import TREE, Machine, Unmet, booted, make_tree, until

CONFIG = "/etc/kener-async/config.toml"
STARTED = ("kener-async.socket", "kener-async.service", "kener-async-backup.timer")
AGENT = "kener-agent.service"
KEPT = [
    f"{folder}/{name}"
    for name in ("kener-async", "kener-agent")
    for folder in ("/etc", "/var/lib", "/var/lib/private")
]
BEAT = {"tag": "earth", "status": "UP", "latency": 0.042}
NO_ADDRESS = "bogus-mail-host,bogus-mail-host-in-debian-changelog,root-in-contact"  # unless DEBEMAIL is set


def newest() -> Path:
    return max((ROOT / "dist").glob("kener-async_*.deb"), key=lambda path: path.stat().st_mtime)


def newer(package: Path, folder: Path) -> Path:
    """The package as its next version, which also has another configuration file."""
    unpacked, result = folder / "unpacked", folder / "newer.deb"
    subprocess.run(["dpkg-deb", "-R", package, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1.1", control.read_text(), flags=re.MULTILINE))
    with open(unpacked / CONFIG[1:], "a") as config:
        config.write("# New in this version.\n")
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", unpacked, result], check=True, capture_output=True
    )
    return result


class Package:
    """What is done with it on a machine, and what is seen then."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.token = ""

    def dpkg(self, *words: str) -> None:
        self.machine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confold", *words)

    def states(self, query: str, *units: str) -> list[str]:
        return self.machine.run("systemctl", query, *(units or STARTED), check=False).stdout.split()

    def agent(self) -> list[str]:
        """Whether it is enabled, and whether it runs."""
        return self.states("is-enabled", AGENT) + self.states("is-active", AGENT)

    async def status(self) -> int:
        """Of a heartbeat that is sent."""
        async with connected(self.machine.port, self.token) as client:
            return (await client.ask("POST", "/api/status", BEAT)).status

    async def heard(self, after: int = 0) -> int:
        """When the one device was heard that there is, of which nothing may be missing; waits until then."""
        deadline = time.monotonic() + 150  # it checks once a minute
        async with connected(self.machine.port, self.token) as client:
            while time.monotonic() < deadline:
                devices = await client.get("/api/devices")
                if len(devices) > 1 or any(each["missing"] or each["restarts"] for each in devices):
                    raise Unmet(str(devices))
                if devices and devices[0]["lastHeardAt"] > after:
                    return int(devices[0]["lastHeardAt"])
                await asyncio.sleep(0.2)
        raise Unmet("the agent is not heard")


async def is_installed(package: Package) -> str:
    address = f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{package.machine.port}\n"
    package.machine.write("/etc/systemd/system/kener-async.socket.d/port.conf", address)
    package.dpkg("-i", "/packages/package.deb")
    if package.states("is-active") != ["active"] * 3 or package.states("is-enabled") != ["enabled"] * 3:
        raise Unmet(f"{package.states('is-active')}, {package.states('is-enabled')}")
    package.token = package.machine.token()
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


async def agent_is_left_alone(package: Package) -> str:
    if package.agent() != ["disabled", "inactive"]:
        raise Unmet(f"{package.agent()}")
    return "neither enabled nor started, by installing nor by upgrading"


async def agent_is_enabled(package: Package) -> str:
    machine = package.machine
    machine.write("/root/token", package.token)
    server = f"http://127.0.0.1:{machine.port}"
    options = "--server", server, "--token-file", "/root/token", "--alive", "earth"
    machine.run("kener-async", "agent", "install", *options)
    added = machine.run("find", "/etc", "/usr/local", "-name", "kener-a*", "-type", "f").stdout
    if added:
        raise Unmet(f"beside the package's own: {added.split()}")
    if "path=/usr/bin/kener-async " not in machine.about(AGENT).show("ExecStart"):
        raise Unmet(machine.about(AGENT).show("ExecStart"))
    if package.agent() != ["enabled", "active"]:
        raise Unmet(f"{package.agent()}")
    await package.heard()
    return "it runs the package's program by the package's unit, and is heard"


async def agent_is_upgraded(package: Package) -> str:
    agent = package.machine.about(AGENT)
    before, heard = agent.show("MainPID"), await package.heard()
    package.dpkg("-i", "/packages/newer.deb")
    if agent.show("MainPID") == before or package.agent() != ["enabled", "active"]:
        raise Unmet(f"{package.agent()}, process {agent.show('MainPID')} after {before}")
    await package.heard(heard)
    return "the new one runs; the same device, and nothing is missing"


async def is_removed(package: Package) -> str:
    machine = package.machine
    package.dpkg("--remove", "kener-async")
    if "active" in package.states("is-active", *STARTED, AGENT) or machine.has("/usr/bin/kener-async"):
        raise Unmet(f"{package.states('is-active', *STARTED, AGENT)}")
    if not all(map(machine.has, KEPT)):
        raise Unmet("a configuration or the data are gone")
    return "nothing runs; configurations, data and spool are kept"


async def comes_back(package: Package) -> str:
    package.dpkg("-i", "/packages/newer.deb")
    heard = await package.heard()
    taken = _taken(await package.status())
    await package.heard(heard)
    return f"{taken}, with the token of before; so is the agent's, which counts on"


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
    "Its agent is left alone": agent_is_left_alone,
    "Its agent is enabled": agent_is_enabled,
    "Its agent is upgraded": agent_is_upgraded,
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
    ok = True

    async def show(name: str, check: Callable[[], str | Awaitable[str]]) -> None:
        nonlocal ok
        try:
            result = check()
            text = result if isinstance(result, str) else await result
        except (Unmet, Refused) as reason:
            ok, text = False, f"FAILED: {reason}"
        print(f"{name + ':':26}{text}", flush=True)

    await show("Lintian says", lambda: lintian(package))
    await show("Without systemd", lambda: without_systemd(folder))
    with booted(folder, folder, f"--bind-ro={folder}:/packages") as machine:
        installed = Package(machine)
        for name, step in SHOWN.items():
            await show(name, lambda step=step: step(installed))  # type: ignore[misc]
    return ok


def main() -> int:
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None).parse_args()
    make_tree()
    package = newest()
    with tempfile.TemporaryDirectory(prefix="kener-deb-") as name:
        folder = Path(name)
        (folder / "package.deb").write_bytes(package.read_bytes())
        newer(package, folder)
        return 0 if asyncio.run(run(package, folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
