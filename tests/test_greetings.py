"""Greetings of protocols, STARTTLS where it is offered, and servers that speak them badly."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pytest

from kener_async.domain.samples import Status
from kener_async.probes import greeting
from kener_async.probes.dialogues import ldap_result
from kener_async.probes.settings import GreetingTarget, TlsSettings, TlsTarget
from kener_async.probes.vantage import VantageSettings
from tests.rigs.certificates import Authority
from tests.rigs.looks import look
from tests.rigs.scripted_server import CLOSE, HANG, UPGRADE, Step, scripted_server

ProtocolName = Literal["ssh", "smtp", "imap", "pop3", "ftp"]

GREETINGS: Mapping[ProtocolName, bytes] = {
    "ssh": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "smtp": b"220-mail.example.org\r\n220 ready\r\n",
    "imap": b"* OK [CAPABILITY IMAP4rev1] ready\r\n",
    "pop3": b"+OK ready\r\n",
    "ftp": b"220 ready\r\n",
}
PLAIN: Mapping[ProtocolName, Mapping[bytes, Sequence[Step]]] = {
    "ssh": {},
    "smtp": {b"EHLO": [b"250-mail\r\n250 SIZE 1\r\n"], b"QUIT": [b"221 bye\r\n", CLOSE]},
    "imap": {
        b"CAPABILITY": [b"* CAPABILITY IMAP4rev1\r\na OK done\r\n"],
        b"STARTTLS": [b"a BAD 500 unknown\r\n"],
        b"LOGOUT": [b"* BYE\r\na OK done\r\n", CLOSE],
    },
    "pop3": {b"CAPA": [b"+OK\r\nUIDL\r\n.\r\n"], b"QUIT": [b"+OK bye\r\n", CLOSE]},
    "ftp": {b"FEAT": [b"211-Features:\r\n SIZE\r\n211 End\r\n"], b"QUIT": [b"221 bye\r\n", CLOSE]},
}
OFFERING: Mapping[ProtocolName, Mapping[bytes, Sequence[Step]]] = {
    "smtp": {
        **PLAIN["smtp"],
        b"EHLO": [b"250-mail\r\n250-STARTTLS\r\n250 SIZE 1\r\n"],
        b"STARTTLS": [b"220 go\r\n", UPGRADE],
    },
    "imap": {
        **PLAIN["imap"],
        b"CAPABILITY": [b"* CAPABILITY IMAP4rev1 STARTTLS\r\na OK done\r\n"],
        b"STARTTLS": [b"a OK go\r\n", UPGRADE],
    },
    "pop3": {**PLAIN["pop3"], b"CAPA": [b"+OK\r\nSTLS\r\nUIDL\r\n.\r\n"], b"STLS": [b"+OK go\r\n", UPGRADE]},
    "ftp": {
        **PLAIN["ftp"],
        b"FEAT": [b"211-Features:\r\n AUTH TLS\r\n211 End\r\n"],
        b"AUTH": [b"234 go\r\n", UPGRADE],
    },
}
STARTTLS_COMMANDS = {"smtp": b"STARTTLS", "imap": b"STARTTLS", "pop3": b"STLS", "ftp": b"AUTH"}
LAST_WORDS: Mapping[ProtocolName, bytes] = {
    "ssh": b"SSH-2.0-kener_async",
    "smtp": b"QUIT",
    "imap": b"a LOGOUT",
    "pop3": b"QUIT",
    "ftp": b"QUIT",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def tls(authority: Authority) -> ssl.SSLContext:
    return context_of(authority.certificate())


@pytest.fixture
def trusting(authority: Authority) -> VantageSettings:
    return VantageSettings(ca_file=authority.file)


def context_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("name", GREETINGS)
async def test_a_greeting_is_up_and_ends_politely(name: ProtocolName):
    async with scripted_server([GREETINGS[name]], PLAIN[name]) as server:
        target = GreetingTarget(name, "127.0.0.1", server.port)
        made = await look(target, expect=['answer contains any("ready", "OpenSSH")'])
        assert (made.status, made.reason) == (Status.UP, "")
        assert made.phases.first_byte
        await asyncio.sleep(0.05)
        assert server.heard[-1] == LAST_WORDS[name]
        assert server.open == 0
        if name != "ssh":
            strict = await look(GreetingTarget(name, "127.0.0.1", server.port, require_tls=True))
            assert (strict.status, strict.reason) == (Status.DOWN, "STARTTLS is not offered")


@pytest.mark.parametrize("name", OFFERING)
async def test_starttls_is_begun_where_it_is_offered(
    name: ProtocolName, tls: ssl.SSLContext, trusting: VantageSettings
):
    async with scripted_server([GREETINGS[name]], OFFERING[name], tls) as server:
        target = GreetingTarget(name, "localhost", server.port, require_tls=True)
        conditions = ["certificate > 1d", "certificate < 3d"]
        made = await look(target, vantage=trusting, expect=conditions, ip=4)
        assert (made.status, made.reason) == (Status.UP, "")
        assert made.certificates[0].subject == "localhost"
        assert made.phases.tls
        unknown = await look(target, ip=4)
        assert unknown.status is Status.DOWN
        assert unknown.reason.startswith("the certificate of Authority of the tests")
        assert unknown.certificates[0].fault == unknown.reason
        blind = GreetingTarget(name, "127.0.0.1", server.port, tls=TlsSettings(verify=False))
        assert (await look(blind, expect=["certificate > 1d"])).status is Status.UP


@pytest.mark.parametrize("name", OFFERING)
async def test_certificates_are_seen_after_starttls(
    name: Literal["smtp", "imap", "pop3", "ftp"], tls: ssl.SSLContext, trusting: VantageSettings
):
    async with scripted_server([GREETINGS[name]], OFFERING[name], tls) as server:
        target = TlsTarget("localhost", server.port, name)
        made = await look(target, vantage=trusting, expect=["certificate > 1d"], ip=4)
        assert (made.status, made.reason) == (Status.UP, "")
    async with scripted_server([GREETINGS[name]], PLAIN[name]) as server:
        made = await look(TlsTarget("localhost", server.port, name), ip=4)
        assert made.status is Status.DOWN
        assert made.reason.removeprefix("STARTTLS is refused: ") in {"500 unknown", "a BAD 500 unknown"}


async def test_ports_of_implicit_tls_begin_with_it(
    tls: ssl.SSLContext, trusting: VantageSettings, monkeypatch: pytest.MonkeyPatch
):
    async with scripted_server([GREETINGS["imap"]], PLAIN["imap"], tls, is_tls=True) as server:
        monkeypatch.setattr(greeting, "TLS_PORTS", {("imap", server.port)})
        target = GreetingTarget("imap", "localhost", server.port, require_tls=True)
        made = await look(target, vantage=trusting, expect=["certificate > 1d"], ip=4)
        assert (made.status, made.reason) == (Status.UP, "")


async def test_reply_codes_are_statuses():
    for name, code in (("smtp", 554), ("smtp", 421), ("ftp", 530)):
        async with scripted_server([f"{code} go away\r\n".encode()]) as server:
            target = GreetingTarget("smtp" if name == "smtp" else "ftp", "127.0.0.1", server.port)
            made = await look(target)
            assert (made.status, made.reason) == (Status.DOWN, f"the greeting is {code} go away")
            assert (await look(target, expect=[f"status == {code}"])).status is Status.UP


@pytest.mark.parametrize(
    ("name", "sent", "reason"),
    [
        ("smtp", [CLOSE], "the target closed the connection"),
        ("smtp", [b"220 mail", CLOSE], "the target closed the connection within a line"),
        ("smtp", [HANG], "no greeting within 500 ms"),
        ("smtp", [b"220-a\r\n", HANG], "no greeting within 500 ms"),
        ("smtp", [b"HTTP/1.1 400 Bad Request\r\n"], "not a reply with a code: HTTP/1.1 400 Bad Request"),
        ("smtp", [b"22\xb2 x\r\n"], "not a reply with a code: 22\ufffd x"),
        ("smtp", [b"\r\n"], "not a reply with a code: an empty line"),
        ("ftp", [b"220-x\r\n" * 1000], "the target sent a reply without end"),
        ("ssh", [b"x" * (1 << 20)], "the target sent a line without end"),
        ("ssh", [b"hello\r\n" * 1000], "not a greeting of SSH"),
        ("ssh", [b"SSH-1.5-old\r\n"], "the greeting is SSH-1.5-old"),
        ("imap", [b"* BYE full\r\n"], "the greeting is * BYE full"),
        ("imap", [b"+OK pop\r\n"], "not a greeting of IMAP: +OK pop"),
        ("imap", [b"* OK\r\n"], "the target sent a reply without end"),
        ("pop3", [b"* OK imap\x07\r\n"], "not a greeting of POP3: * OK imap"),
        ("pop3", [b"-ERR busy\r\n"], "the greeting is -ERR busy"),
    ],
)
async def test_bad_greetings_say_what_is_wrong(name: ProtocolName, sent: Sequence[Step], reason: str):
    endless = {b"CAPABILITY": [b"* more\r\n" * 1000]}
    async with scripted_server(sent, endless) as server:
        made = await look(GreetingTarget(name, "127.0.0.1", server.port), timeout=0.5)
        assert (made.status, made.reason) == (Status.DOWN, reason)
        await asyncio.sleep(0.05)
        assert server.open <= (HANG in sent)


@pytest.mark.parametrize("name", OFFERING)
async def test_a_server_that_stops_within_starttls_is_down(name: ProtocolName):
    command = STARTTLS_COMMANDS[name]
    go = OFFERING[name][command][0]
    for step, reason in (
        ([CLOSE], "the target closed the connection"),
        ([HANG], "no answer to STARTTLS within 500 ms"),
        ([go, HANG], "no TLS handshake within 500 ms"),
        ([go, b"no TLS at all\r\n" * 20], "the target does not speak TLS"),
        ([go, CLOSE], "TLS failed: the connection was closed in the handshake"),
    ):
        answers = {**OFFERING[name], command: step}
        async with scripted_server([GREETINGS[name]], answers) as server:
            seconds = 0.5 if HANG in step else 10
            made = await look(GreetingTarget(name, "127.0.0.1", server.port), timeout=seconds)
            assert (made.status, made.reason) == (Status.DOWN, reason)


async def test_a_silent_quit_does_not_delay_the_answer():
    async with scripted_server([GREETINGS["smtp"]], {**PLAIN["smtp"], b"QUIT": [HANG]}) as server:
        made = await look(GreetingTarget("smtp", "127.0.0.1", server.port), expect=["latency < 400ms"])
        assert (made.status, made.reason) == (Status.UP, "")


LDAP_SUCCESS = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"


def test_results_of_ldap():
    table = {
        LDAP_SUCCESS[2:]: 0,
        b"\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00": 52,
        b"\x02\x01\x01\x78\x81\x07\x0a\x01\x02\x04\x00\x04\x00": 2,
        b"\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00": None,
        b"\x02\x01\x01\x78\x07": None,
        b"\x02": None,
        b"": None,
        b"\x02\x01\x01\x78\xff": None,
        b"\x02\x01\x01\x78\x00": None,
    }
    for message, result in table.items():
        assert ldap_result(message) == result, message.hex()


async def test_starttls_of_ldap(tls: ssl.SSLContext, trusting: VantageSettings):
    async def answering(reply: bytes, upgrades: bool) -> tuple[Status | None, str]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert (await reader.readexactly(31)).endswith(b"1.3.6.1.4.1.1466.20037")
            writer.write(reply)
            if upgrades:
                await writer.start_tls(tls)
                await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            target = TlsTarget("localhost", server.sockets[0].getsockname()[1], "ldap")
            made = await look(target, vantage=trusting, expect=["certificate > 1d"], ip=4)
            return made.status, made.reason

    assert await answering(LDAP_SUCCESS, True) == (Status.UP, "")
    refusal = LDAP_SUCCESS.replace(b"\x0a\x01\x00", b"\x0a\x01\x34")
    assert await answering(refusal, False) == (Status.DOWN, "STARTTLS is refused: LDAP result 52")
    assert await answering(b"", False) == (Status.DOWN, "the target closed the connection")
    assert await answering(b"HTTP/1.1 400\r\n", False) == (Status.DOWN, "not an answer of LDAP")
    assert await answering(b"\x30\x84\xff\xff\xff\xff", False) == (Status.DOWN, "not an answer of LDAP")
