"""A service in this process: the real app over a real file, with a clock that tests set."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from kener_async import keys
from kener_async.api.http.auth import mint
from kener_async.app import apply, create_app
from kener_async.config.load import load
from kener_async.config.model import Config, MonitorConfig
from kener_async.domain.access import DEFAULT_SCOPES
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.store import tokens
from kener_async.store.tokens import Token

NOON = 1_767_182_400  # 2025-12-31 12:00:00 UTC
SECRET = "for-tests-only-" + "k" * 32


class FakeClock:
    """Does not move until a test sets it."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def a_monitor(tag: str, settings: MonitorSettings | None = None, **fields: Any) -> MonitorConfig:
    """A monitor as config.toml would give it."""
    plain: dict[str, Any] = {
        "name": tag.title(),
        "description": "",
        "image": "",
        "category": "",
        "hidden": False,
        "latency_unit": "s",
        "day_degraded_minimum_count": 1,
        "day_down_minimum_count": 1,
        "show_reasons": False,
        "depends_on": (),
        "alerts": None,
    }
    return MonitorConfig(tag=tag, settings=settings or MonitorSettings(), **(plain | fields))


def a_config(folder: Path, *monitors: MonitorConfig) -> Config:
    """The defaults, with these monitors (earth and mars, if none is given) and a database in the folder."""
    file = folder / "config.toml"
    file.write_text(f'[auth]\nsecret_key = "{SECRET}"\n[database]\npath = "kener.db"\n')
    config = load(file, {})
    return replace(config, monitors=monitors or (a_monitor("earth"), a_monitor("mars")))


class Service:
    """A running service and a client that holds a token with every default scope."""

    def __init__(self, client: TestClient[Any, Any], clock: FakeClock) -> None:
        self.client = client
        self.clock = clock
        self.app = client.app
        self.token = ""

    async def mint(self, **fields: Any) -> str:
        """A token on record; all default scopes and all monitors unless said otherwise."""
        count = len(await self.app[keys.DATABASE].read(tokens.all_tokens))
        record = replace(
            Token(f"token-{count}", "test", DEFAULT_SCOPES, None, self.clock(), None),
            **fields,
        )
        await self.app[keys.DATABASE].write(lambda connection: tokens.add(connection, record))
        return mint(SECRET.encode(), record)

    async def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> tuple[int, Any]:
        """Status and JSON of an answer, or its text."""
        headers = {"Authorization": f"Bearer {token or self.token}"} | options.pop("headers", {})
        async with self.client.request(method, path, headers=headers, **options) as reply:
            is_json = reply.content_type.endswith("json")
            return reply.status, await (reply.json() if is_json else reply.text())

    async def get(self, path: str, **query: Any) -> Any:
        status, body = await self.ask("GET", path, params=query)
        assert status == 200, body
        return body

    async def post(self, path: str, body: Any) -> Any:
        status, answer = await self.ask("POST", path, json=body)
        assert status == 200, answer
        return answer

    async def beat(
        self, tag: str = "earth", status: str = "UP", at: float | None = None, latency: float = 0.1
    ) -> Any:
        """Send a heartbeat, for now or for an earlier instant."""
        body = {"tag": tag, "status": status, "latency": latency}
        return await self.post("/api/status", body if at is None else body | {"timestampInSeconds": at})

    def pass_time(self, seconds: int) -> None:
        """Let time pass while the service is there to observe it."""
        self.clock.now += seconds
        self.app[keys.OBSERVER].last_seen = self.clock.now

    def jump(self, seconds: int) -> None:
        """Let the wall clock step, as a wrong time source or a suspended machine makes it."""
        self.clock.now += seconds

    async def configure(self, *monitors: MonitorConfig) -> None:
        """Reload the configuration with other monitors."""
        await apply(self.app, replace(self.app[keys.RUNNING].config, monitors=monitors))

    def change(self, section: str, **settings: Any) -> None:
        """Put other settings of a section in force."""
        running = self.app[keys.RUNNING]
        changed: Any = replace(getattr(running.config, section), **settings)
        running.config = replace(running.config, **{section: changed})

    async def roll(self) -> None:
        """Run the rollup job."""
        await self.app[keys.LOADER].roll()


@asynccontextmanager
async def running(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    """Start the service on the configuration's database; stop it on leaving, as SIGTERM would."""
    server = TestServer(create_app(config, clock))
    await server.start_server(auto_decompress=False)  # as in production
    async with TestClient(server) as client:
        service = Service(client, clock)
        service.token = await service.mint()
        yield service


def is_of_a_request() -> bool:
    """Whether a request is handled in this task, and not a job of the service, which reads now and then."""
    task = asyncio.current_task()
    return task is not None and "RequestHandler" in repr(task.get_coro())
