"""Secrets of checks and channels go to their targets, and nowhere else: the whole service, grepped.

Each secret is another random text. The targets send back what they are sent, where reasons quote it.
"""

import asyncio
import json
import re
import secrets
import sqlite3
import ssl
import tarfile
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kener_async.app import create_app
from kener_async.config.load import ConfigError, load
from tests.rigs.certificates import Authority
from tests.rigs.process import Client, Server, a_config, connected
from tests.rigs.tempting_servers import FILLINGS, TemptingServer

# How the target answers, and the lines of the check; @kind@ is a secret of its own, PORT the target's port.
CHECKS: Mapping[str, tuple[str, str]] = {
    "address": ("body", 'http = "http://user:@address@@127.0.0.1:PORT/@address@?key=@address@"'),
    "url": ("body", 'http = "http://127.0.0.1:PORT/@address@?key=@address@"\nexpect = [\'url == "x"\']'),
    "header": (
        "header",
        'http = "http://127.0.0.1:PORT/"\nheaders = { X-Key = "@token@", Authorization = "Bearer @token@" }\n'
        'expect = [\'header "x-echo" == "x"\']',
    ),
    "odd-header": ("bad-header", 'http = "http://127.0.0.1:PORT/"\nheaders = { Cookie = "id=@token@" }'),
    "odd-length": ("bad-length", 'http = "http://127.0.0.1:PORT/"\nheaders = { Cookie = "id=@token@" }'),
    "no-http": ("no-http", 'http = "http://127.0.0.1:PORT/"\nheaders = { Cookie = "id=@token@" }'),
    "basic": (
        "header",
        'http = "http://127.0.0.1:PORT/"\nuser = "@token@"\npassword = "@text@"\n'
        'expect = [\'header "x-echo" like "no"\']',
    ),
    "body": (
        "json",
        'http = "http://127.0.0.1:PORT/"\nmethod = "POST"\nbody = "@text@"\n'
        "expect = ['json $.echo == \"x\"']",
    ),
    "text": (
        "body",
        'http = "http://127.0.0.1:PORT/"\nmethod = "POST"\nbody = "@text@"\nexpect = [\'body == "x"\']',
    ),
    "elsewhere": ("elsewhere", 'http = "http://127.0.0.1:PORT/"\nheaders = { X-Key = "@token@" }'),
    "redirected": (
        "elsewhere",
        'http = "http://127.0.0.1:PORT/@address@"\nmax_redirects = 0\n'
        'expect = [\'header "location" == "x"\']',
    ),
    "nowhere": ("nowhere", 'http = "http://127.0.0.1:PORT/@address@"'),
    "no-port": ("no-port", 'http = "http://127.0.0.1:PORT/@address@"'),
    "oauth": (
        "body",
        'http = "http://127.0.0.1:1/"\noauth = { token_url = "http://127.0.0.1:PORT/@address@", '
        'client = "@token@", secret = "@text@" }',
    ),
    "token": (
        "json",
        'http = "http://127.0.0.1:1/"\noauth = { token_url = "http://127.0.0.1:PORT/@address@", '
        'client = "@token@", secret = "@text@" }',
    ),
    "proxy": (
        "status",
        'http = "http://192.0.2.1/@address@"\nproxy = "http://user:@address@@127.0.0.1:PORT"',
    ),
    "tunnel": ("status", 'http = "https://192.0.2.1/"\nproxy = "http://user:@address@@127.0.0.1:PORT"'),
    "tcp": ("line", 'tcp = "127.0.0.1:PORT"\nsend = "AUTH @bytes@\\\\n"\nexpect = [\'answer == "x"\']'),
    "udp": ("line", 'udp = "127.0.0.1:PORT"\nsend = "AUTH @bytes@"\nexpect = [\'answer == "x"\']'),
    "websocket": (
        "upgrade",
        'websocket = "ws://user:@address@@127.0.0.1:PORT/@address@"\nheaders = { X-Key = "@token@" }\n'
        'send = "@text@"',
    ),
    "refused-websocket": (
        "status",
        'websocket = "ws://127.0.0.1:PORT/@address@"\nheaders = { Authorization = "Token @token@" }',
    ),
    "wrong-name": ("body", 'http = "https://127.0.0.1:PORT/"\nheaders = { X-Key = "@name@" }'),
    "any-name": ("body", 'http = "https://127.0.0.1:PORT/"\nverify = false\nheaders = { X-Key = "@name@" }'),
    "refused": ("", 'http = "http://user:@address@@127.0.0.1:1/@address@"\nheaders = { X-Key = "@token@" }'),
    "refused-socket": ("", 'websocket = "ws://user:@address@@127.0.0.1:1/@address@"\nsend = "@text@"'),
    "no-name": ("", 'http = "http://user:@address@@gone.invalid/@address@"'),
    "name": ("", 'http = "http://@name@.invalid/"'),
    "no-proxy": ("", 'http = "http://127.0.0.1:1/"\nproxy = "http://user:@address@@127.0.0.1:1"'),
}
NOT_MEASURED = ("oauth", "token")  # for want of a token
WEBHOOK = 'url = "http://127.0.0.1:PORT/@address@"'
CHANNELS: Mapping[str, tuple[str, str]] = {
    "webhook": (
        "body",
        f'{WEBHOOK}\nheaders = {{ Authorization = "Bearer @token@", X-Key = "@token@" }}\nsecret = "@token@"',
    ),
    "slack": ("status", WEBHOOK),
    "discord": ("json", WEBHOOK),
    "teams": ("elsewhere", WEBHOOK),
    "googlechat": ("nowhere", WEBHOOK),
    "mattermost": ("no-http", WEBHOOK),
    "rocketchat": ("bad-header", WEBHOOK),
    "zulip": ("json", f'{WEBHOOK}\nuser = "bot@example.org"\ntoken = "@token@"\nstream = "ops"'),
    "matrix": ("body", 'homeserver = "http://127.0.0.1:PORT"\ntoken = "@token@"\nroom = "!a:example.org"'),
    "signal": ("status", f'{WEBHOOK}\nfrom = "+491"\nto = ["+492"]'),
    "ntfy": ("body", f'{WEBHOOK}\ntoken = "@token@"'),
    "gotify": ("body", f'{WEBHOOK}\ntoken = "@token@"'),
    "alertmanager": ("status", WEBHOOK),
    "apprise": ("body", WEBHOOK),
}
SINK = "sink"  # a channel that takes everything
PIECE = 10  # characters
CORE = 24
MOST_RUNS = 60


