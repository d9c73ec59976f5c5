"""The real server as a process, clients that record the outcome of each request, and the comparison of both.

The clients speak HTTP by hand: a library that repeats a request on a broken connection would hide what is
measured here.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kener_async.api.http.auth import mint
from kener_async.domain.access import DEFAULT_SCOPES
from kener_async.store import tokens
from kener_async.store.sqlite import transactions
from tests.rigs.stored_samples import samples_in

ROOT = Path(__file__).resolve().parents[2]
SECRET = "for-tests-only-" + "p" * 32
MINUTE = 60
STATUSES = ("UP", "DEGRADED", "DOWN")

Tables = Mapping[str, Any]  # of sections: settings by name
Key = tuple[str, int]  # tag, minute


def a_free_port() -> int:
    """A port that nothing listens on, and below those that Linux gives to outgoing connections meanwhile."""
    while True:
        port = 10_000 + secrets.randbelow(32_768 - 10_000)
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def a_config(settings: Tables | None = None, tags: Sequence[str] = ("earth", "mars"), more: str = "") -> str:
    """The text of a configuration: sections, monitors, and more lines."""
    tables: dict[str, Any] = {"auth": {"secret_key": SECRET}, **(settings or {})}
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    for tag in tags:
        lines.append(f'[[monitors]]\ntag = "{tag}"')
    return "\n".join([*lines, more, ""])


class NotReady(Exception):
    """The server ended before it listened, or did not listen in time."""


class Server:
    """`run.py serve` on a port of its own; its folder holds the configuration, the database and the logs.

    `before` is put before the command that serves (strace), `within` before every command (nsenter);
    `environment` is added to ours, `inherits` are descriptors it gets. `fault` is Python that runs first, in
    the same process: a bug on purpose, to prove that a test detects it. `as_user` is the id of the user and
    of the group that run it and its commands; None: ours.
    """

    def __init__(
        self,
        folder: Path,
        config: str = "",
        *,
        database: Path | None = None,
        before: Sequence[str] = (),
        within: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        inherits: Sequence[int] = (),
        fault: str = "",
        as_user: int | None = None,
    ) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.config.write_text(config or a_config())
        self.database = database or folder / "kener.db"
        self.before = [*within, *before]
        self.within = list(within)
        run = f"{fault}\nfrom kener_async.cli.main import main\nmain()"
        self.program = ["-c", run] if fault else [str(ROOT / "run.py")]
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        self.inherits = inherits
        self.as_user = as_user
        self.port = a_free_port()
        self.log_file = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._read_from = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def command(self) -> list[str]:
        return [
            sys.executable,
            *self.program,
            "serve",
            *("--config", str(self.config), "--port", str(self.port), "--database", str(self.database)),
        ]

    def launch(self) -> None:
        """Start the process and do not wait for it."""
        self._read_from = self.log_file.stat().st_size if self.log_file.exists() else 0
        with open(self.log_file, "ab") as log:
            self._process = subprocess.Popen(
                [*self.before, *self.command()],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
                pass_fds=self.inherits,
                start_new_session=True,
                user=self.as_user,
                group=self.as_user,
            )

    def start(self, seconds: float = 20) -> "Server":
        """Start and wait until it listens."""
        self.launch()
        deadline = time.monotonic() + seconds
        while not any(line.get("event") == "listening" for line in self.logs()):
            if not self.is_running or time.monotonic() > deadline:
                self.kill()
                raise NotReady(self.log_text())
            time.sleep(0.01)
        return self

    def log_text(self) -> str:
        """What the last run wrote to standard error."""
        if not self.log_file.exists():
            return ""
        with open(self.log_file, "rb") as file:
            file.seek(self._read_from)
            return file.read().decode()

    def logs(self) -> list[dict[str, Any]]:
        """The last run's complete lines, each a JSON object."""
        *lines, _ = self.log_text().split("\n")
        return [json.loads(line) for line in lines]

    def until_logged(self, event: str, seconds: float = 10) -> dict[str, Any]:
        """Wait for a line of the log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.logs():
                if line["event"] == event:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"{event!r} was not logged:\n{self.log_text()}")

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = 20) -> int:
        """The exit status."""
        assert self._process is not None
        return self._process.wait(seconds)

    def stop(self, seconds: float = 20) -> int:
        """Ask it to stop; the exit status."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """End it as a crash would; harmless when it has ended."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)

    def freeze(self) -> None:
        """Stop all its threads, and return when the last one has stopped."""
        self.send(signal.SIGSTOP)
        while any(state not in "Tt" for state in self._thread_states()):
            time.sleep(0.001)

    def _thread_states(self) -> Iterator[str]:
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            yield (task / "stat").read_text().rpartition(")")[2].split()[0]

    def resident_bytes(self) -> int:
        return self._status_bytes("VmRSS:")

    def peak_bytes(self) -> int:
        """The most memory it has held since the start, or since `forget_peak`."""
        return self._status_bytes("VmHWM:")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status_bytes(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition(name)[2].split()[0]) * 1024

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Another command of the program, on this server's configuration and database."""
        return subprocess.run(
            [*self.within, sys.executable, str(ROOT / "run.py"), *words, "--config", str(self.config)],
            capture_output=True,
            text=True,
            env={**self.environment, "KENER_DATABASE_PATH": str(self.database)},
            cwd=self.folder,
            timeout=30,
            check=False,
            user=self.as_user,
            group=self.as_user,
        )

    def mint(self, *options: str) -> str:
        """A token, made by the command line."""
        completed = self.run("token", "create", "--init", "--name", "test", *options)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout.strip()

    def add_token(self, **fields: Any) -> str:
        """A token for `a_config`'s key, stored without starting a process, which takes half a second."""
        record = tokens.Token(secrets.token_hex(8), "test", DEFAULT_SCOPES, None, int(time.time()), None)
        record = replace(record, **fields)
        transactions.write(self.database, tokens.add, record)
        return mint(SECRET.encode(), record)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Refused(Exception):
    """The connection was refused: nothing was sent."""


