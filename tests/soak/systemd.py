"""Test the units under a real systemd: the single binary installs itself in a Debian in systemd-nspawn.

The service is killed, stopped, its disk frozen, and restarted under load; then the same with the agent beside
it. Needs root. Under cgroup v1 the machine shares the host's cgroups, so MemoryMax and TasksMax are not
tested.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.rigs.mail_server import mail_server
from tests.rigs.process import (
    ROOT,
    Refused,
    Unanswered,
    a_config,
    compare,
    connected,
    integrity,
    stored_samples,
)
from tests.soak import restart, systemd_agent
from tests.soak.machine import (
    WATCHDOG_SECONDS,
    Machine,
    Unmet,
    booted,
    in_a_thread,
    killed,
    make_tree,
    own_user,
    ready,
    stalled,
    until,
    verified,
    watched_closely,
)
from tests.soak.power import ext4

BINARY = ROOT / "dist/kener-async"
DYNAMIC_USERS = range(61184, 65520)
STATE = "/var/lib/private/kener-async"


# What is shown, one after the other on one machine


def installs(machine: Machine) -> str:
    install = "/root/kener-async", "install"
    machine.run(*install, "--no-start")
    given = machine.run("cat", "/etc/kener-async/config.toml").stdout.partition("\n[[")[0]
    text = given.replace("#port = 3000", f"port = {machine.port}")
    monitors = a_config({}, restart.TAGS).partition("[[")
    machine.write("/etc/kener-async/config.toml", text + "\n" + "".join(monitors[1:]))
    watched_closely(machine)
    machine.run(*install)
    if machine.run(*install).stderr.count("keep ") != 8:  # seven files, and who may read one
        raise Unmet("a second install changes something")
    return ready(machine)


def has_a_user_of_its_own(machine: Machine) -> str:
    user = own_user(machine, "kener.db")
    if user not in DYNAMIC_USERS:
        raise Unmet(f"user {user}")
    return f"user {user} owns {STATE}, which nobody else may enter"


def comes_back_after_a_kill(machine: Machine) -> str:
    return f"serving again after {killed(machine, machine.working):.1f} s"


def comes_back_after_a_stall(machine: Machine) -> str:
    noticed, took = stalled(machine)
    return f"noticed after {noticed:.1f} s of {WATCHDOG_SECONDS}, serving again after {took:.1f} s"


async def comes_back_after_a_hung_disk(machine: Machine) -> str:
    """Nothing that waits for a frozen file system can be killed: it ends when the disk is there again."""
    starts, barks = machine.starts, machine.barks
    senders = restart.Steady(machine.port, machine.token(), restart.TAGS, rate=100, clients=16)
    disk = str(machine.database.parent)
    async with senders.running() as sent:
        await in_a_thread(until, lambda: len(sent.acked) > 100, "heartbeats arrive")
        subprocess.run(["fsfreeze", "-f", disk], check=True)
        try:
            noticed = await in_a_thread(until, lambda: machine.barks > barks, "the watchdog notices")
        finally:
            subprocess.run(["fsfreeze", "-u", disk], check=True)
        took = await in_a_thread(until, lambda: machine.is_back(starts), "it comes back")
        acked = len(sent.acked)
        await in_a_thread(until, lambda: len(sent.acked) > acked + 100, "heartbeats arrive again")
    lost = compare(machine.database, sent).lost
    if lost:
        raise Unmet(f"{len(lost)} of {len(sent.acked)} acknowledged heartbeats are lost")
    return (
        f"noticed after {noticed:.1f} s of {WATCHDOG_SECONDS}, serving again {took:.1f} s after the thaw; "
        f"{len(sent.acked)} acknowledged, 0 lost"
    )


async def restarts_without_a_refusal(machine: Machine, restarts: int, rate: float) -> str:
    senders = restart.Steady(machine.port, machine.token(), restart.TAGS, rate)
    senders.start_after(stored_samples(machine.database))

    async def again() -> None:
        await asyncio.to_thread(machine.run, "systemctl", "restart", "kener-async")

    report = await restart.under_load(senders, again, restarts, between=3)
    stored = stored_samples(machine.database)
    lost = [key for key, status in senders.sent.acked.items() if stored.get(key) != status]
    report.lost, report.check = len(lost), integrity(machine.database)
    if not report.is_ok:
        raise Unmet(str(report))
    return str(report)


async def takes_a_key_that_only_root_can_read(machine: Machine) -> str:
    before = machine.token()
    machine.run("sh", "-c", "umask 077; head -c 32 /dev/urandom | base64 > /etc/kener-async/secret.key")
    name_it = 's/^#secret_key_file = .*/secret_key_file = "secret.key"/'
    machine.run("sed", "-i", name_it, "/etc/kener-async/config.toml")
    machine.run("systemctl", "restart", "kener-async")
    answers = [await _status(machine, token) for token in (before, machine.token())]
    if answers != [401, 200]:
        raise Unmet(f"answers to the old and the new key's tokens: {answers}")
    return "tokens of the key in /etc/kener-async are taken, those of the one before are not"


CHANNELS = """
[mail]
host = "127.0.0.1"
port = {mail}
security = "none"
from = "status@example.org"
[[channels]]
name = "hook"
kind = "webhook"
url = "$HOOK"
[[channels]]
name = "mail"
kind = "mail"
to = ["ops@example.org"]
[[channels]]
name = "program"
kind = "command"
command = ["/bin/sh", "-c", "cat > /var/lib/kener-async/told.json"]
[[alerts]]
name = "outage"
to = ["hook", "mail", "program"]
"""


async def tells_of_an_outage(machine: Machine) -> str:
    """In the sandbox of the unit: by a webhook whose address is a credential, by mail, and by a program."""
    paths: list[str] = []

    async def take(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    async with TestServer(app) as hook, mail_server() as mails:
        machine.write("/etc/kener-async/HOOK", f"http://127.0.0.1:{hook.port}/s3cret")
        machine.run("chmod", "400", "/etc/kener-async/HOOK")
        drop_in = "[Service]\nLoadCredential=HOOK:/etc/kener-async/HOOK\n"
        machine.write("/etc/systemd/system/kener-async.service.d/hook.conf", drop_in)
        config = machine.run("cat", "/etc/kener-async/config.toml").stdout
        machine.write("/etc/kener-async/config.toml", config + CHANNELS.format(mail=mails.port))
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "kener-async")
        beat = {"tag": restart.TAGS[0], "status": "DOWN", "latency": 0.1}
        async with connected(machine.port, machine.token()) as client:
            await client.ask("POST", "/api/status", beat)
        told = f"{STATE}/told.json"
        await in_a_thread(
            until, lambda: bool(paths and mails.mails) and machine.has(told), "all three are told"
        )
    if paths != ["/s3cret"] or "s3cret" in machine.journal():
        raise Unmet(f"requests of {paths}")
    return f"by a webhook, a mail, and a program that wrote {machine.run('cat', told).stdout[:40]}..."


async def _status(machine: Machine, token: str) -> int:
    async with connected(machine.port, token) as client:
        return (await client.ask("GET", f"/api/monitors/{restart.TAGS[0]}/uptime")).status


def reloads(machine: Machine) -> str:
    machine.run("systemctl", "reload", "kener-async")
    until(lambda: "configuration reloaded" in machine.journal(), "the configuration is read again")
    return f"still {machine.show('ActiveState')}: {machine.show('StatusText')}"


def backs_up(machine: Machine) -> str:
    machine.run("systemctl", "start", "kener-async-backup.service")
    backups = machine.run("ls", f"{STATE}/backups").stdout.split()
    if not backups:
        raise Unmet("no backup was made")
    return ", ".join(backups)


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
        "systemd accepts the units": verified,
        "It has a user of its own": has_a_user_of_its_own,
        "It reloads": reloads,
        "It is killed": comes_back_after_a_kill,
        "It stalls": comes_back_after_a_stall,
        "Its disk hangs": comes_back_after_a_hung_disk,
        "It restarts under load": lambda machine: restarts_without_a_refusal(machine, restarts, rate),
        "Its key is a credential": takes_a_key_that_only_root_can_read,
        "It tells of an outage": tells_of_an_outage,
        "It backs up": backs_up,
        **systemd_agent.SHOWN,
        "It uninstalls itself": leaves_and_keeps_the_data,
    }


async def run(machine: Machine, restarts: int, rate: float) -> bool:
    is_ok = True
    for name, show in shown(restarts, rate).items():
        try:
            result = show(machine)
            text = result if isinstance(result, str) else await result
        except Unmet as reason:
            is_ok, text = False, f"NOT SO: {reason}"
        print(f"{name + ':':26}{text}", flush=True)
    if not is_ok:
        for unit in (machine, machine.about(systemd_agent.UNIT)):
            print("", *unit.journal().splitlines()[-40:], sep="\n", file=sys.stderr)
    return is_ok


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--restarts", type=int, default=5, help="under load")
    parser.add_argument("--rate", type=float, default=1000, help="requests a second meanwhile")
    options = parser.parse_args()
    make_tree()
    with tempfile.TemporaryDirectory(prefix="kener-systemd-") as name, ext4(Path(name, "disk")) as disk:
        binds = f"--bind-ro={BINARY}:/root/kener-async", f"--bind={disk.point}:{STATE}"
        with booted(Path(name), disk.point, *binds) as machine:
            return 0 if asyncio.run(run(machine, options.restarts, options.rate)) else 1


if __name__ == "__main__":
    sys.exit(main())
