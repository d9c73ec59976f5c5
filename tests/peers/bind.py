"""Checks of DNS against bind9: records, rcodes, truncation, DNS over TLS."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kener_async.domain.samples import Status
from kener_async.probes.settings import DnsTarget
from kener_async.probes.vantage import VantageSettings
from tests.rigs.certificates import Authority
from tests.rigs.looks import look
from tests.rigs.name_server import ZONE
from tests.rigs.process import a_free_port
from tests.test_dns_probe import TABLE, quoted

OPTIONS = """
tls own {{ cert-file "{certificate}"; key-file "{certificate}"; }};
options {{
    directory "{folder}";
    pid-file none;
    session-keyfile none;
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on port {tls_port} tls own {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no;
    minimal-responses yes;
    allow-query {{ any; }};
}};
controls {{ }};
zone "example.org" {{ type primary; file "{folder}/zone"; check-names ignore; }};
zone "0.192.in-addr.arpa" {{ type primary; file "{folder}/reverse"; }};
zone "refused.example" {{ type primary; file "{folder}/zone-of-refused"; allow-query {{ none; }}; }};
zone "broken.example" {{ type primary; file "{folder}/no-such-file"; }};
"""
HEAD = "$TTL 60\n@ IN SOA ns1.example.org. host.example.org. 7 3600 600 86400 60\n@ IN NS ns1.example.org.\n"


class Bind:
    """A name server with its files in a folder of its own; `server` and `tls` are how checks name it."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        port, tls_port = a_free_port(), a_free_port()
        self.server, self.tls = f"127.0.0.1:{port}", f"tls://localhost:{tls_port}"
        certificate = self.authority.certificate()
        values = {"folder": folder, "certificate": certificate, "port": port, "tls_port": tls_port}
        (folder / "named.conf").write_text(OPTIONS.format(**values))
        lines = [line for line in ZONE.strip().splitlines() if "loop" not in line]
        records = "\n".join(line for line in lines if ".arpa" not in line)
        hosts = "ns1 A 192.0.2.9\nns2 A 192.0.2.9\nmail A 192.0.2.9\nmail2 A 192.0.2.9\nsip A 192.0.2.9\n"
        many = "\n".join(f'many.example.org. 60 IN TXT "{number} {"x" * 200}"' for number in range(40))
        (folder / "zone").write_text(
            f"$ORIGIN example.org.\n$TTL 60\n{self._first(records)}\n{hosts}{many}\n"
        )
        (folder / "reverse").write_text(HEAD + "1.2.0.192.in-addr.arpa. 60 IN PTR Example.org.\n")
        (folder / "zone-of-refused").write_text(HEAD)
        command = ["named", "-g", "-c", str(folder / "named.conf")]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    @staticmethod
    def _first(records: str) -> str:
        """The records with the start of authority first."""
        return "\n".join(sorted(records.splitlines(), key=lambda line: " SOA " not in line))


@pytest.fixture(scope="module")
def bind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    folder = tmp_path_factory.mktemp("bind")
    made = Bind(folder)
    try:
        deadline = time.monotonic() + 20
        while " running" not in (text := (folder / "log").read_text()):
            assert time.monotonic() < deadline, text
            assert made.process.poll() is None, text
            time.sleep(0.1)
        yield made
    finally:
        made.process.terminate()
        made.process.wait(20)


@pytest.fixture
def trusting(bind: Bind) -> VantageSettings:
    return VantageSettings(ca_file=bind.authority.file)


@pytest.mark.parametrize("record", TABLE)
async def test_records_over_udp_and_tls(bind: Bind, trusting: VantageSettings, record: str):
    name, records = TABLE[record]
    texts = quoted(records)
    conditions = [f"records == all({texts})", f"records contains all({texts})", 'rcode == "NOERROR"']
    for server in (bind.server, bind.tls):
        target = DnsTarget(name, record, server)
        made = await look(target, vantage=trusting, ip=4, expect=conditions)
        assert (made.status, made.reason) == (Status.UP, "")
        assert bool(made.certificates) == (server == bind.tls)


async def test_each_rcode(bind: Bind):
    for name, rcode in (
        ("gone.example.org", "NXDOMAIN"),
        ("refused.example", "REFUSED"),
        ("elsewhere.example", "REFUSED"),
        ("broken.example", "SERVFAIL"),
    ):
        target = DnsTarget(name, "A", bind.server)
        made = await look(target)
        assert (made.status, made.reason) == (Status.DOWN, f"rcode is {rcode}")
        assert (await look(target, expect=[f'rcode == "{rcode}"'])).status is Status.UP


async def test_no_record_of_a_type(bind: Bind):
    target = DnsTarget("example.org", "LOC", bind.server)
    made = await look(target)
    assert (made.status, made.reason) == (Status.DOWN, "no LOC record")
    assert (await look(target, expect=['rcode == "NOERROR"', "length(records) == 0"])).status is Status.UP


async def test_a_truncated_answer_comes_over_tcp(bind: Bind):
    made = await look(DnsTarget("many.example.org", "TXT", bind.server), expect=["length(records) == 40"])
    assert (made.status, made.reason) == (Status.UP, "")
    assert made.phases.connect, "a connection was made"


async def test_tls_wants_the_right_name(bind: Bind, trusting: VantageSettings):
    wrong = bind.tls.replace("localhost", "127.0.0.1")
    made = await look(DnsTarget("example.org", "MX", wrong), vantage=trusting)
    reason = "the certificate is for localhost, not for 127.0.0.1"
    assert (made.status, made.reason) == (Status.DOWN, reason)


async def test_names_of_other_checks_are_looked_up_there(bind: Bind):
    chosen = VantageSettings(name_servers=(bind.server,))
    made = await look(DnsTarget("example.org", "MX"), vantage=chosen)
    assert (made.status, made.reason) == (Status.UP, "")
