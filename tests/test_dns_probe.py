"""The dns check against name servers of the tests: records, rcodes, truncation, lies, DNS over TLS."""

import random
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from dns.message import Message

from kener_async.domain.checks import Obstacle
from kener_async.domain.conditions import Observed, parse
from kener_async.domain.samples import Status
from kener_async.probes import dns as probe
from kener_async.probes import name_servers
from kener_async.probes.settings import DnsTarget
from kener_async.probes.vantage import VantageSettings
from tests.rigs.certificates import Authority
from tests.rigs.looks import look
from tests.rigs.name_server import RECORDS, FakeNameServer, answered, by_zone, name_server

# Each type: who is asked, and what a zone file says.
TABLE = {
    "A": ("example.org", ["192.0.2.1", "192.0.2.2"]),
    "AAAA": ("example.org", ["2001:db8::1", "2001:db8::2"]),
    "CAA": ("example.org", ['0 iodef "mailto:Ops@example.org"', '0 issue "letsencrypt.org"']),
    "CNAME": ("www.example.org", ["example.org"]),
    "MX": ("example.org", ["10 mail.example.org", "20 mail2.example.org"]),
    "NS": ("example.org", ["ns1.example.org", "ns2.example.org"]),
    "PTR": ("192.0.2.1", ["example.org"]),
    "SOA": ("example.org", ["ns1.example.org host.example.org 7 3600 600 86400 60"]),
    "SRV": ("_sip._tcp.example.org", ["0 5 5060 sip.example.org", "1 5 5060 sip2.example.org"]),
    "TXT": ("example.org", ["Case Stays. ", "v=spf1 -all"]),
    "TLSA": ("_443._tcp.example.org", ["3 1 1 " + "abcdef0123456789" * 4]),
    "NAPTR": ("example.org", ['100 10 "u" "E2U+sip" "!^.*$!sip:Info@example.org!" .']),
}
SHUFFLES = 1000


def server_of(server: FakeNameServer) -> str:
    return f"127.0.0.1:{server.port}"


def quoted(texts: Sequence[str]) -> str:
    return ", ".join('"' + each.replace('"', '\\"') + '"' for each in texts)


@pytest.mark.parametrize("record", TABLE)
async def test_records_read_as_in_a_zone_file(record: str):
    name, records = TABLE[record]
    async with name_server() as server:
        target = DnsTarget(name, record, server_of(server))
        expect = ['rcode == "NOERROR"', f"records == all({quoted(records)})"]
        made = await look(target, expect=expect)
        assert (made.status, made.reason) == (Status.UP, "")
        assert made.seconds > 0
        wrong = await look(target, expect=['records contains "no such record"'])
        assert wrong.status is Status.DOWN
        assert not wrong.is_network


@pytest.mark.parametrize("record", TABLE)
def test_the_order_of_records_does_not_matter(record: str):
    name, records = TABLE[record]
    holding = [
        f"records == all({quoted(records)})",
        f"records contains all({quoted(records[:1])})",
        f"records contains any({quoted([records[-1], 'another'])})",
        f"records contains {quoted(records[:1])}",
        f"length(records) == {len(records)}",
    ]
    failing = [
        f"records == all({quoted([*records, 'another'])})",
        f"records contains all({quoted([*records, 'another'])})",
        'records contains any("another", "more")',
        f"records not contains {quoted(records[:1])}",
    ]
    conditions = [(parse(each), True) for each in holding] + [(parse(each), False) for each in failing]
    kind = dns.rdatatype.from_text(record)
    question = dns.message.make_query(probe.asked_name(name, kind), kind)
    reply = answered(question)
    shuffled = random.Random(record)
    for _ in range(SHUFFLES):
        sets = [(rrset.name, shuffled.sample(list(rrset), len(rrset))) for rrset in reply.answer]
        shuffled.shuffle(sets)
        reply.answer = [dns.rrset.from_rdata_list(owner, 60, order) for owner, order in sets]
        received = dns.message.from_wire(reply.to_wire())
        observed = Observed({"records": probe.records_in(received, kind)}, {})
        assert [not each.fault(observed) for each, _ in conditions] == [holds for _, holds in conditions]