class Unanswered(Exception):
    """The request was sent, but no complete answer arrived: its outcome is unknown."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int, token: str = "") -> None:
        self.port = port
        self.token = token
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: Any = None, *headers: str) -> Answer:
        """Raises Refused or Unanswered; then the next request opens a new connection. Bytes are the body."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(raw)}", *headers]
        head = "".join(f"{line}\r\n" for line in lines)
        if self.token:
            head += f"Authorization: Bearer {self.token}\r\n"
        return await self.send(head.encode() + b"\r\n" + raw)

    async def send(self, request: bytes) -> Answer:
        """Send the bytes of a request as they are."""
        if self._writer is None:
            try:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                raise Refused(str(error)) from error
        assert self._reader is not None
        try:
            self._writer.write(request)
            return await self._answer(self._reader)
        except (OSError, EOFError, asyncio.CancelledError) as error:
            await self.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise Unanswered(str(error)) from error

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            await self.close()
        return Answer(int(first.split()[1]), headers, body)

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.json()

    async def close(self) -> None:
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def connected(port: int, token: str = "") -> AsyncIterator[Client]:
    client = Client(port, token)
    try:
        yield client
    finally:
        await client.close()


@dataclass
class Sent:
    """The outcomes of the samples, each of which was sent once."""

    acked: dict[Key, str] = field(default_factory=dict)
    unanswered: dict[Key, str] = field(default_factory=dict)
    unanswered_at: list[float] = field(default_factory=list)  # when they were sent, monotonic
    refused: Counter[int] = field(default_factory=Counter)  # by HTTP status
    refused_keys: dict[Key, str] = field(default_factory=dict)
    odd: list[Answer] = field(default_factory=list)  # 503 without Retry-After, or anything unforeseen


