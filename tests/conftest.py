"""Fixtures: a service of its own for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket

from kener_async.config.model import Config
from kener_async.probes import attempt
from kener_async.web.pages import templates
from tests.rigs.service import FakeClock, Service, a_config, running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return a_config(tmp_path)


@pytest.fixture
async def service(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with running(config, clock) as running_service:
        yield running_service


class CompiledTemplates(BytecodeCache):
    """The compiled templates of all services in this process."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._code.get(bucket.key):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


@pytest.fixture(scope="session", autouse=True)
def compiled_templates() -> Iterator[None]:
    """Compile each template once, because that takes longer than most tests."""
    cache, before = CompiledTemplates(), templates.environment

    def environment(app: web.Application) -> Environment:
        made = before(app)
        made.bytecode_cache = cache
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "environment", environment)
        yield


@pytest.fixture(scope="session", autouse=True)
def loggers_follow_each_configuration() -> Iterator[None]:
    """Cache no logger: commands that tests run in this process configure the log, too."""
    configure = structlog.configure

    def configure_uncached(**settings: Any) -> None:
        configure(**settings | {"cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", configure_uncached)
        yield


OF_STALLS = ("test_attempts", "test_http_probe", "test_names", "test_hostile_targets")


@pytest.fixture(autouse=True)
def busy_machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Take no stall for our own fault: beside other tests the loop stalls, and time-outs are short."""
    with pytest.MonkeyPatch.context() as patch:  # of its own, because those of tests end before their service
        if request.module.__name__.rpartition(".")[2] not in OF_STALLS:
            patch.setattr(attempt, "STALLED_SHARE", 1000)
            patch.setattr(attempt, "LONGEST_STALL", 1000)
        yield
