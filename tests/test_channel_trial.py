"""Trying a channel: the request and the answer are shown, and no secret is."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kener_async.channels.composition import MessageSource, example
from kener_async.channels.message import Message
from kener_async.channels.trial import ChannelTrial, try_channel
from kener_async.config.load import load
from kener_async.config.model import Config
from tests.rigs.service import NOON

SECRETS = {
    "TOKEN": "t0ken-of-the-bot",
    "USER": "u5er-of-the-app",
    "PATH": "pa7h/of/the-webhook",
    "SIGNING": "s1gning-key-of-ours",
}
CHANNELS = {
    "slack": 'url = "http://127.0.0.1:{port}/services/$PATH"',
    "discord": 'url = "http://127.0.0.1:{port}/api/webhooks/$PATH"',
    "webhook": """
        url = "http://127.0.0.1:{port}/$PATH?key=$USER"
        headers = {{ Authorization = "Bearer $TOKEN", X-Own = "$USER" }}
        secret = "$SIGNING"
    """,
    "gotify": 'url = "http://127.0.0.1:{port}"\ntoken = "$TOKEN"',
    "ntfy": 'url = "http://127.0.0.1:{port}/$PATH"\ntoken = "$TOKEN"',
    "matrix": 'homeserver = "http://127.0.0.1:{port}"\ntoken = "$TOKEN"\nroom = "!a:example.org"',
    "apprise": 'url = "http://127.0.0.1:{port}/notify/$TOKEN"',
    "zulip": """
        url = "http://127.0.0.1:{port}"
        user = "bot@example.org"
        token = "$TOKEN"
        stream = "ops"
    """,
}


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A receiver that answers with what it got, headers too."""

    async def echo(request: web.Request) -> web.Response:
        got = f"{request.path_qs} {dict(request.headers)} {await request.text()}"
        return web.Response(status=500, text=got)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", echo)
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


def configured(folder: Path, kind: str, keys: str) -> Config:
    file = folder / "config.toml"
    lines = [f'[[channels]]\nname = "ops"\nkind = "{kind}"', *(line.strip() for line in keys.splitlines())]
    file.write_text("\n".join(lines))
    return load(file, SECRETS)


def message() -> Message:
    source = MessageSource(UUID(int=7), "Status", "", {}, lambda: (1, 2))
    return example(source, "en", ZoneInfo("UTC"), NOON, "test-1")


async def tried(config: Config) -> ChannelTrial:
    return await try_channel(config.channels[0], config.mail, message())


@pytest.mark.parametrize("kind", CHANNELS)
async def test_the_request_and_the_answer_are_shown_without_a_secret(tmp_path: Path, port: int, kind: str):
    trial = await tried(configured(tmp_path, kind, CHANNELS[kind].format(port=port)))
    assert not trial.is_delivered
    assert trial.answer.startswith("answered 500")
    assert trial.requests
    for request in trial.requests:
        assert request.startswith(("POST http://127.0.0.1", "PUT http://127.0.0.1"))
        assert "this is a test" in request.replace("+", " ")
    shown = " ".join([trial.answer, *trial.requests])
    parts = [part for secret in SECRETS.values() for part in (secret, *secret.split("/")) if len(part) > 6]
    assert [part for part in parts if part in shown] == []


async def test_a_receiver_that_is_away_is_named_as_such(tmp_path: Path, unused_tcp_port: int):
    trial = await tried(configured(tmp_path, "slack", f'url = "http://127.0.0.1:{unused_tcp_port}/$PATH"'))
    assert (trial.is_delivered, trial.requests) == (False, ())
    assert trial.answer.startswith("no connection: Connect call failed")


async def test_a_mail_is_shown_with_its_heads(tmp_path: Path, unused_tcp_port: int):
    keys = f"""
        to = ["ops@example.org"]
        [mail]
        host = "127.0.0.1"
        port = {unused_tcp_port}
        user = "status"
        password = "$TOKEN"
        from = "status@example.org"
    """
    trial = await tried(configured(tmp_path, "mail", keys))
    assert not trial.is_delivered
    (request,) = trial.requests
    assert "To: ops@example.org" in request
    assert "this is a test" in request
    assert SECRETS["TOKEN"] not in request