class Senders:
    """Clients that post samples, each for another monitor or minute, from `newest` on backwards."""

    def __init__(
        self, port: int, token: str, tags: Sequence[str], clients: int = 8, newest: int | None = None
    ) -> None:
        self.port = port
        self.token = token
        self.tags = tags
        self.clients = clients
        self.sent = Sent()
        self._next = 0
        self._newest = int(time.time()) // MINUTE * MINUTE - 5 * MINUTE if newest is None else newest

    def _sample(self) -> tuple[Key, str]:
        """The next sample, from new to old; its status follows from its number."""
        number, self._next = self._next, self._next + 1
        back, which = divmod(number, len(self.tags))
        assert back < 89 * 24 * 60, "no unused minute is left"
        return (self.tags[which], self._newest - back * MINUTE), STATUSES[number * 7 % 11 % 3]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Sent]:
        """Send until left; then every request has been answered or cancelled."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._send_on(stop)) for _ in range(self.clients)]
        try:
            yield self.sent
        finally:
            stop.set()
            _, late = await asyncio.wait(tasks, timeout=5)
            for task in late:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    async def _send_on(self, stop: asyncio.Event) -> None:
        async with connected(self.port, self.token) as client:
            waiting: tuple[Key, str] | None = None
            while not stop.is_set():
                key, status = waiting or self._sample()
                waiting = None
                try:
                    await self._send(client, key, status)
                except Refused:
                    waiting = key, status  # nothing was sent: the same again
                    await asyncio.sleep(0.01)

    async def _send(self, client: Client, key: Key, status: str) -> None:
        body = {"tag": key[0], "timestampInSeconds": key[1], "status": status, "latency": key[1] % 997 / 1000}
        began = time.monotonic()
        self.sent.unanswered[key] = status
        try:
            answer = await client.ask("POST", "/api/status", body)
        except Refused:
            del self.sent.unanswered[key]
            raise
        except Unanswered:
            self.sent.unanswered_at.append(began)
            return
        del self.sent.unanswered[key]
        if answer.status == 200:
            self.sent.acked[key] = status
            return
        self.sent.refused[answer.status] += 1
        self.sent.refused_keys[key] = status
        if answer.status != 503 or "retry-after" not in answer.headers:
            self.sent.odd.append(answer)
        await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Comparison:
    """The differences between the acknowledged and the stored samples."""

    acked: int
    stored: int
    lost: list[Key]
    phantom: list[Key]

    @property
    def is_ok(self) -> bool:
        return not self.lost and not self.phantom


def reading(database: Path) -> sqlite3.Connection:
    """A read-only connection, also beside a running server."""
    return sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=10)


def stored_samples(database: Path) -> dict[Key, str]:
    return {(one.tag, one.minute): one.status for one in samples_in(database)}


def compare(database: Path, sent: Sent) -> Comparison:
    """Compare; a stored sample that was refused, never sent, or sent with another status is a phantom."""
    stored = stored_samples(database)
    sent_samples = sent.acked | sent.unanswered
    return Comparison(
        acked=len(sent.acked),
        stored=len(stored),
        lost=[key for key, status in sent.acked.items() if stored.get(key) != status],
        phantom=[key for key, status in stored.items() if sent_samples.get(key) != status],
    )


def damage(server: Server) -> Iterator[str]:
    """The faults that `verify` and SQLite's check find, after the server has stopped."""
    verified = server.run("verify", str(server.database))
    if verified.returncode:
        yield from verified.stdout.splitlines() or [verified.stderr]
    if (result := integrity(server.database)) != "ok":
        yield result


def integrity(database: Path) -> str:
    """The result of SQLite's integrity check: "ok", or the errors."""
    with closing(reading(database)) as connection:
        return "; ".join(row[0] for row in connection.execute("PRAGMA integrity_check"))
