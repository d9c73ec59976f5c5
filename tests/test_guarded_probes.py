"""Targets that did not come from config.toml reach public addresses only, by every kind of probe."""

import socket

import pytest

from kener_async.domain.checks import Obstacle
from kener_async.probes.settings import (
    DnsTarget,
    GreetingTarget,
    PingTarget,
    Target,
    TcpTarget,
    TlsTarget,
    UdpTarget,
)
from kener_async.probes.vantage import VantageSettings
from tests.rigs.looks import look

HOSTS = (
    "127.0.0.1",
    "::1",
    "10.1.2.3",
    "169.254.169.254",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "fe80::1%1",
    "localhost",
)


def targets(host: str) -> list[Target]:
    in_brackets = f"[{host}]" if ":" in host else host
    return [
        PingTarget(host),
        TcpTarget(host, 25),
        UdpTarget(host, 53, b"x"),
        DnsTarget("example.org", "A", in_brackets),
        DnsTarget("example.org", "A", f"tls://{in_brackets}"),
        TlsTarget(host, 443),
        TlsTarget(host, 25, "smtp"),
        GreetingTarget("smtp", host, 25),
    ]


@pytest.mark.parametrize("host", HOSTS)
async def test_no_socket_is_opened_to_an_address_that_is_not_public(
    host: str, monkeypatch: pytest.MonkeyPatch
):
    connected: list[object] = []
    plain = socket.socket

    class Noting(plain):  # type: ignore[valid-type,misc]
        def connect(self, address: object) -> None:
            connected.append(address)
            super().connect(address)

        def connect_ex(self, address: object) -> int:
            connected.append(address)
            return int(super().connect_ex(address))

    monkeypatch.setattr(socket, "socket", Noting)
    for target in targets(host):
        made = await look(target, is_trusted=False)
        assert (made.status, made.obstacle) == (None, Obstacle.PERMISSION), (target, made.reason)
        assert "is not a public address" in made.reason
    assert connected == []


async def test_private_networks_can_be_named():
    chosen = VantageSettings(private_targets=("127.0.0.0/8",))
    made = await look(TcpTarget("127.0.0.1", 1), is_trusted=False, vantage=chosen)
    assert made.reason == "connection refused"
