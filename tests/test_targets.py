"""Where a check may go: addresses in every spelling, and names and redirects that lead elsewhere."""

import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kener_async.channels.http import HttpClient, HttpRequest, session_of_channels
from kener_async.channels.message import NotDelivered
from kener_async.domain.checks import CheckTiming, Obstacle
from kener_async.domain.samples import Status
from kener_async.probes.attempt import attempt
from kener_async.probes.probe import NotMeasured, Trace
from kener_async.probes.registry import probe_of
from kener_async.probes.settings import CheckSettings, HttpTarget, OAuth, WebSocketTarget
from kener_async.probes.sockets import Route, socket_address
from kener_async.probes.targets import PublicTargets
from kener_async.probes.vantage import Vantage, VantageSettings

STRANGERS = Route(is_trusted=False)
PUBLIC = (
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
    "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1",
    "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
)  # fmt: skip
PRIVATE = (
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255",
    "169.254.0.1", "169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.8", "192.0.0.170", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::7f00:1", "::a00:1", "::ffff:0:0", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "64:ff9b:1::7f00:1", "64:ff9b:1::808:808",
    "100::1", "2001::1", "2001:0:7f00:1::f7f7:f7f7", "2001:0:808:808::80ff:fffe", "2001:2::1", "2001:10::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:1::1", "3fff::1", "3ffe::1", "5f00::1", "fc00::1", "fd00::1",
    "fd00:ec2::254", "fe80::1", "fe80::1%1", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
)  # fmt: skip
# As they can be typed into an address; the system reads each as one of this host or its network.
SPELLINGS = (
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "0177.0.0.1", "0177.0.0.01",
    "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[fe80::1]", "localhost", "LOCALHOST", "localhost.", "169.254.169.254", "2852039166", "0xa9fea9fe",
    "0251.0376.0251.0376", "10.0.0.1", "167772161", "192.168.1", "3232235777", "%31%32%37.0.0.1", "127.0.0.1%2e", "①②⑦.0.0.1",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str):
    assert PublicTargets().allow(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_no_other_address_may_be_reached(address: str):
    assert not PublicTargets().allow(address)


def test_the_tables_have_sixty_addresses_that_may_not_be_reached():
    assert len({*PRIVATE}) >= 60


@pytest.mark.parametrize(
    ("networks", "address", "is_allowed"),
    [
        (["10.20.0.0/16"], "10.20.3.4", True),
        (["10.20.0.0/16"], "10.21.3.4", False),
        (["10.20.0.0/16"], "::ffff:10.20.3.4", True),
        (["10.20.0.0/16"], "64:ff9b::a14:304", True),
        (["0.0.0.0/0"], "10.0.0.1", True),
        (["0.0.0.0/0"], "169.254.169.254", False),
        (["169.254.0.0/16"], "169.254.169.254", True),
        (["169.254.169.254"], "169.254.169.254", True),
        (["169.254.169.254"], "169.254.169.253", False),
        (["::/0"], "fd00::1", True),
        (["::/0"], "fe80::1", False),
        (["fe80::/10"], "fe80::1%2", True),
        (["fd00::/8"], "10.0.0.1", False),
    ],
)
def test_networks_that_the_operator_names_may_be_reached(networks: list[str], address: str, is_allowed: bool):
    assert PublicTargets(networks).allow(address) is is_allowed


# At the socket


class Sentry:
    """Counts the sockets that are made for the internet while it stands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 0
        original = socket.socket

        def counted(family: int = -1, *arguments, **named) -> socket.socket:
            self.made += family in {socket.AF_INET, socket.AF_INET6}
            return original(family, *arguments, **named)

        monkeypatch.setattr("kener_async.probes.sockets.socket.socket", counted)


def addresses_dialed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that sockets are made for from now on, where the server is in the same process."""
    dialed: list[str] = []
    original = socket_address

    def noted(address: str, port: int):
        dialed.append(address)
        return original(address, port)

    monkeypatch.setattr("kener_async.probes.sockets.socket_address", noted)
    return dialed


@pytest.fixture
async def vantage() -> AsyncIterator[Vantage]:
    async with Vantage.opened(VantageSettings()) as opened:
        yield opened


def a_stranger(target: HttpTarget | WebSocketTarget) -> CheckSettings:
    return CheckSettings("earth", target, CheckTiming(60, 3.0), is_trusted=False)


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_no_socket_is_made_for_an_address_in_any_spelling(
    vantage: Vantage, monkeypatch: pytest.MonkeyPatch, host: str, scheme: str
):
    sentry = Sentry(monkeypatch)
    url = f"{scheme}://{host}:1/"
    check = a_stranger(HttpTarget(url) if scheme == "http" else WebSocketTarget(url))
    made = await attempt(check, probe_of(check, vantage), 0, vantage)
    assert made.status is not Status.UP
    assert sentry.made == 0


async def test_a_name_that_leads_to_this_host_is_not_followed_and_says_so(
    vantage: Vantage, monkeypatch: pytest.MonkeyPatch
):
    """As rebinding names and aliases do: the first answer is public, and the next is not."""
    answers = iter(["93.184.216.34", "127.0.0.1"])

    async def resolve(host: str, ip: int = 0) -> tuple[str, ...]:
        return (next(answers),)

    monkeypatch.setattr(vantage.names, "resolve", resolve)
    assert await vantage.sockets.addresses("rebinding.example", STRANGERS, Trace()) == ("93.184.216.34",)
    sentry = Sentry(monkeypatch)
    check = a_stranger(HttpTarget("http://rebinding.example/"))
    made = await attempt(check, probe_of(check, vantage), 0, vantage)
    assert (made.status, made.obstacle, sentry.made) == (None, Obstacle.PERMISSION, 0)
    assert made.reason == "127.0.0.1 is not a public address, which this check may not reach"


async def test_of_several_addresses_only_public_ones_are_dialed(
    vantage: Vantage, monkeypatch: pytest.MonkeyPatch
):
    async def resolve(host: str, ip: int = 0) -> tuple[str, ...]:
        return ("10.0.0.1", "93.184.216.34", "::1")

    monkeypatch.setattr(vantage.names, "resolve", resolve)
    assert await vantage.sockets.addresses("both.example", STRANGERS, Trace()) == ("93.184.216.34",)


async def test_the_guard_stands_where_the_socket_is_made(vantage: Vantage):
    """Whatever the way to it: also for probes that have an address of their own."""
    with pytest.raises(NotMeasured, match="not a public address"):
        vantage.sockets.open("127.0.0.1", socket.SOCK_DGRAM, STRANGERS)
    vantage.sockets.open("127.0.0.1", socket.SOCK_DGRAM, Route()).close()


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[::ffff:10.0.0.1]", "2852039166", "[2002:a00:1::]", "10.1"]
)
async def test_a_redirect_of_a_public_target_to_a_private_one_is_not_followed(
    monkeypatch: pytest.MonkeyPatch, host: str
):
    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"http://{host}:1/"})

    server = await _serving(redirect)
    async with Vantage.opened(VantageSettings(private_targets=("127.0.0.1",))) as vantage:
        check = a_stranger(HttpTarget(f"http://127.0.0.1:{server.port}/"))
        probe = probe_of(check, vantage)
        dialed = addresses_dialed(monkeypatch)
        made = await attempt(check, probe, 0, vantage)
    await server.close()
    assert made.status is Status.DOWN
    assert dialed == ["127.0.0.1"]
    assert made.reason.startswith("redirects to where it must not: ")


