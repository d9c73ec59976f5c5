"""Judge for the doctor what looks at targets need: permission to ping, and name servers."""

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import dns.message

from kener_async.config.model import Config
from kener_async.ops.diagnosis import Finding, Findings, fail, ok, warn
from kener_async.probes.name_servers import NameServer, ask, servers_of_system
from kener_async.probes.names import literal_address
from kener_async.probes.own_faults import words_of
from kener_async.probes.probe import NoAnswer, NotMeasured, Trace
from kener_async.probes.settings import (
    DeviceTarget,
    DnsTarget,
    HttpTarget,
    PingTarget,
    Target,
    WebSocketTarget,
)
from kener_async.probes.sockets import Route
from kener_async.probes.vantage import Vantage, VantageSettings

PING_GROUPS = Path("/proc/sys/net/ipv4/ping_group_range")
CAP_NET_RAW = 1 << 13
PING_REMEDY = (
    "echo 'net.ipv4.ping_group_range = 0 2147483647' > /etc/sysctl.d/60-ping.conf, then sysctl --system"
)
ANSWER_SECONDS = 3


def of_probes(config: Config, server: int | None, *, online: bool = False) -> Findings:
    """Judge what the checks of the configuration need. `server` is the process of the service, if one runs.

    Only if `online`, the name servers are asked.
    """
    targets = [monitor.check.target for monitor in config.monitors if monitor.check is not None]
    if pings := sum(isinstance(target, PingTarget) for target in targets):
        yield of_ping(pings, _groups_allowed(), *_rights(server))
    if any(map(needs_names, targets)):
        servers, where = _servers(config.checks.vantage)
        yield of_name_servers([each.host for each in servers], where)
        if online and servers:
            yield from asyncio.run(_asked(servers, config.checks.vantage))


def of_ping(checks: int, allowed: range, groups: Iterable[int], has_raw: bool) -> Finding:
    """Judge whether a process may ping, by its groups and whether it has CAP_NET_RAW."""
    if any(group in allowed for group in groups):
        return ok("ping", "permitted by net.ipv4.ping_group_range")
    if has_raw:
        return ok("ping", "permitted by CAP_NET_RAW")
    text = f"not permitted: {checks} check{'s' if checks > 1 else ''} cannot be made"
    return fail("ping", text, PING_REMEDY)


def of_name_servers(hosts: Sequence[str], where: str) -> Finding:
    """Judge whether there is a name server; `where` it is set."""
    if hosts:
        return ok("name servers", f"{', '.join(hosts)}, by {where}")
    return warn("name servers", f"{where} names none", "set [checks] name_servers, or the system's")


def needs_names(target: Target) -> bool:
    """Whether a look at it begins with a look-up by our name servers."""
    if isinstance(target, DeviceTarget):
        return False
    if isinstance(target, DnsTarget):
        return not target.server or literal_address(NameServer.parse(target.server).host) is None
    if isinstance(target, HttpTarget | WebSocketTarget):
        return literal_address(urlsplit(target.url).hostname or "") is None
    return literal_address(target.host) is None


def _groups_allowed() -> range:
    try:
        first, last = map(int, PING_GROUPS.read_text().split())
    except (OSError, ValueError):
        return range(0)
    return range(first, last + 1)


def _rights(server: int | None) -> tuple[list[int], bool]:
    """The groups of a process, and whether it has CAP_NET_RAW; of this one if it is None or not readable."""
    try:
        lines = Path(f"/proc/{server or os.getpid()}/status").read_text().splitlines()
    except OSError:
        return [os.getegid(), *os.getgroups()], False
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    groups = [int(values["Gid"].split()[1]), *map(int, values["Groups"].split())]
    return groups, bool(int(values["CapEff"], 16) & CAP_NET_RAW)


def _servers(settings: VantageSettings) -> tuple[Sequence[NameServer], str]:
    if settings.name_servers:
        return [NameServer.parse(each) for each in settings.name_servers], "[checks] name_servers"
    try:
        return servers_of_system(), "/etc/resolv.conf"
    except OSError:
        return (), "/etc/resolv.conf"


async def _asked(servers: Sequence[NameServer], settings: VantageSettings) -> list[Finding]:
    """Ask each of them for the servers of the root, which every resolver knows."""
    async with Vantage.opened(settings) as vantage:
        return [await _answer_of(server, vantage) for server in servers]


async def _answer_of(server: NameServer, vantage: Vantage) -> Finding:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await ask(server, dns.message.make_query(".", "NS"), vantage.sockets, Route(), Trace())
    except TimeoutError:
        fault = f"no answer within {ANSWER_SECONDS} s"
    except (NoAnswer, NotMeasured) as error:
        fault = str(error)
    except OSError as error:
        fault = words_of(error)
    else:
        return ok("name servers", f"{server.host} answers in {(time.perf_counter() - began) * 1000:.0f} ms")
    return fail("name servers", f"{server.host}: {fault}", "correct the name servers, or the way to them")
