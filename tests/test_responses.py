"""Prebuilt responses: the same as aiohttp's own, header by header."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, HttpVersion10, HttpVersion11, web
from multidict import CIMultiDict

from kener_async import keys
from kener_async.api.http.responses import json_response
from tests.rigs.service import Service

# What a connection or an instant decides.
VARYING = ("date", "x-request-id", "connection")

JSON = "/api/status?tag=earth"
REQUESTS: dict[str, tuple[str, dict[str, str]]] = {
    "json": (JSON, {}),
    "a list as json": ("/api/monitors", {}),
    "health as json": ("/healthz", {}),
    "a page": ("/", {}),
    "a page in gzip": ("/", {"Accept-Encoding": "gzip"}),
    "a page in brotli": ("/", {"Accept-Encoding": "br"}),
    "a page that has not changed": ("/", {"If-None-Match": "*"}),
    "a badge": ("/badge/earth/status", {}),
    "a feed": ("/feed.atom", {}),
    "a picture": ("/preview.png", {}),
    "a style sheet of any version": ("/static/page.css", {}),
}


@pytest.fixture
def built_by_aiohttp(monkeypatch: pytest.MonkeyPatch) -> list[web.StreamResponse]:
    """The responses that aiohttp has sent."""
    responses: list[web.StreamResponse] = []
    prepare = web.StreamResponse.prepare

    async def noting(response: web.StreamResponse, request: web.BaseRequest) -> Any:
        responses.append(response)
        return await prepare(response, request)

    monkeypatch.setattr(web.StreamResponse, "prepare", noting)
    return responses


Ask = Callable[..., Any]


@pytest.fixture
async def ask(service: Service) -> AsyncIterator[Ask]:
    """Status, headers and body of the response to a request in either version of HTTP."""
    await service.beat()
    sessions = {
        version: ClientSession(version=version, auto_decompress=False)
        for version in (HttpVersion10, HttpVersion11)
    }

    async def send(
        path: str, headers: dict[str, str], method: str = "GET", version: Any = HttpVersion11
    ) -> Any:
        headers = {"Authorization": f"Bearer {service.token}", "Accept-Encoding": "identity"} | headers
        url = service.client.make_url(path)
        async with sessions[version].request(method, url, headers=headers) as reply:
            return reply.status, CIMultiDict(reply.headers), await reply.read()

    yield send
    for session in sessions.values():
        await session.close()


def stable(headers: CIMultiDict[str]) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in headers.items() if name.lower() not in VARYING)


FORMS: dict[str, dict[str, Any]] = {
    "HTTP/1.0, to stay open": {"version": HttpVersion10},  # as the client then asks for
    "HEAD": {"method": "HEAD"},
}
LAST: dict[str, dict[str, Any]] = {
    "HTTP/1.1": {"headers": {"Connection": "close"}},
    "HTTP/1.0": {"version": HttpVersion10, "headers": {"Connection": "close"}},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", REQUESTS)
async def test_a_prebuilt_response_equals_that_of_aiohttp(
    ask: Ask, built_by_aiohttp: list[web.StreamResponse], kind: str, form: str
):
    path, headers = REQUESTS[kind]
    status, prebuilt, body = await ask(path, headers)
    assert len(built_by_aiohttp) == (kind == "a style sheet of any version")
    built_by_aiohttp.clear()
    options = dict(FORMS[form])
    slow_status, built, slow_body = await ask(path, headers | options.pop("headers", {}), **options)
    assert len(built_by_aiohttp) == 1
    assert (status, stable(prebuilt)) == (slow_status, stable(built))
    assert slow_body == (b"" if form == "HEAD" else body)
    assert prebuilt.keys() >= {"Date", "X-Request-Id"}


@pytest.mark.parametrize("form", LAST)
@pytest.mark.parametrize("kind", REQUESTS)
async def test_the_last_prebuilt_response_of_a_connection_equals_that_of_aiohttp(
    ask: Ask, service: Service, built_by_aiohttp: list[web.StreamResponse], kind: str, form: str
):
    path, headers = REQUESTS[kind]
    options = dict(LAST[form])
    headers = headers | options.pop("headers", {})
    status, prebuilt, body = await ask(path, headers, **options)
    assert len(built_by_aiohttp) == (kind == "a style sheet of any version")
    built_by_aiohttp.clear()
    service.app[keys.RUNNING].stopping = True  # then aiohttp makes every response
    slow_status, built, slow_body = await ask(path, headers, **options)
    assert len(built_by_aiohttp) == 1
    assert (status, stable(prebuilt), body) == (slow_status, stable(built), slow_body)
    assert prebuilt.get("Connection") == built.get("Connection") == ("close" if form == "HTTP/1.1" else None)


@pytest.mark.parametrize(("version", "header"), [("1.1", "Connection: close"), ("1.0", "Accept: */*")])
async def test_a_connection_ends_with_a_prebuilt_response_that_is_its_last(
    service: Service, version: str, header: str
):
    reader, writer = await asyncio.open_connection(service.client.host, service.client.port)
    request = f"GET {JSON} HTTP/{version}\r\nHost: x\r\n{header}\r\nAuthorization: {service.token}\r\n\r\n"
    writer.write(request.encode())
    answer = await reader.read()
    assert answer.startswith(f"HTTP/{version} 200 OK\r\n".encode())
    assert answer.count(b"HTTP/1.") == 1
    writer.close()


async def test_a_connection_stays_open_after_a_prebuilt_response(service: Service):
    for _ in range(3):
        await service.beat()
    server = service.client.server.handler
    assert server is not None
    assert len(server.connections) == 1


async def test_a_prebuilt_response_whose_headers_are_changed_is_sent_with_the_change(service: Service):
    response = json_response({"status": "ok"})
    response.headers["X-Note"] = "changed"
    assert response.status == 200
    assert response.body == b'{"status":"ok"}'
    assert response.reason == "OK"
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert not hasattr(response, "colour")
