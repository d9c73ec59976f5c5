"""`doctor` on checks: permission to ping, and the name servers."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from kener_async.config.model import Config
from kener_async.ops import doctor, probe_diagnosis
from kener_async.ops.diagnosis import BUILT_AFTER, FindingState
from kener_async.ops.probe_diagnosis import needs_names, of_name_servers, of_ping
from kener_async.probes.settings import (
    AliveTarget,
    DnsTarget,
    HttpTarget,
    PingTarget,
    Target,
    TcpTarget,
    TlsTarget,
    WebSocketTarget,
)
from tests.rigs.looks import a_check
from tests.rigs.name_server import name_server


def checking(config: Config, *targets: Target, name_servers: tuple[str, ...] = ()) -> Config:
    """The configuration with a monitor for each of the targets."""
    monitors = [
        replace(config.monitors[0], tag=f"t{i}", check=a_check(each)) for i, each in enumerate(targets)
    ]
    return replace(config, monitors=tuple(monitors), checks=replace(config.checks, name_servers=name_servers))


@pytest.mark.parametrize(
    ("allowed", "groups", "has_raw", "state"),
    [
        (range(1, 1), [0], False, FindingState.FAIL),
        (range(1, 1), [0], True, FindingState.OK),
        (range(100, 201), [99], False, FindingState.FAIL),
        (range(100, 201), [201], False, FindingState.FAIL),
        (range(100, 201), [99, 200], False, FindingState.OK),
        (range(2_147_483_648), [65_534], False, FindingState.OK),
    ],
)
def test_permission_to_ping_is_judged(allowed: range, groups: list[int], has_raw: bool, state: FindingState):
    found = of_ping(2, allowed, groups, has_raw)
    assert found.state is state
    assert bool(found.remedy) == (state is not FindingState.OK)
    if found.remedy:
        assert found.text == "not permitted: 2 checks cannot be made"
        assert "net.ipv4.ping_group_range" in found.remedy


def test_which_targets_need_name_servers():
    table: list[tuple[Target, bool]] = [
        (HttpTarget("https://shop.example.org/"), True),
        (HttpTarget("https://192.0.2.1:8443/"), False),
        (WebSocketTarget("wss://[2001:db8::1]/"), False),
        (TcpTarget("db.example.org", 5432), True),
        (TlsTarget("2001:db8::1", 443), False),
        (DnsTarget("example.org"), True),
        (DnsTarget("example.org", server="192.0.2.53"), False),
        (DnsTarget("example.org", server="tls://dns.example.org"), True),
        (AliveTarget(), False),
    ]
    for target, needs in table:
        assert needs_names(target) is needs, target


def test_no_name_server_is_a_warning():
    assert of_name_servers(["192.0.2.53"], "/etc/resolv.conf").state is FindingState.OK
    found = of_name_servers([], "/etc/resolv.conf")
    assert (found.state, found.text) == (FindingState.WARN, "/etc/resolv.conf names none")


def test_nothing_is_said_without_checks(config: Config):
    assert list(probe_diagnosis.of_probes(config, None)) == []


def test_the_doctor_speaks_of_what_the_checks_need(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "none").write_text("1\t0\n")
    (tmp_path / "all").write_text("0\t2147483647\n")
    needing = checking(config, PingTarget("gw.example.org"), name_servers=("192.0.2.53",))
    monkeypatch.setattr(probe_diagnosis, "CAP_NET_RAW", 0)  # the tests may run as root
    for file, state in (("none", FindingState.FAIL), ("all", FindingState.OK)):
        monkeypatch.setattr(probe_diagnosis, "PING_GROUPS", tmp_path / file)
        found = {each.check: each for each in doctor.examine(needing, BUILT_AFTER + 1)}
        assert found["ping"].state is state
        assert found["name servers"].text == "192.0.2.53, by [checks] name_servers"


async def test_name_servers_are_asked_only_online(config: Config):
    async with name_server() as server:
        chosen = (f"127.0.0.1:{server.port}", "127.0.0.1:1")
        needing = checking(config, TcpTarget("db.example.org", 5432), name_servers=chosen)
        found = await asyncio.to_thread(lambda: list(probe_diagnosis.of_probes(needing, None)))
        assert [each.state for each in found] == [FindingState.OK]
        assert server.asked == []
        found = await asyncio.to_thread(lambda: list(probe_diagnosis.of_probes(needing, None, online=True)))
        assert [each.state for each in found] == [FindingState.OK, FindingState.OK, FindingState.FAIL]
        assert found[-1].text == "127.0.0.1: connection refused"
        assert server.asked == [True]
