"""TLS checks against `openssl s_server`: what is wrong with a certificate, and exact ends."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kener_async.domain.samples import Status
from kener_async.probes.attempt import attempt
from kener_async.probes.registry import probe_of
from kener_async.probes.settings import TlsSettings, TlsTarget
from kener_async.probes.vantage import Vantage, VantageSettings
from tests.rigs.certificates import Authority
from tests.rigs.looks import a_check, look
from tests.rigs.process import a_free_port

OPENSSL = shutil.which("openssl")
DAY = 86_400
pytestmark = pytest.mark.skipif(OPENSSL is None, reason="needs openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusting(authority: Authority) -> VantageSettings:
    return VantageSettings(ca_file=authority.file)


@asynccontextmanager
async def s_server(certificate: Path, *options: str) -> AsyncIterator[int]:
    """The port of an `openssl s_server` that shows this certificate."""
    assert OPENSSL is not None
    port = a_free_port()
    process = await asyncio.create_subprocess_exec(
        OPENSSL,
        *("s_server", "-accept", f"127.0.0.1:{port}", "-quiet", "-cert", str(certificate)),
        *(("-cert_chain", str(certificate)) if certificate.read_text().count("BEGIN CERT") > 1 else ()),
        *options,
        stdin=asyncio.subprocess.PIPE,  # held open: at its end the server ends
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await listening(port)
        yield port
    finally:
        process.kill()
        await process.wait()


async def listening(port: int) -> None:
    """Wait until something listens there."""
    deadline = time.monotonic() + 10
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        else:
            writer.transport.abort()
            return


async def test_each_fault_of_a_certificate_has_its_reason(authority: Authority, trusting: VantageSettings):
    table = [
        (authority.certificate(), ""),
        (authority.chain(), ""),
        (authority.certificate(days=-3.5), "the certificate expired 3 days ago, on "),
        (authority.certificate(starts=3), "the certificate is not valid before "),
        (authority.certificate(is_self_signed=True), "the certificate is self-signed"),
        (authority.certificate("other.example"), "the certificate is for other.example, not for localhost"),
        (
            authority.chain(sends_issuer=False),
            "the certificate of Issuer of the tests, which signed it, was not sent and is not known",
        ),
        (authority.chain(days=-1.5), "the certificate of Issuer of the tests expired 1 day ago, on "),
    ]
    for certificate, reason in table:
        async with s_server(certificate) as port:
            made = await look(TlsTarget("localhost", port), vantage=trusting, ip=4)
            assert made.reason.startswith(reason), made.reason
            assert made.status is (Status.DOWN if reason else Status.UP), made.reason
            assert made.certificates[0].subject in {"localhost", "other.example"}
            assert made.certificates[0].fault == made.reason
            blind = TlsTarget("localhost", port, tls=TlsSettings(verify=False))
            assert (await look(blind, vantage=trusting, ip=4)).status is Status.UP


async def test_an_unknown_authority_is_named(authority: Authority):
    async with s_server(authority.chain()) as port:
        made = await look(TlsTarget("localhost", port), ip=4)
        assert made.status is Status.DOWN
        assert made.reason == "the certificate is signed by an unknown authority: Authority of the tests"


async def test_another_name_can_be_asked_for(authority: Authority, trusting: VantageSettings):
    async with s_server(authority.certificate("other.example")) as port:
        target = TlsTarget("localhost", port, tls=TlsSettings(server_name="other.example"))
        assert (await look(target, vantage=trusting, ip=4)).status is Status.UP


async def test_the_time_left_is_that_of_the_earliest_end_to_the_second(authority: Authority):
    unverified = TlsSettings(verify=False)
    for certificate in (
        authority.certificate(days=10),
        authority.chain(days=10),
        authority.certificate(days=-10),
    ):
        async with s_server(certificate) as port, Vantage.opened(VantageSettings()) as vantage:
            target = TlsTarget("127.0.0.1", port, tls=unverified)
            first = await look(target)
            end = min(each.ends for each in first.certificates)
            for days in (30, 7, 1, 0):
                check = a_check(target, expect=[f"certificate > {days * DAY}s"])
                for seconds, status in ((1, Status.UP), (0, Status.DOWN), (-1, Status.DOWN)):
                    at = end - days * DAY - seconds
                    made = await attempt(check, probe_of(check, vantage), at, vantage)
                    assert made.status is status, (days, seconds, made.reason)
            past = a_check(target, expect=["certificate < 0s"])
            made = await attempt(past, probe_of(past, vantage), end + 1.0, vantage)
            assert made.status is Status.UP, made.reason


async def test_a_server_of_old_versions_only_is_down(authority: Authority, trusting: VantageSettings):
    old = ("-tls1", "-cipher", "ALL:@SECLEVEL=0")
    async with s_server(authority.certificate(), *old) as port:
        made = await look(TlsTarget("localhost", port), vantage=trusting, ip=4)
        reason = "TLS failed: the target does not speak TLS 1.2 or newer"
        assert (made.status, made.reason) == (Status.DOWN, reason)


async def test_a_certificate_of_our_own_is_shown(authority: Authority, trusting: VantageSettings):
    options = ("-Verify", "1", "-verify_return_error", "-CAfile", str(authority.file), "-tls1_2")
    client = authority.certificate("client.example")
    async with s_server(authority.certificate(), *options) as port:
        without = await look(TlsTarget("localhost", port), vantage=trusting, ip=4)
        assert without.status is Status.DOWN
        assert without.reason.startswith("TLS failed")
        shown = TlsTarget("localhost", port, tls=TlsSettings(certificate=client))
        made = await look(shown, vantage=trusting, ip=4)
        assert (made.status, made.reason) == (Status.UP, "")
        missing = TlsTarget("localhost", port, tls=TlsSettings(certificate=client.with_name("no.pem")))
        made = await look(missing, vantage=trusting, ip=4)
        assert made.status is None


async def test_what_is_no_tls_is_down():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        made = await look(TlsTarget("127.0.0.1", server.sockets[0].getsockname()[1]))
        assert (made.status, made.reason) == (Status.DOWN, "the target does not speak TLS")
