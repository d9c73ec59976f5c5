"""Names: look-ups beside the loop's pool, and whose fault it is when there is no answer."""

import asyncio
import errno
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from kener_async.domain.checks import CheckTiming, Obstacle
from kener_async.domain.samples import Status
from kener_async.probes.attempt import attempt
from kener_async.probes.names import Names
from kener_async.probes.probe import NoAnswer, NotMeasured
from kener_async.probes.registry import probe_of
from kener_async.probes.settings import CheckSettings, HttpTarget
from kener_async.probes.stalls import Stalls
from kener_async.probes.vantage import Vantage, VantageSettings


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the system's resolver says of a name: addresses, or an error to raise, or a function to call."""
    said: dict[str, Any] = {}

    def getaddrinfo(host: str, port: None, family: int = 0, kind: int = 0) -> list[Any]:
        answer = said.get(host, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        answer = answer() if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, kind, 6, "", (each, 0, 0, 0))
            for each in answer
        ]

    monkeypatch.setattr("kener_async.probes.names.socket.getaddrinfo", getaddrinfo)
    return said


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without stalls of the event loop, which a busy host has."""
    monkeypatch.setattr(Stalls, "longest", lambda self, began: 0.0)


@contextmanager
def looking_up(threads: int = 4, **named: Any) -> Iterator[Names]:
    opened = Names(threads, **named)
    try:
        yield opened
    finally:
        opened.close()


AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


async def test_a_name_has_its_addresses_in_the_order_of_the_system(resolver: dict[str, Any]):
    resolver["earth.example"] = ["192.0.2.1", "2001:db8::1", "192.0.2.1"]
    with looking_up() as names:
        assert await names.resolve("EARTH.example.") == ("192.0.2.1", "2001:db8::1")


@pytest.mark.parametrize("literal", ["192.0.2.1", "2001:db8::1", "[2001:db8::1]", "fe80::1%2"])
async def test_an_address_is_not_looked_up(literal: str, resolver: dict[str, Any]):
    with looking_up() as names:
        assert await names.resolve(literal) == (literal.strip("[]"),)


async def test_an_address_of_the_other_version_is_none():
    with looking_up() as names, pytest.raises(NoAnswer, match=r"192.0.2.1 is not an IPv6 address"):
        await names.resolve("192.0.2.1", 6)


@pytest.mark.parametrize(
    ("code", "reason"),
    [("EAI_NONAME", "name not found: gone.example"), ("EAI_NODATA", "gone.example has no IPv4 address")],
)
async def test_a_name_that_is_gone_is_the_targets_fault(code: str, reason: str, resolver: dict[str, Any]):
    resolver["gone.example"] = socket.gaierror(getattr(socket, code), "gone")
    with looking_up() as names, pytest.raises(NoAnswer, match=reason):
        await names.resolve("gone.example", 4)


@pytest.mark.parametrize(
    ("earlier", "seconds", "is_ours"),
    [
        (None, 0, True),
        ("mars.example", 59, False),
        ("mars.example", 61, True),
        ("earth.example", 1, True),  # its own answer says nothing about others
        ("gone.example", 1, False),  # that it does not exist is an answer, too
        ("localhost", 1, True),  # is in a file of this host
        ("router.local", 1, True),
    ],
)
async def test_a_resolver_that_is_away_is_our_fault_unless_it_answered_for_another_name(
    earlier: str | None, seconds: int, is_ours: bool, resolver: dict[str, Any]
):
    clock = Clock()
    with looking_up(monotonic=clock) as names:
        resolver |= {
            name: ["192.0.2.1"] for name in ("mars.example", "earth.example", "localhost", "router.local")
        }
        if earlier is not None:
            try:
                await names.resolve(earlier)
            except NoAnswer:
                assert earlier == "gone.example"
        resolver["earth.example"] = AGAIN
        clock.now += seconds
        with pytest.raises(NotMeasured if is_ours else NoAnswer, match=r"earth\.example cannot be resolved"):
            await names.resolve("earth.example")


async def test_names_in_the_hosts_file_say_nothing_about_the_resolver(
    tmp_path: Path, resolver: dict[str, Any]
):
    (tmp_path / "hosts").write_text("192.0.2.9 printer Printer.office # a comment\n")
    resolver |= {"printer.office": ["192.0.2.9"], "earth.example": AGAIN}
    with looking_up(hosts_file=str(tmp_path / "hosts")) as names:
        await names.resolve("printer.office")
        with pytest.raises(NotMeasured):
            await names.resolve("earth.example")


async def test_without_files_a_name_that_is_not_found_is_our_fault(
    resolver: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    """The system says so of every name, because it cannot read its own configuration."""
    original = os.open

    def failing(path: str, *arguments: Any) -> int:
        if path == os.devnull:
            raise OSError(errno.EMFILE, "Too many open files")
        return original(path, *arguments)

    monkeypatch.setattr("kener_async.probes.own_faults.os.open", failing)
    with looking_up() as names, pytest.raises(NotMeasured) as raised:
        await names.resolve("gone.example")
    assert raised.value.obstacle is Obstacle.FILES


async def test_without_threads_it_is_our_fault(resolver: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    def failing(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", failing)
    with looking_up() as names, pytest.raises(NotMeasured) as raised:
        await names.resolve("earth.example")
    assert raised.value.obstacle is Obstacle.MEMORY


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a\0b", "..", "a" * 300])
async def test_what_cannot_be_a_name_is_not_found(host: str):
    with looking_up() as names, pytest.raises(NoAnswer):
        await names.resolve(host)


@pytest.fixture
async def dead(resolver: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """A resolver that does not answer for names of dead.example, until the test is over."""
    over = threading.Event()

    def hang() -> Exception:
        over.wait(30)
        return AGAIN

    resolver |= {f"{number}.dead.example": hang for number in range(300)}
    yield resolver
    over.set()


def a_check(host: str, timeout: float = 0.1) -> CheckSettings:
    return CheckSettings("earth", HttpTarget(f"http://{host}:1/"), CheckTiming(60, timeout))


async def test_beside_a_dead_name_server_nothing_is_down_and_addresses_are_looked_at(dead: dict[str, Any]):
    async with Vantage.opened(VantageSettings(resolver_threads=4)) as vantage:
        checks = [a_check(f"{number}.dead.example") for number in range(300)]
        checks.append(a_check("127.0.0.1"))
        attempts = [attempt(check, probe_of(check, vantage), 0, vantage) for check in checks]
        _, made = await asyncio.gather(
            asyncio.wait_for(asyncio.to_thread(lambda: None), 1),  # the pool of pages is free
            asyncio.gather(*attempts),
        )
    assert made[-1].reason == "connection refused"
    assert {each.obstacle for each in made[:-1]} == {Obstacle.NAMES}
    assert sum(thread.name == "look-up" for thread in threading.enumerate()) <= 4


async def test_a_name_that_hangs_while_others_are_answered_is_down(dead: dict[str, Any]):
    dead["mars.example"] = ["127.0.0.1"]
    async with Vantage.opened(VantageSettings(resolver_threads=4)) as vantage:
        await vantage.names.resolve("mars.example")
        check = a_check("1.dead.example")
        made = await attempt(check, probe_of(check, vantage), 0, vantage)
    assert (made.status, made.reason) == (Status.DOWN, "1.dead.example cannot be resolved: no answer")


async def test_a_look_up_that_no_thread_was_free_for_is_our_fault(dead: dict[str, Any]):
    """Also while the resolver answers: names that hang must not make others DOWN."""
    dead["mars.example"] = ["127.0.0.1"]
    async with Vantage.opened(VantageSettings(resolver_threads=1)) as vantage:
        await vantage.names.resolve("mars.example")
        checks = [a_check(f"{number}.dead.example") for number in (1, 2)]
        made = [attempt(check, probe_of(check, vantage), 0, vantage) for check in checks]
        first, second = await asyncio.gather(*made)
    assert first.status is Status.DOWN
    assert second.reason == "no thread was free to look up 2.dead.example"


async def test_those_that_ask_for_one_name_at_once_take_one_thread(dead: dict[str, Any]):
    async with Vantage.opened(VantageSettings(resolver_threads=2)) as vantage:
        dead["mars.example"] = ["127.0.0.1"]
        check = a_check("1.dead.example", timeout=0.5)
        asked = [attempt(check, probe_of(check, vantage), 0, vantage) for _ in range(50)]
        found, *_ = await asyncio.gather(vantage.names.resolve("mars.example"), *asked)
    assert found == ("127.0.0.1",)


# By name servers of our own


class NameServerProtocol(asyncio.DatagramProtocol):
    """Answers with the records of `zone`: by name and type; a text is an rcode, None silence."""

    def __init__(self, zone: dict[tuple[str, str], Any]) -> None:
        self._zone = zone
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: Any) -> None:
        question = dns.message.from_wire(data)
        name = question.question[0].name.to_text(omit_final_dot=True)
        record = dns.rdatatype.to_text(question.question[0].rdtype)
        self.asked.append(name)
        answer = dns.message.make_response(question)
        found = self._zone.get((name, record), "NXDOMAIN")
        if found is None:
            return
        if isinstance(found, str):
            answer.set_rcode(dns.rcode.from_text(found))
        else:
            answer.answer = [dns.rrset.from_text(*each) for each in found]
        self.transport.sendto(answer.to_wire(), address)


async def name_server(zone: dict[tuple[str, str], Any]) -> tuple[NameServerProtocol, str]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServerProtocol(zone), ("127.0.0.1", 0)
    )
    host, port = transport.get_extra_info("sockname")[:2]
    return protocol, f"{host}:{port}"


ZONE: dict[tuple[str, str], Any] = {
    ("earth.example", "A"): [("earth.example.", 60, "IN", "A", "192.0.2.1")],
    ("earth.example", "AAAA"): [("earth.example.", 60, "IN", "AAAA", "2001:db8::1")],
    ("alias.example", "A"): [
        ("alias.example.", 60, "IN", "CNAME", "earth.example."),
        ("earth.example.", 60, "IN", "A", "192.0.2.1"),
    ],
    ("alias.example", "AAAA"): [("alias.example.", 60, "IN", "CNAME", "earth.example.")],
    ("loop.example", "A"): [
        ("loop.example.", 60, "IN", "CNAME", "pool.example."),
        ("pool.example.", 60, "IN", "CNAME", "loop.example."),
    ],
    ("loop.example", "AAAA"): [],
    ("half.example", "A"): [("half.example.", 60, "IN", "A", "192.0.2.2")],
    ("half.example", "AAAA"): "SERVFAIL",
    ("empty.example", "A"): [],
    ("empty.example", "AAAA"): [],
    ("broken.example", "A"): "SERVFAIL",
    ("broken.example", "AAAA"): "SERVFAIL",
    ("refused.example", "A"): "REFUSED",
    ("refused.example", "AAAA"): "REFUSED",
}


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("earth.example", ("2001:db8::1", "192.0.2.1")),
        ("alias.example", ("192.0.2.1",)),
        ("half.example", ("192.0.2.2",)),
        ("nowhere.example", "name not found: nowhere.example"),
        ("empty.example", "empty.example has no address"),
        ("loop.example", "loop.example has no address"),
        (
            "broken.example",
            "broken.example cannot be resolved: 127.0.0.1: SERVFAIL, and no other name could be",
        ),
        (
            "refused.example",
            "refused.example cannot be resolved: 127.0.0.1: REFUSED, and no other name could be",
        ),
    ],
)
async def test_chosen_name_servers_are_asked(host: str, found: tuple[str, ...] | str):
    protocol, server = await name_server(ZONE)
    async with Vantage.opened(VantageSettings(name_servers=(server,))) as vantage:
        if isinstance(found, tuple):
            assert await vantage.names.resolve(host) == found
        else:
            with pytest.raises((NoAnswer, NotMeasured)) as raised:
                await vantage.names.resolve(host)
            assert str(raised.value) == found
    protocol.transport.close()


async def test_the_second_name_server_is_asked_when_the_first_fails():
    bad, first = await name_server({("earth.example", kind): "SERVFAIL" for kind in ("A", "AAAA")})
    good, second = await name_server(ZONE)
    async with Vantage.opened(VantageSettings(name_servers=(first, second))) as vantage:
        assert await vantage.names.resolve("earth.example", 4) == ("192.0.2.1",)
    assert bad.asked == ["earth.example"]
    bad.transport.close()
    good.transport.close()


async def test_names_of_this_host_are_not_asked_of_chosen_name_servers():
    protocol, server = await name_server({})
    async with Vantage.opened(VantageSettings(name_servers=(server,))) as vantage:
        assert "127.0.0.1" in await vantage.names.resolve("localhost")
    assert protocol.asked == []
    protocol.transport.close()
