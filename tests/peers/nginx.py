"""HTTPS checks of Debian's nginx: faults of its certificate, old versions of TLS, certificates of clients."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kener_async.domain.samples import Status
from kener_async.probes.settings import HttpTarget, TlsSettings
from kener_async.probes.vantage import VantageSettings
from tests.rigs.certificates import Authority
from tests.rigs.looks import look
from tests.rigs.process import a_free_port
from tests.test_tls_probe import listening

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
assert NGINX is not None, "nginx is missing: make system-tests"
UP = ""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusting(authority: Authority) -> VantageSettings:
    return VantageSettings(ca_file=authority.file)


@asynccontextmanager
async def served(folder: Path, certificate: Path, *directives: str) -> AsyncIterator[str]:
    """The address of an nginx that shows this certificate."""
    port = a_free_port()
    file = folder / "nginx.conf"
    file.write_text(
        f"""
        daemon off; {"user root;" if os.geteuid() == 0 else ""}
        pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}
        http {{
            access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi; scgi_temp_path {folder}/scgi; uwsgi_temp_path {folder}/uwsgi;
            server {{
                listen 127.0.0.1:{port} ssl;
                ssl_certificate {certificate}; ssl_certificate_key {certificate};
                {" ".join(directives)}
                location / {{ return 200 "fine"; }}
            }}
        }}
        """
    )
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-c", str(file), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        await listening(port)
        yield f"https://localhost:{port}/"
    finally:
        process.terminate()
        process.wait()


async def test_each_fault_of_a_certificate_has_its_reason(
    authority: Authority, trusting: VantageSettings, tmp_path: Path
):
    table = [
        (authority.certificate(), UP),
        (authority.chain(), UP),
        (authority.certificate(days=-3.5), "the certificate expired 3 days ago, on "),
        (authority.certificate(starts=3), "the certificate is not valid before "),
        (authority.certificate(is_self_signed=True), "the certificate is self-signed"),
        (authority.certificate("other.example"), "the certificate is for other.example, not for localhost"),
        (
            authority.chain(sends_issuer=False),
            "the certificate of Issuer of the tests, which signed it, was not sent and is not known",
        ),
    ]
    for certificate, reason in table:
        async with served(tmp_path, certificate) as url:
            made = await look(HttpTarget(url), vantage=trusting, ip=4)
            assert made.status is (Status.DOWN if reason else Status.UP), made.reason
            assert made.reason.startswith(reason), made.reason
            blind = HttpTarget(url, tls=TlsSettings(verify=False))
            assert (await look(blind, vantage=trusting, ip=4)).status is Status.UP


async def test_a_server_of_old_versions_only_is_down(
    authority: Authority, trusting: VantageSettings, tmp_path: Path
):
    old = ("ssl_protocols TLSv1;", "ssl_ciphers ALL:@SECLEVEL=0;")
    async with served(tmp_path, authority.certificate(), *old) as url:
        made = await look(HttpTarget(url), vantage=trusting, ip=4)
        assert (made.status, made.reason) == (
            Status.DOWN,
            "TLS failed: the target does not speak TLS 1.2 or newer",
        )


async def test_a_certificate_of_our_own_is_shown(
    authority: Authority, trusting: VantageSettings, tmp_path: Path
):
    wanted = (f"ssl_client_certificate {authority.file};", "ssl_verify_client on;")
    client = authority.certificate("client.example")
    async with served(tmp_path, authority.certificate(), *wanted) as url:
        without = await look(HttpTarget(url), vantage=trusting, ip=4)
        assert without.status is Status.DOWN
        assert "400" in without.reason
        shown = HttpTarget(url, tls=TlsSettings(certificate=client))
        assert (await look(shown, vantage=trusting, ip=4)).status is Status.UP
