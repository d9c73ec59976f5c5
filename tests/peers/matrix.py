"""The channel of Matrix against Synapse, the server that its makers write."""

import asyncio
import hmac
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from kener_async.channels.http import session_of_channels
from kener_async.channels.matrix import Matrix
from kener_async.channels.message import NotDelivered
from kener_async.config.channels import MatrixChannel
from kener_async.config.schema import built, schema_of
from kener_async.domain.notices import NoticeKind
from tests.rigs.messages import HOSTILE, a_message, an_item
from tests.rigs.process import a_free_port

# Where `make peers` installs it.
PYTHON = Path(os.environ.get("KENER_SYNAPSE", "build/synapse")).absolute() / "bin" / "python"
SECRET = "shared-by-the-test"
NO_LIMIT = {"per_second": 10_000, "burst_count": 10_000}


@pytest.fixture
def homeserver(tmp_path: Path) -> Iterator[str]:
    port = a_free_port()
    log = {
        "version": 1,
        "handlers": {"file": {"class": "logging.FileHandler", "filename": f"{tmp_path}/log"}},
        "root": {"level": "WARNING", "handlers": ["file"]},
    }
    (tmp_path / "log.yaml").write_text(json.dumps(log))  # JSON is YAML
    configuration = {
        "server_name": "localhost",
        "listeners": [
            {
                "port": port,
                "type": "http",
                "bind_addresses": ["127.0.0.1"],
                "resources": [{"names": ["client"]}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": f"{tmp_path}/homeserver.db"}},
        "log_config": f"{tmp_path}/log.yaml",
        "media_store_path": f"{tmp_path}/media",
        "signing_key_path": f"{tmp_path}/signing.key",
        "registration_shared_secret": SECRET,
        "macaroon_secret_key": SECRET,
        "form_secret": SECRET,
        "report_stats": False,
        "trusted_key_servers": [],
        "rc_message": NO_LIMIT,
        "rc_login": {"address": NO_LIMIT, "account": NO_LIMIT},
    }
    (tmp_path / "homeserver.yaml").write_text(json.dumps(configuration))
    command = [str(PYTHON), "-m", "synapse.app.homeserver", "-c", f"{tmp_path}/homeserver.yaml"]
    subprocess.run([*command, "--generate-keys"], check=True, cwd=tmp_path, env={})
    process = subprocess.Popen(command, cwd=tmp_path, env={}, stdout=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


class Account:
    """An account of the server that reads and writes as a person's program does."""

    def __init__(self, session: ClientSession, homeserver: str, token: str) -> None:
        self._session, self._homeserver, self.token = session, homeserver, token

    async def request(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        async with self._session.request(
            method,
            f"{self._homeserver}/_matrix/client/v3/{path}",
            headers={"Authorization": f"Bearer {self.token}"},
            json=body if method == "POST" else None,
        ) as reply:
            answer: dict[str, Any] = await reply.json()
            assert reply.status == 200, answer
            return answer

    async def messages(self, room: str) -> list[dict[str, Any]]:
        """The messages of a room, the newest first."""
        answer = await self.request("GET", f"rooms/{room}/messages?dir=b&limit=500")
        return [event for event in answer["chunk"] if event["type"] == "m.room.message"]


@pytest.fixture
async def account(homeserver: str) -> AsyncIterator[Account]:
    async with ClientSession() as session:
        nonce = await first_nonce(session, homeserver)
        parts = (nonce, "status", "a-password", "notadmin")
        mac = hmac.new(SECRET.encode(), b"\x00".join(map(str.encode, parts)), "sha1").hexdigest()
        body = {"nonce": nonce, "username": "status", "password": "a-password", "admin": False, "mac": mac}
        async with session.post(f"{homeserver}/_synapse/admin/v1/register", json=body) as reply:
            registered = await reply.json()
            assert reply.status == 200, registered
        yield Account(session, homeserver, registered["access_token"])


async def first_nonce(session: ClientSession, homeserver: str) -> str:
    """Wait until the server answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            async with session.get(f"{homeserver}/_synapse/admin/v1/register") as reply:
                return str((await reply.json())["nonce"])
        except OSError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)


def settings_for(homeserver: str, token: str, room: str) -> MatrixChannel:
    written = {"name": "chat", "kind": "matrix", "homeserver": homeserver, "token": token, "room": room}
    loaded = schema_of(MatrixChannel)().load({**written, "locale": "en", "timezone": "UTC"})
    made: MatrixChannel = built(MatrixChannel, loaded, Path())
    return made


async def test_a_message_arrives_once_and_its_ending_answers_it(homeserver: str, account: Account) -> None:
    room = (await account.request("POST", "createRoom", room_alias_name="ops"))["room_id"]
    async with session_of_channels() as session:
        by_alias = Matrix(settings_for(homeserver, account.token, "#ops:localhost"), session)
        opening = await by_alias.send(a_message(an_item(alert="a-1"), key="k-1"), {})
        again = Matrix(settings_for(homeserver, account.token, room), session)
        assert (
            await again.send(a_message(an_item(alert="a-1"), key="k-1"), {})
        ).reference == opening.reference
        ending = a_message(an_item(NoticeKind.RESOLVED, alert="a-1"), key="k-2")
        await again.send(ending, {"a-1": opening.reference})
    newest, first = await account.messages(room)
    assert first["event_id"] == opening.reference
    assert first["content"]["body"].startswith("🔴 Down: The shop")
    assert newest["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == opening.reference


async def test_hostile_texts_arrive_and_mention_nobody(homeserver: str, account: Account) -> None:
    room = (await account.request("POST", "createRoom"))["room_id"]
    async with session_of_channels() as session:
        channel = Matrix(settings_for(homeserver, account.token, room), session)
        for kind in NoticeKind:
            for name, text in HOSTILE.items():
                items = [an_item(kind, text)] * (1 if kind else 200)
                key = f"{kind.name}-{name}"
                receipt = await channel.send(a_message(*items, text=text, key=key), {})
                assert receipt.reference.startswith("$")
    arrived = await account.messages(room)
    assert len(arrived) == len(NoticeKind) * len(HOSTILE)
    assert all(event["content"]["m.mentions"] == {} for event in arrived)


async def test_a_wrong_token_or_room_is_refused_for_good(homeserver: str, account: Account) -> None:
    room = (await account.request("POST", "createRoom"))["room_id"]
    async with session_of_channels() as session:
        for token, where in (
            ("not-a-token", room),
            (account.token, "!nowhere:localhost"),
            (account.token, "#nowhere:localhost"),
        ):
            with pytest.raises(NotDelivered) as raised:
                await Matrix(settings_for(homeserver, token, where), session).send(a_message(), {})
            assert raised.value.for_good, str(raised.value)
            assert token not in str(raised.value)
