"""The channel of Alertmanager against Debian's prometheus-alertmanager."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from kener_async.channels.alertmanager import alertmanager
from kener_async.channels.http import session_of_channels
from kener_async.config.channels import AlertmanagerChannel
from kener_async.config.schema import built, schema_of
from kener_async.domain.notices import NoticeKind
from tests.rigs.messages import HOSTILE, a_message, an_item
from tests.rigs.process import a_free_port

RESOLVE_SECONDS = 1
CONFIGURATION = f"""
global: {{resolve_timeout: {RESOLVE_SECONDS}s}}
route: {{receiver: none, group_by: [alertname]}}
receivers: [{{name: none}}]
"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "alertmanager.yml").write_text(CONFIGURATION)
    port = a_free_port()
    process = subprocess.Popen(
        [
            "prometheus-alertmanager",
            f"--config.file={tmp_path}/alertmanager.yml",
            f"--storage.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def alerts(session: ClientSession, address: str) -> list[dict[str, Any]]:
    """The alerts that are open there."""
    deadline = time.monotonic() + 20
    while True:
        try:
            async with session.get(f"{address}/api/v2/alerts") as reply:
                found: list[dict[str, Any]] = await reply.json()
                return found
        except OSError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


async def test_an_alert_stays_open_until_it_is_told_of_the_end(address: str):
    now = int(time.time())
    written = {"name": "pager", "kind": "alertmanager", "url": address, "locale": "en", "timezone": "UTC"}
    settings = built(AlertmanagerChannel, schema_of(AlertmanagerChannel)().load(written), Path())

    def item(kind: NoticeKind, text: str = "") -> Any:
        made = an_item(kind, text, at=now)
        until = now - 10 if kind is NoticeKind.RESOLVED else None
        return replace(made, facts=replace(made.facts, since=now - 600, until=until))

    async with session_of_channels() as session:
        assert await alerts(session, address) == []
        channel = alertmanager(settings, session)
        await channel.send(a_message(item(NoticeKind.OPENED)), {})
        (opened,) = await alerts(session, address)
        assert opened["labels"]["monitor"] == "shop"
        await asyncio.sleep(3 * RESOLVE_SECONDS)
        await channel.send(a_message(item(NoticeKind.REMINDED)), {})
        (still,) = await alerts(session, address)
        assert still["status"]["state"] == "active"
        assert still["fingerprint"] == opened["fingerprint"]
        await channel.send(a_message(item(NoticeKind.RESOLVED)), {})
        assert await alerts(session, address) == []
        await channel.send(a_message(item(NoticeKind.OPENED)), {})
        assert len(await alerts(session, address)) == 1
        for kind in NoticeKind:
            for text in HOSTILE.values():
                assert (await channel.send(a_message(item(kind, text), text=text), {})).answer.startswith(
                    "200"
                )