def test_names_that_are_asked_for():
    table = {
        ("192.0.2.1", "PTR"): "1.2.0.192.in-addr.arpa.",
        ("2001:db8::1", "PTR"): f"1.{'0.' * 23}8.b.d.0.1.0.0.2.ip6.arpa.",
        ("_dmarc.example.org", "TXT"): "_dmarc.example.org.",
        ("*.example.org", "A"): "*.example.org.",
        ("bücher.example", "A"): "xn--bcher-kva.example.",
        ("straße.example", "A"): "xn--strae-oqa.example.",
        ("example.org.", "A"): "example.org.",
        (".", "NS"): ".",
    }
    for (name, record), asked in table.items():
        assert probe.asked_name(name, probe.record_type(record)).to_text() == asked
    for bad in ("a..b", "x" * 64, "a." * 130):
        with pytest.raises(ValueError, match="not a valid name"):
            probe.asked_name(bad, dns.rdatatype.A)
    with pytest.raises(ValueError, match="empty"):
        probe.asked_name("", dns.rdatatype.A)
    with pytest.raises(ValueError, match="NOPE is not a type of record"):
        probe.record_type("NOPE")


async def test_each_rcode_is_said():
    def refuse(rcode: dns.rcode.Rcode):
        def answer(question: Message, _is_datagram: bool) -> Sequence[bytes]:
            reply = dns.message.make_response(question)
            reply.set_rcode(rcode)
            return [reply.to_wire()]

        return answer

    for rcode in (dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP):
        name = dns.rcode.to_text(rcode)
        async with name_server(refuse(rcode)) as server:
            target = DnsTarget("example.org", "A", server_of(server))
            made = await look(target)
            assert (made.status, made.reason, made.is_network) == (Status.DOWN, f"rcode is {name}", False)
            assert (await look(target, expect=[f'rcode == "{name}"'])).status is Status.UP


async def test_no_record_is_down_without_conditions():
    async with name_server() as server:
        for name, record, reason in (
            ("example.org", "LOC", "no LOC record"),
            ("loop.example.org", "A", "no A record"),
            ("gone.example.org", "A", "rcode is NXDOMAIN"),
        ):
            made = await look(DnsTarget(name, record, server_of(server)))
            assert (made.status, made.reason) == (Status.DOWN, reason)
        made = await look(DnsTarget("www.example.org", "A", server_of(server)))
        assert made.status is Status.UP, "an alias is followed"


async def test_a_truncated_answer_is_asked_for_over_tcp():
    def answer(question: Message, is_datagram: bool) -> Sequence[bytes]:
        wire = answered(question).to_wire()
        if not is_datagram:
            return [wire]
        cut = bytearray(wire[:40])
        cut[2] |= 0x02  # TC
        return [bytes(cut)]

    async with name_server(answer) as server:
        target = DnsTarget("example.org", "TXT", server_of(server))
        made = await look(target, expect=["length(records) == 2"])
        assert (made.status, made.reason) == (Status.UP, "")
        assert server.asked == [True, False]


async def test_a_large_answer_is_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch):
    def answer(question: Message, is_datagram: bool) -> Sequence[bytes]:
        reply = dns.message.make_response(question)
        if is_datagram:
            reply.flags |= dns.flags.TC
        else:
            texts = [f"192.0.{i // 256}.{i % 256}" for i in range(3000)]
            reply.answer.append(dns.rrset.from_text_list(question.question[0].name, 60, "IN", "A", texts))
        return [reply.to_wire(max_size=65_535)]

    threads = set()
    for module, name in ((name_servers, "answer_of"), (probe, "records_in")):
        work = getattr(module, name)

        def noted(*values: object, work: Any = work) -> object:
            threads.add(threading.current_thread())
            return work(*values)

        monkeypatch.setattr(module, name, noted)
    async with name_server(answer) as server:
        target = DnsTarget("example.org", "A", server_of(server))
        made = await look(target, expect=["length(records) == 3000"], timeout=20)
        assert (made.status, made.reason) == (Status.UP, "")
        assert threading.main_thread() not in threads
        assert threads


