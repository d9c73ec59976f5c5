"""Pings between network namespaces: permission, loss made by nftables, and what cannot be reached."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kener_async.domain.checks import Attempt, Obstacle
from kener_async.domain.samples import Status
from kener_async.probes.settings import PingTarget
from kener_async.probes.vantage import VantageSettings
from tests.rigs.icmp import may_ping
from tests.rigs.looks import look
from tests.rigs.namespaces import NOBODY, Namespace, two_namespaces

NOBODYS_GROUP, NO_GROUP = f"{NOBODY} {NOBODY}", "1 0"


@pytest.fixture(scope="module")
def namespaces() -> Iterator[tuple[Namespace, Namespace]]:
    with two_namespaces() as both:
        yield both


@pytest.fixture
def ours(namespaces: tuple[Namespace, Namespace]) -> Namespace:
    for each in namespaces:
        each.filter("")
        allow(each, NO_GROUP)
    return namespaces[0]


@pytest.fixture
def theirs(namespaces: tuple[Namespace, Namespace]) -> Namespace:
    return namespaces[1]


def allow(namespace: Namespace, groups: str) -> None:
    """Let these groups send echo requests over datagram sockets."""
    namespace.run("sh", "-c", f"echo '{groups}' > /proc/sys/net/ipv4/ping_group_range")


def ping(namespace: Namespace, host: str, packets: int = 3, user: int = 0, **settings: Any) -> Attempt:
    hosts = settings.pop("hosts", None)
    return namespace.look(partial(look, PingTarget(host, packets), **settings), user=user, hosts=hosts)


@contextmanager
def other_pings(namespace: Namespace, host: str) -> Iterator[None]:
    """Ping the same host with another program all the while."""
    flood = ["ip", "netns", "exec", namespace.name, "ping", "-q", "-i", "0.005", host]
    processes = [subprocess.Popen(flood, stdout=subprocess.DEVNULL) for _ in range(3)]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.wait(10)


async def how(version: int) -> str:
    return may_ping(version)


@pytest.mark.parametrize(
    ("user", "groups", "way"),
    [
        (0, NO_GROUP, "raw"),
        (0, "0 0", "datagram"),
        (NOBODY, NOBODYS_GROUP, "datagram"),
        (NOBODY, "0 2147483647", "datagram"),
        (NOBODY, NO_GROUP, ""),
        (NOBODY, "0 0", ""),
    ],
)
def test_who_may_ping(ours: Namespace, theirs: Namespace, user: int, groups: str, way: str):
    allow(ours, groups)
    for version, host in ((4, theirs.ipv4), (6, theirs.ipv6)):
        assert ours.look(partial(how, version), user=user) == way
        made = ping(ours, host, user=user, expect=["loss == 0", f'ip == "{host}"', "latency < 1s"])
        if way:
            assert (made.status, made.reason) == (Status.UP, "")
        else:
            assert (made.status, made.obstacle) == (None, Obstacle.PERMISSION)


@pytest.mark.parametrize("groups", [NO_GROUP, "0 0"])
def test_a_name_with_both_versions(ours: Namespace, theirs: Namespace, tmp_path: Path, groups: str):
    allow(ours, groups)
    hosts = tmp_path / "hosts"
    hosts.write_text(f"{theirs.ipv4} both\n{theirs.ipv6} both\n")
    for version, address in ((4, theirs.ipv4), (6, theirs.ipv6)):
        made = ping(ours, "both", ip=version, hosts=hosts, expect=[f'ip == "{address}"'])
        assert (made.status, made.reason) == (Status.UP, "")
    assert ping(ours, "both", hosts=hosts).status is Status.UP
    hosts.write_text(f"2001:db8::1 both\n{theirs.ipv4} both\n")  # there is no route to the first
    made = ping(ours, "both", hosts=hosts, expect=[f'ip == "{theirs.ipv4}"'])
    assert (made.status, made.reason) == (Status.UP, "")


@pytest.mark.parametrize("groups", [NO_GROUP, "0 0"])
@pytest.mark.parametrize("version", [4, 6])
def test_a_third_is_lost(ours: Namespace, theirs: Namespace, version: int, groups: str):
    allow(ours, groups)
    host, message = (theirs.ipv4, "icmp") if version == 4 else (theirs.ipv6, "icmpv6")
    theirs.filter(f"{message} type echo-request numgen inc mod 10 < 3 drop")
    exactly = ping(ours, host, 20, expect=["loss > 0.29", "loss < 0.31"])
    assert (exactly.status, exactly.reason) == (Status.UP, "")
    theirs.filter(f"{message} type echo-request numgen random mod 10 < 3 drop")
    some = ping(ours, host, 50, expect=["loss > 0.05", "loss < 0.6"], timeout=20)
    assert (some.status, some.reason) == (Status.UP, "")
    warned = ping(ours, host, 50, warn=["loss == 0"], timeout=20)
    assert warned.status is Status.DEGRADED
    assert warned.reason.startswith("loss is ")


@pytest.mark.parametrize("groups", [NO_GROUP, "0 0"])
@pytest.mark.parametrize("version", [4, 6])
def test_all_are_lost(ours: Namespace, theirs: Namespace, version: int, groups: str):
    allow(ours, groups)
    host, message = (theirs.ipv4, "icmp") if version == 4 else (theirs.ipv6, "icmpv6")
    theirs.filter(f"{message} type echo-request drop")
    with other_pings(ours, host):
        made = ping(ours, host, timeout=1.5)
    assert (made.status, made.reason) == (Status.DOWN, "no reply within 1.5 s")
    assert made.is_network


@pytest.mark.parametrize("groups", [NO_GROUP, "0 0"])
def test_other_pings_do_not_confuse(ours: Namespace, theirs: Namespace, groups: str):
    allow(ours, groups)
    for host in (theirs.ipv4, theirs.ipv6):
        with other_pings(ours, host):
            made = ping(ours, host, 10, expect=["loss == 0", "latency < 500ms"])
        assert (made.status, made.reason) == (Status.UP, "")


async def pings_at_once(host: str, count: int) -> list[Attempt]:
    return list(await asyncio.gather(*(look(PingTarget(host), expect=["loss == 0"]) for _ in range(count))))


@pytest.mark.parametrize("groups", [NO_GROUP, "0 0"])
def test_fifty_at_once(ours: Namespace, theirs: Namespace, groups: str):
    allow(ours, groups)
    made = ours.look(partial(pings_at_once, theirs.ipv4, 50))
    assert {(each.status, each.reason) for each in made} == {(Status.UP, "")}


@pytest.mark.parametrize("groups", [NO_GROUP, "0 0"])
def test_what_cannot_be_reached_is_down(ours: Namespace, theirs: Namespace, groups: str):
    allow(ours, groups)
    for host, reason in (
        ("198.51.100.1", "network unreachable"),  # no route
        ("2001:db8::1", "network unreachable"),
        ("10.99.0.77", "no route to the host"),  # nothing there
        ("fd99::77", "no route to the host"),
    ):
        made = ping(ours, host, timeout=8)
        assert (made.status, made.reason, made.is_network) == (Status.DOWN, reason, True), host
    theirs.filter("icmp type echo-request reject with icmp type admin-prohibited")
    assert ping(ours, theirs.ipv4).reason == "no route to the host"
    theirs.filter("icmpv6 type echo-request reject with icmpv6 type admin-prohibited")
    assert ping(ours, theirs.ipv6).reason == "a firewall on the way prohibits it"


def test_a_firewall_of_our_own_is_no_fault_of_the_target(ours: Namespace, theirs: Namespace):
    ours.filter("ip protocol icmp drop", "output")
    made = ping(ours, theirs.ipv4)
    assert (made.status, made.obstacle) == (None, Obstacle.PERMISSION)


def test_a_chosen_source_is_used(ours: Namespace, theirs: Namespace):
    ours.run("ip", "address", "add", "10.99.0.5/24", "dev", "line")
    theirs.filter("ip saddr 10.99.0.1 drop")
    chosen = VantageSettings(source_ipv4="10.99.0.5")
    assert ping(ours, theirs.ipv4, vantage=chosen).status is Status.UP
    assert ping(ours, theirs.ipv4, timeout=1).status is Status.DOWN
    made = ping(ours, theirs.ipv4, vantage=VantageSettings(source_ipv4="203.0.113.9"))
    assert (made.status, made.obstacle) == (None, Obstacle.ADDRESS)
