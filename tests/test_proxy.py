"""Behind Debian's nginx, configured as in docs/operate.md: TLS, a base path, the client's own address.

Clients differ by their address, 127.0.0.x; nginx itself comes from 127.0.0.1.
"""

import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import NamedTuple

import brotli
import pytest

from kener_async.app import create_app
from kener_async.config.load import load
from tests.rigs.process import ROOT, Server, a_config, a_free_port

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
OPENSSL = shutil.which("openssl")

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not (NGINX and OPENSSL) and "CI" not in os.environ, reason="nginx is missing"),
]

ALLOWED, STRANGER = "127.0.0.5", "127.0.0.6"
USER = "user root;" if os.geteuid() == 0 else ""  # else its workers may not write into our folder
AROUND = """daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
access_log off;
client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
scgi_temp_path {folder}/scgi;
uwsgi_temp_path {folder}/uwsgi;
{documented}
}}
"""


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Proxied:
    """The server, nginx before it, and clients of both."""

    def __init__(self, server: Server, port: int, certificate: Path) -> None:
        self.server = server
        self.port = port
        self.token = server.add_token()
        self._tls = ssl.create_default_context(cafile=str(certificate))

    def ask(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        source: str = ALLOWED,
        direct: bool = False,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Reply:
        """The answer through nginx, or `direct` from the server, to a client at the address `source`."""
        connection = (
            HTTPConnection("127.0.0.1", self.server.port, timeout=10, source_address=(source, 0))
            if direct
            else HTTPSConnection(
                "localhost", self.port, timeout=10, source_address=(source, 0), context=self._tls
            )
        )
        with closing(connection):
            connection.request(method, path, body, headers=dict(headers or {}))
            reply = connection.getresponse()
            return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())

    def ask_api(self, source: str, direct: bool = False, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(
            "/status/api/status?tag=earth",
            {"Authorization": f"Bearer {self.token}", **named},
            source=source,
            direct=direct,
        )

    def peer(self, reply: Reply) -> str:
        """The client's address as the log has it for an answer."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for line in self.server.logs():
                if line.get("request_id") == reply.headers["x-request-id"] and "peer" in line:
                    return str(line["peer"])
            time.sleep(0.01)
        raise AssertionError("the request was not logged")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("proxy")
    settings = {
        "server": {"base_path": "/status", "trusted_proxies": ["127.0.0.1"]},
        "auth": {"secret_key": "for-tests-only-" + "p" * 32, "allowed_ips": [ALLOWED]},
        "log": {"requests": "all"},
    }
    with Server(folder, a_config(settings)) as server:
        server.start()
        port, certificate = a_free_port(), self_signed(folder)
        process = start_nginx(folder, port, server.port, certificate)
        try:
            proxied = Proxied(server, port, certificate)
            until_answered(proxied, process)
            yield proxied
        finally:
            process.terminate()
            process.wait(10)


def self_signed(folder: Path) -> Path:
    """A certificate for localhost; its key lies beside it."""
    certificate = folder / "certificate.pem"
    subprocess.run(
        [str(OPENSSL), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(folder / "key.pem"), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate


def documented() -> str:
    found = re.search(r"```nginx\n(.*?)```", (ROOT / "docs/operate.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def start_nginx(folder: Path, port: int, server_port: int, certificate: Path) -> "subprocess.Popen[bytes]":
    """The documented example, with only ports, name and certificate changed."""
    example = documented()
    for before, after in {
        "server 127.0.0.1:3000;": f"server 127.0.0.1:{server_port};",
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "server_name status.example.org;": "server_name localhost;",
        "/etc/letsencrypt/live/status.example.org/fullchain.pem": str(certificate),
        "/etc/letsencrypt/live/status.example.org/privkey.pem": str(folder / "key.pem"),
    }.items():
        assert before in example, before
        example = example.replace(before, after)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, documented=example, user=USER))
    return subprocess.Popen(
        [str(NGINX), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def until_answered(proxied: Proxied, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            proxied.ask("/status/healthz")
            return
        except ConnectionError:
            assert process.poll() is None, (proxied.server.folder / "error.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("source", [ALLOWED, STRANGER])
def test_the_address_in_the_log_is_the_clients(proxied: Proxied, source: str):
    assert proxied.peer(proxied.ask("/status/", source=source)) == source


def test_the_allow_list_judges_the_client_and_not_the_proxy(proxied: Proxied):
    assert proxied.ask_api(ALLOWED).status == 200
    refused = proxied.ask_api(STRANGER)
    assert (refused.status, refused.body) == (401, b'{"error":"invalid ip: 127.0.0.6"}')


@pytest.mark.parametrize("forged", [ALLOWED, "127.0.0.1", f"{ALLOWED}, 127.0.0.1", "nonsense"])
def test_a_forged_header_is_not_believed_through_the_proxy(proxied: Proxied, forged: str):
    reply = proxied.ask_api(STRANGER, X_Forwarded_For=forged)
    assert reply.status == 401
    assert proxied.peer(reply) == STRANGER


def test_a_forged_header_is_ignored_from_other_clients_than_the_proxy(proxied: Proxied):
    reply = proxied.ask_api(STRANGER, direct=True, X_Forwarded_For=ALLOWED)
    assert reply.status == 401
    assert proxied.peer(reply) == "unknown"  # on this machine who sends such a header is a proxy
    feed = proxied.ask(
        "/feed.atom", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"},
        source=STRANGER, direct=True,
    )  # fmt: skip
    assert b"evil.example" not in feed.body
    assert b"https://127.0.0.1" not in feed.body


@pytest.mark.parametrize("path", ["/feed.atom", "/feed.rss", "/feed.json", "/sitemap.xml", "/robots.txt"])
def test_addresses_in_feeds_are_those_of_the_proxy(proxied: Proxied, path: str):
    text = proxied.ask(f"/status{path}").body.decode()
    own = re.findall(r"https?://(?:localhost|127\.0\.0\.1)[^\s\"<]*", text)
    assert own
    prefix = f"https://localhost:{proxied.port}/status/"
    assert [address for address in own if not address.startswith(prefix)] == []


def test_the_proxy_is_not_the_machine_itself_to_metrics(proxied: Proxied):
    assert proxied.ask("/status/metrics", source="127.0.0.1").status == 401
    assert proxied.ask("/metrics", source="127.0.0.1", direct=True).status == 200


MAX_BODY, MAX_BATCH = 65536, 4 * 1024 * 1024
# Bodies that are not read may have any size; of Healthchecks' and others' senders some post whole logs.
LARGEST = {
    ("POST", "/api/status/batch"): MAX_BATCH,
    ("POST", "/ping/{address}"): MAX_BATCH,
    ("POST", "/beat/{key}"): MAX_BATCH,
    ("*", "/api/push/{token}"): MAX_BATCH,
    ("POST", "/api/v1/endpoints/{key}/external"): MAX_BATCH,
}


def routes(proxied: Proxied) -> Iterator[tuple[str, str]]:
    """Method and canonical path of each route."""
    app = create_app(load(proxied.server.config, {}))
    for route in app.router.routes():
        if route.resource is not None and route.method not in ("HEAD", "OPTIONS"):
            yield route.method, re.sub(r"\{(\w+):[^/]*\}", r"{\1}", route.resource.canonical)


def test_the_largest_legal_request_of_every_route_passes_the_documented_proxy(proxied: Proxied):
    """A number in each answer shows that the service gave it, and not nginx."""
    checked = set()
    for method, path in routes(proxied):
        size = 0 if method in ("GET", "*") else MAX_BODY
        size = LARGEST.get((method, path), size)
        url = "/status" + re.sub(r"\{\w+\}", "1", path)
        headers = {"Authorization": f"Bearer {proxied.token}", "Cookie": "a=" + "b" * 8000}
        query = f"?x={'y' * (7900 - len(url))}"
        asked = "POST" if method == "*" else method
        reply = proxied.ask(url + query, headers, method=asked, body=b" " * size if size else None)
        assert reply.status not in (413, 414, 431, 502), (method, path, reply)
        assert "x-request-id" in reply.headers, (method, path, reply)
        checked.add((method, path))
    assert LARGEST.keys() <= checked


def test_a_batch_of_the_largest_size_is_stored_through_the_documented_proxy(proxied: Proxied):
    line = b'{"tag":"earth","status":"UP","latency":1}'.ljust(419) + b"\n"
    headers = {"Authorization": f"Bearer {proxied.token}", "Content-Type": "application/x-ndjson"}
    lines = line * (MAX_BATCH // len(line))
    reply = proxied.ask("/status/api/status/batch", headers, method="POST", body=lines)
    assert reply.status == 200, reply


def test_a_page_arrives_compressed_and_is_not_sent_again(proxied: Proxied):
    whole = proxied.ask("/status/incidents")
    page = proxied.ask("/status/incidents", {"Accept-Encoding": "br"})
    assert page.headers["content-encoding"] == "br"
    assert brotli.decompress(page.body) == whole.body
    headers = {"Accept-Encoding": "br", "If-None-Match": page.headers["etag"]}
    again = proxied.ask("/status/incidents", headers)
    assert (again.status, again.body) == (304, b"")


def test_the_proxy_keeps_its_connection_to_the_server(proxied: Proxied):
    proxied.ask("/status/healthz")
    before = connections(proxied.server.port)
    for _ in range(20):
        assert proxied.ask("/status/healthz").status == 200
    assert len(connections(proxied.server.port) - before) <= 1


def connections(port: int) -> set[str]:
    """The other ends of the connections to a port of ours, also of those just closed."""
    ends = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote = line.split()[1:3]
        for one, other in ((local, remote), (remote, local)):
            if int(one.partition(":")[2], 16) == port:
                ends.add(other)
    return ends
