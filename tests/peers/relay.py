"""The webhook with Kener's fields against a relay that others wrote for Kener's alerts, unchanged.

It is `ensombl/kener-telegram-webhook-relay`, which passes alerts on to Telegram; Telegram is played here.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from kener_async.channels.http import session_of_channels
from kener_async.channels.webhook import Webhook
from kener_async.config.channels import WebhookChannel
from kener_async.config.schema import built, schema_of
from kener_async.domain.notices import NoticeKind
from tests.rigs.messages import HOSTILE, a_message, an_item
from tests.rigs.process import a_free_port

# Where `make peers` clones it, if it can.
PROGRAM = Path(os.environ.get("KENER_RELAY", "build/relay")).absolute() / "dist" / "index.js"
TO_US = """
const real = globalThis.fetch, there = "https://api.telegram.org";
globalThis.fetch = (url, options) => real(url.replace(there, process.env.TELEGRAM), options);
"""
TOKEN = "secret of the relay"

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason=f"{PROGRAM} is not there: GitHub was out of reach"
)


@dataclass
class Relay:
    """The running relay, and the texts that Telegram got from it."""

    url: str
    texts: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    async def take(self, request: web.Request) -> web.Response:
        self.texts.put_nowait((await request.json())["text"])
        return web.json_response({"ok": True})


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Relay]:
    port = a_free_port()
    started = Relay(f"http://127.0.0.1:{port}/")
    app = web.Application()
    app.router.add_post("/{path:.*}", started.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    telegram = f"http://127.0.0.1:{runner.addresses[0][1]}"
    (tmp_path / "to-us.cjs").write_text(TO_US)
    process = subprocess.Popen(
        ["node", "--require", str(tmp_path / "to-us.cjs"), str(PROGRAM)],
        env={
            **{"PATH": os.environ["PATH"], "PORT": str(port), "TELEGRAM": telegram},
            **{"TELEGRAM_BOT_TOKEN": "1:a", "TELEGRAM_CHAT_ID": "-1", "KENER_WEBHOOK_SECRET": TOKEN},
        },
        cwd=tmp_path,
    )
    try:
        await _until_it_listens(started)
        yield started
    finally:
        process.terminate()
        process.wait(10)
        await runner.cleanup()


async def _until_it_listens(relay: Relay) -> None:
    async with ClientSession() as session, asyncio.timeout(20):
        while True:
            try:
                async with session.get(f"{relay.url}health"):
                    return
            except OSError:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_every_kind_of_message_becomes_one_for_telegram(relay: Relay, text: str):
    written = {"name": "relay", "kind": "webhook", "url": relay.url, "headers": {"X-Kener-Token": TOKEN}}
    loaded = schema_of(WebhookChannel)().load({**written, "locale": "en", "timezone": "UTC"})
    settings = built(WebhookChannel, loaded, Path())
    async with session_of_channels() as session:
        channel = Webhook(settings, session)
        for kind in NoticeKind:
            await channel.send(a_message(an_item(kind, text), text=text), {})
            async with asyncio.timeout(5):
                said = await relay.texts.get()
            assert "undefined" not in said
            assert "[object" not in said
            assert re.findall(r"<(\w+)[ >]", said).count("b") == said.count("</b>")
            assert re.search(r"<b>Status:</b> <code>(TRIGGERED|RESOLVED)</code>", said)
            is_over = kind in (NoticeKind.RESOLVED, NoticeKind.RETRACTED, NoticeKind.REMOVED)
            if is_over:
                assert "RESOLVED" in said
            if kind is NoticeKind.OPENED:
                assert "<b>Monitor:</b> <code>" in said
                assert "<b>Current:</b> <code>10</code>" in said
        many = a_message(*[an_item(text=text)] * 300, text=text)
        await channel.send(many, {})
        async with asyncio.timeout(5):
            assert "TRIGGERED" in await relay.texts.get()