@dataclass(frozen=True)
class Secret:
    """A secret for one target. Its random core stands in any form of it; `owner` may be told it."""

    value: str
    core: str
    owner: str

    def pieces(self) -> Iterator[str]:
        """Texts of which one stands wherever a good part of it does, also in base64."""
        yield from (self.core[:PIECE], self.core[PIECE : 2 * PIECE - 2], self.core[-PIECE:])
        for shift in range(3):
            encoded = b64encode(b"-" * shift + self.core.encode())[4:-4].decode()
            yield from (encoded[: PIECE + 2], encoded[-PIECE - 2 :])


AROUND = {
    "address": "{}+!=a",
    "bytes": "é<'{}\\\\x41>ü",
    "token": "<'{}/+&\">",
    "text": "é \"<'{}/+&\\>ü",
    "name": "{}",
}


@dataclass
class Scene:
    """Targets, the configuration of a server that tells them secrets, and those secrets."""

    folder: Path
    targets: dict[str, TemptingServer] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)  # by the name of the variable
    tables: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {name: secret.value for name, secret in self.secrets.items()}

    def add(self, header: str, owner: str, how: str, lines: str) -> None:
        """Add a table, with a target that answers so."""

        def made(match: "re.Match[str]") -> str:
            name = f"S{len(self.secrets)}"
            core = f"zq{secrets.token_hex(CORE)}"[:CORE]
            self.secrets[name] = Secret(AROUND[match[1]].format(core), core, owner)
            return f"${name}"

        lines = re.sub("@(address|bytes|token|text|name)@", made, lines)
        if how:
            self.targets[owner] = TemptingServer(how, self._tls(owner), is_udp=owner == "udp")
            lines = lines.replace("PORT", str(self.targets[owner].port))
        self.tables.append(f"{header}\n{lines}")

    def _tls(self, owner: str) -> ssl.SSLContext | None:
        """Of those whose certificate has the secret in its name."""
        if not owner.endswith("-name"):
            return None
        (core,) = [secret.core for secret in self.secrets.values() if secret.owner == owner]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority.certificate(core))
        return context

    @property
    def authority(self) -> Authority:
        if "_authority" not in self.__dict__:
            self.__dict__["_authority"] = Authority(self.folder)
        found: Authority = self.__dict__["_authority"]
        return found

    def leaks(self, text: str, *owners: str) -> list[str]:
        """The owners of secrets that stand in a text, but for these."""
        return sorted(
            {
                secret.owner
                for secret in self.secrets.values()
                if secret.owner not in owners and any(piece in text for piece in secret.pieces())
            }
        )


