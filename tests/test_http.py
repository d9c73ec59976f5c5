"""A listening server refuses malformed input in the error envelope and in time.

Requests are written to sockets by hand, because no library sends malformed ones. The server's log is checked
after each test: no request, however malformed, may cause an error in it.
"""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kener_async.api.http.body import read_object
from kener_async.domain.errors import Invalid
from kener_async.process.connections import BUSY
from tests.rigs.contract import complaints
from tests.rigs.process import Server, a_config

pytestmark = pytest.mark.process

SECONDS = 1  # request_timeout_seconds of the server
CONNECTIONS = 24
LARGEST = 65536
BEAT = b'{"tag":"earth","status":"UP","latency":1}'
SECURITY = {
    "server": "kener_async",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}


@dataclass(frozen=True)
class Answer:
    """`headers` have small names; `body` is as it came, in chunks when the headers say so."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The text of the envelope, which the answer must be."""
        assert self.headers["content-type"] == "application/json; charset=utf-8"
        answer = json.loads(self.body)
        assert answer.keys() == {"error"}
        text: str = answer["error"]
        return text


@dataclass
class Target:
    """A running server, and a token it takes."""

    server: Server
    token: str

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=SECONDS + 4)

    def send(self, raw: bytes) -> list[Answer]:
        """The answers to these bytes, until the server closes or is silent for a while."""
        with closing(self.connect()) as connection:
            with suppress(OSError):  # it may have been refused before all was sent
                connection.sendall(raw)
            return answers_in(received(connection))

    def ask(self, head: str, body: bytes = b"", *headers: str, token: str | None = None) -> Answer:
        """The answer to one whole request."""
        lines = [f"{head} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines.append(f"Authorization: {token or self.token}")
        if body or head.startswith("POST"):
            lines.append(f"Content-Length: {len(body)}")
        (answer,) = self.send("\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body)
        return answer

    def post(self, body: bytes, *headers: str) -> Answer:
        return self.ask("POST /api/status", body, *headers)


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side closes, or nothing comes for longer than it should."""
    parts = []
    with suppress(ConnectionResetError, TimeoutError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def answers_in(raw: bytes) -> list[Answer]:
    answers = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        assert first.startswith("HTTP/"), raw[:200]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        whole = headers.get("transfer-encoding") == "chunked"
        length = len(rest) if whole else int(headers.get("content-length", 0))
        answers.append(Answer(int(first.split()[1]), headers, rest[:length]))
        raw = rest[length:]
    return answers


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    limits = {"request_timeout_seconds": SECONDS, "max_connections": CONNECTIONS}
    with Server(tmp_path_factory.mktemp("server"), a_config({"server": limits})).start() as server:
        yield Target(server, f"Bearer {server.mint()}")


@pytest.fixture
def target(running: Target) -> Iterator[Target]:
    """The server, which must be there and have nothing to complain of afterwards."""
    before = len(complaints(running.server))
    yield running
    assert running.server.is_running
    assert complaints(running.server)[before:] == []


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Target]:
    """A server of its own, which logs every refusal because there were few before."""
    with Server(tmp_path).start() as server:
        yield Target(server, f"Bearer {server.add_token()}")


# Requests that are none

CLOSE = b"Connection: close"


def request(
    *lines: bytes, body: bytes = b"", first: bytes = b"POST /api/status HTTP/1.1", last: bool = True
) -> bytes:
    """The bytes of a request. `last`: nothing is to follow its answer, so the server closes."""
    return b"\r\n".join([first, *lines, *([CLOSE] if last else []), b"", b""]) + body


HOST = b"Host: localhost"
LENGTH = b"Content-Length: 2"
CHUNKED = b"Transfer-Encoding: chunked"
MALFORMED = {
    "a length and chunks": request(HOST, LENGTH, CHUNKED, body=b"0\r\n\r\n"),
    "chunks and a length": request(HOST, CHUNKED, LENGTH, body=b"0\r\n\r\n"),
    "xchunked": request(HOST, b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked twice": request(HOST, CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "chunked, then something else": request(HOST, b"Transfer-Encoding: chunked, x", body=b"0\r\n\r\n"),
    "chunked in HTTP/1.0 with a length": request(
        HOST, CHUNKED, LENGTH, body=b"{}", first=b"POST /api/status HTTP/1.0"
    ),
    "two lengths": request(HOST, LENGTH, b"Content-Length: 3", body=b"{}"),
    "the same length twice": request(HOST, LENGTH, LENGTH, body=b"{}"),
    "a length list": request(HOST, b"Content-Length: 2, 2", body=b"{}"),
    "a negative length": request(HOST, b"Content-Length: -2", body=b"{}"),
    "a signed length": request(HOST, b"Content-Length: +2", body=b"{}"),
    "a hexadecimal length": request(HOST, b"Content-Length: 0x2", body=b"{}"),
    "a length of words": request(HOST, b"Content-Length: two", body=b"{}"),
    "a length of Arabic digits": request(HOST, "Content-Length: \u0662".encode(), body=b"{}"),
    "a length beyond any": request(HOST, b"Content-Length: " + b"9" * 40, body=b"{}"),
    "an empty length": request(HOST, b"Content-Length: ", body=b"{}"),
    "a chunk size beyond any": request(HOST, CHUNKED, body=b"f" * 20 + b"\r\n"),
    "a chunk size that is none": request(HOST, CHUNKED, body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "a negative chunk size": request(HOST, CHUNKED, body=b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk longer than it says": request(HOST, CHUNKED, body=b"2\r\n{}{}\r\n0\r\n\r\n"),
    "a chunk extension with a newline": request(HOST, CHUNKED, body=b"2;\n{}\r\n0\r\n\r\n"),
    "no host": request(first=b"GET /healthz HTTP/1.1"),
    "two hosts": request(HOST, b"Host: example.org", first=b"GET /healthz HTTP/1.1"),
    "the same host twice": request(HOST, HOST, first=b"GET /healthz HTTP/1.1"),
    "a host with a path": request(b"Host: a/b", first=b"GET /healthz HTTP/1.1"),
    "a host with a user": request(b"Host: a@b", first=b"GET /healthz HTTP/1.1"),
    "a host with markup": request(b"Host: <script>", first=b"GET /healthz HTTP/1.1"),
    "a host of many ports": request(b"Host: a:1:2", first=b"GET /healthz HTTP/1.1"),
    "another host in the target": request(HOST, first=b"GET http://example.org/healthz HTTP/1.1"),
    "a folded header": request(HOST, b"X-Note: a", b" b", first=b"GET /healthz HTTP/1.1"),
    "a header without a colon": request(HOST, b"X-Note", first=b"GET /healthz HTTP/1.1"),
    "a space before the colon": request(HOST, b"X-Note : a", first=b"GET /healthz HTTP/1.1"),
    "a header without a name": request(HOST, b": a", first=b"GET /healthz HTTP/1.1"),
    "NUL in a header": request(HOST, b"X-Note: a\0b", first=b"GET /healthz HTTP/1.1"),
    "a return in a header": request(HOST, b"X-Note: a\rb", first=b"GET /healthz HTTP/1.1"),
    "markup in a header's name": request(HOST, b"X<script>: canary", first=b"GET /healthz HTTP/1.1"),
    "newlines without returns": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/1.2": request(HOST, first=b"GET /healthz HTTP/1.2"),
    "HTTP/3.0": request(HOST, first=b"GET /healthz HTTP/3.0"),
    "no version": request(HOST, first=b"GET /healthz HTTP/"),
    "a version of letters": request(HOST, first=b"GET /healthz HTTP/a.b"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method of digits and marks": request(HOST, first=b"G@T /healthz HTTP/1.1"),
    "a method that does not end": request(HOST, first=b"G" * 9000 + b" /healthz HTTP/1.1"),
    "no target": request(HOST, first=b"GET  HTTP/1.1"),
    "a target without a slash": request(HOST, first=b"GET healthz HTTP/1.1"),
    "a target with a space": request(HOST, first=b"GET /a b HTTP/1.1"),
    "a target with NUL": request(HOST, first=b"GET /a\0b HTTP/1.1"),
    "a target with an encoded NUL": request(HOST, first=b"GET /api/status?tag=%00 HTTP/1.1"),
    "a target of 9,000 bytes": request(HOST, first=b"GET /" + b"a" * 9000 + b" HTTP/1.1"),
    "a header of 9,000 bytes": request(HOST, b"X-Note: " + b"a" * 9000, first=b"GET /healthz HTTP/1.1"),
    "a header's name of 9,000 bytes": request(HOST, b"x" * 9000 + b": a", first=b"GET /healthz HTTP/1.1"),
    "200 headers": request(HOST, *(b"X-%d: a" % n for n in range(200)), first=b"GET /healthz HTTP/1.1"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary": bytes(range(256)),
    "a tunnel": request(HOST, first=b"CONNECT example.org:443 HTTP/1.1"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_request_is_refused_in_the_envelope_and_never_echoed(target: Target, what: str):
    answers = target.send(MALFORMED[what])
    assert [answer.status for answer in answers if not 400 <= answer.status < 500] == []
    assert len(answers) == 1
    assert answers[0].error
    assert b"canary" not in answers[0].body


OTHERS_HEADERS = ("X-Note", "CF-IPCity", "Cookie", "Referer", "User-Agent", "X-Client-City", "From", "DNT")
HEADERS_THAT_ARE_READ = (
    *("Authorization", "Content-Type", "Content-Encoding", "Accept", "Accept-Language", "Accept-Encoding"),
    *("If-None-Match", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
)
BYTES_BEYOND_ASCII = (b"\xe9", "Zürich 東京".encode(), b"a\x80\xffb", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80")


@pytest.mark.parametrize("raw", BYTES_BEYOND_ASCII, ids=repr)
@pytest.mark.parametrize("name", OTHERS_HEADERS)
def test_bytes_beyond_ascii_in_a_header_that_is_not_read_harm_nobody(target: Target, name: str, raw: bytes):
    token, length = f"Authorization: {target.token}".encode(), b"Content-Length: %d" % len(BEAT)
    header = name.encode() + b": a=" + raw
    for asked in (
        request(HOST, header, first=b"GET / HTTP/1.1"),
        request(HOST, header, first=b"GET /badge/earth/status HTTP/1.1"),
        request(HOST, header, token, length, body=BEAT),
    ):
        assert [answer.status for answer in target.send(asked)] == [200]


@pytest.mark.parametrize("name", HEADERS_THAT_ARE_READ)
def test_bytes_beyond_ascii_in_a_header_that_is_read_are_refused_by_its_name(target: Target, name: str):
    header = name.encode() + ": ü".encode()
    (answer,) = target.send(request(HOST, header, first=b"GET /healthz HTTP/1.1"))
    assert (answer.status, answer.error) == (400, f"header {name}: not ASCII")


HOSTS_THAT_ARE_NONE = ("[1.2.3.4]", "[::1::2]", "[::1", "::1", "[]", "a:99999", "a:", "[fe80::1%eth0]", "a b")


@pytest.mark.parametrize("path", ["/", "/feed.atom", "/maintenance.ics", "/sitemap.xml", "/healthz"])
@pytest.mark.parametrize("host", HOSTS_THAT_ARE_NONE)
def test_a_host_that_is_no_address_is_refused_on_every_page(target: Target, host: str, path: str):
    asked = request(f"Host: {host}".encode(), b"Accept: */*", first=f"GET {path} HTTP/1.1".encode())
    assert [answer.status for answer in target.send(asked)] == [400]


@pytest.mark.parametrize("host", ["[::1]", "[::1]:3000", "[::ffff:1.2.3.4]", "1.2.3.4:1", "a_b.c.:65535"])
def test_a_host_that_is_an_address_is_taken_on_every_page(target: Target, host: str):
    for path in ("/", "/feed.atom", "/maintenance.ics", "/sitemap.xml"):
        asked = request(f"Host: {host}".encode(), first=f"GET {path} HTTP/1.1".encode())
        assert [answer.status for answer in target.send(asked)] == [200]


SMUGGLED = request(HOST, first=b"GET /canary HTTP/1.1")
DESYNCS = {
    "a length and chunks": request(HOST, b"Content-Length: 6", CHUNKED, body=b"0\r\n\r\n", last=False),
    "chunks in a strange case": request(HOST, b"Transfer-Encoding: xCHUNKED", body=b"0\r\n\r\n", last=False),
    "chunks after a tab": request(
        HOST, b"Transfer-Encoding:\x0bchunked", LENGTH, body=b"0\r\n\r\n", last=False
    ),
    "two lengths": request(HOST, b"Content-Length: 0", b"Content-Length: 40", body=b"", last=False),
    "a space before the colon": request(HOST, b"Content-Length : 40", last=False),
    "a folded length": request(HOST, b"Content-Length:", b" 40", last=False),
    "an odd chunk end": request(HOST, CHUNKED, body=b"0\n\r\n", last=False),
    "a chunk size with a sign": request(HOST, CHUNKED, body=b"+0\r\n\r\n", last=False),
}


@pytest.mark.parametrize("what", DESYNCS)
def test_a_request_hidden_behind_a_malformed_one_is_not_answered(target: Target, what: str):
    answers = target.send(DESYNCS[what] + SMUGGLED)
    assert [answer.status for answer in answers] == [400]


@pytest.mark.parametrize(
    ("head", "headers", "status"),
    [
        ("OPTIONS *", [], 404),
        ("TRACE /healthz", [], 405),
        ("PROPFIND /healthz", [], 405),
        ("GET /%ff", [], 404),
        ("GET /api/status?tag=%ff", [], 400),
        ("GET /api/status?tag=%ED%A0%80", [], 400),
        ("GET /api/status?tag=earth&tag=mars", [], 400),
        ("GET /../../etc/passwd", [], 404),
        ("GET /static/..%2f..%2fapp.py", [], 404),
        ("GET /static/%2e%2e/docs.py", [], 404),
        ("GET //example.org/", [], 404),
        ("GET /api/incident?" + "&".join(f"x{n}=1" for n in range(1500)), [], 400),
        ("GET /api/monitors/%2F%2F/uptime", [], 400),
        ("GET /healthz", ["Upgrade: websocket", "Connection: Upgrade"], 200),
        ("GET /healthz", ["Range: bytes=9-1"], 200),
        ("GET /healthz", ["Cookie: " + "a=b; " * 1000], 200),
    ],
)
def test_strange_requests_have_ordinary_answers(target: Target, head: str, headers: list[str], status: int):
    assert target.ask(head, b"", *headers).status == status


def test_an_unknown_expectation_is_refused_in_the_envelope(target: Target):
    answer = target.post(BEAT, "Expect: miracles")
    assert answer.status == 417
    assert answer.error
    assert answer.headers["server"] == "kener_async"


UNMET = ["GET /", "GET /nothing", "GET /favicon.ico", "GET /feed.atom", "GET /beat/key", "PUT /api/status"]


@pytest.mark.parametrize("head", UNMET)
def test_no_refusal_of_an_expectation_tells_what_serves_it(target: Target, head: str):
    answer = target.ask(head, b"", "Expect: miracles")
    assert answer.status == 417
    assert SECURITY.items() <= answer.headers.items()
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-request-id"]


def test_a_head_without_end_is_given_up_at_its_limit(target: Target):
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 4000) for number in range(40))
    with closing(target.connect()) as connection:
        with suppress(OSError):
            for at in range(0, len(lines), 4096):
                connection.sendall((b"GET / HTTP/1.1\r\nHost: a\r\n" + lines)[at : at + 4096])
                time.sleep(0.001)
        (answer,) = answers_in(received(connection))
    assert (answer.status, answer.error) == (431, "the headers are too large")


def test_a_client_that_expects_100_continue_gets_it(target: Target):
    raw = request(
        HOST, b"Expect: 100-continue", f"Authorization: {target.token}".encode(), LENGTH, body=b"{}"
    )
    assert [answer.status for answer in target.send(raw)] == [100, 400]


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"null",
        b"[]",
        b'"UP"',
        b"7",
        b"true",
        b"[" + BEAT + b"]",
        BEAT + BEAT,
        BEAT + b" x",
        BEAT.replace(b"1", b"NaN"),
        BEAT.replace(b"1", b"Infinity"),
        BEAT.replace(b"1", b"-Infinity"),
        BEAT.replace(b"1", b"1e400"),
        BEAT.replace(b"1", b"01"),
        BEAT.replace(b"1", b"1."),
        BEAT.replace(b"1", b"+1"),
        BEAT.replace(b"1", b"0x1"),
        BEAT.replace(b"1", b"1_0"),
        BEAT.replace(b"1", "\u0661".encode()),
        BEAT.replace(b"1", str(2**70).encode()),
        BEAT.replace(b"1", b"9" * 5000),
        BEAT.replace(b"}", b',"more":NaN}'),
        BEAT.replace(b"}", b',"more":%d}' % 2**63),
        BEAT.replace(b"}", b',"tag":"earth"}'),
        BEAT.replace(b"}", b',"more":{"a":1,"a":2}}'),
        BEAT.replace(b"}", b',"more":"\\ud800"}'),
        BEAT.replace(b"}", b',"\\udfff":1}'),
        BEAT.replace(b"}", b',"more":"\xed\xa0\x80"}'),
        BEAT.replace(b"}", b',"more":"\xff"}'),
        BEAT.replace(b"}", b',"more":"\xe9"}'),
        BEAT.replace(b"}", b',"more":"a\nb"}'),
        BEAT.replace(b"}", b',"more":"\\x41"}'),
        BEAT.replace(b"}", b",}"),
        BEAT.replace(b'"', b"'"),
        BEAT.replace(b"earth", b"earth\\u0000"),
        BEAT.replace(b"earth", b"\\u0000"),
        b"\xef\xbb\xbf" * 2 + BEAT,
        BEAT.decode().encode("utf-16"),
        BEAT.decode().encode("utf-32"),
        b"[" * 2000,
        b"[" * 60000,
        b'{"a":' * 10000,
        b'{"more":' + b"[" * 30000 + b"]" * 30000 + b"}",
        b"tag=earth&status=UP&latency=1",
        bytes(range(256)),
        b"\0" * 1000,
    ],
    ids=lambda body: repr(body[:60])[2:-1] + f" {len(body)}",
)
def test_a_body_that_is_not_exactly_one_json_object_is_refused(target: Target, body: bytes):
    answer = target.post(body)
    assert answer.status == 400
    assert answer.error


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=nope",
        "application/json; charset=utf-16",
        "application/json; charset=hex",
        "application/json; charset=undefined",
        "nonsense",
        ";;;",
    ],
)
def test_a_json_body_is_read_whatever_the_content_type_says(target: Target, content_type: str | None):
    headers = [] if content_type is None else [f"Content-Type: {content_type}"]
    assert target.post(BEAT, *headers).status == 200


@pytest.mark.parametrize(
    "body",
    [BEAT + b" \r\n\t", b"\xef\xbb\xbf" + BEAT, BEAT.replace(b"}", b',"more":"\\ud83d\\ude00\xc3\xa9"}')],
)
def test_what_json_allows_is_taken(target: Target, body: bytes):
    assert target.post(body).status == 200


def test_nul_cannot_be_stored(target: Target):
    for fields in ('"title":"a\\u0000","tags":["earth"]', '"title":"a","body":"\\u0000","tags":["earth"]'):
        assert target.ask("POST /api/incident", f"{{{fields}}}".encode()).status == 400
    tags = '"title":"a","tags":["earth\\u0000"]'
    assert target.ask("POST /api/incident", f"{{{tags}}}".encode()).status == 400


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, identity", "nonsense"])
def test_an_encoded_body_is_not_supported(target: Target, encoding: str):
    answer = target.post(b"\x1f\x8b\x08\x00garbage", f"Content-Encoding: {encoding}")
    assert answer.status == 415
    assert "Content-Encoding" in answer.error


def test_a_body_as_large_as_the_limit_is_read_and_one_byte_more_is_not(target: Target):
    fits = BEAT.ljust(LARGEST)
    assert target.post(fits).status == 200
    answer = target.post(fits + b" ")
    assert (answer.status, answer.error) == (413, "the body is too large")
    assert answer.headers["connection"] == "close"


def test_a_body_in_chunks_is_limited_too(target: Target):
    head = request(HOST, CHUNKED, f"Authorization: {target.token}".encode())
    small = b"".join(b"%x\r\n%s\r\n" % (1, bytes([letter])) for letter in BEAT) + b"0\r\n\r\n"
    assert [answer.status for answer in target.send(head + small)] == [200]
    large = (b"1000\r\n" + b" " * 4096 + b"\r\n") * 17 + b"0\r\n\r\n"
    assert [answer.status for answer in target.send(head + large)] == [413]


async def test_a_connection_that_is_lost_after_the_body_came_in_is_no_internal_error():
    content = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**16)
    content.feed_data(BEAT)
    content.feed_eof()
    content.set_exception(ConnectionResetError("Connection lost"))
    request: Any = SimpleNamespace(headers={}, content=content, client_max_size=LARGEST)
    with pytest.raises(Invalid, match="cut short"):
        await read_object(request, SECONDS)


def test_a_body_that_is_cut_short_is_not_stored(target: Target):
    body = BEAT.replace(b"earth", b"mars").ljust(100)
    head = request(HOST, b"Content-Length: 101", f"Authorization: {target.token}".encode())
    with closing(target.connect()) as connection:
        connection.sendall(head + body)
        time.sleep(0.1)  # it is being read when the sender goes away
    time.sleep(0.1)
    assert json.loads(target.ask("GET /api/status?tag=mars").body) == {"uptime": "-"}


# Deadlines and limits


def seconds_until_closed(connection: socket.socket) -> tuple[float, bytes]:
    began = time.monotonic()
    raw = received(connection)
    return time.monotonic() - began, raw


def test_a_body_that_stalls_is_answered_within_the_time_for_a_request(target: Target):
    head = request(HOST, b"Content-Length: 100", f"Authorization: {target.token}".encode(), body=b"{")
    with closing(target.connect()) as connection:
        connection.sendall(head)
        seconds, raw = seconds_until_closed(connection)
    (answer,) = answers_in(raw)
    assert answer.status == 408
    assert answer.error == "the body did not arrive within 1 seconds"
    assert SECONDS * 0.9 < seconds < SECONDS + 3


def test_a_body_that_drips_gains_no_time(target: Target):
    head = request(HOST, b"Content-Length: 100", f"Authorization: {target.token}".encode())
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        with suppress(OSError):
            while not stop.wait(0.2):
                connection.sendall(b" ")

    with closing(target.connect()) as connection:
        connection.sendall(head)
        dripping = threading.Thread(target=drip, args=(connection,))
        dripping.start()
        try:
            seconds, raw = seconds_until_closed(connection)
        finally:
            stop.set()
            dripping.join()
    assert seconds < SECONDS + 4
    assert raw.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "part", [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: loc"], ids=["none", "one", "half"]
)
def test_a_head_that_does_not_come_is_given_up_in_time(target: Target, part: bytes):
    with closing(target.connect()) as connection:
        connection.sendall(part)
        seconds, raw = seconds_until_closed(connection)
    assert seconds < SECONDS + 1
    assert [answer.status for answer in answers_in(raw) if answer.status < 400] == []


def test_a_connection_beyond_the_limit_is_refused_and_the_others_are_served(target: Target):
    held = [target.connect() for _ in range(CONNECTIONS)]
    try:
        for connection in held:
            connection.sendall(request(HOST, first=b"GET /healthz HTTP/1.1", last=False))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        with closing(target.connect()) as one_more:
            (answer,) = answers_in(received(one_more))
        assert (answer.status, answer.error) == (503, "too many connections")
        assert answer.headers["retry-after"] == "5"
        held[0].sendall(request(HOST, first=b"GET /healthz HTTP/1.1"))
        assert held[0].recv(65536).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in held:
            connection.close()
    deadline = time.monotonic() + 5
    while target.ask("GET /healthz").status != 200:
        assert time.monotonic() < deadline, "places are not given back"


def test_the_refusal_of_a_connection_is_as_long_as_it_says():
    (answer,) = answers_in(BUSY)
    assert json.loads(answer.body) == {"error": "too many connections"}


def test_requests_in_one_piece_are_answered_in_their_order(target: Target):
    paths = ["/healthz", "/nothing", "/api/status"] * 100
    head = b"".join(request(HOST, first=f"GET {path} HTTP/1.1".encode(), last=False) for path in paths)
    last = request(HOST, first=b"GET /healthz HTTP/1.1")
    assert [answer.status for answer in target.send(head + last)] == [*[200, 404, 401] * 100, 200]


def test_reports_in_one_piece_are_each_stored_and_answered(target: Target):
    token, length = f"Authorization: {target.token}".encode(), b"Content-Length: %d" % len(BEAT)
    one = request(HOST, token, length, body=BEAT, last=False)
    last = request(HOST, token, length, body=BEAT)
    assert [answer.status for answer in target.send(one * 20 + last)] == [200] * 21


def test_what_follows_a_request_is_a_request_of_its_own(target: Target):
    with closing(target.connect()) as connection:
        connection.sendall(request(HOST, first=b"GET /healthz HTTP/1.1", last=False))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"{}\r\n\r\n")
        assert [answer.status for answer in answers_in(received(connection))] == [400]


# Every answer


@pytest.mark.parametrize("path", ["/nothing", "/api/nothing", "/api", "/api/incident/1/2/3"])
def test_what_is_not_there_is_not_found_in_the_envelope(target: Target, path: str):
    answer = target.ask(f"GET {path}")
    assert (answer.status, answer.error) == (404, "not found")


@pytest.mark.parametrize(
    ("head", "allowed"),
    [
        ("DELETE /api/status", {"GET", "HEAD", "POST"}),
        ("PUT /api/incident", {"GET", "HEAD", "POST"}),
        ("POST /api/incident/1", {"GET", "HEAD", "PATCH"}),
        ("OPTIONS /api/incident/1/comment", {"GET", "HEAD", "POST"}),
        ("GET /api/incident/1/status", {"POST"}),
        ("POST /healthz", {"GET", "HEAD"}),
        ("PROPFIND /api/monitors", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_is_not_there_is_answered_with_those_that_are(
    target: Target, head: str, allowed: set[str]
):
    answer = target.ask(head)
    assert (answer.status, answer.error) == (405, "method not allowed")
    assert set(re.split(r",\s*", answer.headers["allow"])) == allowed


ROUTES = [
    ("GET /api/status?tag=earth", 200),
    ("GET /api/status", 400),
    ("POST /api/status", 400),
    ("GET /api/incident", 200),
    ("GET /api/incident/999", 404),
    ("GET /api/monitors", 200),
    ("GET /api/monitors/earth/uptime", 200),
    ("GET /api/monitors/earth/history", 200),
    ("GET /api/openapi.json", 200),
    ("GET /api/docs", 200),
    ("GET /", 200),
    ("GET /favicon.ico", 200),
    ("GET /static/api-docs.css", 200),
    ("GET /static/", 404),
    ("GET /static/nothing", 404),
    ("GET /healthz", 200),
    ("GET /readyz", 200),
    ("GET /metrics", 200),
    ("GET /nothing", 404),
    ("DELETE /api/status", 405),
]


@pytest.mark.parametrize(("head", "status"), ROUTES)
def test_every_answer_says_what_a_browser_must_not_do_with_it(target: Target, head: str, status: int):
    answer = target.ask(head)
    assert answer.status == status
    assert SECURITY.items() <= answer.headers.items()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    if head in ("GET /api/openapi.json", "GET /api/docs"):
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["etag"]
    elif " /api" in head:
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("what", ["two hosts", "TLS", "a header of 9,000 bytes"])
def test_the_refusal_of_what_is_no_request_does_not_tell_what_serves_it(target: Target, what: str):
    (answer,) = target.send(MALFORMED[what])
    assert "aiohttp" not in answer.headers.get("server", "")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_request_has_a_number_of_its_own(target: Target):
    numbers = [target.ask(head).headers["x-request-id"] for head, _ in ROUTES]
    assert len(set(numbers)) == len(ROUTES)


def test_the_number_is_ours_and_not_the_senders(target: Target):
    assert target.ask("GET /healthz", b"", "X-Request-Id: mine").headers["x-request-id"] != "mine"


def test_a_refusal_can_be_found_in_the_log_by_its_number(quiet: Target):
    number = quiet.ask("GET /nothing").headers["x-request-id"]
    assert [line["status"] for line in quiet.server.logs() if line.get("request_id") == number] == [404]


def test_what_is_sent_cannot_break_the_log(quiet: Target):
    lines = len(quiet.server.logs())
    quiet.ask("GET /a%0A%0D%1b[31m{%22event%22:1}")
    quiet.ask("GET /%E2%80%A8%C2%85")
    assert len(quiet.server.logs()) == lines + 2


def test_the_token_is_nowhere_in_the_log(target: Target):
    target.post(b"{}")
    target.ask("GET /nothing?token=" + target.token.removeprefix("Bearer "))
    assert target.token.removeprefix("Bearer ") not in target.server.log_text()


# Anything at all

MANY = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXT = st.text(max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)
FIELDS: dict[str, dict[str, Any]] = {
    "POST /api/status": {"tag": "earth", "status": "UP", "latency": 1, "timestampInSeconds": 1767182400},
    "POST /api/incident": {
        **{"title": "x", "tags": ["earth"], "body": "x", "impact": "DOWN", "isMaintenance": False},
        **{"startDatetime": 1767182400, "endDatetime": 1767182460, "isResolved": True, "isIdentified": True},
    },
    "PATCH /api/incident/1": {"title": "x", "tags": ["earth"], "endDatetime": 1767182460, "impact": None},
    "POST /api/incident/1/comment": {"body": "x"},
    "POST /api/incident/1/status": {"isIdentified": True, "isResolved": False, "endDatetime": 1767182460},
}


@MANY
@given(raw=st.binary(max_size=400))
def test_no_bytes_make_the_server_fail(target: Target, raw: bytes):
    assert [answer.status for answer in target.send(raw) if not 400 <= answer.status < 500] == []


@MANY
@given(head=st.sampled_from(sorted(FIELDS)), raw=st.binary(min_size=1, max_size=400))
def test_no_bytes_in_a_body_make_the_server_fail(target: Target, head: str, raw: bytes):
    assert target.ask(head, raw).status in (400, 404)


@MANY
@given(data=st.data(), head=st.sampled_from(sorted(FIELDS)))
def test_no_value_in_a_field_makes_the_server_fail(target: Target, data: st.DataObject, head: str):
    body = dict(FIELDS[head])
    for name in data.draw(st.sets(st.sampled_from(sorted(body)), min_size=1)):
        body[name] = data.draw(VALUES)
    assert target.ask(head, json.dumps(body).encode()).status in (200, 400, 404)


@MANY
@given(
    data=st.data(), head=st.sampled_from(sorted(FIELDS)), at=st.integers(0, 300), other=st.binary(max_size=3)
)
def test_no_change_of_a_good_body_makes_the_server_fail(
    target: Target, data: st.DataObject, head: str, at: int, other: bytes
):
    good = json.dumps(FIELDS[head]).encode()
    at %= len(good)
    length = data.draw(st.integers(0, 3))
    assert target.ask(head, good[:at] + other + good[at + length :]).status in (200, 400, 404)


NAMES = st.sampled_from(["tag", "timestamp", "window", "from", "to", "resolution", "timezone"])
FILTERS = st.sampled_from(["state", "tags", "page", "per_page", "title_like", "created_after_utc"])
PATHS = ["/api/status", "/api/incident", "/api/monitors/earth/uptime", "/api/monitors/earth/history"]
NUMBERS = st.integers(-(10**20), 10**20).map(str)
QUERIES = st.dictionaries(NAMES | FILTERS, NUMBERS | st.text(max_size=12) | st.sampled_from(["earth", "day"]))


@MANY
@given(path=st.sampled_from(PATHS), query=QUERIES)
def test_no_query_makes_the_server_fail(target: Target, path: str, query: dict[str, str]):
    encoded = urlencode(query, errors="surrogatepass")
    assert target.ask(f"GET {path}?{encoded}").status in (200, 400)
