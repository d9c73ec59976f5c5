"""Requests of channels against a receiver: what is taken, what is tried again, and what no text may hold."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from kener_async.channels import http
from kener_async.channels.http import HttpAnswer, HttpClient, HttpRequest, accepted, session_of_channels
from kener_async.channels.message import NotDelivered, Receipt
from kener_async.channels.registry import OVER_HTTP, channel_of
from kener_async.channels.signature import signature
from kener_async.config.channels import CHANNELS, WebhookChannel
from kener_async.config.schema import built, schema_of
from tests.rigs.certificates import Authority
from tests.rigs.messages import AT, a_message
from tests.rigs.process import a_free_port

SECRET = "s3cret-part-of-the-address"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """A server that keeps what it got, and answers as the test says."""

    answer: Answer
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append((request.method, dict(request.headers), await request.read()))
        return await self.answer(request)


async def ok(request: web.Request) -> web.StreamResponse:
    return web.Response(text="ok")


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, TestServer]]:
    made = Receiver(ok)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    server = TestServer(app)
    await server.start_server()
    yield made, server
    await server.close()


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with session_of_channels() as opened:
        yield opened


async def send(session: ClientSession, server: TestServer, timeout: float = 5) -> Receipt:
    client = HttpClient(session, (SECRET,), timeout=timeout)
    return accepted(await client.request(HttpRequest(str(server.make_url(f"/{SECRET}")), b"{}")))


def says(status: int, text: str = "", **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, headers=named)

    return answer


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"half of it")
    assert request.transport is not None
    request.transport.close()
    return response


async def slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3)
    return web.Response()


async def drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(30):
        await response.write(b".")
        await asyncio.sleep(0.1)
    return response


@pytest.mark.parametrize(
    ("answer", "text", "for_good", "wait"),
    [
        (says(500, "oh"), "answered 500: oh", False, None),
        (says(503, "", Retry_After="120"), "answered 503", False, 120),
        (says(429, "", Retry_After="2"), "answered 429", False, 2),
        (
            says(429, "", Retry_After="Fri, 28 Nov 2025 03:21:30 GMT", Date="Fri, 28 Nov 2025 03:20:00 GMT"),
            "answered 429",
            False,
            90,
        ),
        (says(429, "", Retry_After="Mon, 28 Nov 2011 03:21:30 GMT"), "answered 429", False, 0),
        (says(429, "", Retry_After="soon"), "answered 429", False, None),
        (says(429, "", Retry_After="-5"), "answered 429", False, None),
        (says(404, "no such hook"), "answered 404: no such hook", True, None),
        (says(410), "answered 410", True, None),
        (says(302, "", Location="http://127.0.0.1:1/"), "answered 302, a redirect", False, None),
        (reset, "the connection failed", False, None),
        (half, "the answer is incomplete", False, None),
        (slow, "no answer within 0.5 s", False, None),
        (drip, "no answer within 0.5 s", False, None),
    ],
)
async def test_what_is_tried_again_and_when(receiver, session, answer, text, for_good, wait):
    made, server = receiver
    made.answer = answer
    with pytest.raises(NotDelivered) as raised:
        await send(session, server, timeout=0.5)
    assert str(raised.value).startswith(text)
    assert (raised.value.for_good, raised.value.retry_after) == (for_good, wait)
    assert len(made.got) == 1  # also of a redirect


async def test_a_redirect_is_not_followed(receiver, session):
    made, server = receiver
    made.answer = says(307, "", Location=str(server.make_url("/elsewhere")))
    with pytest.raises(NotDelivered, match="set the address it leads to"):
        await send(session, server)
    assert len(made.got) == 1


async def test_an_answer_is_shown_masked_on_one_line_and_cut(receiver, session):
    made, server = receiver
    made.answer = says(200, f"took\n{SECRET}\x1b[31m \u202e" + "x" * 20_000)
    receipt = await send(session, server)
    assert receipt.answer.startswith("200 took *** [31m xxx")
    assert len(receipt.answer) <= 4 + http.ANSWER_CHARACTERS


async def test_a_secret_that_is_cut_at_the_end_of_what_is_read_is_not_shown(receiver, session):
    made, server = receiver
    made.answer = says(200, " " * (http.ANSWER_BYTES - 10) + SECRET)
    assert SECRET[:5] not in (await send(session, server)).answer


async def test_an_answer_is_read_in_part_only(receiver, session):
    made, server = receiver
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65536)
            sent += 65536

    made.answer = endless
    await send(session, server)
    assert sent < 50_000_000


@pytest.mark.parametrize(
    ("address", "text", "for_good"),
    [
        (f"http://127.0.0.1:{{port}}/{SECRET}", "no connection: ", False),
        (f"http://no-such-host.invalid/{SECRET}", "the host cannot be resolved", False),
        (f"http://[::1/{SECRET}", "the address is not valid", True),
        (f"http://{'a' * 70}.example/{SECRET}", "the ", True),
    ],
)
async def test_a_target_that_cannot_be_reached(session, address, text, for_good):
    client = HttpClient(session, (SECRET,), timeout=5)
    with pytest.raises(NotDelivered) as raised:
        await client.request(HttpRequest(address.format(port=a_free_port()), b""))
    assert str(raised.value).startswith(text)
    assert SECRET not in str(raised.value)
    if "a" * 70 not in address:
        assert raised.value.for_good is for_good


# TLS


async def over_tls(folder: Path, certificate: Path, settings: dict[str, object]) -> Receipt:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    app = web.Application()
    app.router.add_post("/", ok)
    server = TestServer(app, host="localhost")
    await server.start_server(ssl=context)
    try:
        async with session_of_channels() as session:
            written = {"name": "hook", "kind": "webhook", "url": f"https://localhost:{server.port}/"}
            channel = channel_of(a_webhook(written | settings, folder), session)
            return await channel.send(a_message(), {})
    finally:
        await server.close()


def a_webhook(written: dict[str, object], folder: Path = Path()) -> WebhookChannel:
    loaded = schema_of(WebhookChannel)().load({**written, "locale": "en", "timezone": "UTC"})
    made: WebhookChannel = built(WebhookChannel, loaded, folder)
    return made


async def test_a_certificate_must_be_valid(tmp_path):
    authority = Authority(tmp_path)
    good, expired = authority.certificate(), authority.certificate(expired=True)
    other = authority.certificate("elsewhere.example")
    trusting: dict[str, object] = {"ca_file": str(authority.file)}
    assert (await over_tls(tmp_path, good, trusting)).answer == "200 ok"
    assert (await over_tls(tmp_path, expired, {"verify": False})).answer == "200 ok"
    for certificate, settings, reason in (
        (good, {}, "unable to get local issuer certificate"),
        (expired, trusting, "certificate has expired"),
        (other, trusting, "Hostname mismatch"),
    ):
        with pytest.raises(NotDelivered, match=f"the certificate is not valid: .*{reason}") as raised:
            await over_tls(tmp_path, certificate, settings)
        assert not raised.value.for_good


async def test_a_file_of_authorities_that_is_gone_is_tried_again(tmp_path):
    settings: dict[str, object] = {"ca_file": str(tmp_path / "gone.pem")}
    with pytest.raises(NotDelivered, match="ca_file cannot be read: No such file") as raised:
        await over_tls(tmp_path, Authority(tmp_path).certificate(), settings)
    assert not raised.value.for_good


# A webhook, and all kinds


async def test_a_webhook_arrives_signed_with_its_key_and_headers(receiver, session):
    made, server = receiver
    written: dict[str, object] = {
        "name": "hook",
        "kind": "webhook",
        "url": str(server.make_url("/")),
        "secret": "0123456789abcdef",
        "headers": {"Authorization": "Bearer abcdefgh"},
        "method": "PUT",
    }
    await channel_of(a_webhook(written), session).send(a_message(), {})
    [(method, headers, body)] = made.got
    assert (method, headers["Authorization"]) == ("PUT", "Bearer abcdefgh")
    assert headers["Idempotency-Key"] == "delivery-17"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("kener-async/")
    at = int(headers["X-Kener-Signature"].partition("=")[2].partition(",")[0])
    assert headers["X-Kener-Signature"] == signature("0123456789abcdef", at, body)
    made.answer = says(401, "Bearer abcdefgh is not known, nor abcdefgh")
    with pytest.raises(NotDelivered) as raised:
        await channel_of(a_webhook(written), session).send(a_message(), {})
    assert "abcdefgh" not in str(raised.value)


REQUIRED: dict[str, dict[str, object]] = {
    "webhook": {},
    "slack": {},
    "discord": {},
    "teams": {},
    "googlechat": {},
    "mattermost": {},
    "rocketchat": {},
    "zulip": {"user": "bot@zulip.example.org", "token": SECRET, "stream": "ops"},
    "matrix": {"token": SECRET, "room": "!a:example.org"},
    "ntfy": {"token": SECRET},
    "gotify": {"token": SECRET},
    "signal": {"from": "+491", "to": ["+492"]},
    "alertmanager": {},
    "apprise": {},
}


@pytest.mark.parametrize("kind", REQUIRED)
async def test_no_error_and_no_receipt_holds_a_secret(receiver, session, kind):
    """The receiver returns everything that it got, in its answer."""
    made, server = receiver

    async def echo(request: web.Request) -> web.StreamResponse:
        body = await request.text()
        text = f"{request.url} {request.path} {request.headers.get('Authorization')} {body[:200]}"
        return web.Response(status=418, text=text)

    made.answer = echo
    table: Any = CHANNELS[kind]
    address = "homeserver" if kind == "matrix" else "url"
    place = "" if kind in ("matrix", "zulip", "gotify", "signal", "alertmanager") else f"hooks/{SECRET}"
    written = {"name": "x", "kind": kind, address: str(server.make_url(f"/{place}")), **REQUIRED[kind]}
    settings = built(table, schema_of(table)().load({**written, "locale": "en", "timezone": "UTC"}), Path())
    assert SECRET not in repr(settings)
    with pytest.raises(NotDelivered, match="418") as raised:
        await channel_of(settings, session).send(a_message(), {})
    assert made.got
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None


def test_every_kind_of_the_configuration_has_a_channel():
    served = [table.__name__ for table in OVER_HTTP]
    assert [kind for kind, table in CHANNELS.items() if table.__name__ not in served] == ["mail", "command"]


def test_an_answer_that_is_no_object_has_no_fields():
    for body in ("", "[1]", "[" * 100_000, "{", "5"):
        assert HttpAnswer(200, "", body, {}, float(AT)).json() == {}