def a_scene(folder: Path, stack: ExitStack) -> Scene:
    scene = Scene(folder)
    for tag, (how, lines) in CHECKS.items():
        timing = 'every = "1h"\ntimeout = "1s"\nretries = 0\n'
        scene.add(f'[[monitors]]\ntag = "{tag}"\n[monitors.check]\n{timing}', tag, how, lines)
    for kind, (how, lines) in CHANNELS.items():
        scene.add(f'[[channels]]\nname = "{kind}"\nkind = "{kind}"\ngather = "0s"\n', kind, how, lines)
    scene.add(f'[[channels]]\nname = "{SINK}"\nkind = "webhook"\ngather = "0s"\n', SINK, "json", WEBHOOK)
    names = json.dumps([*CHANNELS, SINK])
    scene.tables.append(
        f'[[alerts]]\nname = "all"\nto = {names}\n[watch]\nping_url = "http://127.0.0.1:1/$PING"'
    )
    for target in scene.targets.values():
        stack.callback(target.close)
    for name in ("PING", "SIGNING"):
        core = f"zq{secrets.token_hex(CORE)}"[:CORE]
        scene.secrets[name] = Secret(core * 2, core, name)
    return scene


def a_server(scene: Scene) -> Server:
    settings = {
        "auth": {"secret_key": "$SIGNING"},
        "log": {"level": "debug", "requests": "all"},
        "checks": {"ca_file": str(scene.authority.file)},
    }
    text = a_config(settings, (), "\n".join(scene.tables))
    return Server(scene.folder, text, environment=scene.environment)


@pytest.mark.process
async def test_secrets_go_to_their_targets_and_nowhere_else(tmp_path: Path) -> None:
    with ExitStack() as stack:
        scene = a_scene(tmp_path, stack)
        assert len(scene.secrets) > 50
        server = stack.enter_context(a_server(scene))
        token = await asyncio.to_thread(server.mint, "--scope", "admin")
        await asyncio.to_thread(server.start)
        async with connected(server.port, token) as client:
            attempts = await look_at_all(scene, server, client)
            assert "\n".join(text[:330] for text in attempts if scene.leaks(text)) == ""
            await until_all_are_told(scene)
            found = {path: answer async for path, answer in all_answers(scene, server, client)}
        assert "***" in found["/api/monitors/header/checks"]
        found["command line"] = Path(f"/proc/{server.pid}/cmdline").read_text()
        found |= await asyncio.to_thread(command_outputs, server)
        found |= {path.name: path.read_bytes().decode("latin-1") for path in database_files(server)}
        await asyncio.to_thread(server.stop)
        found["log"] = server.log_text()
        assert found["log"].count("\n") > 100
        assert {name: leaks for name, text in found.items() if (leaks := scene.leaks(text))} == {}
        for owner, target in scene.targets.items():
            assert (owner, scene.leaks(target.heard, owner)) == (owner, [])
            assert scene.leaks(target.heard) == ([owner] if owner != "wrong-name" else []), "was not told"


MISFITS = (
    "{}",
    "ftp://{}",
    "http://a:{}/",
    "http://[{}",
    "http://{} x/",
    "{}\n{}",
    "{}\0",
    "\\q{}",
    "\u202e{}",
)


