"""Greetings and STARTTLS of postfix, dovecot, OpenSSH, proftpd and slapd, as root."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from kener_async.domain.samples import Status
from kener_async.probes.settings import GreetingTarget, TlsTarget
from kener_async.probes.vantage import VantageSettings
from tests.peers.postfix import Postfix
from tests.rigs.certificates import Authority
from tests.rigs.looks import look
from tests.rigs.process import a_free_port

DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{certificate}
default_login_user = dovenull
default_internal_user = dovecot
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/tmp
}}
"""
PROFTPD = """
ModulePath /usr/lib/proftpd
LoadModule mod_tls.c
ServerType standalone
Port {port}
DefaultAddress 127.0.0.1
SocketBindTight on
User proftpd
Group nogroup
PidFile {folder}/pid
ScoreboardFile {folder}/scoreboard
DelayEngine off
WtmpLog off
TransferLog none
SystemLog {folder}/log
<IfModule mod_tls.c>
TLSEngine on
TLSECCertificateFile {certificate}
TLSECCertificateKeyFile {certificate}
TLSLog {folder}/tls-log
</IfModule>
"""
SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/key
PidFile {folder}/pid
UsePAM no
"""
SLAPD = """
include /etc/ldap/schema/core.schema
pidfile {folder}/pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {certificate}
TLSVerifyClient never
"""


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Authority(Path(folder))


@pytest.fixture
def trusting(authority: Authority) -> VantageSettings:
    return VantageSettings(ca_file=authority.file)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that servers reach as other users."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        yield Path(made)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(words: list[str], port: int) -> Iterator[None]:
    """Run a server in the foreground until something listens on the port."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not is_listening(port):
            assert process.poll() is None, f"{words[0]} ended with status {process.returncode}"
            assert time.monotonic() < deadline, f"{words[0]} does not listen"
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20)


async def examine(
    name: Literal["smtp", "imap", "pop3", "ftp"], port: int, trusting: VantageSettings, greeting: str
) -> None:
    """Look at a server in every way."""
    target = GreetingTarget(name, "localhost", port, require_tls=True)
    expect = [f'answer like "{greeting}"', "certificate > 1d", "certificate < 3d"]
    made = await look(target, vantage=trusting, ip=4, expect=expect)
    assert (made.status, made.reason) == (Status.UP, "")
    assert made.phases.tls
    made = await look(TlsTarget("localhost", port, name), vantage=trusting, ip=4, expect=["certificate > 1d"])
    assert (made.status, made.reason) == (Status.UP, "")
    wrong = GreetingTarget(name, "127.0.0.1", port)
    made = await look(wrong, vantage=trusting)
    reason = "the certificate is for localhost, not for 127.0.0.1"
    assert (made.status, made.reason) == (Status.DOWN, reason)
    assert made.certificates[0].subject == "localhost"


@pytest.fixture
def postfix(folder: Path) -> Iterator[Postfix]:
    made = Postfix(folder)
    try:
        yield made
    finally:
        made.command("stop")


async def test_postfix(postfix: Postfix):
    trusting = VantageSettings(ca_file=postfix.authority.file)
    await examine("smtp", postfix.port, trusting, "220 localhost ESMTP*")
    target = GreetingTarget("smtp", "localhost", postfix.port)
    made = await look(target, vantage=trusting, ip=4, expect=["status == 220", "latency < 2s"])
    assert (made.status, made.reason) == (Status.UP, "")


async def test_dovecot(folder: Path, authority: Authority, trusting: VantageSettings):
    imap, pop3 = a_free_port(), a_free_port()
    file = folder / "dovecot.conf"
    file.write_text(DOVECOT.format(folder=folder, certificate=authority.certificate(), imap=imap, pop3=pop3))
    with running(["dovecot", "-F", "-c", str(file)], imap):
        await examine("imap", imap, trusting, "? OK*Dovecot*")
        await examine("pop3", pop3, trusting, "+OK Dovecot*")


async def test_proftpd(folder: Path, authority: Authority, trusting: VantageSettings):
    port = a_free_port()
    file = folder / "proftpd.conf"
    file.write_text(PROFTPD.format(folder=folder, certificate=authority.certificate(), port=port))
    with running(["proftpd", "-n", "-c", str(file)], port):
        await examine("ftp", port, trusting, "220 ProFTPD*")


async def test_openssh(folder: Path):
    port = a_free_port()
    file, log = folder / "sshd_config", folder / "log"
    file.write_text(SSHD.format(folder=folder, port=port))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    with running(["/usr/sbin/sshd", "-D", "-f", str(file), "-E", str(log)], port):
        before = log.read_text()
        target = GreetingTarget("ssh", "127.0.0.1", port)
        made = await look(target, expect=['answer like "SSH-2.0-OpenSSH_*"'])
        assert (made.status, made.reason) == (Status.UP, "")
        deadline = time.monotonic() + 10
        while (said := log.read_text().removeprefix(before)) == "":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "error" not in said, "the server calls the client no malformed one"


async def test_slapd(folder: Path, authority: Authority, trusting: VantageSettings):
    port = a_free_port()
    file = folder / "slapd.conf"
    file.write_text(SLAPD.format(folder=folder, certificate=authority.certificate()))
    words = ["slapd", "-d", "0", "-f", str(file), "-h", f"ldap://127.0.0.1:{port}"]
    with running(words, port):
        target = TlsTarget("localhost", port, "ldap")
        made = await look(target, vantage=trusting, ip=4, expect=["certificate > 1d"])
        assert (made.status, made.reason) == (Status.UP, "")
        made = await look(TlsTarget("127.0.0.1", port, "ldap"), vantage=trusting)
        reason = "the certificate is for localhost, not for 127.0.0.1"
        assert (made.status, made.reason) == (Status.DOWN, reason)
