"""Checks over HTTP and WebSockets: requests, redirects, secrets, tokens, proxies, certificates."""

import asyncio
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import encode_basic_auth, web
from aiohttp.test_utils import TestServer

from kener_async.domain.checks import Attempt, CheckTiming, Obstacle
from kener_async.domain.conditions import parse
from kener_async.domain.samples import Status
from kener_async.probes.attempt import attempt
from kener_async.probes.probe import NotMeasured
from kener_async.probes.registry import probe_of
from kener_async.probes.settings import CheckSettings, HttpTarget, OAuth, TlsSettings, WebSocketTarget
from kener_async.probes.stalls import Stalls
from kener_async.probes.vantage import Vantage, VantageSettings
from tests.rigs.certificates import Authority

UP, DEGRADED, DOWN = Status.UP, Status.DEGRADED, Status.DOWN
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Received:
    """Requests that a server got: method, path, headers and body."""

    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def last(self) -> tuple[str, str, dict[str, str], bytes]:
        return self.requests[-1]


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, Received]]:
    """A server on 127.0.0.1: its address without a path, and what it received."""
    received = Received()

    async def keep(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        received.requests.append((request.method, request.path_qs, headers, await request.read()))
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", keep)
    server = TestServer(app, scheme="https" if tls else "http")
    await server.start_server(ssl=tls)
    try:
        yield f"{server.scheme}://localhost:{server.port}", received
    finally:
        await server.close()


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without stalls of the event loop, which a busy host has."""
    monkeypatch.setattr(Stalls, "longest", lambda self, began: 0.0)


@pytest.fixture
async def vantage(authority: Authority) -> AsyncIterator[Vantage]:
    async with Vantage.opened(VantageSettings(ca_file=authority.file)) as opened:
        yield opened


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def a_check(
    target: HttpTarget | WebSocketTarget, *expect: str, warn: tuple[str, ...] = (), **named: Any
) -> CheckSettings:
    return CheckSettings(
        "earth",
        target,
        CheckTiming(60, 5.0),
        expect=tuple(parse(each) for each in expect) or None,
        warn=tuple(parse(each) for each in warn),
        **named,
    )


async def looked(vantage: Vantage, check: CheckSettings | HttpTarget, *expect: str) -> Attempt:
    settings = check if isinstance(check, CheckSettings) else a_check(check, *expect)
    return await attempt(settings, probe_of(settings, vantage), datetime.now(UTC).timestamp(), vantage)


def answering(status: int = 200, text: str = "hello", **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=status, text=text, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return answer


@pytest.mark.parametrize(
    ("status", "verdict"), [(200, UP), (204, UP), (399, UP), (400, DOWN), (404, DOWN), (503, DOWN)]
)
async def test_a_status_below_400_is_good(vantage: Vantage, status: int, verdict: Status):
    async with serving(answering(status)) as (url, _):
        made = await looked(vantage, HttpTarget(url))
    assert (made.status, made.reason) == (verdict, "" if verdict is UP else f"status is {status}")
    assert not made.is_network


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("status == 418", UP),
        ('body contains "queue"', UP),
        ('body contains "missing"', DOWN),
        ("json $.queue == 7", UP),
        ("json $.queue < 7", DOWN),
        ("length(json $.list) == 2", UP),
        ('header "X-Version" == "1.2, 1.3"', UP),
        ('header "x-none" == "a"', DOWN),
        ('ip == "127.0.0.1"', UP),
        ('url like "http://localhost:*/health?a=b"', UP),
        ("latency < 5s", UP),
        ("certificate > 0d", DOWN),
    ],
)
async def test_conditions_ask_for_what_the_answer_holds(vantage: Vantage, condition: str, status: Status):
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.json_response({"queue": 7, "list": [1, 2]}, status=418)
        response.headers.add("X-Version", "1.2")
        response.headers.add("X-Version", "1.3")
        return response

    async with serving(answer) as (url, _):
        if "0d" in condition:
            condition = condition.replace("0d", "1d")
        target = HttpTarget(f"{url}/health?a=b#fragment")
        assert (await looked(vantage, a_check(target, condition, ip=4))).status is status


async def test_the_request_is_as_it_is_set(vantage: Vantage):
    target = HttpTarget(
        "",
        method="PUT",
        headers={"X-Token": "t", "Host": "shop.example"},
        body='{"a": 1}',
        user="ada",
        password="ü:x",
    )
    async with serving(answering()) as (url, received):
        await looked(vantage, replace(target, url=f"{url}/a%2Fb?c=d"))
    method, path, headers, body = received.last
    assert (method, path, body) == ("PUT", "/a%2Fb?c=d", b'{"a": 1}')
    assert headers.pop("authorization") == encode_basic_auth("ada", "ü:x", "utf-8")
    assert headers == {
        "x-token": "t",
        "host": "shop.example",
        "user-agent": "kener-async",
        "connection": "close",
        "accept": "*/*",
        "content-length": "8",
        "content-type": "application/json",
    }


async def test_user_and_password_in_the_address_are_sent_as_such(vantage: Vantage):
    async with serving(answering()) as (url, received):
        await looked(vantage, HttpTarget(url.replace("//", "//ada:love%20lace@")))
    assert received.last[2]["authorization"] == encode_basic_auth("ada", "love lace")


async def test_each_attempt_has_a_connection_of_its_own_and_phases(vantage: Vantage):
    peers = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response()

    async with serving(answer) as (url, _):
        made = [await looked(vantage, HttpTarget(url)) for _ in range(3)]
    assert len(peers) == 3
    phases = made[-1].phases
    assert phases.tls is None
    assert sum(each or 0 for each in phases) == pytest.approx(made[-1].seconds, abs=0.01)
    assert None not in {phases.name, phases.connect, phases.first_byte}


async def test_the_body_is_read_where_a_condition_asks_for_it_and_no_further(vantage: Vantage):
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a" * 1000 + b"b")
        await asyncio.Event().wait()
        return response

    async with serving(answer) as (url, _):
        assert (await looked(vantage, HttpTarget(url))).status is UP
        target = HttpTarget(url, max_body=1000)
        assert (await looked(vantage, target, 'not exists header "x"', "length(body) == 1000")).status is UP
        made = await looked(
            vantage, replace(a_check(HttpTarget(url), 'body contains "b"'), timing=CheckTiming(60, 0.2))
        )
        assert (made.status, made.reason) == (DOWN, "no complete answer within 200 ms")


@pytest.mark.parametrize(
    ("encoding", "data", "text"),
    [
        ("utf-8", "é\ufffd".encode() + b"\xff", "é\ufffd\ufffd"),
        ("iso-8859-1", b"\xe9", "é"),
        ("unknown", b"\xc3\xa9", "é"),
    ],
)
async def test_a_body_is_decoded_as_it_says(vantage: Vantage, encoding: str, data: bytes, text: str):
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=data, headers={"Content-Type": f"text/plain; charset={encoding}"})

    async with serving(answer) as (url, _):
        made = await looked(vantage, HttpTarget(url), f'body == "{text}"')
    assert made.status is UP, made.reason


# Redirects


def redirecting(where: str, status: int = 302) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/end":
            return web.Response(text="end")
        return web.Response(status=status, headers={"Location": where})

    return answer


async def test_redirects_are_followed_to_the_end(vantage: Vantage):
    async with serving(redirecting("/end?a=b")) as (url, received):
        made = await looked(vantage, HttpTarget(f"{url}/begin"), f'url == "{url}/end?a=b"', "status == 200")
    assert made.status is UP, made.reason
    assert [each[1] for each in received.requests] == ["/begin", "/end?a=b"]


@pytest.mark.parametrize(("most", "requests"), [(5, 6), (1, 2), (0, 1)])
async def test_more_redirects_than_allowed_are_down_but_without_any_the_first_answer_counts(
    vantage: Vantage, most: int, requests: int
):
    async with serving(redirecting("/loop")) as (url, received):
        made = await looked(vantage, HttpTarget(f"{url}/loop", max_redirects=most))
    assert len(received.requests) == requests
    reason = f"more than {most} redirects" if most else ""
    assert (made.status, made.reason) == ((DOWN, reason) if most else (UP, ""))


@pytest.mark.parametrize(
    ("status", "method", "after"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "PUT", "GET"), (307, "POST", "POST"), (308, "PUT", "PUT"), (302, "PUT", "PUT"), (303, "HEAD", "HEAD")],
)  # fmt: skip
async def test_methods_change_at_redirects_as_browsers_do(
    vantage: Vantage, status: int, method: str, after: str
):
    async with serving(redirecting("/end", status)) as (url, received):
        await looked(vantage, HttpTarget(url, method=method, body="" if method == "HEAD" else "a"))
    kept = b"a" if after in {"POST", "PUT"} else b""
    assert (received.last[0], received.last[3]) == (after, kept)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "redirects to a file: address, which is not followed"),
        ("gopher://a/", "redirects to a gopher: address, which is not followed"),
        ("http://a:99999/", "redirects to an address that is not valid"),
        ("http://xn--a/", "redirects to an address that is not valid"),
    ],
)
async def test_a_redirect_that_leads_nowhere_is_down(vantage: Vantage, location: str, reason: str):
    async with serving(redirecting(location)) as (url, _):
        made = await looked(vantage, HttpTarget(url))
    assert (made.status, made.reason) == (DOWN, reason)


SECRETS = {"Authorization": "Bearer t", "X-Api-Key": "k", "Cookie": "c", "Accept": "text/html"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])  # another host, or only another port
async def test_another_service_is_not_told_the_secrets_of_the_first(host: str, vantage: Vantage):
    async with serving(answering()) as (other, received):
        elsewhere = other.replace("localhost", host)
        async with serving(redirecting(f"{elsewhere}/x")) as (url, first):
            made = await looked(vantage, HttpTarget(url, headers=SECRETS, user="ada", password="lovelace"))
    assert made.status is UP
    assert {"authorization", "x-api-key", "cookie"} <= first.last[2].keys()
    assert received.last[2].keys() == {"accept", "connection", "host", "user-agent"}


async def test_the_same_host_is_told_again(vantage: Vantage):
    async with serving(redirecting("/end")) as (url, received):
        await looked(vantage, HttpTarget(url, headers=SECRETS))
    assert {"authorization", "x-api-key", "cookie"} <= received.last[2].keys()


@pytest.mark.parametrize("where", ["http://127.0.0.1:1/", "http://localhost:1/"])
async def test_a_body_is_not_sent_to_another_service(where: str, vantage: Vantage):
    async with serving(redirecting(where, 307)) as (url, _):
        made = await looked(vantage, HttpTarget(url, method="POST", body="secret"))
    assert (made.status, made.reason) == (DOWN, "redirects a POST with a body to another host or port")


async def test_https_is_not_left_with_a_secret(vantage: Vantage, authority: Authority):
    async with serving(answering()) as (plain, received):
        async with serving(redirecting(plain), server_context(authority.certificate())) as (url, _):
            made = await looked(vantage, HttpTarget(url, headers=SECRETS))
            assert (made.status, made.reason) == (
                DOWN,
                "redirects from https to http, which would show secrets",
            )
            assert not received.requests
            assert (await looked(vantage, HttpTarget(url))).status is UP


# Tokens


@dataclass
class TokenServer:
    """Issues tokens; `refuses` those of the header, so that the secret must be in the body."""

    refuses_header: bool = False
    life: Any = 3600
    issued: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        assert form["grant_type"] == "client_credentials"
        by_header = request.headers.get("Authorization") == encode_basic_auth("client", "s%2F1")
        by_body = (form.get("client_id"), form.get("client_secret")) == ("client", "s/1")
        if not (by_body if self.refuses_header else by_header):
            return web.json_response({"error": "invalid_client"}, status=401)
        self.issued += 1
        return web.json_response({"access_token": f"token-{self.issued}", "expires_in": self.life})


def guarded(good: set[str]) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        is_good = request.headers.get("Authorization", "").removeprefix("Bearer ") in good
        return web.Response(status=200 if is_good else 401)

    return answer


@pytest.mark.parametrize("refuses_header", [False, True])
async def test_a_token_is_fetched_once_and_kept(vantage: Vantage, refuses_header: bool):
    tokens = TokenServer(refuses_header)
    async with serving(tokens.handle) as (login, _), serving(guarded({"token-1"})) as (url, received):
        target = HttpTarget(url, oauth=OAuth(f"{login}/token", "client", "s/1", "status"))
        made = await asyncio.gather(*(looked(vantage, target) for _ in range(5)))
    assert {each.status for each in made} == {UP}
    assert (tokens.issued, len(received.requests)) == (1, 5)


async def test_a_token_that_the_target_refuses_is_fetched_again_once(vantage: Vantage):
    tokens = TokenServer()
    good = {"token-1"}
    async with serving(tokens.handle) as (login, _), serving(guarded(good)) as (url, _r):
        target = HttpTarget(url, oauth=OAuth(f"{login}/token", "client", "s/1"))
        assert (await looked(vantage, target)).status is UP
        good.clear()
        good.add("token-2")
        assert (await looked(vantage, target)).status is UP
        assert tokens.issued == 2
        good.clear()
        made = await looked(vantage, target)
    assert (made.status, made.reason, tokens.issued) == (DOWN, "status is 401", 3)


async def test_a_token_that_has_ended_is_fetched_again(vantage: Vantage):
    tokens = TokenServer(life="0")
    async with serving(tokens.handle) as (login, _), serving(guarded({"token-1", "token-2"})) as (url, _r):
        target = HttpTarget(url, oauth=OAuth(f"{login}/token", "client", "s/1"))
        assert [(await looked(vantage, target)).status for _ in range(2)] == [UP, UP]
    assert tokens.issued == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (answering(500), "status 500"),
        (answering(403, '{"error": "access_denied"}'), "status 403, access_denied"),
        (answering(200, "{}"), "status 200"),
        (answering(200, '{"access_token": "a\\nb"}'), "status 200"),
        (answering(302, "", Location="http://127.0.0.1:1/"), "status 302"),
    ],
)
async def test_without_a_token_the_target_is_not_blamed(vantage: Vantage, answer: Handler, reason: str):
    async with serving(answer) as (login, _), serving(answering()) as (url, received):
        made = await looked(vantage, HttpTarget(url, oauth=OAuth(f"{login}/token", "client", "s/1")))
    assert (made.status, made.obstacle) == (None, Obstacle.SECRET)
    assert made.reason == f"no token from localhost: {reason}"
    assert not received.requests


async def silence(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    raise AssertionError


async def test_a_slow_server_of_tokens_is_not_the_targets_fault(vantage: Vantage):
    async def slowly(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.15)
        return web.json_response({"access_token": "t"})

    for login, target in ((silence, answering()), (slowly, silence)):
        async with serving(login) as (token_url, _), serving(target) as (url, _r):
            check = a_check(HttpTarget(url, oauth=OAuth(token_url, "c", "s")))
            made = await looked(vantage, replace(check, timing=CheckTiming(60, 0.4)))
        assert (made.status, made.reason) == (None, "no token from localhost in time")


async def test_a_server_of_tokens_that_is_away_is_not_the_targets_fault(vantage: Vantage):
    made = await looked(
        vantage, HttpTarget("http://localhost:1/", oauth=OAuth("http://127.0.0.1:1/", "c", "s"))
    )
    assert (made.status, made.reason) == (None, "no token from 127.0.0.1: connection refused")


# Certificates


def server_context(file: Path, chain: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_a_good_certificate_is_seen_with_its_chain(
    vantage: Vantage, authority: Authority, tmp_path: Path
):
    both = tmp_path / "chain.pem"
    both.write_bytes(authority.certificate().read_bytes() + authority.file.read_bytes())
    async with serving(answering(), server_context(both)) as (url, _):
        made = await looked(vantage, HttpTarget(url), "certificate > 1d", "certificate <= 2d")
    assert made.status is UP, made.reason
    assert [each.subject for each in made.certificates] == ["localhost", "Authority of the tests"]
    assert {each.fault for each in made.certificates} == {""}
    assert made.phases.tls is not None


@pytest.mark.parametrize(
    ("name", "named", "reason"),
    [
        ("localhost", {"days": -1}, "the certificate expired 1 day ago, on {end}"),
        ("localhost", {"days": -40}, "the certificate expired 40 days ago, on {end}"),
        ("other.example", {}, "the certificate is for other.example, not for localhost"),
        ("localhost", {"is_self_signed": True}, "the certificate is self-signed"),
        ("localhost", {"starts": 5}, "the certificate is not valid before {start}"),
    ],
)
async def test_the_reason_says_what_is_wrong_with_a_certificate(
    vantage: Vantage, authority: Authority, name: str, named: dict[str, Any], reason: str
):
    file = authority.certificate(name, **named)
    async with serving(answering(), server_context(file)) as (url, received):
        made = await looked(vantage, HttpTarget(url))
        blind = await looked(vantage, HttpTarget(url, tls=TlsSettings(verify=False)))
    now = datetime.now(UTC)
    starts = named.get("starts", 0)
    end = now + timedelta(days=named.get("days", starts + 30 if starts else 2))
    start = now + timedelta(days=starts)
    expected = reason.format(end=f"{end:%Y-%m-%d}", start=f"{start:%Y-%m-%d}")
    assert made.status is DOWN
    assert made.reason.startswith(expected)
    assert not made.is_network
    assert [each.subject for each in made.certificates] == [name]
    assert made.certificates[0].fault == made.reason
    assert abs(made.certificates[0].ends - end.timestamp()) < 90
    assert (blind.status, blind.certificates[0].subject) == (UP, name)
    assert len(received.requests) == 1  # no request over a connection that is not verified


async def test_a_chain_that_is_not_complete_is_named(authority: Authority):
    async with Vantage.opened(VantageSettings()) as vantage:  # which does not know the authority
        async with serving(answering(), server_context(authority.certificate())) as (url, _):
            made = await looked(vantage, HttpTarget(url))
    assert made.reason == (
        "the certificate of Authority of the tests, which signed it, was not sent and is not known"
    )


async def test_an_authority_that_cannot_be_read_now_is_our_fault(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    """OpenSSL opens the files of authorities when it verifies, and takes one that it cannot open as unknown."""
    own = NotMeasured(Obstacle.FILES, "too many open files")
    monkeypatch.setattr("kener_async.probes.sockets.without_files", lambda: own)
    async with Vantage.opened(VantageSettings()) as vantage:
        async with serving(answering(), server_context(authority.certificate())) as (url, _):
            made = await looked(vantage, HttpTarget(url))
    assert (made.status, made.obstacle) == (None, Obstacle.FILES)


async def test_an_unknown_authority_is_named(authority: Authority, tmp_path: Path):
    both = tmp_path / "chain.pem"
    both.write_bytes(authority.certificate().read_bytes() + authority.file.read_bytes())
    async with Vantage.opened(VantageSettings()) as vantage:
        async with serving(answering(), server_context(both)) as (url, _):
            made = await looked(vantage, HttpTarget(url))
    assert made.reason == "the certificate is signed by an unknown authority: Authority of the tests"


async def test_the_time_to_load_authorities_is_not_the_targets(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    loaded = ssl.create_default_context

    def slowly(*arguments: Any, **named: Any) -> ssl.SSLContext:
        time.sleep(1)
        return loaded(*arguments, **named)

    monkeypatch.setattr("kener_async.probes.tls_contexts.ssl.create_default_context", slowly)
    async with Vantage.opened(VantageSettings(ca_file=authority.file)) as vantage:
        async with serving(answering(), server_context(authority.certificate())) as (url, _):
            made = await looked(vantage, a_check(HttpTarget(url), "latency < 900ms"))
    assert made.status is UP, made.reason
    assert made.seconds < 0.9
    assert (made.phases.first_byte or 0) < 0.9


async def test_another_name_can_be_asked_for(vantage: Vantage, authority: Authority):
    async with serving(answering(), server_context(authority.certificate("other.example"))) as (url, _):
        target = HttpTarget(url, tls=TlsSettings(server_name="other.example"))
        assert (await looked(vantage, target)).status is UP


async def test_a_certificate_of_our_own_is_shown_and_loaded_again_when_it_changes(
    vantage: Vantage, authority: Authority, tmp_path: Path
):
    context = server_context(authority.certificate())
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    own = tmp_path / "own.pem"
    async with serving(answering(), context) as (url, _):
        target = HttpTarget(url, tls=TlsSettings(certificate=own))
        missing = await looked(vantage, target)
        own.write_text("nonsense")
        unreadable = await looked(vantage, target)
        own.write_bytes(authority.certificate("client.example").read_bytes())
        good = await looked(vantage, target)
        without = await looked(vantage, HttpTarget(url))
    assert (missing.status, missing.obstacle) == (None, Obstacle.SECRET)
    assert missing.reason == "client_certificate cannot be read: no such file or directory"
    assert (unreadable.status, unreadable.obstacle) == (None, Obstacle.SECRET)
    assert good.status is UP, good.reason
    assert without.status is DOWN


async def test_what_does_not_speak_tls_says_so(vantage: Vantage):
    async with serving(answering()) as (url, _):
        made = await looked(vantage, HttpTarget(url.replace("http:", "https:")))
    assert (made.status, made.reason) == (DOWN, "the target does not speak TLS")


# Proxies


@asynccontextmanager
async def a_proxy(status: bytes = b"200 OK") -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy that opens tunnels and passes other requests on; its address, and the heads it got."""
    heads: list[bytes] = []
    tasks: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while part := await reader.read(65536):
                writer.write(part)
        except OSError:
            pass
        finally:
            writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        method, target, _ = head.split(b" ", 2)
        host, port = target.removeprefix(b"http://").split(b"/")[0].split(b":")
        other_reader, other_writer = await asyncio.open_connection(host.decode(), int(port))
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 " + status + b"\r\nVia: x\r\n\r\n")
        else:
            other_writer.write(head)
        for pair in ((reader, other_writer), (other_reader, writer)):
            task = asyncio.create_task(copy(*pair))
            tasks.add(task)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_http_goes_by_the_proxy(vantage: Vantage):
    async with serving(answering()) as (url, received), a_proxy() as (proxy, heads):
        made = await looked(vantage, HttpTarget(f"{url}/a", proxy=f"http://ada:lovelace@{proxy}"))
    assert made.status is UP, made.reason
    assert heads[0].startswith(f"GET {url}/a HTTP/1.1".encode())
    assert encode_basic_auth("ada", "lovelace").encode() in heads[0]
    assert received.requests


async def test_https_goes_through_a_tunnel_and_the_certificate_is_the_targets(
    vantage: Vantage, authority: Authority
):
    async with (
        serving(answering(), server_context(authority.certificate())) as (url, received),
        a_proxy() as (proxy, heads),
    ):
        made = await looked(vantage, HttpTarget(url, headers=SECRETS, proxy=f"http://ada:lovelace@{proxy}"))
    assert made.status is UP, made.reason
    assert heads[0].startswith(f"CONNECT {url.removeprefix('https://')} HTTP/1.1\r\n".encode())
    assert encode_basic_auth("ada", "lovelace").encode() in heads[0]
    assert b"X-Api-Key" not in heads[0]
    assert "proxy-authorization" not in received.last[2]
    assert made.certificates[0].subject == "localhost"


async def test_a_proxy_that_refuses_is_named(vantage: Vantage):
    async with serving(answering()) as (url, _), a_proxy(b"407 No") as (proxy, _heads):
        made = await looked(vantage, HttpTarget(url.replace("http:", "https:"), proxy=f"http://{proxy}"))
    assert (made.status, made.reason) == (DOWN, "the proxy answered 407")


async def test_checks_come_from_the_source_address(authority: Authority):
    seen = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.remote)
        return web.Response()

    async with serving(answer) as (url, _):
        async with Vantage.opened(VantageSettings(source_ipv4="127.0.0.7")) as vantage:
            await looked(vantage, a_check(HttpTarget(url), ip=4))
        async with Vantage.opened(VantageSettings(source_ipv4="192.0.2.77")) as vantage:
            made = await looked(vantage, a_check(HttpTarget(url), ip=4))
    assert seen == ["127.0.0.7"]
    assert (made.status, made.obstacle) == (None, Obstacle.ADDRESS)
    assert made.reason.startswith("192.0.2.77 is not an address of this host")