@pytest.mark.parametrize("value", MISFITS)
@pytest.mark.parametrize("name", [*CHECKS, *CHANNELS])
def test_a_secret_that_does_not_fit_is_in_no_fault(name: str, value: str, tmp_path: Path) -> None:
    core = secrets.token_hex(CORE // 2)
    if name in CHECKS:
        header, lines = f'[[monitors]]\ntag = "{name}"\n[monitors.check]', CHECKS[name][1]
    else:
        header, lines = f'[[channels]]\nname = "{name}"\nkind = "{name}"', CHANNELS[name][1]
    written = re.sub('"[^"]*@(?:address|bytes|token|text|name)@[^"]*"', '"$S"', lines).replace("PORT", "1")
    assert "$S" in written
    file = tmp_path / "config.toml"
    file.write_text(f'[auth]\nsecret_key = "{"k" * 40}"\n{header}\n{written}\n')
    shown = said_of(file, {"S": value.format(core, core)})
    assert core[:PIECE] not in shown


def said_of(file: Path, environment: Mapping[str, str]) -> str:
    """The faults of a configuration; of one that has none the warnings, and how it is represented."""
    try:
        config = load(file, environment)
    except ConfigError as error:
        return str(error)
    return f"{config.warnings} {config!r}"


async def look_at_all(scene: Scene, server: Server, client: Client) -> list[str]:
    """Check every monitor until its target has sent back each part of a request in each way; the answers."""
    found: list[str] = []

    async def look(tag: str, own: Client) -> None:
        target = scene.targets.get(tag)
        for _ in range(MOST_RUNS if tag != "wrong-name" else 1):  # which is asked nothing
            answer = await own.ask("POST", f"/api/manage/monitors/{tag}/run")
            assert answer.status == 200, answer
            found.append(answer.body.decode())
            (attempt,) = answer.json()["attempts"]
            is_measured = tag not in NOT_MEASURED and "too busy" not in attempt["reason"]
            assert attempt["status"] == ("DOWN" if is_measured else None), (tag, attempt)
            if target is None or target.turns >= len(FILLINGS):
                return

    async def look_at(tags: list[str]) -> None:
        async with connected(server.port, client.token) as own:
            for tag in tags:
                await look(tag, own)

    tags = [*CHECKS]
    await asyncio.gather(*(look_at(tags[first::6]) for first in range(6)))
    return found


async def until_all_are_told(scene: Scene) -> None:
    """Wait until each channel was told, and the sink of every monitor, with the reason."""
    sink = scene.targets[SINK]
    deadline = time.monotonic() + 20
    while not all(scene.targets[kind].heard for kind in CHANNELS) or "refused" not in sink.heard:
        assert time.monotonic() < deadline, [kind for kind in CHANNELS if not scene.targets[kind].heard]
        await asyncio.sleep(0.05)


async def all_answers(scene: Scene, server: Server, client: Client) -> Any:
    """What each route answers to GET, by its path."""
    config = load(server.config, scene.environment)
    routes = [route for route in create_app(config).router.routes() if route.method == "GET"]
    templates = {route.resource.canonical for route in routes if route.resource is not None}
    today = datetime.now(UTC)
    values = {
        "day": f"{today:%Y-%m-%d}",
        "month": f"{today:%Y-%m}",
        "kind": "status",
        "number": "1",
        "incidentNumber": "1",
    }
    for template in sorted(templates):
        for tag in CHECKS if "{tag}" in template else ("",):
            path = filled(template, values | {"tag": tag})
            answer = await client.ask("GET", path)
            assert answer.status in {200, 301, 302, 307, 308, 400, 404, 405}, (path, answer)
            yield path, f"{answer.headers} {answer.body.decode(errors='replace')}"
    for path in ("/api/monitors/gone/checks", "/api/status?tag=gone", "/api/manage/alerts?state=odd"):
        yield path, str(await client.ask("GET", path))


def filled(template: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], "header"), template)


def command_outputs(server: Server) -> dict[str, str]:
    """What the commands print, by their words; and the files that they make."""
    backup, export = server.folder / "backup.tar.gz", server.folder / "export.jsonl"
    commands = [
        ("check-config", "--explain"),
        ("status",),
        ("doctor", "--json"),
        ("channel", "list"),
        ("channel", "test", "slack"),
        ("check", "header", "--json"),
        ("check", "any-name", "--json"),
        ("backup", str(backup)),
        ("export", str(export)),
    ]
    with ThreadPoolExecutor(4) as pool:
        ended = pool.map(lambda words: server.run(*words), commands)
        done = dict(zip(map(" ".join, commands), ended, strict=True))
    assert [words for words, each in done.items() if "Traceback" in each.stderr] == []
    found = {words: each.stdout + each.stderr for words, each in done.items()}
    return found | members_of(backup) | {"export": export.read_text()}


def members_of(backup: Path) -> dict[str, str]:
    """The files in a backup."""
    with tarfile.open(backup) as archive:
        files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {
            f"{name} of the backup": file.read().decode("latin-1") for name, file in files.items() if file
        }


def database_files(server: Server) -> list[Path]:
    files = [*server.folder.glob(f"{server.database.name}*")]
    assert files
    with sqlite3.connect(server.database) as connection:
        for table in ("check_faults", "certificates", "deliveries", "samples"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0], table
    return files
