"""Test the agent's unit, on the machine of tests/soak/systemd.py, which also runs the server."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.rigs.process import connected, reading, stored_samples
from tests.soak import restart
from tests.soak.machine import (
    WATCHDOG_SECONDS,
    Machine,
    Unmet,
    in_a_thread,
    killed,
    own_user,
    ready,
    stalled,
    until,
    verified,
    watched_closely,
)

UNIT = "kener-agent"
SERVER = "kener-async.socket", "kener-async.service"
CONFIG, TOKEN = "/etc/kener-agent/config.toml", "/etc/kener-agent/token"
SPOOL = "/var/lib/private/kener-agent/spool.db"
CREDENTIAL = "/run/credentials/kener-agent.service/token"
ALIVE, *TAGS = restart.TAGS
NOT_MEASURED = ""  # which is no status, so nothing is sent
FORBIDDEN = 'file = "/root/kener-async"\nmax_age = "1000d"'
# What the unit lets a check see, and what it hides from it.
CHECKS = {
    'unit = "kener-async.service"': "UP",
    'unit = "no-such.service"': "DOWN",
    'command = ["df", "-P", "/"]': "UP",
    'command = ["systemctl", "is-active", "--quiet", "dbus.service"]': "UP",
    'command = ["setpriv", "--inh-caps=-all", "true"]': "UP",  # gives up capabilities, as ping does
    'command = ["pgrep", "-x", "systemd-journal"]': "DOWN",  # the processes of others
    f'file = "{CONFIG}"\nmax_age = "1d"': "UP",
    FORBIDDEN: NOT_MEASURED,  # home folders
    'http = "http://127.0.0.1:PORT/healthz"': "UP",
    'tcp = "127.0.0.1:PORT"': "UP",
    'ping = "127.0.0.1"': "UP",  # with a datagram socket, for the groups of PING_GROUPS
}
PING_GROUPS = Path("/proc/sys/net/ipv4/ping_group_range")  # the machine is in our network
OFTEN = '[agent]\nsend_every = "1s"\n'


def heard(machine: Machine) -> int:
    """The highest number with which the device has been heard."""
    with closing(reading(machine.database)) as connection:
        (last,) = connection.execute("SELECT coalesce(max(last), 0) FROM heard").fetchone()
    return int(last)


async def device(machine: Machine) -> dict[str, Any]:
    """The only device of the server, with no restarts and no missing samples."""
    async with connected(machine.port, machine.token()) as client:
        devices = await client.get("/api/devices")
    if len(devices) != 1 or devices[0]["missing"] or devices[0]["restarts"]:
        raise Unmet(str(devices))
    only: dict[str, Any] = devices[0]
    return only


async def goes_on(machine: Machine, before: int) -> str:
    """Heard with more numbers than that, and with all of them."""
    await in_a_thread(until, lambda: heard(machine) > before, "samples arrive")
    await device(machine)
    return f"numbers went on from {before} to {heard(machine)}, none is missing"


# What is shown


async def is_installed(machine: Machine) -> str:
    agent = machine.about(UNIT)
    machine.write("/root/token", machine.token("--scope", "status:write", "--tag", "m*"))
    watched_closely(agent)
    install = "kener-async", "agent", "install"
    options = "--server", f"http://127.0.0.1:{machine.port}", "--token-file", "/root/token", "--alive", ALIVE
    machine.run(*install, *options)
    if machine.run(*install, *options).stderr.count("keep ") != 5:
        raise Unmet("a second install changes something")
    await in_a_thread(until, lambda: heard(machine) > 0, "a sample arrives")
    return f"{ready(agent)}; heard as {(await device(machine))['device']}"


def has_its_own(machine: Machine) -> str:
    agent = machine.about(UNIT)
    user = own_user(agent, "spool.db")
    given = agent.run("cat", CREDENTIAL).stdout
    if agent.owned_by(TOKEN) != (0, "600") or agent.run("cat", TOKEN).stdout != given:
        raise Unmet(f"{TOKEN} {agent.owned_by(TOKEN)}")
    if agent.owned_by(CREDENTIAL)[1] != "400":
        raise Unmet(f"{CREDENTIAL} {agent.owned_by(CREDENTIAL)}")
    if user != int(agent.run("id", "-u", UNIT).stdout):
        raise Unmet(f"user {user}")
    return f"user {user}, {UNIT}, is passed the token that only root can read in {TOKEN}"


async def sees(machine: Machine) -> str:
    """The configuration is changed as an administrator would."""
    before = heard(machine)
    checks = [
        f'[[agent.checks]]\ntag = "{tag}"\nevery = "1s"\n{check}\n'
        for tag, check in zip(TAGS, CHECKS, strict=False)
    ]
    given = machine.run("cat", CONFIG).stdout.replace("[agent]\n", OFTEN)
    machine.write(CONFIG, given + "\n" + "\n".join(checks).replace("PORT", str(machine.port)))
    with everybody_may_ping():
        machine.run("systemctl", "restart", UNIT)
        await in_a_thread(until, lambda: heard(machine) > before + 4 * len(CHECKS), "each has been made")
    statuses = _last_statuses(machine)
    forbidden = TAGS[list(CHECKS).index(FORBIDDEN)]
    if _reports(machine, forbidden, "check failed to run", "permission denied"):
        statuses[forbidden] = NOT_MEASURED
    wrong = [
        f"{check}: {statuses.get(tag)}"
        for tag, (check, status) in zip(TAGS, CHECKS.items(), strict=False)
        if statuses.get(tag) != status
    ]
    if wrong:
        raise Unmet("; ".join(wrong))
    ups = [check.split()[0] for check, status in CHECKS.items() if status == "UP"]
    return f"UP are checks of {', '.join(dict.fromkeys(ups))}; the processes of others and /root are hidden"


@contextmanager
def everybody_may_ping() -> Iterator[None]:
    """As Debian's systemd sets it where it is not in a container."""
    allowed = PING_GROUPS.read_text()
    PING_GROUPS.write_text("0 2147483647")
    try:
        yield
    finally:
        PING_GROUPS.write_text(allowed)