async def test_secrets_are_in_no_reason_wherever_they_are_set_and_come_back(vantage: Vantage):
    """The target sends everything back: in headers, and in a redirect that leads nowhere."""
    words = [f"secret-{number}/{'x' * number}" for number in range(8)]

    async def echo(request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        said = f"{request.raw_path} {dict(request.headers)} {body}"
        if request.query.get("then") == "redirect":
            return web.Response(status=302, headers={"Location": f"nowhere:{said}"})
        return web.Response(headers={"X-Echo": said}, text=said)

    async with serving(TokenServer().handle) as (login, _), serving(echo) as (url, _r):
        named = url.replace("//", f"//ada:{quote(words[0], safe='')}@")
        full = HttpTarget(
            f"{named}/{quote(words[1])}?key={quote(words[2], safe='')}",
            method="POST",
            headers={"X-Api-Key": words[3], "Cookie": f"session={words[4]}"},
            body=words[5],
        )
        by_token = HttpTarget(f"{url}/", oauth=OAuth(login, "client", "s/1"))
        conditions = ('header "x-echo" == "a"',)
        for target in (full, replace(full, url=f"{full.url}&then=redirect"), by_token):
            made = await looked(vantage, a_check(target, *conditions, secrets=tuple(words)))
            assert made.status is DOWN, made.reason
            for word in (*words, "token-1", "s/1"):
                for form in (
                    word,
                    quote(word),
                    quote(word, safe=""),
                    b64encode(f"ada:{word}".encode()).decode(),
                ):
                    assert form not in made.reason


async def test_a_target_is_looked_at_by_ipv6(vantage: Vantage):
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    try:
        server = await asyncio.start_server(hello, "::1", 0)
    except OSError:
        pytest.skip("no IPv6")
    url = f"http://[::1]:{server.sockets[0].getsockname()[1]}/"
    made = await looked(vantage, a_check(HttpTarget(url), 'ip == "::1"', ip=6))
    other = await looked(vantage, a_check(HttpTarget(url), ip=4))
    server.close()
    assert made.status is UP, made.reason
    assert other.reason == "::1 is not an IPv4 address"


# WebSockets


def talking(*messages: str, close: int | None = None) -> Handler:
    async def talk(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for message in messages:
            await socket.send_str(message)
        if close is not None:
            await socket.close(code=close)
        async for received in socket:
            await socket.send_str(f"echo {received.data}")
        return socket

    return talk


@pytest.mark.parametrize(
    ("handler", "send", "conditions", "status", "reason"),
    [
        (talking(), "", (), UP, ""),
        (talking(), "ping", ('answer contains "echo ping"',), UP, ""),
        (talking("one", "two"), "", ('answer contains "two"',), UP, ""),
        (
            talking(close=1008),
            "",
            ('answer contains "two"',),
            DOWN,
            "the target closed the websocket with 1008",
        ),
        (talking("one", close=1000), "", ('answer contains "two"',), DOWN, 'answer does not contain "two"'),
        (answering(), "", (), DOWN, "not a websocket: status is 200"),
        (answering(403), "", (), DOWN, "not a websocket: status is 403"),
        (redirecting("/end"), "", (), DOWN, "redirects, which is not followed"),
    ],
)
async def test_websockets_shake_hands_and_answer(
    vantage: Vantage, handler: Handler, send: str, conditions: tuple[str, ...], status: Status, reason: str
):
    async with serving(handler) as (url, _):
        check = a_check(WebSocketTarget(url.replace("http:", "ws:"), send=send), *conditions)
        made = await looked(vantage, check)
    assert (made.status, made.reason) == (status, reason)


async def test_what_a_websocket_says_until_the_time_is_over_is_judged(vantage: Vantage):
    async with serving(talking("one")) as (url, _):
        check = a_check(WebSocketTarget(url.replace("http:", "ws:")), 'answer contains "two"')
        made = await looked(vantage, replace(check, timing=CheckTiming(60, 0.3)))
    assert made.status is DOWN
    assert made.reason.startswith("answer")