async def test_lies_and_noise_are_no_answer():
    def answer(question: Message, _is_datagram: bool) -> Sequence[bytes]:
        other = answered(question)
        other.id ^= 1
        question_of_another = dns.message.make_query("another.example", "A", id=question.id)
        query = dns.message.make_query("example.org", "A", id=question.id)
        return [
            b"",
            b"\0" * 5,
            question.to_wire()[:4] + b"\xff" * 40,
            other.to_wire(),
            answered(question_of_another).to_wire(),
            query.to_wire(),
        ]

    def with_truth(question: Message, is_datagram: bool) -> Sequence[bytes]:
        return [*answer(question, is_datagram), *by_zone(question, is_datagram)]

    async with name_server(answer) as server:
        made = await look(DnsTarget("example.org", "A", server_of(server)), timeout=0.4)
        assert (made.status, made.reason) == (Status.DOWN, "no answer within 400 ms")
        assert made.is_network
    async with name_server(with_truth) as server:
        made = await look(DnsTarget("example.org", "A", server_of(server)))
        assert made.status is Status.UP


async def test_a_lost_question_is_sent_again():
    lost = []

    def answer(question: Message, is_datagram: bool) -> Sequence[bytes]:
        lost.append(question.id)
        return by_zone(question, is_datagram) if len(lost) > 1 else []

    async with name_server(answer) as server:
        made = await look(DnsTarget("example.org", "A", server_of(server)))
        assert made.status is Status.UP
        assert len(lost) == 2


async def test_dns_over_tls_wants_the_right_name(tmp_path: Path):
    authority = Authority(tmp_path)
    trusting = VantageSettings(ca_file=authority.file)
    for certified, status, reason in (
        ("localhost", Status.UP, ""),
        ("other.example", Status.DOWN, "the certificate is for other.example, not for localhost"),
    ):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(authority.certificate(certified))
        async with name_server(tls=context) as server:
            target = DnsTarget("example.org", "MX", f"tls://localhost:{server.port}")
            made = await look(target, vantage=trusting, ip=4)
            assert (made.status, made.reason) == (status, reason)
            assert made.certificates
    async with name_server() as server:  # speaks no TLS
        target = DnsTarget("example.org", "MX", f"tls://localhost:{server.port}")
        made = await look(target, ip=4, timeout=0.4)
        assert (made.status, made.reason) == (Status.DOWN, "no TLS handshake within 400 ms")


async def test_own_servers_are_asked_one_after_another():
    def silent(_question: Message, _is_datagram: bool) -> Sequence[bytes]:
        return []

    def failing(question: Message, _is_datagram: bool) -> Sequence[bytes]:
        reply = dns.message.make_response(question)
        reply.set_rcode(dns.rcode.SERVFAIL)
        return [reply.to_wire()]

    target = DnsTarget("example.org", "A")
    async with name_server(silent) as dead, name_server(failing) as bad, name_server() as good:
        chosen = VantageSettings(name_servers=tuple(map(server_of, (dead, bad, good))))
        made = await look(target, vantage=chosen, timeout=1.5)
        assert (made.status, made.reason) == (Status.UP, "")
        for servers in ((dead,), (bad,), (bad, dead)):
            chosen = VantageSettings(name_servers=tuple(map(server_of, servers)))
            made = await look(target, vantage=chosen, timeout=0.6)
            assert (made.status, made.obstacle) == (None, Obstacle.NAMES), servers


def test_the_zone_has_what_the_table_asks():
    assert {kind for _, kind in RECORDS} >= set(TABLE)