def _reports(machine: Machine, tag: str, event: str, reason: str) -> bool:
    """Whether the agent has logged this about a check since it was started last, and no status of it."""
    _, _, log = machine.about(UNIT).journal().rpartition('"event": "started"')
    lines = [json.loads(line) for line in log.splitlines() if line.startswith('{"tag"')]
    about = {(line["event"], line["reason"]) for line in lines if line["tag"] == tag}
    return about == {(event, reason)}


def _last_statuses(machine: Machine) -> dict[str, str]:
    rows = sorted(stored_samples(machine.database).items(), key=lambda row: row[0][1])
    return {tag: status for (tag, _), status in rows}


async def comes_back_after_kills(machine: Machine) -> str:
    agent = machine.about(UNIT)
    working = await in_a_thread(killed, agent, agent.working)
    first = await in_a_thread(killed, agent, int(agent.show("MainPID")))
    before = heard(machine)
    return (
        f"back {working:.1f} s after the process that works, {first:.1f} s after the one that unpacked it; "
        f"{await goes_on(machine, before)}"
    )


async def comes_back_after_a_stall(machine: Machine) -> str:
    noticed, took = await asyncio.to_thread(stalled, machine.about(UNIT))
    before = heard(machine)
    return (
        f"noticed after {noticed:.1f} s of {WATCHDOG_SECONDS}, back after {took:.1f} s; "
        f"{await goes_on(machine, before)}"
    )


async def keeps_what_the_server_cannot_take(machine: Machine) -> str:
    """And is killed meanwhile."""
    agent = machine.about(UNIT)
    machine.run("systemctl", "stop", *SERVER)
    before = heard(machine)
    await asyncio.sleep(5)
    await in_a_thread(killed, agent, agent.working)
    waiting = _waiting(agent)
    if heard(machine) != before or not waiting:
        raise Unmet(f"{waiting} samples wait")
    machine.run("systemctl", "start", *SERVER)
    took = await in_a_thread(until, lambda: heard(machine) >= before + waiting, "what waited arrives")
    return (
        f"{waiting} samples outlived a kill and came {took:.1f} s after the server; "
        f"{await goes_on(machine, before)}"
    )


def _waiting(agent: Machine) -> int:
    """Samples that were not sent, as the agent said when it started last."""
    lines = [json.loads(line) for line in agent.journal().splitlines() if line.startswith("{")]
    return int([line["pending"] for line in lines if line["event"] == "started"][-1])


def _verified(machine: Machine) -> str:
    return verified(machine.about(UNIT))


async def leaves(machine: Machine) -> str:
    """And comes back with the configuration, the token and the numbers it had; purged, it leaves nothing."""
    before = heard(machine)
    machine.run("kener-async", "agent", "uninstall")
    if machine.run("systemctl", "cat", UNIT, check=False).returncode == 0:
        raise Unmet("the unit is still there")
    if not all(map(machine.has, (CONFIG, TOKEN, SPOOL))):
        raise Unmet("configuration, token or spool are gone")
    machine.run("kener-async", "agent", "install")
    went_on = await goes_on(machine, before)
    machine.run("kener-async", "agent", "uninstall", "--purge", "--yes")
    left = machine.run("find", "/etc", "/usr", "/var/lib", "-name", f"{UNIT}*", "-not", "-name", "*.d").stdout
    if left:
        raise Unmet(f"left: {left.split()}")
    return f"installed again {went_on}; purged, only its user is left"


SHOWN: dict[str, Callable[[Machine], str | Awaitable[str]]] = {
    "The agent is installed": is_installed,
    "It has a user and token": has_its_own,
    "Its checks see": sees,
    "It is killed, twice": comes_back_after_kills,
    "The agent stalls": comes_back_after_a_stall,
    "Its server is away": keeps_what_the_server_cannot_take,
    "systemd accepts its unit": _verified,
    "The agent leaves": leaves,
}