@pytest.mark.parametrize(
    "target",
    [
        HttpTarget("http://example.org/", proxy="http://127.0.0.1:1"),
        HttpTarget("http://example.org/", oauth=OAuth("http://127.0.0.1:1/token", "client", "secret")),
    ],
)
async def test_neither_proxies_nor_servers_of_tokens_are_ways_around_it(
    vantage: Vantage, monkeypatch: pytest.MonkeyPatch, target: HttpTarget
):
    sentry = Sentry(monkeypatch)
    check = a_stranger(target)
    made = await attempt(check, probe_of(check, vantage), 0, vantage)
    assert (made.status, sentry.made) == (None, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "[::ffff:7f00:1]"])
async def test_channels_of_others_reach_public_addresses_only(monkeypatch: pytest.MonkeyPatch, host: str):
    sentry = Sentry(monkeypatch)
    async with session_of_channels(targets=PublicTargets()) as session:
        client = HttpClient(session)
        with pytest.raises(
            NotDelivered, match=r"no connection: not a public address|the address is not valid"
        ):
            await client.request(HttpRequest(f"http://{host}:1/hook", b"{}"))
    assert sentry.made == 0


async def test_channels_of_others_reach_networks_that_the_operator_names():
    async def take(request: web.Request) -> web.StreamResponse:
        return web.Response(text="taken")

    server = await _serving(take)
    async with session_of_channels(targets=PublicTargets(["127.0.0.0/8"])) as session:
        answer = await HttpClient(session).request(HttpRequest(f"http://127.0.0.1:{server.port}/", b"{}"))
    await server.close()
    assert answer.text == "taken"


async def _serving(handler) -> TestServer:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app)
    await server.start_server()
    return server
